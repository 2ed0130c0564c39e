//! Do large packets arrive? A connection that stands and carries nothing is mostly a path that throws large packets
//! away without a word. The server's system acknowledges what arrives, whoever reads it, and Linux tells how much of a
//! connection's bytes are not acknowledged yet (proc_pid_net(5)).

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// Bytes of TCP in one packet, and the largest that any path of 1500 bytes takes.
const SIZES: [usize; 6] = [100, 500, 1000, 1200, 1300, 1440];

/// What is lost by chance comes again by then.
const LIMIT: Duration = Duration::from_secs(3);

/// The largest of [`SIZES`] that arrives, where small ones do and the largest does not.
pub(super) async fn largest_that_passes(addr: SocketAddr) -> Option<usize> {
    let passed = join_all(SIZES.map(|size| passes(addr, size))).await;
    let passed: Vec<bool> = passed.into_iter().collect::<Option<_>>()?;
    let all = SIZES.iter().zip(&passed);
    let largest = all
        .filter(|(_, passed)| **passed)
        .map(|(size, _)| *size)
        .last()?;
    (passed.last() == Some(&false)).then_some(largest)
}

/// `None`: that is not known.
async fn passes(addr: SocketAddr, size: usize) -> Option<bool> {
    let connecting = TcpStream::connect(addr);
    let mut conn = timeout(LIMIT, connecting).await.ok()?.ok()?;
    let _ = conn.set_nodelay(true);
    // The beginning of a hello of TLS that does not end, so that the server waits for more.
    let mut bytes = vec![0; size];
    bytes.splice(..9, [0x16, 3, 1, 0x3f, 0xff, 1, 0, 0x3f, 0xfb]);
    conn.write_all(&bytes).await.ok()?;
    let local = conn.local_addr().ok()?.port();
    let end = Instant::now() + LIMIT;
    loop {
        match unacknowledged(local, addr.port()) {
            // Ended by the server, who has then read it.
            None | Some(0) => return cfg!(target_os = "linux").then_some(true),
            Some(_) if Instant::now() >= end => return Some(false),
            Some(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Bytes of the connection between these ports that wait for an acknowledgement.
fn unacknowledged(local: u16, remote: u16) -> Option<u64> {
    const ESTABLISHED: &str = "01";
    let port = |text: &str| u16::from_str_radix(text.rsplit(':').next()?, 16).ok();
    ["tcp", "tcp6"].iter().find_map(|table| {
        let table = std::fs::read_to_string(format!("/proc/net/{table}")).ok()?;
        table.lines().find_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let is_it = port(fields.next()?)? == local && port(fields.next()?)? == remote;
            let stands = fields.next()? == ESTABLISHED;
            let (queue, _) = fields.next()?.split_once(':')?;
            u64::from_str_radix(queue, 16)
                .ok()
                .filter(|_| is_it && stands)
        })
    })
}
