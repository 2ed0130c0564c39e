//! Users of a tunnel.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::wait::{SOON, eventually_within, within};

/// Connects to `port` of 127.0.0.1 from 127.0.0.`n`.
pub async fn connect_from(n: u8, port: u16) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind((Ipv4Addr::new(127, 0, 0, n), 0).into())
        .unwrap();
    let connecting = socket.connect((Ipv4Addr::LOCALHOST, port).into());
    within(SOON, "connect", connecting).await.unwrap()
}

/// Whether somebody from 127.0.0.`n` is served by an echo at `port`.
pub async fn is_served_from(n: u8, port: u16) -> bool {
    let mut user = connect_from(n, port).await;
    let asking = async {
        user.write_all(b"ping").await.ok()?;
        let mut back = [0; 4];
        user.read_exact(&mut back).await.ok()
    };
    within(SOON, "an end", asking).await.is_some()
}

/// Connects to `port` of 127.0.0.1.
pub async fn connect(port: u16) -> TcpStream {
    let stream = within(
        SOON,
        "connect",
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)),
    )
    .await;
    let stream = stream.unwrap_or_else(|e| panic!("connect to port {port}: {e}"));
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends `data` through `port` and asserts that the same comes back.
pub async fn echo(port: u16, data: &[u8]) {
    echo_on(&mut connect(port).await, data).await;
}

/// As [`echo`], on a connection of the caller's.
pub async fn echo_on(stream: &mut TcpStream, data: &[u8]) {
    let what = format!("an echo of {} bytes", data.len());
    let (mut reader, mut writer) = stream.split();
    let mut back = vec![0; data.len()];
    let both = async { tokio::join!(writer.write_all(data), reader.read_exact(&mut back)) };
    let (sent, received) = within(Duration::from_secs(60), &what, both).await;
    sent.unwrap_or_else(|e| panic!("{what}: sending: {e}"));
    received.unwrap_or_else(|e| panic!("{what}: receiving: {e}"));
    assert!(back == data, "{what}: other bytes came back");
}

/// Whether `port` echoes now.
pub async fn echoes(port: u16) -> bool {
    let attempt = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
        stream.write_all(b"ping").await.ok()?;
        let mut back = [0; 4];
        stream.read_exact(&mut back).await.ok()?;
        (&back == b"ping").then_some(())
    };
    tokio::time::timeout(Duration::from_secs(5), attempt)
        .await
        .ok()
        .flatten()
        .is_some()
}

/// Waits until `port` echoes.
pub async fn until_echoes(port: u16, limit: Duration) {
    eventually_within(limit, &format!("port {port} echoes"), || echoes(port)).await;
}

/// Reads to the end of `stream`; an error counts as the end, as it does for most users.
pub async fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = within(
        Duration::from_secs(60),
        "end of stream",
        stream.read_to_end(&mut all),
    )
    .await;
    all
}

/// Waits until the peer ends or resets the connection; what it sends before is dropped. `what` is
/// for the failure.
pub async fn until_closed<S: AsyncRead + Unpin>(stream: &mut S, limit: Duration, what: &str) {
    let mut buffer = [0; 4096];
    within(limit, &format!("the peer closes: {what}"), async {
        while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
    })
    .await;
}

/// `len` bytes that neither repeat nor compress; another `seed` gives others.
#[must_use]
pub fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend(next());
    }
    bytes.truncate(len);
    bytes
}
