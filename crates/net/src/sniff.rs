//! The first bytes of a connection tell what it speaks (frp `pkg/util/net/tls.go`,
//! `server/service.go`).

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// First byte of a TLS handshake record.
pub const TLS_FIRST_BYTE: u8 = 0x16;
/// frp's own mark in front of a TLS handshake; not part of TLS, taken away before it.
pub const FRP_TLS_FIRST_BYTE: u8 = 0x17;

/// How users' requests begin that go to a vhost on the same port (golib `net/mux/rule.go`); `PRI`
/// is HTTP/2's preface.
const HTTP_METHODS: [&[u8]; 10] = [
    b"GET", b"HEA", b"POS", b"PUT", b"DEL", b"CON", b"OPT", b"TRA", b"PAT", b"PRI",
];

/// What a connection turned out to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// TLS from its first byte.
    Tls,
    /// TLS behind frp's 0x17 byte, which is gone from the prefix.
    TlsAfterMark,
    /// A websocket request with the path that was asked for.
    Websocket,
    /// A user's HTTP request; only where they are expected.
    UserHttp,
    /// A user's TLS connection; only where they are expected. frpc is not told from a user then
    /// unless it sends the mark.
    UserTls,
    /// None of these: frp in the clear, or a stranger.
    Plain,
}

/// Which users' connections come to the same port as frpc's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Users {
    /// For `vhostHTTPPort`.
    pub http: bool,
    /// For `vhostHTTPSPort`.
    pub https: bool,
}

/// Reads just enough of `io` to tell its kind. The bytes read come back and must be read first.
/// `websocket` is the path of websocket requests; without one there are none.
///
/// frp waits for ten bytes before it decides anything; here one byte is enough unless it begins
/// what one of the kinds begins with, so a peer that sends little is not kept waiting.
///
/// # Errors
/// `UnexpectedEof` where the peer closed before its kind was known.
pub async fn sniff<T: AsyncRead + Unpin>(
    io: &mut T,
    users: Users,
    websocket: Option<&str>,
) -> io::Result<(Kind, Bytes)> {
    let mut first = BytesMut::with_capacity(512);
    loop {
        if io.read_buf(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let begins = |known: &&[u8]| first.starts_with(known);
        let may_become = |known: &&[u8]| known.starts_with(&first);
        let kind = match first.first() {
            Some(&TLS_FIRST_BYTE) if users.https => Kind::UserTls,
            Some(&TLS_FIRST_BYTE) => Kind::Tls,
            Some(&FRP_TLS_FIRST_BYTE) => {
                let _ = first.split_to(1);
                Kind::TlsAfterMark
            }
            _ => match websocket.map_or(Likely::No, |path| is_request(&first, path)) {
                Likely::Yes => Kind::Websocket,
                Likely::Perhaps => continue,
                Likely::No if !users.http => Kind::Plain,
                Likely::No if HTTP_METHODS.iter().any(begins) => Kind::UserHttp,
                Likely::No if HTTP_METHODS.iter().any(may_become) => continue,
                Likely::No => Kind::Plain,
            },
        };
        return Ok((kind, first.freeze()));
    }
}

enum Likely {
    Yes,
    /// As far as it came.
    Perhaps,
    No,
}

/// Whether `first` begins a request for just this path, with or without a query.
fn is_request(first: &[u8], path: &str) -> Likely {
    let mut wanted = b"GET ".iter().chain(path.as_bytes());
    let mut came = first.iter();
    loop {
        match (wanted.next(), came.next()) {
            (Some(_), None) | (None, None) => return Likely::Perhaps,
            (None, Some(b' ' | b'?')) => return Likely::Yes,
            (Some(wanted), Some(came)) if wanted == came => {}
            _ => return Likely::No,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    async fn sniffed(chunks: &[&[u8]]) -> io::Result<(Kind, Bytes)> {
        sniffed_among(Users::default(), chunks).await
    }

    async fn sniffed_among(users: Users, chunks: &[&[u8]]) -> io::Result<(Kind, Bytes)> {
        let (mut user, mut server) = tokio::io::duplex(64);
        let (found, ()) = tokio::join!(sniff(&mut server, users, Some("/~!frp")), async {
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
    async fn users_on_the_same_port_are_told_from_frpc() {
        let http = Users {
            http: true,
            https: false,
        };
        let both = Users {
            http: true,
            https: true,
        };
        for (users, chunks, kind) in [
            (http, &[&b"GET / HTTP/1.1"[..]][..], Kind::UserHttp),
            (http, &[b"P", b"R", b"I * HTTP/2.0"], Kind::UserHttp),
            (http, &[b"DEL"], Kind::UserHttp),
            (http, &[b"GET /~!f", b"rp HTTP/1.1"], Kind::Websocket),
            (http, &[b"GET /~!fro"], Kind::UserHttp),
            (http, &[b"GET /~!frp", b"?x HTTP/1.1"], Kind::Websocket),
            (http, &[b"GET /~!frpc HTTP/1.1"], Kind::UserHttp),
            (http, &[b"\x16"], Kind::Tls),
            (http, &[b"o\0"], Kind::Plain),
            (http, &[b"PX"], Kind::Plain),
            (http, &[b"FRP\0"], Kind::Plain),
            (both, &[b"\x16"], Kind::UserTls),
            (both, &[b"\x17"], Kind::TlsAfterMark),
            (both, &[b"HEAD"], Kind::UserHttp),
        ] {
            let (found, first) = sniffed_among(users, chunks).await.unwrap();
            assert_eq!(found, kind, "{chunks:?}");
            if kind != Kind::TlsAfterMark {
                assert!(chunks.concat().starts_with(&first), "{chunks:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_peer_that_leaves_early_is_an_error() {
        assert!(sniffed(&[]).await.is_err());
        assert!(sniffed(&[b"GET /"]).await.is_err());
    }
}
