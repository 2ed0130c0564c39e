//! Configuration files of frps and frpc: text to checked settings.
//!
//! A file is read into a format-neutral tree whose every part knows its place in the text. The
//! tree is checked against one table of key definitions, which collects every problem of the
//! file, and is then turned into the typed settings that the programs use.

mod annotations;
mod bandwidth;
mod check;
mod client;
mod common;
mod detect;
pub mod flags;
mod ini;
mod keys;
mod legacy;
mod load;
mod problem;
mod proxy;
mod report;
mod resolve;
mod secret;
mod section;
mod server;
mod suggest;
mod to_msg;
mod toml;
mod value;

pub use annotations::annotation_problems;
pub use bandwidth::{BandwidthError, BandwidthLimit, parse_bandwidth};
pub use client::{ClientConfig, ClientTls, ClientTransport};
pub use common::{Auth, LogConfig, LogLevel, LogTarget, PortRange};
pub use load::{Loaded, load_client, load_server, parse_client, parse_server};
pub use problem::{LoadError, Problem};
pub use proxy::{BandwidthLimitMode, ProxyConfig, ProxyKind, ProxyTransport};
pub use secret::Secret;
pub use server::{ServerConfig, ServerTls, ServerTransport, WebServer, WebTls};
