//! Stage 5: the local service or the plugin, and the bytes between it and the work connection
//! (frp `client/proxy/proxy.go`).

use frp_log::{Level, debug, error};
use frp_net::stream::Stream;
use frp_relay::layers::{Side, wrap};
use frp_relay::msg_stream::MsgStream;
use frp_relay::relay;
use tokio::net::TcpStream;

use crate::proxy::Proxy;
use crate::real_ip::{Place, Service};
use crate::sshd::Dialled;
use crate::user::User;

/// Serves one user until both ends are done; `half_closes`: the server has said so.
pub(crate) async fn serve(
    proxy: &Proxy,
    user: &User,
    stream: MsgStream<Stream>,
    half_closes: bool,
) {
    let wrapped = |stream: MsgStream<Stream>| {
        let (stream, rest) = stream.into_parts();
        wrap(stream, rest, &proxy.layers, Side::Client).of_peer(half_closes)
    };
    if let Some(plugin) = proxy.plugin() {
        debug!(proxy.log, "handle by plugin: {}", plugin.name());
        plugin.serve(wrapped(stream), user).await;
        return debug!(proxy.log, "handle by plugin finished");
    }
    // Boxed, so that nothing of it takes room for as long as bytes move.
    if let Some((local, _held)) = Box::pin(reach(proxy, user)).await {
        user.log_end(&relay::serve(local, wrapped(stream), user.traffic.tally()).await);
    }
}

/// What is noted of the user as long as it is there; boxed, as it takes no room where nothing is.
type Held = (Option<Place>, Option<Box<Dialled>>);

/// The local service, which knows who the user is.
async fn reach(proxy: &Proxy, user: &User) -> Option<(TcpStream, Held)> {
    let cfg = &proxy.cfg;
    let service = Service {
        proxy: &cfg.name,
        host: &cfg.local_ip,
        port: cfg.local_port,
        mode: cfg.transport.real_ip,
        log: &proxy.log,
        says_no_address: &proxy.says_no_address,
    };
    let from = user.addresses.map(|(from, _)| from);
    let (mut local, place) = match proxy.real_ip.reach(&service, from).await {
        Ok(reached) => reached,
        Err(e) => {
            proxy.unreachable(Level::Error, e);
            user.unserved();
            return None;
        }
    };
    proxy.reach.succeeded();
    // Before anything of the user comes there.
    let watched = proxy.sshd.get().zip(from).zip(local.local_addr().ok());
    let dialled = watched.map(|((sshd, from), local)| Box::new(sshd.dialled(local, from)));
    match user.write_header(&mut local).await {
        Ok(()) => Some((local, (place, dialled))),
        Err(e) => {
            error!(proxy.log, "{e}");
            None
        }
    }
}
