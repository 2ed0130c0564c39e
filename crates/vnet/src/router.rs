//! By which connection is an address reached, and whose may a source address be?
//!
//! An owner of a proxy is reached by the address that the visitor was given. Visitors of our own proxies are
//! reached by those that they send from, as frp has it (frp `pkg/vnet/controller.go`). frp takes any source from
//! anybody, and who sends last is who is answered; here an address belongs to one peer:
//!
//! - what the user has given to a visitor is learnt of nobody;
//! - what was learnt of one connection moves to a later one (the same machine has come back), never to an
//!   earlier;
//! - our own address, and those of no machine (loopback, multicast, link-local), are nobody's.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::limits::MAX_LEARNT;
use crate::packet::is_routable;
use crate::peer::{Kind, Peer};

/// See the module.
#[derive(Debug)]
pub(crate) struct Router {
    own: IpAddr,
    tables: RwLock<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    /// The addresses that visitors were given.
    owners: HashMap<IpAddr, Arc<Peer>>,
    /// Those that were learnt.
    visitors: HashMap<IpAddr, Arc<Peer>>,
}

/// Whether a packet may come from an address.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Known,
    /// Nobody's so far. A machine of the network may have it, if it is on the side of the device.
    New,
    Foreign,
}

impl Router {
    pub(crate) fn new(own: IpAddr) -> Self {
        Self {
            own,
            tables: RwLock::default(),
        }
    }

    /// The peer that `destination` is reached by.
    pub(crate) fn peer_of(&self, destination: IpAddr) -> Option<Arc<Peer>> {
        let tables = self.read();
        let owner = tables.owners.get(&destination);
        owner.or_else(|| tables.visitors.get(&destination)).cloned()
    }

    /// Whether a packet of `peer` may come from `source`.
    pub(crate) fn source(&self, peer: &Peer, source: IpAddr) -> Source {
        if source == self.own || !is_routable(source) {
            return Source::Foreign;
        }
        let tables = self.read();
        match (tables.owners.get(&source), &peer.kind) {
            (Some(owner), Kind::Owner(_)) if owner.kind == peer.kind => return Source::Known,
            (Some(_), Kind::Owner(_)) => return Source::Foreign,
            // It visits us as we visit it. Answers go by our visitor.
            (Some(_), Kind::Visitor) => return Source::Known,
            (None, _) => {}
        }
        match tables.visitors.get(&source) {
            Some(visitor) if visitor.number == peer.number => Source::Known,
            Some(visitor) if peer.kind == Kind::Visitor && visitor.number < peer.number => {
                Source::New
            }
            Some(_) => Source::Foreign,
            None => Source::New,
        }
    }

    /// From now on `source`, which is [`Source::New`], is reached by `peer`, a visitor. Whether it is: of one
    /// peer no more than [`MAX_LEARNT`] are learnt.
    pub(crate) fn learn(&self, source: IpAddr, peer: &Arc<Peer>) -> bool {
        let mut tables = self.write();
        let of_peer = |other: &&Arc<Peer>| other.number == peer.number;
        if tables.visitors.values().filter(of_peer).count() >= MAX_LEARNT {
            return false;
        }
        tables.visitors.insert(source, peer.clone());
        true
    }

    /// Nothing goes to `peer`, a visitor, any more.
    pub(crate) fn forget(&self, peer: &Peer) {
        let mut tables = self.write();
        tables
            .visitors
            .retain(|_, other| other.number != peer.number);
    }

    /// From now on `destination` is reached by `owner`; false where it is by another one.
    pub(crate) fn give(&self, destination: IpAddr, owner: &Arc<Peer>) -> bool {
        let mut tables = self.write();
        if tables.owners.contains_key(&destination) {
            return false;
        }
        tables.owners.insert(destination, owner.clone());
        true
    }

    /// And no more.
    pub(crate) fn take_back(&self, destination: IpAddr) {
        self.write().owners.remove(&destination);
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [100, 86, 0, last].into()
    }

    fn visitor(number: u64) -> Arc<Peer> {
        Arc::new(Peer::new(number, Kind::Visitor))
    }

    fn owner(number: u64, proxy: &str) -> Arc<Peer> {
        Arc::new(Peer::new(number, Kind::Owner(proxy.to_owned())))
    }

    fn number_of(router: &Router, address: IpAddr) -> Option<u64> {
        router.peer_of(address).map(|peer| peer.number)
    }

    #[test]
    fn visitors_are_reached_by_what_they_send_from() {
        let router = Router::new(ip(1));
        let (first, second) = (visitor(1), visitor(2));
        assert_eq!(router.source(&first, ip(2)), Source::New);
        assert!(router.learn(ip(2), &first) && router.learn(ip(3), &first));
        assert_eq!(router.source(&first, ip(2)), Source::Known);
        assert_eq!(number_of(&router, ip(2)), Some(1));
        // It comes back by a new connection, and what is left of the old one does not get it again.
        assert_eq!(router.source(&second, ip(2)), Source::New);
        assert!(router.learn(ip(2), &second));
        assert_eq!(router.source(&first, ip(2)), Source::Foreign);
        assert_eq!(number_of(&router, ip(2)), Some(2));
        router.forget(&first);
        assert_eq!(number_of(&router, ip(3)), None);
        assert_eq!(number_of(&router, ip(2)), Some(2));
    }

    #[test]
    fn what_was_given_to_a_visitor_is_learnt_of_nobody() {
        let router = Router::new(ip(1));
        let (ours, other) = (owner(1, "a"), owner(2, "b"));
        assert!(router.give(ip(2), &ours) && router.give(ip(3), &other));
        assert!(!router.give(ip(2), &other));
        // Two machines that visit each other: what comes is taken, and is answered by our visitor.
        assert_eq!(router.source(&visitor(3), ip(2)), Source::Known);
        assert_eq!(number_of(&router, ip(2)), Some(1));
        assert_eq!(router.source(&ours, ip(2)), Source::Known);
        assert_eq!(router.source(&ours, ip(3)), Source::Foreign);
        assert_eq!(router.source(&owner(4, "a"), ip(2)), Source::Known);
        assert_eq!(router.source(&ours, ip(9)), Source::New);
        let guest = visitor(5);
        assert!(router.learn(ip(9), &guest));
        assert_eq!(router.source(&ours, ip(9)), Source::Foreign);
        router.take_back(ip(2));
        assert_eq!(number_of(&router, ip(2)), None);
    }

    #[test]
    fn what_no_machine_has_is_nobodys() {
        let router = Router::new(ip(1));
        for address in [
            "100.86.0.1",
            "127.0.0.1",
            "224.0.0.1",
            "0.0.0.0",
            "fe80::1",
            "::1",
        ] {
            let address = address.parse().unwrap();
            assert_eq!(
                router.source(&visitor(1), address),
                Source::Foreign,
                "{address}"
            );
            assert_eq!(
                router.source(&owner(2, "a"), address),
                Source::Foreign,
                "{address}"
            );
        }
    }

    #[test]
    fn of_one_peer_so_many_are_learnt() {
        let router = Router::new(ip(1));
        let peer = visitor(1);
        let learnt = (0..1000_u32)
            .filter(|n| router.learn(std::net::Ipv4Addr::from(0x0a00_0000 + n).into(), &peer));
        assert_eq!(learnt.count(), MAX_LEARNT);
    }
}
