//! Reading and writing within a user's handshake, and why it fails.

use std::io::{self, ErrorKind};
use std::time::Duration;

use frp_net::dial::DialError;
use frp_net::go_text::go_text;
use frp_relay::layers::Carried;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// From the start of a connection until its request is in, and until an answer is written. frp
/// waits for ever.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(30);

/// Why a user is not served; the user knows no more than the reply.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SocksError {
    #[error("{}", go_text(.0))]
    Io(#[from] io::Error),
    #[error("the user speaks version {0} of SOCKS, not 5")]
    Version(u8),
    #[error("the user offers no way to log in that is wanted")]
    NoMethod,
    #[error("wrong user name or password")]
    Login,
    #[error("unknown type of address {0}")]
    AddressType(u8),
    #[error("a host name that is none")]
    Name,
    #[error("command {0} is not supported")]
    Command(u8),
    #[error("{0}")]
    Dial(#[from] DialError),
    #[error("the server does not tell who the user is, so nobody could be let in by UDP")]
    Anonymous,
    #[error("no request within {} seconds", HANDSHAKE.as_secs())]
    TooSlow,
}

pub(super) async fn bytes<const N: usize>(user: &mut Carried) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    user.read_exact(&mut bytes).await?;
    Ok(bytes)
}

pub(super) async fn some_bytes(user: &mut Carried, len: u8) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::from(len)];
    user.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// Writes within [`HANDSHAKE`].
pub(super) async fn write(user: &mut Carried, bytes: &[u8]) -> io::Result<()> {
    let written = timeout(HANDSHAKE, async {
        user.write_all(bytes).await?;
        user.flush().await
    });
    written
        .await
        .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}
