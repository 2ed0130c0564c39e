//! A tcp proxy: a port of ours.

use std::sync::Arc;

use frp_log::info;
use frp_net::limits::END_KEEPALIVE;
use frp_net::listen::{accept_loop, tune};
use tokio_util::sync::CancellationToken;

use super::names::NameGuard;
use super::user::UserAddrs;
use super::{Held, Members, ProxyError, Published, Setup};
use crate::Shared;
use crate::ports::{Lease, PortError};

/// Opens the port that the proxy asks for.
pub(super) fn publish(setup: &Setup<'_>) -> Result<Published, ProxyError> {
    let Setup { proxy, new, .. } = setup;
    if !new.group.is_empty() {
        return Err(ProxyError::Group);
    }
    let shared = &proxy.shared;
    let wanted = u16::try_from(new.remote_port).map_err(|_| PortError::NotAllowed)?;
    let lease = shared.ports.acquire(&new.proxy_name, wanted)?;
    let port = lease.port();
    info!(proxy.log, "tcp proxy listen port [{port}]");
    let members = Arc::new(Members::default());
    let stop = shared.stop.child_token();
    let accepting = accept(shared.clone(), members.clone(), lease, stop.clone());
    let membership = members.join(proxy);
    let name = setup.name.clone();
    let task = setup.listeners.spawn(async move {
        accepting.await;
        drop(membership);
        drop::<Arc<NameGuard>>(name);
    });
    Ok(Published {
        remote_addr: format!(":{port}"),
        port: Some(port),
        held: Held::Task(stop.drop_guard(), task),
    })
}

/// Hands users to `members` in turn until `stop`; the port is free again when this returns.
async fn accept(shared: Arc<Shared>, members: Arc<Members>, lease: Lease, stop: CancellationToken) {
    let (listener, port) = lease.into_listener();
    accept_loop(listener, stop, |user, peer| {
        let Some(proxy) = members.next() else { return };
        info!(proxy.log, "get a user connection [{peer}]");
        tune(&user, Some(END_KEEPALIVE));
        let at = UserAddrs::of(&user, peer);
        shared.tasks.spawn(proxy.serve_user(user, at));
    })
    .await;
    drop(port);
}
