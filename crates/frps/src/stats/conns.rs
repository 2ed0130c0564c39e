//! Which users are connected now, and to what ([`frp_relay::conns`]): from their
//! [entry](crate::proxy::user::UserConn::enter) to their end, once for each proxy that they have come to.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use frp_log::access;
use frp_relay::conns::{End, Owner};

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

    fn left(&self, conn: &Conn, lasted: Duration) {
        self.counters.users.fetch_sub(1, Relaxed);
        self.client.conns.fetch_sub(1, Relaxed);
        if !access::is_wanted() {
            return;
        }
        let end = conn.end().unwrap_or(End::User);
        let end = match end {
            End::Service | End::ServiceFailed if self.client.released.is_cancelled() => {
                End::ClientGone
            }
            end => end,
        };
        access::ended(&access::Connection {
            id: conn.number(),
            proxy: &self.spec.name,
            kind: self.spec.proxy_type().as_str(),
            client: &self.client.key(),
            user: conn.from,
            lasted,
            bytes: (conn.traffic.near_to_far(), conn.traffic.far_to_near()),
            end: end.as_str(),
        });
    }
}
