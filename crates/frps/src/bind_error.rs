//! Why a server could not start.

use std::io;
use std::path::PathBuf;

use frp_net::go_text::go_text;

use crate::policy::PolicyError;
use crate::web::WebError;

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
        /// Of `bindPort`, `vhostHTTPSPort`, `tcpmuxHTTPConnectPort` or `sshTunnelGateway.bindPort`.
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
    /// A port is asked for that needs a feature.
    #[cfg(not(all(feature = "http", feature = "ssh")))]
    #[error("{0}")]
    Lacking(frp_config::Lacking),
    /// The SSH gateway has no host key.
    #[error("sshTunnelGateway: host key {}: {why}", path.display())]
    SshKey {
        /// As configured.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The file of the traffic that survives cannot be read or written.
    #[error("store.path: {}: {}; give a file that frps may write, or none", path.display(), go_text(source))]
    Store {
        /// As configured.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The web server cannot run.
    #[error("{0}")]
    Web(#[from] WebError),
}
