//! Visitors: the way to proxies that have no port, through the server, for local users
//! (frp `client/visitor`).

mod stcp;
mod sudp;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use frp_config::{VisitorConfig, VisitorKind};
use frp_log::{Log, contract, info, shown_error, warn};
use frp_net::go_text::go_text;
use frp_net::layers::{Carried, LayerOptions, Side, wrap};
use frp_net::limits::{CONTROL_WRITE, VISITOR_ANSWER};
use frp_net::listen::Host;
use frp_net::msg_stream::{MsgStream, RecvError, SendError};
use frp_net::relay::Traffic;
use frp_proto::crypto::cfb;
use frp_proto::msg::{Message, NewVisitorConn};
use frp_proto::naming::target_wire_name;
use frp_proto::wire::{MAGIC_V2, WireProtocol};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth;
use crate::connect::{ConnectError, ServerLink};
use crate::service::{Service, Tasks};

/// A visitor that could not start is tried again after this time (frp
/// `client/visitor/visitor_manager.go`).
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// The visitors of a session. They listen while it lasts.
#[derive(Debug)]
pub(crate) struct Visitors {
    user: String,
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

/// What every connection of a visitor needs.
#[derive(Debug)]
pub(crate) struct Visitor {
    cfg: VisitorConfig,
    /// Wire name of the proxy.
    target: String,
    layers: LayerOptions,
    traffic: Traffic,
    server: Arc<Server>,
    /// The end of listening.
    stop: CancellationToken,
    log: Log,
}

/// The way to the server, for all visitors of a session.
#[derive(Debug)]
struct Server {
    link: ServerLink,
    protocol: WireProtocol,
    udp_packet_size: i64,
    tasks: Tasks,
    /// The session's end.
    stop: CancellationToken,
}

/// Why a visitor does not listen.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("listen tcp {addr}: bind: {}", go_text(source))]
    Listen { addr: String, source: io::Error },
    #[error("listen udp port {addr} error: {}", go_text(source))]
    ListenUdp { addr: String, source: io::Error },
    #[error("visitors of type {0} are not supported yet")]
    Kind(&'static str),
}

/// Why a user does not get through. The first half of each text is frp's.
#[derive(Debug, thiserror::Error)]
enum VisitError {
    #[error("connect to server error: {0}")]
    Connect(#[from] ConnectError),
    #[error("send newVisitorConnMsg to server error: {0}")]
    Send(#[from] SendError),
    #[error("read newVisitorConnRespMsg error: {0}")]
    Recv(#[from] RecvError),
    #[error("read newVisitorConnRespMsg error: {0} came instead")]
    Unexpected(&'static str),
    #[error("start new visitor connection error: {error}: {}", advice(.error))]
    Refused { error: String },
}

impl Visitors {
    /// None yet; [`update`](Self::update) starts them.
    pub(crate) fn new(service: &Service, link: ServerLink, log: &Log) -> Self {
        let cfg = service.cfg();
        let server = Server {
            link,
            protocol: cfg.transport.wire_protocol,
            udp_packet_size: cfg.udp_packet_size,
            tasks: service.tasks().clone(),
            stop: service.tasks().stop.child_token(),
        };
        Self {
            user: cfg.user.clone(),
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
                let visitor = Visitor::new(cfg, &self.user, &self.server, &self.log);
                let started = Started::start(Arc::new(visitor));
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
            Some(host) if visitor.starts(Ok(host), &listeners) => None,
            Some(_) => Some(RETRY_AFTER),
            None => Some(Duration::ZERO),
        };
        if let Some(pause) = pause {
            listeners.spawn(keep_trying(visitor.clone(), listeners.clone(), pause));
        }
        Self { visitor, listeners }
    }

    async fn close(self) {
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
            if visitor.starts(host, &listeners) {
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

impl Visitor {
    fn new(cfg: &VisitorConfig, user: &str, server: &Arc<Server>, log: &Log) -> Self {
        let secret = cfg.secret_key.expose().as_bytes();
        Self {
            target: target_wire_name(user, &cfg.server_user, &cfg.server_name),
            layers: LayerOptions {
                cipher: cfg.use_encryption.then(|| cfb::Key::derive(secret)),
                compress: cfg.use_compression,
                limit: None,
            },
            traffic: Traffic::default(),
            server: server.clone(),
            stop: server.stop.child_token(),
            log: log.with(&cfg.name),
            cfg: cfg.clone(),
        }
    }

    /// Whether it listens now, on `host`; the log says why not.
    fn starts(self: &Arc<Self>, host: io::Result<Host>, listeners: &TaskTracker) -> bool {
        let started = self.start(host, listeners);
        match &started {
            Ok(()) => info!(self.log, "{}", contract::start_visitor_success()),
            Err(e) => {
                let again = RETRY_AFTER.as_secs();
                warn!(self.log, "start error: {e}; trying again in {again} s");
            }
        }
        started.is_ok()
    }

    /// Listens, in a task of `listeners` that ends with the session.
    fn start(
        self: &Arc<Self>,
        host: io::Result<Host>,
        listeners: &TaskTracker,
    ) -> Result<(), StartError> {
        match &self.cfg.kind {
            VisitorKind::Stcp => stcp::start(self, host, listeners),
            VisitorKind::Sudp => sudp::start(self, host, listeners),
            kind @ VisitorKind::Xtcp(_) => Err(StartError::Kind(kind.as_str())),
        }
    }

    /// A connection to the proxy, behind the layers of the visitor's leg; not after the session's
    /// end.
    async fn open(&self) -> Result<Carried, VisitError> {
        let stream = self.server.link.connector.stream().await?;
        let protocol = self.server.protocol;
        let mut stream = MsgStream::new(stream, protocol, BytesMut::new());
        if protocol == WireProtocol::V2 {
            stream.queue_raw(&MAGIC_V2);
        }
        let (timestamp, sign_key) = auth::signature(&self.cfg.secret_key);
        let hello = NewVisitorConn {
            run_id: self.server.link.run_id.clone(),
            proxy_name: self.target.clone(),
            sign_key,
            timestamp,
            use_encryption: self.cfg.use_encryption,
            use_compression: self.cfg.use_compression,
        };
        stream.queue(&hello.into()).map_err(SendError::from)?;
        stream.flush_within(CONTROL_WRITE).await?;
        let answer = timeout(VISITOR_ANSWER, stream.recv()).await;
        match answer.unwrap_or(Err(RecvError::TimedOut))? {
            Message::NewVisitorConnResp(answer) if answer.error.is_empty() => {
                let (stream, rest) = stream.into_parts();
                let carried = wrap(stream, rest, &self.layers, Side::Client);
                Ok(carried.of_peer(self.server.link.half_closes))
            }
            Message::NewVisitorConnResp(answer) => Err(VisitError::Refused {
                error: shown_error(&answer.error).into_owned(),
            }),
            other => Err(VisitError::Unexpected(other.name())),
        }
    }
}

/// What to do about a server's refusal.
fn advice(error: &str) -> &'static str {
    const KNOWN: [(&str, &str); 5] = [
        (
            "doesn't exist",
            "no such proxy runs on the server now; check serverName and serverUser, and that the \
             frpc of the proxy is connected",
        ),
        (
            "auth failed",
            "secretKey is not that of the proxy; give both the same",
        ),
        (
            "not allowed",
            "add this user to allowUsers of the proxy, or \"*\" for everybody",
        ),
        (
            "no client control found",
            "the server has ended our session; this passes with the next login",
        ),
        (
            "register visitor conn error",
            "the server keeps the reason to itself (detailedErrorsToClient = false), its log has it",
        ),
    ];
    let known = KNOWN.iter().find(|(text, _)| error.contains(text));
    known.map_or("the server's log may say more", |(_, advice)| advice)
}
