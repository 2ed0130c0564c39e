//! Websockets, where the build lacks them.

#![allow(clippy::unused_async, reason = "awaited like what it stands in for")]

use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

pub use self::words::{AcceptError, ConnectError};
use crate::absent::lacking;
use crate::below::Below;
use crate::limits::REFUSAL;
use crate::rewind::Rewind;

#[path = "../websocket/words.rs"]
mod words;

/// What is asked for and taken.
pub mod handshake {
    pub use super::words::{Accepted, AnswerError, FRP_PATH, Field, Request, UpgradeError};
}

never_a_pipe! {
    /// There is none.
    WebsocketPipe<T>
}

impl<T> Below for WebsocketPipe<T> {}

impl<T> WebsocketPipe<T> {
    pub(crate) fn io(&self) -> &T {
        match self.0 {}
    }

    pub(crate) fn into_io(self) -> T {
        match self.0 {}
    }
}

/// Tells the client that there are none.
///
/// # Errors
/// Always.
pub async fn accept<T: AsyncWrite + Unpin>(
    io: Rewind<T>,
    _: &handshake::Accepted,
    _: Duration,
) -> Result<WebsocketPipe<T>, AcceptError> {
    let (_, mut io) = io.into_parts();
    let refusal = handshake::UpgradeError::Absent;
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
pub async fn connect<T>(
    _: T,
    _: &handshake::Request,
    _: Duration,
) -> Result<WebsocketPipe<T>, ConnectError> {
    Err(lacking("websocket").into())
}
