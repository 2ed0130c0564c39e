//! Stage 1: connections arrive. Nothing is read from them here.

use std::sync::Arc;

use frp_log::{Log, debug};
use frp_net::listen::accept_loop;
use tokio::net::TcpListener;

use crate::{Shared, door};

pub(crate) async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let stop = shared.stop.clone();
    accept_loop(listener, stop, |conn, peer| {
        let thread = match shared.cfg.transport.tcp_mux {
            true => shared.threads.next(),
            // A client's work connections have to be where its session is.
            false => shared.threads.of_peer(peer.ip()),
        };
        match thread.adopt(conn) {
            Ok(conn) => {
                let entering = door::enter_tcp(shared.clone(), conn, peer);
                shared.tasks.spawn_on(entering, thread.handle());
            }
            Err(e) => debug!(Log::root(), "[{peer}] {e}"),
        }
    })
    .await;
}
