//! What becomes of a request's and an answer's header on the way through
//! (Go `net/http/httputil/reverseproxy.go`, which frp's plugins are made of).

use std::net::IpAddr;

use frp_net::http_head::tokens;
use hyper::HeaderMap;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, FORWARDED, HOST, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

pub(super) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What the service learns of the way that a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forwarding {
    /// Nothing (`http2http`).
    Drop,
    /// What the request says itself (`http2https`).
    Keep,
    /// That, and whom it came from, to which host, by HTTPS (`https2http`, `https2https`).
    Add,
}

/// The protocol that the sender wants to switch to.
pub(super) fn upgrade_of(headers: &HeaderMap) -> Option<HeaderValue> {
    has_token(headers, &CONNECTION, "upgrade")
        .then(|| headers.get(UPGRADE).cloned())
        .flatten()
        .filter(|protocol| !protocol.is_empty())
}

/// Removes what is meant for the next hop only. `Trailer` stays: the fields that it announces are
/// passed on. A length beside `Transfer-Encoding` meant nothing (RFC 9112, 6.3) and must not count
/// when that is gone.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    let named: Vec<HeaderName> = tokens(headers, &CONNECTION)
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [
        CONNECTION,
        HeaderName::from_static("proxy-connection"),
        HeaderName::from_static("keep-alive"),
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRANSFER_ENCODING,
        UPGRADE,
    ] {
        headers.remove(name);
    }
}

/// Turns a user's header into the service's, but for `Host` and what the settings add. `upgrade`
/// is the protocol that the user wants to switch to, `host` the one that the user asked for.
pub(super) fn rewrite(
    headers: &mut HeaderMap,
    upgrade: Option<&HeaderValue>,
    forwarding: Forwarding,
    source: Option<IpAddr>,
    host: &HeaderValue,
) {
    let trailers = has_token(headers, &TE, "trailers");
    // Whatever the request says of its way is not for this hop to lose.
    let prior = [FORWARDED_FOR, FORWARDED_HOST, FORWARDED_PROTO].map(|name| {
        let values: Vec<HeaderValue> = headers.get_all(&name).iter().cloned().collect();
        headers.remove(&name);
        (name, values)
    });
    strip_hop_by_hop(headers);
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, protocol.clone());
    }
    headers.remove(FORWARDED);
    match forwarding {
        Forwarding::Drop => {}
        Forwarding::Keep => {
            for (name, values) in prior {
                for value in values {
                    headers.append(name.clone(), value);
                }
            }
        }
        Forwarding::Add => {
            let [(_, way), ..] = prior;
            let source = source.map(|ip| ip.to_string()).unwrap_or_default();
            let way = way.iter().map(HeaderValue::as_bytes);
            let way = way.chain([source.as_bytes()]).filter(|hop| !hop.is_empty());
            let way = way.collect::<Vec<_>>().join(&b", "[..]);
            if let Some(way) = HeaderValue::from_bytes(&way)
                .ok()
                .filter(|way| !way.is_empty())
            {
                headers.insert(FORWARDED_FOR, way);
            }
            headers.insert(FORWARDED_HOST, host.clone());
            headers.insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
        }
    }
}

/// HTTP/2 may split a cookie over several fields; HTTP/1.1 has one (RFC 9113, 8.2.3).
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    let parts: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if parts.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&parts.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
}

/// Whether the settings may set the field; Go's client overrules these.
pub(super) fn may_be_set(name: &HeaderName) -> bool {
    ![HOST, CONTENT_LENGTH, TRANSFER_ENCODING, TRAILER].contains(name)
}

/// The host without its port, in lower case, without the final dot (frp `pkg/util/http`).
pub(super) fn canonical_host(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    let before = |rest: &str, end| rest.split(end).next().unwrap_or_default().to_owned();
    let mut bare = match (host.strip_prefix('['), host.matches(':').count()) {
        (Some(rest), _) if host.contains("]:") => before(rest, ']'),
        (_, 1) => before(&host, ':'),
        _ => host,
    };
    if bare.ends_with('.') {
        bare.pop();
    }
    bare
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token.as_bytes()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        map
    }

    fn rewritten(forwarding: Forwarding, lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = headers(lines);
        let upgrade = upgrade_of(&map);
        let source = Some("192.0.2.7".parse().unwrap());
        let host = HeaderValue::from_static("a.example:8443");
        rewrite(&mut map, upgrade.as_ref(), forwarding, source, &host);
        map
    }

    #[test]
    fn hop_by_hop_fields_end_here_also_those_that_connection_names() {
        let given = [
            ("connection", "keep-alive, X-Mine"),
            ("x-mine", "1"),
            ("keep-alive", "5"),
            ("proxy-authorization", "Basic eA=="),
            ("te", "gzip"),
            ("upgrade", "h2c"),
            ("accept", "*/*"),
        ];
        let expected = headers(&[("accept", "*/*")]);
        assert_eq!(rewritten(Forwarding::Keep, &given), expected);
    }

    #[test]
    fn a_length_beside_a_transfer_encoding_means_nothing() {
        let mut map = headers(&[("content-length", "3"), ("transfer-encoding", "chunked")]);
        strip_hop_by_hop(&mut map);
        assert!(map.is_empty());
        let length = [("content-length", "3")];
        let mut map = headers(&length);
        strip_hop_by_hop(&mut map);
        assert_eq!(map, headers(&length));
    }

    #[test]
    fn what_is_asked_for_end_to_end_is_put_back() {
        let given = [
            ("connection", "Upgrade, TE"),
            ("upgrade", "websocket"),
            ("te", "trailers, deflate"),
        ];
        let expected = headers(&[
            ("te", "trailers"),
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
        ]);
        assert_eq!(rewritten(Forwarding::Keep, &given), expected);
    }

    #[test]
    fn the_way_is_dropped_kept_or_prolonged() {
        let given = [
            ("forwarded", "for=1.1.1.1"),
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2, 3.3.3.3"),
            ("x-forwarded-host", "other"),
            ("x-forwarded-proto", "http"),
        ];
        assert!(rewritten(Forwarding::Drop, &given).is_empty());
        assert_eq!(rewritten(Forwarding::Keep, &given), headers(&given[1..]));
        let added = [
            ("x-forwarded-for", "1.1.1.1, 2.2.2.2, 3.3.3.3, 192.0.2.7"),
            ("x-forwarded-host", "a.example:8443"),
            ("x-forwarded-proto", "https"),
        ];
        assert_eq!(rewritten(Forwarding::Add, &given), headers(&added));
    }

    #[test]
    fn hosts_are_compared_without_port_case_and_dot() {
        let canonical = canonical_host;
        assert_eq!(canonical("A.Example.:8443"), "a.example");
        assert_eq!(canonical("[::1]:80"), "::1");
        assert_eq!(canonical("::1"), "::1");
        assert_eq!(canonical("a.example"), "a.example");
    }

    #[test]
    fn cookies_become_one_field() {
        let mut map = headers(&[("cookie", "a=1"), ("cookie", "b=2")]);
        join_cookies(&mut map);
        assert_eq!(map, headers(&[("cookie", "a=1; b=2")]));
    }
}
