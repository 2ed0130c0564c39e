//! What a NAT box remembers: which port outside stands for whom, and whom it lets back in (the terms
//! are those of RFC 4787).

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use super::super::packet::UDP;
use super::{Nat, NatKind};

/// How long a TCP connection may be silent (RFC 5382).
const TCP_LASTS: Duration = Duration::from_secs(7440);

/// A NAT box.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) nat: Nat,
    /// Its address on the internet.
    pub(super) outside: Ipv4Addr,
    by_inside: HashMap<Inside, u16>,
    by_port: HashMap<(u8, u16), Mapping>,
    /// Ports that were asked for (PCP, NAT-PMP, UPnP): all that comes there goes to one inside.
    asked: HashMap<(u8, u16), SocketAddrV4>,
    /// Who came by such a port, and by which: the answers leave by it.
    came_in: HashMap<(u8, SocketAddrV4, SocketAddrV4), u16>,
    last_port: u16,
    random: u64,
}

/// By what a packet from inside finds its mapping: protocol, source, and with a symmetric NAT the target.
type Inside = (u8, SocketAddrV4, Option<SocketAddrV4>);

#[derive(Debug)]
struct Mapping {
    inside: Inside,
    used: Instant,
    /// To whom the inside spoke, and when.
    spoken_to: HashMap<SocketAddrV4, Instant>,
}

impl Table {
    pub(super) fn new(nat: Nat, outside: Ipv4Addr) -> Self {
        let random = 0x9E37_79B9_7F4A_7C15 ^ u64::from(u32::from(outside));
        Self {
            nat,
            outside,
            by_inside: HashMap::new(),
            by_port: HashMap::new(),
            asked: HashMap::new(),
            came_in: HashMap::new(),
            last_port: 20_000 + (random >> 17) as u16 % 20_000,
            random,
        }
    }

    /// The address by which `inside` speaks to `to`; None: the packet does not pass.
    pub(super) fn outbound(
        &mut self,
        protocol: u8,
        inside: SocketAddrV4,
        to: SocketAddrV4,
        now: Instant,
    ) -> Option<SocketAddrV4> {
        if protocol == UDP && !self.nat.udp {
            return None;
        }
        if let Some(port) = self.came_in.get(&(protocol, inside, to)) {
            return Some(SocketAddrV4::new(self.outside, *port));
        }
        let symmetric = protocol != UDP || self.nat.kind.maps_per_target();
        let key = (protocol, inside, symmetric.then_some(to));
        let lasts = self.lasts(protocol);
        let known = self.by_inside.get(&key).copied();
        let port = match known {
            Some(port) if now < self.by_port[&(protocol, port)].used + lasts => port,
            stale => {
                if let Some(port) = stale {
                    self.by_port.remove(&(protocol, port));
                }
                let port = self.free_port(protocol, now)?;
                self.by_inside.insert(key, port);
                let mapping = Mapping {
                    inside: key,
                    used: now,
                    spoken_to: HashMap::new(),
                };
                self.by_port.insert((protocol, port), mapping);
                port
            }
        };
        let mapping = self.by_port.get_mut(&(protocol, port))?;
        mapping.used = now;
        mapping.spoken_to.insert(to, now);
        Some(SocketAddrV4::new(self.outside, port))
    }

    /// Whom inside a packet from `from` to this port is for; None: it is not let in.
    pub(super) fn inbound(
        &mut self,
        protocol: u8,
        from: SocketAddrV4,
        port: u16,
        now: Instant,
    ) -> Option<SocketAddrV4> {
        if protocol == UDP && !self.nat.udp {
            return None;
        }
        if let Some(inside) = self.asked.get(&(protocol, port)) {
            self.came_in.insert((protocol, *inside, from), port);
            return Some(*inside);
        }
        let lasts = self.lasts(protocol);
        let kind = self.nat.kind;
        let mapping = self.by_port.get(&(protocol, port))?;
        if now >= mapping.used + lasts {
            return None;
        }
        let mut spoken_to = mapping
            .spoken_to
            .iter()
            .filter(|(_, at)| now < **at + lasts);
        let let_in = match (protocol, kind) {
            (UDP, NatKind::FullCone) => true,
            (UDP, NatKind::Restricted) => spoken_to.any(|(to, _)| to.ip() == from.ip()),
            _ => spoken_to.any(|(to, _)| *to == from),
        };
        let_in.then_some(mapping.inside.1)
    }

    /// From now on what comes to `port` is for `inside`; false: the port is another's.
    pub(super) fn ask(&mut self, protocol: u8, port: u16, inside: SocketAddrV4) -> bool {
        let taken = self.by_port.contains_key(&(protocol, port));
        let others = self
            .asked
            .get(&(protocol, port))
            .is_some_and(|to| *to != inside);
        if taken || others {
            return false;
        }
        self.asked.insert((protocol, port), inside);
        true
    }

    /// Takes back what was asked for.
    pub(super) fn withdraw(&mut self, protocol: u8, port: u16) -> bool {
        self.came_in
            .retain(|(p, _, _), by| (*p, *by) != (protocol, port));
        self.asked.remove(&(protocol, port)).is_some()
    }

    pub(super) fn asked(&self) -> Vec<(u16, SocketAddrV4)> {
        let asked = self.asked.iter();
        asked.map(|((_, port), inside)| (*port, *inside)).collect()
    }

    /// As a router that starts again.
    pub(super) fn forget(&mut self) {
        self.by_inside.clear();
        self.by_port.clear();
        self.asked.clear();
        self.came_in.clear();
    }

    fn lasts(&self, protocol: u8) -> Duration {
        match protocol {
            UDP => self.nat.lasts,
            _ => TCP_LASTS,
        }
    }

    fn free_port(&mut self, protocol: u8, now: Instant) -> Option<u16> {
        let lasts = self.lasts(protocol);
        for _ in 0..1000 {
            let random = self.random();
            let port = if protocol == UDP && self.nat.kind == NatKind::SymmetricSequential {
                self.last_port = self
                    .last_port
                    .checked_add(1 + random as u16 % 5)
                    .unwrap_or(1024);
                self.last_port
            } else {
                1024 + (random % (65_536 - 1024)) as u16
            };
            let key = (protocol, port);
            let stale = |m: &Mapping| now >= m.used + lasts;
            if self.by_port.get(&key).is_none_or(stale) && !self.asked.contains_key(&key) {
                if let Some(stale) = self.by_port.remove(&key) {
                    self.by_inside.remove(&stale.inside);
                }
                return Some(port);
            }
        }
        None
    }

    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 11
    }
}
