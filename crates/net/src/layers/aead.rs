//! The v2 control connection after its hello: sealed records over any stream.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use frp_proto::crypto::aead::{AeadError, Algorithm, Keys, MAX_PLAINTEXT, Opener, Role, Sealer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::outbox::Outbox;
use super::scratch::with_scratch;

/// A stream of sealed records on `inner`, plain outside. Made for the control connection: small
/// messages, so it holds one record each way rather than sparing copies.
pub struct Sealed<S> {
    inner: S,
    out: Outbox,
    sealer: Sealer,
    opener: Opener,
    /// Bytes of `inner` that make no whole record yet.
    input: BytesMut,
    /// Opened, not yet read.
    plain: BytesMut,
}

impl<S> Sealed<S> {
    /// Wraps `inner` from the first byte after the login in both directions.
    ///
    /// # Errors
    /// Random bytes cannot be had, or the cipher refuses the keys.
    pub fn new(inner: S, algorithm: Algorithm, keys: &Keys, role: Role) -> io::Result<Self> {
        let mut nonce = vec![0; algorithm.nonce_len()];
        aws_lc_rs::rand::fill(&mut nonce)
            .map_err(|_| io::Error::other("no random bytes from the system"))?;
        let sealer = Sealer::new(algorithm, keys.sealing(role), &nonce).map_err(invalid)?;
        let opener = Opener::new(algorithm, keys.opening(role)).map_err(invalid)?;
        Ok(Self {
            inner,
            out: Outbox::default(),
            sealer,
            opener,
            input: BytesMut::new(),
            plain: BytesMut::new(),
        })
    }
}

impl<S: fmt::Debug> fmt::Debug for Sealed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

fn invalid(error: AeadError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl<S: AsyncRead + Unpin> AsyncRead for Sealed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        while this.plain.is_empty() {
            // What came before a bad record is still handed out; the error comes with the next call.
            let opened = this
                .opener
                .open(&mut this.input, &mut this.plain)
                .map_err(invalid);
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

impl<S: AsyncWrite + Unpin> AsyncWrite for Sealed<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.out.poll_drain(cx, &mut this.inner))?;
        let plain = buf.get(..buf.len().min(MAX_PLAINTEXT)).unwrap_or_default();
        let mut record = BytesMut::new();
        this.sealer.seal(plain, &mut record).map_err(invalid)?;
        this.out.send(cx, &mut this.inner, &record)?;
        Poll::Ready(Ok(plain.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.out.poll_drain(cx, &mut this.inner))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.out.poll_drain(cx, &mut this.inner))?;
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}
