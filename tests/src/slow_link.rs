//! A way to a server that passes little at a time, and holds little.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::interval;

use crate::service::Service;

/// A TCP relay to one port of 127.0.0.1, on a port of its own.
#[derive(Debug)]
pub struct SlowLink {
    service: Service,
    /// Bytes that it has passed to the server and from it.
    passed: [Arc<AtomicU64>; 2],
}

/// What it passes each way every two milliseconds, at most: 1 MB/s.
const STEP: usize = 2 * 1024;
const EVERY: Duration = Duration::from_millis(2);

/// What its sockets hold: about what is under way on a link with a round trip of 50 ms.
const HELD: u32 = 32 * 1024;

impl SlowLink {
    /// Starts one in front of `target`; within a runtime.
    #[must_use]
    pub fn start(target: u16) -> Self {
        let listener = small();
        listener.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let passed: [Arc<AtomicU64>; 2] = Default::default();
        let counts = passed.clone();
        let service = Service::on(listener.listen(16).unwrap(), move |near, _| {
            let [to, from] = counts.clone();
            async move {
                let Ok(far) = small().connect((Ipv4Addr::LOCALHOST, target).into()).await else {
                    return;
                };
                let (near, far) = (split(near), split(far));
                tokio::select! {
                    () = pass(near.0, far.1, &to) => {}
                    () = pass(far.0, near.1, &from) => {}
                }
            }
        });
        Self { service, passed }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.service.port
    }

    /// Bytes that it has passed, in both directions.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.passed.iter().map(|n| n.load(Ordering::Relaxed)).sum()
    }
}

fn small() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(HELD).unwrap();
    socket.set_send_buffer_size(HELD).unwrap();
    socket
}

fn split(stream: TcpStream) -> (OwnedReadHalf, OwnedWriteHalf) {
    let _ = stream.set_nodelay(true);
    stream.into_split()
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, count: &AtomicU64) {
    let mut step = [0; STEP];
    let mut time = interval(EVERY);
    loop {
        time.tick().await;
        let Ok(n @ 1..) = from.read(&mut step).await else {
            return;
        };
        count.fetch_add(n as u64, Ordering::Relaxed);
        if to.write_all(&step[..n]).await.is_err() {
            return;
        }
    }
}
