//! TLS over a TCP connection, or over any other byte pipe.
//!
//! rustls does the protocol and the record layer; the bytes are kept here. A read takes as much as
//! its caller has room for from the socket in one call, into per-thread memory, decrypts all whole
//! records there and hands them over; a write encrypts up to sixteen records for one call. A
//! connection at rest owns no buffer.

use std::fmt;
use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use frp_proto::fingerprint::Fingerprint;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::binding::Channel;
use super::identity::key_of_peer;
use super::session::{Ended, Order, Plain, TlsSession};
use crate::below::Below;
use crate::outgoing::Outgoing;
use crate::scratch::with_scratch;

/// The least that a read takes from the socket: a whole record.
const READ_MIN: usize = 18 * 1024;
/// Unprocessed input: a handshake message in parts, and a record. More is an attack.
const INPUT_MAX: usize = 64 * 1024;
/// One read during the handshake.
const HANDSHAKE_READ: usize = 4 * 1024;
/// First bytes that are remembered.
const FIRST: usize = 16;

/// TLS over a byte pipe. What is written must be flushed once no more follows at once.
///
/// The end of the peer's direction is its closing record; a connection that ends without one is an
/// `UnexpectedEof` error, for it may have been cut by someone else. Shutdown ends our direction
/// only.
pub struct TlsPipe<T> {
    io: T,
    session: TlsSession,
    /// A part of a record, or of a handshake message.
    held: Vec<u8>,
    /// Decrypted and not yet read.
    rest: BytesMut,
    out: Outgoing,
    peer_closed: bool,
    closed: bool,
    /// See [`TlsPipe::may_be_cut`].
    may_be_cut: bool,
}

impl<T> TlsPipe<T> {
    pub(super) fn client(
        io: T,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, rustls::Error> {
        Ok(Self::new(io, TlsSession::client(config, name)?))
    }

    pub(super) fn server(io: T, config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self::new(io, TlsSession::server(config)?))
    }

    fn new(io: T, session: TlsSession) -> Self {
        Self {
            io,
            session,
            held: Vec::new(),
            rest: BytesMut::new(),
            out: Outgoing::default(),
            peer_closed: false,
            closed: false,
            may_be_cut: false,
        }
    }

    /// From now on a connection that ends between two records has ended without failure, as in Go: many
    /// clients leave without a closing record.
    #[must_use]
    pub fn may_be_cut(mut self) -> Self {
        self.may_be_cut = true;
        self
    }

    /// The fingerprint of the key of the peer, where that has shown a certificate.
    pub fn peer_key(&self) -> Option<Fingerprint> {
        key_of_peer(self.session.common())
    }

    /// Full or resumed; `None` before the end of the handshake.
    pub fn handshake_kind(&self) -> Option<HandshakeKind> {
        self.session.common().handshake_kind()
    }

    /// The version both agreed on; `None` before that.
    pub fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.session.common().protocol_version()
    }

    /// What the connection is known by to both ends: with TLS 1.3, where both shall know it, after the handshake.
    pub fn channel(&self) -> Option<Channel> {
        self.session.channel()
    }

    /// The protocol above that both agreed on (RFC 7301).
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.session.common().alpn_protocol()
    }

    /// The certificate that the peer has shown, DER.
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        let chain = self.session.common().peer_certificates()?;
        chain.first().map(AsRef::as_ref)
    }

    /// Whether all that came were whole records. Where it matters less who ended a connection,
    /// its end there may be taken for one, as Go does.
    pub fn at_record_boundary(&self) -> bool {
        self.held.is_empty()
    }

    /// The connection below.
    pub fn io(&self) -> &T {
        &self.io
    }

    /// The same.
    pub fn io_mut(&mut self) -> &mut T {
        &mut self.io
    }

    /// The connection below; what TLS still has is lost.
    pub fn into_io(self) -> T {
        self.io
    }

    fn check_held(&mut self) -> io::Result<()> {
        if self.held.len() > INPUT_MAX {
            let error = rustls::Error::General("message buffer full".into());
            self.session.fail(error.clone());
            return Err(tls_error(error));
        }
        Ok(())
    }

    fn process_held(&mut self, order: &Order<'_>) -> io::Result<Ended> {
        let mut held = mem::take(&mut self.held);
        let (used, result) = self.process(&mut held, None, order);
        held.drain(..used);
        if !held.is_empty() {
            self.held = held;
        }
        let ended = result?;
        self.check_held()?;
        Ok(ended)
    }

    /// Returns how much of the input is used up; after an error nothing more.
    fn process(
        &mut self,
        input: &mut [u8],
        reader: Option<&mut ReadBuf<'_>>,
        order: &Order<'_>,
    ) -> (usize, io::Result<Ended>) {
        let mut plain = Plain {
            reader,
            rest: &mut self.rest,
        };
        let run = self.session.run(input, &mut plain, &mut self.out, order);
        self.peer_closed |= run.peer_closed;
        (run.used, run.result.map_err(tls_error))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> TlsPipe<T> {
    /// Completes the handshake. `prefix` was read from the connection already; `first` gets the
    /// first bytes that came, also where it fails.
    pub(super) async fn handshake(&mut self, prefix: Bytes, first: &mut Vec<u8>) -> io::Result<()> {
        remember(first, &prefix);
        self.held.extend_from_slice(&prefix);
        drop(prefix);
        loop {
            let result = self.process_held(&Order::Nothing);
            let flushed = std::future::poll_fn(|cx| self.poll_out(cx)).await;
            // The alert was sent if that was possible; the reason for it says more.
            result?;
            flushed?;
            if !self.session.common().is_handshaking() {
                return Ok(());
            }
            let before = self.held.len();
            self.held.reserve(HANDSHAKE_READ);
            if self.io.read_buf(&mut self.held).await? == 0 {
                let text = "tls handshake eof";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
            remember(first, self.held.get(before..).unwrap_or_default());
        }
    }

    /// Ready once all that is encrypted is on its way.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.out.poll_drain(cx, &mut self.io))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Reads from the socket once and decrypts what is whole.
    fn poll_fill(&mut self, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        with_scratch(|scratch| {
            let held = self.held.len();
            // No more than the reader takes, by about a record.
            let wanted = to.remaining().max(READ_MIN);
            let end = scratch.len().min(held + wanted);
            let input = scratch.get_mut(..end).unwrap_or_default();
            let (front, back) = input.split_at_mut(held);
            let mut filled = ReadBuf::new(back);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut filled))?;
            front.copy_from_slice(&self.held);
            let n = held + filled.filled().len();
            if n == held {
                self.peer_closed = self.may_be_cut && held == 0;
                let end = match self.peer_closed {
                    true => Ok(()),
                    false => Err(cut_off()),
                };
                return Poll::Ready(end);
            }
            let input = input.get_mut(..n).unwrap_or_default();
            let used = self.process(input, Some(to), &Order::Nothing).0;
            let rest = input.get(used..).unwrap_or_default();
            if rest.is_empty() {
                self.held = Vec::new();
            } else {
                self.held.clear();
                self.held.extend_from_slice(rest);
            }
            Poll::Ready(self.check_held())
        })
    }
}

impl<T: Below> Below for TlsPipe<T> {
    fn poll_clear(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.out.poll_drain(cx, &mut self.io))?;
        self.io.poll_clear(cx)
    }

    fn limit_unsent(&self, bytes: u32) {
        self.io.limit_unsent(bytes);
    }

    fn limit_unread(&self) {
        self.io.limit_unread();
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsPipe<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        loop {
            if !this.rest.is_empty() {
                let n = this.rest.len().min(buf.remaining());
                buf.put_slice(this.rest.get(..n).unwrap_or_default());
                this.rest.advance(n);
                if this.rest.is_empty() {
                    this.rest = BytesMut::new();
                }
            }
            if buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
            if let Some(error) = this.session.failure() {
                // With the alert, if the socket takes it.
                let _ = this.out.write(cx, &mut this.io);
                return Poll::Ready(Err(tls_error(error.clone())));
            }
            if this.peer_closed {
                return Poll::Ready(Ok(()));
            }
            ready!(this.poll_fill(cx, buf))?;
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsPipe<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        ready!(this.out.poll_drain(cx, &mut this.io))?;
        match this.process_held(&Order::Write(bufs))? {
            Ended::Done(n) => {
                this.out.write(cx, &mut this.io)?;
                Poll::Ready(Ok(n))
            }
            Ended::Waiting => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_out(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.closed {
            ready!(this.out.poll_drain(cx, &mut this.io))?;
            this.closed = true;
            if this.session.failure().is_none() {
                this.process_held(&Order::Close)?;
            }
        }
        ready!(this.poll_out(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

impl<T: fmt::Debug> fmt::Debug for TlsPipe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsPipe")
            .field("io", &self.io)
            .finish_non_exhaustive()
    }
}

fn remember(first: &mut Vec<u8>, came: &[u8]) {
    let n = came.len().min(FIRST - first.len());
    first.extend_from_slice(came.get(..n).unwrap_or_default());
}

fn tls_error(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn cut_off() -> io::Error {
    let text = "peer closed connection without sending TLS close_notify";
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::rewind::Rewind;
    use crate::tls::{TlsFiles, accept, client_config, connect, server_config};

    fn memory(pipe: &TlsPipe<TcpStream>) -> usize {
        pipe.held.capacity() + pipe.rest.capacity() + pipe.out.memory()
    }

    #[tokio::test]
    async fn a_pipe_at_rest_owns_no_buffer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let server = Rewind::new(Bytes::new(), listener.accept().await.unwrap().0);
        let limit = Duration::from_secs(20);
        let files = TlsFiles::default();
        let (server, client) = tokio::join!(
            accept(server_config(&files).unwrap(), server, limit),
            connect(client_config(&files).unwrap(), "frps", client, limit),
        );
        let (mut server, mut client) = (server.unwrap(), client.unwrap());
        for len in [1, 300_000] {
            let data = vec![7; len];
            let mut got = vec![0; len];
            let (sent, received) = tokio::join!(
                async {
                    server.write_all(&data).await?;
                    server.flush().await
                },
                client.read_exact(&mut got),
            );
            sent.unwrap();
            received.unwrap();
            assert!(got == data);
            assert_eq!((memory(&server), memory(&client)), (0, 0));
        }
    }
}
