//! The server's side of NTLM, version 2 (MS-NLMP): a challenge, and whether its answer is that of
//! somebody who knows the password. It has nothing in common with the client's code but the hashes.

use hmac::{Hmac, KeyInit as _, Mac as _};
use md4::{Digest as _, Md4};
use md5::Md5;

/// Who may come.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) domain: String,
    pub(crate) user: String,
    pub(crate) password: String,
}

/// A challenge that waits for its answer.
#[derive(Debug)]
pub(crate) struct Server {
    nonce: [u8; 8],
    target_info: Vec<u8>,
}

const SIGNATURE: &[u8] = b"NTLMSSP\0";
const TIME: [u8; 8] = [0, 0x80, 0x3e, 0xd5, 0xde, 0xb1, 0x9d, 1];

impl Server {
    /// The challenge to a first message, which must be one.
    pub(crate) fn challenge(first: &[u8]) -> Option<(Self, Vec<u8>)> {
        let flags = u32_at(first, 12)?;
        // Unicode and NTLM.
        if !first.starts_with(SIGNATURE) || u32_at(first, 8)? != 1 || flags & 0x201 != 0x201 {
            return None;
        }
        let mut nonce = [0; 8];
        aws_lc_rs::rand::fill(&mut nonce).ok()?;
        let mut target_info = Vec::new();
        let names: [(u16, Vec<u8>); 3] = [
            (2, utf16("OFFICE")),
            (1, utf16("PROXY")),
            (7, TIME.to_vec()),
        ];
        for (id, value) in names {
            target_info.extend(id.to_le_bytes());
            target_info.extend((value.len() as u16).to_le_bytes());
            target_info.extend(value);
        }
        target_info.extend([0; 4]);

        let name = utf16("OFFICE");
        let mut message = SIGNATURE.to_vec();
        message.extend(2u32.to_le_bytes());
        message.extend(field(name.len(), 56));
        message.extend((flags & 0x0088_8205 | 4 | 0x0201_0000).to_le_bytes());
        message.extend(nonce);
        message.extend([0; 8]);
        message.extend(field(target_info.len(), 56 + name.len()));
        message.extend([10, 0, 0x63, 0x45, 0, 0, 0, 15]);
        message.extend(name);
        message.extend(&target_info);
        Some((Self { nonce, target_info }, message))
    }

    /// Whether the third message proves the account's password for this challenge.
    pub(crate) fn admits(&self, third: &[u8], account: &Account) -> bool {
        self.check(third, account).unwrap_or(false)
    }

    fn check(&self, third: &[u8], account: &Account) -> Option<bool> {
        if !third.starts_with(SIGNATURE) || u32_at(third, 8)? != 3 {
            return Some(false);
        }
        let part = |at: usize| {
            let length = usize::from(u16::from_le_bytes(third.get(at..at + 2)?.try_into().ok()?));
            let from = u32_at(third, at + 4)? as usize;
            third.get(from..from + length)
        };
        let (response, domain, user) = (part(20)?, part(28)?, part(36)?);
        if domain != utf16(&account.domain) || user != utf16(&account.user) {
            return Some(false);
        }
        let hash: [u8; 16] = Md4::digest(utf16(&account.password)).into();
        let who = [utf16(&account.user.to_uppercase()), utf16(&account.domain)].concat();
        let key = hmac_md5(&hash, &who);
        let (proof, blob) = response.split_at_checked(16)?;
        let fresh = blob.get(8..16)? == TIME
            && blob.get(28..28 + self.target_info.len())? == self.target_info;
        let wanted = hmac_md5(&key, &[&self.nonce[..], blob].concat());
        Some(fresh && proof == wanted)
    }
}

fn hmac_md5(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Md5>::new_from_slice(key).unwrap();
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn field(length: usize, at: usize) -> Vec<u8> {
    let length = (length as u16).to_le_bytes();
    [&length[..], &length, &(at as u32).to_le_bytes()].concat()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
