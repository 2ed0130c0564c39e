//! A tcp proxy: a port of ours, its own or its group's.

use std::sync::Arc;

use frp_log::info;
use frp_net::listen::accept_loop;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use super::setup::{ProxyError, Published, Setup, Teardown};
use crate::base::Base;
use crate::ports::Lease;
use crate::proxied;
use crate::proxy::members::Members;
use crate::proxy::names::NameGuard;

/// Opens the port that the proxy asks for, or joins the group that has it.
pub(super) fn publish(setup: &Setup<'_>, wanted: u16) -> Result<Published, ProxyError> {
    let Setup { shared, proxy, .. } = setup;
    let allowed = &*setup.ports();
    let group = &proxy.spec.group;
    let (port, teardown) = if group.name.is_empty() {
        let lease = shared.ports.acquire(&proxy.name, wanted, allowed)?;
        let port = lease.port();
        info!(proxy.log.of_session(), "tcp proxy listen port [{port}]");
        (port, listen_alone(setup, lease))
    } else {
        let place = shared.groups.join(proxy, wanted, allowed)?;
        let (port, group) = (place.port(), &group.name);
        info!(
            proxy.log.of_session(),
            "tcp proxy listen port [{port}] in group [{group}]"
        );
        (port, Teardown::Places(Box::new(place)))
    };
    Ok(Published {
        remote_addr: format!(":{port}"),
        port: Some(port),
        teardown,
    })
}

fn listen_alone(setup: &Setup<'_>, lease: Lease) -> Teardown {
    let members = Arc::new(Members::default());
    let stop = setup.shared.drain.child_token();
    let base = setup.shared.base.clone();
    let accepting = accept(
        base,
        members.clone(),
        lease,
        setup.proxy.log.span(),
        stop.clone(),
    );
    let membership = members.join(setup.proxy);
    let name = setup.name.clone();
    let task = setup.listeners.spawn(async move {
        accepting.await;
        drop(membership);
        drop::<Arc<NameGuard>>(name);
    });
    Teardown::Task(stop.drop_guard(), task)
}

/// Hands users to `members` in turn until `stop`; the port is free again when this returns.
async fn accept(
    base: Arc<Base>,
    members: Arc<Members>,
    lease: Lease,
    span: Span,
    stop: CancellationToken,
) {
    let (listener, port) = lease.into_listener();
    accept_loop(listener, span, stop, |user, peer| {
        let members = members.clone();
        proxied::arrive(&base, user, peer, move |user, ends| {
            members.receive(user, ends);
        });
    })
    .await;
    drop(port);
}
