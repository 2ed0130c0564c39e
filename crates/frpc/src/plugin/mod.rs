//! Plugins: what serves the users of a proxy in the place of a local service
//! (frp `pkg/plugin/client`). A file for each; the settings are in `frp_config::ClientPlugin`.

mod bridge;
mod error;
mod http_proxy;
mod local_addr;
mod login;
mod socks5;
mod static_file;
mod tls2raw;
mod unix_domain_socket;
mod user_tls;

use std::sync::Arc;

use frp_config::ClientPlugin;
use frp_relay::layers::Carried;

use self::bridge::Bridge;
pub(crate) use self::error::PluginError;
use self::http_proxy::HttpProxy;
use self::socks5::Socks5;
use self::static_file::StaticFile;
use self::tls2raw::Tls2Raw;
use self::unix_domain_socket::UnixDomainSocket;
use crate::tasks::Tasks;
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

impl Plugin {
    /// Reads the files that the settings name. What the plugin begins on its own belongs to
    /// `tasks`.
    pub(crate) fn new(cfg: &ClientPlugin, tasks: &Tasks) -> Result<Self, PluginError> {
        let name = cfg.as_str();
        Ok(match cfg {
            ClientPlugin::HttpProxy(login) => Self::HttpProxy(HttpProxy::new(login)),
            ClientPlugin::Socks5(cfg) => Self::Socks5(Socks5::new(&cfg.login())),
            ClientPlugin::StaticFile(cfg) => Self::StaticFile(StaticFile::new(
                &cfg.local_path,
                &cfg.strip_prefix,
                &cfg.login,
            )),
            ClientPlugin::Http2Http(cfg) => Self::Bridge(Bridge::plain(name, cfg, None, tasks)?),
            ClientPlugin::Http2Https(cfg) => {
                let to_tls = Some(&cfg.backend_tls);
                Self::Bridge(Bridge::plain(name, &cfg.forward, to_tls, tasks)?)
            }
            ClientPlugin::Https2Http(cfg) => Self::Bridge(Bridge::secure(name, cfg, None, tasks)?),
            ClientPlugin::Https2Https(cfg) => {
                let to_tls = Some(&cfg.backend_tls);
                Self::Bridge(Bridge::secure(name, &cfg.https, to_tls, tasks)?)
            }
            ClientPlugin::Tls2Raw(cfg) => Self::Tls2Raw(Tls2Raw::new(&cfg.local_addr, &cfg.tls)?),
            ClientPlugin::UnixDomainSocket(cfg) => {
                Self::UnixDomainSocket(UnixDomainSocket::new(cfg.unix_path.clone()))
            }
            ClientPlugin::VirtualNet => return Err(PluginError::NotSupported(name)),
        })
    }

    /// Serves one user to the end. Dropping the future, as at the client's end, must end whatever
    /// it began, but for connections kept for later users; those belong to the client's tasks.
    pub(crate) async fn serve(&self, carried: Carried, user: &User) {
        // Each is boxed: users of a service that needs no plugin would take the room of the largest.
        match self {
            Self::HttpProxy(plugin) => Box::pin(plugin.serve(carried, user)).await,
            Self::Socks5(plugin) => Box::pin(plugin.serve(carried, user)).await,
            Self::StaticFile(plugin) => Box::pin(plugin.serve(carried, user)).await,
            Self::Bridge(plugin) => Box::pin(plugin.serve(carried, user)).await,
            Self::Tls2Raw(plugin) => Box::pin(plugin.serve(carried, user)).await,
            Self::UnixDomainSocket(plugin) => Box::pin(plugin.serve(carried, user)).await,
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
