//! Addresses as people write them: with brackets, with a zone, with a port behind them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An IP address, perhaps with the zone that it is in (RFC 4007, section 11): `fe80::1%eth0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopedIp {
    /// The address.
    pub ip: IpAddr,
    /// Name or number of the network interface; of IPv6 only.
    pub zone: Option<String>,
}

/// The text is no IP address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an IP address")]
pub struct NotAnIp;

impl FromStr for ScopedIp {
    type Err = NotAnIp;

    /// With or without brackets.
    fn from_str(text: &str) -> Result<Self, NotAnIp> {
        let text = without_brackets(text);
        let (ip, zone) = match text.split_once('%') {
            Some((ip, zone)) => (ip, Some(zone)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| NotAnIp)?;
        if zone.is_some_and(|zone| zone.is_empty() || ip.is_ipv4()) {
            return Err(NotAnIp);
        }
        let zone = zone.map(str::to_owned);
        Ok(Self { ip, zone })
    }
}

impl fmt::Display for ScopedIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.zone {
            Some(zone) => write!(f, "{}%{zone}", self.ip),
            None => self.ip.fmt(f),
        }
    }
}

/// `::1` from `[::1]`; other texts as they are.
pub fn without_brackets(host: &str) -> &str {
    let inner = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    inner.unwrap_or(host)
}

/// The host of `host:port`, and the port, where the text has that form: digits behind the only colon or
/// behind `]`. What is more than a port can be is `Some(Err)`.
pub fn split_port(text: &str) -> (&str, Option<Result<u16, NotAPort>>) {
    let colon = match text.strip_prefix('[').and_then(|rest| rest.rfind("]:")) {
        Some(at) => at + 2,
        None => match text.find(':') {
            Some(at) if !text.get(at + 1..).unwrap_or_default().contains(':') => at,
            _ => return (text, None),
        },
    };
    let (host, port) = text.split_at(colon);
    let port = port.strip_prefix(':').unwrap_or(port);
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return (text, None);
    }
    (
        without_brackets(host),
        Some(port.parse().map_err(|_| NotAPort)),
    )
}

/// The digits are more than 65535.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAPort;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_may_have_brackets_and_a_zone() {
        for (text, shown) in [
            ("127.0.0.1", Some("127.0.0.1")),
            ("::1", Some("::1")),
            ("[::1]", Some("::1")),
            ("fe80::1%eth0", Some("fe80::1%eth0")),
            ("[fe80::1%2]", Some("fe80::1%2")),
            ("127.0.0.1%lo", None),
            ("fe80::1%", None),
            ("[::1", None),
            ("a.example", None),
            ("", None),
        ] {
            let parsed = text.parse::<ScopedIp>().ok();
            assert_eq!(
                parsed.map(|ip| ip.to_string()).as_deref(),
                shown,
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_port_is_told_from_the_rest_of_an_address() {
        for (text, host, port) in [
            ("127.0.0.1:22", "127.0.0.1", Some(Ok(22))),
            ("[::1]:22", "::1", Some(Ok(22))),
            ("[fe80::1%eth0]:22", "fe80::1%eth0", Some(Ok(22))),
            (":7000", "", Some(Ok(7000))),
            ("a.example:7000", "a.example", Some(Ok(7000))),
            ("a:70000", "a", Some(Err(NotAPort))),
            ("::1:22", "::1:22", None),
            ("[::1]", "[::1]", None),
            ("a.example", "a.example", None),
            ("a.example:", "a.example:", None),
            ("a:ssh", "a:ssh", None),
            ("http://a", "http://a", None),
        ] {
            assert_eq!(split_port(text), (host, port), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "[\\[\\]:%0-9a-z.]{0,24}") {
            let (host, _) = split_port(&text);
            let _ = host.parse::<ScopedIp>();
        }
    }
}
