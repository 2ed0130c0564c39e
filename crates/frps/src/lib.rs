//! frps: listens for users and carries them to the clients that serve them.
//!
//! The files are the stages of a connection, in this order:
//!
//! 1. [`accept`]: a TCP connection arrives; a task of its own takes it from there.
//! 2. [`door`]: its first bytes → TLS or not → mux streams or one stream.
//! 3. [`greet`]: a stream's wire protocol and its first message.
//! 4. [`login`]: a `Login` becomes a session.
//! 5. [`session`]: the task that owns a client's control connection and proxies; beside it the
//!    pool of work connections.
//! 6. [`proxy`]: what a client has us listen for; the way of a user's connection ends in
//!    `frp_net::relay`.
//!
//! Beside the way: [`policy`] (what all of them go by), [`ports`] (who has which port), [`group`] (who shares one), [`visitors`] (which
//! names visitors may ask for), `frp_net::before_login` (how many strangers wait), [`web`] (the
//! HTTP API, and what it tells of), [`ended`] (what is remembered of what has ended).

mod accept;
mod auth;
pub mod cli;
mod door;
mod ended;
mod greet;
mod group;
mod holder;
mod login;
mod policy;
mod ports;
mod proxy;
mod session;
mod vhost;
mod visitors;
mod web;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use frp_config::ServerConfig;
use frp_log::{Log, contract, info};
use frp_net::go_text::{go_text, join_host_port};
use frp_net::kcp::KcpListener;
use frp_net::listen::{Host, listen};
use frp_net::quic;
use frp_net::threads::Threads;
use frp_net::udp;
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::group::Groups;
use crate::policy::{Bound, InForce, Policy};
pub use crate::policy::{PolicyError, PolicyWriter};
use crate::ports::Ports;
use crate::proxy::Names;
use crate::session::registry::Registry;
use crate::vhost::{Listeners, Vhosts};
use crate::visitors::Visitors;
use crate::web::Stats;
pub use frp_http::web::WebError;
use frp_net::before_login::BeforeLogin;

/// A server whose sockets are open and that nobody serves yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    quic: Option<quic::Listener>,
    kcp: Option<KcpListener>,
    vhosts: Listeners,
    web: Option<frp_http::web::Web>,
    shared: Arc<Shared>,
}

/// What every connection of the server may need.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) bound: Bound,
    in_force: InForce,
    pub(crate) registry: Registry,
    pub(crate) names: Arc<Names>,
    pub(crate) groups: Arc<Groups>,
    pub(crate) ports: Arc<Ports>,
    pub(crate) udp_ports: Arc<Ports<UdpSocket>>,
    pub(crate) visitors: Arc<Visitors>,
    pub(crate) vhosts: Vhosts,
    pub(crate) before_login: BeforeLogin,
    /// Where there is a web server to tell it.
    pub(crate) stats: Option<Arc<Stats>>,
    pub(crate) threads: Threads,
    /// Every task of the server; `stop` ends them all.
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
}

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The settings cannot be gone by.
    #[error("{0}")]
    Policy(#[from] PolicyError),
    /// A port is taken, or not ours to open.
    #[error(
        "create server listener error, listen tcp {addr}: bind: {}",
        go_text(source)
    )]
    Listen {
        /// Of `bindPort`, `vhostHTTPSPort` or `tcpmuxHTTPConnectPort`.
        addr: String,
        /// The system's error.
        source: io::Error,
    },
    /// The same for `quicBindPort`.
    #[error("listen on quic udp address {addr} error: {}", go_text(source))]
    Quic {
        /// `bindAddr:quicBindPort`.
        addr: String,
        /// The system's error.
        source: io::Error,
    },
    /// The same for `kcpBindPort`.
    #[error("listen on kcp udp address {addr} error: {}", go_text(source))]
    Kcp {
        /// `bindAddr:kcpBindPort`.
        addr: String,
        /// The system's error.
        source: io::Error,
    },
    /// The same for `vhostHTTPPort`.
    #[error(
        "create vhost http listener error, listen tcp {addr}: bind: {}",
        go_text(source)
    )]
    VhostHttp {
        /// `proxyBindAddr:vhostHTTPPort`.
        addr: String,
        /// The system's error.
        source: io::Error,
    },
    /// The host name of `proxyBindAddr` has no address.
    #[error("proxyBindAddr: lookup {host}: {}", go_text(source))]
    ProxyBindAddr {
        /// As configured.
        host: String,
        /// The resolver's error.
        source: io::Error,
    },
    /// The web server cannot run.
    #[error("{0}")]
    Web(#[from] WebError),
}

impl Server {
    /// Opens every socket that `cfg` asks for. Needs a tokio runtime.
    pub fn bind(cfg: ServerConfig) -> Result<Self, BindError> {
        let (bound, policy, keeper) = policy::divide(cfg, None)?;
        let at = |port| join_host_port(&bound.bind_addr, port);
        let listener =
            listen(&bound.bind_addr, bound.bind_port).map_err(|source| BindError::Listen {
                addr: at(bound.bind_port),
                source,
            })?;
        let tasks = TaskTracker::new();
        let before_login = BeforeLogin::default();
        let quic = bound.quic_port.map(|port| {
            let opened = quic::Listener::bind(&bound.bind_addr, port, &policy.quic, &tasks);
            opened.map_err(|source| BindError::Quic {
                addr: at(port),
                source,
            })
        });
        let kcp = bound.kcp_port.map(|port| {
            let opened = udp::bind(&bound.bind_addr, port)
                .and_then(|socket| KcpListener::new(socket, before_login.clone()));
            opened.map_err(|source| BindError::Kcp {
                addr: at(port),
                source,
            })
        });
        // Once and here: a resolver may be slow, and registrations must not wait for it.
        let proxy_host = Host::resolve(&bound.proxy_bind_addr).map_err(|source| {
            let host = bound.proxy_bind_addr.clone();
            BindError::ProxyBindAddr { host, source }
        })?;
        let vhosts = Vhosts::new(&bound);
        let listeners = Listeners::bind(&bound, &vhosts, proxy_host)?;
        let web = bound.web.as_ref().map(web::bind).transpose()?;
        let shared = Shared {
            bound,
            in_force: InForce::new(policy),
            registry: Registry::default(),
            names: Arc::default(),
            visitors: Arc::default(),
            groups: Arc::default(),
            ports: Arc::new(Ports::new(proxy_host)),
            vhosts,
            udp_ports: Arc::new(Ports::new(proxy_host)),
            before_login,
            stats: web.is_some().then(|| Arc::new(Stats::new())),
            threads: Threads::new(),
            tasks,
            stop: CancellationToken::new(),
        };
        if let Some(keeper) = keeper {
            shared.tasks.spawn(keeper.run(shared.stop.clone()));
        }
        Ok(Self {
            listener,
            quic: quic.transpose()?,
            kcp: kcp.transpose()?,
            vhosts: listeners,
            web,
            shared: Arc::new(shared),
        })
    }

    /// The address that clients connect to.
    pub fn addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What replaces the policy of the server, also while it runs.
    pub fn policy(&self) -> PolicyWriter {
        PolicyWriter::of(&self.shared)
    }

    /// Serves until `stop` is cancelled, then ends every session and waits for their tasks.
    pub async fn run(self, stop: CancellationToken) {
        let Self {
            listener,
            quic,
            kcp,
            vhosts,
            web,
            shared,
        } = self;
        let bound = &shared.bound;
        let at = |port| join_host_port(&bound.bind_addr, port);
        info!(Log::root(), "{}", contract::tcp_listen(at(bound.bind_port)));
        if let (Some(quic), Some(port)) = (quic, bound.quic_port) {
            info!(Log::root(), "{}", contract::quic_listen(at(port)));
            shared.tasks.spawn(accept::run_quic(quic, shared.clone()));
        }
        if let (Some(kcp), Some(port)) = (kcp, bound.kcp_port) {
            info!(Log::root(), "{}", contract::kcp_listen(at(port)));
            shared.tasks.spawn(accept::run_kcp(kcp, shared.clone()));
        }
        vhosts.run(&shared);
        if let (Some(web), Some(config), Some(stats)) =
            (web, bound.web.clone(), shared.stats.clone())
        {
            shared
                .tasks
                .spawn(web::run(web, config, shared.clone(), stats));
        }
        info!(Log::root(), "{}", contract::frps_started());
        shared.tasks.spawn(accept::run(listener, shared.clone()));
        stop.cancelled().await;
        shared.stop.cancel();
        shared.tasks.close();
        shared.tasks.wait().await;
    }
}

impl Shared {
    /// The policy in force, for one decision: whoever decides by parts takes it once.
    pub(crate) fn policy(&self) -> Arc<Policy> {
        self.in_force.snapshot()
    }
}
