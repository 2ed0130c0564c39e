//! STUN: as which address does the world see this socket (RFC 8489; RFC 5780, section 7.4)? One question
//! and its answer, as far as frp needs them (golib `net/stun`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

/// Ties an answer to its question. It must not be guessable: 12 bytes of the system's generator.
pub type TransactionId = [u8; 12];

/// What a server answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answer {
    /// As which address it sees whoever asks.
    pub mapped: Option<SocketAddr>,
    /// Another address of the server. Asked there from the same socket, it tells what the NAT on the
    /// way makes of another destination.
    pub other: Option<SocketAddr>,
}

/// Why an answer says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// Lengths that do not add up, or an attribute that cannot be.
    #[error("malformed STUN response: {0}")]
    Malformed(&'static str),
    /// An address that is neither of IPv4 nor of IPv6.
    #[error("unsupported STUN address family: 0x{0:02x}")]
    Family(u8),
    /// The server refuses.
    #[error("STUN binding error {code}{}", behind_colon(.reason))]
    Refused {
        /// From 300 to 699.
        code: u16,
        /// Its words for people, at most 127 characters; may be empty.
        reason: String,
    },
}

/// The question, a whole datagram.
pub fn binding_request(id: &TransactionId) -> Vec<u8> {
    let kind = BINDING_REQUEST.to_be_bytes();
    let no_attributes = 0_u16.to_be_bytes();
    [&kind[..], &no_attributes, &MAGIC_COOKIE, id].concat()
}

/// What `datagram` answers to the question with `id`; `None`: it is no answer to that, and another
/// one may come. Where it came from is the caller's to check.
///
/// # Errors
/// It is an answer, but does not say what was asked for.
pub fn read_answer(datagram: &[u8], id: &TransactionId) -> Option<Result<Answer, AnswerError>> {
    let mut header = Input(datagram);
    let kind = header.u16()?;
    let length = header.u16()?;
    let is_answer = header.take(4)? == MAGIC_COOKIE && header.take(12)? == id;
    let refused = match kind {
        BINDING_SUCCESS => false,
        BINDING_ERROR => true,
        _ => return None,
    };
    is_answer.then(|| {
        let attributes = Attributes::read(header.0, length)?;
        match refused {
            true => Err(attributes.refusal()),
            false => attributes.answer(id),
        }
    })
}

const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

const MAPPED_ADDRESS: u16 = 0x0001;
/// Of RFC 3489, which old servers speak; later it is [`OTHER_ADDRESS`].
const CHANGED_ADDRESS: u16 = 0x0005;
const ERROR_CODE: u16 = 0x0009;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const OTHER_ADDRESS: u16 = 0x802c;

/// Attributes begin at multiples of this, bytes.
const ALIGNMENT: usize = 4;

/// Bytes that the words of a refusal may have (RFC 8489, section 14.8).
const MAX_REASON: usize = 763;

/// The values that mean something here; of several of a kind the first counts.
#[derive(Default)]
struct Attributes<'a> {
    mapped: Option<&'a [u8]>,
    changed: Option<&'a [u8]>,
    error_code: Option<&'a [u8]>,
    xor_mapped: Option<&'a [u8]>,
    other: Option<&'a [u8]>,
}

impl<'a> Attributes<'a> {
    fn read(body: &'a [u8], length: u16) -> Result<Self, AnswerError> {
        if usize::from(length) != body.len() || !body.len().is_multiple_of(ALIGNMENT) {
            return Err(AnswerError::Malformed(
                "its length is not that of its header",
            ));
        }
        let cut = || AnswerError::Malformed("an attribute is cut");
        let mut found = Self::default();
        let mut rest = Input(body);
        while !rest.0.is_empty() {
            let kind = rest.u16().ok_or_else(cut)?;
            let length = usize::from(rest.u16().ok_or_else(cut)?);
            let padded = rest
                .take(length.next_multiple_of(ALIGNMENT))
                .ok_or_else(cut)?;
            let slot = match kind {
                MAPPED_ADDRESS => &mut found.mapped,
                CHANGED_ADDRESS => &mut found.changed,
                ERROR_CODE => &mut found.error_code,
                XOR_MAPPED_ADDRESS => &mut found.xor_mapped,
                OTHER_ADDRESS => &mut found.other,
                _ => continue,
            };
            *slot = slot.or_else(|| padded.get(..length));
        }
        Ok(found)
    }

    fn answer(&self, id: &TransactionId) -> Result<Answer, AnswerError> {
        let mapped = match (self.xor_mapped, self.mapped) {
            (Some(value), _) => Some(masked(address(value)?, id)),
            (None, Some(value)) => Some(address(value)?),
            (None, None) => None,
        };
        let other = self.other.or(self.changed).map(address).transpose()?;
        Ok(Answer { mapped, other })
    }

    fn refusal(&self) -> AnswerError {
        let malformed = AnswerError::Malformed;
        let Some([_, _, class, number, reason @ ..]) = self.error_code else {
            return malformed("an error without a code");
        };
        let class = class & 7;
        if !(3..=6).contains(&class) || *number > 99 {
            return malformed("an error with a code that cannot be");
        }
        let reason = str::from_utf8(reason)
            .ok()
            .filter(|words| words.len() <= MAX_REASON && words.chars().count() < 128);
        match reason {
            None => malformed("an error with a reason that cannot be"),
            Some(reason) => AnswerError::Refused {
                code: u16::from(class) * 100 + u16::from(*number),
                reason: reason.to_owned(),
            },
        }
    }
}

fn address(value: &[u8]) -> Result<SocketAddr, AnswerError> {
    let malformed = || AnswerError::Malformed("an address of another length than its family's");
    let [_, family, high, low, ip @ ..] = value else {
        return Err(malformed());
    };
    let ip: IpAddr = match family {
        1 => Ipv4Addr::from(<[u8; 4]>::try_from(ip).map_err(|_| malformed())?).into(),
        2 => Ipv6Addr::from(<[u8; 16]>::try_from(ip).map_err(|_| malformed())?).into(),
        other => return Err(AnswerError::Family(*other)),
    };
    Ok(SocketAddr::new(ip, u16::from_be_bytes([*high, *low])))
}

/// Undoes what keeps NATs from rewriting addresses in datagrams (RFC 8489, section 14.2).
fn masked(addr: SocketAddr, id: &TransactionId) -> SocketAddr {
    let [a, b, c, d] = MAGIC_COOKIE;
    let cookie = u32::from_be_bytes(MAGIC_COOKIE);
    let ip: IpAddr = match addr.ip() {
        IpAddr::V4(ip) => Ipv4Addr::from(u32::from(ip) ^ cookie).into(),
        IpAddr::V6(ip) => {
            let mut mask = [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            mask.iter_mut().skip(4).zip(id).for_each(|(m, i)| *m = *i);
            Ipv6Addr::from(u128::from(ip) ^ u128::from_be_bytes(mask)).into()
        }
    };
    SocketAddr::new(ip, addr.port() ^ u16::from_be_bytes([a, b]))
}

fn behind_colon(reason: &str) -> String {
    match reason {
        "" => String::new(),
        reason => format!(": {reason}"),
    }
}

/// Bytes that are read from the front.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*taken))
    }
}
