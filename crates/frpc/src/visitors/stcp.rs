//! A stcp visitor: its users reach the proxy through the server (frp `client/visitor/stcp.go`).

use std::sync::Arc;

use frp_log::{debug, warn};
use frp_relay::relay::relay;

use super::visitor::{User, Visitor};

/// Carries a user to the proxy, until both ends are done.
pub(super) async fn carry(visitor: Arc<Visitor>, user: User) {
    let User { stream, from, .. } = user;
    debug!(visitor.log, "get a new stcp user connection [{from}]");
    let opened = tokio::select! {
        opened = visitor.open() => opened,
        () = visitor.server.stop.cancelled() => return,
    };
    let carried = match opened {
        Ok(carried) => carried,
        Err(e) => return warn!(visitor.log, "user connection [{from}] closed: {e}"),
    };
    tokio::select! {
        relayed = relay(stream, carried, &visitor.traffic) => {
            debug!(visitor.log, "join connections closed, [{from}]: {relayed}");
        }
        () = visitor.server.client.tasks.stop.cancelled() => {}
    }
}
