//! What the sessions of a client have in common, and what outlives them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use frp_config::ClientConfig;
use frp_proto::crypto::cfb;

use crate::auth::{Auth, EndpointSetupError};
use crate::live::Live;
use crate::nathole::Budget;
use crate::port_mapping::PortMapper;
use crate::proof::Prover;
use crate::registration::Registrations;
use crate::settings::Settings;
use crate::tasks::Tasks;
use crate::virtual_net::VirtualNet;

#[derive(Debug)]
pub(crate) struct Client {
    /// As the client was started.
    pub(crate) cfg: Arc<ClientConfig>,
    pub(crate) auth: Auth,
    pub(crate) prover: Prover,
    pub(crate) key: cfb::Key,
    pub(crate) tasks: Tasks,
    /// What proxies and visitors there shall be; changes while the client runs.
    pub(crate) settings: Arc<Settings>,
    /// The session's; the admin API and work connections only look.
    pub(crate) registrations: Arc<Mutex<Registrations>>,
    pub(crate) live: Arc<Live>,
    pub(crate) virtual_net: VirtualNet,
    /// What all direct paths may cost.
    pub(crate) budget: Budget,
    /// Ports of the router for them.
    pub(crate) ports: PortMapper,
}

impl Client {
    pub(crate) fn new(settings: Settings) -> Result<Self, EndpointSetupError> {
        let cfg = settings.merged();
        Ok(Self {
            auth: Auth::new(&cfg)?,
            prover: Prover::new(&cfg),
            key: cfb::Key::derive(cfg.auth.token.expose().as_bytes()),
            tasks: Tasks::default(),
            settings: Arc::new(settings),
            registrations: Arc::default(),
            live: Arc::new(Live::new(&cfg.auth.token)),
            virtual_net: VirtualNet::default(),
            budget: Budget::default(),
            ports: PortMapper::default(),
            cfg,
        })
    }

    pub(crate) fn registrations(&self) -> MutexGuard<'_, Registrations> {
        let registrations = self.registrations.lock();
        registrations.unwrap_or_else(PoisonError::into_inner)
    }
}
