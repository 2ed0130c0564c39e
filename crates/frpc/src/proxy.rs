//! A configured proxy: what its connections share.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use frp_config::{BandwidthLimitMode, ProxyConfig, ProxyKind};
use frp_log::{Level, Log};
use frp_proto::crypto::cfb;
use frp_proto::msg::StartWorkConn;
use frp_relay::layers::{Bucket, LayerOptions};
use frp_relay::relay::Traffic;
use tokio_util::sync::CancellationToken;

use crate::live::{Conn, Live, Served};
use crate::plugin::{Plugin, PluginError};
use crate::reach::Reach;
use crate::real_ip::{Once, RealIp};
use crate::sshd::Watch;
use crate::tasks::Tasks;
use crate::user::{Meter, User, addresses};
use crate::virtual_net::Net;

/// What every connection of a proxy needs.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) cfg: ProxyConfig,
    pub(crate) layers: LayerOptions,
    pub(crate) traffic: Arc<Traffic>,
    /// What its users' connections belong to.
    pub(crate) served: Arc<Served>,
    /// Whether its local service can be reached.
    pub(crate) reach: Arc<Reach>,
    /// From which address it is.
    pub(crate) real_ip: Arc<RealIp>,
    /// That the server does not tell who users are.
    pub(crate) says_no_address: Once,
    /// The log of the ssh server that it leads to, where it is followed.
    pub(crate) sshd: OnceLock<Watch>,
    pub(crate) log: Log,
    /// Made when the proxy starts, for that may fail.
    plugin: OnceLock<Plugin>,
    /// Of the last work connection, where one carries all users.
    carrier: Mutex<CancellationToken>,
}

impl Proxy {
    pub(crate) fn new(cfg: ProxyConfig, key: &cfb::Key, log: &Log, live: &Live) -> Self {
        let served = live.served(&cfg.name, cfg.kind.as_str());
        let transport = &cfg.transport;
        let limit = transport
            .bandwidth_limit
            .as_ref()
            .filter(|_| transport.bandwidth_limit_mode == BandwidthLimitMode::Client);
        let layers = LayerOptions {
            cipher: transport.use_encryption.then(|| match &cfg.kind {
                // No server lies between it and its visitors.
                ProxyKind::Xtcp(xtcp) => {
                    cfb::Key::derive(xtcp.access.secret_key.expose().as_bytes())
                }
                _ => key.clone(),
            }),
            compress: transport.use_compression,
            limit: limit.map(|limit| Arc::new(Bucket::new(limit.bytes_per_second))),
        };
        let log = log.with(&cfg.name);
        Self {
            layers,
            traffic: served.traffic.clone(),
            served,
            reach: Arc::new(Reach::new(log.clone())),
            real_ip: live.real_ip.clone(),
            says_no_address: Once::default(),
            sshd: OnceLock::new(),
            log,
            plugin: OnceLock::new(),
            carrier: Mutex::default(),
            cfg,
        }
    }

    /// The user whom the server announces.
    pub(crate) fn user(
        &self,
        start: &StartWorkConn,
        tasks: &Tasks,
        conn: Option<Arc<Conn>>,
    ) -> User {
        User {
            log: self.log.clone(),
            traffic: Arc::new(Meter {
                all: self.traffic.clone(),
                own: conn,
            }),
            reach: self.reach.clone(),
            proxy_protocol: self.cfg.transport.proxy_protocol,
            addresses: addresses(start),
            tasks: tasks.clone(),
        }
    }

    /// Ends the work connection that has carried all users so far: the server has given it up. The
    /// token is of the next one.
    pub(crate) fn replace_carrier(&self) -> CancellationToken {
        let mut last = self.carrier.lock().unwrap_or_else(PoisonError::into_inner);
        last.cancel();
        *last = CancellationToken::new();
        last.clone()
    }

    /// The local service could not be reached by one of the users.
    pub(crate) fn unreachable(&self, level: Level, why: impl fmt::Display) {
        let (host, port) = (&self.cfg.local_ip, self.cfg.local_port);
        let line = format!("connect to local service [{host}:{port}] error: {why}");
        self.reach.failed(level, line);
    }

    /// What serves the users instead of the local service; there once [`Proxy::prepare`] has
    /// succeeded, if one is configured.
    pub(crate) fn plugin(&self) -> Option<&Plugin> {
        self.plugin.get()
    }

    /// Makes the plugin that is configured, if one is; see [`Plugin::new`].
    pub(crate) fn prepare(&self, tasks: &Tasks, net: Option<&Net>) -> Result<(), PluginError> {
        if let (Some(cfg), None) = (&self.cfg.plugin, self.plugin()) {
            let _ = self.plugin.set(Plugin::new(cfg, tasks, net)?);
        }
        Ok(())
    }
}
