//! The value of `Host`, and the same in a target: what may be one, and when two are the same.

use hyper::http::uri::Authority;

/// Whether this may be the value of `Host`: a name or an address, perhaps with a port
/// (RFC 9110, section 7.2).
pub fn is_host(host: &[u8]) -> bool {
    let name_and_port = match host {
        [b'[', rest @ ..] => {
            let end = rest.iter().position(|byte| *byte == b']');
            let Some((inside, behind)) = end.and_then(|end| rest.split_at_checked(end)) else {
                return false;
            };
            let is_inside = |b: &u8| b.is_ascii_alphanumeric() || b":.%-_~".contains(b);
            if inside.is_empty() || !inside.iter().all(is_inside) {
                return false;
            }
            match behind {
                [b']'] => return true,
                [b']', b':', port @ ..] => (&b"x"[..], port),
                _ => return false,
            }
        }
        _ => match host.iter().position(|byte| *byte == b':') {
            Some(colon) => match host.split_at(colon) {
                (name, [_, port @ ..]) => (name, port),
                (name, []) => (name, &b""[..]),
            },
            None => (host, &b""[..]),
        },
    };
    let (name, port) = name_and_port;
    // Letters, digits and what RFC 3986 has for names; browsers send others as punycode.
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+;=%".contains(b);
    name.iter().all(is_name) && is_port(port)
}

/// Empty, or digits that are a port.
fn is_port(port: &[u8]) -> bool {
    port.is_empty()
        || port.iter().all(u8::is_ascii_digit)
            && std::str::from_utf8(port).is_ok_and(|port| port.parse::<u16>().is_ok())
}

/// `HOST[:PORT]` of an authority, without what stands before an `@`.
pub fn host_of(authority: &Authority) -> &str {
    let all = authority.as_str();
    all.rsplit_once('@').map_or(all, |(_, host)| host)
}

/// `host` without its port; brackets stay.
pub fn without_port(host: &[u8]) -> &[u8] {
    match host.iter().rposition(|byte| *byte == b':') {
        Some(colon) if !host.ends_with(b"]") => host.get(..colon).unwrap_or_default(),
        _ => host,
    }
}

/// The host without its port, in lower case, without the final dot (frp `pkg/util/http`).
pub fn canonical_host(host: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for host in [
            "",
            "a",
            "a.test:80",
            "a.test.",
            "A_b-c",
            "[::1]",
            "[::1]:80",
            "1.2.3.4:1",
            "a:",
            "[fe80::1%25eth0]:7",
        ] {
            assert!(is_host(host.as_bytes()), "{host:?}");
        }
        for host in [
            "a.test:99999",
            "a.test:b.test",
            "a.test:80/x",
            "a/x",
            "a@b",
            "a, b",
            "a b",
            "a:80:80",
            "a:\"><script>",
            "a\"",
            "a?b",
            "a#b",
            "a\\b",
            "[::1",
            "[]",
            "[::1]x",
            "[a/b]",
            "a:+1",
            "a:-1",
            "a: 80",
            "::1",
            "a<b",
            "a\u{e4}",
            "a|b",
        ] {
            assert!(!is_host(host.as_bytes()), "{host:?}");
        }
        assert!(!is_host(b"a.test\xff"));
    }

    #[test]
    fn hosts_are_compared_without_port_case_and_dot() {
        let canonical = canonical_host;
        assert_eq!(canonical("A.Example.:8443"), "a.example");
        assert_eq!(canonical("[::1]:80"), "::1");
        assert_eq!(canonical("::1"), "::1");
        assert_eq!(canonical("a.example"), "a.example");
    }
}
