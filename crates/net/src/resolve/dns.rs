//! The two DNS messages that a stub resolver needs: a question for the addresses of a name, and its
//! answer (RFC 1035, section 4; RFC 3596). Free of I/O and randomness.
//!
//! A library for DNS brings some sixty crates, Unicode tables among them, for what are two message
//! formats here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::{Buf as _, BufMut as _};

/// Which addresses are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `A`.
    V4,
    /// `AAAA`.
    V6,
}

impl Family {
    fn code(self) -> u16 {
        match self {
            Self::V4 => 1,
            Self::V6 => 28,
        }
    }
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The addresses; none where the name exists and has none of the family.
    Addresses(Vec<IpAddr>),
    /// There is no such name.
    NoSuchName,
    /// It did not fit into a datagram.
    Truncated,
    /// The server could not or would not answer; its code (RFC 1035, section 4.1.1).
    Failed(u8),
}

/// The message is no answer to the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoReply;

/// The name cannot be asked for: a label is empty or has more than 63 bytes, or it is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadName;

const IN: u16 = 1;
const RESPONSE: u16 = 1 << 15;
const TRUNCATED: u16 = 1 << 9;
const RECURSION_DESIRED: u16 = 1 << 8;
const OPCODE: u16 = 0xf << 11;
const HEADER: usize = 12;
const MAX_NAME: usize = 255;

/// A question for the addresses of `name`, whose answer will have the same `id`.
///
/// # Errors
/// See [`BadName`].
pub fn question(id: u16, name: &str, family: Family) -> Result<Vec<u8>, BadName> {
    let mut message = Vec::with_capacity(HEADER + name.len() + 6);
    message.put_u16(id);
    message.put_u16(RECURSION_DESIRED);
    message.put_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.strip_suffix('.').unwrap_or(name).split('.') {
        match u8::try_from(label.len()) {
            Ok(length @ 1..=63) => message.put_u8(length),
            _ => return Err(BadName),
        }
        message.put_slice(label.as_bytes());
    }
    message.put_u8(0);
    if message.len() - HEADER > MAX_NAME {
        return Err(BadName);
    }
    message.put_u16(family.code());
    message.put_u16(IN);
    Ok(message)
}

/// Reads the answer to `question`. Whose names the addresses are is left to the server, which has
/// followed the aliases.
///
/// # Errors
/// It belongs to another question, or is malformed.
pub fn reply(message: &[u8], question: &[u8]) -> Result<Reply, NoReply> {
    let mut header = message.get(..HEADER).ok_or(NoReply)?;
    let (id, flags) = (header.get_u16(), header.get_u16());
    let (questions, answers) = (header.get_u16(), header.get_u16());
    let mut asked = question;
    if question.len() < HEADER + 4
        || id != asked.get_u16()
        || flags & (RESPONSE | OPCODE) != RESPONSE
    {
        return Err(NoReply);
    }
    let question = question.get(HEADER..).ok_or(NoReply)?;
    let mut rest = message.get(HEADER..).ok_or(NoReply)?;
    let code = (flags & 0xf) as u8;
    match questions {
        1 => {
            let repeated = rest.get(..question.len()).ok_or(NoReply)?;
            if !repeated.eq_ignore_ascii_case(question) {
                return Err(NoReply);
            }
            rest.advance(question.len());
        }
        // Some servers do not repeat what they could not read.
        0 if code != 0 => {}
        _ => return Err(NoReply),
    }
    match code {
        3 => return Ok(Reply::NoSuchName),
        0 if flags & TRUNCATED != 0 => return Ok(Reply::Truncated),
        0 => {}
        code => return Ok(Reply::Failed(code)),
    }
    let mut kind = question.get(question.len() - 4..).ok_or(NoReply)?;
    let kind = kind.get_u16();
    let mut found = Vec::new();
    for _ in 0..answers {
        let record = record(&mut rest).ok_or(NoReply)?;
        if record.kind == kind && record.class == IN {
            found.push(address(record.data).ok_or(NoReply)?);
        }
    }
    Ok(Reply::Addresses(found))
}

struct Record<'a> {
    kind: u16,
    class: u16,
    data: &'a [u8],
}

fn record<'a>(rest: &mut &'a [u8]) -> Option<Record<'a>> {
    skip_name(rest)?;
    let mut fixed = rest.get(..10)?;
    rest.advance(10);
    let (kind, class) = (fixed.get_u16(), fixed.get_u16());
    fixed.advance(4);
    let length = usize::from(fixed.get_u16());
    let data = rest.get(..length)?;
    rest.advance(length);
    Some(Record { kind, class, data })
}

/// A name ends with an empty label or with a pointer to where the rest stands.
fn skip_name(rest: &mut &[u8]) -> Option<()> {
    loop {
        let length = usize::from(*rest.first()?);
        match length >> 6 {
            0 => {
                rest.get(..=length)?;
                rest.advance(1 + length);
                if length == 0 {
                    return Some(());
                }
            }
            3 => {
                rest.get(..2)?;
                rest.advance(2);
                return Some(());
            }
            _ => return None,
        }
    }
}

fn address(data: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(data) {
        return Some(Ipv4Addr::from(v4).into());
    }
    let v6 = <[u8; 16]>::try_from(data).ok()?;
    Some(Ipv6Addr::from(v6).into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The example of RFC 1035, section 7.3 in the bytes of its time: an alias and an address.
    const ANSWER: &[u8] = b"\x12\x34\x81\x80\0\x01\0\x02\0\0\0\0\x04frps\x07example\0\0\x01\0\x01\
        \xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01a\xc0\x11\
        \x01a\xc0\x11\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x01";

    fn asked() -> Vec<u8> {
        question(0x1234, "frps.example", Family::V4).unwrap()
    }

    #[test]
    fn questions_are_those_of_the_rfc() {
        let wanted = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x04frps\x07example\0\0\x01\0\x01";
        assert_eq!(asked(), wanted);
        assert_eq!(question(0x1234, "frps.example.", Family::V4), Ok(asked()));
        let v6 = question(1, "a", Family::V6).unwrap();
        assert!(v6.ends_with(b"\x01a\0\0\x1c\0\x01"));
        let long = ["x".repeat(60).as_str(); 5].join(".");
        let label = "x".repeat(64);
        for bad in ["", ".", "a..b", ".a", "a..", &label, &long] {
            assert_eq!(question(1, bad, Family::V4), Err(BadName), "{bad}");
        }
    }

    #[test]
    fn addresses_behind_an_alias_are_found() {
        let found = reply(ANSWER, &asked()).unwrap();
        assert_eq!(found, Reply::Addresses(vec!["10.0.0.1".parse().unwrap()]));
    }

    #[test]
    fn other_answers() {
        let with_flags = |flags: [u8; 2]| {
            let mut message = ANSWER.to_vec();
            message[2..4].copy_from_slice(&flags);
            reply(&message, &asked())
        };
        assert_eq!(with_flags([0x81, 0x83]), Ok(Reply::NoSuchName));
        assert_eq!(with_flags([0x83, 0x80]), Ok(Reply::Truncated));
        assert_eq!(with_flags([0x81, 0x82]), Ok(Reply::Failed(2)));
        assert_eq!(with_flags([0x01, 0x80]), Err(NoReply));
        let header = b"\x12\x34\x81\x81\0\0\0\0\0\0\0\0";
        assert_eq!(reply(header, &asked()), Ok(Reply::Failed(1)));
    }

    #[test]
    fn answers_to_other_questions_are_none() {
        let other = question(0x1235, "frps.example", Family::V4).unwrap();
        assert_eq!(reply(ANSWER, &other), Err(NoReply));
        let other = question(0x1234, "frpc.example", Family::V4).unwrap();
        assert_eq!(reply(ANSWER, &other), Err(NoReply));
        let other = question(0x1234, "frps.example", Family::V6).unwrap();
        assert_eq!(reply(ANSWER, &other), Err(NoReply));
        // Case may have been changed on the way.
        let same = question(0x1234, "FRPS.example", Family::V4).unwrap();
        assert!(reply(ANSWER, &same).is_ok());
        for cut in 0..ANSWER.len() {
            assert_eq!(reply(&ANSWER[..cut], &asked()), Err(NoReply), "{cut}");
        }
    }

    proptest! {
        #[test]
        fn anything_can_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = reply(&bytes, &asked());
            let _ = reply(&[&ANSWER[..30], &bytes].concat(), &asked());
            let _ = reply(ANSWER, &bytes);
        }
    }
}
