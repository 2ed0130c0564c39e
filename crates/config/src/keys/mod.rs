//! The settings of both programs with the definitions of their keys: one place for name, type,
//! default, rule, legacy name, flag, state of support, meaning, and the field that the programs
//! read.
//!
//! The tables that follow from them are what the checker walks, where the legacy INI reader finds
//! its names and the command line its flags. A key that is not in here does not exist.

#[macro_use]
mod define;
mod client;
mod common;
mod describe;
mod guard;
pub(crate) mod key;
mod plugin;
mod proxy;
pub(crate) mod scopes;
mod server;
mod setting;
mod visitor;

#[cfg(test)]
mod tests;

pub use self::client::{
    ClientConfig, ClientOidc, ClientTls, ClientTransport, KNOWN_SERVERS, ServerTrust,
};
pub use self::common::{
    Auth, AuthMethod, AuthScope, Challenge, DnsServer, Expiry, LogConfig, LogFormat, LogLevel,
    LogTarget, PortRange, QuicOptions, TokenSourceError, VirtualAddress, WebServer, WebTls,
    WebsocketOptions,
};
pub use self::guard::{BanRules, GuardRules, GuardedProxies, Guards, ProxyGuard};
pub use self::plugin::{
    BackendTls, ClientPlugin, ForwardPlugin, Http2HttpsPlugin, Https2HttpsPlugin,
    HttpsForwardPlugin, PluginLogin, PluginTls, Socks5Plugin, StaticFilePlugin, Tls2RawPlugin,
    UnixSocketPlugin,
};
pub use self::proxy::{
    BandwidthLimitMode, Domains, HealthCheck, HealthCheckKind, HttpProxy, LoadBalancer,
    Multiplexer, NatTraversal, PortProxy, ProxyConfig, ProxyKind, ProxySshd, ProxyTransport,
    RealIpMode, SecretAccess, TcpmuxProxy, XtcpProxy,
};
pub use self::server::{
    HttpPlugin, ServerConfig, ServerOidc, ServerTls, ServerToken, ServerTransport, SshTunnelGateway,
};
pub use self::visitor::{
    VirtualNetVisitor, VisitorConfig, VisitorKind, VisitorPlugin, XtcpProtocol, XtcpVisitor,
};

pub(crate) use self::common::{PortRangeKeys, SourceEnv, SourceKeys};
pub(crate) use self::key::{
    Fallback, Ini, Key, Kind, Rule, Shown, Tag, Tagged, by_ini_name, concat, count, join, key, walk,
};
pub(crate) use self::plugin::{PLUGIN, PluginKeys};
pub(crate) use self::proxy::{HealthCheckKeys, PROXY};
pub(crate) use self::setting::{
    At, Both, Flat, Item, Listed, Of, Setting, Table, definition, one_of,
};
pub(crate) use self::visitor::{VISITOR, VISITOR_PLUGIN, VisitorPluginKeys};

/// The root of frps' file.
pub(crate) const SERVER: &[Key] = ServerConfig::KEYS;
/// The root of frpc's file.
pub(crate) const CLIENT: &[Key] = ClientConfig::KEYS;
