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
mod client;
mod common;
mod convert;
mod detect;
mod glob;
mod include;
mod ini;
mod json;
mod keys;
mod legacy;
mod load;
mod numbers;
mod options;
mod plugin;
mod problem;
mod proxy;
#[cfg(test)]
mod reference;
mod report;
mod resolve;
mod secret;
mod section;
mod server;
mod source;
mod suggest;
mod template;
mod to_msg;
mod toml;
mod value;
mod value_source;
mod visitor;
mod way;
mod write;
mod yaml;

pub use annotations::annotation_problems;
pub use bandwidth::{BandwidthError, BandwidthLimit, parse_bandwidth};
pub use client::{ClientConfig, ClientOidc, ClientTls, ClientTransport, TransportProtocol};
pub use common::{
    Auth, AuthMethod, DnsServer, LogConfig, LogLevel, LogTarget, PortRange, QuicOptions,
    TokenSourceError, WebServer, WebTls, WebsocketOptions,
};
pub use load::{Loaded, load_client, load_server, parse_client, parse_server};
pub use options::{Environment, LoadOptions, Purpose, TOKEN_SOURCE_EXEC};
pub use plugin::{
    BackendTls, ClientPlugin, ForwardPlugin, HttpsForwardPlugin, PluginLogin, PluginTls,
};
pub use problem::{LoadError, Problem};
pub use proxy::{
    BandwidthLimitMode, Domains, HealthCheck, HealthCheckKind, HttpProxy, LoadBalancer,
    ProxyConfig, ProxyKind, ProxyTransport, SecretAccess, TcpmuxProxy,
};
pub use secret::Secret;
pub use server::{
    HttpPlugin, ServerConfig, ServerOidc, ServerTls, ServerTransport, SshTunnelGateway,
};
pub use value_source::{ValueSource, ValueSourceError};
pub use visitor::{VisitorConfig, VisitorKind, VisitorPlugin, XtcpProtocol, XtcpVisitor};
pub use way::{Way, WayError};
pub use write::{Document, Format};
