//! TLS with users: certificate files, or a certificate made in memory
//! (frp `pkg/transport/tls.go`).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use frp_config::PluginTls;
use frp_net::limits::USER_HANDSHAKE;
use frp_net::stream::Rewind;
use frp_net::tls::{TlsFiles, TlsSetupError, server_config};
use rustls::{ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::records::Records;

/// Ends the users' TLS.
#[derive(Debug)]
pub(super) struct UserTls {
    config: Arc<ServerConfig>,
}

/// A user's connection behind its TLS. As in Go, it may end between two records without a closing
/// one, for many clients leave like that.
#[derive(Debug)]
pub(super) struct UserStream<T>(TlsStream<Records<Rewind<T>>>);

/// What a user speaks who sends a request where TLS is expected; as Go's server answers.
const PLAIN_HTTP: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

impl UserTls {
    /// Reads the files, if both are given. `alpn`: the protocols offered, best first.
    pub(super) fn new(files: &PluginTls, alpn: &[&[u8]]) -> Result<Self, TlsSetupError> {
        let config = server_config(&TlsFiles {
            cert: files.crt_path.clone(),
            key: files.key_path.clone(),
            trusted_ca: None,
        })?;
        let mut config = ServerConfig::clone(&config);
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(Self {
            config: Arc::new(config),
        })
    }

    /// The handshake, within [`USER_HANDSHAKE`]. `answer_http`: whoever speaks HTTP is told that
    /// this is HTTPS.
    pub(super) async fn accept<T>(&self, io: T, answer_http: bool) -> io::Result<UserStream<T>>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        match timeout(USER_HANDSHAKE, self.handshake(io, answer_http)).await {
            Ok(result) => result,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "i/o timeout")),
        }
    }

    async fn handshake<T>(&self, mut io: T, answer_http: bool) -> io::Result<UserStream<T>>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let mut first = [0];
        if io.read(&mut first).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "EOF"));
        }
        // No TLS record begins like a method.
        if first[0].is_ascii_uppercase() && answer_http {
            io.write_all(PLAIN_HTTP).await?;
            io.shutdown().await?;
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "client sent an HTTP request to an HTTPS server",
            ));
        }
        let io = Records::new(Rewind::new(Bytes::copy_from_slice(&first), io));
        let accepted = TlsAcceptor::from(self.config.clone()).accept(io).await;
        accepted.map(UserStream)
    }
}

impl<T> UserStream<T> {
    /// What was agreed on.
    pub(super) fn session(&self) -> &ServerConnection {
        self.0.get_ref().1
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for UserStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.0).poll_read(cx, buf)) {
            Err(e)
                if e.kind() == io::ErrorKind::UnexpectedEof && self.0.get_ref().0.at_boundary() =>
            {
                Poll::Ready(Ok(()))
            }
            read => Poll::Ready(read),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for UserStream<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
