//! Whether a request's head means the same to everybody who reads it. Between us and a service
//! that reads it otherwise, a user could say one thing to each (request smuggling), so what is
//! ambiguous goes no further.
//!
//! hyper has refused already what is no HTTP at all. The rest is what Go's `net/http` refuses
//! (`request.go`, `transfer.go`, `server.go`), and what RFC 9110 and 9112 let a recipient refuse.

use hyper::header::{
    CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Version};

use crate::fields::tokens;
use crate::host::{host_of, is_host, without_port};
use crate::io::filter::Unseen;

const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Why a request goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Of the answer.
    pub code: StatusCode,
    /// For the user, as Go's server writes it.
    pub text: &'static str,
}

const fn bad(text: &'static str) -> Refused {
    Refused {
        code: StatusCode::BAD_REQUEST,
        text,
    }
}

/// Checks the head of a user's request and puts in order what may be written in several ways.
/// Returns the host that it is for; `None` where it names none or an empty one.
///
/// An offer to go on in unencrypted HTTP/2 (`h2c`) is taken out: whoever takes it would have a
/// connection whose requests nobody in between sees.
///
/// # Errors
/// What the user is answered instead; the connection should end with it.
pub fn check(head: &mut Parts) -> Result<Option<HeaderValue>, Refused> {
    let host = host(head)?;
    check_framing(head)?;
    Ok(host)
}

/// [`check`] for a forward proxy, which goes by the target and writes `Host` anew (RFC 9112,
/// section 3.2.2).
///
/// # Errors
/// As there.
pub fn check_framing(head: &mut Parts) -> Result<(), Refused> {
    if head.extensions.get::<Unseen>().is_some() {
        return Err(bad("400 Bad Request"));
    }
    if head.version < Version::HTTP_2 {
        coding(&head.headers)?;
    }
    length(&mut head.headers)?;
    trailers(&head.headers)?;
    let continues = |value: &HeaderValue| {
        let value = value.as_bytes();
        value.is_empty() || value.eq_ignore_ascii_case(b"100-continue")
    };
    if !head.headers.get_all(EXPECT).iter().all(continues) {
        return Err(Refused {
            code: StatusCode::EXPECTATION_FAILED,
            text: "417 Expectation Failed",
        });
    }
    withdraw_h2c(&mut head.headers);
    Ok(())
}

const MALFORMED_HOST: Refused = bad("400 Bad Request: malformed Host header");

/// The one host that a request is for. The target and `Host` may both say it (RFC 9112, section
/// 3.2; RFC 9113, section 8.3.1), if both name the same.
fn host(head: &Parts) -> Result<Option<HeaderValue>, Refused> {
    let is_connect = head.method == Method::CONNECT;
    let mut given = head.headers.get_all(HOST).iter();
    let (field, other) = (given.next(), given.next());
    if other.is_some() {
        return Err(bad("400 Bad Request: too many Host headers"));
    }
    if field.is_none() && head.version == Version::HTTP_11 && !is_connect {
        return Err(bad("400 Bad Request: missing required Host header"));
    }
    if field.is_some_and(|host| !is_host(host.as_bytes())) {
        return Err(MALFORMED_HOST);
    }
    let Some(authority) = head.uri.authority() else {
        return Ok(field.filter(|host| !host.is_empty()).cloned());
    };
    // `GET host` is for CONNECT only, as `CONNECT http://host/` is for all others.
    if head.version < Version::HTTP_2 && head.uri.scheme().is_some() == is_connect {
        return Err(bad("400 Bad Request: malformed request target"));
    }
    let target = host_of(authority);
    if target.is_empty() || !is_host(target.as_bytes()) {
        return Err(MALFORMED_HOST);
    }
    // The target's port counts; some clients leave it to one of the two.
    let name = without_port(target.as_bytes());
    let agree = |field: &HeaderValue| without_port(field.as_bytes()).eq_ignore_ascii_case(name);
    if !field.is_none_or(agree) {
        return Err(bad("400 Bad Request: the target and Host differ"));
    }
    HeaderValue::from_str(target)
        .map(Some)
        .map_err(|_| MALFORMED_HOST)
}

/// Nothing but `chunked`, once, as in Go. Another coding would have to be taken off or passed on
/// by whoever frames the body anew.
fn coding(headers: &HeaderMap) -> Result<(), Refused> {
    let mut given = headers.get_all(TRANSFER_ENCODING).iter();
    let chunked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    match (given.next(), given.next()) {
        (None, _) => Ok(()),
        (Some(only), None) if chunked(only) => Ok(()),
        _ => Err(Refused {
            code: StatusCode::NOT_IMPLEMENTED,
            text: "501 Not Implemented: unsupported transfer encoding",
        }),
    }
}

/// An answer has a transfer coding that nobody here takes off, so that its body would be passed on as
/// something else than it is. Go's client refuses it, too (`transfer.go`).
#[derive(Debug, thiserror::Error)]
#[error("unsupported transfer encoding: {0:?}")]
pub struct UnknownCoding(String);

/// Whether the body of an answer is what it is for.
///
/// # Errors
/// It has another transfer coding than `chunked`.
pub fn check_coding(headers: &HeaderMap) -> Result<(), UnknownCoding> {
    coding(headers).map_err(|_| {
        let given = headers.get_all(TRANSFER_ENCODING).iter();
        let given: Vec<_> = given.map(HeaderValue::as_bytes).collect();
        UnknownCoding(String::from_utf8_lossy(&given.join(&b", "[..])).into_owned())
    })
}

/// One `Content-Length`, in its plain form.
fn length(headers: &mut HeaderMap) -> Result<(), Refused> {
    const BAD_LENGTH: Refused = bad("400 Bad Request: bad Content-Length");
    let mut given = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = given.next() else {
        return Ok(());
    };
    let length = plain_length(first).ok_or(BAD_LENGTH)?;
    let mut is_plain = first.as_bytes() == length.to_string().as_bytes();
    for other in given {
        if plain_length(other) != Some(length) {
            return Err(BAD_LENGTH);
        }
        is_plain = false;
    }
    if !is_plain {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(())
}

/// The length that a field says, in digits only and no more than Go and others can count
/// (2^63 - 1).
pub fn plain_length(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?;
    let is_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let length = is_digits.then(|| text.parse::<u64>().ok())??;
    i64::try_from(length).is_ok().then_some(length)
}

/// What frames a message cannot come behind its body.
fn trailers(headers: &HeaderMap) -> Result<(), Refused> {
    let frames = [TRANSFER_ENCODING, CONTENT_LENGTH, TRAILER, HOST];
    let framing = |token: &[u8]| {
        let mut frames = frames.iter();
        frames.any(|name| token.eq_ignore_ascii_case(name.as_str().as_bytes()))
    };
    if tokens(headers, &TRAILER).any(framing) {
        return Err(bad("400 Bad Request: bad Trailer"));
    }
    Ok(())
}

/// Leaves of `Upgrade` what is not `h2c`.
fn withdraw_h2c(headers: &mut HeaderMap) {
    headers.remove(HTTP2_SETTINGS);
    let is_h2c = |token: &[u8]| token.eq_ignore_ascii_case(b"h2c");
    if !tokens(headers, &UPGRADE).any(is_h2c) {
        return;
    }
    let others: Vec<&[u8]> = tokens(headers, &UPGRADE)
        .filter(|token| !token.is_empty() && !is_h2c(token))
        .collect();
    match HeaderValue::from_bytes(&others.join(&b", "[..])) {
        Ok(others) if !others.is_empty() => drop(headers.insert(UPGRADE, others)),
        _ => drop(headers.remove(UPGRADE)),
    }
}

/// Whether a request's body is one that every service expects, so that the next request on the
/// same connection is read where the body ends. Some take these methods for bodiless, whatever the
/// head says (RFC 9110, section 9.3: "no generally defined semantics").
pub fn may_have_body(method: &Method) -> bool {
    let bodiless = [
        Method::GET,
        Method::HEAD,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
        Method::CONNECT,
    ];
    !bodiless.contains(method)
}

/// Whether a request may be sent twice, if it has no body: it changes nothing, or says that it does not
/// matter, as Go knows it (`http.Request.isReplayable`).
pub fn is_repeatable(method: &Method, headers: &HeaderMap) -> bool {
    let safe = [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE];
    safe.contains(method)
        || headers.contains_key("idempotency-key")
        || headers.contains_key("x-idempotency-key")
}

/// Whether an answer says in one way only how long it is, so that all agree about where it ends:
/// no length beside a coding, none where there can be no body, no second one.
pub fn is_plainly_framed(status: StatusCode, headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next();
    let is_coded = headers.contains_key(TRANSFER_ENCODING);
    let is_empty = status == StatusCode::NO_CONTENT || status == StatusCode::RESET_CONTENT;
    let says_body = is_coded || length.is_some_and(|length| length != "0");
    lengths.next().is_none()
        && !(is_coded && length.is_some())
        && !(is_coded && coding(headers).is_err())
        && !(is_coded && status == StatusCode::NOT_MODIFIED)
        && !(is_empty && says_body)
        && length.is_none_or(|length| plain_length(length).is_some())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use hyper::Request;
    use proptest::prelude::*;

    fn checked(
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
    ) -> Result<(Option<String>, HeaderMap), u16> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        let host = check(&mut head).map_err(|refused| refused.code.as_u16())?;
        let host = host.map(|host| host.to_str().unwrap().to_owned());
        Ok((host, head.headers))
    }

    fn host(method: &str, target: &str, fields: &[(&str, &str)]) -> Result<Option<String>, u16> {
        checked(method, target, fields).map(|(host, _)| host)
    }

    #[test]
    fn a_request_is_for_one_host() {
        let is = |host: &str| Ok(Some(host.to_owned()));
        let a = [("host", "a.test")];
        assert_eq!(host("GET", "/", &a), is("a.test"));
        assert_eq!(host("GET", "/", &[("host", "")]), Ok(None));
        assert_eq!(host("GET", "http://a.test/x", &a), is("a.test"));
        assert_eq!(host("GET", "http://A.test:80/x", &a), is("A.test:80"));
        assert_eq!(host("GET", "http://a.test:81/", &a), is("a.test:81"));
        assert_eq!(host("GET", "http://u@a.test/x", &a), is("a.test"));
        assert_eq!(host("CONNECT", "a.test:443", &a), is("a.test:443"));
        assert_eq!(host("CONNECT", "a.test:443", &[]), is("a.test:443"));
        for (method, target) in [
            ("GET", "http://b.test/"),
            ("GET", "http://a.test.evil/"),
            ("GET", "http://a.test@b.test/"),
            ("CONNECT", "b.test:80"),
            ("GET", "a.test"),
            ("GET", "a.test:80"),
            ("CONNECT", "http://a.test/"),
        ] {
            assert_eq!(host(method, target, &a), Err(400), "{method} {target}");
        }
        assert_eq!(host("GET", "/", &[]), Err(400));
        assert_eq!(host("GET", "http://a.test/", &[]), Err(400));
        assert_eq!(host("GET", "/", &[a[0], a[0]]), Err(400));
    }

    #[test]
    fn only_chunked_is_a_coding() {
        let with = |values: &[&'static str]| {
            let mut fields = vec![("host", "a")];
            fields.extend(values.iter().map(|value| ("transfer-encoding", *value)));
            checked("POST", "/", &fields).map(|_| ())
        };
        assert_eq!(with(&["chunked"]), Ok(()));
        assert_eq!(with(&["CHUNKED"]), Ok(()));
        for values in [
            &["gzip, chunked"][..],
            &["identity, chunked"],
            &["chunked, chunked"],
            &["gzip", "chunked"],
            &["chunked", "chunked"],
            &["xchunked"],
            &["chunked;q=1"],
            &[""],
        ] {
            assert_eq!(with(values), Err(501), "{values:?}");
        }
    }

    #[test]
    fn a_length_is_passed_on_in_one_way() {
        let with = |values: &[&'static str]| {
            let mut fields = vec![("host", "a")];
            fields.extend(values.iter().map(|value| ("content-length", *value)));
            let (_, headers) = checked("POST", "/", &fields)?;
            let all: Vec<_> = headers.get_all(CONTENT_LENGTH).iter().collect();
            assert_eq!(all.len(), 1);
            Ok(all[0].to_str().unwrap().to_owned())
        };
        assert_eq!(with(&["2"]).unwrap(), "2");
        assert_eq!(with(&["002"]).unwrap(), "2");
        assert_eq!(with(&["2", "2"]).unwrap(), "2");
        for values in [
            &["+2"][..],
            &["-2"],
            &["2, 2"],
            &["0x2"],
            &["2 2"],
            &[""],
            &["2", "3"],
            &["9223372036854775808"],
        ] {
            assert_eq!(with(values), Err(400), "{values:?}");
        }
    }

    #[test]
    fn what_is_not_for_the_service_is_taken_out_or_refused() {
        let a = ("host", "a");
        let offered = |value: &'static str| {
            let fields = [a, ("upgrade", value), ("http2-settings", "AAMA")];
            let (_, headers) = checked("GET", "/", &fields).unwrap();
            assert!(!headers.contains_key("http2-settings"));
            headers.get(UPGRADE).map(|v| v.to_str().unwrap().to_owned())
        };
        assert_eq!(offered("h2c"), None);
        assert_eq!(offered("H2C , websocket").unwrap(), "websocket");
        assert_eq!(offered("websocket").unwrap(), "websocket");
        let code = |fields: &[(&str, &str)]| checked("POST", "/", fields).map(|_| ());
        assert_eq!(code(&[a, ("expect", "100-Continue")]), Ok(()));
        assert_eq!(code(&[a, ("expect", "200-x")]), Err(417));
        assert_eq!(code(&[a, ("trailer", "X-T")]), Ok(()));
        assert_eq!(code(&[a, ("trailer", "X-T, content-length")]), Err(400));
    }

    #[test]
    fn an_answer_whose_end_is_in_doubt_is_the_last() {
        let plain = |status: u16, fields: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, value.parse().unwrap());
            }
            is_plainly_framed(StatusCode::from_u16(status).unwrap(), &headers)
        };
        let (length, chunked) = (("content-length", "5"), ("transfer-encoding", "chunked"));
        assert!(plain(200, &[]));
        assert!(plain(200, &[length]));
        assert!(plain(200, &[chunked]));
        assert!(plain(304, &[length]));
        assert!(plain(204, &[("content-length", "0")]));
        assert!(!plain(200, &[length, chunked]));
        assert!(!plain(200, &[length, length]));
        assert!(!plain(200, &[("content-length", "5, 5")]));
        assert!(!plain(200, &[("transfer-encoding", "gzip, chunked")]));
        assert!(!plain(204, &[length]));
        assert!(!plain(204, &[chunked]));
        assert!(!plain(304, &[chunked]));
    }

    proptest! {
        /// Whatever passes has one host that is one, and one plain length.
        #[test]
        fn what_passes_is_plain(
            host in "[a-c.:0-9\\[\\]@/\" ]{0,8}",
            length in "[0-9+, x]{0,20}",
            twice in any::<bool>(),
        ) {
            let mut fields = vec![("host", host.as_str()), ("content-length", length.as_str())];
            if twice {
                fields.push(("content-length", length.as_str()));
            }
            if let Ok((host, headers)) = checked("POST", "/", &fields) {
                prop_assert!(host.is_none_or(|host| is_host(host.as_bytes())));
                let all: Vec<_> = headers.get_all(CONTENT_LENGTH).iter().collect();
                prop_assert_eq!(all.len(), 1);
                let number = plain_length(all[0]).unwrap();
                prop_assert_eq!(all[0].to_str().unwrap(), number.to_string());
            }
        }
    }
}
