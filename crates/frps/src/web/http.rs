//! Requests and responses: the password, the envelopes, the log lines.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use frp_config::WebServer;
use frp_log::{Log, debug, info, warn};
use frp_proto::VERSION;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite};

use super::route::{Astray, Offered, Query, Route, find};
use super::{Site, api, api_v2, prometheus};

type Response = hyper::Response<Full<Bytes>>;

/// From the start of a connection, or of an idle time, until a request's head is in (frp
/// `pkg/util/http/server.go`).
const REQUEST_HEAD: Duration = Duration::from_secs(60);

/// Bytes that a request's head may have.
const MAX_HEAD: usize = 32 * 1024;

/// A wrong password is answered late, so that guessing takes its time (frp
/// `pkg/util/http/server.go`).
const WRONG_PASSWORD: Duration = Duration::from_millis(200);

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

const NO_PAGES: &str = "\
This version of frps has no pages yet, only the API that they would use, e.g.
/api/serverinfo, /api/clients and /api/proxy/tcp.
";

const NO_PROFILE: &str = "\
frps is not written in Go, so there is no such profile.
/debug/pprof/goroutine counts what is alive.
";

/// Why a request for data is refused.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: StatusCode,
    pub(super) text: String,
}

impl Refusal {
    pub(super) fn bad(text: impl Into<String>) -> Self {
        Self {
            code: StatusCode::BAD_REQUEST,
            text: text.into(),
        }
    }

    pub(super) fn not_found(text: impl Into<String>) -> Self {
        Self {
            code: StatusCode::NOT_FOUND,
            text: text.into(),
        }
    }
}

/// Answers the requests of one connection.
pub(super) async fn serve<T>(site: Arc<Site>, io: T)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request| {
        let site = site.clone();
        async move { Ok::<_, Infallible>(answer(&site, &request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_HEAD)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(io), service)
        .await;
    if let Err(e) = served {
        debug!(Log::root(), "dashboard: {e}");
    }
}

async fn answer(site: &Site, request: &Request<Incoming>) -> Response {
    let path = request.uri().path();
    let offered = Offered {
        metrics: site.shared.cfg.enable_prometheus,
        pprof: site.config.pprof_enable,
    };
    let route = match find(request.method().as_str(), path, offered) {
        Ok(Route::Healthz) => return bare(StatusCode::OK),
        Ok(route) => route,
        Err(Astray::NotFound) => return not_found("404 page not found\n"),
        Err(Astray::WrongMethod) => return bare(StatusCode::METHOD_NOT_ALLOWED),
        Err(Astray::BadPath) => return text(StatusCode::BAD_REQUEST, "400 Bad Request"),
        Err(Astray::Moved(to)) => {
            let query = request.uri().query().map(|q| format!("?{q}"));
            return moved(&(to + &query.unwrap_or_default()));
        }
    };
    // The profiling routes, too; frp lets everybody have them.
    if !is_allowed(&site.config, request.headers().get(AUTHORIZATION)) {
        tokio::time::sleep(WRONG_PASSWORD).await;
        return unauthorized();
    }
    let log = Log::root();
    info!(log, "http request: [{path}]");
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let response = respond(site, route, &query, path);
    let code = response.status().as_u16();
    info!(log, "http response [{path}]: code [{code}]");
    response
}

fn respond(site: &Site, route: Route, query: &Query, path: &str) -> Response {
    let v1 = |answer| envelope_v1(answer, path);
    match route {
        Route::Healthz => bare(StatusCode::OK),
        Route::Root => moved("/static/"),
        Route::Static(below) if below.is_empty() => text(StatusCode::OK, NO_PAGES),
        Route::Static(_) | Route::Favicon => not_found("404 page not found\n"),
        Route::Metrics => with_type(prometheus::CONTENT_TYPE, prometheus::text(&site.stats)),
        Route::Pprof(name) if name == "goroutine" => text(StatusCode::OK, alive(site)),
        Route::Pprof(_) => not_found(NO_PROFILE),
        Route::ServerInfo => v1(Ok(json(&api::server_info(site)))),
        Route::Clients => v1(Ok(json(&api::clients(&site.stats, query)))),
        Route::Client(key) => v1(api::client(&site.stats, &key).map(|c| json(&c))),
        Route::ProxiesOfType(kind) => v1(Ok(json(&api::proxies(&site.stats, &kind)))),
        Route::ProxyOfType(kind, name) => {
            v1(api::proxy(&site.stats, Some(&kind), &name).map(|p| json(&p)))
        }
        Route::Proxy(name) => v1(api::proxy(&site.stats, None, &name).map(|p| json(&p))),
        Route::Traffic(name) => v1(api::traffic(&site.stats, &name).map(|t| json(&t))),
        Route::ClearProxies => v1(api::clear(&site.stats, query).map(|done| json(&done))),
        Route::V2(route) => envelope_v2(api_v2::answer(site, route, query), path),
    }
}

/// Whether the request shows user and password, or none are set.
fn is_allowed(config: &WebServer, header: Option<&HeaderValue>) -> bool {
    let (user, password) = (config.user.as_bytes(), config.password.expose().as_bytes());
    if user.is_empty() && password.is_empty() {
        return true;
    }
    let Some((given_user, given_password)) = header.and_then(basic_auth) else {
        return false;
    };
    // Both are compared, whatever the first one says.
    let same_user = verify_slices_are_equal(&given_user, user).is_ok();
    let same_password = verify_slices_are_equal(&given_password, password).is_ok();
    same_user & same_password
}

/// User and password of an `Authorization` header.
fn basic_auth(header: &HeaderValue) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, encoded) = header.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let both = STANDARD.decode(encoded).ok()?;
    let colon = both.iter().position(|byte| *byte == b':')?;
    let (user, password) = both.split_at_checked(colon)?;
    Some((user.to_owned(), password.get(1..)?.to_owned()))
}

/// What a list of goroutines is looked at for.
fn alive(site: &Site) -> String {
    let totals = site.stats.metrics.totals();
    format!(
        "frps {VERSION} is not written in Go: there are no goroutines. What is alive:\n\
         tasks {}\nsessions {}\nclients {}\nproxies {}\nuser connections {}\n",
        site.shared.tasks.len(),
        site.shared.registry.sessions(),
        site.stats.clients.online(),
        totals.types.values().sum::<u64>(),
        totals.connections,
    )
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorV1<'a> {
    code: u16,
    msg: &'a str,
}

#[derive(Serialize)]
struct EnvelopeV2<'a> {
    code: u16,
    msg: &'a str,
    data: Option<Box<RawValue>>,
}

fn envelope_v1(answer: Result<Bytes, Refusal>, path: &str) -> Response {
    match answer {
        Ok(body) => with_type(JSON, body),
        Err(refusal) => {
            let (code, msg) = (refusal.code.as_u16(), refusal.text.as_str());
            refused(&refusal, json(&ErrorV1 { code, msg }), path)
        }
    }
}

fn envelope_v2(answer: Result<Box<RawValue>, Refusal>, path: &str) -> Response {
    match answer {
        Ok(data) => {
            let data = Some(data);
            with_type(
                JSON,
                json(&EnvelopeV2 {
                    code: 200,
                    msg: "success",
                    data,
                }),
            )
        }
        Err(refusal) => {
            let body = json(&EnvelopeV2 {
                code: refusal.code.as_u16(),
                msg: &refusal.text,
                data: None,
            });
            refused(&refusal, body, path)
        }
    }
}

fn refused(refusal: &Refusal, body: Bytes, path: &str) -> Response {
    let text = &refusal.text;
    warn!(Log::root(), "http response [{path}]: error: {text}");
    let mut response = with_type(JSON, body);
    *response.status_mut() = refusal.code;
    response
}

/// JSON as Go's encoder writes it: `<`, `>` and `&` escaped, a line end behind.
fn json(value: &impl Serialize) -> Bytes {
    // Numbers, texts and maps with text keys only: nothing in them can fail.
    let plain = serde_json::to_vec(value).unwrap_or_default();
    let mut escaped = Vec::with_capacity(plain.len() + 1);
    for byte in plain {
        match byte {
            b'<' => escaped.extend(b"\\u003c"),
            b'>' => escaped.extend(b"\\u003e"),
            b'&' => escaped.extend(b"\\u0026"),
            byte => escaped.push(byte),
        }
    }
    escaped.push(b'\n');
    escaped.into()
}

fn bare(code: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = code;
    response
}

fn with_type(kind: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Full::new(body.into()));
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn text(code: StatusCode, body: impl Into<Bytes>) -> Response {
    let mut response = with_type(TEXT, body);
    *response.status_mut() = code;
    let nosniff = HeaderValue::from_static("nosniff");
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

fn not_found(body: &'static str) -> Response {
    text(StatusCode::NOT_FOUND, body)
}

fn moved(to: &str) -> Response {
    let mut response = bare(StatusCode::MOVED_PERMANENTLY);
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    response
}

fn unauthorized() -> Response {
    let mut response = text(StatusCode::UNAUTHORIZED, "Unauthorized\n");
    let realm = HeaderValue::from_static("Basic realm=\"Restricted\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, realm);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(user: &str, password: &str, header: Option<&str>) -> bool {
        let config = WebServer {
            addr: String::new(),
            port: 1,
            user: user.to_owned(),
            password: password.into(),
            assets_dir: None,
            pprof_enable: false,
            tls: None,
        };
        let header = header.and_then(|text| HeaderValue::from_str(text).ok());
        is_allowed(&config, header.as_ref())
    }

    fn basic(both: &str) -> String {
        format!("Basic {}", STANDARD.encode(both))
    }

    #[test]
    fn passwords() {
        assert!(allowed("", "", None));
        assert!(allowed("a", "b:c", Some(&basic("a:b:c"))));
        assert!(allowed(
            "a",
            "b",
            Some(&basic("a:b").replace("Basic", "bASIC"))
        ));
        assert!(allowed("", "b", Some(&basic(":b"))));
        for header in [
            None,
            Some(""),
            Some("Basic"),
            Some("Basic !!!"),
            Some("Bearer YTpi"),
            Some(basic("ab").as_str()),
            Some(basic("a:").as_str()),
            Some(basic("a:bb").as_str()),
            Some(basic("b:b").as_str()),
        ] {
            assert!(!allowed("a", "b", header), "{header:?}");
        }
    }

    #[test]
    fn json_is_escaped_as_go_does() {
        let map = serde_json::json!({"a": "<1>&\"é"});
        let expected = "{\"a\":\"\\u003c1\\u003e\\u0026\\\"é\"}\n";
        assert_eq!(json(&map), expected.as_bytes());
    }
}
