//! Websockets, where the build lacks them.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

pub use self::words::{AcceptError, ConnectError};
use crate::absent::lacking;
use crate::limits::REFUSAL;
use crate::stream::{Rewind, Stream};

#[path = "../websocket/words.rs"]
mod words;

/// What is asked for and taken.
pub mod handshake {
    pub use super::words::{Accepted, AnswerError, FRP_PATH, Field, Request, UpgradeError};
}

never_a_pipe! {
    /// There is none.
    WebsocketPipe
}

impl WebsocketPipe {
    /// Never.
    pub fn io(&self) -> &Stream {
        match *self {}
    }

    /// Never.
    pub fn into_io(self) -> Stream {
        match self {}
    }
}

/// Tells the client that there are none.
///
/// # Errors
/// Always.
pub async fn accept(
    io: Rewind<Stream>,
    _: &handshake::Accepted,
    _: Duration,
) -> Result<WebsocketPipe, AcceptError> {
    let (_, mut io) = io.into_parts();
    let refusal = UpgradeError::Absent;
    let answering = async {
        io.write_all(refusal.answer().as_bytes()).await?;
        io.shutdown().await
    };
    // Whether it reads why is its own affair.
    let _ = timeout(REFUSAL, answering).await;
    Err(refusal.into())
}

/// # Errors
/// Always.
pub async fn connect(
    _: Stream,
    _: &handshake::Request,
    _: Duration,
) -> Result<WebsocketPipe, ConnectError> {
    Err(lacking("websocket").into())
}
