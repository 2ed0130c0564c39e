//! Wire protocol v1: type byte, 8-byte big-endian length, JSON body (golib `msg/json`).

use bytes::{Buf as _, BufMut as _, BytesMut};

use super::{DecodeError, EncodeError, WireProtocol};
use crate::msg::{Message, MessageType};

/// Longest body, bytes (golib's default; every frp refuses more).
pub const MAX_BODY: usize = 10_240;

/// Type byte and length, bytes.
pub const HEADER: usize = 9;

/// See [`super::encode`].
///
/// # Errors
/// As there.
pub fn encode(message: &Message, out: &mut BytesMut) -> Result<(), EncodeError> {
    let start = out.len();
    out.reserve(HEADER + TYPICAL_BODY);
    out.put_u8(message.kind().v1_byte());
    out.put_i64(0);
    if let Err(source) = message.write_body(out) {
        out.truncate(start);
        return Err(EncodeError::Json {
            message: message.name(),
            source,
        });
    }
    let length = out.len() - start - HEADER;
    if length > MAX_BODY {
        out.truncate(start);
        return Err(EncodeError::TooLong {
            message: message.name(),
            length,
            limit: MAX_BODY,
            protocol: WireProtocol::V1,
        });
    }
    if let Some(field) = out.get_mut(start + 1..start + HEADER) {
        field.copy_from_slice(&(length as u64).to_be_bytes());
    }
    Ok(())
}

/// See [`super::decode`]. A body of `null` gives the message with all fields zero; frp 0.70.1
/// drops it without a word in v1, but reads it so in v2.
///
/// # Errors
/// As there.
pub fn decode(buf: &mut BytesMut) -> Result<Option<Message>, DecodeError> {
    let Some((kind, body)) = split_frame(buf)? else {
        return Ok(None);
    };
    let message = Message::read_body(kind, body).map_err(|source| DecodeError::Json {
        message: kind.name(),
        source,
    })?;
    let used = HEADER + body.len();
    buf.advance(used);
    Ok(Some(message))
}

/// The kind and the body of the message that `buf` starts with; `None`: it is not complete yet.
pub(super) fn split_frame(buf: &[u8]) -> Result<Option<(MessageType, &[u8])>, DecodeError> {
    let Some((&byte, rest)) = buf.split_first() else {
        return Ok(None);
    };
    let kind = MessageType::from_v1_byte(byte).ok_or(DecodeError::UnknownType(byte))?;
    let Some((length, rest)) = rest.split_first_chunk() else {
        return Ok(None);
    };
    let length = i64::from_be_bytes(*length);
    let Some(length) = usize::try_from(length)
        .ok()
        .filter(|length| *length <= MAX_BODY)
    else {
        return Err(DecodeError::Length {
            message: kind.name(),
            length,
        });
    };
    Ok(rest.get(..length).map(|body| (kind, body)))
}

/// Most messages fit, so that one allocation is enough.
const TYPICAL_BODY: usize = 192;
