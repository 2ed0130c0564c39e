//! The web server of either program: its socket, TLS, the password, the forms of its answers
//! (frp `pkg/util/http/server.go`). What it answers is the program's affair ([`Site`]).

pub mod answer;
pub mod guard;
pub mod login;
mod origin;
pub mod path;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::answer::Response;
use crate::before_login::BeforeLogin;
use crate::go_text::{go_text, join_host_port};
use crate::http_head;
use crate::http_io::{Talk, UserIo};
use crate::limits::BEFORE_LOGIN;
use crate::listen::{accept_loop, listen, tune};
use crate::stream::Rewind;
use crate::tls::{self, TlsFiles, TlsSetupError};

/// From the start of a connection, or of an idle time, until a request's head is in (frp
/// `pkg/util/http/server.go`).
const REQUEST_HEAD: Duration = Duration::from_secs(60);

/// Bytes that a request's head may have.
const MAX_HEAD: usize = 32 * 1024;

/// What answers the requests.
pub trait Site: Send + Sync + 'static {
    /// The answer to one request.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response> + Send;
}

/// A web server whose socket is open and that nobody serves yet.
#[derive(Debug)]
pub struct Web {
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
}

/// Why the web server could not start.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// `webServer.tls` names files that cannot be used.
    #[error("webServer.tls: {0}")]
    Tls(#[from] TlsSetupError),
    /// The port is taken, or not ours to open.
    #[error("webServer: listen tcp {addr}: bind: {}", go_text(source))]
    Listen {
        /// `webServer.addr:webServer.port`.
        addr: String,
        /// The system's error.
        source: io::Error,
    },
}

impl Web {
    /// Opens `addr:port`; `tls` is the paths of certificate and key. Needs a tokio runtime.
    pub fn bind(addr: &str, port: u16, tls: Option<(PathBuf, PathBuf)>) -> Result<Self, WebError> {
        let tls = tls.map(|(cert, key)| {
            tls::server_config(&TlsFiles {
                cert: Some(cert),
                key: Some(key),
                trusted_ca: None,
            })
        });
        let listener = listen(addr, port).map_err(|source| WebError::Listen {
            addr: join_host_port(addr, port),
            source,
        })?;
        Ok(Self {
            listener,
            tls: tls.transpose()?,
        })
    }

    /// Serves until `stop`; each connection is a task of `tasks`.
    pub async fn run(self, site: Arc<impl Site>, tasks: &TaskTracker, stop: CancellationToken) {
        let Self { listener, tls } = self;
        // Bounds the connections as those of clients.
        let crowd = BeforeLogin::default();
        accept_loop(listener, stop.clone(), |conn, peer| {
            let turn = crowd.enter(peer.ip());
            let serving = http_or_https(site.clone(), tls.clone(), conn, peer);
            let stop = stop.clone();
            tasks.spawn(async move {
                tokio::select! {
                    () = serving => {}
                    () = turn.evicted() => {
                        tracing::debug!("[{peer}] made room for newer connections to the web server");
                    }
                    () = stop.cancelled() => {}
                }
            });
        })
        .await;
    }
}

async fn http_or_https(
    site: Arc<impl Site>,
    tls: Option<Arc<rustls::ServerConfig>>,
    conn: TcpStream,
    peer: SocketAddr,
) {
    tune(&conn, None);
    let Some(tls) = tls else {
        return serve(site, conn).await;
    };
    match tls::accept(tls, Rewind::new(Bytes::new(), conn), BEFORE_LOGIN).await {
        Ok(conn) => serve(site, conn).await,
        Err(e) => tracing::debug!("web server: TLS handshake of [{peer}]: {e}"),
    }
}

/// Answers the requests of one connection.
async fn serve<T>(site: Arc<impl Site>, io: T)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let talk = Talk::default();
    let service = service_fn(|request| talk.exchange(request, |request| checked(&*site, request)));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_HEAD)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(UserIo::new(io, &talk)), service)
        .await;
    if let Err(e) = served {
        tracing::debug!("web server: {e}");
    }
}

/// Refuses what could be taken for another request than it is.
async fn checked(site: &impl Site, request: Request<Incoming>) -> Response {
    let (mut head, body) = request.into_parts();
    match http_head::check(&mut head) {
        Ok(_) => site.answer(Request::from_parts(head, body)).await,
        Err(refused) => {
            let mut response = answer::text(refused.code, refused.text);
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
            response
        }
    }
}
