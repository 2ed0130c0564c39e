//! One visitor: what its connections need, and how each gets to the proxy.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::limits::VISITOR_ANSWER;
use frp_config::{VisitorConfig, VisitorKind};
use frp_log::{Log, shown_error};
use frp_net::go_text::go_text;
use frp_proto::crypto::cfb;
use frp_proto::msg::{Message, NewVisitorConn};
use frp_proto::naming::target_wire_name;
use frp_relay::layers::{Carried, LayerOptions, Side, wrap};
use frp_relay::limits::MESSAGE_WRITE;
use frp_relay::msg_stream::{RecvError, SendError};
use frp_relay::relay::Traffic;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::xtcp::{Direct, NoPath};
use crate::auth;
use crate::client::Client;
use crate::connect::{ConnectError, ServerLink};

/// What every connection of a visitor needs.
#[derive(Debug)]
pub(super) struct Visitor {
    pub(super) cfg: VisitorConfig,
    /// Wire name of the proxy.
    pub(super) target: String,
    pub(super) layers: LayerOptions,
    /// Of a xtcp visitor.
    pub(super) direct: Option<Direct>,
    pub(super) traffic: Arc<Traffic>,
    pub(super) server: Arc<Server>,
    /// The end of listening.
    pub(super) stop: CancellationToken,
    pub(super) log: Log,
}

/// The way to the server, for all visitors of a session.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) link: ServerLink,
    pub(super) client: Arc<Client>,
    /// The session's end.
    pub(super) stop: CancellationToken,
    /// By name, those that there are and were.
    pub(super) visitors: Mutex<BTreeMap<String, Weak<Visitor>>>,
}

/// Why a visitor does not listen.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error("listen tcp {addr}: bind: {}", go_text(source))]
    Listen { addr: String, source: io::Error },
    #[error("listen udp port {addr} error: {}", go_text(source))]
    ListenUdp { addr: String, source: io::Error },
    #[error(
        "plugin virtual_net: this frpc has no virtual network; set virtualNet.address, the address of this \
         machine in it, and featureGates.VirtualNet = true"
    )]
    NoVirtualNet,
    #[error("destinationIP is required")]
    NoDestination,
    #[error("{0}")]
    VirtualNet(String),
    #[error("visitors of type sudp have no plugins; make proxy and visitor of type stcp")]
    NoPlugins,
}

/// Why a user does not get through. The first half of each text is frp's.
#[derive(Debug, thiserror::Error)]
pub(super) enum VisitError {
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
    #[error("{0}")]
    NoPath(#[from] NoPath),
}

impl Server {
    /// From here on others may hand users over to it.
    pub(super) fn add(&self, visitor: &Arc<Visitor>) {
        let mut all = self.visitors.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, visitor| visitor.strong_count() > 0);
        all.insert(visitor.cfg.name.clone(), Arc::downgrade(visitor));
    }

    /// The visitor of this name, where it has not stopped.
    pub(super) fn visitor(&self, name: &str) -> Option<Arc<Visitor>> {
        let all = self.visitors.lock().unwrap_or_else(PoisonError::into_inner);
        let visitor = all.get(name)?.upgrade()?;
        (!visitor.stop.is_cancelled()).then_some(visitor)
    }
}

impl Visitor {
    pub(super) fn new(cfg: &VisitorConfig, server: &Arc<Server>, log: &Log) -> Self {
        let secret = cfg.secret_key.expose().as_bytes();
        Self {
            target: target_wire_name(&server.client.cfg.user, &cfg.server_user, &cfg.server_name),
            layers: LayerOptions {
                cipher: cfg.use_encryption.then(|| cfb::Key::derive(secret)),
                compress: cfg.use_compression,
                limit: None,
            },
            traffic: Arc::default(),
            direct: matches!(cfg.kind, VisitorKind::Xtcp(_)).then(Direct::default),
            server: server.clone(),
            stop: server.stop.child_token(),
            log: log.with(&cfg.name),
            cfg: cfg.clone(),
        }
    }

    /// A connection to the proxy, behind the layers of the visitor's leg; not after the session's
    /// end.
    pub(super) async fn open(&self) -> Result<Carried, VisitError> {
        self.open_for(0).await
    }

    /// The same, for whom so many visitors have fallen back.
    pub(super) fn open_for(
        &self,
        fell_back: usize,
    ) -> Pin<Box<dyn Future<Output = Result<Carried, VisitError>> + Send + '_>> {
        Box::pin(async move {
            let (opened, path) = match (&self.cfg.kind, &self.direct) {
                (VisitorKind::Xtcp(cfg), Some(direct)) => {
                    let opened = direct.open(self, cfg, fell_back).await;
                    (opened, direct.why())
                }
                _ => (self.try_to_open().await, None),
            };
            let error = opened.as_ref().err().map(VisitError::to_string);
            let live = &self.server.client.live;
            live.visited(&self.cfg.name, error.or(path));
            opened
        })
    }

    async fn try_to_open(&self) -> Result<Carried, VisitError> {
        let mut stream = self.server.link.stream().await?;
        let (timestamp, sign_key) = auth::signature(&self.cfg.secret_key);
        let hello = NewVisitorConn {
            run_id: self.server.link.run_id.clone(),
            proxy_name: self.target.clone(),
            sign_key,
            timestamp,
            use_encryption: self.cfg.use_encryption,
            use_compression: self.cfg.use_compression,
            ..NewVisitorConn::default()
        };
        let hello = match &self.server.link.streams {
            Some(streams) => streams.visit(hello),
            None => hello,
        };
        stream.queue(&hello.into()).map_err(SendError::from)?;
        stream.flush_within(MESSAGE_WRITE).await?;
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
