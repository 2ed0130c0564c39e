//! `http2http`, `http2https`, `https2http` and `https2https`: users speak HTTP, with or without
//! TLS, to frpc, which speaks HTTP, with or without TLS, to the local service
//! (frp `pkg/plugin/client/http_common.go`).
//!
//! Bodies pass through as they come, both ways; each side is read only as fast as the other takes.

mod backend;

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::{HTTP2_ALIVE, USER_REQUEST_HEAD};
use bytes::Bytes;
use frp_config::{BackendTls, ForwardPlugin, HttpsForwardPlugin};
use frp_http::fields::{
    Forwarding, join_cookies, may_be_set, pass_on, remove_hop_by_hop, state_length, upgrade_of,
};
use frp_http::head::{self, Refused, UnknownCoding};
use frp_http::host::canonical_host;
use frp_http::io::filter::Tail;
use frp_http::io::{Talk, Upload, UserIo};
use frp_http::limits::{MAX_HTTP_FIELDS, MAX_HTTP_HEAD, MAX_HTTP_OTHER_HEAD};
use frp_http::tasks::Tracked;
use frp_log::{Level, Log, debug, warn};
use frp_net::rewind::Rewind;
use frp_relay::layers::Carried;
use frp_relay::relay::{self, Traffic};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, HeaderName, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::time::timeout;

use self::backend::{Backend, BackendError};
use super::counted::Counted;
use super::error::PluginError;
use super::user_tls::UserTls;
use crate::tasks::Tasks;
use crate::user::User;

type Response = hyper::Response<Either<Incoming, Full<Bytes>>>;

/// Bytes with which every HTTP/2 client begins (RFC 9113, section 3.4).
const PREFACE: usize = 24;

const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// One of the four plugins.
#[derive(Debug)]
pub(crate) struct Bridge {
    name: &'static str,
    /// Where users speak TLS.
    tls: Option<UserTls>,
    backend: Backend,
    forwarding: Forwarding,
    /// `hostHeaderRewrite`
    host: Option<HeaderValue>,
    /// `requestHeaders.set`
    set: Vec<(HeaderName, HeaderValue)>,
}

/// A user's connection.
struct Visit {
    bridge: Arc<Bridge>,
    user: User,
    /// The host that the user's TLS is for.
    server_name: Option<String>,
    /// An end of the user is that of one direction only.
    half_closes: bool,
    /// Filled by the last request of the connection, if that switches to another protocol.
    upgrade: Mutex<Option<Upgrade>>,
    /// What its connection and its requests share, where it speaks HTTP/1.
    talk: Talk,
}

/// Both sides of a connection that becomes another protocol's.
struct Upgrade {
    user: OnUpgrade,
    backend: OnUpgrade,
}

/// Why a request was not passed on, or its answer not back.
#[derive(Debug, thiserror::Error)]
enum ForwardError {
    #[error("{0}")]
    Backend(#[from] BackendError),
    #[error("{0}")]
    Request(#[from] hyper::http::Error),
    #[error("backend tried to switch protocol {got:?} when {wanted:?} was requested")]
    Switch { got: String, wanted: String },
    #[error("{0}")]
    Coding(#[from] UnknownCoding),
}

impl Bridge {
    /// `http2http` or `http2https`.
    pub(super) fn plain(
        name: &'static str,
        cfg: &ForwardPlugin,
        to_tls: Option<&BackendTls>,
        tasks: &Tasks,
    ) -> Result<Arc<Self>, PluginError> {
        let forwarding = if to_tls.is_some() {
            Forwarding::Keep
        } else {
            Forwarding::Drop
        };
        Self::new(name, None, cfg, to_tls, forwarding, tasks)
    }

    /// `https2http` or `https2https`.
    pub(super) fn secure(
        name: &'static str,
        cfg: &HttpsForwardPlugin,
        to_tls: Option<&BackendTls>,
        tasks: &Tasks,
    ) -> Result<Arc<Self>, PluginError> {
        let alpn: &[&[u8]] = if cfg.enable_http2 {
            &[HTTP2, HTTP1]
        } else {
            &[HTTP1]
        };
        let tls = UserTls::new(&cfg.tls, alpn).map_err(PluginError::UserTls)?;
        let forward = &cfg.forward;
        Self::new(
            name,
            Some(tls),
            forward,
            to_tls,
            Forwarding::Add("https"),
            tasks,
        )
    }

    fn new(
        name: &'static str,
        tls: Option<UserTls>,
        cfg: &ForwardPlugin,
        to_tls: Option<&BackendTls>,
        forwarding: Forwarding,
        tasks: &Tasks,
    ) -> Result<Arc<Self>, PluginError> {
        let mut set = Vec::new();
        for (name, value) in &cfg.request_headers {
            let bad = || PluginError::RequestHeader(name.clone());
            let name: HeaderName = name.parse().map_err(|_| bad())?;
            let value = value.parse().map_err(|_| bad())?;
            if may_be_set(&name) {
                set.push((name, value));
            }
        }
        let host = Some(&cfg.host_header_rewrite).filter(|host| !host.is_empty());
        let host = host.map(|host| host.parse());
        Ok(Arc::new(Self {
            name,
            tls,
            backend: Backend::new(&cfg.local_addr, to_tls, tasks)?,
            forwarding,
            host: host.transpose().map_err(|_| PluginError::HostRewrite)?,
            set,
        }))
    }

    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    pub(super) async fn serve(self: &Arc<Self>, carried: Carried, user: &User) {
        let log = &user.log;
        let half_closes = carried.half_closes();
        let io = Counted::new(carried, user.traffic.clone());
        let mut visit = Visit {
            half_closes,
            bridge: self.clone(),
            user: user.clone(),
            server_name: None,
            upgrade: Mutex::default(),
            talk: Talk::default(),
        };
        let Some(tls) = &self.tls else {
            return Arc::new(visit).serve_http1(io).await;
        };
        let accepted = match tls.accept(io, true).await {
            Ok(accepted) => accepted,
            Err(e) => return debug!(log, "http: TLS handshake error: {e}"),
        };
        let stream = accepted.stream;
        let http2 = stream.alpn_protocol() == Some(HTTP2);
        visit.server_name = accepted.server_name.as_deref().map(canonical_host);
        let visit = Arc::new(visit);
        if http2 {
            match preface(stream).await {
                Ok(stream) => visit.serve_http2(stream).await,
                Err(e) => debug!(log, "http: {e}"),
            }
        } else {
            visit.serve_http1(stream).await;
        }
    }
}

impl Visit {
    async fn serve_http1<T>(self: Arc<Self>, io: T)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(|request| {
            let visit = self.clone();
            self.talk.exchange(request, move |request| async move {
                visit.answer(request).await
            })
        });
        let io = UserIo::new(io, &self.talk);
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(USER_REQUEST_HEAD)
            .max_buf_size(MAX_HTTP_HEAD)
            .max_headers(MAX_HTTP_FIELDS)
            .title_case_headers(true)
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades()
            .await;
        if let Err(e) = served {
            return debug!(self.user.log, "http: {e}");
        }
        let upgrade = self
            .upgrade
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(upgrade) = upgrade {
            upgrade.run(self.half_closes, &self.user.log).await;
        }
    }

    async fn serve_http2<T>(self: Arc<Self>, io: T)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(|request| {
            let visit = self.clone();
            async move { Ok::<_, Infallible>(visit.answer(request).await) }
        });
        let tasks = &self.user.tasks;
        let served = http2::Builder::new(Tracked::new(&tasks.tracker, &tasks.stop))
            .timer(TokioTimer::new())
            .max_header_list_size(MAX_HTTP_OTHER_HEAD as u32)
            // Idle users may stay as long as they answer.
            .keep_alive_interval(USER_REQUEST_HEAD)
            .keep_alive_timeout(HTTP2_ALIVE)
            .serve_connection(TokioIo::new(io), service)
            .await;
        if let Err(e) = served {
            debug!(self.user.log, "http: {e}");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response {
        let (mut head, body) = request.into_parts();
        let host = match head::check(&mut head) {
            Ok(host) => host,
            Err(refused) => return refuse(refused, head.version),
        };
        let request = Request::from_parts(head, body);
        if let Some(name) = &self.server_name {
            let asked = host.as_ref().map(HeaderValue::to_str);
            let asked = canonical_host(asked.and_then(Result::ok).unwrap_or_default());
            if *name != asked {
                return bare(StatusCode::MISDIRECTED_REQUEST);
            }
        }
        // A tunnel through the service is not what this is for.
        if request.method() == Method::CONNECT {
            return bare(StatusCode::METHOD_NOT_ALLOWED);
        }
        let reach = &self.user.reach;
        let forwarded = self.forward(request, host).await;
        match &forwarded {
            Ok(_) | Err(ForwardError::Switch { .. } | ForwardError::Coding(_)) => reach.succeeded(),
            Err(ForwardError::Backend(e)) if e.is_of_service() => reach.succeeded(),
            Err(_) => {}
        }
        match forwarded {
            Ok(response) => response,
            Err(e @ ForwardError::Backend(BackendError::Connect(_))) => {
                reach.failed(Level::Warn, format!("http: proxy error: {e}"));
                bare(StatusCode::BAD_GATEWAY)
            }
            Err(ForwardError::Backend(BackendError::User(e))) => {
                debug!(self.user.log, "http: the user's request broke off: {e}");
                bare(StatusCode::BAD_GATEWAY)
            }
            Err(e) => {
                warn!(self.user.log, "http: proxy error: {e}");
                bare(StatusCode::BAD_GATEWAY)
            }
        }
    }

    async fn forward(
        &self,
        mut request: Request<Incoming>,
        host: Option<HeaderValue>,
    ) -> Result<Response, ForwardError> {
        let Bridge {
            backend,
            forwarding,
            host: rewritten,
            set,
            ..
        } = &*self.bridge;
        let wanted = upgrade_of(request.headers());
        let user = wanted.is_some().then(|| hyper::upgrade::on(&mut request));
        let version = request.version();

        let (mut head, body) = request.into_parts();
        let body = Upload::new(body);
        let host = match host {
            Some(host) => host,
            None => HeaderValue::from_str(backend.authority()).map_err(hyper::http::Error::from)?,
        };
        let fields = &mut head.headers;
        let source = self.user.addresses.map(|(src, _)| src.ip());
        pass_on(fields, *forwarding, source, &host);
        if version == Version::HTTP_2 {
            join_cookies(fields);
        }
        fields.insert(HOST, rewritten.clone().unwrap_or(host));
        for (name, value) in set {
            fields.insert(name.clone(), value.clone());
        }
        state_length(fields, &head.method, &body);
        head.uri = backend.uri(&head.uri)?;
        head.version = Version::HTTP_11;
        let tail = head.extensions.remove::<Tail>();
        head.extensions.clear();
        tail.map(|tail| head.extensions.insert(tail));

        let mut response = backend.send(head, body, &self.talk, version).await?;
        head::check_coding(response.headers())?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let got = upgrade_of(response.headers());
            let same = |got: &HeaderValue, wanted: &HeaderValue| {
                got.as_bytes().eq_ignore_ascii_case(wanted.as_bytes())
            };
            match (&got, &wanted, user) {
                (Some(got), Some(wanted), Some(user)) if same(got, wanted) => {
                    let backend = hyper::upgrade::on(&mut response);
                    let mut place = self.upgrade.lock().unwrap_or_else(PoisonError::into_inner);
                    *place = Some(Upgrade { user, backend });
                }
                _ => {
                    let text = |name: Option<HeaderValue>| {
                        name.map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned())
                            .unwrap_or_default()
                    };
                    return Err(ForwardError::Switch {
                        got: text(got),
                        wanted: text(wanted),
                    });
                }
            }
        } else {
            remove_hop_by_hop(response.headers_mut());
        }
        *response.version_mut() = Version::HTTP_11;
        Ok(response.map(Either::Left))
    }
}

impl Upgrade {
    /// Carries what the two say in their new protocol.
    async fn run(self, half_closes: bool, log: &Log) {
        match tokio::try_join!(self.user, self.backend) {
            Ok((user, backend)) => {
                let user = Carried::other(TokioIo::new(user)).of_peer(half_closes);
                let backend = Carried::other(TokioIo::new(backend));
                // The user's side counts already.
                let relayed = relay::serve(backend, user, &Traffic::default()).await;
                debug!(log, "join connections closed: {relayed}");
            }
            Err(e) => debug!(log, "http: the switch to another protocol failed: {e}"),
        }
    }
}

/// Waits for a user to begin with HTTP/2; without that hyper would do so for ever.
async fn preface<T: AsyncRead + Unpin>(mut io: T) -> io::Result<Rewind<T>> {
    let mut begin = [0; PREFACE];
    match timeout(USER_REQUEST_HEAD, io.read_exact(&mut begin)).await {
        Ok(read) => read?,
        Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, "i/o timeout")),
    };
    Ok(Rewind::new(Bytes::copy_from_slice(&begin), io))
}

fn bare(status: StatusCode) -> Response {
    with_body(status, Bytes::new())
}

/// As Go's server refuses a request; over HTTP/1 the connection ends with it.
fn refuse(refused: Refused, version: Version) -> Response {
    let mut response = with_body(refused.code, refused.text.into());
    if version < Version::HTTP_2 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

fn with_body(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Either::Right(Full::new(body)));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_does_not_begin_with_http2_is_let_go() {
        let (mut user, ours) = tokio::io::duplex(64);
        user.write_all(b"PRI * HTTP/2.0").await.unwrap();
        let error = preface(ours).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);

        let (mut user, ours) = tokio::io::duplex(64);
        let begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        user.write_all(&[&begin[..], b"more"].concat())
            .await
            .unwrap();
        drop(user);
        let mut all = Vec::new();
        preface(ours)
            .await
            .unwrap()
            .read_to_end(&mut all)
            .await
            .unwrap();
        assert_eq!(all, [&begin[..], b"more"].concat());
    }
}
