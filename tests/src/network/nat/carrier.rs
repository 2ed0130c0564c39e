//! The thread that carries packets between LANs and the internet, through the NAT boxes in between.

use std::collections::HashSet;
use std::fs::File;
use std::io::{PipeReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Mutex;
use std::time::Instant;

use super::super::forwarder::{TURN, wait};
use super::super::packet::Packet;
use super::super::path::{Line, Path};
use super::Ipv6;
use super::rewrite::{Side, readdress, spend_hops};
use super::table::Table;

/// The hosts, in the order of their devices, the boxes, and the internet.
#[derive(Debug)]
pub(super) struct World {
    pub(super) nodes: Vec<Node>,
    pub(super) boxes: Vec<Table>,
    /// The internet: LANs take no time.
    pub(super) path: Path,
    /// A host that nothing comes to, while what it says passes.
    pub(super) deaf: Option<usize>,
    /// How many hops a packet makes on the internet.
    pub(super) hops: u8,
    /// Bytes of IP that each host was sent.
    pub(super) received: Vec<u64>,
    /// Who spoke to whom by IPv6, for the firewalls: host, protocol and ports.
    pub(super) spoken: HashSet<Conversation>,
}

/// A host.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) ips: Vec<Ipv4Addr>,
    /// The box that it is behind; None: it is on the internet.
    pub(super) behind: Option<usize>,
    /// It is the inside of that box.
    pub(super) is_gateway: bool,
    pub(super) ipv6: Option<Ipv6Addr>,
    pub(super) firewall: Ipv6,
}

/// Inside, outside, protocol, the port inside and the one outside.
type Conversation = (Ipv6Addr, Ipv6Addr, u8, u16, u16);

/// Where a packet goes, and whether over the internet.
struct Bound {
    to: usize,
    far: bool,
}

/// Carries packets between `devices`, until the other end of `stop` is dropped.
pub(super) fn run(devices: &[File], world: &Mutex<World>, stop: &PipeReader) {
    let mut line = Line::new(devices.len());
    let mut buffer = vec![0; 65_536];
    loop {
        if wait(devices.iter(), stop, line.next_due()) {
            return;
        }
        let now = Instant::now();
        {
            let mut world = world.lock().unwrap();
            for (from, mut device) in devices.iter().enumerate() {
                for _ in 0..TURN {
                    let Ok(n) = device.read(&mut buffer) else {
                        break;
                    };
                    let packet = &mut buffer[..n];
                    let Some(bound) = world.carry(from, packet, now) else {
                        continue;
                    };
                    if world.deaf == Some(bound.to) {
                        continue;
                    }
                    world.received[bound.to] += n as u64;
                    let path = if bound.far {
                        world.path
                    } else {
                        Path::default()
                    };
                    line.send(&path, now, bound.to, packet.to_vec());
                }
            }
        }
        while let Some((to, packet)) = line.arrived(now) {
            // A full queue of the host loses it, as elsewhere.
            let mut device = &devices[to];
            let _ = device.write(&packet);
        }
    }
}

impl World {
    /// Where a packet of `from` goes, which gets the addresses that it has there; None: nowhere.
    fn carry(&mut self, from: usize, bytes: &mut [u8], now: Instant) -> Option<Bound> {
        if bytes.first().is_some_and(|first| first >> 4 == 6) {
            return self.carry_ipv6(from, bytes);
        }
        let packet = Packet::parse(bytes)?;
        let (protocol, source, target) = (packet.protocol, packet.from, packet.to);
        if packet.is_fragment() {
            return None;
        }
        let mut source = source;
        if let Some(number) = self.nodes[from].behind {
            if let Some(to) = self.in_lan(number, *target.ip()) {
                return Some(Bound { to, far: false });
            }
            let table = &mut self.boxes[number];
            let to_itself = *target.ip() == table.outside;
            if to_itself && !table.nat.hairpin || self.nodes[from].is_gateway {
                return None;
            }
            source = table.outbound(protocol, source, target, now)?;
            readdress(bytes, Side::From, source);
            if to_itself {
                let inside = table.inbound(protocol, source, target.port(), now)?;
                readdress(bytes, Side::To, inside);
                let to = self.in_lan(number, *inside.ip())?;
                return Some(Bound { to, far: false });
            }
            if !spend_hops(bytes, 1) {
                return None;
            }
        }
        if !spend_hops(bytes, self.hops) {
            return None;
        }
        let ip = *target.ip();
        let Some(number) = self.boxes.iter().position(|table| table.outside == ip) else {
            let to = self
                .nodes
                .iter()
                .position(|node| node.behind.is_none() && node.ips.contains(&ip))?;
            return Some(Bound { to, far: true });
        };
        let inside = self.boxes[number].inbound(protocol, source, target.port(), now)?;
        readdress(bytes, Side::To, inside);
        let to = self.in_lan(number, *inside.ip())?;
        Some(Bound { to, far: true })
    }

    /// The host with this address behind box `number`. What is for a group goes to the box.
    fn in_lan(&self, number: usize, ip: Ipv4Addr) -> Option<usize> {
        self.nodes.iter().position(|node| {
            let meant = node.ips.contains(&ip) || ip.is_multicast() && node.is_gateway;
            node.behind == Some(number) && meant
        })
    }

    /// IPv6 has no NAT; a firewall lets in what answers.
    fn carry_ipv6(&mut self, from: usize, bytes: &[u8]) -> Option<Bound> {
        let address = |at: usize| -> Option<Ipv6Addr> {
            Some(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?.into())
        };
        let port = |at: usize| -> Option<u16> {
            Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
        };
        let (source, target, protocol) = (address(8)?, address(24)?, *bytes.get(6)?);
        let (out, to) = (port(40)?, port(42)?);
        let bound = self
            .nodes
            .iter()
            .position(|node| node.ipv6 == Some(target))?;
        self.nodes[from].ipv6.filter(|mine| *mine == source)?;
        self.spoken.insert((source, target, protocol, out, to));
        let answers = self.spoken.contains(&(target, source, protocol, to, out));
        let let_in = self.nodes[bound].firewall == Ipv6::Open || answers;
        let_in.then_some(Bound {
            to: bound,
            far: true,
        })
    }
}
