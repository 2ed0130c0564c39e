//! Framing: where a message begins and ends in a byte stream.
//!
//! Two framings exist. A v2 client opens every stream with [`MAGIC_V2`]; anything else is v1.
//! [`encode`] and [`decode`] speak either; [`hello`] holds the negotiation with which a v2 control
//! connection starts.

use bytes::BytesMut;
use thiserror::Error;

use crate::msg::Message;

pub mod datagram;
pub mod hello;
pub mod v1;
pub mod v2;

crate::named! {
    /// Which framing a stream uses (`transport.wireProtocol`).
    #[derive(Default)]
    pub enum WireProtocol {
        /// One type byte, 8 bytes of length, JSON. All versions of frp.
        #[default]
        V1 = "v1",
        /// Framed with kind, flags and length. Since frp 0.69.
        V2 = "v2",
    }
}

/// The first bytes of every stream that a v2 client opens (frp `pkg/proto/wire/wire.go`).
pub const MAGIC_V2: [u8; 7] = *b"FRP\x00\x02\r\n";

/// What the first bytes of a stream say about its framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Magic {
    /// All bytes so far match [`MAGIC_V2`], but it is not complete.
    NeedMore,
    /// No magic: the bytes are the start of a v1 message and stay in the stream.
    V1,
    /// The stream starts with [`MAGIC_V2`]; those 7 bytes are to be dropped.
    V2,
}

/// Tells v1 from v2 by the first bytes of a stream. Answers as soon as it can be known.
pub fn detect(first: &[u8]) -> Magic {
    if first
        .iter()
        .zip(&MAGIC_V2)
        .any(|(byte, magic)| byte != magic)
    {
        return Magic::V1;
    }
    if first.len() < MAGIC_V2.len() {
        Magic::NeedMore
    } else {
        Magic::V2
    }
}

/// Appends `message` to `out`, without the magic.
///
/// # Errors
/// [`EncodeError`] when the peer would refuse the message for its length; `out` is unchanged then.
pub fn encode(
    protocol: WireProtocol,
    message: &Message,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    match protocol {
        WireProtocol::V1 => v1::encode(message, out),
        WireProtocol::V2 => v2::encode(message, out),
    }
}

/// Takes one message off the front of `buf`; `None` means that it is not complete yet.
///
/// Type and length are judged as soon as the header is there, so that a bad peer cannot make the
/// caller wait or buffer for a message that will be refused.
///
/// # Errors
/// [`DecodeError`] when the bytes are no message. The stream cannot be read on after that.
pub fn decode(protocol: WireProtocol, buf: &mut BytesMut) -> Result<Option<Message>, DecodeError> {
    match protocol {
        WireProtocol::V1 => v1::decode(buf),
        WireProtocol::V2 => v2::decode(buf),
    }
}

/// Why a message cannot be sent.
#[derive(Debug, Error)]
pub enum EncodeError {
    /// Longer than the receiver accepts.
    #[error(
        "{message} message of {length} bytes is longer than the {limit} that wire protocol {protocol} allows"
    )]
    TooLong {
        /// frp's name of the message.
        message: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The most the receiver takes, in bytes.
        limit: usize,
        /// The framing in use.
        protocol: WireProtocol,
    },
    /// JSON refused to write it; no message of ours gets here.
    #[error("cannot write {message} message as JSON: {source}")]
    Json {
        /// frp's name of the message.
        message: &'static str,
        /// What JSON said.
        source: serde_json::Error,
    },
}

/// Why received bytes are no message.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// v1: the first byte is no message type.
    #[error("unknown message type byte {0:#04x}: the peer does not speak frp's wire protocol v1")]
    UnknownType(u8),
    /// v1: the length is negative or above [`v1::MAX_BODY`].
    #[error("{message} message claims a length of {length} bytes, allowed are 0 to {limit}", limit = v1::MAX_BODY)]
    Length {
        /// frp's name of the message.
        message: &'static str,
        /// The length as received.
        length: i64,
    },
    /// v2: frame flags other than 0.
    #[error("unsupported frame flags: {0}")]
    Flags(u16),
    /// v2: the payload is above [`v2::MAX_PAYLOAD`].
    #[error("frame payload length {0} exceeds limit {limit}", limit = v2::MAX_PAYLOAD)]
    FrameTooLong(u32),
    /// v2: a kind of frame that does not exist, or not at this place.
    #[error("unexpected frame type {got}, want {want}")]
    FrameKind {
        /// The kind as received.
        got: u16,
        /// The only kind possible here; see [`v2::FrameKind`].
        want: u16,
    },
    /// v2: a message frame without room for the message id.
    #[error("message frame payload of {0} bytes is too short for a message id")]
    ShortMessage(usize),
    /// v2: an unknown message id.
    #[error("unknown v2 message type {0}")]
    UnknownMessage(u16),
    /// The JSON is broken or holds a value of the wrong type.
    #[error("malformed {message}: {source}")]
    Json {
        /// What was being read.
        message: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}
