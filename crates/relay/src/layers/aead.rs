//! The v2 control connection after its hello: sealed records over any stream.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use frp_proto::crypto::aead::{AeadError, Algorithm, Keys, MAX_PLAINTEXT, Opener, Role, Sealer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Side;
use super::outbox::Outbox;
use frp_net::limits::MAX_FRUITLESS_READS;
use frp_net::scratch::with_scratch;
use frp_net::turn;

/// A stream of sealed records on `inner`, plain outside. Made for the control connection: small
/// messages, so it holds one record each way rather than sparing copies.
pub struct AeadStream<S> {
    inner: S,
    algorithm: Algorithm,
    keys: Keys,
    role: Role,
    out: Outbox,
    /// Each direction starts with its first byte.
    sealer: Option<Sealer>,
    opener: Option<Opener>,
    /// Bytes of `inner` that make no whole record yet.
    input: BytesMut,
    /// Opened, not yet read.
    plain: BytesMut,
}

impl<S> AeadStream<S> {
    pub(super) fn io(&self) -> &S {
        &self.inner
    }

    /// Wraps `inner` from the first byte after the login in both directions; `side` is this end.
    /// `token` and `transcript` (of both hellos) give the keys.
    pub fn new(
        inner: S,
        side: Side,
        algorithm: Algorithm,
        token: &[u8],
        transcript: &[u8; 32],
    ) -> Self {
        Self {
            inner,
            algorithm,
            keys: Keys::derive(algorithm, token, transcript),
            role: match side {
                Side::Client => Role::Client,
                Side::Server => Role::Server,
            },
            out: Outbox::default(),
            sealer: None,
            opener: None,
            input: BytesMut::new(),
            plain: BytesMut::new(),
        }
    }

    fn seal(&mut self, plain: &[u8]) -> io::Result<BytesMut> {
        let sealer = match &mut self.sealer {
            Some(sealer) => sealer,
            none => {
                let mut nonce = vec![0; self.algorithm.nonce_len()];
                aws_lc_rs::rand::fill(&mut nonce)
                    .map_err(|_| io::Error::other("no random bytes from the system"))?;
                let key = self.keys.sealing(self.role);
                none.insert(Sealer::new(self.algorithm, key, &nonce).map_err(invalid)?)
            }
        };
        let mut record = BytesMut::new();
        sealer.seal(plain, &mut record).map_err(invalid)?;
        Ok(record)
    }

    fn open(&mut self) -> io::Result<()> {
        let opener = match &mut self.opener {
            Some(opener) => opener,
            none => {
                let key = self.keys.opening(self.role);
                none.insert(Opener::new(self.algorithm, key).map_err(invalid)?)
            }
        };
        opener
            .open(&mut self.input, &mut self.plain)
            .map_err(invalid)
    }
}

impl<S: fmt::Debug> fmt::Debug for AeadStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AeadStream")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

fn invalid(error: AeadError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl<S: AsyncRead + Unpin> AsyncRead for AeadStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let mut reads = 0;
        while this.plain.is_empty() {
            if reads == MAX_FRUITLESS_READS {
                turn::give_way(cx);
                return Poll::Pending;
            }
            reads += 1;
            // What came before a bad record is still handed out; the error comes with the next call.
            let opened = this.open();
            if !this.plain.is_empty() {
                break;
            }
            opened?;
            let more = with_scratch(|scratch| {
                let mut piece = ReadBuf::new(scratch);
                ready!(Pin::new(&mut this.inner).poll_read(cx, &mut piece))?;
                this.input.extend_from_slice(piece.filled());
                Poll::Ready(io::Result::Ok(!piece.filled().is_empty()))
            });
            if !ready!(more)? {
                if this.input.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "control connection ended inside an encrypted record",
                )));
            }
        }
        let n = this.plain.len().min(buf.remaining());
        buf.put_slice(this.plain.get(..n).unwrap_or_default());
        this.plain.advance(n);
        // An idle control connection owns no buffers.
        if this.plain.is_empty() {
            this.plain = BytesMut::new();
        }
        if this.input.is_empty() {
            this.input = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AeadStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.out.poll_drain(cx, &mut this.inner))?;
        let plain = buf.get(..buf.len().min(MAX_PLAINTEXT)).unwrap_or_default();
        let record = this.seal(plain)?;
        this.out.send(cx, &mut this.inner, &record)?;
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
