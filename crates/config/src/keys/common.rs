//! Settings that both programs have: authentication, web server, transport, log.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use frp_proto::address::{ScopedIp, split_port};
use frp_proto::named;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::key::{Key, Kind, Rule, changed};
use super::setting::{At, Item, Optional, Setting, Table};
use crate::{Feature, Secret, ValueSource, ValueSourceError};

settings! {
    /// How the two programs prove to each other that they belong together (`auth.*`).
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct Auth {
        method: AuthMethod = "method"
            "How frpc proves to frps who it is: both know auth.token, or by tokens of an OpenID Connect \
             issuer. The same on both sides."
            .text("token") .ini("authentication_method")
            .refusal("invalid auth method, optional values are [token oidc]")
            .some_need(&[("oidc", Feature::Oidc)]);
        additional_scopes: Vec<AuthScope> = "additionalScopes"
            "Messages beyond the login that carry authentication, too."
            .ini_form(super::Ini::Flags(&[
                ("authenticate_heartbeats", "HeartBeats"),
                ("authenticate_new_work_conns", "NewWorkConns"),
            ]))
            .refusal("invalid auth additional scopes, optional values are [HeartBeats NewWorkConns]");
        /// Empty is a valid choice. It is the key of the ciphers whatever the method is.
        token: Secret = "token" "The shared secret; must be the same on both sides."
            .ini("token") .short_flag("token", 't');
        /// At start: see [`Auth::resolve`].
        token_source: Option<ValueSource> = "tokenSource" "Where the token is read from.";
        challenge: Challenge = "challenge"
            "Whether the token is proven by a challenge, between programs of frp-rs, so that a login cannot be repeated \
             or taken elsewhere: allowed (then frp's own proof does for the others), required (the others are refused), \
             off (as in frp). frp does not have it."
            .text("allowed");
    }
}

named! {
    /// Whether the token is proven by a challenge.
    #[derive(Default)]
    pub enum Challenge {
        /// Where the peer can.
        #[default]
        Allowed = "allowed",
        /// Always: peers that cannot are refused.
        Required = "required",
        /// Never.
        Off = "off",
    }
}

named! {
    /// A way to prove it.
    #[derive(Default)]
    pub enum AuthMethod {
        /// Both know the token.
        #[default]
        Token = "token",
        /// OpenID Connect.
        Oidc = "oidc",
    }
}

named! {
    /// What carries the proof beside the login.
    pub enum AuthScope {
        /// Every Ping.
        HeartBeats = "HeartBeats",
        /// Every work connection.
        NewWorkConns = "NewWorkConns",
    }
}

choices!(AuthMethod, AuthScope, Challenge, LogFormat, LogLevel);

/// A token could not be read, or is none to go by.
#[derive(Debug, thiserror::Error)]
pub enum TokenSourceError {
    /// `auth.tokenSource`
    #[error("failed to resolve auth.tokenSource: {0}")]
    Source(#[source] ValueSourceError),
    /// That of an entry of `auth.tokens`.
    #[error("failed to resolve tokenSource of token [{name}]: {why}")]
    Named {
        /// The entry.
        name: String,
        /// What is wrong.
        #[source]
        why: ValueSourceError,
    },
    /// Anybody could log in with it.
    #[error("tokenSource of token [{0}] gives an empty token: write one there")]
    Empty(String),
    /// What an entry restricts, the main token would not.
    #[error(
        "token [{0}] is the same as auth.token: give it a secret of its own, as by frps token new"
    )]
    Main(String),
    /// Nobody could tell who comes.
    #[error(
        "tokens [{0}] and [{1}] are the same: give each a secret of its own, as by frps token new"
    )]
    Same(String, String),
}

impl Auth {
    /// Whether messages of that kind carry the proof.
    #[must_use]
    pub fn covers(&self, scope: AuthScope) -> bool {
        self.additional_scopes.contains(&scope)
    }

    /// The same with the token in it, read from `tokenSource` where that is set and the method
    /// uses it. To be called once, at start (frp `pkg/auth/auth.go`).
    ///
    /// # Errors
    /// When the source cannot be read.
    pub fn resolve(mut self) -> Result<Self, TokenSourceError> {
        if self.method == AuthMethod::Token
            && let Some(source) = &self.token_source
        {
            self.token = source.resolve().map_err(TokenSourceError::Source)?;
        }
        Ok(self)
    }
}

settings! {
    /// What a [`ValueSource`] is made of.
    #[derive(PartialEq)]
    pub(crate) struct SourceKeys {
        kind: String = "type" "Where the token comes from: file or exec.";
        table "file" "A file that holds the token." {
            path: PathBuf = "path" "The file; white space at its ends is dropped.";
        }
        table "exec" "A program that prints the token." {
            command: String = "command" "The program that prints the token.";
            args: Vec<String> = "args" "Its arguments.";
            env: Vec<SourceEnv> = "env" "Environment variables added for it.";
        }
    }
}

settings! {
    /// A variable for the program.
    #[derive(PartialEq)]
    pub(crate) struct SourceEnv {
        name: String = "name" "Name of the variable.";
        value: Secret = "value" "Its value.";
    }
}

impl Setting for Option<ValueSource> {
    const KIND: Kind = Kind::Table(SourceKeys::KEYS);

    fn read(at: &At<'_, Self>) -> Self {
        let SourceKeys {
            kind,
            path,
            command,
            args,
            env,
        } = at.cast().read();
        match kind.as_str() {
            "file" => Some(ValueSource::File(path)),
            "exec" => Some(ValueSource::Exec {
                command,
                args,
                env: env.into_iter().map(|one| (one.name, one.value)).collect(),
            }),
            _ => None,
        }
    }
}

settings! {
    /// The dashboard of frps, the admin interface of frpc (`webServer.*`).
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct WebServer {
        addr: String = "addr" "Address to listen on."
            .text("127.0.0.1") .ini("admin_addr") .rule(Rule::Host(Some(Self::port.key)));
        /// Never 0.
        port: u16 = "port" "Port to listen on; 0 for none." .ini("admin_port")
            .needs(Feature::Pages);
        /// With an empty password, too: no authentication.
        user: String = "user" "User name." .ini("admin_user");
        password: Secret = "password" "Password." .ini("admin_pwd");
        allowed_hosts: Vec<String> = "allowedHosts"
            "Names under which the web server answers without a password, beside addresses, \
             localhost, names without a dot, *.local, *.internal, *.lan, *.home.arpa and \
             webServer.addr; *.example.com is all below example.com, * any name. frp does not have \
             it and answers to any.";
        assets_dir: Option<PathBuf> = "assetsDir" "Directory of files that replace the pages." .ini("assets_dir");
        pprof_enable: bool = "pprofEnable" "Counts of what is alive at /debug/pprof/goroutine."
            .ini("pprof_enable");
        tls: Option<WebTls> = "tls" "TLS for the admin interface.";
    }
}

settings! {
    /// `webServer.tls.*`
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct WebTls {
        cert_file: PathBuf = "certFile" "Certificate, PEM.";
        key_file: PathBuf = "keyFile" "Key, PEM.";
        key trusted_ca_file: String = "trustedCaFile" "No effect." .inert();
        key server_name: String = "serverName" "No effect." .inert();
    }
}

/// The keys of [`WebServer`] as frps calls them.
pub(super) const DASHBOARD: &[Key] = &changed::<{ WebServer::KEYS.len() }>(
    WebServer::KEYS,
    &[
        WebServer::addr
            .key
            .ini("dashboard_addr")
            .any_flag("dashboard-addr", None, Some("0.0.0.0")),
        WebServer::port
            .key
            .ini("dashboard_port")
            .flag("dashboard-port"),
        WebServer::user
            .key
            .ini("dashboard_user")
            .any_flag("dashboard-user", None, Some("admin")),
        WebServer::password
            .key
            .ini("dashboard_pwd")
            .any_flag("dashboard-pwd", None, Some("admin")),
        WebServer::tls
            .key
            .doc("TLS for the dashboard.")
            .flag("dashboard-tls-mode")
            .keys(DASHBOARD_TLS),
    ],
);

/// The two flags have no effect in frp: `--dashboard-tls-mode` takes a value and stays off whatever
/// it is.
const DASHBOARD_TLS: &[Key] = &changed::<{ WebTls::KEYS.len() }>(
    WebTls::KEYS,
    &[
        WebTls::cert_file
            .key
            .ini("dashboard_tls_cert_file")
            .flag("dashboard-tls-cert-file"),
        WebTls::key_file
            .key
            .doc("Its key, PEM.")
            .ini("dashboard_tls_key_file")
            .flag("dashboard-tls-key-file"),
    ],
);

impl Optional for WebServer {
    fn is_there(&self, _: &At<'_, Option<Self>>) -> bool {
        self.port != 0
    }
}

impl Optional for WebTls {
    fn is_there(&self, at: &At<'_, Option<Self>>) -> bool {
        at.table().is_some()
    }
}

settings! {
    /// `transport.quic.*`
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct QuicOptions {
        keepalive_period: Option<Duration> = "keepalivePeriod"
            "Seconds between keep-alives of a silent connection; negative for none. At most half of \
             maxIdleTimeout."
            .int(10) .ini("quic_keepalive_period");
        max_idle_timeout: Duration = "maxIdleTimeout"
            "Seconds without a packet from the peer until a connection is given up; the lower of \
             both sides' counts."
            .int(30) .ini("quic_max_idle_timeout") .rule(Rule::NotNegative);
        max_incoming_streams: u64 = "maxIncomingStreams"
            "Streams, which are users, that one frpc may have open at a time. Only frps heeds it: \
             it opens none itself."
            .int(100_000) .ini("quic_max_incoming_streams") .rule(Rule::NotNegative);
    }
}

settings! {
    /// `transport.websocket.*` of frps, which frp does not have: what requests are answered.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct WebsocketOptions {
        /// On frpc perhaps with a query.
        path: String = "path"
            "Path of the requests that are taken. frp-rs's own: frpc of frp sends only the default."
            .text("/~!frp");
        /// frpc sends them beside its own, and frps demands them.
        headers: BTreeMap<String, Secret> = "headers"
            "Headers that a request must have with just these values, such as a secret that a CDN adds; \
             others are answered with 403. frp-rs's own.";
    }
}

/// The keys of [`WebsocketOptions`] as frpc takes them.
pub(super) const WEBSOCKET_REQUEST: &[Key] = &changed::<{ WebsocketOptions::KEYS.len() }>(
    WebsocketOptions::KEYS,
    &[
        WebsocketOptions::path.key.doc(
            "Path of the request, perhaps with a query. frp-rs's own: frps of frp takes only the default.",
        ),
        WebsocketOptions::headers.key.doc(
            "Headers of the request beside those of the protocol; Host and Origin take the place of \
             frp's, which name serverAddr. frp-rs's own.",
        ),
    ],
);

settings! {
    /// Where log lines go and which of them (`log.*`).
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct LogConfig {
        to: LogTarget = "to" "`console`, or the path of a file."
            .text("console") .ini("log_file") .flag("log-file");
        level: LogLevel = "level" "Least important lines that are written."
            .text("info") .ini("log_level") .flag("log-level")
            .refusal("invalid log level, optional values are [trace debug info warn error]");
        format: LogFormat = "format"
            "`text`, or `json`: a line is an object with time, level, file, line, message and, where it \
             concerns a client, `runID` and the `name` of its proxy or visitor."
            .text("text");
        max_days: i64 = "maxDays" "Days that rotated files are kept."
            .int(3) .ini("log_max_days") .flag("log-max-days");
        disable_print_color: bool = "disablePrintColor" "No colours on the console. There are none, too, \
             where it is no terminal, or `NO_COLOR` is set."
            .ini("disable_log_color") .flag("disable-log-color");
        access: Option<PathBuf> = "access"
            "File that gets a line of JSON for each user's connection that has ended.";
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            to: LogTarget::Console,
            level: LogLevel::Info,
            format: LogFormat::Text,
            max_days: 3,
            disable_print_color: false,
            access: None,
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

impl Setting for LogTarget {
    const KIND: Kind = Kind::Text;

    fn read(at: &At<'_, Self>) -> Self {
        match at.text().as_str() {
            "console" => Self::Console,
            file => Self::File(PathBuf::from(file)),
        }
    }
}

named! {
    /// Importance of a log line, least important first.
    pub enum LogLevel {
        /// Every step.
        Trace = "trace",
        /// For finding faults.
        Debug = "debug",
        /// What an operator wants to know.
        Info = "info",
        /// Something is off, the program copes.
        Warn = "warn",
        /// Something failed.
        Error = "error",
    }
}

named! {
    /// What log lines look like.
    pub enum LogFormat {
        /// As frp's.
        Text = "text",
        /// An object of JSON each.
        Json = "json",
    }
}

/// `dnsServer`: who resolves names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsServer {
    /// Its address.
    pub ip: ScopedIp,
    /// Its port; 53 where none is given.
    pub port: u16,
}

impl DnsServer {
    /// An address, with a port or without. frp asks the server for its own name, if it has one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = split_port(text);
        let ip = host.parse().ok()?;
        let port = port.unwrap_or(Ok(53)).ok().filter(|port| *port != 0)?;
        Some(Self { ip, port })
    }
}

impl Setting for Option<DnsServer> {
    const KIND: Kind = Kind::Text;
    const RULE: Rule = Rule::DnsServer;

    fn read(at: &At<'_, Self>) -> Self {
        DnsServer::parse(&at.text())
    }
}

/// `virtualNet.address`: the address of this machine in the virtual network, and the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VirtualAddress {
    /// The address.
    pub ip: IpAddr,
    /// Bits that all addresses of the network have in common.
    pub prefix: u8,
}

impl VirtualAddress {
    /// As Go's `net.ParseCIDR` reads it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (ip, prefix) = text.split_once('/')?;
        let ip: IpAddr = ip.parse().ok()?;
        let most = if ip.is_ipv4() { 32 } else { 128 };
        let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = prefix
            .parse()
            .ok()
            .filter(|prefix| digits && *prefix <= most)?;
        Some(Self { ip, prefix })
    }
}

impl Setting for Option<VirtualAddress> {
    const KIND: Kind = Kind::Text;
    const RULE: Rule = Rule::VirtualAddress;

    fn read(at: &At<'_, Self>) -> Self {
        VirtualAddress::parse(&at.text())
    }
}

/// Until when something is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry(pub Timestamp);

impl Expiry {
    /// RFC 3339's `date-time`, or its `full-date`, which is the day's begin in UTC.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let at = match text.parse::<Date>() {
            Ok(day) if text.len() == "2027-01-31".len() => {
                TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok()?
            }
            _ => text.parse().ok()?,
        };
        Some(Self(at))
    }
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Setting for Option<Expiry> {
    const KIND: Kind = Kind::Text;
    const RULE: Rule = Rule::Expiry;

    fn read(at: &At<'_, Self>) -> Self {
        Expiry::parse(&at.text())
    }
}

/// An inclusive range of TCP ports (`allowPorts`); `start <= end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    /// First port.
    pub start: u16,
    /// Last port.
    pub end: u16,
}

settings! {
    /// What a [`PortRange`] is made of.
    #[derive(PartialEq)]
    pub(crate) struct PortRangeKeys {
        start: u16 = "start" "First port of a range." .rule(Rule::UnheededPort);
        end: u16 = "end" "Last port of the range." .rule(Rule::UnheededPort);
        single: u16 = "single" "One port, instead of a range." .rule(Rule::UnheededPort);
    }
}

impl PortRangeKeys {
    /// The range, or its ends where they hold no port.
    pub(crate) fn range(self) -> Result<PortRange, (u16, u16)> {
        let (start, end) = match self.single {
            0 => (self.start, self.end),
            port => (port, port),
        };
        match start <= end {
            true => Ok(PortRange { start, end }),
            false => Err((start, end)),
        }
    }
}

impl Item for PortRange {
    const KIND: Kind = Kind::Tables(PortRangeKeys::KEYS);

    fn read_all(at: &At<'_, Vec<Self>>) -> Vec<Self> {
        let items = at.items().map(|item| item.cast::<PortRangeKeys>().read());
        items.filter_map(|keys| keys.range().ok()).collect()
    }
}

impl PortRange {
    /// Whether `port` lies in the range.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        (self.start..=self.end).contains(&port)
    }
}
