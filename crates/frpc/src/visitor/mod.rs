//! Visitors: the way to proxies that have no port, through the server, for local users
//! (frp `client/visitor`).

mod stcp;
mod sudp;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use frp_config::{VisitorConfig, VisitorKind};
use frp_log::{Log, contract, info, warn};
use frp_net::go_text::go_text;
use frp_net::layers::{Carried, LayerOptions, Side, wrap};
use frp_net::limits::{CONTROL_WRITE, VISITOR_ANSWER};
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
use crate::connect::{ConnectError, Connector};
use crate::service::{Service, Tasks};

/// A visitor that could not start is tried again after this time (frp
/// `client/visitor/visitor_manager.go`).
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// The visitors of a session. They listen while it lasts.
#[derive(Debug)]
pub(crate) struct Visitors {
    /// What listens. Users are served by tasks of the service, which may outlive the session.
    listeners: TaskTracker,
    stop: CancellationToken,
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
    log: Log,
}

/// The way to the server, for all visitors of a session.
#[derive(Debug)]
struct Server {
    connector: Arc<Connector>,
    run_id: String,
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
    /// Starts every visitor of the configuration, whether its proxy exists or not.
    pub(crate) fn start(
        service: &Service,
        connector: Arc<Connector>,
        run_id: String,
        log: &Log,
    ) -> Self {
        let visitors = Self {
            listeners: TaskTracker::new(),
            stop: service.tasks().stop.child_token(),
        };
        let cfg = service.cfg();
        let server = Arc::new(Server {
            connector,
            run_id,
            protocol: cfg.transport.wire_protocol,
            udp_packet_size: cfg.udp_packet_size,
            tasks: service.tasks().clone(),
            stop: visitors.stop.clone(),
        });
        let mut failed: Vec<Arc<Visitor>> = cfg
            .visitors
            .iter()
            .map(|visitor| Arc::new(Visitor::new(visitor, &cfg.user, &server, log)))
            .collect();
        failed.retain(|visitor| !starts(visitor, &visitors.listeners));
        if !cfg.visitors.is_empty() {
            let names: Vec<&str> = cfg.visitors.iter().map(|v| v.name.as_str()).collect();
            info!(log, "visitor added: [{}]", names.join(" "));
        }
        if !failed.is_empty() {
            let trying = keep_trying(failed, visitors.listeners.clone(), visitors.stop.clone());
            visitors.listeners.spawn(trying);
        }
        visitors
    }

    /// Stops listening; the addresses are free when this returns.
    pub(crate) async fn close(self) {
        self.stop.cancel();
        self.listeners.close();
        self.listeners.wait().await;
    }
}

fn starts(visitor: &Arc<Visitor>, listeners: &TaskTracker) -> bool {
    let started = visitor.start(listeners);
    match &started {
        Ok(()) => info!(visitor.log, "{}", contract::start_visitor_success()),
        Err(e) => {
            let again = RETRY_AFTER.as_secs();
            warn!(visitor.log, "start error: {e}; trying again in {again} s");
        }
    }
    started.is_ok()
}

async fn keep_trying(
    mut failed: Vec<Arc<Visitor>>,
    listeners: TaskTracker,
    stop: CancellationToken,
) {
    while !failed.is_empty() {
        tokio::select! {
            () = tokio::time::sleep(RETRY_AFTER) => {}
            () = stop.cancelled() => return,
        }
        failed.retain(|visitor| {
            info!(visitor.log, "try to start visitor [{}]", visitor.cfg.name);
            !starts(visitor, &listeners)
        });
    }
}

impl Drop for Visitors {
    fn drop(&mut self) {
        self.stop.cancel();
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
            log: log.with(&cfg.name),
            cfg: cfg.clone(),
        }
    }

    /// Listens, in a task of `listeners` that ends with the session.
    fn start(self: &Arc<Self>, listeners: &TaskTracker) -> Result<(), StartError> {
        match &self.cfg.kind {
            VisitorKind::Stcp => stcp::start(self, listeners),
            VisitorKind::Sudp => sudp::start(self, listeners),
            _ => Err(StartError::Kind("xtcp")),
        }
    }

    /// A connection to the proxy, behind the layers of the visitor's leg; not after the session's
    /// end.
    async fn open(&self) -> Result<Carried, VisitError> {
        let stream = self.server.connector.stream().await?;
        let protocol = self.server.protocol;
        let mut stream = MsgStream::new(stream, protocol, BytesMut::new());
        if protocol == WireProtocol::V2 {
            stream.queue_raw(&MAGIC_V2);
        }
        let (timestamp, sign_key) = auth::signature(&self.cfg.secret_key);
        let hello = NewVisitorConn {
            run_id: self.server.run_id.clone(),
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
                Ok(wrap(stream, rest, &self.layers, Side::Client))
            }
            Message::NewVisitorConnResp(answer) => Err(VisitError::Refused {
                error: answer.error,
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
