//! Who logs in knows the token, and so does who is logged in to, and nobody in between learns anything of it that can
//! be used again: SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), between programs of ours.
//!
//! A server can keep a [`Verifier`] in place of the token. Either end gets a [`Secret`] out of the exchange, which is
//! another one each time. With [`Binding::Exporter`] the proof is good on that one TLS connection only (RFC 9266).
//! The token is taken byte for byte: SASLprep, which would have two spellings be the same, is not applied.

mod client;
mod server;
#[cfg(test)]
mod tests;

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

pub use self::client::{Answer, Challenged, Client};
pub use self::server::{Claim, Hello, Proven, Server};

/// Rounds of PBKDF2 that a server asks for: what RFC 7677 (section 4) has as the least, so that a small router
/// is not kept busy. Either end computes it once for a token and salt.
pub const ITERATIONS: u32 = 4096;

/// A client does no fewer: by few a false server would have the token be guessed the faster.
pub const MIN_ITERATIONS: u32 = 4096;

/// Nor more: a false server could keep it busy.
pub const MAX_ITERATIONS: u32 = 1_000_000;

/// Random bytes of either end's nonce.
pub const NONCE_LEN: usize = 18;

/// Bytes of a salt that is made here.
pub const SALT_LEN: usize = 16;

/// Bytes of a salt that is taken from elsewhere, at most.
const MAX_SALT: usize = 64;

/// Characters of any message of the exchange, at most. A user's name is in the first.
const MAX_MESSAGE: usize = 4096;

/// Bytes of all hashes and keys.
const LEN: usize = 32;

/// What a channel is known by to both ends of it: 32 bytes that the TLS session exports
/// (RFC 9266, label `EXPORTER-Channel-Binding`).
pub type Channel = [u8; LEN];

/// What the client says of its connection, by RFC 5802's `gs2-cbind-flag`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// `n`: there is no TLS, or its end is known to be another's whom the user trusts.
    None,
    /// `y`: there is TLS, and its other end does not seem to be a server that can tell what it is known by.
    Unseen,
    /// `p=tls-exporter`: the proof is for this channel alone.
    Exporter(Channel),
}

impl Binding {
    /// Its flag.
    pub const fn flag(&self) -> &'static str {
        match self {
            Self::None => "n",
            Self::Unseen => "y",
            Self::Exporter(_) => "p=tls-exporter",
        }
    }

    /// `gs2-header` and what the channel is known by, as base64: the `c` of client-final.
    fn attribute(&self) -> String {
        let mut bytes = format!("{},,", self.flag()).into_bytes();
        if let Self::Exporter(channel) = self {
            bytes.extend_from_slice(channel);
        }
        BASE64.encode(bytes)
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.flag())
    }
}

/// What both ends know after the exchange and nobody else does, of this one login: RFC 5802's protocol key
/// (section 7), all of its bits.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; LEN]);

impl Secret {
    fn of(stored_key: &[u8; LEN], client_key: &[u8; LEN], auth_message: &str) -> Self {
        let parts = [
            b"GSS-API session key".as_slice(),
            client_key,
            auth_message.as_bytes(),
        ];
        Self(mac(stored_key, &parts))
    }

    /// What ciphers' keys are made of in place of the token.
    pub const fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Shows that who sends a stream's first message has logged in: `what` it asks for, as number `count` of those
    /// that it sends.
    pub fn proof(&self, what: Use, count: u64) -> [u8; LEN] {
        mac(&self.0, &[what.label(), &count.to_be_bytes()])
    }

    /// Whether `shown` is that proof. Takes the same time wherever the first difference is.
    pub fn proves(&self, what: Use, count: u64, shown: &[u8]) -> bool {
        verify_slices_are_equal(&self.proof(what, count), shown).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// What a stream is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// A work connection.
    Work,
    /// A visitor's.
    Visit,
}

impl Use {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Work => b"frp work connection",
            Self::Visit => b"frp visitor connection",
        }
    }
}

/// What a client computes of the token, once for a salt: the costly part.
#[derive(Clone, PartialEq, Eq)]
pub struct Salted([u8; LEN]);

impl Salted {
    /// Takes some milliseconds.
    pub fn of(token: &[u8], salt: &[u8], iterations: NonZeroU32) -> Self {
        let mut out = [0; LEN];
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::derive(algorithm, iterations, salt, token, &mut out);
        Self(out)
    }

    fn client_key(&self) -> [u8; LEN] {
        mac(&self.0, &[b"Client Key"])
    }

    fn server_key(&self) -> [u8; LEN] {
        mac(&self.0, &[b"Server Key"])
    }
}

impl fmt::Debug for Salted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salted(***)")
    }
}

/// What a server needs to know of a token to see who knows it, and from which the token cannot be had but by
/// guessing. Its text is that of PostgreSQL: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    salt: Vec<u8>,
    iterations: NonZeroU32,
    stored_key: [u8; LEN],
    server_key: [u8; LEN],
}

impl Verifier {
    /// Of a token; takes some milliseconds.
    pub fn of(token: &[u8], salt: &[u8], iterations: NonZeroU32) -> Self {
        let salted = Salted::of(token, salt, iterations);
        Self {
            salt: salt.to_vec(),
            iterations,
            stored_key: hash(&salted.client_key()),
            server_key: salted.server_key(),
        }
    }

    /// Whether it is that of `token`; takes as long as [`of`](Self::of).
    pub fn is_of(&self, token: &[u8]) -> bool {
        let other = Self::of(token, &self.salt, self.iterations);
        verify_slices_are_equal(&other.stored_key, &self.stored_key).is_ok()
    }

    /// Whether who can answer a challenge for the one can for the other.
    pub fn shares_challenge(&self, other: &Self) -> bool {
        self.salt == other.salt && self.iterations == other.iterations
    }

    /// The salt.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// Rounds of PBKDF2.
    pub const fn iterations(&self) -> NonZeroU32 {
        self.iterations
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(***)")
    }
}

/// How a [`Verifier`]'s text begins.
pub const VERIFIER_PREFIX: &str = "SCRAM-SHA-256$";

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [&self.salt[..], &self.stored_key, &self.server_key].map(|part| BASE64.encode(part));
        let iterations = self.iterations;
        write!(f, "{VERIFIER_PREFIX}{iterations}:{salt}${stored}:{server}")
    }
}

/// A text that is no [`Verifier`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not of the form SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>, with {MIN_ITERATIONS} to \
     {MAX_ITERATIONS} iterations and the others as base64"
)]
pub struct NoVerifier;

impl FromStr for Verifier {
    type Err = NoVerifier;

    fn from_str(text: &str) -> Result<Self, NoVerifier> {
        let read = || {
            let (challenge, keys) = text.strip_prefix(VERIFIER_PREFIX)?.split_once('$')?;
            let (iterations, salt) = challenge.split_once(':')?;
            let (stored, server) = keys.split_once(':')?;
            Some(Self {
                salt: salt_of(salt)?,
                iterations: iterations_of(iterations)?,
                stored_key: hash_of(stored)?,
                server_key: hash_of(server)?,
            })
        };
        read().ok_or(NoVerifier)
    }
}

/// Why an exchange came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    /// A message is none of the exchange.
    #[error("a message of the proof of the token cannot be read: {0}")]
    Malformed(&'static str),
    /// The messages are not of one exchange.
    #[error("the proof of the token is for another login")]
    Nonce,
    /// The server wants too little, or too much, to be computed.
    #[error(
        "the server asks for {0} rounds of PBKDF2, which are not {MIN_ITERATIONS} to {MAX_ITERATIONS}"
    )]
    Iterations(u32),
    /// The client's end of the connection has not the server's at its other end.
    #[error("the proof of the token is for another connection")]
    Channel,
    /// Whoever answers does not know the token.
    #[error("whoever answers there does not know the token")]
    ServerSignature,
}

/// A challenge by a nonce alone, for a client that proves to hold a run id and no token.
pub fn nonce(nonce: [u8; NONCE_LEN]) -> String {
    format!("r={}", BASE64.encode(nonce))
}

fn mac(key: &[u8; LEN], parts: &[&[u8]]) -> [u8; LEN] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    fixed(context.sign().as_ref())
}

fn hash(bytes: &[u8]) -> [u8; LEN] {
    fixed(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// SHA-256 has that length.
fn fixed(bytes: &[u8]) -> [u8; LEN] {
    bytes.try_into().unwrap_or_default()
}

fn xor(left: &[u8; LEN], right: &[u8; LEN]) -> [u8; LEN] {
    let mut out = *left;
    out.iter_mut().zip(right).for_each(|(a, b)| *a ^= b);
    out
}

fn hash_of(text: &str) -> Option<[u8; LEN]> {
    BASE64.decode(text).ok()?.try_into().ok()
}

fn salt_of(text: &str) -> Option<Vec<u8>> {
    let salt = BASE64.decode(text).ok()?;
    (1..=MAX_SALT).contains(&salt.len()).then_some(salt)
}

fn iterations_of(text: &str) -> Option<NonZeroU32> {
    let iterations = text.parse().ok()?;
    let may_be = (MIN_ITERATIONS..=MAX_ITERATIONS).contains(&iterations);
    NonZeroU32::new(iterations).filter(|_| may_be)
}

/// The value of the attribute that `part` has to be, such as `r=...`.
fn attribute(part: Option<&str>, name: &'static str) -> Result<String, ScramError> {
    let value = part.and_then(|part| part.strip_prefix(name)?.strip_prefix('='));
    value.map(str::to_owned).ok_or(ScramError::Malformed(name))
}

/// No message is longer, and none has others than printable characters, but for a user's name.
fn sized(message: &str) -> Result<&str, ScramError> {
    match message.len() <= MAX_MESSAGE {
        true => Ok(message),
        false => Err(ScramError::Malformed("too long")),
    }
}

/// Printable ASCII without the comma (RFC 5802, section 7).
fn is_nonce(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b',')
}
