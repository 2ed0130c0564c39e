//! Visitors: the way to proxies that have no port, through the server, for local users
//! (frp `client/visitor`).

mod sudp;
mod users;
mod virtual_net;
mod visitor;
#[cfg_attr(not(feature = "xtcp"), path = "../absent/xtcp_visitor.rs")]
mod xtcp;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use frp_config::{VisitorConfig, VisitorKind, VisitorPlugin};
use frp_log::{Log, info, warn};
use frp_net::listen::Host;
use frp_net::udp_socket::bind_at;
use tokio_util::task::TaskTracker;

use self::visitor::{Server, StartError, Visitor};
use crate::client::Client;
use crate::connect::ServerLink;

/// A visitor that could not start is tried again after this time (frp
/// `client/visitor/visitor_manager.go`).
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// The visitors of a session. They listen while it lasts.
#[derive(Debug)]
pub(crate) struct Visitors {
    server: Arc<Server>,
    started: BTreeMap<String, Started>,
    log: Log,
}

/// A visitor that listens, or tries to.
#[derive(Debug)]
struct Started {
    visitor: Arc<Visitor>,
    /// What listens. Users are served by tasks of the service, which may outlive the session.
    listeners: TaskTracker,
}

impl Visitors {
    /// None yet; [`update`](Self::update) starts them.
    pub(crate) fn new(client: &Arc<Client>, link: ServerLink, log: &Log) -> Self {
        let server = Server {
            link,
            stop: client.tasks.stop.child_token(),
            client: client.clone(),
            visitors: Mutex::default(),
        };
        Self {
            server: Arc::new(server),
            started: BTreeMap::new(),
            log: log.clone(),
        }
    }

    /// Makes the visitors those of `wanted`, whether their proxies exist or not. What is
    /// configured as before is left alone.
    pub(crate) async fn update(&mut self, wanted: &[VisitorConfig]) {
        let stays = |started: &Started| wanted.contains(&started.visitor.cfg);
        let gone: Vec<String> = self
            .started
            .iter()
            .filter(|(_, started)| !stays(started))
            .map(|(name, _)| name.clone())
            .collect();
        for name in &gone {
            if let Some(started) = self.started.remove(name) {
                started.close().await;
            }
        }
        if !gone.is_empty() {
            info!(self.log, "visitor removed: [{}]", gone.join(" "));
        }
        let mut added = Vec::new();
        for cfg in wanted {
            if !self.started.contains_key(&cfg.name) {
                let visitor = Arc::new(Visitor::new(cfg, &self.server, &self.log));
                self.server.add(&visitor);
                let started = Started::start(visitor);
                self.started.insert(cfg.name.clone(), started);
                added.push(cfg.name.as_str());
            }
        }
        if !added.is_empty() {
            info!(self.log, "visitor added: [{}]", added.join(" "));
        }
    }

    /// Stops listening; the addresses are free when this returns.
    pub(crate) async fn close(mut self) {
        self.server.stop.cancel();
        for (_, started) in std::mem::take(&mut self.started) {
            started.close().await;
        }
    }
}

impl Drop for Visitors {
    fn drop(&mut self) {
        self.server.stop.cancel();
    }
}

impl Started {
    /// A visitor with an address listens when this returns, if it can. A name is looked up in a
    /// task: a resolver that is down must not hold up the session.
    fn start(visitor: Arc<Visitor>) -> Self {
        let listeners = TaskTracker::new();
        let pause = match Host::literal(&visitor.cfg.bind_addr) {
            Some(host) if starts(&visitor, Ok(host), &listeners) => None,
            Some(_) => Some(RETRY_AFTER),
            None => Some(Duration::ZERO),
        };
        if let Some(pause) = pause {
            listeners.spawn(keep_trying(visitor.clone(), listeners.clone(), pause));
        }
        Self { visitor, listeners }
    }

    async fn close(self) {
        let live = &self.visitor.server.client.live;
        live.visitor_gone(&self.visitor.cfg.name);
        self.visitor.stop.cancel();
        self.listeners.close();
        self.listeners.wait().await;
    }
}

/// Tries to start a visitor until it listens, for the first time after `pause`.
async fn keep_trying(visitor: Arc<Visitor>, listeners: TaskTracker, mut pause: Duration) {
    let trying = async {
        loop {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
                info!(visitor.log, "try to start visitor [{}]", visitor.cfg.name);
            }
            let host = Host::lookup(&visitor.cfg.bind_addr).await;
            if starts(&visitor, host, &listeners) {
                return;
            }
            pause = RETRY_AFTER;
        }
    };
    tokio::select! {
        () = trying => {}
        () = visitor.stop.cancelled() => {}
    }
}

/// Whether it listens now, on `host`; the log says why not.
fn starts(visitor: &Arc<Visitor>, host: io::Result<Host>, listeners: &TaskTracker) -> bool {
    let started = start(visitor, host, listeners);
    let error = started.as_ref().err().map(StartError::to_string);
    let live = &visitor.server.client.live;
    live.visitor(&visitor.cfg.name, error);
    match &started {
        Ok(()) => info!(visitor.log, "start visitor success"),
        Err(e) => {
            let again = RETRY_AFTER.as_secs();
            warn!(visitor.log, "start error: {e}; trying again in {again} s");
        }
    }
    started.is_ok()
}

/// Listens, in a task of `listeners` that ends with the session.
fn start(
    visitor: &Arc<Visitor>,
    host: io::Result<Host>,
    listeners: &TaskTracker,
) -> Result<(), StartError> {
    let cfg = &visitor.cfg;
    let addr = |port| format!("{}:{port}", cfg.bind_addr);
    if cfg.plugin.is_some() && cfg.kind == VisitorKind::Sudp {
        return Err(StartError::NoPlugins);
    }
    match (&cfg.kind, cfg.bind_port) {
        // Without a port there is nothing to listen on.
        (_, None) => {}
        (VisitorKind::Stcp | VisitorKind::Xtcp(_), Some(port)) => {
            let listener = host.and_then(|host| host.listen(port));
            let addr = addr(port);
            let listener = listener.map_err(|source| StartError::Listen { addr, source })?;
            listeners.spawn(users::serve(visitor.clone(), listener));
        }
        (VisitorKind::Sudp, Some(port)) => {
            let socket = host.and_then(|host| bind_at(host, port));
            let addr = addr(port);
            let socket = match socket {
                Ok(socket) => socket,
                Err(source) => return Err(StartError::ListenUdp { addr, source }),
            };
            info!(visitor.log, "sudp start to work, listen on {addr}");
            listeners.spawn(sudp::serve(visitor.clone(), socket));
        }
    }
    if let Some(VisitorPlugin::VirtualNet(plugin)) = &cfg.plugin {
        virtual_net::start(visitor, plugin, listeners)?;
    }
    if visitor.direct.is_some() {
        listeners.spawn(xtcp::keep(visitor.clone()));
    }
    Ok(())
}
