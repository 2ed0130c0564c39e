//! A stcp or xtcp visitor: a local port whose users reach the proxy, each by a connection of its own (frp
//! `client/visitor/stcp.go`, `client/visitor/xtcp.go`).

use std::sync::Arc;

use frp_log::{debug, warn};
use frp_net::limits::END_KEEPALIVE;
use frp_net::listen::{accept_loop, tune};
use frp_relay::layers::Carried;
use frp_relay::relay::relay;
use tokio::net::TcpListener;

use super::visitor::Visitor;

/// Serves the users of `listener` until the visitor stops.
pub(super) async fn serve(visitor: Arc<Visitor>, listener: TcpListener) {
    let stop = visitor.stop.clone();
    accept_loop(listener, visitor.log.span(), stop, |user, peer| {
        tune(&user, Some(END_KEEPALIVE));
        let from = peer.to_string();
        let serving = serve_user(visitor.clone(), user.into(), from);
        visitor.server.client.tasks.tracker.spawn(serving);
    })
    .await;
}

/// Carries a user that came `from` somewhere to the proxy, until both ends are done.
async fn serve_user(visitor: Arc<Visitor>, user: Carried, from: String) {
    let kind = visitor.cfg.kind.as_str();
    debug!(visitor.log, "get a new {kind} user connection [{from}]");
    let opened = tokio::select! {
        opened = visitor.open() => opened,
        () = visitor.server.stop.cancelled() => return,
    };
    let carried = match opened {
        Ok(carried) => carried,
        Err(e) => return warn!(visitor.log, "user connection [{from}] closed: {e}"),
    };
    tokio::select! {
        relayed = relay(user, carried, &visitor.traffic) => {
            debug!(visitor.log, "join connections closed, [{from}]: {relayed}");
        }
        () = visitor.server.client.tasks.stop.cancelled() => {}
    }
}
