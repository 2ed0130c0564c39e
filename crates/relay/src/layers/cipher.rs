//! Encryption: frp's v1 stream cipher over any stream (work connections with `useEncryption`, and
//! the v1 control connection after login).
//!
//! Each direction is its own AES-128-CFB stream behind a random IV, which is sent glued to the
//! first ciphertext: a side that never writes never sends one (golib `crypto`).

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use frp_proto::crypto::cfb::{Decryptor, Encryptor, IV_LEN, Key};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::outbox::Outbox;
use frp_net::scratch::{SCRATCH_LEN, with_scratch};

/// Most plain bytes enciphered at once.
const MAX_PIECE: usize = SCRATCH_LEN - IV_LEN;

/// A stream that is enciphered on `inner` and plain outside.
pub struct CipherStream<S> {
    inner: S,
    key: Key,
    out: Outbox,
    sending: Option<Box<Encryptor>>,
    receiving: Receiving,
}

enum Receiving {
    Iv { bytes: [u8; IV_LEN], len: usize },
    Data(Box<Decryptor>),
}

impl<S> CipherStream<S> {
    pub(super) fn io(&self) -> &S {
        &self.inner
    }

    /// Wraps `inner`, on which neither direction has begun.
    pub fn new(inner: S, key: Key) -> Self {
        Self {
            inner,
            key,
            out: Outbox::default(),
            sending: None,
            receiving: Receiving::Iv {
                bytes: [0; IV_LEN],
                len: 0,
            },
        }
    }

    pub(super) fn inner(&self) -> &S {
        &self.inner
    }

    pub(super) fn inner_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    pub(super) fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: fmt::Debug> fmt::Debug for CipherStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CipherStream")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl Receiving {
    /// Deciphers `data` in place and returns how many of its first bytes were part of the IV.
    fn accept(&mut self, key: &Key, data: &mut [u8]) -> usize {
        let taken = match self {
            Self::Data(_) => 0,
            Self::Iv { bytes, len } => {
                let missing = bytes.get_mut(*len..).unwrap_or_default();
                let taken = missing.len().min(data.len());
                let (missing, _) = missing.split_at_mut(taken);
                missing.copy_from_slice(data.get(..taken).unwrap_or_default());
                *len += taken;
                if *len == IV_LEN {
                    *self = Self::Data(Box::new(Decryptor::new(key, *bytes)));
                }
                taken
            }
        };
        if let Self::Data(decryptor) = self {
            decryptor.decrypt(data.get_mut(taken..).unwrap_or_default());
        }
        taken
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CipherStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let start = buf.filled().len();
        loop {
            ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
            let data = buf.filled_mut().get_mut(start..).unwrap_or_default();
            if data.is_empty() {
                return Poll::Ready(match this.receiving {
                    Receiving::Iv { len: 1.., .. } => Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "encrypted stream ended inside its IV",
                    )),
                    _ => Ok(()),
                });
            }
            let iv = this.receiving.accept(&this.key, data);
            if iv > 0 {
                data.copy_within(iv.., 0);
            }
            let plain = data.len() - iv;
            buf.set_filled(start + plain);
            // The IV alone is not data, and no data would mean the end.
            if plain > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CipherStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.out.poll_drain(cx, &mut this.inner))?;
        let plain = buf.get(..buf.len().min(MAX_PIECE)).unwrap_or_default();
        if plain.is_empty() {
            return Poll::Ready(Ok(0));
        }
        with_scratch(|scratch| {
            let mut len = 0;
            let encryptor = match &mut this.sending {
                Some(encryptor) => encryptor,
                none => {
                    let mut iv = [0; IV_LEN];
                    aws_lc_rs::rand::fill(&mut iv)
                        .map_err(|_| io::Error::other("no random bytes from the system"))?;
                    if let Some(front) = scratch.get_mut(..IV_LEN) {
                        front.copy_from_slice(&iv);
                    }
                    len = IV_LEN;
                    none.insert(Box::new(Encryptor::new(&this.key, iv)))
                }
            };
            let end = len + plain.len();
            let data = scratch.get_mut(len..end).unwrap_or_default();
            data.copy_from_slice(plain);
            encryptor.encrypt(data);
            this.out
                .send(cx, &mut this.inner, scratch.get(..end).unwrap_or_default())
        })?;
        Poll::Ready(Ok(plain.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.out.poll_flush(cx, &mut this.inner)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.out.poll_shutdown(cx, &mut this.inner)
    }
}
