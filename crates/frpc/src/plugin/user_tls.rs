//! TLS with users: certificate files, or a certificate made in memory
//! (frp `pkg/transport/tls.go`).

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use frp_config::PluginTls;
use frp_net::limits::USER_HANDSHAKE;
use frp_net::stream::Rewind;
use frp_net::tls::{TlsFiles, TlsSetupError, server_config};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Ends the users' TLS.
#[derive(Debug)]
pub(super) struct UserTls {
    config: Arc<ServerConfig>,
}

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
    pub(super) async fn accept<T>(
        &self,
        io: T,
        answer_http: bool,
    ) -> io::Result<TlsStream<Rewind<T>>>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        match timeout(USER_HANDSHAKE, self.handshake(io, answer_http)).await {
            Ok(result) => result,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "i/o timeout")),
        }
    }

    async fn handshake<T>(&self, mut io: T, answer_http: bool) -> io::Result<TlsStream<Rewind<T>>>
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
        let io = Rewind::new(Bytes::copy_from_slice(&first), io);
        TlsAcceptor::from(self.config.clone()).accept(io).await
    }
}
