//! A udp proxy: a UDP port of ours, and one work connection that carries all its users
//! (frp `server/proxy/udp.go`).

use std::sync::Arc;
use std::time::Duration;

use frp_log::{info, warn};
use frp_relay::limits::UDP_USER_IDLE;
use frp_relay::udp::{Activity, Datagrams, Users};
use tokio::time::{Instant, sleep};

use super::setup::{ProxyError, Published, Setup, Teardown};
use crate::client::pool::{Admitted, TakeError};
use crate::proxy::Proxy;
use crate::proxy::names::NameGuard;
use crate::proxy::udp_users::UdpUsers;
use crate::proxy::user::UserError;

/// The client refuses work connections for a proxy until it has read that the proxy runs. frp
/// gives it 500 ms; a connection that came too early is only opened again.
const OPEN_AFTER: Duration = Duration::from_millis(100);

/// The next work connection is opened after this time when the last one failed this early, and
/// when none was to be had, as in frp.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Opens the port that the proxy asks for.
pub(super) fn publish(setup: &Setup<'_>, wanted: u16) -> Result<Published, ProxyError> {
    let Setup { shared, proxy, .. } = setup;
    let lease = shared
        .udp_ports
        .acquire(&proxy.name, wanted, &setup.ports())
        .map_err(|why| ProxyError::UdpPort { wanted, why })?;
    let port = lease.port();
    info!(proxy.log.of_session(), "udp proxy listen port [{port}]");
    let packet_size = setup.policy.udp_packet_size;
    let stop = shared.stop.child_token();
    let ends = stop.clone();
    let (proxy, name) = (Arc::clone(proxy), setup.name.clone());
    let (socket, port_guard) = lease.into_listener();
    let users = Users::new(socket, packet_size);
    let activity = users.activity();
    let finishing = shared.udp_users.token();
    let task = setup.listeners.spawn(async move {
        tokio::select! {
            () = serve(&proxy, users) => {}
            () = drained(&proxy, &activity) => {}
            () = ends.cancelled() => {}
        }
        drop((port_guard, finishing));
        drop::<Arc<NameGuard>>(name);
    });
    Ok(Published {
        remote_addr: format!(":{port}"),
        port: Some(port),
        teardown: Teardown::Task(stop.drop_guard(), task),
    })
}

/// Completes when the server drains and nobody has sent anything for a while: datagrams have no end.
async fn drained(proxy: &Proxy, activity: &Activity) {
    proxy.base.drain.cancelled().await;
    while let Some(idle) = activity.idle_for()
        && idle < UDP_USER_IDLE
    {
        sleep(UDP_USER_IDLE - idle).await;
    }
}

/// Carries users' datagrams as long as the client's session lasts.
async fn serve(proxy: &Arc<Proxy>, mut users: Users) {
    // Always: somebody may be banned at any time.
    users = users.behind(Box::new(UdpUsers::new(proxy)));
    let mut datagrams = Datagrams::new(users, proxy.log.span());
    let mut pause = OPEN_AFTER;
    loop {
        let opening = open(proxy, pause);
        let Some((conn, _held)) = datagrams.meanwhile(opening).await else {
            return;
        };
        let protocol = conn.protocol();
        let (stream, rest) = conn.into_parts();
        let stream = proxy.wrap(stream, rest);
        let opened = Instant::now();
        let traffic = &proxy.counters.traffic;
        let why = datagrams.carry(stream, protocol, traffic).await;
        warn!(proxy.log, "read from workConn for udp error: {why}");
        pause = match opened.elapsed() {
            lived if lived < RETRY_AFTER => (pause * 2).clamp(OPEN_AFTER, RETRY_AFTER),
            _ => Duration::ZERO,
        };
    }
}

/// The next work connection; `None` when the session is over.
async fn open(proxy: &Proxy, pause: Duration) -> Option<Admitted> {
    sleep(pause).await;
    loop {
        match proxy.start_for_all().await {
            Ok(conn) => return Some(conn),
            Err(UserError::Take(TakeError::Closed)) => return None,
            Err(e) => warn!(proxy.log, "failed to get work connection: {e}"),
        }
        sleep(RETRY_AFTER).await;
    }
}
