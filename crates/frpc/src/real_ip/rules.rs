//! What has the system bring back what a local service sends to a user: policy routing, as
//! `ip rule add from 127.0.0.0/8 iif lo lookup TABLE` and `ip route add local 0.0.0.0/0 dev lo table TABLE`, and the
//! same for IPv6. Nothing but an answer of such a service is from 127.0.0.0/8 or ::1 to elsewhere.
//!
//! They are made once for all clients of the process, and end with the last. Each process has rules and a table of
//! its own, which its number follows from; a number is held by a socket, in this network namespace as the rules are,
//! that the system closes with the process, however it ends. What carries our mark and a number that nobody holds was
//! left by a process that has died, and is removed by the next.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::route::{RouteMessage, RouteProtocol, RouteScope, RouteType};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::{Error, Handle, IpVersion, RouteMessageBuilder, new_connection};
use tokio::sync::Mutex;

/// Our mark: the protocol of rules and routes (rtnetlink(7)), of which the numbers of others that are known end at 192.
const PROTOCOL: u8 = 0xf7;

/// Processes that may have rules at a time.
const NUMBERS: u32 = 32;

/// Table and priority of number 0: "frp", and before the tables of the system.
const FIRST_TABLE: u32 = 0x6672_7000;
const FIRST_PRIORITY: u32 = 28_000;

/// The device `lo` has this index in every network namespace.
const LO: u32 = 1;

/// Why there are no rules.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RulesError {
    #[error("transport.realIP: rtnetlink: {0}")]
    Netlink(io::Error),
    #[error(
        "transport.realIP: {what}: {error}. It takes the capability CAP_NET_ADMIN (`setcap cap_net_admin+ep` on the \
         file of frpc, or AmbientCapabilities=CAP_NET_ADMIN in its systemd unit); transport.realIP = \"loopback\" \
         takes none"
    )]
    Refused { what: &'static str, error: String },
    #[error("transport.realIP: {NUMBERS} processes have rules on this machine already")]
    Crowded,
}

/// Of this process.
static HELD: Mutex<Held> = Mutex::const_new(Held {
    clients: 0,
    number: None,
});

struct Held {
    clients: usize,
    number: Option<Number>,
}

/// A number, until dropped.
struct Number {
    n: u32,
    _socket: UnixListener,
}

/// Has the rules be there for one more client.
pub(super) async fn hold() -> Result<(), RulesError> {
    let mut held = HELD.lock().await;
    if held.number.is_none() {
        let number = (0..NUMBERS).find_map(Number::take);
        let number = number.ok_or(RulesError::Crowded)?;
        let netlink = Netlink::open()?;
        netlink.clean(number.n).await;
        if let Err(e) = netlink.make(number.n).await {
            netlink.clean(number.n).await;
            return Err(e);
        }
        held.number = Some(number);
    }
    held.clients += 1;
    Ok(())
}

/// One client needs them no more.
pub(super) async fn release() {
    let mut held = HELD.lock().await;
    held.clients = held.clients.saturating_sub(1);
    if held.clients > 0 {
        return;
    }
    if let Some(number) = held.number.take()
        && let Ok(netlink) = Netlink::open()
    {
        netlink.clean(number.n).await;
    }
}

impl Number {
    /// `None` where a process has it.
    fn take(n: u32) -> Option<Self> {
        let name = format!("frp-rs realIP {n}");
        let address = SocketAddr::from_abstract_name(name).ok()?;
        let socket = UnixListener::bind_addr(&address).ok()?;
        Some(Self { n, _socket: socket })
    }
}

struct Netlink {
    handle: Handle,
    driver: tokio::task::JoinHandle<()>,
}

impl Netlink {
    fn open() -> Result<Self, RulesError> {
        let (driver, handle, _) = new_connection().map_err(RulesError::Netlink)?;
        Ok(Self {
            handle,
            driver: tokio::spawn(driver),
        })
    }

    async fn make(&self, n: u32) -> Result<(), RulesError> {
        let refused = |what| {
            move |error: Error| RulesError::Refused {
                what,
                error: text(&error),
            }
        };
        let route = self.handle.route();
        let added = route.add(route_v4(n)).execute().await;
        added.map_err(refused("ip route add local 0.0.0.0/0 dev lo"))?;
        let rule = self.handle.rule().add().v4();
        let mut rule = rule.source_prefix(Ipv4Addr::new(127, 0, 0, 0), 8);
        mark(rule.message_mut(), n);
        let added = rule.execute().await;
        added.map_err(refused("ip rule add from 127.0.0.0/8 iif lo"))?;
        // A system without IPv6 has no users of it.
        let route = self.handle.route();
        if route.add(route_v6(n)).execute().await.is_err() {
            return Ok(());
        }
        let rule = self.handle.rule().add().v6();
        let mut rule = rule.source_prefix(Ipv6Addr::LOCALHOST, 128);
        mark(rule.message_mut(), n);
        let added = rule.execute().await;
        added.map_err(refused("ip -6 rule add from ::1 iif lo"))
    }

    /// Removes what is ours of number `own` and of those that nobody holds.
    async fn clean(&self, own: u32) {
        // Those that nobody holds are held until all of theirs is gone, so that nobody takes them meanwhile.
        let mut left = vec![(own, None)];
        for version in [IpVersion::V4, IpVersion::V6] {
            let mut rules = self.handle.rule().get(version).execute();
            let mut ours = Vec::new();
            while let Ok(Some(rule)) = rules.try_next().await {
                ours.extend(number(&rule).map(|n| (n, rule)));
            }
            for (n, rule) in ours {
                if !left.iter().any(|(it, _)| *it == n) {
                    let Some(dead) = Number::take(n) else {
                        continue;
                    };
                    left.push((n, Some(dead)));
                }
                let _ = self.handle.rule().del(rule).execute().await;
            }
        }
        for (n, _) in &left {
            for route in [route_v4(*n), route_v6(*n)] {
                let _ = self.handle.route().del(route).execute().await;
            }
        }
    }
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn route_v4(n: u32) -> RouteMessage {
    RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(Ipv4Addr::UNSPECIFIED, 0)
        .output_interface(LO)
        .table_id(FIRST_TABLE + n)
        .kind(RouteType::Local)
        .scope(RouteScope::Host)
        .protocol(RouteProtocol::Other(PROTOCOL))
        .build()
}

fn route_v6(n: u32) -> RouteMessage {
    RouteMessageBuilder::<Ipv6Addr>::new()
        .destination_prefix(Ipv6Addr::UNSPECIFIED, 0)
        .output_interface(LO)
        .table_id(FIRST_TABLE + n)
        .kind(RouteType::Local)
        .protocol(RouteProtocol::Other(PROTOCOL))
        .build()
}

/// What the rules of a number have in common.
fn mark(rule: &mut RuleMessage, n: u32) {
    rule.header.action = RuleAction::ToTable;
    rule.header.table = 0;
    rule.attributes.extend([
        RuleAttribute::Iifname("lo".to_owned()),
        RuleAttribute::Table(FIRST_TABLE + n),
        RuleAttribute::Priority(FIRST_PRIORITY + n),
        RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL)),
    ]);
}

/// The number of a rule that carries our mark.
fn number(rule: &RuleMessage) -> Option<u32> {
    let (mut table, mut priority, mut is_ours) = (None, None, false);
    for attribute in &rule.attributes {
        match attribute {
            RuleAttribute::Table(it) => table = Some(*it),
            RuleAttribute::Priority(it) => priority = Some(*it),
            RuleAttribute::Protocol(it) => is_ours = u8::from(*it) == PROTOCOL,
            _ => {}
        }
    }
    let n = table?.checked_sub(FIRST_TABLE).filter(|n| *n < NUMBERS)?;
    (is_ours && priority == Some(FIRST_PRIORITY + n)).then_some(n)
}

fn text(error: &Error) -> String {
    match error {
        Error::NetlinkError(answer) => answer.to_io().to_string(),
        other => other.to_string(),
    }
}
