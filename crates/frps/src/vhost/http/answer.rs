//! The answers that frps itself gives (frp `pkg/util/vhost/resource.go`, `http.go`).

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use bytes::Bytes;
use frp_http::basic::REALM;
use frp_http::head::Refused;
use frp_log::{Log, warn};
use frp_proto::VERSION;
use hyper::header::{
    CONNECTION, CONTENT_TYPE, HeaderValue, PROXY_AUTHENTICATE, SERVER, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Response, StatusCode, Version};

use super::body::Body;
use crate::shared::Shared;

/// Bytes that `custom404Page` may have.
const MAX_PAGE: u64 = 1024 * 1024;

const NOT_FOUND: &str = r#"<!DOCTYPE html>
<html>
<head>
<title>Not Found</title>
<style>
    body {
        width: 35em;
        margin: 0 auto;
        font-family: Tahoma, Verdana, Arial, sans-serif;
    }
</style>
</head>
<body>
<h1>The page you requested was not found.</h1>
<p>Sorry, the page you are looking for is currently unavailable.<br/>
Please try again later.</p>
<p>The server is powered by <a href="https://github.com/fatedier/frp">frp</a>.</p>
<p><em>Faithfully yours, frp.</em></p>
</body>
</html>
"#;

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The page of a 404: `custom404Page`, read each time so that a change needs no restart, else
/// frp's.
pub(crate) async fn not_found_page(shared: &Shared) -> Bytes {
    let Some(path) = shared.policy().custom_404_page.clone() else {
        return Bytes::from_static(NOT_FOUND.as_bytes());
    };
    match tokio::task::spawn_blocking(move || read_page(&path)).await {
        Ok(Ok(page)) => page.into(),
        Ok(Err(e)) => {
            warn!(Log::root(), "read custom 404 page error: {e}");
            Bytes::from_static(NOT_FOUND.as_bytes())
        }
        Err(_) => Bytes::from_static(NOT_FOUND.as_bytes()),
    }
}

/// Not of a pipe or a device, which have no end, or keep whoever opens them waiting.
fn read_page(path: &Path) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut page = Vec::new();
    let file = File::open(path)?;
    file.take(MAX_PAGE + 1).read_to_end(&mut page)?;
    if page.len() as u64 > MAX_PAGE {
        return Err(io::Error::other("larger than 1 MiB"));
    }
    Ok(page)
}

/// 404, for whatever reason a request could not be served.
pub(super) async fn not_found(shared: &Shared, method: &Method) -> Response<Body> {
    let page = not_found_page(shared).await;
    let is_html = page.trim_ascii_start().starts_with(b"<");
    let mut response = Response::new(Body::whole(page));
    *response.status_mut() = StatusCode::NOT_FOUND;
    let headers = response.headers_mut();
    if method == Method::CONNECT {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        if let Ok(server) = HeaderValue::from_str(&format!("frp/{VERSION}")) {
            headers.insert(SERVER, server);
        }
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    } else {
        headers.insert(CONTENT_TYPE, if is_html { HTML } else { TEXT });
    }
    response
}

/// 504: the service did not answer in time.
pub(super) fn timed_out() -> Response<Body> {
    let mut response = Response::new(Body::whole(Bytes::new()));
    *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
    response
}

/// 401, or 407 to a user that took us for its HTTP proxy.
pub(super) fn unauthorized(proxied: bool) -> Response<Body> {
    let (code, header, text) = if proxied {
        let text = "Proxy Authentication Required\n";
        (
            StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            PROXY_AUTHENTICATE,
            text,
        )
    } else {
        (StatusCode::UNAUTHORIZED, WWW_AUTHENTICATE, "Unauthorized\n")
    };
    let mut response = plain(code, text);
    response.headers_mut().insert(header, REALM);
    response
}

/// To a request that means nothing, or more than one thing, and to a user that may not come in. Over HTTP/1
/// the connection ends, since nobody knows what it speaks.
pub(super) fn refuse(refused: Refused, version: Version) -> Response<Body> {
    let mut response = plain(refused.code, refused.text);
    let headers = response.headers_mut();
    headers.remove(X_CONTENT_TYPE_OPTIONS);
    if version < Version::HTTP_2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn plain(code: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::whole(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, TEXT);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_is_as_long_as_frps() {
        assert_eq!(super::NOT_FOUND.len(), 489);
    }
}
