//! The listener of a tcp proxy.

use std::sync::Arc;

use frp_log::info;
use frp_net::limits::END_KEEPALIVE;
use frp_net::listen::{accept_loop, tune};
use tokio_util::sync::CancellationToken;

use super::{NameGuard, Proxy};
use crate::ports::Lease;

/// Accepts users until `stop`; the port and the name are free again when this returns.
pub(super) async fn accept(
    proxy: Arc<Proxy>,
    lease: Lease,
    name: NameGuard,
    stop: CancellationToken,
) {
    let (listener, port) = lease.into_listener();
    accept_loop(listener, stop, |user, peer| {
        info!(proxy.log, "get a user connection [{peer}]");
        tune(&user, Some(END_KEEPALIVE));
        proxy
            .shared
            .tasks
            .spawn(proxy.clone().serve_user(user, peer));
    })
    .await;
    // In this order: who finds the name free finds the port free, too.
    drop(port);
    drop(name);
}
