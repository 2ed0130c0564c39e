//! What a proxy in front of us says of a connection that it passes on: the header of the PROXY protocol, read to its
//! last byte and no further.

use std::io;

use bytes::{Bytes, BytesMut};
use frp_proto::proxy_protocol::{Ends, ParseError, Parsed, parse};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::limits::PROXY_HEADER;

/// Bytes that are looked at in one go: nearly all headers are shorter.
const LOOK: usize = 512;

/// Why a connection that should begin with a header is not taken.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// Nothing, or not all of it, came in time.
    #[error("no whole PROXY protocol header within {} s", PROXY_HEADER.as_secs())]
    Silent,
    /// It ended before.
    #[error("closed before its PROXY protocol header: {0}")]
    Closed(#[from] io::Error),
    /// What came is none.
    #[error("{0}")]
    Parse(#[from] ParseError),
}

/// Reads the header that `conn` begins with. `None`: the connection is the proxy's own, or it does not know from whom
/// it comes.
///
/// # Errors
/// There is none, or none that can be gone by.
pub async fn read_header(conn: &mut TcpStream) -> Result<Option<Ends>, HeaderError> {
    match read_header_if_any(conn).await? {
        (Some(ends), _) => Ok(ends),
        (None, _) => Err(ParseError::NoHeader.into()),
    }
}

/// As [`read_header`]. Where there is none, what was read of `conn` to find that out comes back, and must be read
/// first.
///
/// # Errors
/// There is one that cannot be gone by, or too little to tell.
pub async fn read_header_if_any(
    conn: &mut TcpStream,
) -> Result<(Option<Option<Ends>>, Bytes), HeaderError> {
    let read = timeout(PROXY_HEADER, read(conn)).await;
    read.map_err(|_| HeaderError::Silent)?
}

async fn read(conn: &mut TcpStream) -> Result<(Option<Option<Ends>>, Bytes), HeaderError> {
    let mut all = BytesMut::new();
    let mut look = [0; LOOK];
    loop {
        let n = conn.peek(&mut look).await?;
        if n == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let before = all.len();
        all.extend_from_slice(look.get(..n).unwrap_or_default());
        let taken = match parse(&all) {
            Ok(Parsed::Incomplete) => n,
            Ok(Parsed::Whole { length, .. }) => length.saturating_sub(before),
            Err(ParseError::NoHeader) => {
                all.truncate(before);
                return Ok((None, all.freeze()));
            }
            Err(e) => return Err(e.into()),
        };
        // They are there already.
        conn.read_exact(look.get_mut(..taken).unwrap_or_default())
            .await?;
        if let Ok(Parsed::Whole { ends, .. }) = parse(&all) {
            return Ok((Some(ends), Bytes::new()));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    /// Sends `chunks` one by one, each once the one before has been taken.
    async fn pair(chunks: &'static [&'static [u8]]) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut proxy = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        proxy.set_nodelay(true).unwrap();
        let (conn, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            for chunk in chunks {
                proxy.write_all(chunk).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(proxy);
        });
        conn
    }

    #[tokio::test]
    async fn a_header_is_read_to_its_end_and_no_further() {
        const CASES: [&[&[u8]]; 3] = [
            &[b"PROXY TCP4 192.0.2.1 192.0.2.2 5 6\r\nhello"],
            &[
                b"P",
                b"ROXY TCP4 192.0.2.1 192.",
                b"0.2.2 5 6\r",
                b"\nhello",
            ],
            &[
                b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02",
                b"\x02\0\x05\0\x06hel",
                b"lo",
            ],
        ];
        for chunks in CASES {
            let mut conn = pair(chunks).await;
            let ends = read_header(&mut conn).await.unwrap().unwrap();
            assert_eq!(ends.src, "192.0.2.1:5".parse().unwrap());
            assert_eq!(ends.dst, "192.0.2.2:6".parse().unwrap());
            let mut rest = String::new();
            conn.read_to_string(&mut rest).await.unwrap();
            assert_eq!(rest, "hello");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_given_back() {
        const CASES: [&[&[u8]]; 3] = [&[b"POST /"], &[b"P", b"OST /"], &[b"PRO", b"PX"]];
        for chunks in CASES {
            let mut conn = pair(chunks).await;
            let (header, first) = read_header_if_any(&mut conn).await.unwrap();
            assert!(header.is_none());
            let mut all = first.to_vec();
            conn.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, chunks.concat());
            let mut conn = pair(chunks).await;
            let refused = read_header(&mut conn).await;
            assert!(matches!(
                refused,
                Err(HeaderError::Parse(ParseError::NoHeader))
            ));
        }
        let mut conn = pair(&[b"PROXY TCP4"]).await;
        assert!(matches!(
            read_header(&mut conn).await,
            Err(HeaderError::Closed(_))
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_header_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _proxy = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (mut conn, _) = listener.accept().await.unwrap();
        assert!(matches!(
            read_header(&mut conn).await,
            Err(HeaderError::Silent)
        ));
    }
}
