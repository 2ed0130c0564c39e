//! The datagrams by which peers find each other: a [`NatHoleSid`] as a v1 frame, enciphered with the
//! proxy's secret, each datagram with an IV of its own (frp `pkg/nathole/utils.go`, golib
//! `crypto.Encode`).
//!
//! The cipher has no integrity. Whoever reads one checks its `sid`, and knows no more than that it most
//! likely comes from somebody with the secret.

use bytes::BytesMut;
use thiserror::Error;

use crate::crypto::cfb::{Decryptor, Encryptor, IV_LEN, Key};
use crate::msg::{Message, NatHoleSid};
use crate::wire::{DecodeError, EncodeError, v1};

/// Bytes of the longest that frp reads.
pub const MAX_DATAGRAM: usize = 1024;

/// Zeros in the longest `nonce` that frp sends; the length is random, so that datagrams do not all have
/// the same.
const MAX_NONCE: usize = 19;

/// Why a datagram is none of a hole.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Shorter than its IV.
    #[error("ciphertext too short")]
    Short,
    /// Most likely enciphered with another secret.
    #[error("{0}")]
    Message(#[from] DecodeError),
    /// A message, but cut.
    #[error("unexpected EOF")]
    Cut,
    /// A message of another kind.
    #[error("a {0} where a NatHoleSid should be")]
    Other(&'static str),
}

/// The padding of a message, of a random length.
pub fn nonce(random: u8) -> String {
    "0".repeat(usize::from(random) % (MAX_NONCE + 1))
}

/// The datagram with `message`, for the peer that has the secret of `key` ([`Key::derive`]). `iv` is
/// random and used once.
///
/// # Errors
/// The message is longer than frp reads.
pub fn seal(message: &NatHoleSid, key: &Key, iv: [u8; IV_LEN]) -> Result<Vec<u8>, EncodeError> {
    let mut frame = BytesMut::new();
    v1::encode(&Message::from(message.clone()), &mut frame)?;
    Encryptor::new(key, iv).encrypt(&mut frame);
    Ok([&iv[..], &frame].concat())
}

/// The message in a datagram from a peer that has the secret of `key`.
///
/// # Errors
/// There is none: somebody else has sent it, or it was damaged.
pub fn open(datagram: &[u8], key: &Key) -> Result<NatHoleSid, OpenError> {
    let (iv, frame) = datagram.split_first_chunk().ok_or(OpenError::Short)?;
    let mut frame = BytesMut::from(frame);
    Decryptor::new(key, *iv).decrypt(&mut frame);
    match v1::decode(&mut frame)?.ok_or(OpenError::Cut)? {
        Message::NatHoleSid(message) => Ok(message),
        other => Err(OpenError::Other(other.name())),
    }
}
