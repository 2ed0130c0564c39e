//! The plugin `virtual_net` of a visitor: a machine of the virtual network that is reached by the proxy
//! (frp `pkg/plugin/visitor/virtual_net.go`).
//!
//! A connection that ends is opened again after 10 s; one that cannot be opened is tried again after 60 s, which
//! double to 300 s, as in frp. A packet for the machine is tried at once, and then every 5 s.

use std::sync::Arc;
use std::time::Duration;

use frp_config::VirtualNetVisitor;
use frp_log::{debug, info, warn};
use frp_relay::counted::Counted;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::visitor::{StartError, Visitor};
use crate::limits::{VISIT_AGAIN, VISIT_AGAIN_MAX, VISIT_AGAIN_MIN, VISIT_WANTED};
use crate::virtual_net::{Net, Visit};

/// Has the machine be reached, by a task of `listeners` that ends with the visitor.
pub(super) fn start(
    visitor: &Arc<Visitor>,
    plugin: &VirtualNetVisitor,
    listeners: &TaskTracker,
) -> Result<(), StartError> {
    let net = visitor.server.client.virtual_net.net();
    let net = net.ok_or(StartError::NoVirtualNet)?.clone();
    let ip = plugin.destination_ip.ok_or(StartError::NoDestination)?;
    let visit = net.visit(ip, &visitor.target);
    let visit = visit.map_err(|e| StartError::VirtualNet(e.to_string()))?;
    let visitor = visitor.clone();
    listeners.spawn(async move {
        let keeping = async {
            if !net.leads_to(ip).await {
                no_route(&visitor, &net, ip);
            }
            keep(&visitor, &visit, ip).await;
        };
        tokio::select! {
            () = keeping => {}
            () = visitor.stop.cancelled() => {}
        }
    });
    Ok(())
}

/// frp goes without a word.
fn no_route(visitor: &Visitor, net: &Net, ip: std::net::IpAddr) {
    let device = net.device();
    warn!(
        visitor.log,
        "destinationIP {ip} is not in the network of virtualNet.address, so this system sends nothing for it to \
         {device}; add a route: ip route add {ip} dev {device}"
    );
}

/// Connects, and connects again.
async fn keep(visitor: &Visitor, visit: &Visit, ip: std::net::IpAddr) {
    let mut failed = 0_u32;
    loop {
        let pause = match visitor.open().await {
            Ok(carried) => {
                failed = 0;
                info!(
                    visitor.log,
                    "{ip} of the virtual network is reached by {}", visitor.cfg.server_name
                );
                let counted = Counted::new(carried, visitor.traffic.clone());
                let end = visit
                    .carry(counted, |dropped| info!(visitor.log, "{dropped}"))
                    .await;
                match end.is_fault() {
                    true => warn!(visitor.log, "the connection to {ip} was cut off: {end}"),
                    false => debug!(visitor.log, "the connection to {ip} has ended: {end}"),
                }
                VISIT_AGAIN
            }
            Err(e) => {
                let pause = after_failures(failed);
                failed = failed.saturating_add(1);
                let seconds = pause.as_secs();
                warn!(
                    visitor.log,
                    "{ip} of the virtual network is not reached: {e}; trying again in {seconds} s, or when a packet is sent to it"
                );
                pause
            }
        };
        let wanted = async {
            sleep(VISIT_WANTED).await;
            visit.wanted().await;
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = wanted => debug!(visitor.log, "a packet for {ip} has come"),
        }
    }
}

/// The wait after so many failures in a row before this one.
fn after_failures(failed: u32) -> Duration {
    VISIT_AGAIN_MIN
        .saturating_mul(2_u32.saturating_pow(failed))
        .min(VISIT_AGAIN_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waits_are_those_of_frp() {
        let waits = (0..5).map(|failed| after_failures(failed).as_secs());
        assert_eq!(waits.collect::<Vec<_>>(), [60, 120, 240, 300, 300]);
        assert_eq!(after_failures(u32::MAX), VISIT_AGAIN_MAX);
    }
}
