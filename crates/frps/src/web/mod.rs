//! The HTTP API of frps (frp `server/api_router.go`, `pkg/util/http/server.go`): what is
//! connected, what runs, how much was carried. The dashboard's pages are not part of it yet.
//!
//! [`clients`] and [`metrics`] are what sessions and proxies report to; they exist only where
//! there is a web server. [`route`] finds out what a request is for, [`http`] checks the password
//! and answers, [`api`] and [`api_v2`] know the answers, [`prometheus`] has a format of its own.

mod api;
mod api_v2;
pub(crate) mod clients;
mod http;
pub(crate) mod metrics;
mod prometheus;
mod route;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use frp_config::WebServer;
use frp_log::{Log, contract, debug, info};
use frp_net::go_text::go_text;
use frp_net::limits::BEFORE_LOGIN;
use frp_net::listen::{accept_loop, listen, tune};
use frp_net::stream::Rewind;
use frp_net::tls::{self, TlsFiles, TlsSetupError};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, interval};

use self::clients::Clients;
use self::metrics::Metrics;
use crate::Shared;
use crate::before_login::BeforeLogin;

/// Between two looks at the counters that belong to no request.
const TICK: Duration = Duration::from_secs(60);

/// What sessions and proxies report.
#[derive(Debug)]
pub(crate) struct Stats {
    pub(crate) clients: Clients,
    pub(crate) metrics: Metrics,
}

/// A web server whose socket is open and that nobody serves yet.
#[derive(Debug)]
pub(crate) struct Web {
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    config: WebServer,
}

/// What a request may need.
#[derive(Debug)]
struct Site {
    shared: Arc<Shared>,
    stats: Arc<Stats>,
    tls: Option<Arc<rustls::ServerConfig>>,
    config: WebServer,
    /// Bounds the connections as those of clients: the oldest makes room.
    visitors: BeforeLogin,
}

/// Why the web server could not start.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// `webServer.tls` names files that cannot be used.
    #[error("webServer.tls: {0}")]
    Tls(#[from] TlsSetupError),
    /// The port is taken, or not ours to open.
    #[error("webServer: listen tcp {addr}: bind: {}", go_text(source))]
    Listen {
        /// `webServer.addr:webServer.port`.
        addr: String,
        /// The system's error.
        source: io::Error,
    },
}

impl Stats {
    pub(crate) fn new() -> Self {
        Self {
            clients: Clients::default(),
            metrics: Metrics::new(),
        }
    }
}

impl Web {
    /// Opens the socket that `config` asks for. Needs a tokio runtime.
    pub(crate) fn bind(config: &WebServer) -> Result<Self, WebError> {
        let tls = config.tls.as_ref().map(|files| {
            tls::server_config(&TlsFiles {
                cert: Some(files.cert_file.clone()),
                key: Some(files.key_file.clone()),
                trusted_ca: None,
            })
        });
        let listener = listen(&config.addr, config.port).map_err(|source| WebError::Listen {
            addr: format!("{}:{}", config.addr, config.port),
            source,
        })?;
        Ok(Self {
            listener,
            tls: tls.transpose()?,
            config: config.clone(),
        })
    }

    /// Serves until the server stops.
    pub(crate) async fn run(self, shared: Arc<Shared>, stats: Arc<Stats>) {
        let Self {
            listener,
            tls,
            config,
        } = self;
        let addr = format!("{}:{}", config.addr, config.port);
        info!(Log::root(), "{}", contract::dashboard_listen(addr));
        let site = Arc::new(Site {
            shared: shared.clone(),
            stats: stats.clone(),
            tls,
            config,
            visitors: BeforeLogin::default(),
        });
        let accepting = accept_loop(listener, shared.stop.clone(), |conn, peer| {
            shared.tasks.spawn(serve(site.clone(), conn, peer));
        });
        tokio::select! {
            () = accepting => {}
            () = tick(&stats) => {}
        }
    }
}

async fn tick(stats: &Stats) {
    let mut minutes = interval(TICK);
    minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        minutes.tick().await;
        stats.metrics.tick();
        stats.clients.forget_old();
    }
}

async fn serve(site: Arc<Site>, conn: TcpStream, peer: SocketAddr) {
    let turn = site.visitors.enter();
    let stop = site.shared.stop.clone();
    tune(&conn, None);
    tokio::select! {
        () = http_or_https(site, conn, peer) => {}
        () = turn.evicted() => {
            debug!(Log::root(), "[{peer}] made room for newer connections to the dashboard");
        }
        () = stop.cancelled() => {}
    }
}

async fn http_or_https(site: Arc<Site>, conn: TcpStream, peer: SocketAddr) {
    let Some(tls) = site.tls.clone() else {
        return http::serve(site, conn).await;
    };
    match tls::accept(tls, Rewind::new(Bytes::new(), conn), BEFORE_LOGIN).await {
        Ok(conn) => http::serve(site, conn).await,
        Err(e) => debug!(Log::root(), "dashboard: TLS handshake of [{peer}]: {e}"),
    }
}
