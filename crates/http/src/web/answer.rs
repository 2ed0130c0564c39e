//! The forms of answers that frp's programs give.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::StatusCode;
use hyper::body::{Frame, SizeHint};
use hyper::header::{
    CONTENT_TYPE, HeaderValue, LOCATION, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use serde::Serialize;

use super::events::Listener;
use crate::basic::REALM;
use frp_net::limits::WRONG_PASSWORD;

/// An answer.
pub type Response = hyper::Response<Body>;

/// The body of an answer.
#[derive(Debug)]
pub enum Body {
    /// It is there as a whole.
    Whole(Full<Bytes>),
    /// Events, as they come.
    Events(Box<Listener>),
}

impl Default for Body {
    fn default() -> Self {
        Self::Whole(Full::default())
    }
}

impl From<Bytes> for Body {
    fn from(whole: Bytes) -> Self {
        Self::Whole(Full::new(whole))
    }
}

impl From<Vec<u8>> for Body {
    fn from(whole: Vec<u8>) -> Self {
        Bytes::from(whole).into()
    }
}

impl From<String> for Body {
    fn from(whole: String) -> Self {
        Bytes::from(whole).into()
    }
}

impl From<&'static str> for Body {
    fn from(whole: &'static str) -> Self {
        Bytes::from(whole).into()
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(cx),
            Self::Events(listener) => listener.poll_frame(cx).map(|frame| frame.map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Events(_) => SizeHint::default(),
        }
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
/// The type of the API's answers.
pub const JSON: &str = "application/json";

/// Why a request for data is refused.
#[derive(Debug)]
pub struct ApiError {
    /// Its status.
    pub code: StatusCode,
    /// What was wrong.
    pub text: String,
}

impl ApiError {
    /// 400
    pub fn bad(text: impl Into<String>) -> Self {
        Self {
            code: StatusCode::BAD_REQUEST,
            text: text.into(),
        }
    }

    /// 403
    pub fn forbidden(text: impl Into<String>) -> Self {
        Self {
            code: StatusCode::FORBIDDEN,
            text: text.into(),
        }
    }

    /// 404
    pub fn not_found(text: impl Into<String>) -> Self {
        Self {
            code: StatusCode::NOT_FOUND,
            text: text.into(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorV1<'a> {
    code: u16,
    msg: &'a str,
}

/// The answer of the first version of the API.
pub fn envelope_v1(answer: Result<Bytes, ApiError>, path: &str) -> Response {
    match answer {
        Ok(body) => with_type(JSON, body),
        Err(refusal) => {
            let (code, msg) = (refusal.code.as_u16(), refusal.text.as_str());
            refused(&refusal, json(&ErrorV1 { code, msg }), path)
        }
    }
}

/// The answer to a request that is refused; the log has its text.
pub fn refused(refusal: &ApiError, body: Bytes, path: &str) -> Response {
    let text = &refusal.text;
    tracing::warn!("http response [{path}]: error: {text}");
    let mut response = with_type(JSON, body);
    *response.status_mut() = refusal.code;
    response
}

/// JSON as Go's encoder writes it: `<`, `>` and `&` escaped, a line end behind.
pub fn json(value: &impl Serialize) -> Bytes {
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

/// JSON that is written already, with Go's line end behind.
pub fn json_text(mut text: String) -> Bytes {
    text.push('\n');
    text.into()
}

/// An answer without a body.
pub fn bare(code: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = code;
    response
}

/// A body of this type.
pub fn with_type(kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Plain text.
pub fn text(code: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = with_type(TEXT, body);
    *response.status_mut() = code;
    let nosniff = HeaderValue::from_static("nosniff");
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

/// 404 with a text.
pub fn not_found(body: &'static str) -> Response {
    text(StatusCode::NOT_FOUND, body)
}

/// 301 to another path, which should be relative: whatever lies before us may have a prefix.
pub fn moved(to: &str) -> Response {
    let mut response = bare(StatusCode::MOVED_PERMANENTLY);
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    response
}

/// 401, late: so that guessing takes its time.
pub async fn unauthorized() -> Response {
    tokio::time::sleep(WRONG_PASSWORD).await;
    let mut response = text(StatusCode::UNAUTHORIZED, "Unauthorized\n");
    response.headers_mut().insert(WWW_AUTHENTICATE, REALM);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_escaped_as_go_does() {
        let map = serde_json::json!({"a": "<1>&\"é"});
        let expected = "{\"a\":\"\\u003c1\\u003e\\u0026\\\"é\"}\n";
        assert_eq!(json(&map), expected.as_bytes());
    }
}
