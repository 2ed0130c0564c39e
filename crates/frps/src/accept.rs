//! Stage 1: connections arrive. Nothing is read from them here.

use std::sync::Arc;

use frp_net::listen::accept_loop;
use tokio::net::TcpListener;

use crate::{Shared, door};

pub(crate) async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let stop = shared.stop.clone();
    accept_loop(listener, stop, |conn, peer| {
        shared.tasks.spawn(door::enter(shared.clone(), conn, peer));
    })
    .await;
}
