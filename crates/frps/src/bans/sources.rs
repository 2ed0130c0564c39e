//! What is remembered of sources, of each as one: an address of IPv4, a /64 of IPv6; of the same one perhaps in
//! several regards.
//!
//! Strangers fill this, so it has a bound, and where that is reached one of the most crowded network is
//! forgotten ([`frp_net::crowd`]): whoever comes from many addresses pushes out nobody but itself.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

use frp_net::crowd::Crowd;
use frp_proto::network::Network;

/// See the module. `R` is in which regard; its default is the usual one.
#[derive(Debug)]
pub(crate) struct Sources<T, R = ()> {
    ids: HashMap<(R, IpAddr), u64>,
    crowd: Crowd<((R, IpAddr), T)>,
    most: usize,
}

/// As whom an address counts.
pub(crate) fn source(ip: IpAddr) -> IpAddr {
    Network::of_source(ip).range().0
}

impl<T: Default, R: Clone + Default + Eq + Hash> Sources<T, R> {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            ids: HashMap::new(),
            crowd: Crowd::default(),
            most,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// What is known of the source of `ip`, if anything is.
    pub(crate) fn get(&mut self, ip: IpAddr) -> Option<&mut T> {
        self.get_in(R::default(), ip)
    }

    /// The same in this regard.
    pub(crate) fn get_in(&mut self, regard: R, ip: IpAddr) -> Option<&mut T> {
        let id = self.ids.get(&(regard, source(ip)))?;
        self.crowd.get_mut(*id).map(|(_, known)| known)
    }

    /// What is known of it from now on.
    pub(crate) fn at(&mut self, ip: IpAddr) -> Option<&mut T> {
        self.at_in(R::default(), ip)
    }

    /// The same in this regard.
    pub(crate) fn at_in(&mut self, regard: R, ip: IpAddr) -> Option<&mut T> {
        let source = source(ip);
        let key = (regard, source);
        let id = match self.ids.get(&key) {
            Some(id) => *id,
            None => {
                let id = self.crowd.insert(source, (key.clone(), T::default()));
                self.ids.insert(key, id);
                if self.crowd.len() > self.most
                    && let Some((gone, _)) = self.crowd.make_room_for(id)
                {
                    self.ids.remove(&gone);
                }
                id
            }
        };
        self.crowd.get_mut(id).map(|(_, known)| known)
    }

    /// Of each source.
    pub(crate) fn each(&mut self, mut visit: impl FnMut(IpAddr, &mut T)) {
        for id in self.ids.values() {
            if let Some(((_, source), known)) = self.crowd.get_mut(*id) {
                visit(*source, known);
            }
        }
    }

    /// Forgets those of which `keep` says no.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(IpAddr, &mut T) -> bool) {
        let crowd = &mut self.crowd;
        self.ids.retain(|(_, source), id| {
            let keeps = crowd
                .get_mut(*id)
                .is_some_and(|(_, known)| keep(*source, known));
            if !keeps {
                crowd.remove(*id);
            }
            keeps
        });
    }
}
