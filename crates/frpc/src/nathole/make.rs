//! From the answer of frps to a peer that is heard: the same at both ends of a hole.

use std::net::IpAddr;

use frp_config::Secret;
use frp_log::{Log, info};
use frp_proto::crypto::cfb::Key;

use super::budget::Budget;
use super::error::HoleError;
use super::orders::Orders;
use super::prepare::Prepared;
use super::punch::{Hole, punch};

/// Follows the answer of frps until the peer is heard. `parties` are as for
/// [`may_be_sent_to`](frp_proto::nathole::reach::may_be_sent_to).
pub(crate) async fn make_hole(
    prepared: Prepared,
    orders: &Orders,
    secret: &Secret,
    parties: &[IpAddr],
    budget: &Budget,
    log: &Log,
) -> Result<Hole, HoleError> {
    info!(log, "get natHoleRespMsg, {}", orders.shown());
    let Prepared { sockets, nat, .. } = prepared;
    let key = Key::derive(secret.expose().as_bytes());
    let hole = punch(sockets, orders, &key, parties, budget).await;
    let hole = hole.map_err(|error| HoleError::unheard(error, orders, nat.as_ref()))?;
    info!(
        log,
        "establishing nat hole connection successful, sid [{}], remoteAddr [{}]",
        orders.shown_sid(),
        hole.peer
    );
    Ok(hole)
}
