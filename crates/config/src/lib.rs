//! Configuration files of frps and frpc: text to checked settings.
//!
//! A file is read into a format-neutral tree whose every part knows its place in the text. The
//! tree is checked against one table of key definitions, which collects every problem of the
//! file, and is then turned into the typed settings that the programs use.

mod address;
mod annotations;
mod bandwidth;
mod check;
pub mod cli;
mod convert;
mod detect;
mod features;
mod glob;
mod include;
mod ini;
mod json;
mod keys;
mod legacy;
mod load;
mod numbers;
mod options;
mod problem;
#[cfg(test)]
mod reference;
mod report;
mod resolve;
mod secret;
mod section;
mod source;
mod store;
mod suggest;
mod template;
mod texts;
mod to_msg;
mod toml;
mod value;
mod value_source;
mod verify;
mod way;
mod write;
mod yaml;

pub use annotations::annotation_problems;
pub use bandwidth::{BandwidthError, BandwidthLimit, parse_bandwidth};
pub use features::{Build, Feature, Lacking};
pub use glob::{Pattern, matches as fits};
pub use keys::{
    Auth, AuthMethod, AuthScope, BackendTls, BanRules, BandwidthLimitMode, Challenge, ClientConfig,
    ClientOidc, ClientPlugin, ClientTls, ClientTransport, DnsServer, Domains, Expiry,
    ForwardPlugin, GuardRules, GuardedProxies, Guards, HealthCheck, HealthCheckKind,
    Http2HttpsPlugin, HttpPlugin, HttpProxy, Https2HttpsPlugin, HttpsForwardPlugin, KNOWN_SERVERS,
    LoadBalancer, LogConfig, LogFormat, LogLevel, LogTarget, Multiplexer, NatTraversal,
    PluginLogin, PluginTls, PortProxy, PortRange, ProxyConfig, ProxyGuard, ProxyKind, ProxySshd,
    ProxyTransport, QuicOptions, RealIpMode, SecretAccess, ServerConfig, ServerOidc, ServerTls,
    ServerToken, ServerTransport, ServerTrust, Socks5Plugin, SshTunnelGateway, StaticFilePlugin,
    TcpmuxProxy, Tls2RawPlugin, TokenSourceError, UnixSocketPlugin, VirtualAddress,
    VirtualNetVisitor, VisitorConfig, VisitorKind, VisitorPlugin, WebServer, WebTls,
    WebsocketOptions, XtcpProtocol, XtcpProxy, XtcpVisitor,
};
pub use load::{Loaded, load_client, load_server, parse_client, parse_server};
pub use options::{Environment, LoadOptions, Purpose, TOKEN_SOURCE_EXEC};
pub use problem::{LoadError, Problem};
pub use secret::Secret;
pub use store::{Definitions, EntryError, EntryKind, Store, StoreEntry, StoreError};
pub use texts::{FORMER, IncludedTexts, Texts, UNCONFIRMED};
pub use value_source::{ValueSource, ValueSourceError};
pub use verify::{Finding, findings};
pub use way::{Transport, TransportProtocol, Way, WayError};
pub use write::{Document, Format};
