//! Plugins: what serves the users of a proxy in the place of a local service
//! (frp `pkg/plugin/client`). A file for each; the settings are in `frp_config::ClientPlugin`.

mod bridge;
mod counted;
mod http_proxy;
mod login;
mod socks5;
mod static_file;
mod target;
mod tls2raw;
mod tracked;
mod unix_domain_socket;
mod user_tls;

use std::sync::Arc;

use frp_config::ClientPlugin;
use frp_net::layers::Carried;
use frp_net::tls::TlsSetupError;

use self::bridge::Bridge;
use self::http_proxy::HttpProxy;
use self::socks5::Socks5;
use self::static_file::StaticFile;
use self::target::BadTarget;
use self::tls2raw::Tls2Raw;
use self::unix_domain_socket::UnixDomainSocket;
use crate::service::Tasks;
use crate::user::User;

/// A plugin that is ready to serve.
#[derive(Debug)]
pub(crate) enum Plugin {
    HttpProxy(HttpProxy),
    Socks5(Socks5),
    StaticFile(StaticFile),
    /// `http2http`, `http2https`, `https2http` or `https2https`
    Bridge(Arc<Bridge>),
    Tls2Raw(Tls2Raw),
    UnixDomainSocket(UnixDomainSocket),
}

/// Why a proxy cannot start with its plugin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PluginError {
    #[error("plugin [{0}] is not registered")]
    NotSupported(&'static str),
    #[error("{0}")]
    Target(#[from] BadTarget),
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

impl Plugin {
    /// Reads the files that the settings name. What the plugin begins on its own belongs to
    /// `tasks`.
    pub(crate) fn new(cfg: &ClientPlugin, tasks: &Tasks) -> Result<Self, PluginError> {
        let name = cfg.name();
        Ok(match cfg {
            ClientPlugin::HttpProxy(login) => Self::HttpProxy(HttpProxy::new(login)),
            ClientPlugin::Socks5(login) => Self::Socks5(Socks5::new(login)),
            ClientPlugin::StaticFile {
                local_path,
                strip_prefix,
                login,
            } => Self::StaticFile(StaticFile::new(local_path, strip_prefix, login)),
            ClientPlugin::Http2Http(cfg) => Self::Bridge(Bridge::plain(name, cfg, false, tasks)?),
            ClientPlugin::Http2Https(cfg) => Self::Bridge(Bridge::plain(name, cfg, true, tasks)?),
            ClientPlugin::Https2Http(cfg) => Self::Bridge(Bridge::secure(name, cfg, false, tasks)?),
            ClientPlugin::Https2Https(cfg) => Self::Bridge(Bridge::secure(name, cfg, true, tasks)?),
            ClientPlugin::Tls2Raw { local_addr, tls } => {
                Self::Tls2Raw(Tls2Raw::new(local_addr, tls)?)
            }
            ClientPlugin::UnixDomainSocket { unix_path } => {
                Self::UnixDomainSocket(UnixDomainSocket::new(unix_path.clone()))
            }
            other => return Err(PluginError::NotSupported(other.name())),
        })
    }

    /// Serves one user to the end. Dropping the future, as at the client's end, must end whatever
    /// it began, but for connections kept for later users; those belong to the client's tasks.
    pub(crate) async fn serve(&self, carried: Carried, user: &User<'_>) {
        match self {
            Self::HttpProxy(plugin) => plugin.serve(carried, user).await,
            Self::Socks5(plugin) => plugin.serve(carried, user).await,
            Self::StaticFile(plugin) => plugin.serve(carried, user).await,
            Self::Bridge(plugin) => plugin.serve(carried, user).await,
            Self::Tls2Raw(plugin) => plugin.serve(carried, user).await,
            Self::UnixDomainSocket(plugin) => plugin.serve(carried, user).await,
        }
    }

    /// The `type` in the file.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::HttpProxy(_) => "http_proxy",
            Self::Socks5(_) => "socks5",
            Self::StaticFile(_) => "static_file",
            Self::Bridge(plugin) => plugin.name(),
            Self::Tls2Raw(_) => "tls2raw",
            Self::UnixDomainSocket(_) => "unix_domain_socket",
        }
    }
}
