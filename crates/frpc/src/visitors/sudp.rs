//! A sudp visitor: a local UDP port whose users reach the proxy, all by one connection
//! (frp `client/visitor/sudp.go`).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use frp_log::{debug, info, warn};
use frp_net::listen::Host;
use frp_net::msg_stream::RecvError;
use frp_net::udp::{
    CarryError, Heartbeat, Losses, Outgoing, Users, bind_at, carry, meanwhile, wait_for_datagram,
};
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
async fn serve(visitor: &Visitor, mut users: Users) {
    let log = visitor.log.clone();
    let mut losses = Losses::new(move |lost| warn!(log, "{lost}"));
    let protocol = visitor.server.client.cfg.transport.wire_protocol;
    let mut out = Outgoing::new(protocol);
    loop {
        wait_for_datagram(&mut users, &mut out, &mut losses).await;
        let opened = meanwhile(&mut users, &mut out, &mut losses, visitor.open()).await;
        let stream = match opened {
            Ok(stream) => stream,
            Err(e) => {
                warn!(
                    visitor.log,
                    "newVisitorConn to frps error: {e}, try to reconnect"
                );
                // They would come too late.
                out.clear();
                let pause = tokio::time::sleep(RETRY_AFTER);
                meanwhile(&mut users, &mut out, &mut losses, pause).await;
                continue;
            }
        };
        out.begin_stream(protocol, &mut losses);
        let (heartbeat, traffic) = (Heartbeat::Expect, &visitor.traffic);
        match carry(
            &mut users,
            stream,
            &mut out,
            heartbeat,
            traffic,
            &mut losses,
        )
        .await
        {
            CarryError::Recv(RecvError::Closed) => {
                debug!(visitor.log, "sudp worker is closed");
            }
            e => warn!(visitor.log, "sudp worker is closed: {e}"),
        }
    }
}
