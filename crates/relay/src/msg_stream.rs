//! A pipe that speaks frp messages.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use frp_proto::msg::Message;
use frp_proto::wire::{self, DecodeError, EncodeError, WireProtocol, v2};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::limits::FIRST_MESSAGE_SHARE;
use frp_net::stranger_bytes::PoolShare;

/// Messages over a pipe. Cancelling a [`recv`](Self::recv) loses nothing; cancelling a
/// [`flush_within`](Self::flush_within) may leave half a message behind, so the pipe is done for then.
#[derive(Debug)]
pub struct MsgStream<T> {
    io: T,
    protocol: WireProtocol,
    received: BytesMut,
    to_send: BytesMut,
    /// The peer is a stranger, and what it holds.
    stranger: Option<PoolShare>,
}

/// Why no message came.
#[derive(Debug, thiserror::Error)]
pub enum RecvError {
    /// The peer closed between two messages.
    #[error("EOF")]
    Closed,
    /// The peer closed within a message.
    #[error("unexpected EOF")]
    Truncated,
    /// The pipe failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// What came is not frp.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// Nothing complete came in time.
    #[error("i/o timeout")]
    TimedOut,
}

/// Why a message could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The pipe failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The message does not fit the wire.
    #[error("{0}")]
    Encode(#[from] EncodeError),
    /// The peer does not read.
    #[error("i/o timeout")]
    TimedOut,
}

impl<T> MsgStream<T> {
    /// `received` is what was read from `io` already.
    pub fn new(io: T, protocol: WireProtocol, received: BytesMut) -> Self {
        Self {
            io,
            protocol,
            received,
            to_send: BytesMut::new(),
            stranger: None,
        }
    }

    /// The peer is a stranger until [`Self::admit`]: it shares the memory for long messages with the
    /// others.
    #[must_use]
    pub fn of_stranger(mut self) -> Self {
        self.stranger = Some(PoolShare::default());
        self
    }

    /// The peer has sent its first message.
    pub fn admit(&mut self) {
        self.stranger = None;
    }

    /// The framing in use.
    pub fn protocol(&self) -> WireProtocol {
        self.protocol
    }

    /// The pipe.
    pub fn io(&self) -> &T {
        &self.io
    }

    /// The pipe, and what was read from it beyond the last message.
    pub fn into_parts(self) -> (T, Bytes) {
        // An empty buffer is let go here: a pooled or relaying stream holds none.
        let rest = if self.received.is_empty() {
            Bytes::new()
        } else {
            self.received.freeze()
        };
        (self.io, rest)
    }
}

impl<T: AsyncRead + Unpin> MsgStream<T> {
    /// The next message.
    pub async fn recv(&mut self) -> Result<Message, RecvError> {
        loop {
            if let Some(message) = wire::decode(self.protocol, &mut self.received)? {
                return Ok(message);
            }
            self.fill().await?;
        }
    }

    /// The next wire v2 frame, whatever its kind: hellos are frames that are no messages.
    pub async fn recv_frame(&mut self) -> Result<v2::Frame, RecvError> {
        loop {
            if let Some(frame) = v2::decode_frame(&mut self.received)? {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), RecvError> {
        if self.received.is_empty() {
            // Held while waiting: it is small, and most messages fit.
            self.received.reserve(FIRST_READ);
        }
        if self.io.read_buf(&mut self.received).await? > 0 {
            let held = self.received.capacity();
            let share = self.stranger.as_mut();
            return match share.is_none_or(|share| share.hold(held, FIRST_MESSAGE_SHARE)) {
                true => Ok(()),
                // Others who have not logged in hold too much for so long a message.
                false => Err(io::Error::from(io::ErrorKind::QuotaExceeded).into()),
            };
        }
        Err(if self.received.is_empty() {
            RecvError::Closed
        } else {
            RecvError::Truncated
        })
    }
}

/// Bytes.
const FIRST_READ: usize = 512;

impl<T: AsyncWrite + Unpin> MsgStream<T> {
    /// Puts a message behind those that the next [`flush_within`](Self::flush_within) sends.
    pub fn queue(&mut self, message: &Message) -> Result<(), EncodeError> {
        wire::encode(self.protocol, message, &mut self.to_send)
    }

    /// Puts raw bytes behind what is queued: the v2 magic and hellos.
    pub fn queue_raw(&mut self, bytes: &[u8]) {
        self.to_send.extend_from_slice(bytes);
    }

    /// Sends what was queued, in one write where the pipe takes it; given up when the pipe takes
    /// nothing for `limit`.
    pub async fn flush_within(&mut self, limit: Duration) -> Result<(), SendError> {
        while !self.to_send.is_empty() {
            let written = self.io.write_buf(&mut self.to_send);
            let written = timeout(limit, written).await;
            if written.map_err(|_| SendError::TimedOut)?? == 0 {
                return Err(io::Error::from(io::ErrorKind::WriteZero).into());
            }
        }
        // Kept only while there is something to send: most of these streams wait.
        self.to_send = BytesMut::new();
        let flushed = timeout(limit, self.io.flush()).await;
        Ok(flushed.map_err(|_| SendError::TimedOut)??)
    }

    /// Ends the sending side: the peer reads EOF after what was sent.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        self.io.shutdown().await
    }
}
