//! Stage 1: streams to the server. With the mux they share one connection, without it each has its
//! own (frp `client/connector.go`).

use std::sync::Arc;
use std::time::Duration;

use frp_config::ClientConfig;
use frp_net::dial::{DialError, DialOptions, dial};
use frp_net::limits::BEFORE_LOGIN;
use frp_net::mux::{self, CloseReason, Mux, MuxError};
use frp_net::sniff::FRP_TLS_FIRST_BYTE;
use frp_net::stream::Stream;
use frp_net::tls::{self, HandshakeError, TlsFiles};
use tokio::io::AsyncWriteExt;
use tokio_util::task::TaskTracker;

/// Opens streams to the server of one configuration.
#[derive(Debug)]
pub(crate) struct Connector {
    cfg: Arc<ClientConfig>,
    tls: Option<Arc<rustls::ClientConfig>>,
    mux: Option<Mux>,
}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("{0}")]
    Dial(#[from] DialError),
    #[error("{0}")]
    Tls(#[from] HandshakeError),
    #[error("{0}")]
    Mux(#[from] MuxError),
}

impl Connector {
    /// Connects where the mux needs a connection; without the mux every stream connects by itself.
    pub(crate) async fn open(
        cfg: Arc<ClientConfig>,
        tls: Option<Arc<rustls::ClientConfig>>,
        tasks: &TaskTracker,
    ) -> Result<Self, ConnectError> {
        let mut connector = Self {
            cfg,
            tls,
            mux: None,
        };
        if connector.cfg.transport.tcp_mux {
            let io = connector.dial().await?;
            let interval = connector.cfg.transport.tcp_mux_keepalive_interval;
            let config = mux::Config {
                keepalive_interval: Some(interval),
            };
            // The server opens no streams; what it opens all the same is refused by dropping this.
            let (mux, _incoming, driver) = mux::session(io, mux::Role::Client, config);
            tasks.spawn(driver);
            connector.mux = Some(mux);
        }
        Ok(connector)
    }

    /// A new stream.
    pub(crate) async fn stream(&self) -> Result<Stream, ConnectError> {
        match &self.mux {
            Some(mux) => Ok(Stream::Mux(mux.open().await?)),
            None => self.dial().await,
        }
    }

    /// Why the shared connection ended, if there is one and it has.
    pub(crate) fn close_reason(&self) -> Option<CloseReason> {
        self.mux.as_ref()?.close_reason()
    }

    /// Ends the shared connection and its streams, if there is one.
    pub(crate) fn close(&self) {
        if let Some(mux) = &self.mux {
            mux.close();
        }
    }

    async fn dial(&self) -> Result<Stream, ConnectError> {
        let transport = &self.cfg.transport;
        let mut conn = dial_server(&self.cfg).await?;
        let Some(tls) = &self.tls else {
            return Ok(conn);
        };
        if !transport.tls.disable_custom_first_byte {
            let marked = conn.write_all(&[FRP_TLS_FIRST_BYTE]).await;
            marked.map_err(|source| HandshakeError {
                source,
                first_bytes: Vec::new(),
            })?;
        }
        let name = transport
            .tls
            .server_name
            .as_ref()
            .unwrap_or(&self.cfg.server_addr);
        let pipe = tls::connect(tls.clone(), name, conn, BEFORE_LOGIN).await?;
        Ok(Stream::Tls(Box::new(pipe)))
    }
}

/// Whether the server's port answers a TLS handshake; for the diagnosis of a failed plain login.
pub(crate) async fn answers_tls(cfg: &ClientConfig) -> bool {
    let probe = async {
        let tls = tls::client_config(&TlsFiles::default()).ok()?;
        let conn = dial_server(cfg).await.ok()?;
        tls::connect(tls, &cfg.server_addr, conn, PROBE).await.ok()
    };
    matches!(tokio::time::timeout(PROBE, probe).await, Ok(Some(_)))
}

/// The limit of a probe: it delays an error message.
const PROBE: Duration = Duration::from_secs(3);

/// The connection that everything else runs on.
async fn dial_server(cfg: &ClientConfig) -> Result<Stream, DialError> {
    let transport = &cfg.transport;
    let options = DialOptions {
        timeout: transport.dial_server_timeout,
        keepalive: transport.dial_server_keepalive,
        local_ip: transport.connect_server_local_ip,
    };
    let conn = dial(&cfg.server_addr, cfg.server_port, &options).await?;
    Ok(Stream::Tcp(conn))
}

impl Drop for Connector {
    fn drop(&mut self) {
        self.close();
    }
}
