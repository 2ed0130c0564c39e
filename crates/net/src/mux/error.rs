//! Why a session ended, and why an operation on it failed.

use std::{io, sync::Arc};

use thiserror::Error;

/// Why a session ended.
#[derive(Clone, Debug, Error)]
pub enum CloseReason {
    /// [`Mux::close`](super::Mux::close) was called, or every handle was dropped.
    #[error("the session was closed by this side")]
    LocalClose,
    /// The peer closed the connection.
    #[error("the peer closed the connection")]
    PeerClosed,
    /// The peer ended the session with this code (1: it saw a protocol error, 2: its own error).
    #[error("the peer ended the mux session with code {0}")]
    GoAway(u32),
    /// A keep-alive ping was not answered within 10 s.
    #[error("the peer did not answer a keep-alive ping within 10 s")]
    PingTimeout,
    /// The connection took no byte for 10 s while there was something to send.
    #[error("the connection took no data for 10 s")]
    WriteTimeout,
    /// The peer did not acknowledge a stream within 75 s.
    #[error("the peer did not acknowledge a new stream within 75 s")]
    OpenTimeout,
    /// The peer does not speak the protocol, or breaks it.
    #[error("mux protocol: {0}")]
    Protocol(#[from] ProtocolError),
    /// The connection failed.
    #[error("connection: {0}")]
    Io(Arc<io::Error>),
}

/// How a peer broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProtocolError {
    /// Frames start with 0. If this comes first, the peer most likely has `transport.tcpMux` set
    /// differently.
    #[error("frame of unknown version {0} (do both sides agree on transport.tcpMux?)")]
    Version(u8),
    /// A frame type beyond 3.
    #[error("frame of unknown type {0} (do both sides agree on transport.tcpMux?)")]
    Kind(u8),
    /// A new stream with a number that the peer may not use.
    #[error("stream id {0} is not the peer's to open")]
    StreamId(u32),
    /// A new stream with the number of a live one.
    #[error("stream {0} was opened twice")]
    DuplicateStream(u32),
    /// More data than the window allowed.
    #[error("stream {stream}: {length} bytes sent, {window} allowed")]
    Window {
        /// The stream.
        stream: u32,
        /// Payload of the frame, bytes.
        length: u32,
        /// What was left of the window, bytes.
        window: u32,
    },
    /// A stream was ended twice.
    #[error("stream {0} was finished twice")]
    SecondFin(u32),
    /// Streams are opened beyond the backlog faster than the refusals can be sent.
    #[error("the peer floods the session with new streams")]
    Flood,
    /// More bytes than any login takes have come before one.
    #[error("the peer says too much without a login")]
    Talkative,
}

/// Why an operation on a session or stream failed. Inside the `io::Error` of a stream:
/// `ConnectionReset` for [`MuxError::Reset`], `BrokenPipe` for [`MuxError::Unread`] and
/// [`MuxError::Finished`],
/// `ConnectionAborted` for the end of the session.
#[derive(Clone, Debug, Error)]
pub enum MuxError {
    /// The session is over.
    #[error("mux session ended: {0}")]
    Closed(CloseReason),
    /// The peer takes no new streams.
    #[error("the peer takes no new streams")]
    GoAway,
    /// All stream numbers have been used; a new session is needed.
    #[error("the mux session has used up its stream numbers")]
    Exhausted,
    /// The peer reset the stream.
    #[error("the peer reset the stream")]
    Reset,
    /// The peer has ended its direction, and reads no more.
    #[error("the peer reads no more")]
    Unread,
    /// A write after the shutdown.
    #[error("the stream was shut down for writing")]
    Finished,
}
