//! Websockets by hand, for scripted peers: requests and frames.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::clients::connect;

/// frp's request, as frpc of any release sends it.
pub const REQUEST: &str = "GET /~!frp HTTP/1.1\r\nHost: 127.0.0.1:7000\r\n\
    Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Origin: http://127.0.0.1:7000\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A connection to `port` after the handshake.
pub async fn open(port: u16) -> TcpStream {
    let mut stream = connect(port).await;
    stream.write_all(REQUEST.as_bytes()).await.unwrap();
    let head = read_head(&mut stream).await;
    let (status, fields) = head.split_once("\r\n").unwrap();
    assert_eq!(status, "HTTP/1.1 101 Switching Protocols");
    // What Go's client wants, to the letter but for case.
    for field in [
        "Upgrade: websocket\r\n",
        "Connection: Upgrade\r\n",
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
    ] {
        assert!(fields.contains(field), "{head}");
    }
    stream
}

/// Reads up to the blank line; what there is at the end of the stream.
pub async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// A masked frame with at most 125 bytes of payload and this first byte.
#[must_use]
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first, 0x80 | u8::try_from(payload.len()).unwrap()];
    assert!(payload.len() <= 125);
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    frame
}

/// Reads an unmasked frame: its first byte and its payload; `None` at the end of the stream.
pub async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> Option<(u8, Vec<u8>)> {
    let first = stream.read_u8().await.ok()?;
    let length = match stream.read_u8().await.ok()? {
        126 => usize::from(stream.read_u16().await.ok()?),
        127 => usize::try_from(stream.read_u64().await.ok()?).ok()?,
        short => usize::from(short),
    };
    assert!(length < 1 << 20, "a masked frame, or a very long one");
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await.ok()?;
    Some((first, payload))
}
