//! `localAddr`: where a plugin's local service is.

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LocalAddr {
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// As a URL has it; without the port where the file gives none.
    pub(super) authority: String,
}

/// Why an address is none, in Go's words.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("localAddr: address {addr}: {why}")]
pub(crate) struct BadLocalAddr {
    addr: String,
    why: &'static str,
}

impl LocalAddr {
    /// The address is none after all.
    pub(super) fn bad(&self, why: &'static str) -> BadLocalAddr {
        BadLocalAddr {
            addr: self.authority.clone(),
            why,
        }
    }

    /// Parses `host:port`. An empty host is this one; without a port it is `default_port`.
    pub(super) fn parse(addr: &str, default_port: Option<u16>) -> Result<Self, BadLocalAddr> {
        let bad = |why| BadLocalAddr {
            addr: addr.to_owned(),
            why,
        };
        let (host, port) = match addr.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or_else(|| bad("missing ']'"))?,
            None => addr.split_at(addr.find(':').unwrap_or(addr.len())),
        };
        let port = match (port.strip_prefix(':'), default_port) {
            (Some(""), Some(default)) => default,
            (Some(port), _) if port.contains(':') => return Err(bad("too many colons in address")),
            (Some(port), _) => port.parse().map_err(|_| bad("invalid port"))?,
            (None, Some(default)) if port.is_empty() => default,
            (None, _) => return Err(bad("missing port in address")),
        };
        if host.is_empty() && default_port.is_some() {
            return Err(bad("missing host"));
        }
        Ok(Self {
            host: if host.is_empty() { "localhost" } else { host }.to_owned(),
            port,
            authority: addr.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(addr: &str, default: Option<u16>) -> Result<(String, u16), &'static str> {
        let target = LocalAddr::parse(addr, default);
        target.map(|t| (t.host, t.port)).map_err(|e| e.why)
    }

    fn ok(host: &str, port: u16) -> Result<(String, u16), &'static str> {
        Ok((host.to_owned(), port))
    }

    #[test]
    fn addresses_are_split_as_in_go() {
        assert_eq!(parsed("127.0.0.1:80", None), ok("127.0.0.1", 80));
        assert_eq!(parsed("[::1]:80", None), ok("::1", 80));
        assert_eq!(parsed(":80", None), ok("localhost", 80));
        assert_eq!(parsed("a.b", Some(443)), ok("a.b", 443));
        assert_eq!(parsed("[::1]", Some(80)), ok("::1", 80));
        assert_eq!(parsed("a.b", None), Err("missing port in address"));
        assert_eq!(parsed("::1", None), Err("too many colons in address"));
        assert_eq!(parsed("a:http", None), Err("invalid port"));
        assert_eq!(parsed("a:70000", None), Err("invalid port"));
        assert_eq!(parsed("", Some(80)), Err("missing host"));
        assert_eq!(parsed("[::1", None), Err("missing ']'"));
    }
}
