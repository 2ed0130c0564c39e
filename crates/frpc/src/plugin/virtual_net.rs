//! `virtual_net`: users of the proxy are machines of the virtual network, and what they send are packets
//! (frp `pkg/plugin/client/virtual_net.go`).

use frp_log::{debug, info, warn};
use frp_relay::conns;
use frp_relay::counted::Counted;
use frp_relay::layers::Carried;

use super::error::PluginError;
use crate::user::User;
use crate::virtual_net::Net;

#[derive(Debug)]
pub(crate) struct VirtualNet {
    net: Net,
}

impl VirtualNet {
    pub(super) fn new(net: Option<&Net>) -> Result<Self, PluginError> {
        let net = net.ok_or(PluginError::NoVirtualNet)?.clone();
        Ok(Self { net })
    }

    pub(super) async fn serve(&self, carried: Carried, user: &User) {
        let log = &user.log;
        user.reach.succeeded();
        let from = user.addresses.map(|(from, _)| format!(" from {from}"));
        let from = from.unwrap_or_default();
        debug!(log, "a machine of the virtual network has come{from}");
        let counted = Counted::new(carried, user.traffic.clone());
        let end = self
            .net
            .serve(counted, |dropped| info!(log, "{dropped}"))
            .await;
        if let Some(own) = &user.traffic.own {
            own.ends(conns::End::User);
        }
        match end.is_fault() {
            true => warn!(
                log,
                "a machine of the virtual network{from} was cut off: {end}"
            ),
            false => debug!(
                log,
                "a machine of the virtual network{from} has gone: {end}"
            ),
        }
    }
}
