//! What the connections of one proxy share, and how they go: [`spec`] is what its client wants,
//! [`user`] the way of a user, [`members`] whose turn it is where proxies share their users.

pub(crate) mod members;
pub(crate) mod names;
pub(crate) mod spec;
pub(crate) mod sudp;
pub(crate) mod udp_users;
pub(crate) mod user;

use std::sync::Arc;

use frp_log::Log;
use frp_process::threads::Thread;
use frp_relay::layers::{Bucket, LayerOptions};

use self::spec::{ProxySpec, Transport};
use crate::base::Base;
use crate::client::handle::SessionHandle;
use crate::stats::conns::Served;
use crate::stats::metrics::Counters;
use crate::vhost::http::idle::Idle;

/// See the module.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) name: Arc<str>,
    pub(crate) spec: Arc<ProxySpec>,
    pub(crate) base: Arc<Base>,
    pub(crate) session: Arc<SessionHandle>,
    pub(crate) layers: LayerOptions,
    pub(crate) counters: Arc<Counters>,
    /// What its users' connections belong to, for those who look at them.
    pub(crate) served: Arc<Served>,
    /// Work connections between requests, of a proxy of type http.
    pub(crate) idle: Arc<Idle>,
    /// That of the session: its work connections are there, so its users should be.
    pub(crate) thread: Thread,
    pub(crate) log: Log,
}

impl Proxy {
    /// Of the session of `client`, which runs here.
    pub(crate) fn new(
        base: &Arc<Base>,
        client: &Arc<SessionHandle>,
        spec: &Arc<ProxySpec>,
        counters: Arc<Counters>,
    ) -> Self {
        let thread = Thread::here();
        let idle = Idle::new(base.tasks.clone(), base.stop.clone(), thread.clone());
        Self {
            name: spec.name.clone(),
            spec: spec.clone(),
            base: base.clone(),
            session: client.clone(),
            layers: layers_of(base, client, &spec.transport),
            served: Arc::new(Served {
                spec: spec.clone(),
                client: client.clone(),
                counters: counters.clone(),
            }),
            counters,
            idle: Arc::new(idle),
            thread,
            log: client.log.with(&spec.name),
        }
    }
}

fn layers_of(base: &Base, session: &SessionHandle, transport: &Transport) -> LayerOptions {
    let own = transport.limit.as_ref().map(|own| own.bytes_per_second);
    let of_token = base.policy().auth.tokens.bucket_of(session.identity());
    LayerOptions {
        cipher: transport
            .encryption
            .then(|| session.identity().key().clone()),
        compress: transport.compression,
        limit: match (own, of_token) {
            (Some(own), Some(larger)) => Some(Arc::new(Bucket::within(own, larger))),
            (Some(own), None) => Some(Arc::new(Bucket::new(own))),
            (None, of_token) => of_token,
        },
    }
}
