//! Settings that both programs share: authentication, web server, log.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use frp_proto::address::ScopedIp;

use crate::{Secret, ValueSource, ValueSourceError};

/// How the two programs prove to each other that they belong together (`auth.*`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Auth {
    /// `auth.method`
    pub method: AuthMethod,
    /// `auth.token`: the shared secret; empty is a valid choice. It is the key of the ciphers
    /// whatever the method is.
    pub token: Secret,
    /// `auth.tokenSource`: where the token is read from at start, see [`Auth::resolve`].
    pub token_source: Option<ValueSource>,
    /// `auth.additionalScopes` holds `HeartBeats`: every Ping carries the token's digest.
    pub scope_heartbeats: bool,
    /// `auth.additionalScopes` holds `NewWorkConns`: every work connection carries it too.
    pub scope_new_work_conns: bool,
}

/// A way to prove it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AuthMethod {
    /// Both know the token.
    #[default]
    Token,
    /// OpenID Connect.
    Oidc,
}

/// The token could not be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to resolve auth.tokenSource: {0}")]
pub struct TokenSourceError(#[source] ValueSourceError);

impl Auth {
    /// The same with the token in it, read from `tokenSource` where that is set and the method
    /// uses it. To be called once, at start (frp `pkg/auth/auth.go`).
    ///
    /// # Errors
    /// When the source cannot be read.
    pub fn resolve(mut self) -> Result<Self, TokenSourceError> {
        if self.method == AuthMethod::Token
            && let Some(source) = &self.token_source
        {
            self.token = source.resolve().map_err(TokenSourceError)?;
        }
        Ok(self)
    }
}

/// The dashboard of frps, the admin interface of frpc (`webServer.*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebServer {
    /// `webServer.addr`
    pub addr: String,
    /// `webServer.port`, never 0.
    pub port: u16,
    /// `webServer.user`; with an empty password, too: no authentication.
    pub user: String,
    /// `webServer.password`
    pub password: Secret,
    /// `webServer.allowedHosts`, which frp does not have: names to be asked for by.
    pub allowed_hosts: Vec<String>,
    /// `webServer.assetsDir`: pages instead of the built-in ones.
    pub assets_dir: Option<PathBuf>,
    /// `webServer.pprofEnable`
    pub pprof_enable: bool,
    /// `webServer.tls`
    pub tls: Option<WebTls>,
}

/// `webServer.tls.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebTls {
    /// `webServer.tls.certFile`: PEM.
    pub cert_file: PathBuf,
    /// `webServer.tls.keyFile`: PEM.
    pub key_file: PathBuf,
}

/// `transport.quic.*`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuicOptions {
    /// `keepalivePeriod`: time between keep-alives, `None` for none.
    pub keepalive_period: Option<Duration>,
    /// `maxIdleTimeout`: time without a packet until the end of a connection.
    pub max_idle_timeout: Duration,
    /// `maxIncomingStreams`: streams that one peer may have open.
    pub max_incoming_streams: u64,
}

/// `transport.websocket.*`, which frp does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebsocketOptions {
    /// `path`: of the request; on frpc perhaps with a query.
    pub path: String,
    /// `headers`: what frpc sends beside its own, and frps demands.
    pub headers: BTreeMap<String, Secret>,
}

/// Where log lines go and which of them (`log.*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// `log.to`
    pub to: LogTarget,
    /// `log.level`: the least important level that is written.
    pub level: LogLevel,
    /// `log.maxDays`: rotated files older than this many days are removed.
    pub max_days: i64,
    /// `log.disablePrintColor`: no colour escapes on the console.
    pub disable_print_color: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            to: LogTarget::Console,
            level: LogLevel::Info,
            max_days: 3,
            disable_print_color: false,
        }
    }
}

/// The place that log lines are written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Console,
    /// A file, rotated daily.
    File(PathBuf),
}

/// Importance of a log line, least important first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// Every step.
    Trace,
    /// For finding faults.
    Debug,
    /// What an operator wants to know.
    Info,
    /// Something is off, the program copes.
    Warn,
    /// Something failed.
    Error,
}

/// `dnsServer`: who resolves names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsServer {
    /// Its address.
    pub ip: ScopedIp,
    /// Its port; 53 where none is given.
    pub port: u16,
}

/// An inclusive range of TCP ports (`allowPorts`); `start <= end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    /// First port.
    pub start: u16,
    /// Last port.
    pub end: u16,
}

impl PortRange {
    /// Whether `port` lies in the range.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        (self.start..=self.end).contains(&port)
    }
}
