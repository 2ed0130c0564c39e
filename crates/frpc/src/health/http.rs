//! The http check: a GET that must be answered with success, as Go's `http.DefaultClient` makes it
//! for frp.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use frp_http::client::{exchange, resolve};
use frp_net::dial::{DialError, DialOptions, dial};
use frp_net::go_text::join_host_port;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::Scheme;
use hyper::{Request, Response, Uri};
use tokio::time::{Instant, timeout_at};

/// As many as Go follows.
const MAX_REDIRECTS: usize = 10;

/// More of a body than this is not waited for.
const MAX_BODY: usize = 1024 * 1024;

/// What Go fills in or leaves out whatever is configured.
const OWN_HEADERS: [HeaderName; 4] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TRAILER,
];

/// Not for another host than the one that they are configured for.
const SENSITIVE: [HeaderName; 2] = [header::AUTHORIZATION, header::COOKIE];

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("do http health check, StatusCode is [{0}] not 2xx")]
    Status(u16),
    #[error("Get \"{url}\": {why}")]
    Get { url: String, why: GetError },
    #[error("healthCheck.httpHeaders: {0:?} is no name of a header, or its value cannot be one")]
    Header(String),
    #[error("healthCheck.path: {0:?} cannot be part of a URL")]
    Path(String),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum GetError {
    #[error("{0}")]
    Dial(#[from] DialError),
    #[error("{}", with_source(.0))]
    Http(#[from] hyper::Error),
    #[error("no complete answer within healthCheck.timeoutSeconds")]
    TimedOut,
    #[error("stopped after {MAX_REDIRECTS} redirects")]
    TooManyRedirects,
    #[error("redirected to {0:?}, and only http is followed")]
    Redirect(String),
}

/// Asks `place` (host and port) for `path`, and follows redirects; all within `limit`.
pub(super) async fn check(
    place: (&str, u16),
    path: &str,
    headers: &[(String, String)],
    limit: Duration,
) -> Result<(), HttpError> {
    let (mut headers, mut host) = headers_of(headers)?;
    let mut url = url_of(place, path).ok_or_else(|| HttpError::Path(path.to_owned()))?;
    let until = Instant::now() + limit;
    for redirects in 0.. {
        let failed = |why| {
            let url = url.to_string();
            HttpError::Get { url, why }
        };
        if redirects > MAX_REDIRECTS {
            return Err(failed(GetError::TooManyRedirects));
        }
        let got = timeout_at(until, get(&url, host.as_ref(), &headers, limit)).await;
        let answer = match got {
            Ok(got) => got.map_err(failed)?,
            Err(_) => return Err(failed(GetError::TimedOut)),
        };
        let Some(location) = redirect(&answer) else {
            return match answer.status() {
                status if status.is_success() => Ok(()),
                status => Err(HttpError::Status(status.as_u16())),
            };
        };
        let next = follow(&url, &location);
        let next = next.ok_or_else(|| failed(GetError::Redirect(location.clone())))?;
        if next.authority() != url.authority() {
            for name in &SENSITIVE {
                headers.remove(name);
            }
        }
        // A configured Host is for the place that it was configured for.
        if location.contains("://") || location.starts_with("//") {
            host = None;
        }
        url = next;
    }
    Ok(())
}

/// One request on a connection of its own, and the end of its answer's body.
async fn get(
    url: &Uri,
    host: Option<&HeaderValue>,
    headers: &HeaderMap,
    limit: Duration,
) -> Result<Response<()>, GetError> {
    let options = DialOptions {
        timeout: limit,
        keepalive: None,
        local_ip: None,
    };
    let port = url.port_u16().unwrap_or(80);
    let tcp = dial(url.host().unwrap_or_default(), port, &options).await?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = path.parse().unwrap_or_default();
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let named = host.cloned().or_else(|| authority.parse().ok());
    let out = request.headers_mut();
    out.extend(named.map(|host| (header::HOST, host)));
    out.extend(headers.clone());
    let answered = exchange(tcp, request, async |answer: Response<Incoming>| {
        let (head, body) = answer.into_parts();
        drain(body).await;
        Response::from_parts(head, ())
    });
    Ok(answered.await?)
}

/// The status has been judged by its number only, so a body that breaks off does no harm; but a
/// service need not see its answer cut off.
async fn drain(mut body: Incoming) {
    let mut read = 0;
    while read < MAX_BODY
        && let Some(Ok(frame)) = body.frame().await
    {
        read += frame.data_ref().map_or(0, Bytes::len);
    }
}

fn redirect(answer: &Response<()>) -> Option<String> {
    if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = answer.headers().get(header::LOCATION)?;
    let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
    Some(location).filter(|location| !location.is_empty())
}

/// The URL that `location` means on the page `from`; `None` unless it is one of http.
fn follow(from: &Uri, location: &str) -> Option<Uri> {
    let url = resolve(from, &escaped(location))?;
    (url.scheme() == Some(&Scheme::HTTP)).then_some(url)
}

fn url_of((host, port): (&str, u16), path: &str) -> Option<Uri> {
    let addr = join_host_port(host, port);
    let slash = if path.starts_with('/') { "" } else { "/" };
    let path = escaped(path);
    format!("http://{addr}{slash}{path}").parse().ok()
}

/// Without bytes that no URL may have, as Go writes them.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if !b"\"<>\\^`{|}".contains(&byte) => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// The headers to send, and the configured Host.
fn headers_of(
    configured: &[(String, String)],
) -> Result<(HeaderMap, Option<HeaderValue>), HttpError> {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::USER_AGENT,
        HeaderValue::from_static("Go-http-client/1.1"),
    );
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    for (name, value) in configured {
        let parsed = (name.parse::<HeaderName>(), HeaderValue::from_str(value));
        let (Ok(name), Ok(value)) = parsed else {
            return Err(HttpError::Header(name.clone()));
        };
        headers.insert(name, value);
    }
    let host = headers.get(header::HOST).filter(|host| !host.is_empty());
    let host = host.cloned();
    for name in &OWN_HEADERS {
        headers.remove(name);
    }
    Ok((headers, host))
}

/// hyper keeps the interesting half in its source.
fn with_source(error: &hyper::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_that_of_frp() {
        let url = |host, path| url_of((host, 81), path).unwrap().to_string();
        assert_eq!(url("127.0.0.1", "/a?b=c"), "http://127.0.0.1:81/a?b=c");
        assert_eq!(url("::1", "status"), "http://[::1]:81/status");
        assert_eq!(url("web", "/a b/ü"), "http://web:81/a%20b/%C3%BC");
    }

    #[test]
    fn a_location_is_taken_as_browsers_do() {
        let from: Uri = "http://web:81/a/b?c".parse().unwrap();
        let to = |location| follow(&from, location).map(|url| url.to_string());
        assert_eq!(to("/d").unwrap(), "http://web:81/d");
        assert_eq!(to("d").unwrap(), "http://web:81/a/d");
        assert_eq!(to("?d").unwrap(), "http://web:81/a/b?d");
        assert_eq!(to("//other/d").unwrap(), "http://other/d");
        assert_eq!(to("http://other:8/d").unwrap(), "http://other:8/d");
        assert_eq!(to("https://other/d"), None);
        assert_eq!(to("ftp://other/d"), None);
    }

    #[test]
    fn what_cannot_be_a_header_is_named() {
        let given = |name: &str, value: &str| headers_of(&[(name.to_owned(), value.to_owned())]);
        let (headers, host) = given("host", "example.com").unwrap();
        assert_eq!(host.unwrap(), "example.com");
        assert!(!headers.contains_key("host"));
        assert!(given("x y", "1").unwrap_err().to_string().contains("x y"));
        assert!(given("x", "1\n2").is_err());
    }
}
