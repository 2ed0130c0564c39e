//! A sudp visitor: a local UDP port whose users reach the proxy, all by one connection
//! (frp `client/visitor/sudp.go`).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use frp_log::{debug, info, warn};
use frp_net::listen::Host;
use frp_net::udp_socket::bind_at;
use frp_relay::msg_stream::RecvError;
use frp_relay::udp::{CarryError, Datagrams, Users};
use tokio_util::task::TaskTracker;

use super::visitor::{StartError, Visitor};

/// After a failure to reach the proxy the next try comes no sooner.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Listens on `host`, the visitor's address; without a port there is nothing to do.
pub(super) fn start(
    visitor: &Arc<Visitor>,
    host: io::Result<Host>,
    listeners: &TaskTracker,
) -> Result<(), StartError> {
    let cfg = &visitor.cfg;
    let Some(port) = cfg.bind_port else {
        return Ok(());
    };
    let addr = format!("{}:{port}", cfg.bind_addr);
    let socket = match host.and_then(|host| bind_at(host, port)) {
        Ok(socket) => socket,
        Err(source) => return Err(StartError::ListenUdp { addr, source }),
    };
    info!(visitor.log, "sudp start to work, listen on {addr}");
    let users = Users::new(socket, visitor.server.client.cfg.udp_packet_size);
    let visitor = visitor.clone();
    listeners.spawn(async move {
        tokio::select! {
            () = serve(&visitor, users) => {}
            () = visitor.stop.cancelled() => {}
        }
    });
    Ok(())
}

/// Opens a connection when a datagram wants one, and carries all users' datagrams by it.
async fn serve(visitor: &Visitor, users: Users) {
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
