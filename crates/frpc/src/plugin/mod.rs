//! Plugins: what serves the users of a proxy in the place of a local service
//! (frp `pkg/plugin/client`). A file for each; the settings are in `frp_config::ClientPlugin`.

#[cfg(feature = "http")]
mod bridge;
mod error;
#[cfg_attr(not(feature = "http"), path = "../absent/plugin.rs")]
mod http;
#[cfg(feature = "http")]
mod http_proxy;
mod local_addr;
#[cfg(feature = "http")]
mod login;
pub(crate) mod socks5;
#[cfg(feature = "http")]
pub(crate) mod static_file;
mod tls2raw;
mod unix_domain_socket;
mod user_tls;
mod virtual_net;

use frp_config::ClientPlugin;
use frp_relay::layers::Carried;

pub(crate) use self::error::PluginError;
use self::http::Http;
use self::socks5::Socks5;
use self::tls2raw::Tls2Raw;
use self::unix_domain_socket::UnixDomainSocket;
use self::virtual_net::VirtualNet;
use crate::tasks::Tasks;
use crate::user::User;
use crate::virtual_net::Net;

/// A plugin that is ready to serve.
#[derive(Debug)]
pub(crate) enum Plugin {
    /// One that speaks HTTP.
    Http(Http),
    Socks5(Socks5),
    Tls2Raw(Tls2Raw),
    UnixDomainSocket(UnixDomainSocket),
    VirtualNet(VirtualNet),
}

impl Plugin {
    /// Reads the files that the settings name. What the plugin begins on its own belongs to
    /// `tasks`; `net` is the virtual network, where there is one.
    pub(crate) fn new(
        cfg: &ClientPlugin,
        tasks: &Tasks,
        net: Option<&Net>,
    ) -> Result<Self, PluginError> {
        Ok(match cfg {
            ClientPlugin::Socks5(cfg) => Self::Socks5(Socks5::new(&cfg.login())),
            ClientPlugin::Tls2Raw(cfg) => Self::Tls2Raw(Tls2Raw::new(&cfg.local_addr, &cfg.tls)?),
            ClientPlugin::UnixDomainSocket(cfg) => {
                Self::UnixDomainSocket(UnixDomainSocket::new(cfg.unix_path.clone()))
            }
            ClientPlugin::VirtualNet => Self::VirtualNet(VirtualNet::new(net)?),
            ClientPlugin::HttpProxy(_)
            | ClientPlugin::StaticFile(_)
            | ClientPlugin::Http2Http(_)
            | ClientPlugin::Http2Https(_)
            | ClientPlugin::Https2Http(_)
            | ClientPlugin::Https2Https(_) => Self::Http(Http::new(cfg, tasks)?),
        })
    }

    /// Serves one user to the end. Dropping the future, as at the client's end, must end whatever
    /// it began, but for connections kept for later users; those belong to the client's tasks.
    pub(crate) async fn serve(&self, carried: Carried, user: &User) {
        // Each is boxed: users of a service that needs no plugin would take the room of the largest.
        match self {
            Self::Http(plugin) => Box::pin(plugin.serve(carried, user)).await,
            Self::Socks5(plugin) => Box::pin(plugin.serve(carried, user)).await,
            Self::Tls2Raw(plugin) => Box::pin(plugin.serve(carried, user)).await,
            Self::UnixDomainSocket(plugin) => Box::pin(plugin.serve(carried, user)).await,
            Self::VirtualNet(plugin) => Box::pin(plugin.serve(carried, user)).await,
        }
    }

    /// The `type` in the file.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Http(plugin) => plugin.name(),
            Self::Socks5(_) => "socks5",
            Self::Tls2Raw(_) => "tls2raw",
            Self::UnixDomainSocket(_) => "unix_domain_socket",
            Self::VirtualNet(_) => "virtual_net",
        }
    }
}
