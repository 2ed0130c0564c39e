//! The first bytes of a connection tell what it speaks (frp `pkg/util/net/tls.go`,
//! `server/service.go`).

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// First byte of a TLS handshake record.
pub const TLS_FIRST_BYTE: u8 = 0x16;
/// frp's own mark in front of a TLS handshake; not part of TLS, taken away before it.
pub const FRP_TLS_FIRST_BYTE: u8 = 0x17;

/// frp's websocket request begins so.
const WEBSOCKET: &[u8] = b"GET /~!frp";

/// What a connection turned out to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// TLS from its first byte.
    Tls,
    /// TLS behind frp's 0x17 byte, which is gone from the prefix.
    TlsAfterMark,
    /// frp's websocket upgrade.
    Websocket,
    /// Neither: frp in the clear, or a stranger.
    Plain,
}

/// Reads just enough of `io` to tell its kind. The bytes read come back and must be read first.
///
/// frp waits for ten bytes before it decides anything; here one byte is enough unless it is a `G`,
/// so a peer that sends little is not kept waiting.
///
/// # Errors
/// `UnexpectedEof` where the peer closed before its kind was known.
pub async fn sniff<T: AsyncRead + Unpin>(io: &mut T) -> io::Result<(Kind, Bytes)> {
    let mut first = BytesMut::with_capacity(512);
    loop {
        if io.read_buf(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let kind = match first.first() {
            Some(&TLS_FIRST_BYTE) => Kind::Tls,
            Some(&FRP_TLS_FIRST_BYTE) => {
                let _ = first.split_to(1);
                Kind::TlsAfterMark
            }
            _ if first.starts_with(WEBSOCKET) => Kind::Websocket,
            _ if WEBSOCKET.starts_with(&first) => continue,
            _ => Kind::Plain,
        };
        return Ok((kind, first.freeze()));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    async fn sniffed(chunks: &[&[u8]]) -> io::Result<(Kind, Bytes)> {
        let (mut user, mut server) = tokio::io::duplex(64);
        let (found, ()) = tokio::join!(sniff(&mut server), async {
            for chunk in chunks {
                user.write_all(chunk).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(user);
        });
        found
    }

    #[tokio::test]
    async fn every_kind_is_told_by_its_first_bytes() {
        assert_eq!(
            sniffed(&[b"\x16\x03"]).await.unwrap(),
            (Kind::Tls, Bytes::from_static(b"\x16\x03"))
        );
        assert_eq!(
            sniffed(&[b"\x17\x16"]).await.unwrap(),
            (Kind::TlsAfterMark, Bytes::from_static(b"\x16"))
        );
        assert_eq!(
            sniffed(&[b"G", b"ET /~", b"!frp HT"]).await.unwrap().0,
            Kind::Websocket
        );
        assert_eq!(sniffed(&[b"GET / HTTP/1.1"]).await.unwrap().0, Kind::Plain);
        assert_eq!(sniffed(&[b"\x00"]).await.unwrap().0, Kind::Plain);
        assert_eq!(sniffed(&[b"FRP\x00"]).await.unwrap().0, Kind::Plain);
    }

    #[tokio::test]
    async fn a_peer_that_leaves_early_is_an_error() {
        assert!(sniffed(&[]).await.is_err());
        assert!(sniffed(&[b"GET /"]).await.is_err());
    }
}
