//! Where a request comes from: a program, a page of this server, or a page of another site that
//! makes a browser ask.

use std::net::IpAddr;

use hyper::header::{HOST, HeaderMap, ORIGIN};

/// Whether a browser sends the request for a page that came from elsewhere. Programs send neither
/// header. A browser's own word goes first: `Origin` and `Host` differ behind some proxies.
pub fn is_cross_site(headers: &HeaderMap) -> bool {
    let mut fetch_site = headers.get_all("sec-fetch-site").iter().peekable();
    if fetch_site.peek().is_some() {
        return fetch_site.any(|site| site != "same-origin" && site != "none");
    }
    let Some(origin) = headers.get(ORIGIN) else {
        return false;
    };
    let origin = origin.to_str().ok().and_then(|o| o.split_once("://"));
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    origin.map(|(_, host)| host) != host
}

/// Whether the request asks for this server by an address, as `localhost` or by `own`
/// (`webServer.addr`). Another name may be one that a stranger lets point here, so that a browser
/// takes us for a part of their site (DNS rebinding). Browsers always send `Host`.
pub fn asks_for_us(headers: &HeaderMap, own: &str) -> bool {
    headers
        .get_all(HOST)
        .iter()
        .all(|host| host.to_str().is_ok_and(|host| is_ours(host, own)))
}

/// `host`: name or address, perhaps with a port.
fn is_ours(host: &str, own: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        let Some((ip, port)) = rest.split_once(']') else {
            return false;
        };
        return is_ip(ip) && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        Some(_) => return false,
        None => host,
    };
    !name.contains(':')
        && (is_ip(name)
            || name.eq_ignore_ascii_case("localhost")
            || !name.is_empty() && name.eq_ignore_ascii_case(own))
}

fn is_ip(text: &str) -> bool {
    // A zone names an interface of this machine.
    let ip = text.split_once('%').map_or(text, |(ip, _)| ip);
    ip.parse::<IpAddr>().is_ok()
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn pages_of_other_sites_are_told_from_our_own() {
        let with = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("127.0.0.1:7400"));
            for (name, value) in pairs {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            is_cross_site(&headers)
        };
        assert!(!with(&[]));
        assert!(!with(&[("origin", "http://127.0.0.1:7400")]));
        assert!(!with(&[("sec-fetch-site", "same-origin")]));
        assert!(!with(&[("sec-fetch-site", "none")]));
        // Behind a proxy that asks by another name.
        assert!(!with(&[
            ("sec-fetch-site", "same-origin"),
            ("origin", "https://frp.example")
        ]));
        assert!(with(&[("origin", "http://evil.example")]));
        assert!(with(&[("origin", "null")]));
        for site in ["cross-site", "same-site", ""] {
            assert!(with(&[("sec-fetch-site", site)]), "{site:?}");
        }
    }

    #[test]
    fn names_that_anybody_can_point_here_are_not_ours() {
        let asks = |host: &str, own: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_str(host).unwrap());
            asks_for_us(&headers, own)
        };
        for host in [
            "127.0.0.1:7400",
            "192.168.0.1",
            "[::1]:7400",
            "[fe80::1%25eth0]",
            "localhost:7400",
            "LOCALHOST",
            "Office.lan:7400",
        ] {
            assert!(asks(host, "office.lan"), "{host}");
        }
        for host in [
            "",
            ":7400",
            "evil.example:7400",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "127.0.0.1:x",
            "[evil.example]:1",
            "[::1",
            "[::1]evil",
            "::1",
        ] {
            assert!(!asks(host, "office.lan"), "{host}");
            assert!(!asks(host, ""), "{host}");
        }
        assert!(asks_for_us(&HeaderMap::new(), ""), "no browser");
        let mut two = HeaderMap::new();
        two.append(HOST, HeaderValue::from_static("127.0.0.1"));
        two.append(HOST, HeaderValue::from_static("evil.example"));
        assert!(!asks_for_us(&two, ""));
    }
}
