//! Do large packets arrive? A connection that stands and carries nothing is mostly a path that throws large packets
//! away without a word. Either way is looked at:
//!
//! - to the server: its system acknowledges what arrives, whoever reads it, and Linux tells how much of a connection's
//!   bytes is not acknowledged yet (proc_pid_net(5));
//! - from the server: its answer to a hello of TLS comes as soon as it sends smaller packets, as TCP lets us ask for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use frp_config::TransportProtocol;
use frp_net::dial::dial_in_segments;
use frp_net::sniff::FRP_TLS_FIRST_BYTE;
use frp_net::tls::{TlsFiles, client_config, connect};
use futures_util::future::join_all;
use rustls::ClientConfig;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::one_way::OneWay;

/// Bytes of TCP in one packet: those that every path takes (RFC 9293, section 3.7.1), and larger ones.
const SEGMENTS: [u32; 6] = [536, 1000, 1220, 1300, 1380, 1420];

/// Of a path that takes 1500 bytes, with the usual options of TCP.
const FULL: u32 = 1440;

/// What is lost by chance comes again by then.
const LIMIT: Duration = Duration::from_secs(4);

/// The largest packet of IP in bytes that arrives at `addr`, where small ones do and one of 1500 bytes does not.
pub(super) async fn largest_that_arrives(addr: SocketAddr) -> Option<u32> {
    // One is enough where it arrives: the server logs each.
    if arrives(addr, FULL).await? {
        return None;
    }
    let tried = SEGMENTS.map(|size| async move { Some((size, arrives(addr, size).await?)) });
    let arrived = join_all(tried).await.into_iter().flatten();
    let largest = arrived.filter(|(_, arrived)| *arrived).max()?.0;
    Some(largest + headers(addr) + TIMESTAMPS)
}

/// `None`: that is not known.
async fn arrives(addr: SocketAddr, size: u32) -> Option<bool> {
    let mut conn = timeout(LIMIT, TcpStream::connect(addr)).await.ok()?.ok()?;
    let _ = conn.set_nodelay(true);
    // The beginning of a hello of TLS that does not end, so that the server waits for more.
    let mut bytes = vec![0; usize::try_from(size).ok()?];
    bytes.splice(..9, [0x16, 3, 1, 0x3f, 0xff, 1, 0, 0x3f, 0xfb]);
    conn.write_all(&bytes).await.ok()?;
    let local = conn.local_addr().ok()?.port();
    let end = Instant::now() + LIMIT;
    loop {
        match unacknowledged(local, addr.port()) {
            // Ended by the server, which has read it then.
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
            let queue = u64::from_str_radix(queue, 16).ok();
            queue.filter(|_| is_it && stands)
        })
    })
}

/// The largest packet of IP in bytes with which a handshake of TLS is answered, where one of 1500 bytes gets no answer.
pub(super) async fn largest_answered(way: &OneWay, addr: SocketAddr) -> Option<u32> {
    let files = TlsFiles {
        cert: way.transport.tls.cert_file.clone(),
        key: way.transport.tls.key_file.clone(),
        trusted_ca: None,
    };
    let tls = client_config(&files).ok()?;
    let tried = SEGMENTS.into_iter().chain([FULL]).map(|segment| {
        let tls = tls.clone();
        async move {
            let answered = timeout(LIMIT, is_answered(way, addr, segment, tls));
            answered.await.unwrap_or(false).then_some(segment)
        }
    });
    let passed = join_all(tried).await.into_iter().flatten().max()?;
    (passed < FULL).then_some(passed + headers(addr))
}

/// frps answers TLS whether `transport.tls.enable` is on or not.
async fn is_answered(way: &OneWay, addr: SocketAddr, segment: u32, tls: Arc<ClientConfig>) -> bool {
    let Ok(mut conn) = dial_in_segments(addr, segment).await else {
        return false;
    };
    let is_marked = way.protocol != TransportProtocol::Wss;
    if is_marked && conn.write_all(&[FRP_TLS_FIRST_BYTE]).await.is_err() {
        return false;
    }
    let name = way.transport.tls.server_name.as_ref();
    let name = name.unwrap_or(&way.server_addr);
    connect(tls, name, conn, LIMIT).await.is_ok()
}

/// Bytes of IP and TCP without options.
fn headers(addr: SocketAddr) -> u32 {
    if addr.is_ipv4() { 40 } else { 60 }
}

/// Bytes of the option that most systems have in each packet (RFC 7323).
const TIMESTAMPS: u32 = 12;
