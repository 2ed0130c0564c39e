//! Requests that the programs make themselves, to an OpenID Connect issuer, a server plugin or a running
//! program: how to get an answer over HTTP, or a reason that helps, within a time and a size.
//!
//! Mostly there are few of them (some an hour), so each has a connection of its own; where there are
//! many, connections are kept ([`HttpClient::keeping`]). Nothing is left behind when a request is dropped.

mod env_proxy;
mod exchange;
mod kept;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use frp_proto::proxy_url::{ProxyLogin, ProxyScheme, ProxyUrl};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::Scheme;
use hyper::{Method, Request, Response, StatusCode, Uri};
use rustls::ClientConfig;
use tokio::net::TcpStream;

pub use self::env_proxy::EnvProxies;
use self::exchange::Open;
pub use self::exchange::exchange;
use self::kept::Kept;
use crate::limits::{HTTP_ANSWER, MAX_HTTP_ANSWER, MAX_REDIRECTS};
use frp_net::dial::{DialError, DialOptions, dial, dial_server};
use frp_net::go_text::join_host_port;
use frp_net::limits::END_KEEPALIVE;
use frp_net::outbound_proxy::{self, ProxyError, http_connect};
use frp_net::stream::Stream;
use frp_net::tls::{self, HandshakeError, Renewed, TlsFiles, TlsSetupError};

/// Whose certificates are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Those of the CAs that this machine trusts.
    System,
    /// Those of the CAs in that file, PEM.
    CaFile(PathBuf),
    /// Everybody's.
    Anybody,
}

/// Which proxy requests take.
#[derive(Debug, Clone)]
pub enum Via {
    /// None.
    Nothing,
    /// That one.
    Proxy(ProxyUrl),
    /// What the environment variables say.
    Environment(EnvProxies),
}

/// Makes requests.
#[derive(Debug)]
pub struct HttpClient {
    via: Via,
    /// `None`: the system's CAs, which are read with the first request that needs them.
    tls: Option<Renewed<ClientConfig>>,
    limits: Limits,
    kept: Option<Kept>,
}

/// What an answer may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From dialling to the last byte, redirects included.
    pub time: Duration,
    /// Of the body.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: HTTP_ANSWER,
            bytes: MAX_HTTP_ANSWER,
        }
    }
}

/// A request.
#[derive(Clone)]
pub struct Outgoing {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
    at: Option<SocketAddr>,
}

/// What came back. Any status is an answer.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// Why a request got no answer. It reads as Go's `url.Error` does.
#[derive(Debug, thiserror::Error)]
#[error("{method} {url:?}: {reason}")]
pub struct HttpError {
    method: &'static str,
    /// Without user and password.
    url: String,
    /// What failed.
    pub reason: Box<Reason>,
}

/// What failed of a request.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The target, or the proxy on the way to it, was not reached.
    #[error("{0}")]
    Dial(#[from] DialError),
    /// TLS with the target.
    #[error("tls: {0}")]
    Tls(#[from] HandshakeError),
    /// There is no list of trusted CAs.
    #[error("{0}")]
    Roots(#[from] TlsSetupError),
    /// The connection stood, but no answer came.
    #[error("{0}")]
    Exchange(#[from] hyper::Error),
    /// The answer is too long.
    #[error("the answer has more than {0} bytes")]
    TooLong(usize),
    /// It took too long.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// A redirect that is not followed.
    #[error("{0}")]
    Redirect(&'static str),
    /// Something of the request cannot be sent.
    #[error("{0}")]
    Unsendable(#[from] hyper::http::Error),
}

/// A text is no URL that could be requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no absolute http or https URL")]
pub struct UrlError;

impl Outgoing {
    /// Asks for what is at `url`.
    ///
    /// # Errors
    /// When `url` is no absolute http or https URL.
    pub fn get(url: &str) -> Result<Self, UrlError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        Ok(Self {
            method: Method::GET,
            uri: parse(url)?,
            headers,
            body: Bytes::new(),
            at: None,
        })
    }

    /// By another method, with no body.
    #[must_use]
    pub fn by(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// The place is reached at `addr`, whatever the URL says.
    #[must_use]
    pub fn at(mut self, addr: SocketAddr) -> Self {
        self.at = Some(addr);
        self
    }

    /// Sends a form there instead.
    #[must_use]
    pub fn post_form(mut self, form: String) -> Self {
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        self.headers.insert(header::CONTENT_TYPE, kind);
        self.method = Method::POST;
        self.body = form.into();
        self
    }

    /// Sends JSON there instead.
    #[must_use]
    pub fn post_json(mut self, json: impl Into<Bytes>) -> Self {
        let kind = HeaderValue::from_static("application/json");
        self.headers.insert(header::CONTENT_TYPE, kind);
        self.method = Method::POST;
        self.body = json.into();
        self
    }

    /// With a header field.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// With the value of `Authorization`, which is not shown by `Debug`.
    #[must_use]
    pub fn authorization(mut self, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.headers.insert(header::AUTHORIZATION, value);
        self
    }

    fn error(&self, reason: Reason) -> HttpError {
        let method = match self.method {
            Method::POST => "Post",
            Method::DELETE => "Delete",
            _ => "Get",
        };
        HttpError {
            method,
            url: shown(&self.uri),
            reason: Box::new(reason),
        }
    }
}

/// The body may be a token.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("length", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The body may hold a password.
impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("method", &self.method)
            .field("url", &shown(&self.uri))
            .finish_non_exhaustive()
    }
}

fn parse(url: &str) -> Result<Uri, UrlError> {
    // A fragment is the reader's, not the server's.
    let url = url.split('#').next().unwrap_or_default();
    let uri: Uri = url.parse().map_err(|_| UrlError)?;
    let known = [Some(&Scheme::HTTP), Some(&Scheme::HTTPS)].contains(&uri.scheme());
    let host = uri.host().unwrap_or_default();
    (known && !host.is_empty()).then_some(uri).ok_or(UrlError)
}

/// Without user, password and query.
fn shown(uri: &Uri) -> String {
    format!("{}{}", place(uri), uri.path())
}

fn is_https(uri: &Uri) -> bool {
    uri.scheme() == Some(&Scheme::HTTPS)
}

fn host(uri: &Uri) -> &str {
    let host = uri.host().unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']')
}

fn port(uri: &Uri) -> u16 {
    let default = if is_https(uri) { 443 } else { 80 };
    uri.port_u16().unwrap_or(default)
}

/// The value of `Host`.
fn host_field(uri: &Uri) -> &str {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, place)| place)
}

impl HttpClient {
    /// # Errors
    /// When `trust` names a file that cannot be used.
    pub fn new(trust: Trust, via: Via) -> Result<Self, TlsSetupError> {
        let files = match trust {
            Trust::System => None,
            Trust::Anybody => Some(TlsFiles::default()),
            Trust::CaFile(path) => Some(TlsFiles {
                trusted_ca: Some(path),
                ..TlsFiles::default()
            }),
        };
        let tls = files.map(tls::renewed_client_config).transpose()?;
        Ok(Self {
            via,
            tls,
            limits: Limits::default(),
            kept: None,
        })
    }

    /// Keeps up to `most` connections for the next requests. One that the server has closed costs no
    /// request; one that fails after a request was sent on it does.
    #[must_use]
    pub fn keeping(mut self, most: usize) -> Self {
        self.kept = Some(Kept::new(most));
        self
    }

    /// With other limits.
    #[must_use]
    pub fn within(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sends `outgoing` and waits for the answer. Redirects of a GET
    /// are followed, but not from https to http; a POST, whose body is meant for nobody else, only to
    /// the same server.
    ///
    /// # Errors
    /// See [`Reason`].
    pub async fn send(&self, mut outgoing: Outgoing) -> Result<Answer, HttpError> {
        let limit = tokio::time::Instant::now() + self.limits.time;
        for _ in 0..=MAX_REDIRECTS {
            let answered = tokio::time::timeout_at(limit, self.answer(&outgoing)).await;
            let answered = answered.unwrap_or(Err(Reason::TimedOut(self.limits.time)));
            let answer = answered.map_err(|reason| outgoing.error(reason))?;
            match redirected(&outgoing, &answer) {
                Ok(None) => return Ok(answer),
                Ok(Some(next)) => outgoing = next,
                Err(why) => return Err(outgoing.error(Reason::Redirect(why))),
            }
        }
        let why = "stopped after 10 redirects";
        Err(outgoing.error(Reason::Redirect(why)))
    }

    async fn answer(&self, outgoing: &Outgoing) -> Result<Answer, Reason> {
        let limit = self.limits.bytes;
        let kept = self.kept.as_ref().filter(|_| outgoing.at.is_none());
        let place = place(&outgoing.uri);
        if let Some(kept) = kept {
            while let Some(mut open) = kept.take(&place).await {
                let asked = open.ask(self.request(outgoing, None)?, async |answer| {
                    whole(answer, limit).await
                });
                match asked.await {
                    Ok(answer) => {
                        let answer = answer?;
                        kept.keep(place, open).await;
                        return Ok(answer);
                    }
                    Err(mut e) => {
                        let unsent = e.take_message();
                        // Else nothing was sent: the server had closed it meanwhile.
                        if unsent.is_none() {
                            return Err(e.into_error().into());
                        }
                    }
                }
            }
        }
        let Connected { stream, proxy } = self.connect(&outgoing.uri, outgoing.at).await?;
        let kept = kept.filter(|_| proxy.is_none());
        let request = self.request(outgoing, proxy)?;
        let mut open = Open::over(stream).await?;
        let asked = open.ask(request, async |answer| whole(answer, limit).await);
        let answer = asked.await.map_err(TrySendError::into_error)??;
        if let Some(kept) = kept {
            kept.keep(place, open).await;
        }
        Ok(answer)
    }

    /// `proxy`: it goes to an http proxy, with these credentials.
    fn request(
        &self,
        outgoing: &Outgoing,
        proxy: Option<Option<HeaderValue>>,
    ) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let Outgoing {
            method, uri, body, ..
        } = outgoing;
        let target = match &proxy {
            Some(_) => absolute_form(uri)?,
            None => {
                let path = uri.path_and_query().map_or("/", |path| path.as_str());
                Uri::builder().path_and_query(path).build()?
            }
        };
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, host_field(uri))
            .header(
                header::USER_AGENT,
                concat!("frp-rs/", env!("CARGO_PKG_VERSION")),
            )
            .body(Full::new(body.clone()))?;
        let fields = request.headers_mut();
        if self.kept.is_none() {
            fields.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        fields.extend(outgoing.headers.clone());
        if let Some(Some(login)) = proxy {
            fields.insert(header::PROXY_AUTHORIZATION, login);
        }
        Ok(request)
    }
}

async fn whole(answer: Response<Incoming>, limit: usize) -> Result<Answer, Reason> {
    let (head, mut body) = answer.into_parts();
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            if whole.len() + data.len() > limit {
                return Err(Reason::TooLong(limit));
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body: whole.into(),
    })
}

/// Where a request goes, with the way of it.
fn place(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or_default();
    format!("{scheme}://{}", host_field(uri))
}

/// A connection that a request can go out on.
struct Connected {
    stream: Stream,
    /// It ends at an http proxy, which is told the whole URL, and who asks.
    proxy: Option<Option<HeaderValue>>,
}

impl HttpClient {
    async fn connect(&self, uri: &Uri, at_addr: Option<SocketAddr>) -> Result<Connected, Reason> {
        let (https, host, port) = (is_https(uri), host(uri), port(uri));
        let proxy = match &self.via {
            Via::Nothing => None,
            Via::Proxy(proxy) => Some(proxy),
            Via::Environment(env) => env.for_request(https, host, port),
        };
        let mut at_proxy = None;
        let mut stream = match proxy {
            Some(proxy) if !https && takes_urls(proxy) => {
                at_proxy = Some(proxy.login.as_ref().and_then(credentials));
                self.reach(proxy).await?
            }
            // The proxy, too, is believed as `trust` says, as in Go.
            Some(proxy) if proxy.scheme == ProxyScheme::Https => {
                let mut stream = self.reach(proxy).await?;
                let target = join_host_port(host, port);
                let connected =
                    outbound_proxy::connect(&mut stream, &target, proxy.login.as_ref()).await;
                connected.map_err(|error| at(proxy, error))?;
                stream
            }
            proxy => match at_addr {
                Some(addr) => dial_addr(addr).await?,
                None => dial_server(host, port, &self.dialling(), proxy).await?,
            },
        };
        if https {
            stream = self.secure(stream, host).await?;
        }
        Ok(Connected {
            stream,
            proxy: at_proxy,
        })
    }

    /// A connection to the proxy itself.
    async fn reach(&self, proxy: &ProxyUrl) -> Result<Stream, Reason> {
        let dialled = dial(&proxy.host, proxy.port, &self.dialling()).await;
        let stream = Stream::Tcp(dialled.map_err(|error| at(proxy, ProxyError::Dial(error)))?);
        if proxy.scheme != ProxyScheme::Https {
            return Ok(stream);
        }
        let config = self.tls().await?;
        let pipe = tls::connect(config, &proxy.host, stream, self.limits.time).await;
        let pipe = pipe.map_err(|error| at(proxy, ProxyError::Tls(error)))?;
        Ok(Stream::Tls(Box::new(pipe)))
    }

    async fn secure(&self, stream: Stream, host: &str) -> Result<Stream, Reason> {
        let config = self.tls().await?;
        let pipe = tls::connect(config, host, stream, self.limits.time).await?;
        Ok(Stream::Tls(Box::new(pipe)))
    }

    /// How targets and proxies are dialled. The limit is that of the whole request.
    fn dialling(&self) -> DialOptions {
        DialOptions {
            timeout: self.limits.time,
            keepalive: Some(END_KEEPALIVE),
            local_ip: None,
        }
    }

    async fn tls(&self) -> Result<Arc<ClientConfig>, TlsSetupError> {
        match &self.tls {
            Some(config) => Ok(config.now()),
            None => tls::client_config_of_system().await,
        }
    }
}

async fn dial_addr(addr: SocketAddr) -> Result<Stream, DialError> {
    let network = "tcp";
    let connected = TcpStream::connect(addr).await.map(Stream::Tcp);
    connected.map_err(|source| DialError::Connect {
        network,
        addr,
        source,
    })
}

fn at(proxy: &ProxyUrl, error: ProxyError) -> DialError {
    DialError::Proxy {
        proxy: proxy.clone(),
        source: Box::new(error),
    }
}

/// Whether requests by plain http go to the proxy as they are, with the whole URL, rather than through
/// a tunnel: many proxies make tunnels for https only.
fn takes_urls(proxy: &ProxyUrl) -> bool {
    matches!(proxy.scheme, ProxyScheme::Http | ProxyScheme::Https)
}

fn credentials(login: &ProxyLogin) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(http_connect::basic(login)).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// What a redirect leads to, if the answer is one.
fn redirected(from: &Outgoing, answer: &Answer) -> Result<Option<Outgoing>, &'static str> {
    let follow = match answer.status.as_u16() {
        301..=303 => from.method == Method::GET,
        307 | 308 => true,
        _ => false,
    };
    let Some(location) = answer.headers.get(header::LOCATION).filter(|_| follow) else {
        return Ok(None);
    };
    let location = location.to_str().ok();
    let uri = location.and_then(|location| resolve(&from.uri, location));
    let uri = uri.ok_or("redirected to what is no http or https URL")?;
    if is_https(&from.uri) && !is_https(&uri) {
        return Err("redirected from https to http, where anybody could answer");
    }
    let same = uri.scheme() == from.uri.scheme() && host_field(&uri) == host_field(&from.uri);
    if from.method != Method::GET && !same {
        return Err("redirected to another server, which the password is not for");
    }
    let mut next = Outgoing {
        uri,
        ..from.clone()
    };
    if !same {
        next.at = None;
    }
    if !same {
        next.headers.remove(header::AUTHORIZATION);
    }
    Ok(Some(next))
}

/// What a reference in an answer from `base` means (RFC 3986 section 5.2); `None` unless it is an http or
/// https URL.
pub fn resolve(base: &Uri, reference: &str) -> Option<Uri> {
    let scheme = base.scheme_str()?;
    let scheme_first = reference.split_once("://").is_some_and(|(scheme, _)| {
        let scheme_like = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        scheme.chars().all(scheme_like)
    });
    if scheme_first {
        return parse(reference).ok();
    }
    if let Some(rest) = reference.strip_prefix("//") {
        return parse(&format!("{scheme}://{rest}")).ok();
    }
    let place = place(base);
    let directory = base
        .path()
        .rsplit_once('/')
        .map_or("", |(directory, _)| directory);
    parse(&match reference.chars().next() {
        Some('/') => format!("{place}{reference}"),
        Some('?') => format!("{place}{}{reference}", base.path()),
        _ => format!("{place}{directory}/{reference}"),
    })
    .ok()
}

/// As a proxy wants it: without user and password (RFC 9112 section 3.2.2).
fn absolute_form(uri: &Uri) -> Result<Uri, hyper::http::Error> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Uri::builder()
        .scheme(uri.scheme_str().unwrap_or_default())
        .authority(host_field(uri))
        .path_and_query(path)
        .build()
}
