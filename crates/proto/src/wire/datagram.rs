//! The one message that carries user data, written and read without the general way's copies.
//!
//! [`encode`] writes the bytes that [`super::encode`] writes. [`decode`] reads at once what frp and
//! we write, and leaves any other form of the same JSON to the general reader.

use std::net::IpAddr;

use bytes::{BufMut as _, BytesMut};

use super::{DecodeError, EncodeError, WireProtocol, v1, v2};
use crate::json;
use crate::msg::{Message, MessageType, UdpAddr};

/// An address as it stands inside the message, made once for many datagrams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddrText(Box<[u8]>);

impl From<&UdpAddr> for AddrText {
    fn from(addr: &UdpAddr) -> Self {
        let mut text = BytesMut::with_capacity(64);
        // Writing strings and numbers to memory cannot fail.
        let _ = json::write(addr, &mut text);
        Self(text[..].into())
    }
}

/// What stands in a udp or sudp stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// A datagram of, or for, this user.
    Datagram(Option<UdpAddr>),
    /// The proxy's side is still there.
    Ping,
    /// A message that has no meaning here.
    Other(MessageType),
}

/// Appends the message with the datagram `content` of, or for, the user `remote`.
///
/// # Errors
/// [`EncodeError::TooLong`] when it is longer than the receiver accepts; nothing is appended.
pub fn encode(
    protocol: WireProtocol,
    content: &[u8],
    remote: &AddrText,
    out: &mut BytesMut,
) -> Result<(), EncodeError> {
    let content_len = match content.len() {
        0 => 0,
        n => C_OPEN.len() + n.div_ceil(3) * 4 + C_CLOSE.len(),
    };
    let body = 1 + content_len + R_OPEN.len() + remote.0.len() + 1;
    let too_long = |length, limit| EncodeError::TooLong {
        message: MessageType::UdpPacket.name(),
        length,
        limit,
        protocol,
    };
    match protocol {
        WireProtocol::V1 => {
            if body > v1::MAX_BODY {
                return Err(too_long(body, v1::MAX_BODY));
            }
            out.reserve(v1::HEADER + body);
            out.put_u8(MessageType::UdpPacket.v1_byte());
            out.put_u64(body as u64);
        }
        WireProtocol::V2 => {
            let payload = body + 2;
            if payload > v2::MAX_PAYLOAD {
                return Err(too_long(payload, v2::MAX_PAYLOAD));
            }
            out.reserve(v2::HEADER + payload);
            v2::put_header(v2::FrameKind::Message, payload, out);
            out.put_u16(MessageType::UdpPacket.v2_id());
        }
    }
    out.put_u8(b'{');
    if !content.is_empty() {
        out.put_slice(C_OPEN);
        json::write_base64(content, out);
        out.put_slice(C_CLOSE);
    }
    out.put_slice(R_OPEN);
    out.put_slice(&remote.0);
    out.put_u8(b'}');
    Ok(())
}

/// Reads the message that `buf` starts with: how many bytes it takes, and what it is; `None`: it
/// is not complete yet. A datagram's content is appended to `content`.
///
/// # Errors
/// [`DecodeError`] when the bytes are no message. The stream cannot be read on after that.
pub fn decode(
    protocol: WireProtocol,
    buf: &[u8],
    content: &mut Vec<u8>,
) -> Result<Option<(usize, Payload)>, DecodeError> {
    let (frame, before_body) = match protocol {
        WireProtocol::V1 => (v1::split_frame(buf)?, v1::HEADER),
        WireProtocol::V2 => (v2::split_frame(buf)?, v2::HEADER + 2),
    };
    let Some((kind, body)) = frame else {
        return Ok(None);
    };
    let used = before_body + body.len();
    if kind == MessageType::UdpPacket
        && let Some(remote) = read_common(body, content)
    {
        return Ok(Some((used, Payload::Datagram(remote))));
    }
    let message = Message::read_body(kind, body).map_err(|source| DecodeError::Json {
        message: kind.name(),
        source,
    })?;
    let payload = match message {
        Message::UdpPacket(packet) => {
            content.extend_from_slice(&packet.c);
            Payload::Datagram(packet.r)
        }
        Message::Ping(_) => Payload::Ping,
        other => Payload::Other(other.kind()),
    };
    Ok(Some((used, payload)))
}

const C_OPEN: &[u8] = b"\"c\":\"";
const C_CLOSE: &[u8] = b"\",";
const R_OPEN: &[u8] = b"\"r\":";

/// What ends the content and begins the address.
const C_TO_R: &[u8] = b"\",\"r\":";

/// An address without a zone is shorter than this: `{"IP":"","Port":65535,"Zone":""}` and the IP.
const R_LONGEST: usize = 40 + 45;

/// `{"c":"BASE64","r":{"IP":"IP","Port":PORT,"Zone":""}}` and nothing else, either field left out;
/// `None`: not that, and nothing was appended to `content`.
fn read_common(body: &[u8], content: &mut Vec<u8>) -> Option<Option<UdpAddr>> {
    let fields = body.strip_prefix(b"{")?.strip_suffix(b"}")?;
    if let Some(remote) = fields.strip_prefix(R_OPEN) {
        return read_addr(remote).map(Some);
    }
    let rest = fields.strip_prefix(C_OPEN)?;
    let (text, remote) = match rest.strip_suffix(b"\"") {
        Some(text) => (text, None),
        None => {
            // Looked for from behind: what is before it is checked by being read as base64.
            let from = rest.len().saturating_sub(C_TO_R.len() + R_LONGEST);
            let tail = rest.get(from..)?;
            let at = tail.windows(C_TO_R.len()).rposition(|w| w == C_TO_R)? + from;
            let (text, remote) = rest.split_at_checked(at)?;
            (text, Some(read_addr(remote.get(C_TO_R.len()..)?)?))
        }
    };
    json::read_base64(text, content).then_some(remote)
}

fn read_addr(text: &[u8]) -> Option<UdpAddr> {
    let text = str::from_utf8(text).ok()?;
    let (ip, rest) = text.strip_prefix("{\"IP\":\"")?.split_once('"')?;
    let port = rest.strip_prefix(",\"Port\":")?;
    let port = port.strip_suffix(",\"Zone\":\"\"}")?;
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    if !digits || (port.len() > 1 && port.starts_with('0')) {
        return None;
    }
    let ip: IpAddr = ip.parse().ok()?;
    Some(UdpAddr {
        ip: Some(ip.to_canonical()),
        port: port.parse().ok()?,
        zone: String::new(),
    })
}
