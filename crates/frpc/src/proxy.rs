//! A configured proxy: what its connections share.

use std::sync::{Arc, OnceLock};

use frp_config::{BandwidthLimitMode, ProxyConfig};
use frp_log::Log;
use frp_net::layers::{Bucket, LayerOptions};
use frp_net::relay::Traffic;
use frp_proto::crypto::cfb;

use crate::plugin::{Plugin, PluginError};
use crate::reach::Reach;
use crate::service::Tasks;
use crate::udp;

/// What every connection of a proxy needs.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) cfg: ProxyConfig,
    pub(crate) layers: LayerOptions,
    pub(crate) traffic: Traffic,
    /// Of type udp.
    pub(crate) udp: udp::Current,
    /// Whether its local service can be reached.
    pub(crate) reach: Reach,
    pub(crate) log: Log,
    /// Made when the proxy starts, for that may fail.
    plugin: OnceLock<Plugin>,
}

impl Proxy {
    pub(crate) fn new(cfg: ProxyConfig, key: &cfb::Key, log: &Log) -> Self {
        let transport = &cfg.transport;
        let limit = transport
            .bandwidth_limit
            .as_ref()
            .filter(|_| transport.bandwidth_limit_mode == BandwidthLimitMode::Client);
        let layers = LayerOptions {
            cipher: transport.use_encryption.then(|| key.clone()),
            compress: transport.use_compression,
            limit: limit.map(|limit| Arc::new(Bucket::new(limit.bytes_per_second))),
        };
        Self {
            layers,
            traffic: Traffic::default(),
            udp: udp::Current::default(),
            reach: Reach::default(),
            log: log.with(&cfg.name),
            plugin: OnceLock::new(),
            cfg,
        }
    }

    /// What serves the users instead of the local service; there once [`Proxy::prepare`] has
    /// succeeded, if one is configured.
    pub(crate) fn plugin(&self) -> Option<&Plugin> {
        self.plugin.get()
    }

    /// Makes the plugin that is configured, if one is.
    pub(crate) fn prepare(&self, tasks: &Tasks) -> Result<(), PluginError> {
        if let (Some(cfg), None) = (&self.cfg.plugin, self.plugin()) {
            let _ = self.plugin.set(Plugin::new(cfg, tasks)?);
        }
        Ok(())
    }
}
