//! `http_proxy`: a forward proxy for HTTP, by CONNECT and by requests with absolute URLs (frp
//! `pkg/plugin/client/http_proxy.go`, RFC 9110 and 9112).

use std::error::Error as StdError;
use std::io;
use std::sync::{Mutex, PoisonError};

use crate::limits::USER_REQUEST_HEAD;
use bytes::{Buf as _, Bytes};
use frp_config::PluginLogin;
use frp_http::basic::{Login, REALM};
use frp_http::fields::remove_hop_by_hop;
use frp_http::head::{self, UnknownCoding, is_plainly_framed, may_have_body};
use frp_http::io::{LongTargets, ServiceIo, Talk, Unwritten, Upload, UserIo, hints};
use frp_http::limits::{MAX_HTTP_ANSWER_HEAD, MAX_HTTP_FIELDS, MAX_HTTP_HEAD};
use frp_log::{Log, debug};
use frp_net::dial::{DialError, dial};
use frp_net::listen::limit_unsent;
use frp_net::rewind::Rewind;
use frp_relay::counted::Counted;
use frp_relay::layers::Carried;
use frp_relay::relay;
use http_body_util::{Either, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{
    CONNECTION, CONTENT_TYPE, HOST, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
};
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use super::login::login;
use crate::dial::ANYWHERE;
use crate::user::{Meter, User};

type Body = Either<Incoming, Full<Bytes>>;

#[derive(Debug)]
pub(crate) struct HttpProxy {
    login: Login,
}

/// What belongs to one user's connection.
#[derive(Default)]
struct Visit {
    /// The target of the last request. Targets are not shared between users: some authenticate a
    /// connection instead of its requests.
    target: Mutex<Option<Upstream>>,
    /// Set by an accepted CONNECT, which ends HTTP here.
    tunnel: Mutex<Option<(OnUpgrade, TcpStream)>>,
    /// What its connection and its requests share.
    talk: Talk,
}

/// A connection to a target that can take the next request.
struct Upstream {
    authority: Authority,
    sender: SendRequest<Upload>,
    targets: LongTargets,
    unwritten: Unwritten,
    /// What comes after the last answer could be taken for another one.
    is_last: bool,
    _driver: AbortOnDropHandle<()>,
}

/// Why a request cannot be served; the text is for the user.
#[derive(Debug, thiserror::Error)]
enum ProxyError {
    #[error("this is a proxy, it takes requests with absolute URLs and CONNECT")]
    NoTarget,
    #[error("CONNECT needs host:port")]
    NoPort,
    #[error("CONNECT has no body, what follows it is for the target")]
    ConnectBody,
    #[error("the port of {0} is none")]
    Port(Authority),
    #[error("a proxy cannot fetch {0} URLs, use CONNECT")]
    Scheme(String),
    #[error("{0}")]
    Dial(#[from] DialError),
    #[error("{}", with_causes(.0))]
    Upstream(#[source] hyper::Error),
    #[error("{0}")]
    Coding(#[from] UnknownCoding),
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl HttpProxy {
    pub(super) fn new(cfg: &PluginLogin) -> Self {
        Self { login: login(cfg) }
    }

    /// Serves the requests of one user.
    pub(super) async fn serve(&self, carried: Carried, user: &User) {
        let log = &user.log;
        let visit = Visit::default();
        let service = service_fn(|request| {
            let answer = |request| self.answer(request, &visit, log);
            visit.talk.exchange(request, answer)
        });
        let io = Counted::new(carried, user.traffic.clone());
        let io = UserIo::new(io, &visit.talk);
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(USER_REQUEST_HEAD)
            .max_headers(MAX_HTTP_FIELDS)
            .max_buf_size(MAX_HTTP_HEAD)
            .preserve_header_case(true)
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades()
            .await;
        if let Err(e) = served {
            return debug!(log, "http_proxy: {}", with_causes(&e));
        }
        let tunnel = lock(&visit.tunnel).take();
        drop(visit);
        let Some((upgrade, target)) = tunnel else {
            return;
        };
        let upgraded = match upgrade.await {
            Ok(upgraded) => upgraded.downcast::<TokioIo<UserIo<Counted<Carried, Meter>>>>(),
            Err(e) => return debug!(log, "http_proxy: {}", with_causes(&e)),
        };
        let Ok(parts) = upgraded else {
            return debug!(log, "http_proxy: a tunnel that is none");
        };
        let (io, held) = parts.io.into_inner().into_parts();
        let read = [parts.read_buf, held].concat();
        let carried = put_back(read.into(), io.into_inner());
        user.log_end(&relay::serve(target, carried, user.traffic.tally()).await);
    }

    async fn answer(&self, request: Request<Incoming>, visit: &Visit, log: &Log) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        match head::check_framing(&mut head) {
            Ok(()) => {
                self.respond(Request::from_parts(head, body), visit, log)
                    .await
            }
            Err(refused) => {
                let mut response = text(refused.code, refused.text.to_owned());
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
                response
            }
        }
    }

    async fn respond(
        &self,
        request: Request<Incoming>,
        visit: &Visit,
        log: &Log,
    ) -> Response<Body> {
        let credentials = request.headers().get(PROXY_AUTHORIZATION);
        if !self.login.admits_late(credentials).await {
            let code = StatusCode::PROXY_AUTHENTICATION_REQUIRED;
            let mut response = text(code, "user name and password are required".to_owned());
            response.headers_mut().insert(PROXY_AUTHENTICATE, REALM);
            return response;
        }
        let answered = if request.method() == Method::CONNECT {
            connect(request, visit).await
        } else {
            forward(request, visit).await
        };
        answered.unwrap_or_else(|e| {
            debug!(log, "http_proxy: {e}");
            text(e.status(), e.to_string())
        })
    }
}

/// Reaches the target, and leaves both ends to be joined once the answer is written.
async fn connect(
    mut request: Request<Incoming>,
    visit: &Visit,
) -> Result<Response<Body>, ProxyError> {
    let authority = request.uri().authority().ok_or(ProxyError::NoTarget)?;
    if !request.body().is_end_stream() {
        return Err(ProxyError::ConnectBody);
    }
    let port = port_of(authority)?.ok_or(ProxyError::NoPort)?;
    let target = dial(authority.host(), port, &ANYWHERE).await?;
    *lock(&visit.tunnel) = Some((hyper::upgrade::on(&mut request), target));
    Ok(Response::new(Either::Right(Full::default())))
}

/// Passes the request on and the answer back, both as they come.
async fn forward(
    mut request: Request<Incoming>,
    visit: &Visit,
) -> Result<Response<Body>, ProxyError> {
    let uri = std::mem::take(request.uri_mut());
    let mut parts = uri.into_parts();
    let (Some(scheme), Some(authority)) = (parts.scheme.take(), parts.authority.take()) else {
        return Err(ProxyError::NoTarget);
    };
    if scheme != Scheme::HTTP {
        return Err(ProxyError::Scheme(scheme.to_string()));
    }
    let path = parts.path_and_query.take();
    *request.uri_mut() = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    *request.version_mut() = Version::HTTP_11;
    hints::pass_on(&mut request);
    let has_odd_body = !request.body().is_end_stream() && !may_have_body(request.method());
    let headers = request.headers_mut();
    remove_hop_by_hop(headers);
    // The URL counts, whatever `Host` says (RFC 9112, section 3.2.2). Who the user is there is
    // said by other means.
    let host = authority.as_str().rsplit('@').next().unwrap_or_default();
    if let Ok(host) = HeaderValue::from_str(host) {
        headers.insert(HOST, host);
    }

    let mut request = request.map(Upload::new);
    let kept = lock(&visit.target).take();
    let fits = |target: &Upstream| target.authority == authority && !target.is_last;
    if let Some(mut target) = kept.filter(fits)
        && target.sender.ready().await.is_ok()
    {
        match target.send(request).await? {
            Ok(response) => {
                target.is_last = has_odd_body;
                return passed_on(response, target, visit);
            }
            // It was closed before it took the request.
            Err((_, Some(unsent))) => request = unsent,
            Err((e, None)) => return Err(ProxyError::Upstream(e)),
        }
    }
    let mut target = Upstream::open(authority).await?;
    target.is_last = has_odd_body;
    match target.send(request).await? {
        Ok(response) => passed_on(response, target, visit),
        Err((e, _)) => Err(ProxyError::Upstream(e)),
    }
}

fn passed_on(
    response: Response<Incoming>,
    mut target: Upstream,
    visit: &Visit,
) -> Result<Response<Body>, ProxyError> {
    head::check_coding(response.headers())?;
    target.is_last |= !is_plainly_framed(response.status(), response.headers());
    *lock(&visit.target) = Some(target);
    let mut response = response.map(Either::Left);
    *response.version_mut() = Version::HTTP_11;
    remove_hop_by_hop(response.headers_mut());
    Ok(response)
}

/// Why a target did not answer, and the request itself where nothing of it was sent.
type Failed = (hyper::Error, Option<Request<Upload>>);

impl Upstream {
    async fn send(
        &mut self,
        mut request: Request<Upload>,
    ) -> io::Result<Result<Response<Incoming>, Failed>> {
        let marked = self.targets.mark(&mut request)?;
        let unwritten = self.unwritten.clone();
        request.body_mut().over(move || Some(unwritten));
        let answer = self.sender.try_send_request(request).await;
        Ok(answer.map_err(|mut e| {
            let mut unsent = e.take_message();
            if let (Some(unsent), Some(marked)) = (&mut unsent, marked) {
                marked.undo(unsent);
            }
            (e.into_error(), unsent)
        }))
    }

    async fn open(authority: Authority) -> Result<Self, ProxyError> {
        let port = port_of(&authority)?.unwrap_or(80);
        let stream = dial(authority.host(), port, &ANYWHERE).await?;
        limit_unsent(&stream);
        let targets = LongTargets::default();
        let io = ServiceIo::new(stream, &targets);
        let unwritten = io.unwritten().clone();
        let (sender, connection) = hyper::client::conn::http1::Builder::new()
            .preserve_header_case(true)
            .max_buf_size(MAX_HTTP_ANSWER_HEAD)
            .max_headers(MAX_HTTP_FIELDS)
            .handshake(TokioIo::new(io))
            .await
            .map_err(ProxyError::Upstream)?;
        // What goes wrong there is told to whoever waits for the answer.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Self {
            authority,
            sender,
            targets,
            unwritten,
            is_last: false,
            _driver: AbortOnDropHandle::new(driver),
        })
    }
}

impl ProxyError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoTarget | Self::NoPort | Self::ConnectBody | Self::Port(_) | Self::Scheme(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Dial(DialError::TimedOut { .. }) => StatusCode::GATEWAY_TIMEOUT,
            Self::Dial(_) | Self::Upstream(_) | Self::Coding(_) | Self::Io(_) => {
                StatusCode::BAD_GATEWAY
            }
        }
    }
}

/// The port, if one is given; what is no port is an error, not an absent one.
fn port_of(authority: &Authority) -> Result<Option<u16>, ProxyError> {
    let text = authority.as_str().rsplit('@').next().unwrap_or_default();
    let given = text.strip_prefix(authority.host()).unwrap_or_default();
    let port = authority.port_u16();
    if port.is_none() && !matches!(given, "" | ":") {
        return Err(ProxyError::Port(authority.clone()));
    }
    Ok(port)
}

/// `carried` with what was read from it beyond the request.
fn put_back(read: Bytes, carried: Carried) -> Carried {
    if read.is_empty() {
        return carried;
    }
    match carried {
        Carried::Plain { stream, leftover } => {
            let len = read.len() + leftover.len();
            let leftover = read.chain(leftover).copy_to_bytes(len);
            Carried::Plain { stream, leftover }
        }
        Carried::EndsBoth(carried) => put_back(read, *carried).of_peer(false),
        layered @ Carried::Layered(_) => Carried::other(Rewind::new(read, layered)),
    }
}

fn text(code: StatusCode, why: String) -> Response<Body> {
    let mut response = Response::new(Either::Right(Full::from(why + "\n")));
    *response.status_mut() = code;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// hyper's errors say what went wrong, and only their sources say why.
fn with_causes(e: &dyn StdError) -> String {
    let mut text = e.to_string();
    let mut source = e.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_port_is_not_taken_for_the_usual_one() {
        let port = |text: &str| port_of(&text.parse().unwrap()).ok();
        assert_eq!(port("h"), Some(None));
        assert_eq!(port("h:"), Some(None));
        assert_eq!(port("u:1@[::1]"), Some(None));
        assert_eq!(port("u:1@[::1]:81"), Some(Some(81)));
        assert!(port("u:p@h:99999").is_none());
        assert!(port("h:99999").is_none());
    }
}
