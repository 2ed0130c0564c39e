//! A sudp visitor: a local UDP port whose users reach the proxy, all by one connection
//! (frp `client/visitor/sudp.go`).

use std::sync::Arc;
use std::time::Duration;

use frp_log::{debug, warn};
use frp_relay::msg_stream::RecvError;
use frp_relay::udp::{CarryError, Datagrams, Users};
use tokio::net::UdpSocket;

use super::visitor::Visitor;

/// After a failure to reach the proxy the next try comes no sooner.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Serves the users of `socket` until the visitor stops.
pub(super) async fn serve(visitor: Arc<Visitor>, socket: UdpSocket) {
    let users = Users::new(socket, visitor.server.client.cfg.udp_packet_size);
    tokio::select! {
        () = carry(&visitor, users) => {}
        () = visitor.stop.cancelled() => {}
    }
}

/// Opens a connection when a datagram wants one, and carries all users' datagrams by it.
async fn carry(visitor: &Visitor, users: Users) {
    let protocol = visitor.server.client.cfg.transport.wire_protocol;
    let mut datagrams = Datagrams::new(users, visitor.log.span());
    loop {
        datagrams.wait().await;
        let opened = datagrams.meanwhile(visitor.open()).await;
        let stream = match opened {
            Ok(stream) => stream,
            Err(e) => {
                warn!(
                    visitor.log,
                    "newVisitorConn to frps error: {e}, try to reconnect"
                );
                // They would come too late.
                datagrams.clear();
                let pause = tokio::time::sleep(RETRY_AFTER);
                datagrams.meanwhile(pause).await;
                continue;
            }
        };
        match datagrams.carry(stream, protocol, &visitor.traffic).await {
            CarryError::Recv(RecvError::Closed) => {
                debug!(visitor.log, "sudp worker is closed");
            }
            e => warn!(visitor.log, "sudp worker is closed: {e}"),
        }
    }
}
