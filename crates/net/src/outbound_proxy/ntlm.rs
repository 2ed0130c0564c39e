//! The three messages of NTLM that a client sends and reads (MS-NLMP), version 2 of the response
//! only: what frp's `ntlm://` proxies speak (golib `net/dial_option.go`). Free of I/O, clock and
//! randomness.
//!
//! MD4 and MD5 are what the protocol is made of. They protect nothing here that TLS does not.

use bytes::{Buf as _, BufMut as _};
use frp_proto::proxy_url::ProxyLogin;
use hmac::{Hmac, KeyInit as _, Mac as _};
use md4::{Digest as _, Md4};
use md5::Md5;

const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";
const NEGOTIATE: u32 = 1;
const CHALLENGE: u32 = 2;
const AUTHENTICATE: u32 = 3;

/// MS-NLMP, section 2.2.2.5.
mod flag {
    pub(super) const UNICODE: u32 = 1;
    pub(super) const SIGN: u32 = 1 << 4;
    pub(super) const SEAL: u32 = 1 << 5;
    pub(super) const LM_KEY: u32 = 1 << 7;
    pub(super) const NTLM: u32 = 1 << 9;
    pub(super) const ALWAYS_SIGN: u32 = 1 << 15;
    pub(super) const EXTENDED_SESSION_SECURITY: u32 = 1 << 19;
    pub(super) const TARGET_INFO: u32 = 1 << 23;
    pub(super) const VERSION: u32 = 1 << 25;
    pub(super) const KEY_128: u32 = 1 << 29;
    pub(super) const KEY_EXCHANGE: u32 = 1 << 30;
    pub(super) const KEY_56: u32 = 1 << 31;
}

const OFFERED: u32 = flag::UNICODE
    | flag::NTLM
    | flag::ALWAYS_SIGN
    | flag::EXTENDED_SESSION_SECURITY
    | flag::TARGET_INFO
    | flag::KEY_128
    | flag::KEY_56;

/// What an HTTP connection has no use for: no key is made, so none can be exchanged or sign.
const NEVER: u32 = flag::VERSION | flag::KEY_EXCHANGE | flag::LM_KEY | flag::SIGN | flag::SEAL;

/// `MsvAvTimestamp`, the server's time.
const TIMESTAMP: u16 = 7;

/// Why there is no answer to a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NtlmError {
    /// It is no message of the second type, or a part of it lies outside.
    #[error("its NTLM challenge is malformed")]
    Malformed,
    /// It speaks no UTF-16.
    #[error("its NTLM challenge is one of Windows 98 and older")]
    Old,
    /// There is no connection to answer on.
    #[error("with its NTLM challenge it closes the connection that NTLM needs")]
    Closed,
    /// A part of the answer has more than 65535 bytes.
    #[error("the user, or what NTLM asks for, is too long")]
    TooLong,
}

/// A server's challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    flags: u32,
    nonce: [u8; 8],
    /// As it came; empty where there is none.
    target_info: Vec<u8>,
    timestamp: Option<[u8; 8]>,
}

/// The first message; neither domain nor workstation in it, as frp sends it.
pub fn negotiate() -> Vec<u8> {
    const LENGTH: u32 = 40;
    let mut message = Vec::with_capacity(LENGTH as usize);
    message.put_slice(SIGNATURE);
    message.put_u32_le(NEGOTIATE);
    message.put_u32_le(OFFERED);
    message.put_slice(&field(0, 0));
    message.put_slice(&field(0, LENGTH));
    // Windows 7, which nobody looks at (section 2.2.2.10).
    message.put_slice(&[6, 1, 0xb1, 0x1d, 0, 0, 0, 15]);
    message
}

impl Challenge {
    /// Reads the second message.
    ///
    /// # Errors
    /// See [`NtlmError`].
    pub fn parse(message: &[u8]) -> Result<Self, NtlmError> {
        let mut head = message.get(..48).ok_or(NtlmError::Malformed)?;
        let mut signature = [0; 8];
        head.copy_to_slice(&mut signature);
        if signature != *SIGNATURE || head.get_u32_le() != CHALLENGE {
            return Err(NtlmError::Malformed);
        }
        head.advance(8); // The target's name, which is in the target's info, too.
        let flags = head.get_u32_le();
        let mut nonce = [0; 8];
        head.copy_to_slice(&mut nonce);
        head.advance(8);
        let length = usize::from(head.get_u16_le());
        head.advance(2);
        let at = usize::try_from(head.get_u32_le()).map_err(|_| NtlmError::Malformed)?;
        if flags & flag::UNICODE == 0 {
            return Err(NtlmError::Old);
        }
        let target_info = match length {
            0 => &[],
            _ => at
                .checked_add(length)
                .and_then(|end| message.get(at..end))
                .ok_or(NtlmError::Malformed)?,
        };
        Ok(Self {
            flags,
            nonce,
            timestamp: timestamp(target_info)?,
            target_info: target_info.to_vec(),
        })
    }

    /// The third message. `random` is fresh for each, `now` is in 100 ns since 1601 and used only
    /// where the server does not tell the time.
    ///
    /// # Errors
    /// [`NtlmError::TooLong`].
    pub fn answer(
        &self,
        login: &ProxyLogin,
        random: [u8; 8],
        now: u64,
    ) -> Result<Vec<u8>, NtlmError> {
        let (domain, user) = login.user.split_once('\\').unwrap_or(("", &login.user));
        let key = response_key(&login.password, user, domain);
        let time = self.timestamp.unwrap_or_else(|| now.to_le_bytes());
        let nt = self.nt_response(&key, random, time);
        let lm = match self.target_info.is_empty() {
            true => self.lm_response(&key, random),
            false => Vec::new(),
        };
        let (domain, user) = (utf16(domain), utf16(user));

        const LENGTH: u32 = 64;
        let mut message = Vec::new();
        message.put_slice(SIGNATURE);
        message.put_u32_le(AUTHENTICATE);
        let payload = [&lm, &nt, &domain, &user, &Vec::new(), &Vec::new()];
        let mut at = LENGTH;
        for part in payload {
            let length = u16::try_from(part.len()).map_err(|_| NtlmError::TooLong)?;
            message.put_slice(&field(length, at));
            at += u32::from(length);
        }
        message.put_u32_le(self.flags & !NEVER);
        payload.iter().for_each(|part| message.put_slice(part));
        Ok(message)
    }

    /// NTLMv2_CLIENT_CHALLENGE with its proof in front (sections 2.2.2.7 and 3.3.2).
    fn nt_response(&self, key: &[u8; 16], random: [u8; 8], time: [u8; 8]) -> Vec<u8> {
        let mut blob = vec![1, 1, 0, 0, 0, 0, 0, 0];
        blob.extend(time);
        blob.extend(random);
        blob.extend([0; 4]);
        blob.extend(&self.target_info);
        blob.extend([0; 4]);
        let mut response = hmac_md5(key, &[&self.nonce, &blob]).to_vec();
        response.extend(blob);
        response
    }

    fn lm_response(&self, key: &[u8; 16], random: [u8; 8]) -> Vec<u8> {
        let mut response = hmac_md5(key, &[&self.nonce, &random]).to_vec();
        response.extend(random);
        response
    }
}

/// The server's time among the pairs of the target's info (section 2.2.2.1).
fn timestamp(mut pairs: &[u8]) -> Result<Option<[u8; 8]>, NtlmError> {
    while pairs.remaining() >= 4 {
        let (id, length) = (pairs.get_u16_le(), usize::from(pairs.get_u16_le()));
        if id == 0 {
            break;
        }
        let value = pairs.get(..length).ok_or(NtlmError::Malformed)?;
        if id == TIMESTAMP {
            return value.try_into().map(Some).map_err(|_| NtlmError::Malformed);
        }
        pairs.advance(length);
    }
    Ok(None)
}

/// NTOWFv2 (section 3.3.2).
fn response_key(password: &str, user: &str, domain: &str) -> [u8; 16] {
    let hash: [u8; 16] = Md4::digest(utf16(password)).into();
    hmac_md5(&hash, &[&utf16(&user.to_uppercase()), &utf16(domain)])
}

fn hmac_md5(key: &[u8; 16], parts: &[&[u8]]) -> [u8; 16] {
    // HMAC fills a key up with zeros to the size of a block.
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let mut mac = Hmac::<Md5>::new(&block.into());
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// Where a part of a message lies.
fn field(length: u16, at: u32) -> [u8; 8] {
    let [l0, l1] = length.to_le_bytes();
    let [a0, a1, a2, a3] = at.to_le_bytes();
    [l0, l1, l0, l1, a0, a1, a2, a3]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text
            .chars()
            .filter_map(|c| c.to_digit(16).map(|d| d as u8))
            .collect();
        digits.chunks(2).map(|d| d[0] * 16 + d[1]).collect()
    }

    /// The names of the server in the examples of MS-NLMP.
    const INFO: &str = "02000c0044006f006d00610069006e00 01000c00530065007200760065007200 00000000";

    /// CHALLENGE_MESSAGE of MS-NLMP, section 4.2.4.3.
    const EXAMPLE: &str = "4e544c4d53535000 02000000 0c000c0038000000 33828ae2 0123456789abcdef \
        0000000000000000 2400240044000000 060070170000000f 530065007200760065007200";

    fn example() -> Challenge {
        Challenge::parse(&hex(&format!("{EXAMPLE}{INFO}"))).unwrap()
    }

    /// The values of MS-NLMP, section 4.2.4: user `User` of `Domain`, password `Password`.
    #[test]
    fn responses_are_those_of_the_published_examples() {
        let key = response_key("Password", "User", "Domain");
        assert_eq!(key.to_vec(), hex("0c868a403bfd7a93a3001ef22ef02e3f"));
        let random = [0xaa; 8];
        let lm = example().lm_response(&key, random);
        assert_eq!(lm, hex("86c35097ac9cec102554764a57cccc19aaaaaaaaaaaaaaaa"));
        let nt = example().nt_response(&key, random, [0; 8]);
        let proof = "68cd0ab851e51c96aabc927bebef6a1c";
        let blob =
            format!("0101000000000000 0000000000000000 aaaaaaaaaaaaaaaa 00000000{INFO}00000000");
        assert_eq!(nt, hex(&format!("{proof}{blob}")));
    }

    /// The bytes that frp 0.70.1 sends.
    #[test]
    fn the_first_message_is_that_of_frp() {
        let golden = "4e544c4d5353500001000000018288a0 0000000000000000 0000000028000000 \
                      0601b11d0000000f";
        // The first field of frp points behind the message, too; nothing lies there.
        let mut ours = negotiate();
        ours[20] = 0x28;
        let mut theirs = hex(golden);
        theirs[20] = 0x28;
        assert_eq!(ours, theirs);
    }

    #[test]
    fn the_third_message_has_its_parts_where_it_says() {
        let login = ProxyLogin {
            user: "Domain\\User".to_owned(),
            password: "Password".to_owned(),
        };
        let message = example().answer(&login, [0xaa; 8], 0).unwrap();
        let part = |at: usize| {
            let mut field = &message[at..];
            let (length, _, at) = (field.get_u16_le(), field.get_u16_le(), field.get_u32_le());
            message[at as usize..][..usize::from(length)].to_vec()
        };
        assert_eq!(message[..12], hex("4e544c4d5353500003000000"));
        assert_eq!(part(12), b"");
        assert_eq!(part(20)[..16], hex("68cd0ab851e51c96aabc927bebef6a1c"));
        assert_eq!((part(28), part(36)), (utf16("Domain"), utf16("User")));
        let flags = (&message[60..]).get_u32_le();
        assert_eq!(flags & NEVER, 0);
        assert_ne!(flags & flag::UNICODE, 0);
    }

    #[test]
    fn the_servers_time_is_taken() {
        let info = hex("02000200 4100 07000800 0102030405060708 00000000");
        assert_eq!(timestamp(&info), Ok(Some([1, 2, 3, 4, 5, 6, 7, 8])));
        assert_eq!(timestamp(&hex(INFO)), Ok(None));
        assert_eq!(
            timestamp(&hex("07000400 01020304")),
            Err(NtlmError::Malformed)
        );
        assert_eq!(timestamp(&hex("02000900 41")), Err(NtlmError::Malformed));
    }

    #[test]
    fn challenges_that_are_none() {
        let parse = |text: &str| Challenge::parse(&hex(text));
        assert_eq!(parse(""), Err(NtlmError::Malformed));
        let first = EXAMPLE.replace(" 02000000", " 01000000");
        assert_eq!(parse(&format!("{first}{INFO}")), Err(NtlmError::Malformed));
        let outside = EXAMPLE.replace("44000000", "ffffffff");
        assert_eq!(
            parse(&format!("{outside}{INFO}")),
            Err(NtlmError::Malformed)
        );
        let oem = EXAMPLE.replace("33828ae2", "32828ae2");
        assert_eq!(parse(&format!("{oem}{INFO}")), Err(NtlmError::Old));
    }

    proptest! {
        #[test]
        fn anything_can_be_a_challenge(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Challenge::parse(&bytes);
            let mut near = hex(&format!("{EXAMPLE}{INFO}"));
            near.truncate(40);
            near.extend(&bytes);
            if let Ok(challenge) = Challenge::parse(&near) {
                let login = ProxyLogin { user: "a".to_owned(), password: String::new() };
                let _ = challenge.answer(&login, [1; 8], 2);
            }
        }
    }
}
