//! Stage 5: the local service or the plugin, and the bytes between it and the work connection
//! (frp `client/proxy/proxy.go`).

use frp_log::{Level, debug, error};
use frp_net::dial::dial;
use frp_net::stream::Stream;
use frp_relay::layers::{Side, wrap};
use frp_relay::msg_stream::MsgStream;
use frp_relay::relay;

use crate::dial::LOCAL;
use crate::proxy::Proxy;
use crate::user::User;

/// Serves one user until both ends are done; `half_closes`: the server has said so.
pub(crate) async fn serve(
    proxy: &Proxy,
    user: &User,
    stream: MsgStream<Stream>,
    half_closes: bool,
) {
    if let Some(plugin) = proxy.plugin() {
        let (stream, rest) = stream.into_parts();
        debug!(proxy.log, "handle by plugin: {}", plugin.name());
        let carried = wrap(stream, rest, &proxy.layers, Side::Client).of_peer(half_closes);
        plugin.serve(carried, user).await;
        return debug!(proxy.log, "handle by plugin finished");
    }
    let cfg = &proxy.cfg;
    let mut local = match dial(&cfg.local_ip, cfg.local_port, &LOCAL).await {
        Ok(local) => local,
        Err(e) => return proxy.unreachable(Level::Error, e),
    };
    proxy.reach.succeeded();
    if let Err(e) = user.write_header(&mut local).await {
        return error!(proxy.log, "{e}");
    }
    let (stream, rest) = stream.into_parts();
    let carried = wrap(stream, rest, &proxy.layers, Side::Client).of_peer(half_closes);
    user.log_end(&relay::serve(local, carried, &proxy.traffic).await);
}
