//! The cipher of control connections: both ends switch to it right after `LoginResp`, whatever
//! carries the connection (frp `pkg/util/net/conn.go`).

use bytes::Bytes;
use frp_proto::crypto::aead::Algorithm;
use frp_proto::crypto::cfb;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::{AeadStream, Carried, CipherStream, Duplex, Side};
use frp_net::stream::Stream;

/// A control connection behind its cipher.
pub type ControlPipe = Box<dyn ControlIo>;

/// See [`ControlPipe`].
pub trait ControlIo: Pipe {
    /// The TCP connection below, if it carries this stream alone.
    fn below(&self) -> Option<&TcpStream>;
}

impl ControlIo for Carried {
    fn below(&self) -> Option<&TcpStream> {
        self.socket()
    }
}

impl ControlIo for CipherStream<Carried> {
    fn below(&self) -> Option<&TcpStream> {
        self.io().socket()
    }
}

impl ControlIo for AeadStream<Carried> {
    fn below(&self) -> Option<&TcpStream> {
        self.io().socket()
    }
}

/// Any byte stream that a task can own.
pub trait Pipe: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Pipe for T {}

/// What a login of wire v2 agreed on.
#[derive(Debug, Clone)]
pub struct Negotiated {
    /// How records are sealed.
    pub algorithm: Algorithm,
    /// [`frp_proto::wire::hello::transcript_hash`] of the two hellos.
    pub transcript: [u8; 32],
}

/// Puts the cipher over `stream`; `leftover` is what was read from it beyond the login messages.
/// Without hellos that is the cipher of wire v1, under `key`; with them that of v2, keyed by
/// `token`, from which `key` comes too.
pub fn control(
    stream: Stream,
    leftover: Bytes,
    negotiated: Option<&Negotiated>,
    key: &cfb::Key,
    token: &[u8],
    side: Side,
) -> ControlPipe {
    let inner = Carried::Plain { stream, leftover };
    match negotiated {
        None => Box::new(CipherStream::new(inner, key.clone())),
        Some(Negotiated {
            algorithm,
            transcript,
        }) => Box::new(AeadStream::new(inner, side, *algorithm, token, transcript)),
    }
}
