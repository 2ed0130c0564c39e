//! The way of a sudp visitor: its messages go to a work connection of their own
//! (frp `server/proxy/proxy.go`: joinUserConnection).

use frp_log::{debug, info, warn};
use frp_proto::wire::WireProtocol;
use frp_relay::layers::Carried;
use frp_relay::relay::relay;
use frp_relay::udp::bridge;

use super::Proxy;
use super::user::UserConn;

/// Serves a visitor that speaks `protocol` until it or the proxy's side ends, or the server stops.
pub(crate) async fn serve(
    proxy: &Proxy,
    visitor: Carried,
    protocol: WireProtocol,
    user: &UserConn,
) {
    tokio::select! {
        () = join(proxy, visitor, protocol, user) => {}
        () = user.ended() => proxy.log_ended(user),
        () = proxy.base.stop.cancelled() => {}
    }
}

async fn join(proxy: &Proxy, visitor: Carried, protocol: WireProtocol, user: &UserConn) {
    let log = &proxy.log;
    let peer = user.at.source();
    let limit = proxy.base.policy().user_conn_timeout;
    let (conn, _held) = match proxy.start(user, limit).await {
        Ok(started) => started,
        Err(e) => return warn!(log, "user connection [{peer}] closed: {e}"),
    };
    let own_protocol = conn.protocol();
    let (stream, rest) = conn.into_parts();
    let carried = proxy.wrap(stream, rest);
    let _counted = proxy.counters.serving();
    let own = user.conn(&proxy.spec);
    let traffic = proxy.tally(own.as_deref());
    if own_protocol == protocol {
        let relayed = relay(visitor, carried, traffic).await;
        return debug!(log, "join connections closed, [{peer}]: {relayed}");
    }
    info!(
        log,
        "bridge mixed SUDP payload codecs, proxy wireProtocol [{own_protocol}], visitor \
         wireProtocol [{protocol}]"
    );
    let ended = bridge(
        (visitor, protocol),
        (carried, own_protocol),
        traffic,
        &log.span(),
    )
    .await;
    debug!(log, "join connections closed, [{peer}]: {ended}");
}
