//! An internet of a test's own: frps and a STUN server on it, and a visitor and an owner of a proxy, each
//! behind a NAT box of the kind that the test wants.
//!
//! ```text
//! visitor 192.168.1.2 ── box 198.51.100.1 ──┐                  ┌── box 192.0.2.1 ── owner 192.168.2.2
//!                                           ├── the internet ──┤
//!               frps 203.0.113.10 ──────────┘                  └── STUN 203.0.113.20 and .21
//! ```
//!
//! The hosts are network namespaces as in [`super::Network`]; the boxes are tables in the thread that carries
//! the packets. The inside of a box is a host, too, for services of the router.

mod carrier;
mod rewrite;
mod table;

use std::collections::HashSet;
use std::fs::File;
use std::io::PipeWriter;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use carrier::{Node, World};
use table::Table;

use super::host::{Host, Place};
use super::next_number;
use super::packet::UDP;
use super::path::Path;
use super::stun::StunServer;
use crate::program::skipped;

/// What a NAT box is, in the terms of RFC 3489 that users know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NatKind {
    /// No NAT: the host is on the internet itself.
    Open,
    /// A port outside for each port inside, and whoever sends there is let in.
    FullCone,
    /// The same, but only addresses that the inside has spoken to are let in.
    Restricted,
    /// The same, but only addresses and ports that the inside has spoken to.
    PortRestricted,
    /// A port outside for each target, one to five above the last one.
    SymmetricSequential,
    /// A port outside for each target, any.
    SymmetricRandom,
}

/// A box, or none.
#[derive(Clone, Copy, Debug)]
pub struct Nat {
    /// What it is.
    pub kind: NatKind,
    /// Whether those inside reach each other by their addresses outside.
    pub hairpin: bool,
    /// How long it remembers a UDP port that nobody inside sends from; 30 s.
    pub lasts: Duration,
    /// Whether it lets UDP through at all.
    pub udp: bool,
    /// What there is besides.
    pub ipv6: Ipv6,
}

/// IPv6 of an end. It needs no NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipv6 {
    /// None.
    Absent,
    /// An address that everybody reaches.
    Open,
    /// An address; what comes from outside is let in if it answers.
    Firewalled,
}

/// One of the two that look for a direct path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The one that visits.
    Visitor,
    /// The one that has the proxy.
    Owner,
}

/// Who hears nothing, while what it says arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deaf {
    /// The host of frps.
    Server,
    /// The host of the owner.
    Owner,
}

/// The hosts, the boxes and the internet; all goes away with the value.
pub struct NatNetwork {
    /// Where frps is: 203.0.113.10.
    pub server: Host,
    /// Where the visiting frpc and its users are.
    pub visitor: Host,
    /// Where the frpc with the proxy and its service are.
    pub owner: Host,
    /// The STUN server: 203.0.113.20:3478.
    pub stun: StunServer,
    boxes: Vec<Host>,
    world: Arc<Mutex<World>>,
    // Dropped before the hosts: the thread ends.
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const STUN: [Ipv4Addr; 2] = [
    Ipv4Addr::new(203, 0, 113, 20),
    Ipv4Addr::new(203, 0, 113, 21),
];

/// Hops of a packet on the internet, in the middle of what is usual. One with a TTL of 7 opens its own box
/// and comes no further.
const HOPS: u8 = 12;

/// The places of the hosts in `World::nodes`; the boxes' follow.
const FRPS: usize = 0;
const VISITOR: usize = 2;
const OWNER: usize = 3;

impl NatKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Open,
        Self::FullCone,
        Self::Restricted,
        Self::PortRestricted,
        Self::SymmetricSequential,
        Self::SymmetricRandom,
    ];

    /// How a table calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "no NAT",
            Self::FullCone => "full cone",
            Self::Restricted => "restricted",
            Self::PortRestricted => "port-restricted",
            Self::SymmetricSequential => "symmetric, next ports",
            Self::SymmetricRandom => "symmetric, random ports",
        }
    }

    fn maps_per_target(self) -> bool {
        matches!(self, Self::SymmetricSequential | Self::SymmetricRandom)
    }
}

impl Nat {
    /// One of this kind without hairpin, which remembers for 30 s.
    #[must_use]
    pub fn new(kind: NatKind) -> Self {
        Self {
            kind,
            hairpin: false,
            lasts: Duration::from_secs(30),
            udp: true,
            ipv6: Ipv6::Absent,
        }
    }
}

impl From<NatKind> for Nat {
    fn from(kind: NatKind) -> Self {
        Self::new(kind)
    }
}

impl NatNetwork {
    /// A visitor and an owner behind boxes of their own, or None after a line that says `SKIPPED`.
    #[must_use]
    pub fn new(visitor: impl Into<Nat>, owner: impl Into<Nat>) -> Option<Self> {
        Self::with(visitor.into(), Some(owner.into()))
    }

    /// Both in one LAN, behind one box.
    #[must_use]
    pub fn in_one_lan(nat: impl Into<Nat>) -> Option<Self> {
        Self::with(nat.into(), None)
    }

    fn with(visitor: Nat, owner: Option<Nat>) -> Option<Self> {
        let number = next_number()?;
        let mut plan = Plan::default();
        let ipv6 = [Some(visitor), owner]
            .into_iter()
            .flatten()
            .any(|nat| nat.ipv6 != Ipv6::Absent);
        plan.host("server", SERVER, ipv6.then_some(1), Ipv6::Open);
        plan.host("stun", STUN[0], None, Ipv6::Absent);
        plan.nodes[1].1.ips.push(STUN[1]);
        plan.end("visitor", 1, 2, visitor);
        match owner {
            Some(owner) => plan.end("owner", 2, 2, owner),
            None => plan.end("owner", 1, 3, visitor),
        }
        plan.gateway("box-1", 1, 0, visitor, Ipv4Addr::new(198, 51, 100, 1));
        if let Some(owner) = owner {
            let number = plan.boxes.len();
            plan.gateway("box-2", 2, number, owner, Ipv4Addr::new(192, 0, 2, 1));
        }
        match plan.built(number) {
            Ok((hosts, world)) => Some(Self::joined(hosts, world)),
            Err(why) => {
                skipped(&format!("network namespaces ({why})"));
                None
            }
        }
    }

    fn joined(hosts: Vec<(Host, File)>, world: World) -> Self {
        let (hosts, devices): (Vec<_>, Vec<_>) = hosts.into_iter().unzip();
        let world = Arc::new(Mutex::new(world));
        let (stopped, stop) = std::io::pipe().unwrap();
        let shared = world.clone();
        let thread = std::thread::Builder::new()
            .name("internet".to_owned())
            .spawn(move || carrier::run(&devices, &shared, &stopped))
            .unwrap();
        Self {
            server: hosts[0].clone(),
            visitor: hosts[VISITOR].clone(),
            owner: hosts[OWNER].clone(),
            stun: StunServer::start(&hosts[1], STUN),
            boxes: hosts[OWNER + 1..].to_vec(),
            world,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// The host of this end.
    #[must_use]
    pub fn host(&self, end: End) -> &Host {
        match end {
            End::Visitor => &self.visitor,
            End::Owner => &self.owner,
        }
    }

    /// The inside of its box, for services there; None: it has no box.
    #[must_use]
    pub fn gateway(&self, end: End) -> Option<&Host> {
        let number = self.world.lock().unwrap().number(end)?;
        self.boxes.get(number)
    }

    /// The address that the internet sees.
    #[must_use]
    pub fn outside(&self, end: End) -> Ipv4Addr {
        let world = self.world.lock().unwrap();
        match world.number(end) {
            Some(number) => world.boxes[number].outside,
            None => self.host(end).ip,
        }
    }

    /// From now on the internet is like this. LANs take no time.
    pub fn set_path(&self, path: Path) {
        self.world.lock().unwrap().path = path;
    }

    /// From now on the way is one of one direction only: nothing comes to the owner, or to frps, or all does again.
    pub fn set_deaf(&self, who: Option<Deaf>) {
        self.world.lock().unwrap().deaf = who.map(|who| match who {
            Deaf::Server => FRPS,
            Deaf::Owner => OWNER,
        });
    }

    /// Has the box of this end forget all, as one that starts again.
    pub fn forget(&self, end: End) {
        self.at_box(end, Table::forget);
    }

    /// Gives the box of this end another address outside. It forgets all.
    pub fn move_to(&self, end: End, outside: Ipv4Addr) {
        self.at_box(end, |table| {
            table.outside = outside;
            table.forget();
        });
    }

    /// Whether the box of this end lets UDP through.
    pub fn set_udp(&self, end: End, udp: bool) {
        self.at_box(end, |table| table.nat.udp = udp);
    }

    /// As a router that is asked for a port (UDP): what comes to `port` outside goes to `inside` from now on.
    /// False: it is taken.
    #[must_use]
    pub fn map_port(&self, end: End, port: u16, inside: SocketAddrV4) -> bool {
        self.mapper(end)
            .is_some_and(|mapper| mapper.map(port, inside))
    }

    /// The ports that routers were asked for at this end, and for whom.
    #[must_use]
    pub fn mapped_ports(&self, end: End) -> Vec<(u16, SocketAddrV4)> {
        self.mapper(end)
            .map(|mapper| mapper.mapped())
            .unwrap_or_default()
    }

    /// What a router's service needs to map ports; None: this end has no box.
    #[must_use]
    pub fn mapper(&self, end: End) -> Option<Mapper> {
        let number = self.world.lock().unwrap().number(end)?;
        let world = self.world.clone();
        Some(Mapper { world, number })
    }

    /// The bytes of IP that frps has been sent: what goes by a direct path is not among them.
    #[must_use]
    pub fn received_by_server(&self) -> u64 {
        self.world.lock().unwrap().received[0]
    }

    fn at_box(&self, end: End, change: impl FnOnce(&mut Table)) {
        let mut world = self.world.lock().unwrap();
        if let Some(number) = world.number(end) {
            change(&mut world.boxes[number]);
        }
    }
}

impl Drop for NatNetwork {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The table of ports that one box was asked for.
#[derive(Clone, Debug)]
pub struct Mapper {
    world: Arc<Mutex<World>>,
    number: usize,
}

impl Mapper {
    /// The address outside.
    #[must_use]
    pub fn outside(&self) -> Ipv4Addr {
        self.world.lock().unwrap().boxes[self.number].outside
    }

    /// What comes to `port` by UDP goes to `inside` from now on; false: it is taken.
    #[must_use]
    pub fn map(&self, port: u16, inside: SocketAddrV4) -> bool {
        self.world.lock().unwrap().boxes[self.number].ask(UDP, port, inside)
    }

    /// No longer; false: it was not so.
    pub fn withdraw(&self, port: u16) -> bool {
        self.world.lock().unwrap().boxes[self.number].withdraw(UDP, port)
    }

    /// What is mapped now.
    #[must_use]
    pub fn mapped(&self) -> Vec<(u16, SocketAddrV4)> {
        self.world.lock().unwrap().boxes[self.number].asked()
    }
}

impl World {
    fn number(&self, end: End) -> Option<usize> {
        match end {
            End::Visitor => self.nodes[VISITOR].behind,
            End::Owner => self.nodes[OWNER].behind,
        }
    }
}

/// What is to be built.
#[derive(Default)]
struct Plan {
    nodes: Vec<(&'static str, Node, Option<Ipv4Addr>)>,
    boxes: Vec<Table>,
}

impl Plan {
    fn host(&mut self, name: &'static str, ip: Ipv4Addr, ipv6: Option<u16>, firewall: Ipv6) {
        let node = Node {
            ips: vec![ip],
            behind: None,
            is_gateway: false,
            ipv6: ipv6.map(|net| Ipv6Addr::new(0x2001, 0xdb8, net, 0, 0, 0, 0, 2)),
            firewall,
        };
        self.nodes.push((name, node, None));
    }

    /// A host in LAN number `lan`, or on the internet, if it has no NAT.
    fn end(&mut self, name: &'static str, lan: u8, number: u8, nat: Nat) {
        let net = 0x100 + u16::from(lan) * 0x10 + u16::from(number);
        let ipv6 = (nat.ipv6 != Ipv6::Absent).then_some(net);
        if nat.kind == NatKind::Open {
            let net = if lan == 1 {
                [198, 51, 100]
            } else {
                [192, 0, 2]
            };
            let ip = Ipv4Addr::new(net[0], net[1], net[2], number);
            return self.host(name, ip, ipv6, nat.ipv6);
        }
        let lan_ip = |last| Ipv4Addr::new(192, 168, lan, last);
        // Boxes are numbered in the order of the ends that have one.
        let first = self.nodes.get(VISITOR);
        let before = first.is_some_and(|(_, node, _)| node.behind.is_some());
        self.host(name, lan_ip(number), ipv6, nat.ipv6);
        let (_, node, gateway) = self.nodes.last_mut().unwrap();
        node.behind = Some(usize::from(lan == 2 && before));
        *gateway = Some(lan_ip(1));
    }

    /// The box of LAN number `lan`, unless there is none.
    fn gateway(&mut self, name: &'static str, lan: u8, number: usize, nat: Nat, outside: Ipv4Addr) {
        if nat.kind == NatKind::Open {
            return;
        }
        let ip = Ipv4Addr::new(192, 168, lan, 1);
        self.host(name, ip, None, Ipv6::Absent);
        let (_, node, _) = self.nodes.last_mut().unwrap();
        node.behind = Some(number);
        node.is_gateway = true;
        self.boxes.push(Table::new(nat, outside));
    }

    fn built(self, number: u32) -> Result<(Vec<(Host, File)>, World), String> {
        let hosts = self.nodes.iter().map(|(name, node, gateway)| {
            let place = Place {
                ip: node.ips[0],
                second: node.ips.get(1).copied(),
                gateway: *gateway,
                ipv6: node.ipv6,
            };
            Host::new(number, name, &place)
        });
        let hosts = hosts.collect::<Result<Vec<_>, _>>()?;
        let received = vec![0; hosts.len()];
        let world = World {
            nodes: self.nodes.into_iter().map(|(_, node, _)| node).collect(),
            boxes: self.boxes,
            path: Path::default(),
            deaf: None,
            hops: HOPS,
            received,
            spoken: HashSet::new(),
        };
        Ok((hosts, world))
    }
}
