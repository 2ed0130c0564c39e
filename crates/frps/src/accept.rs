//! Stage 1: connections arrive, one loop per listener. Nothing is read from them here, but what a
//! proxy in front of us says of them.

use std::sync::Arc;

use frp_log::{Log, debug};
use frp_net::kcp::{Accepted, KcpListener};
use frp_net::listen::accept_loop_making_room;
use frp_net::quic;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::dispatch;
use crate::proxied::{self, Ends};
use crate::shared::Shared;

pub(crate) async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let stop = shared.drain.clone();
    let make_room = || {
        shared.strangers.make_room();
    };
    accept_loop_making_room(listener, stop, make_room, |conn, peer| {
        let to = shared.clone();
        proxied::arrive(&shared.base, conn, peer, move |conn, ends| {
            receive(&to, conn, ends);
        });
    })
    .await;
}

fn receive(shared: &Arc<Shared>, conn: TcpStream, ends: Ends) {
    let peer = ends.peer;
    // Here rather than in the task: who has to make room then knows it before more are taken.
    let turn = shared.strangers.enter(peer.ip());
    let thread = match shared.bound.tcp_mux {
        true => shared.threads.next(),
        // A client's work connections have to be where its session is.
        false => shared.threads.of_peer(peer.ip()),
    };
    match thread.adopt(conn) {
        Ok(conn) => {
            let entering = dispatch::enter_tcp(shared.clone(), turn, conn, ends);
            shared.tasks.spawn_on(entering, thread.handle());
        }
        Err(e) => debug!(Log::root().by(peer.ip()), "[{peer}] {e}"),
    }
}

/// The same for QUIC.
pub(crate) async fn run_quic(listener: quic::Listener, shared: Arc<Shared>) {
    loop {
        let arriving = tokio::select! {
            arriving = listener.accept() => arriving,
            () = shared.drain.cancelled() => break,
        };
        let Some(arriving) = arriving else { break };
        let entering = dispatch::enter_quic(shared.clone(), arriving);
        shared
            .tasks
            .spawn_on(entering, shared.threads.next().handle());
    }
    // Its socket carries the connections that there are.
    listener.refuse();
    shared.stop.cancelled().await;
    listener.close();
}

/// The same for kcp: its sessions come by themselves, and all of them through one socket, which is
/// there until `last` is cancelled.
pub(crate) async fn run_kcp(listener: KcpListener, shared: Arc<Shared>, last: CancellationToken) {
    let each = |accepted: Accepted| {
        let Accepted {
            stream,
            peer,
            stranger,
            driver,
        } = accepted;
        let thread = match shared.bound.tcp_mux {
            true => shared.threads.next(),
            false => shared.threads.of_peer(peer.ip()),
        };
        let entering = dispatch::enter_kcp(shared.clone(), stream, stranger, peer);
        shared.tasks.spawn_on(driver.run(), thread.handle());
        shared.tasks.spawn_on(entering, thread.handle());
    };
    let listener = listener.until(shared.drain.clone());
    listener.run(last, each).await;
}
