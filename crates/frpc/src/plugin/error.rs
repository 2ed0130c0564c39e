//! Why a proxy cannot start with its plugin.

use frp_net::tls::TlsSetupError;

use super::local_addr::BadLocalAddr;

/// Why a proxy cannot start with its plugin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PluginError {
    #[error("plugin [{0}] is not registered")]
    NotSupported(&'static str),
    #[error(
        "plugin virtual_net: this frpc has no virtual network; set virtualNet.address, the address of this \
         machine in it, and featureGates.VirtualNet = true"
    )]
    NoVirtualNet,
    #[cfg(not(feature = "http"))]
    #[error("{0}")]
    Lacking(frp_config::Lacking),
    #[error("{0}")]
    LocalAddr(#[from] BadLocalAddr),
    #[error("{0}")]
    Tls(#[from] TlsSetupError),
    #[error("gen TLS config error: {0}")]
    UserTls(TlsSetupError),
    #[error("requestHeaders.set: {0:?} and its value are no header")]
    RequestHeader(String),
    #[error("hostHeaderRewrite is no Host header")]
    HostRewrite,
    #[error("backendServerName: {0:?} is no host name")]
    BackendName(String),
}
