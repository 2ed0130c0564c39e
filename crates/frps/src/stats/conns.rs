//! Which users are connected now, and to what ([`frp_relay::conns`]): from their
//! [entry](crate::proxy::user::UserConn::enter) to their end, once for each proxy that they have come to.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use frp_relay::conns::Owner;

use super::metrics::Counters;
use crate::client::handle::SessionHandle;
use crate::proxy::spec::ProxySpec;

pub(crate) type Conns = frp_relay::conns::Conns<Served>;
pub(crate) type Conn = frp_relay::conns::Conn<Served>;
pub(crate) type Place = frp_relay::conns::Place<Served>;

/// What the connections of one run of a proxy belong to.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) spec: Arc<ProxySpec>,
    pub(crate) client: Arc<SessionHandle>,
    pub(crate) counters: Arc<Counters>,
}

impl Owner for Served {
    fn entered(&self) {
        self.counters.users.fetch_add(1, Relaxed);
        self.client.conns.fetch_add(1, Relaxed);
    }

    fn left(&self) {
        self.counters.users.fetch_sub(1, Relaxed);
        self.client.conns.fetch_sub(1, Relaxed);
    }
}
