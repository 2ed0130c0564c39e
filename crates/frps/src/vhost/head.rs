//! Reading what a user says of whom it is for, before anybody is asked to serve it.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;

use crate::limits::{MAX_USER_HEAD, USER_HEAD};
use bytes::{Bytes, BytesMut};
use frp_log::{Log, debug};
use frp_net::limits::REFUSAL;
use frp_net::stranger_bytes::PoolShare;
use frp_relay::limits::FIRST_MESSAGE_SHARE;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::shared::Shared;

/// Why a user got no further.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeadError<E> {
    #[error("nothing complete within {} s", USER_HEAD.as_secs())]
    Silent,
    #[error("closed before: {0}")]
    Closed(#[from] io::Error),
    #[error("more than {MAX_USER_HEAD} bytes")]
    TooLong,
    #[error("too much for a stranger now")]
    Crowded,
    #[error("{0}")]
    Refused(E),
}

/// Awaits `asking`, the first words of the user at `peer`, as long as there is room for strangers
/// and the server runs. Says in the log why nothing came of them.
pub(super) async fn meet<T, E: fmt::Display>(
    shared: &Shared,
    peer: SocketAddr,
    what: &str,
    asking: impl Future<Output = Result<T, HeadError<E>>>,
) -> Option<T> {
    let log = Log::root().by(peer.ip());
    let turn = shared.vhosts.strangers.enter(peer.ip());
    let asked = tokio::select! {
        asked = asking => asked,
        () = turn.evicted() => {
            debug!(log, "{what} connection [{peer}] made room for newer ones");
            return None;
        }
        () = shared.drain.cancelled() => return None,
    };
    match asked {
        Ok(asked) => Some(asked),
        Err(e) => {
            debug!(log, "{what} connection [{peer}] closed: {e}");
            None
        }
    }
}

/// Reads until `understand`, given everything from the first byte on, has what it wants. All that
/// was read comes back with it.
pub(super) async fn read<T, E>(
    conn: &mut TcpStream,
    first: Bytes,
    mut understand: impl FnMut(&[u8]) -> Result<Option<T>, E>,
) -> Result<(T, Bytes), HeadError<E>> {
    let mut all = BytesMut::from(first);
    let mut share = PoolShare::default();
    let reading = async {
        loop {
            if let Some(understood) = understand(&all).map_err(HeadError::Refused)? {
                return Ok((understood, all.freeze()));
            }
            if all.len() >= MAX_USER_HEAD {
                return Err(HeadError::TooLong);
            }
            if !share.hold(all.len(), FIRST_MESSAGE_SHARE) {
                return Err(HeadError::Crowded);
            }
            all.reserve(4096);
            if conn.read_buf(&mut all).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    };
    timeout(USER_HEAD, reading)
        .await
        .unwrap_or(Err(HeadError::Silent))
}

/// Sends the last words to a user and ends the connection. What it still has under way is read, or
/// the system would throw the words away with it.
pub(super) async fn refuse(conn: &mut TcpStream, words: &[u8]) {
    let refusing = async {
        conn.write_all(words).await?;
        conn.shutdown().await?;
        let mut rest = conn.take(MAX_USER_HEAD as u64);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // Whether the words arrive is the user's affair.
    let _ = timeout(REFUSAL, refusing).await;
}
