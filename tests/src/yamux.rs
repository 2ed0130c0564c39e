//! Mux frames by hand, for peers that misbehave.

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Data frame.
pub const DATA: u8 = 0;
/// Window update.
pub const WINDOW: u8 = 1;
/// Ping.
pub const PING: u8 = 2;
/// Go away.
pub const GO_AWAY: u8 = 3;
/// Flag: opens a stream or asks a ping.
pub const SYN: u16 = 1;
/// Flag: accepts a stream or answers a ping.
pub const ACK: u16 = 2;
/// Flag: end of a direction.
pub const FIN: u16 = 4;
/// Flag: reset.
pub const RST: u16 = 8;

/// A frame header as read from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// One of [`DATA`], [`WINDOW`], [`PING`], [`GO_AWAY`].
    pub kind: u8,
    /// Flags.
    pub flags: u16,
    /// The stream's id; 0 is the session.
    pub stream: u32,
    /// Bytes that follow (data), or the value carried.
    pub length: u32,
}

/// The 12 bytes of a header.
#[must_use]
pub fn header(kind: u8, flags: u16, stream: u32, length: u32) -> Vec<u8> {
    let mut bytes = vec![0, kind];
    bytes.extend(flags.to_be_bytes());
    bytes.extend(stream.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes
}

/// Opens stream `id` with frp's window.
#[must_use]
pub fn open(id: u32) -> Vec<u8> {
    header(WINDOW, SYN, id, 6 * 1024 * 1024 - 256 * 1024)
}

/// A data frame.
#[must_use]
pub fn data(id: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(DATA, 0, id, u32::try_from(payload.len()).unwrap());
    frame.extend(payload);
    frame
}

/// Reads one frame and its data; None at the end of the connection.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<(Header, Vec<u8>)> {
    let mut bytes = [0; 12];
    stream.read_exact(&mut bytes).await.ok()?;
    let [_, kind, f1, f0, s3, s2, s1, s0, l3, l2, l1, l0] = bytes;
    let header = Header {
        kind,
        flags: u16::from_be_bytes([f1, f0]),
        stream: u32::from_be_bytes([s3, s2, s1, s0]),
        length: u32::from_be_bytes([l3, l2, l1, l0]),
    };
    let mut body = vec![
        0;
        if kind == DATA {
            usize::try_from(header.length).ok()?
        } else {
            0
        }
    ];
    stream.read_exact(&mut body).await.ok()?;
    Some((header, body))
}
