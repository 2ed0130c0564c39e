//! What is remembered of sources, of each as one: an address of IPv4, a /64 of IPv6.
//!
//! Strangers fill this, so it has a bound, and where that is reached one of the most crowded network is
//! forgotten ([`frp_net::crowd`]): whoever comes from many addresses pushes out nobody but itself.

use std::collections::HashMap;
use std::net::IpAddr;

use frp_net::crowd::Crowd;
use frp_proto::network::Network;

/// See the module.
#[derive(Debug)]
pub(crate) struct Sources<T> {
    ids: HashMap<IpAddr, u64>,
    crowd: Crowd<(IpAddr, T)>,
    most: usize,
}

/// As whom an address counts.
pub(crate) fn source(ip: IpAddr) -> IpAddr {
    Network::of_source(ip).range().0
}

impl<T: Default> Sources<T> {
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
        let id = self.ids.get(&source(ip))?;
        self.crowd.get_mut(*id).map(|(_, known)| known)
    }

    /// The same, from now on.
    pub(crate) fn at(&mut self, ip: IpAddr) -> Option<&mut T> {
        let source = source(ip);
        let id = match self.ids.get(&source) {
            Some(id) => *id,
            None => {
                let id = self.crowd.insert(source, (source, T::default()));
                self.ids.insert(source, id);
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

    /// Forgets the source of `ip`.
    pub(crate) fn remove(&mut self, ip: IpAddr) -> Option<T> {
        let id = self.ids.remove(&source(ip))?;
        self.crowd.remove(id).map(|(_, known)| known)
    }

    /// Of each source.
    pub(crate) fn each(&mut self, mut visit: impl FnMut(IpAddr, &mut T)) {
        for id in self.ids.values() {
            if let Some((source, known)) = self.crowd.get_mut(*id) {
                visit(*source, known);
            }
        }
    }

    /// Forgets those of which `keep` says no.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(IpAddr, &mut T) -> bool) {
        let mut gone = Vec::new();
        self.each(|source, known| {
            if !keep(source, known) {
                gone.push(source);
            }
        });
        for source in gone {
            self.remove(source);
        }
    }
}
