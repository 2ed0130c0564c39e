//! Which proxy do the environment variables name for a request? Go's rules, for they are frp's
//! (golang.org/x/net `http/httpproxy`): `HTTP_PROXY` for http, `HTTPS_PROXY` for https, both also in
//! lower case, and `NO_PROXY` for the exceptions. This machine itself is never asked by a proxy.

use std::net::IpAddr;

use frp_proto::proxy_url::ProxyUrl;

/// The proxies of the environment and their exceptions.
#[derive(Debug, Clone, Default)]
pub struct EnvProxies {
    http: Option<ProxyUrl>,
    https: Option<ProxyUrl>,
    exceptions: Vec<Exception>,
}

/// One item of `NO_PROXY`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Exception {
    All,
    Network(IpAddr, u8),
    Address(IpAddr, Option<u16>),
    /// `.example.com`; `itself`: the name without the dot, too.
    Domain {
        suffix: String,
        itself: bool,
        port: Option<u16>,
    },
}

impl EnvProxies {
    /// From the variables of this process.
    pub fn of_process() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    /// From the variables that `value` tells. What is no URL of a proxy is left out, as in Go, but
    /// said in the log.
    pub fn read(value: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: [&'static str; 2]| {
            let mut named = names.iter().filter_map(|name| Some((*name, value(name)?)));
            named.find(|(_, value)| !value.is_empty())
        };
        // A web server that runs a program sets HTTP_PROXY to the header `Proxy` of a request.
        let cgi = value("REQUEST_METHOD").is_some_and(|method| !method.is_empty());
        let http =
            first(["HTTP_PROXY", "http_proxy"]).filter(|(name, _)| !cgi || *name != "HTTP_PROXY");
        let https = first(["HTTPS_PROXY", "https_proxy"]);
        let exceptions = first(["NO_PROXY", "no_proxy"]).map(|(_, list)| exceptions(&list));
        Self {
            http: http.and_then(|(name, url)| proxy(name, &url)),
            https: https.and_then(|(name, url)| proxy(name, &url)),
            exceptions: exceptions.unwrap_or_default(),
        }
    }

    /// The proxy for a request to `host` (without brackets) at `port`, if there is one.
    pub fn for_request(&self, https: bool, host: &str, port: u16) -> Option<&ProxyUrl> {
        let proxy = if https { &self.https } else { &self.http };
        let proxy = proxy.as_ref()?;
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let ip: Option<IpAddr> = host.parse().ok();
        let own = host == "localhost" || ip.is_some_and(|ip| ip.to_canonical().is_loopback());
        let excepted = |exception: &Exception| exception.matches(&host, ip, port);
        (!own && !self.exceptions.iter().any(excepted)).then_some(proxy)
    }
}

fn proxy(name: &str, value: &str) -> Option<ProxyUrl> {
    let parsed = if value.contains("://") {
        value.parse()
    } else {
        format!("http://{value}").parse()
    };
    parsed
        .inspect_err(|e| tracing::warn!("{name} is ignored: {e}"))
        .ok()
}

fn exceptions(list: &str) -> Vec<Exception> {
    let items = list
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty());
    items
        .filter_map(|item| Exception::read(&item.to_ascii_lowercase()))
        .collect()
}

impl Exception {
    fn read(item: &str) -> Option<Self> {
        if item == "*" {
            return Some(Self::All);
        }
        if let Some((ip, bits)) = item.split_once('/')
            && let (Ok(ip), Ok(bits)) = (ip.parse::<IpAddr>(), bits.parse::<u8>())
        {
            let width = if ip.is_ipv4() { 32 } else { 128 };
            return (bits <= width).then_some(Self::Network(ip, bits));
        }
        let (host, port) = host_and_port(item);
        if let Ok(ip) = host.parse() {
            return Some(Self::Address(ip, port));
        }
        let host = host
            .strip_prefix('*')
            .filter(|rest| rest.starts_with('.'))
            .unwrap_or(host);
        if host.is_empty() {
            return None;
        }
        let itself = !host.starts_with('.');
        let suffix = if itself {
            format!(".{host}")
        } else {
            host.to_owned()
        };
        Some(Self::Domain {
            suffix,
            itself,
            port,
        })
    }

    fn matches(&self, host: &str, ip: Option<IpAddr>, port: u16) -> bool {
        let at = |wanted: &Option<u16>| wanted.is_none_or(|wanted| wanted == port);
        match self {
            Self::All => true,
            Self::Network(network, bits) => ip.is_some_and(|ip| within(ip, *network, *bits)),
            Self::Address(own, wanted) => ip == Some(*own) && at(wanted),
            Self::Domain {
                suffix,
                itself,
                port: wanted,
            } => {
                let named = host.ends_with(suffix.as_str())
                    || *itself && suffix.strip_prefix('.') == Some(host);
                named && at(wanted)
            }
        }
    }
}

/// `host:port`, `[address]:port` or a host alone, which may be an IPv6 address.
fn host_and_port(item: &str) -> (&str, Option<u16>) {
    let split = match item.strip_prefix('[') {
        Some(rest) => rest
            .split_once(']')
            .map(|(host, rest)| (host, rest.strip_prefix(':'))),
        None if item.matches(':').count() == 1 => {
            item.split_once(':').map(|(host, port)| (host, Some(port)))
        }
        None => None,
    };
    match split {
        Some((host, port)) => (host, port.and_then(|port| port.parse().ok())),
        None => (item, None),
    }
}

fn within(ip: IpAddr, network: IpAddr, bits: u8) -> bool {
    let bits = u32::from(bits);
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            (ip.to_bits() ^ network.to_bits()) & mask == 0
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            (ip.to_bits() ^ network.to_bits()) & mask == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(vars: &[(&str, &str)]) -> EnvProxies {
        EnvProxies::read(|name| {
            let found = vars.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn host(proxy: Option<&ProxyUrl>) -> Option<String> {
        proxy.map(|proxy| format!("{}:{}", proxy.host, proxy.port))
    }

    #[test]
    fn each_scheme_has_its_variable_in_either_case() {
        let of = env(&[("HTTP_PROXY", "a:1"), ("https_proxy", "socks5h://b")]);
        assert_eq!(host(of.for_request(false, "x", 80)).as_deref(), Some("a:1"));
        assert_eq!(
            host(of.for_request(true, "x", 443)).as_deref(),
            Some("b:1080")
        );
        let of = env(&[("HTTP_PROXY", "a:1"), ("http_proxy", "b:1")]);
        assert_eq!(host(of.for_request(false, "x", 80)).as_deref(), Some("a:1"));
        assert_eq!(host(of.for_request(true, "x", 80)), None);
        let cgi = env(&[("HTTP_PROXY", "a:1"), ("REQUEST_METHOD", "GET")]);
        assert_eq!(host(cgi.for_request(false, "x", 80)), None);
        let odd = env(&[("HTTP_PROXY", "ftp://a")]);
        assert_eq!(host(odd.for_request(false, "x", 80)), None);
    }

    #[test]
    fn this_machine_is_asked_directly() {
        let of = env(&[("HTTP_PROXY", "a:1")]);
        for own in ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1"] {
            assert_eq!(host(of.for_request(false, own, 80)), None, "{own}");
        }
        assert!(of.for_request(false, "128.0.0.1", 80).is_some());
    }

    #[test]
    fn exceptions_are_those_of_go() {
        let with = |list: &str, name: &str, port: u16| {
            let of = env(&[("HTTPS_PROXY", "a:1"), ("NO_PROXY", list)]);
            of.for_request(true, name, port).is_none()
        };
        assert!(with("*", "x", 1));
        assert!(with("example.com", "example.com", 1));
        assert!(with("example.com", "id.EXAMPLE.com", 1));
        assert!(!with("example.com", "badexample.com", 1));
        assert!(with(".example.com", "id.example.com", 1));
        assert!(!with(".example.com", "example.com", 1));
        assert!(with("*.example.com", "id.example.com", 1));
        assert!(!with("*.example.com", "example.com", 1));
        assert!(with("x, id:8443 ,y", "id", 8443));
        assert!(!with("id:8443", "id", 443));
        assert!(with("10.0.0.0/8", "10.200.0.1", 1));
        assert!(!with("10.0.0.0/8", "11.0.0.1", 1));
        assert!(with("0.0.0.0/0", "11.0.0.1", 1));
        assert!(with("fd00::/8", "fd12::1", 1));
        assert!(!with("fd00::/8", "10.0.0.1", 1));
        assert!(with("10.0.0.1:443", "10.0.0.1", 443));
        assert!(with("[fd00::1]:443", "fd00::1", 443));
        assert!(with("fd00::1", "fd00::1", 9));
        assert!(!with(" , ,", "x", 1));
    }
}
