//! The web server of either program: its socket, TLS, who is let in, the requests that both know, the
//! forms of its answers (frp `pkg/util/http/server.go`). What else it answers is the program's affair
//! ([`Site`]).

pub mod answer;
pub mod events;
mod guard;
mod origin;
mod pages;
pub mod paging;
pub mod path;
mod route;
mod slow;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::answer::{ApiError, Response, bare, envelope_v1, moved, not_found, text, unauthorized};
use self::guard::{Denied, Guard};
use self::pages::Pages;
pub use self::pages::{File, assert_complete};
use self::path::{Query, relative};
use self::route::{NoRoute, Route};
pub use self::route::{Path, Unrouted};
use self::slow::{Patience, Watched};
use crate::basic::Login;
use crate::head;
use crate::io::{Talk, UserIo};
use frp_net::go_text::{go_text, join_host_port};
use frp_net::limits::HANDSHAKE_WAIT;
use frp_net::listen::{accept_loop, listen, tune};
use frp_net::proxied::read_header_if_any;
use frp_net::rewind::Rewind;
use frp_net::strangers::Strangers;
use frp_net::tls::{self, TlsFiles, TlsSetupError};

/// From the start of a connection, or of an idle time, until a request's head is in (frp
/// `pkg/util/http/server.go`).
const REQUEST_HEAD: Duration = Duration::from_secs(60);

/// Bytes that a request's head may have.
const MAX_HEAD: usize = 32 * 1024;

/// What a program answers.
pub trait Site: Send + Sync + 'static {
    /// The requests that it knows, beyond those of every web server.
    type Route: Send;

    /// The name of the program.
    const NAME: &'static str;

    /// Who is let in, by now; `None` is nobody.
    fn access(&self) -> Option<Arc<Access>>;

    /// The route of a request.
    ///
    /// # Errors
    /// It knows none.
    fn find(&self, method: &Method, path: &Path<'_>) -> Result<Self::Route, Unrouted>;

    /// Whether a request is for more than to look.
    fn changes(route: &Self::Route) -> bool;

    /// The answer to one request, whose sender was let in.
    fn answer(
        &self,
        route: Self::Route,
        query: Query,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response> + Send;

    /// The answer to one that was not.
    fn refuse(&self, route: Option<&Self::Route>, refusal: ApiError, path: &str) -> Response {
        let _ = route;
        envelope_v1(Err(refusal), path)
    }

    /// Whether what comes from `peer` to `port` of ours may begin with a header of the PROXY protocol, which is
    /// then believed. Who asks the program by itself, from the same machine perhaps, sends none.
    fn is_proxy(&self, peer: IpAddr, port: u16) -> bool {
        let _ = (peer, port);
        false
    }

    /// What a list of goroutines is looked at for.
    fn alive(&self) -> String;

    /// A line about a request, for the log.
    fn tell(&self, line: fmt::Arguments<'_>);
}

/// A web server whose socket is open and that nobody serves yet.
#[derive(Debug)]
pub struct Web {
    listener: TcpListener,
}

/// Whom a web server lets in, and how: what may change while it runs.
#[derive(Debug)]
pub struct Access {
    tls: Option<Arc<rustls::ServerConfig>>,
    guard: Guard,
    pages: Pages,
    pprof: bool,
}

/// What it is set to (`webServer`).
#[derive(Debug, Clone)]
pub struct AccessSettings<'a> {
    /// Where the web server listens.
    pub addr: &'a str,
    /// The paths of certificate and key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// What its users have to show.
    pub login: Login,
    /// `webServer.allowedHosts`
    pub allowed_hosts: &'a [String],
    /// Its pages, beside what both programs' are made of.
    pub pages: &'a [File],
    /// What there is instead of them (`webServer.assetsDir`).
    pub assets_dir: Option<PathBuf>,
    /// `webServer.pprofEnable`
    pub pprof: bool,
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

impl Access {
    /// Reads the certificate files that the settings name.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn new(settings: AccessSettings<'_>) -> Result<Self, TlsSetupError> {
        let tls = settings.tls.map(|(cert, key)| {
            tls::server_config(&TlsFiles {
                cert: Some(cert),
                key: Some(key),
                trusted_ca: None,
            })
        });
        Ok(Self {
            tls: tls.transpose()?,
            guard: Guard::new(settings.login, settings.addr, settings.allowed_hosts),
            pages: Pages::new(settings.pages, settings.assets_dir),
            pprof: settings.pprof,
        })
    }
}

impl Web {
    /// Opens its socket. Needs a tokio runtime.
    ///
    /// # Errors
    /// See [`WebError::Listen`].
    pub fn bind(addr: &str, port: u16) -> Result<Self, WebError> {
        let listener = listen(addr, port).map_err(|source| WebError::Listen {
            addr: join_host_port(addr, port),
            source,
        })?;
        Ok(Self { listener })
    }

    /// Serves until `stop`; each connection is a task of `tasks`.
    pub async fn run(self, site: Arc<impl Site>, tasks: &TaskTracker, stop: CancellationToken) {
        let Self { listener } = self;
        // Bounds the connections as those of clients.
        let crowd = Strangers::default();
        let port = listener.local_addr().map_or(0, |addr| addr.port());
        accept_loop(listener, tracing::Span::none(), stop.clone(), |conn, peer| {
            let turn = crowd.enter(peer.ip());
            let (site, stop) = (site.clone(), stop.clone());
            let behind = site.is_proxy(peer.ip(), port).then(|| crowd.clone());
            tasks.spawn(async move {
                let serving = async {
                    match behind {
                        Some(crowd) => http_behind_proxy(site, crowd, conn, peer).await,
                        None => http_or_https(site, conn, Bytes::new(), peer).await,
                    }
                };
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

/// The same for who may come through a proxy that says from whom it is.
async fn http_behind_proxy(
    site: Arc<impl Site>,
    crowd: Strangers,
    mut conn: TcpStream,
    proxy: SocketAddr,
) {
    let (header, first) = match read_header_if_any(&mut conn).await {
        Ok(read) => read,
        Err(e) => return tracing::debug!("web server: the proxy [{proxy}]: {e}"),
    };
    let Some(peer) = header.flatten().map(|ends| ends.src) else {
        return http_or_https(site, conn, first, proxy).await;
    };
    let turn = crowd.enter(peer.ip());
    tokio::select! {
        () = http_or_https(site, conn, first, peer) => {}
        () = turn.evicted() => {
            tracing::debug!("[{peer}] made room for newer connections to the web server");
        }
    }
}

/// `first` has been read from `conn`.
async fn http_or_https(site: Arc<impl Site>, conn: TcpStream, first: Bytes, peer: SocketAddr) {
    tune(&conn, None);
    let patience = Patience::default();
    let conn = Rewind::new(first, Watched::new(conn, patience.clone()));
    let Some(access) = site.access() else { return };
    let Some(tls) = access.tls.clone() else {
        return serve(site, conn, patience).await;
    };
    match tls::accept(tls, conn, HANDSHAKE_WAIT).await {
        Ok(conn) => serve(site, conn, patience).await,
        Err(e) => tracing::debug!("web server: TLS handshake of [{peer}]: {e}"),
    }
}

/// Answers the requests of one connection.
async fn serve<T>(site: Arc<impl Site>, io: T, patience: Patience)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let talk = Talk::default();
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(patience.clone());
        talk.exchange(request, |request| checked(&*site, request))
    });
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
    match head::check(&mut head) {
        Ok(_) => admitted(site, Request::from_parts(head, body)).await,
        Err(refused) => {
            let mut response = text(refused.code, refused.text);
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
            response
        }
    }
}

/// The site's answer, to whom the guard lets in.
async fn admitted<S: Site>(site: &S, request: Request<Incoming>) -> Response {
    let Some(access) = site.access() else {
        return bare(StatusCode::SERVICE_UNAVAILABLE);
    };
    let path = request.uri().path().to_owned();
    let query = request.uri().query();
    let found = route::find(site, request.method(), &path, access.pprof);
    let route = match found {
        Ok(Route::Healthz) => return bare(StatusCode::OK),
        Ok(route) => route,
        Err(NoRoute::Unrouted(Unrouted::NotFound)) => return not_found(NOT_FOUND),
        Err(NoRoute::Unrouted(Unrouted::WrongMethod)) => {
            return bare(StatusCode::METHOD_NOT_ALLOWED);
        }
        Err(NoRoute::BadPath) => return text(StatusCode::BAD_REQUEST, "400 Bad Request"),
        Err(NoRoute::Moved(to)) => {
            let query = query.map(|query| format!("?{query}"));
            return moved(&(relative(&path, &to) + &query.unwrap_or_default()));
        }
    };
    let own = match &route {
        Route::Own(own) => Some(own),
        _ => None,
    };
    // The profiling routes, too; frp lets everybody have them.
    match access
        .guard
        .admit(request.headers(), own.is_some_and(S::changes))
    {
        Ok(()) => {}
        Err(Denied::Unauthorized) => return unauthorized().await,
        Err(Denied::Refused(refusal)) => return site.refuse(own, refusal, &path),
    }
    // Who watches asks every second, and the log is for what happens.
    let is_told = request.method() != Method::GET || !path.starts_with(LIVE);
    if is_told {
        site.tell(format_args!("http request: [{path}]"));
    }
    let response = match route {
        Route::Healthz => bare(StatusCode::OK),
        Route::Root => moved("static/"),
        Route::Static(below) => access.pages.answer(&below, request.headers()).await,
        Route::Favicon => access.pages.icon(request.headers()).await,
        Route::Pprof(name) if name == "goroutine" => text(StatusCode::OK, site.alive()),
        Route::Pprof(_) => text(StatusCode::NOT_FOUND, no_profile(S::NAME)),
        Route::Own(own) => {
            let query = Query::parse(query.unwrap_or_default());
            site.answer(own, query, request).await
        }
    };
    let code = response.status().as_u16();
    if is_told {
        site.tell(format_args!("http response [{path}]: code [{code}]"));
    }
    response
}

const NOT_FOUND: &str = "404 page not found\n";

/// What both programs tell of themselves begins with.
const LIVE: &str = "/api/live/";

fn no_profile(name: &str) -> String {
    format!(
        "{name} is not written in Go, so there is no such profile.\n\
         /debug/pprof/goroutine counts what is alive.\n"
    )
}
