//! A configured proxy: what its connections share, and the phases of its registration
//! (frp `client/proxy/proxy_wrapper.go`).

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use frp_config::{BandwidthLimitMode, ProxyConfig};
use frp_log::Log;
use frp_net::layers::{Bucket, LayerOptions};
use frp_net::relay::Traffic;
use frp_proto::crypto::cfb;
use tokio::time::Instant;

use crate::udp;

/// An unanswered registration is sent again after this time.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// A refused registration is tried again after these times, then always after the last. frp waits
/// 30 s each time; what stands in the way is often gone sooner (a dead client's port).
const RETRY_AFTER: [Duration; 4] = [
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

/// What every connection of a proxy needs.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) cfg: ProxyConfig,
    pub(crate) layers: LayerOptions,
    pub(crate) traffic: Traffic,
    /// Of type udp.
    pub(crate) udp: udp::Current,
    pub(crate) log: Log,
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
            log: log.with(&cfg.name),
            cfg,
        }
    }
}

/// The proxies that the server has accepted, by raw name; work connections look theirs up here.
#[derive(Debug, Default)]
pub(crate) struct Running {
    by_name: RwLock<HashMap<String, Arc<Proxy>>>,
}

impl Running {
    pub(crate) fn by_name(&self, name: &str) -> Option<Arc<Proxy>> {
        self.by_name
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    fn insert(&self, proxy: &Arc<Proxy>) {
        let mut map = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        map.insert(proxy.cfg.name.clone(), proxy.clone());
    }
}

/// Where a proxy's registration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    New { since: Instant },
    WaitStart { since: Instant },
    StartError { since: Instant },
    Running,
}

/// A proxy and its registration.
#[derive(Debug)]
pub(crate) struct Registration {
    proxy: Arc<Proxy>,
    phase: Phase,
    refusals: usize,
}

impl Registration {
    pub(crate) fn new(proxy: Proxy) -> Self {
        Self {
            proxy: Arc::new(proxy),
            phase: Phase::New {
                since: Instant::now(),
            },
            refusals: 0,
        }
    }

    pub(crate) fn proxy(&self) -> &Arc<Proxy> {
        &self.proxy
    }

    /// When the registration is to be sent (again); `None`: it stands.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.phase {
            Phase::New { since } => Some(since),
            Phase::WaitStart { since } => Some(since + ANSWER_LIMIT),
            Phase::StartError { since } => {
                let nth = self.refusals.saturating_sub(1).min(RETRY_AFTER.len() - 1);
                Some(since + RETRY_AFTER[nth])
            }
            Phase::Running => None,
        }
    }

    /// The registration was sent.
    pub(crate) fn sent(&mut self) {
        self.phase = Phase::WaitStart {
            since: Instant::now(),
        };
    }

    /// The server answered: an empty `error` means that the proxy runs.
    pub(crate) fn answered(&mut self, error: &str, running: &Running) -> Result<(), String> {
        if !matches!(self.phase, Phase::WaitStart { .. }) {
            return Err("status not wait start, ignore start message".to_owned());
        }
        if !error.is_empty() {
            self.refusals += 1;
            self.phase = Phase::StartError {
                since: Instant::now(),
            };
            return Err(error.to_owned());
        }
        self.refusals = 0;
        self.phase = Phase::Running;
        running.insert(&self.proxy);
        Ok(())
    }
}
