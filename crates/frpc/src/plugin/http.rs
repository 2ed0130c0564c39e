//! The plugins that speak HTTP with users.

use std::sync::Arc;

use frp_config::ClientPlugin;
use frp_relay::layers::Carried;

use super::bridge::Bridge;
use super::error::PluginError;
use super::http_proxy::HttpProxy;
use super::static_file::StaticFile;
use crate::tasks::Tasks;
use crate::user::User;

/// One of them that is ready to serve.
#[derive(Debug)]
pub(crate) enum Http {
    Proxy(HttpProxy),
    StaticFile(StaticFile),
    /// `http2http`, `http2https`, `https2http` or `https2https`
    Bridge(Arc<Bridge>),
}

impl Http {
    pub(super) fn new(cfg: &ClientPlugin, tasks: &Tasks) -> Result<Self, PluginError> {
        let name = cfg.as_str();
        Ok(match cfg {
            ClientPlugin::HttpProxy(login) => Self::Proxy(HttpProxy::new(login)),
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
            _ => return Err(PluginError::NotSupported(name)),
        })
    }

    pub(super) async fn serve(&self, carried: Carried, user: &User) {
        match self {
            Self::Proxy(plugin) => Box::pin(plugin.serve(carried, user)).await,
            Self::StaticFile(plugin) => Box::pin(plugin.serve(carried, user)).await,
            Self::Bridge(plugin) => Box::pin(plugin.serve(carried, user)).await,
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Proxy(_) => "http_proxy",
            Self::StaticFile(_) => "static_file",
            Self::Bridge(plugin) => plugin.name(),
        }
    }
}
