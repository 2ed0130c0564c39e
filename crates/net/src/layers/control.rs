//! The cipher of control connections: both ends switch to it right after `LoginResp`, whatever
//! carries the connection (frp `pkg/util/net/conn.go`).

use std::fmt;
use std::io;

use bytes::Bytes;
use frp_proto::crypto::aead::{Algorithm, Keys, Role};
use frp_proto::crypto::cfb;
use tokio::io::{AsyncRead, AsyncWrite};

use super::aead::Sealed;
use super::cipher::Encrypted;
use super::{Carried, Side};
use crate::stream::Stream;

/// A control connection behind its cipher.
pub type ControlPipe = Box<dyn Pipe>;

/// Bytes both ways.
pub trait Pipe: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + fmt::Debug> Pipe for T {}

/// What keys the cipher.
#[derive(Debug, Clone)]
pub enum ControlCipher {
    /// Wire v1: AES-128-CFB.
    V1(cfb::Key),
    /// Wire v2: sealed records.
    V2(Algorithm, Keys),
}

/// Puts the cipher over `stream`; `leftover` is what was read from it beyond the login messages.
///
/// # Errors
/// The crypto library refuses the keys.
pub fn control(
    stream: Stream,
    leftover: Bytes,
    cipher: ControlCipher,
    side: Side,
) -> io::Result<ControlPipe> {
    let inner = Carried::Plain { stream, leftover };
    Ok(match cipher {
        ControlCipher::V1(key) => Box::new(Encrypted::new(inner, key)),
        ControlCipher::V2(algorithm, keys) => {
            let role = match side {
                Side::Client => Role::Client,
                Side::Server => Role::Server,
            };
            Box::new(Sealed::new(inner, algorithm, &keys, role)?)
        }
    })
}
