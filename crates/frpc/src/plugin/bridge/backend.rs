//! Requests to the local service, on connections that are kept for the next ones.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use crate::limits::{BACKEND_IDLE, MAX_IDLE_BACKENDS};
use frp_config::BackendTls;
use frp_http::head::{is_plainly_framed, is_repeatable, may_have_body};
use frp_http::io::{LongTargets, ServiceIo, Unwritten, Upload, hints};
use frp_http::limits::{MAX_HTTP_ANSWER_HEAD, MAX_HTTP_FIELDS};
use frp_http::tasks::Tracked;
use frp_net::dial::{DialError, dial};
use frp_net::listen::limit_unsent;
use frp_net::stream::Stream;
use frp_net::tls::{self, HandshakeError, Renewed, TlsFiles};
use frp_relay::limits::LOCAL_DIAL;
use hyper::body::{Body as _, Incoming};
use hyper::header::UPGRADE;
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::connect::{Connected, Connection, capture_connection};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::super::error::PluginError;
use super::super::local_addr::LocalAddr;
use crate::dial::LOCAL;
use crate::tasks::Tasks;

/// The local service and the connections to it.
#[derive(Debug)]
pub(super) struct Backend {
    client: Client<Connector, Upload>,
    targets: LongTargets,
    scheme: &'static str,
    authority: Authority,
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum BackendError {
    #[error("{0}")]
    Connect(String),
    #[error("{0}")]
    User(String),
    #[error("EOF: {0} closed the connection before it answered")]
    Closed(String),
    #[error("malformed HTTP response from {0}: {1}")]
    Malformed(String, String),
    #[error("{0}: {1}")]
    Other(String, String),
}

impl BackendError {
    /// The connection to the service was there.
    pub(super) const fn is_of_service(&self) -> bool {
        matches!(
            self,
            Self::Closed(_) | Self::Malformed(..) | Self::Other(..)
        )
    }
}

impl Backend {
    /// `tls`: requests go on by HTTPS.
    pub(super) fn new(
        local_addr: &str,
        tls: Option<&BackendTls>,
        tasks: &Tasks,
    ) -> Result<Self, PluginError> {
        let (scheme, port) = if tls.is_some() {
            ("https", 443)
        } else {
            ("http", 80)
        };
        let target = LocalAddr::parse(local_addr, Some(port))?;
        let authority =
            Authority::try_from(target.authority.as_str()).map_err(|_| target.bad("not a host"))?;
        let tls = tls.map(|tls| Tls::new(tls, &target.host)).transpose()?;
        let targets = LongTargets::default();
        let connector = Connector(Arc::new(ServiceAddr {
            target,
            tls,
            targets: targets.clone(),
        }));
        let client = Client::builder(Tracked::new(&tasks.tracker, &tasks.stop))
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(BACKEND_IDLE)
            .pool_max_idle_per_host(MAX_IDLE_BACKENDS)
            .http1_title_case_headers(true)
            .http1_max_buf_size(MAX_HTTP_ANSWER_HEAD)
            .http1_max_headers(MAX_HTTP_FIELDS)
            .set_host(false)
            .build(connector);
        Ok(Self {
            client,
            targets,
            scheme,
            authority,
        })
    }

    /// `localAddr` as the file has it: the host of a request that names none.
    pub(super) fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// The place of `target` (path and query) at the local service.
    pub(super) fn uri(&self, target: &Uri) -> Result<Uri, hyper::http::Error> {
        let path = target.path_and_query().map_or("/", |path| path.as_str());
        Uri::builder()
            .scheme(self.scheme)
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
    }

    /// Sends a request. One that may be repeated is, when it met a kept connection that the service
    /// was just closing. Informational answers are passed on.
    ///
    /// The connection is kept for other users only where nobody can be in doubt about where the
    /// request and its answer end.
    pub(super) async fn send(
        &self,
        head: Parts,
        body: Upload,
    ) -> Result<Response<Incoming>, BackendError> {
        let random = |e: io::Error| BackendError::Other(self.authority.to_string(), e.to_string());
        let is_empty = body.is_end_stream();
        let repeatable = is_empty && is_repeatable(&head.method, &head.headers);
        let sent = body.sent();
        let is_odd =
            !is_empty && !may_have_body(&head.method) || head.headers.contains_key(UPGRADE);
        let mut body = Some(body);
        loop {
            let body = body.take().unwrap_or_else(Upload::empty);
            let mut request = Request::from_parts(head.clone(), body);
            hints::pass_on(&mut request);
            let _marked = self.targets.mark(&mut request).map_err(random)?;
            let connection = capture_connection(&mut request);
            let taken = connection.clone();
            let unwritten = move || used(&taken.connection_metadata()).map(|used| used.unwritten);
            request.body_mut().over(unwritten);
            let error = match self.client.request(request).await {
                Ok(response) => {
                    let framed = is_plainly_framed(response.status(), response.headers());
                    if (is_odd || !framed || !sent.is_all())
                        && let Some(connected) = &*connection.connection_metadata()
                    {
                        connected.poison();
                    }
                    if let Some(used) = used(&connection.connection_metadata()) {
                        used.answered.store(true, Ordering::Relaxed);
                    }
                    return Ok(response);
                }
                Err(error) => error,
            };
            let kept = used(&connection.connection_metadata());
            let was_used = kept.is_some_and(|used| used.answered.load(Ordering::Relaxed));
            if !(repeatable && was_used && is_end(&error)) {
                return Err(self.explain(error));
            }
        }
    }

    fn explain(&self, error: legacy::Error) -> BackendError {
        let place = self.authority.to_string();
        let connecting = error.is_connect();
        let ended = is_end(&error);
        match find::<Unreachable>(&error) {
            Some(reason) if connecting => BackendError::Connect(reason.to_string()),
            _ if connecting => BackendError::Connect(format!("{place}: {}", deepest(&error))),
            _ if find::<hyper::Error>(&error).is_some_and(hyper::Error::is_user) => {
                BackendError::User(deepest(&error).to_string())
            }
            _ if ended => BackendError::Closed(place),
            _ if find::<hyper::Error>(&error).is_some_and(hyper::Error::is_parse) => {
                BackendError::Malformed(place, deepest(&error).to_string())
            }
            _ => BackendError::Other(place, deepest(&error).to_string()),
        }
    }
}

/// The service ended the connection instead of answering.
fn is_end(error: &legacy::Error) -> bool {
    let reset = |e: &io::Error| {
        let kinds = [
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::BrokenPipe,
            io::ErrorKind::ConnectionAborted,
            io::ErrorKind::UnexpectedEof,
        ];
        kinds.contains(&e.kind())
    };
    !error.is_connect()
        && (find::<hyper::Error>(error).is_some_and(|e| e.is_incomplete_message() || e.is_closed())
            || find::<io::Error>(error).is_some_and(reset))
}

fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn deepest<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

/// Makes connections.
#[derive(Debug, Clone)]
struct Connector(Arc<ServiceAddr>);

#[derive(Debug)]
struct ServiceAddr {
    target: LocalAddr,
    tls: Option<Tls>,
    targets: LongTargets,
}

#[derive(Debug)]
struct Tls {
    config: Renewed<ClientConfig>,
    server_name: String,
}

/// Why the local service was not reached.
#[derive(Debug, thiserror::Error)]
enum Unreachable {
    #[error("{0}")]
    Dial(#[from] DialError),
    #[error("tls: {0}")]
    Handshake(#[from] HandshakeError),
}

impl Tls {
    fn new(cfg: &BackendTls, host: &str) -> Result<Self, PluginError> {
        let files = TlsFiles {
            trusted_ca: cfg.trusted_ca_file.clone(),
            ..TlsFiles::default()
        };
        if let Some(name) = &cfg.server_name
            && ServerName::try_from(name.as_str()).is_err()
        {
            return Err(PluginError::BackendName(name.clone()));
        }
        Ok(Self {
            config: tls::renewed_client_config(files)?,
            server_name: cfg.server_name.clone().unwrap_or_else(|| host.to_owned()),
        })
    }
}

impl ServiceAddr {
    async fn connect(&self) -> Result<BackendIo, Unreachable> {
        let tcp = dial(&self.target.host, self.target.port, &LOCAL).await?;
        limit_unsent(&tcp);
        let stream = match &self.tls {
            None => Stream::Tcp(tcp),
            Some(Tls {
                config,
                server_name,
            }) => {
                let io = Stream::Tcp(tcp);
                let pipe = tls::connect(config.now(), server_name, io, LOCAL_DIAL).await?;
                Stream::Tls(Box::new(pipe))
            }
        };
        let io = ServiceIo::new(stream, &self.targets);
        Ok(BackendIo {
            used: Used {
                answered: Arc::default(),
                unwritten: io.unwritten().clone(),
            },
            io: TokioIo::new(io),
        })
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = BackendIo;
    type Error = Unreachable;
    type Future = Pin<Box<dyn Future<Output = Result<BackendIo, Unreachable>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unreachable>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let place = self.0.clone();
        Box::pin(async move { place.connect().await })
    }
}

/// What is known of a connection.
#[derive(Debug, Clone)]
struct Used {
    /// It has carried an answer already.
    answered: Arc<AtomicBool>,
    unwritten: Unwritten,
}

fn used(connected: &impl std::ops::Deref<Target = Option<Connected>>) -> Option<Used> {
    let mut extras = hyper::http::Extensions::new();
    connected.as_ref()?.get_extras(&mut extras);
    extras.remove()
}

/// A connection to the local service.
struct BackendIo {
    io: TokioIo<ServiceIo<Stream>>,
    used: Used,
}

impl BackendIo {
    /// Many services close TCP without ending TLS. HTTP says by itself what is whole, but for a
    /// body that ends with the connection, where Go takes the same risk.
    fn between_records(&self) -> bool {
        matches!(self.io.inner().io(), Stream::Tls(pipe) if pipe.at_record_boundary())
    }
}

impl fmt::Debug for BackendIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendIo").finish_non_exhaustive()
    }
}

impl Connection for BackendIo {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.used.clone())
    }
}

impl Read for BackendIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.io).poll_read(cx, buf)) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof && self.between_records() => {
                Poll::Ready(Ok(()))
            }
            read => Poll::Ready(read),
        }
    }
}

impl Write for BackendIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
