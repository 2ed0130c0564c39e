//! Stage 5 for udp and sudp: one work connection carries all users' datagrams
//! (frp `client/proxy/udp.go`, `client/proxy/sudp.go`).

use std::sync::Arc;

use frp_log::{Level, debug, error, info, warn};
use frp_net::go_text::go_text;
use frp_net::stream::Stream;
use frp_relay::layers::{Side, wrap};
use frp_relay::msg_stream::{MsgStream, RecvError};
use frp_relay::udp::{
    CarryError, Datagrams, LocalOptions, LocalService, Locals, Reached, Tell, roll,
};

use crate::client::Client;
use crate::proxy::Proxy;

/// Carries datagrams until the stream ends, or another takes its place.
pub(crate) async fn serve(client: &Client, proxy: &Arc<Proxy>, stream: MsgStream<Stream>) {
    let kind = proxy.cfg.kind.as_str();
    info!(proxy.log, "incoming a new work connection for {kind} proxy");
    // Each visitor of a sudp proxy has a work connection of its own.
    if kind == "sudp" {
        return carry_all(client, proxy, stream).await;
    }
    let replaced = proxy.replace_carrier();
    tokio::select! {
        () = carry_all(client, proxy, stream) => {}
        () = replaced.cancelled() => {
            debug!(proxy.log, "the work connection for {kind} was replaced");
        }
    }
}

async fn carry_all(client: &Client, proxy: &Arc<Proxy>, stream: MsgStream<Stream>) {
    let kind = proxy.cfg.kind.as_str();
    let (host, port) = (&proxy.cfg.local_ip, proxy.cfg.local_port);
    // A name that is not found does not end the work connection: the server would only ask for the
    // next one, at once and as often as it can.
    let target = LocalService::resolve(host, port).await;
    let locals = Locals::new(LocalOptions {
        target,
        proxy_protocol: proxy.cfg.transport.proxy_protocol,
        udp_packet_size: client.cfg.udp_packet_size,
        tell: tell(proxy),
        roll: Some(roll(&client.live.conns, &proxy.served)),
    });
    let mut datagrams = Datagrams::new(locals, proxy.log.span());
    let protocol = stream.protocol();
    let (stream, rest) = stream.into_parts();
    let stream = wrap(stream, rest, &proxy.layers, Side::Client);
    match datagrams.carry(stream, protocol, &proxy.traffic).await {
        CarryError::Recv(RecvError::Closed) => {
            debug!(
                proxy.log,
                "the server closed the work connection for {kind}"
            );
        }
        CarryError::Recv(e) => warn!(proxy.log, "read from workConn for {kind} error: {e}"),
        CarryError::Write(e) => error!(proxy.log, "{kind} work write error: {e}"),
    }
}

/// Puts into the log and the status whether the service can be reached.
fn tell(proxy: &Arc<Proxy>) -> Tell {
    let proxy = proxy.clone();
    Tell::new(move |reached| match reached {
        Reached::Found | Reached::Answers => proxy.reach.succeeded(),
        Reached::NotFound(e) => proxy.unreachable(Level::Error, go_text(e)),
        Reached::Refused(e) => proxy.unreachable(Level::Warn, go_text(e)),
    })
}
