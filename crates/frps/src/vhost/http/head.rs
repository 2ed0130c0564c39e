//! Heads of requests and answers as they pass: what is taken out, what is put in (Go
//! `net/http/httputil/reverseproxy.go`, as frp `pkg/util/vhost/http.go` sets it up).
//!
//! Three things that Go adds or takes on the way are not done here, since they are of no use to
//! anybody: asking the service for gzip on its own account, guessing a `Content-Type` that the
//! service did not give, and removing what it cannot parse from a query.

use std::collections::BTreeMap;
use std::net::IpAddr;

use frp_http::basic::Login;
use frp_http::fields::{Forwarding, join_cookies, may_be_set, pass_on, remove_hop_by_hop};
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::{Method, Uri, Version, http};

use crate::proxy::spec::HttpSettings;

/// What a proxy has done to the requests of its routes and to their answers.
#[derive(Debug, Default)]
pub(crate) struct RouteConfig {
    /// `hostHeaderRewrite`
    host: Option<HeaderValue>,
    /// `requestHeaders.set`
    request: Vec<(HeaderName, HeaderValue)>,
    /// `responseHeaders.set`
    response: Vec<(HeaderName, HeaderValue)>,
    /// `httpUser`, `httpPassword`
    pub(super) login: Login,
}

/// A header of the proxy cannot be sent. frp starts such a proxy and fails each request. The value
/// may be a credential.
#[derive(Debug, thiserror::Error)]
#[error("{key}: [{name}] is not a valid header")]
pub(crate) struct BadHeader {
    key: &'static str,
    name: String,
}

impl RouteConfig {
    pub(crate) fn new(settings: &HttpSettings) -> Result<Self, BadHeader> {
        let host = match settings.host_header_rewrite.as_str() {
            "" => None,
            host => Some(value("hostHeaderRewrite", "Host", host)?),
        };
        Ok(Self {
            host,
            request: headers("requestHeaders.set", &settings.request_headers)?,
            response: headers("responseHeaders.set", &settings.response_headers)?,
            login: Login::new(&settings.login.user, settings.login.password.expose()),
        })
    }

    /// Makes a user's request the one that the service gets.
    ///
    /// `host` is where the user wants to go, `peer` the user's address. The target is written as
    /// the user did: `http://HOST/PATH` where it took us for its HTTP proxy.
    pub(super) fn request(&self, head: &mut http::request::Parts, host: HeaderValue, peer: IpAddr) {
        let headers = &mut head.headers;
        pass_on(headers, Forwarding::Add("http"), Some(peer), &host);
        if head.version == Version::HTTP_2 {
            join_cookies(headers);
        }
        let host = self.host.clone().unwrap_or(host);
        if head.uri.authority().is_some() {
            head.uri = rewritten(&head.uri, head.version, &host);
        }
        headers.insert(HOST, host);
        for (name, value) in &self.request {
            headers.insert(name, value.clone());
        }
        head.version = Version::HTTP_11;
    }

    /// Makes the service's answer the one that the user gets.
    pub(super) fn response(&self, head: &mut http::response::Parts) {
        remove_hop_by_hop(&mut head.headers);
        self.set_response(head);
    }

    /// The part of [`Self::response`] that an answer gets which changes the protocol.
    pub(super) fn set_response(&self, head: &mut http::response::Parts) {
        for (name, value) in &self.response {
            head.headers.insert(name, value.clone());
        }
        head.version = Version::HTTP_11;
    }
}

/// Whether a user took us for its HTTP proxy: then credentials and refusals are those of proxies.
pub(super) fn is_proxied(head: &http::request::Parts) -> bool {
    // Over HTTP/2 every request has an authority, as every one over HTTP/1.1 has a Host.
    let named = head.version < Version::HTTP_2 && head.uri.authority().is_some();
    named || head.method == Method::CONNECT
}

fn headers(
    key: &'static str,
    set: &BTreeMap<String, String>,
) -> Result<Vec<(HeaderName, HeaderValue)>, BadHeader> {
    let mut parsed = Vec::with_capacity(set.len());
    for (name, text) in set {
        let value = value(key, name, text)?;
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
            return Err(BadHeader {
                key,
                name: name.clone(),
            });
        };
        if may_be_set(&name) {
            parsed.push((name, value));
        }
    }
    Ok(parsed)
}

fn value(key: &'static str, name: &str, text: &str) -> Result<HeaderValue, BadHeader> {
    let mut value = HeaderValue::from_bytes(text.trim().as_bytes()).map_err(|_| BadHeader {
        key,
        name: name.to_owned(),
    })?;
    // They may be credentials.
    value.set_sensitive(true);
    Ok(value)
}

/// The target as the service gets it, where the user's has an authority.
fn rewritten(uri: &Uri, version: Version, host: &HeaderValue) -> Uri {
    let slash = PathAndQuery::from_static("/");
    let path = uri.path_and_query().cloned().unwrap_or(slash);
    let authority = Authority::try_from(host.as_bytes()).ok();
    match authority.filter(|_| version < Version::HTTP_2) {
        Some(authority) => {
            let mut parts = http::uri::Parts::default();
            parts.scheme = Some(Scheme::HTTP);
            parts.authority = Some(authority);
            parts.path_and_query = Some(path);
            Uri::from_parts(parts).unwrap_or_default()
        }
        None => Uri::from(path),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use hyper::header::HeaderMap;
    use hyper::{Request, Response};

    fn request(head: http::request::Builder, config: &RouteConfig) -> http::request::Parts {
        let (mut head, ()) = head.body(()).unwrap().into_parts();
        let host = HeaderValue::from_static("a.b:80");
        config.request(&mut head, host, "1.2.3.4".parse().unwrap());
        head
    }

    fn lines(headers: &HeaderMap) -> Vec<String> {
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", value.to_str().unwrap())
        };
        let mut lines: Vec<String> = headers.iter().map(line).collect();
        lines.sort();
        lines
    }

    #[test]
    fn a_request_says_where_it_came_from() {
        let head = Request::get("/x?a;b=%zz")
            .header("host", "a.b:80")
            .header("x-forwarded-for", "9.9.9.9")
            .header("x-forwarded-for", "8.8.8.8")
            .header("x-forwarded-proto", "https")
            .header("forwarded", "for=7.7.7.7");
        let head = request(head, &RouteConfig::default());
        assert_eq!(head.uri, "/x?a;b=%zz");
        assert_eq!(
            lines(&head.headers),
            [
                "host: a.b:80",
                "x-forwarded-for: 9.9.9.9, 8.8.8.8, 1.2.3.4",
                "x-forwarded-host: a.b:80",
                "x-forwarded-proto: http",
            ]
        );
    }

    #[test]
    fn what_is_for_one_hop_ends_here() {
        let head = Request::get("/")
            .header("connection", "close, X-Mine ,host")
            .header("x-mine", "1")
            .header("keep-alive", "5")
            .header("proxy-connection", "keep-alive")
            .header("proxy-authorization", "Basic YTpi")
            .header("te", "deflate, trailers")
            .header("upgrade", "ignored")
            .header("authorization", "kept");
        let head = request(head, &RouteConfig::default());
        assert_eq!(
            lines(&head.headers)[..3],
            ["authorization: kept", "host: a.b:80", "te: trailers"]
        );
        assert_eq!(head.headers.len(), 6);

        let answer = Response::builder()
            .header("connection", "x-mine")
            .header("x-mine", "1")
            .header("transfer-encoding", "chunked")
            .header("content-length", "5")
            .header("trailer", "x-sum");
        let (mut head, ()) = answer.body(()).unwrap().into_parts();
        RouteConfig::default().response(&mut head);
        assert_eq!(lines(&head.headers), ["trailer: x-sum"]);
    }

    #[test]
    fn a_wish_to_upgrade_passes() {
        let head = Request::get("/")
            .header("connection", "keep-alive, upgrade")
            .header("upgrade", "websocket");
        let head = request(head, &RouteConfig::default());
        assert_eq!(head.headers["connection"], "Upgrade");
        assert_eq!(head.headers["upgrade"], "websocket");
    }

    #[test]
    fn the_proxys_headers_are_set_and_some_never() {
        let settings = HttpSettings {
            host_header_rewrite: "inner".into(),
            request_headers: [("x-A", " b "), ("Host", "no"), ("content-length", "9")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            ..HttpSettings::default()
        };
        let config = RouteConfig::new(&settings).unwrap();
        let head = request(Request::get("/").header("x-a", "theirs"), &config);
        assert_eq!(head.headers["x-a"], "b");
        assert_eq!(head.headers["host"], "inner");
        assert_eq!(head.headers["x-forwarded-host"], "a.b:80");
        assert!(!head.headers.contains_key("content-length"));

        let settings = HttpSettings {
            response_headers: [("a b".to_owned(), "c".to_owned())].into(),
            ..HttpSettings::default()
        };
        let text = RouteConfig::new(&settings).unwrap_err().to_string();
        assert_eq!(text, "responseHeaders.set: [a b] is not a valid header");
    }

    #[test]
    fn a_request_to_a_proxy_stays_one_and_http2_becomes_plain() {
        let rewrite = RouteConfig {
            host: Some(HeaderValue::from_static("inner")),
            ..RouteConfig::default()
        };
        let proxied = || Request::get("http://u:p@a.b:80/x?y");
        assert_eq!(
            request(proxied(), &RouteConfig::default()).uri,
            "http://a.b:80/x?y"
        );
        assert_eq!(request(proxied(), &rewrite).uri, "http://inner/x?y");
        let h2 = proxied()
            .version(Version::HTTP_2)
            .header("cookie", "a=b")
            .header("cookie", "c=d");
        let h2 = request(h2, &rewrite);
        assert_eq!(h2.uri, "/x?y");
        assert_eq!(h2.headers.get_all("cookie").iter().count(), 1);
        assert_eq!(h2.headers["cookie"], "a=b; c=d");
    }
}
