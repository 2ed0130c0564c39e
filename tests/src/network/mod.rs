//! A network of a test's own: hosts that are network namespaces, and a path between them on which
//! a device judges every packet.
//!
//! Each host has one TUN device, which its default route leads to. A thread of the test takes the
//! packets there and carries them to the host that they are for: after a delay, unless they get
//! lost, and unless the [`Middlebox`] says otherwise. So the programs see a real network with all
//! that TCP and UDP make of it, and the kernel needs no netem.
//!
//! It takes root, as the automatic checks are. Elsewhere the tests say SKIPPED.

mod connect_proxy;
mod flow;
mod forwarder;
mod host;
pub mod middlebox;
mod nat;
pub mod offices;
mod packet;
mod path;
mod router;
mod stun;
mod tun;

use std::fs::File;
use std::io::PipeWriter;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

pub use connect_proxy::ConnectProxy;
pub use flow::Flow;
pub use host::Host;
pub use middlebox::{Middlebox, Verdict};
pub use nat::{Deaf, End, Ipv6, Mapper, Nat, NatKind, NatNetwork};
pub use packet::{Packet, TCP, UDP};
pub use path::{Path, Rate};
pub use router::{Manners, Router, Speaks};
pub use stun::{Filter, Mapping, Probe, StunServer, StunStyle, mapped};

use crate::program::skipped;
use forwarder::Conditions;
use host::Place;

/// The hosts and the path between them; all goes away with the value.
pub struct Network {
    /// Where frpc and its services are: 10.77.1.2.
    pub client: Host,
    /// Where frps and its users are: 10.77.2.2.
    pub server: Host,
    /// A host in between that both may reach: 10.77.3.2.
    pub proxy: Host,
    /// As many more as were asked for: 10.77.4.2, 10.77.5.2, ...
    pub more: Vec<Host>,
    conditions: Arc<Mutex<Conditions>>,
    // Dropped before the hosts: the thread ends.
    stop: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Network {
    /// A network with this path and device, or None after a line that says `SKIPPED`.
    #[must_use]
    pub fn new(path: Path, device: impl Middlebox + 'static) -> Option<Self> {
        Self::with_more(0, path, device)
    }

    /// The same with so many more hosts.
    #[must_use]
    pub fn with_more(more: u8, path: Path, device: impl Middlebox + 'static) -> Option<Self> {
        let number = next_number()?;
        let open = |name: &str, third: u8| -> Result<(Host, File), String> {
            let place = Place {
                ip: Ipv4Addr::new(10, 77, third, 2),
                second: None,
                gateway: None,
                ipv6: None,
            };
            Host::new(number, name, &place)
        };
        let names = ["client", "server", "proxy"].map(str::to_owned);
        let names = names
            .into_iter()
            .chain((0..more).map(|n| format!("more{n}")));
        let all = names.zip(1..).map(|(name, third)| open(&name, third));
        let all: Result<Vec<_>, String> = all.collect();
        match all {
            Ok(all) => Some(Self::joined(all, path, Box::new(device))),
            Err(why) => {
                skipped(&format!("network namespaces ({why})"));
                None
            }
        }
    }

    fn joined(all: Vec<(Host, File)>, path: Path, device: Box<dyn Middlebox>) -> Self {
        let mut names = all.iter().map(|(host, _)| host.clone());
        let mut next = || names.next().unwrap();
        let (client, server, proxy) = (next(), next(), next());
        let more = names.collect();
        let hosts: Vec<_> = all
            .into_iter()
            .map(|(host, file)| (host.ip, file))
            .collect();
        let conditions = Arc::new(Mutex::new(Conditions { path, device }));
        let (stopped, stop) = std::io::pipe().unwrap();
        let shared = conditions.clone();
        let thread = std::thread::Builder::new()
            .name("path".to_owned())
            .spawn(move || forwarder::run(&hosts, &shared, &stopped))
            .unwrap();
        Self {
            client,
            server,
            proxy,
            more,
            conditions,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Puts another device in the place of the one there is. Connections go on, and it sees all
    /// that they have said.
    pub fn set_middlebox(&self, device: impl Middlebox + 'static) {
        self.conditions.lock().unwrap().device = Box::new(device);
    }

    /// From now on the path is this one.
    pub fn set_path(&self, path: Path) {
        self.conditions.lock().unwrap().path = path;
    }
}

/// The number of another network; None, said by [`skipped`], without the right to make one.
fn next_number() -> Option<u32> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    if !rustix::process::geteuid().is_root() {
        skipped("network namespaces, as root");
        return None;
    }
    Some(NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
