//! Wire protocol v2: frames of kind, flags, length and payload, all big-endian
//! (frp `pkg/proto/wire/wire.go`, `pkg/msg/wire_v2.go`).

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::{DecodeError, EncodeError, WireProtocol};
use crate::msg::{Message, MessageType};

/// Longest payload, bytes.
pub const MAX_PAYLOAD: usize = 65_536;

/// Kind, flags and length, bytes.
pub const HEADER: usize = 8;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum FrameKind {
    /// JSON of [`super::hello::ClientHello`].
    ClientHello = 1,
    /// JSON of [`super::hello::ServerHello`].
    ServerHello = 2,
    /// A message: its id, then JSON.
    Message = 16,
}

impl FrameKind {
    const fn from_id(id: u16) -> Option<Self> {
        match id {
            1 => Some(Self::ClientHello),
            2 => Some(Self::ServerHello),
            16 => Some(Self::Message),
            _ => None,
        }
    }
}

/// One frame as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What the payload is.
    pub kind: FrameKind,
    /// The payload, exactly as on the wire: the transcript hash is made over these bytes.
    pub payload: Bytes,
}

/// Takes one frame of any kind off the front of `buf`; `None` means that it is not complete yet.
///
/// # Errors
/// [`DecodeError`] when flags, length or kind are not allowed, as soon as the header is there.
pub fn decode_frame(buf: &mut BytesMut) -> Result<Option<Frame>, DecodeError> {
    let Some(header) = Header::parse(buf)? else {
        return Ok(None);
    };
    if buf.len() < HEADER + header.length {
        return Ok(None);
    }
    buf.advance(HEADER);
    Ok(Some(Frame {
        kind: header.kind,
        payload: buf.split_to(header.length).freeze(),
    }))
}

/// Appends a frame to `out`.
///
/// # Errors
/// [`EncodeError::TooLong`] when the payload is above [`MAX_PAYLOAD`].
pub fn encode_frame(
    kind: FrameKind,
    payload: &[u8],
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    if payload.len() > MAX_PAYLOAD {
        return Err(too_long("hello", payload.len()));
    }
    out.reserve(HEADER + payload.len());
    put_header(kind, payload.len(), out);
    out.put_slice(payload);
    Ok(())
}

/// Reads the payload of a frame of kind [`FrameKind::Message`].
///
/// # Errors
/// [`DecodeError`] when the id is missing or unknown, or the JSON is wrong.
pub fn decode_message(payload: &[u8]) -> Result<Message, DecodeError> {
    let (kind, body) = split_message(payload)?;
    Message::read_body(kind, body).map_err(|source| DecodeError::Json {
        message: kind.name(),
        source,
    })
}

fn split_message(payload: &[u8]) -> Result<(MessageType, &[u8]), DecodeError> {
    let Some((id, body)) = payload.split_first_chunk() else {
        return Err(DecodeError::ShortMessage(payload.len()));
    };
    let id = u16::from_be_bytes(*id);
    let kind = MessageType::from_v2_id(id).ok_or(DecodeError::UnknownMessage(id))?;
    Ok((kind, body))
}

/// See [`super::encode`].
///
/// # Errors
/// As there.
pub fn encode(message: &Message, out: &mut BytesMut) -> Result<(), EncodeError> {
    let start = out.len();
    out.reserve(HEADER + TYPICAL_PAYLOAD);
    put_header(FrameKind::Message, 0, out);
    out.put_u16(message.kind().v2_id());
    if let Err(source) = message.write_body(out) {
        out.truncate(start);
        return Err(EncodeError::Json {
            message: message.name(),
            source,
        });
    }
    let length = out.len() - start - HEADER;
    if length > MAX_PAYLOAD {
        out.truncate(start);
        return Err(too_long(message.name(), length));
    }
    if let Some(field) = out.get_mut(start + 4..start + HEADER) {
        field.copy_from_slice(&(length as u32).to_be_bytes());
    }
    Ok(())
}

/// See [`super::decode`]. Any other kind of frame is an error here.
///
/// # Errors
/// As there.
pub fn decode(buf: &mut BytesMut) -> Result<Option<Message>, DecodeError> {
    let Some(payload) = split_payload(buf)? else {
        return Ok(None);
    };
    let message = decode_message(payload)?;
    let used = HEADER + payload.len();
    buf.advance(used);
    Ok(Some(message))
}

/// The kind and the body of the message that `buf` starts with; `None`: it is not complete yet.
pub(super) fn split_frame(buf: &[u8]) -> Result<Option<(MessageType, &[u8])>, DecodeError> {
    split_payload(buf)?.map(split_message).transpose()
}

/// The payload of the frame that `buf` starts with, which must hold a message.
fn split_payload(buf: &[u8]) -> Result<Option<&[u8]>, DecodeError> {
    let Some(header) = Header::parse(buf)? else {
        return Ok(None);
    };
    if header.kind != FrameKind::Message {
        let want = FrameKind::Message as u16;
        return Err(DecodeError::FrameKind {
            got: header.kind as u16,
            want,
        });
    }
    Ok(buf.get(HEADER..HEADER + header.length))
}

struct Header {
    kind: FrameKind,
    length: usize,
}

impl Header {
    fn parse(buf: &[u8]) -> Result<Option<Self>, DecodeError> {
        let Some(&[k0, k1, f0, f1, l0, l1, l2, l3]) = buf.first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let flags = u16::from_be_bytes([f0, f1]);
        if flags != 0 {
            return Err(DecodeError::Flags(flags));
        }
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        if length as usize > MAX_PAYLOAD {
            return Err(DecodeError::FrameTooLong(length));
        }
        let id = u16::from_be_bytes([k0, k1]);
        let want = FrameKind::Message as u16;
        let kind = FrameKind::from_id(id).ok_or(DecodeError::FrameKind { got: id, want })?;
        Ok(Some(Self {
            kind,
            length: length as usize,
        }))
    }
}

pub(super) fn put_header(kind: FrameKind, length: usize, out: &mut BytesMut) {
    out.put_u16(kind as u16);
    out.put_u16(0);
    out.put_u32(length as u32);
}

fn too_long(message: &'static str, length: usize) -> EncodeError {
    EncodeError::TooLong {
        message,
        length,
        limit: MAX_PAYLOAD,
        protocol: WireProtocol::V2,
    }
}

/// Most messages fit, so that one allocation is enough.
const TYPICAL_PAYLOAD: usize = 192;
