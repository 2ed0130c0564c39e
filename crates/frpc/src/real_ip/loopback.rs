//! Which address of 127.0.0.0/8 stands for a user at the local service, and who is behind one?
//!
//! It follows from the user's address by a keyed hash, so it is the same each time, after a restart, too. Where two
//! users have the same, the later one gets the next for as long as the other is remembered.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use aws_lc_rs::hmac;

use crate::limits::{MAX_LEFT_USERS, MAX_USED_PROXIES};

/// See the module.
#[derive(Debug)]
pub(crate) struct Loopback {
    key: hmac::Key,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<Ipv4Addr, Known>,
    /// The addresses in `known` by their users.
    of: HashMap<IpAddr, Ipv4Addr>,
    /// Those who have left, the first ones first.
    left: BTreeMap<u64, Ipv4Addr>,
    next: u64,
}

/// A user.
#[derive(Debug)]
struct Known {
    ip: IpAddr,
    conns: BTreeMap<u64, Conn>,
    /// The proxies that it came to last.
    proxies: Vec<String>,
    came: u64,
    seen: SystemTime,
    /// Its place among those who have left.
    left: Option<u64>,
}

/// A connection of a user to the local service.
#[derive(Debug, Clone)]
pub(crate) struct Conn {
    pub(crate) proxy: String,
    /// The user's address.
    pub(crate) from: SocketAddr,
    /// The port that the service sees; 0 while it is dialled.
    pub(crate) port: u16,
    pub(crate) since: SystemTime,
}

/// What is told of a user.
#[derive(Debug)]
pub(crate) struct Who {
    /// What the service sees.
    pub(crate) local: Ipv4Addr,
    pub(crate) ip: IpAddr,
    /// Those that it came to last.
    pub(crate) proxies: Vec<String>,
    /// How many connections there have been.
    pub(crate) came: u64,
    /// When it came or left last.
    pub(crate) seen: SystemTime,
    pub(crate) conns: Vec<Conn>,
}

/// A user is connected from its address, until dropped.
#[derive(Debug)]
pub(crate) struct Place {
    ip: Ipv4Addr,
    id: u64,
    state: Arc<Mutex<State>>,
}

impl Loopback {
    pub(super) fn new(secret: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        Self {
            key,
            state: Arc::default(),
        }
    }

    /// A connection of the user at `from` to `proxy`, and whether its address is new to whoever reads the log.
    pub(super) fn enter(&self, proxy: &str, from: SocketAddr) -> (Place, bool) {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let id = state.next;
        state.next += 1;
        let known = state.of.get(&from.ip()).copied();
        let ip = known.unwrap_or_else(|| self.free(&state.known, from.ip()));
        state.of.insert(from.ip(), ip);
        let now = SystemTime::now();
        let user = state.known.entry(ip).or_insert_with(|| Known {
            ip: from.ip(),
            conns: BTreeMap::new(),
            proxies: Vec::new(),
            came: 0,
            seen: now,
            left: None,
        });
        if let Some(left) = user.left.take() {
            state.left.remove(&left);
        }
        user.came += 1;
        user.seen = now;
        user.proxies.retain(|name| name != proxy);
        user.proxies.insert(0, proxy.to_owned());
        user.proxies.truncate(MAX_USED_PROXIES);
        let conn = Conn {
            proxy: proxy.to_owned(),
            from,
            port: 0,
            since: now,
        };
        user.conns.insert(id, conn);
        drop(guard);
        let place = Place {
            ip,
            id,
            state: self.state.clone(),
        };
        (place, known.is_none())
    }

    fn free(&self, known: &HashMap<Ipv4Addr, Known>, user: IpAddr) -> Ipv4Addr {
        let mut nth = 0;
        loop {
            let ip = self.nth(user, nth);
            // A million users would have to be there at once for the last to matter.
            if !known.contains_key(&ip) || nth == u8::MAX {
                return ip;
            }
            nth += 1;
        }
    }

    /// None below 127.1.0.1: what listens on this machine is mostly there.
    fn nth(&self, user: IpAddr, nth: u8) -> Ipv4Addr {
        let user = match user {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let text = [b"frp-rs realIP".as_slice(), &user.octets(), &[nth]].concat();
        let tag = hmac::sign(&self.key, &text);
        let [b, c, d] = match *tag.as_ref() {
            [b, c, d, ..] => [b, c, d],
            _ => [0; 3],
        };
        Ipv4Addr::new(127, 1 + b % 254, c, 1 + d % 254)
    }

    /// Who has that address now, or had it lately.
    pub(crate) fn who(&self, local: Ipv4Addr) -> Option<Who> {
        let state = lock(&self.state);
        state.known.get(&local).map(|known| known.tell(local))
    }

    /// Who is connected now.
    pub(crate) fn connected(&self) -> Vec<Who> {
        let state = lock(&self.state);
        let here = state.known.iter().filter(|(_, known)| known.left.is_none());
        let mut all: Vec<Who> = here.map(|(local, known)| known.tell(*local)).collect();
        drop(state);
        all.sort_by_key(|who| who.local);
        all
    }
}

impl Known {
    fn tell(&self, local: Ipv4Addr) -> Who {
        Who {
            local,
            ip: self.ip,
            proxies: self.proxies.clone(),
            came: self.came,
            seen: self.seen,
            conns: self.conns.values().cloned().collect(),
        }
    }
}

impl Place {
    pub(super) fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// The service sees the connection from this port.
    pub(super) fn dialled(&self, port: u16) {
        let mut state = lock(&self.state);
        let user = state.known.get_mut(&self.ip);
        if let Some(conn) = user.and_then(|user| user.conns.get_mut(&self.id)) {
            conn.port = port;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let Some(user) = state.known.get_mut(&self.ip) else {
            return;
        };
        user.conns.remove(&self.id);
        if !user.conns.is_empty() {
            return;
        }
        user.seen = SystemTime::now();
        user.left = Some(state.next);
        state.left.insert(state.next, self.ip);
        state.next += 1;
        if state.left.len() > MAX_LEFT_USERS
            && let Some((_, first)) = state.left.pop_first()
            && let Some(gone) = state.known.remove(&first)
        {
            state.of.remove(&gone.ip);
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(n: u32) -> SocketAddr {
        (Ipv4Addr::from_bits(0xcb00_0000 + n), 4000).into()
    }

    #[test]
    fn an_address_is_the_same_each_time_and_nobody_elses() {
        let one = Loopback::new(b"secret");
        let (place, is_new) = one.enter("ssh", at(1));
        let ip = place.ip();
        assert!(is_new && ip.is_loopback() && ip >= Ipv4Addr::new(127, 1, 0, 1));
        place.dialled(7);
        let (again, is_new) = one.enter("web", at(1));
        assert!(!is_new);
        assert_eq!(again.ip(), ip);
        let who = one.who(ip).unwrap();
        assert_eq!((who.ip, who.came, who.conns.len()), (at(1).ip(), 2, 2));
        assert_eq!(who.proxies, ["web", "ssh"]);
        assert_eq!(who.conns[0].port, 7);
        drop((place, again));
        assert!(one.connected().is_empty());
        assert_eq!(one.who(ip).unwrap().ip, at(1).ip());

        let restarted = Loopback::new(b"secret");
        assert_eq!(restarted.enter("ssh", at(1)).0.ip(), ip);
        let other = Loopback::new(b"another");
        assert_ne!(other.enter("ssh", at(1)).0.ip(), ip);
    }

    #[test]
    fn many_users_have_as_many_addresses_and_the_first_to_leave_are_forgotten() {
        let all = Loopback::new(b"secret");
        let count = 30_000;
        let places: Vec<Place> = (0..count).map(|n| all.enter("a", at(n)).0).collect();
        let mut ips: Vec<Ipv4Addr> = places.iter().map(Place::ip).collect();
        let first = ips[0];
        ips.sort();
        ips.dedup();
        assert_eq!(ips.len(), count as usize, "two users have the same address");
        for ip in ips {
            let [a, b, _, d] = ip.octets();
            assert!(a == 127 && (1..255).contains(&b) && (1..255).contains(&d));
        }
        drop(places);
        let state = lock(&all.state);
        let kept = [state.known.len(), state.of.len(), state.left.len()];
        assert_eq!(kept, [MAX_LEFT_USERS; 3]);
        drop(state);
        assert!(all.who(first).is_none());
    }
}
