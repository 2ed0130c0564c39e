//! TLS with users: certificate files, or a certificate made in memory
//! (frp `pkg/transport/tls.go`).

use std::io;
use std::sync::Arc;

use crate::limits::USER_HANDSHAKE;
use bytes::BytesMut;
use frp_config::PluginTls;
use frp_net::rewind::Rewind;
use frp_net::tls::{TlsFiles, TlsPipe, TlsSetupError, accept, server_config};
use frp_proto::sni::HelloReader;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

/// Ends the users' TLS.
#[derive(Debug)]
pub(super) struct UserTls {
    config: Arc<ServerConfig>,
}

/// A user past the handshake.
#[derive(Debug)]
pub(super) struct Accepted<T> {
    /// As in Go, it may end between two records without a closing one.
    pub(super) stream: TlsPipe<T>,
    /// The server that the user named, in lower case.
    pub(super) server_name: Option<String>,
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
    pub(super) async fn accept<T>(&self, mut io: T, answer_http: bool) -> io::Result<Accepted<T>>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let until = Instant::now() + USER_HANDSHAKE;
        let timed_out = || io::Error::new(io::ErrorKind::TimedOut, "i/o timeout");
        let (first, server_name) = timeout_at(until, hello(&mut io, answer_http))
            .await
            .map_err(|_| timed_out())??;
        let io = Rewind::new(first.freeze(), io);
        let stream = accept(self.config.clone(), io, until - Instant::now())
            .await
            .map_err(|e| e.source)?;
        Ok(Accepted {
            stream: stream.may_be_cut(),
            server_name,
        })
    }
}

/// The first bytes of a user, up to the end of its hello, and the server that it names. What is no hello
/// is left to the handshake.
async fn hello<T>(io: &mut T, answer_http: bool) -> io::Result<(BytesMut, Option<String>)>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut reader = HelloReader::default();
    let mut first = BytesMut::with_capacity(1024);
    loop {
        if io.read_buf(&mut first).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "EOF"));
        }
        // No TLS record begins like a method.
        if answer_http && first.first().is_some_and(u8::is_ascii_uppercase) {
            io.write_all(PLAIN_HTTP).await?;
            io.shutdown().await?;
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "client sent an HTTP request to an HTTPS server",
            ));
        }
        match reader.read(&first) {
            Ok(None) => {}
            Ok(Some(hello)) => return Ok((first, hello.server_name)),
            Err(_) => return Ok((first, None)),
        }
    }
}
