//! Where a request comes from: a program, a page of this server, or a page of another site that
//! makes a browser ask.

use std::net::IpAddr;

use hyper::header::{HOST, HeaderMap, HeaderValue, ORIGIN, REFERER, USER_AGENT};

/// Whether the request may change something: it comes from a program, or from a browser that shows
/// that a page of this server asks (or that the user typed the address). Pages of other sites have
/// a browser send it, too, with the password that it knows.
///
/// A browser's own word goes first: `Origin` and `Host` differ behind some proxies. Old ones, and
/// all of them where they were told a plain `http` name, don't give it, and for an image say not
/// even what page it is for; so what calls itself a browser has to show something.
pub(super) fn may_change(headers: &HeaderMap, allowed: &[String]) -> bool {
    let mut fetch_site = headers.get_all("sec-fetch-site").iter().peekable();
    if fetch_site.peek().is_some() {
        return fetch_site.all(|site| site == "same-origin" || site == "none");
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let page = headers.get(ORIGIN).or_else(|| headers.get(REFERER));
    let Some(page) = page else {
        return !is_browser(headers);
    };
    let rest = page.to_str().ok().and_then(|page| page.split_once("://"));
    let place = rest.and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
    place.is_some_and(|place| Some(place) == host || is_allowed(place, allowed))
}

/// All browsers begin with this word, for historical reasons. So does PowerShell.
fn is_browser(headers: &HeaderMap) -> bool {
    let agent = headers.get(USER_AGENT).map(HeaderValue::as_bytes);
    let agent = agent.unwrap_or_default();
    let is_shell = agent.windows(11).any(|word| word == b"PowerShell/");
    (agent.starts_with(b"Mozilla/") || agent.starts_with(b"Opera/")) && !is_shell
}

/// Whether the request asks for this server by an address, by a name that can be no stranger's, by
/// `own` (`webServer.addr`), or by one of `allowed` (`webServer.allowedHosts`). Another name may be
/// one that a stranger lets point here, so that a browser takes us for a part of their site (DNS
/// rebinding). Browsers always send `Host`.
pub(super) fn asks_for_us(headers: &HeaderMap, own: &str, allowed: &[String]) -> bool {
    let is_ours = |name: &str| is_local(name) || name.eq_ignore_ascii_case(own);
    let is_ours = |host: &str| name_of(host).is_some_and(is_ours) || is_allowed(host, allowed);
    let mut hosts = headers.get_all(HOST).iter();
    hosts.all(|host| host.to_str().is_ok_and(is_ours))
}

/// An address, or a name that nobody can register: without a dot (a container's, a machine's of
/// this network), or below a domain that the public DNS doesn't have (RFC 6761, RFC 6762, RFC 8375,
/// ICANN for `internal`; `lan` by custom).
fn is_local(name: &str) -> bool {
    const PRIVATE: [&str; 5] = ["localhost", "local", "internal", "lan", "home.arpa"];
    let plain = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let below = |domain: &&str| {
        let label = plain
            .strip_suffix(*domain)
            .and_then(|rest| rest.strip_suffix('.'));
        label.is_some_and(|label| !label.is_empty())
    };
    is_ip(name) || !plain.is_empty() && !plain.contains('.') || PRIVATE.iter().any(below)
}

/// Whether `host`, perhaps with a port, is one of `allowed`: the same name, `*.` and what a longer
/// name ends with, or `*`.
fn is_allowed(host: &str, allowed: &[String]) -> bool {
    let Some(name) = name_of(host) else {
        return false;
    };
    let plain = |name: &str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let name = plain(name);
    allowed.iter().any(|entry| {
        let entry = plain(name_of(entry).unwrap_or(entry));
        match entry.strip_prefix('*') {
            Some("") => true,
            Some(end) => end.starts_with('.') && name.len() > end.len() && name.ends_with(end),
            None => name == entry,
        }
    })
}

/// The name or address of a `Host`, without its port; `None` where it is none.
fn name_of(host: &str) -> Option<&str> {
    if let Some(rest) = host.strip_prefix('[') {
        let (ip, port) = rest.split_once(']')?;
        let is_whole = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return Some(ip).filter(|ip| is_whole && is_ip(ip));
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) => Some(name).filter(|_| is_port(port))?,
        None => host,
    };
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-_.*".contains(&b);
    Some(name).filter(|name| !name.is_empty() && name.bytes().all(is_name))
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

    fn with(pairs: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("127.0.0.1:7400"));
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        may_change(&headers, &["frp.example".to_owned()])
    }

    #[test]
    fn pages_of_other_sites_are_told_from_our_own() {
        assert!(with(&[]));
        assert!(with(&[("origin", "http://127.0.0.1:7400")]));
        assert!(with(&[("sec-fetch-site", "same-origin")]));
        assert!(with(&[("sec-fetch-site", "none")]));
        // Behind a proxy that asks by another name.
        assert!(with(&[
            ("sec-fetch-site", "same-origin"),
            ("origin", "https://frp.other")
        ]));
        assert!(with(&[("origin", "https://frp.example")]));
        assert!(!with(&[("origin", "http://evil.example")]));
        assert!(!with(&[("origin", "null")]));
        assert!(!with(&[("referer", "http://evil.example/127.0.0.1:7400")]));
        assert!(!with(&[
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "cross-site")
        ]));
        for site in ["cross-site", "same-site", ""] {
            assert!(!with(&[("sec-fetch-site", site)]), "{site:?}");
        }
    }

    #[test]
    fn a_browser_shows_what_page_asks() {
        let firefox = (
            "user-agent",
            "Mozilla/5.0 (X11; Linux) Gecko/2010 Firefox/80.0",
        );
        assert!(!with(&[firefox]));
        assert!(with(&[
            firefox,
            ("referer", "http://127.0.0.1:7400/static/#/")
        ]));
        assert!(!with(&[
            firefox,
            ("referer", "http://127.0.0.1:7400.evil.example/")
        ]));
        assert!(!with(&[
            firefox,
            ("referer", "http://127.0.0.1:7400@evil.example/")
        ]));
        assert!(with(&[firefox, ("origin", "http://127.0.0.1:7400")]));
        assert!(with(&[firefox, ("sec-fetch-site", "none")]));
        assert!(!with(&[("user-agent", "Opera/9.80 (X11) Presto/2.12")]));
        for program in [
            "curl/8.5.0",
            "python-requests/2.31",
            "Go-http-client/1.1",
            "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.19041",
            "",
        ] {
            assert!(with(&[("user-agent", program)]), "{program}");
        }
    }

    #[test]
    fn names_that_anybody_can_point_here_are_not_ours() {
        let asks = |host: &str, own: &str, allowed: &[&str]| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_str(host).unwrap());
            let allowed: Vec<_> = allowed.iter().map(|&name| name.to_owned()).collect();
            asks_for_us(&headers, own, &allowed)
        };
        for host in [
            "127.0.0.1:7400",
            "192.168.0.1",
            "[::1]:7400",
            "[fe80::1%25eth0]",
            "localhost:7400",
            "LOCALHOST",
            "frpc:7400",
            "my_frpc.",
            "a.localhost",
            "Box.local:7400",
            "frpc.internal",
            "router.lan",
            "a.b.home.arpa",
            "Office.example:7400",
        ] {
            assert!(asks(host, "office.example", &[]), "{host}");
        }
        for host in [
            "",
            ":7400",
            ".local",
            "evil.example:7400",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "local.evil",
            "evillan.example",
            "xhome.arpa",
            "a.arpa",
            "127.0.0.1:x",
            "127.0.0.1@evil.example",
            "frpc@evil.example",
            "frpc/evil.example",
            "[evil.example]:1",
            "[::1",
            "[::1]evil",
            "::1",
        ] {
            assert!(!asks(host, "", &[]), "{host}");
            assert!(
                !asks(host, "office.example", &["*.office.example"]),
                "{host}"
            );
        }
        let allowed = ["Frp.example", "*.corp.example"];
        assert!(asks("frp.example:7400", "", &allowed));
        assert!(asks("a.corp.example", "", &allowed));
        assert!(!asks("corp.example", "", &allowed));
        assert!(!asks("evilcorp.example", "", &allowed));
        assert!(!asks("a.frp.example", "", &allowed));
        assert!(asks("any.example", "", &["*"]));
        assert!(asks_for_us(&HeaderMap::new(), "", &[]), "no browser");
        let mut two = HeaderMap::new();
        two.append(HOST, HeaderValue::from_static("127.0.0.1"));
        two.append(HOST, HeaderValue::from_static("evil.example"));
        assert!(!asks_for_us(&two, "", &[]));
    }
}
