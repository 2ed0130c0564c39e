//! Plugins: what serves the users of a proxy in the place of a local service
//! (frp `pkg/plugin/client`). A file for each; the settings are in `frp_config::ClientPlugin`.

mod unix_domain_socket;

use frp_config::ClientPlugin;
use frp_net::layers::Carried;

use self::unix_domain_socket::UnixDomainSocket;
use crate::user::User;

/// A plugin that is ready to serve.
#[derive(Debug)]
pub(crate) enum Plugin {
    UnixDomainSocket(UnixDomainSocket),
}

/// Why a proxy cannot start with its plugin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PluginError {
    #[error("plugin [{0}] is not registered")]
    NotSupported(&'static str),
}

impl Plugin {
    /// Reads the files that the settings name.
    pub(crate) fn new(cfg: &ClientPlugin) -> Result<Self, PluginError> {
        match cfg {
            ClientPlugin::UnixDomainSocket { unix_path } => Ok(Self::UnixDomainSocket(
                UnixDomainSocket::new(unix_path.clone()),
            )),
            other => Err(PluginError::NotSupported(other.name())),
        }
    }

    /// Serves one user to the end. Dropping the future, as at the client's end, must end whatever
    /// it began, but for connections kept for later users; those belong to `user.tasks`.
    pub(crate) async fn serve(&self, carried: Carried, user: &User<'_>) {
        match self {
            Self::UnixDomainSocket(plugin) => plugin.serve(carried, user).await,
        }
    }

    /// The `type` in the file.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::UnixDomainSocket(_) => "unix_domain_socket",
        }
    }
}
