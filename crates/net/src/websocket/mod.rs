//! Websockets as frp uses them: a stream of bytes behind an HTTP request, which proxies and CDNs
//! let through (RFC 6455; frp `pkg/util/net/websocket.go`).
//!
//! [`handshake`] and [`frame`] are the protocol without I/O; this file is the opening handshake on a
//! connection, `pipe` the bytes after it.

pub mod frame;
pub mod handshake;
mod pipe;
mod words;

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use self::frame::Role;
use self::handshake::{Accepted, AnswerError, Request, UpgradeError, head_len, judge};
pub use self::pipe::WebsocketPipe;
pub use self::words::{AcceptError, ConnectError};
use crate::limits::{MAX_WEBSOCKET_HEAD, REFUSAL};
use crate::rewind::Rewind;

/// First bytes of an answer that are kept for the diagnosis.
const FIRST: usize = 16;

/// The server's part, on a connection whose first bytes have been read already.
///
/// # Errors
/// See [`AcceptError`]; a refused client has got its answer.
pub async fn accept<T>(
    io: Rewind<T>,
    accepted: &Accepted,
    limit: Duration,
) -> Result<WebsocketPipe<T>, AcceptError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let (prefix, mut io) = io.into_parts();
    let mut came = BytesMut::from(prefix);
    let head = timeout(limit, read_head(&mut io, &mut came))
        .await
        .map_err(|_| AcceptError::TimedOut)??
        .ok_or(AcceptError::TooLong)?;
    match judge(&head, accepted) {
        Ok(answer) => {
            let sent = timeout(limit, send(&mut io, answer.as_bytes())).await;
            sent.map_err(|_| AcceptError::TimedOut)??;
            Ok(WebsocketPipe::new(io, Role::Server, rest(came)))
        }
        Err(refusal) => {
            // Whether it reads why is its own affair.
            let _ = timeout(REFUSAL, refuse(io, &refusal)).await;
            Err(refusal.into())
        }
    }
}

/// The client's part. Nothing must have been sent on `io` by either end.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect<T>(
    mut io: T,
    request: &Request,
    limit: Duration,
) -> Result<WebsocketPipe<T>, ConnectError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| no_entropy())?;
    let (text, expected) = request.write(random);
    let mut came = BytesMut::new();
    let asking = async {
        send(&mut io, text.as_bytes()).await?;
        read_head(&mut io, &mut came).await
    };
    let asked = timeout(limit, asking).await;
    let first_bytes = |came: &[u8]| {
        came.get(..came.len().min(FIRST))
            .unwrap_or_default()
            .to_vec()
    };
    let head = match asked {
        Err(_) => return Err(ConnectError::TimedOut),
        Ok(Ok(Some(head))) => head,
        Ok(Ok(None)) => return Err(ConnectError::TooLong),
        // It said something else, and hung up.
        Ok(Err(e)) if e.kind() == io::ErrorKind::UnexpectedEof && !came.is_empty() => {
            return Err(ConnectError::Answer {
                error: AnswerError::NotHttp,
                first_bytes: first_bytes(&came),
            });
        }
        Ok(Err(e)) => return Err(e.into()),
    };
    expected
        .check(&head)
        .map_err(|error| ConnectError::Answer {
            error,
            first_bytes: first_bytes(&head),
        })?;
    Ok(WebsocketPipe::new(io, Role::Client, rest(came)))
}

/// Reads up to the blank line; `None` where that does not come. What came behind it stays in `came`.
async fn read_head<T>(io: &mut T, came: &mut BytesMut) -> io::Result<Option<Bytes>>
where
    T: AsyncRead + Unpin,
{
    let mut seen = 0;
    loop {
        if let Some(len) = head_len(came, seen) {
            return Ok(Some(came.split_to(len).freeze()));
        }
        seen = came.len();
        if seen >= MAX_WEBSOCKET_HEAD {
            return Ok(None);
        }
        came.reserve(1024);
        if io.read_buf(came).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// What came behind a head; nothing must not keep the head's memory.
fn rest(came: BytesMut) -> Bytes {
    match came.is_empty() {
        true => Bytes::new(),
        false => came.freeze(),
    }
}

async fn send(io: &mut (impl AsyncWrite + Unpin), text: &[u8]) -> io::Result<()> {
    io.write_all(text).await?;
    io.flush().await
}

/// Answers, and waits until the client has hung up: closed with its bytes unread, the connection
/// would be reset and the answer lost.
async fn refuse<T>(mut io: T, refusal: &UpgradeError) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    send(&mut io, refusal.answer().as_bytes()).await?;
    io.shutdown().await?;
    let mut sink = [0; 1024];
    while io.read(&mut sink).await? > 0 {}
    Ok(())
}

fn no_entropy() -> io::Error {
    io::Error::other("the system gives no random bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_behind_a_head_keeps_no_memory() {
        let mut came = BytesMut::from(&b"a head"[..]);
        drop(came.split_to(6));
        // What is unique owns memory.
        assert!(!rest(came).is_unique());
        assert_eq!(rest(BytesMut::from(&b"more"[..])), "more");
    }
}
