//! What does the URL of a forward proxy mean: `scheme://user:password@host:port` (frp's
//! `transport.proxyURL`; golib `net/util.go`, which takes Go's `url.Parse`).

use std::fmt;
use std::str::FromStr;

/// A proxy through which connections leave. `Debug` and `Display` show no user and no password.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl {
    /// How it is asked.
    pub scheme: ProxyScheme,
    /// Host name or address, without brackets.
    pub host: String,
    /// Its port; without one in the URL that of the scheme.
    pub port: u16,
    /// Who asks, where the URL says so.
    pub login: Option<ProxyLogin>,
}

/// How a proxy is asked for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyScheme {
    /// `http`: CONNECT (RFC 9110, section 9.3.6), with Basic credentials.
    Http,
    /// `https`: the same over TLS to the proxy.
    Https,
    /// `socks5` (RFC 1928 and 1929); `socks5h` means the same, names are resolved by the proxy.
    Socks5,
    /// `ntlm`: CONNECT with NTLM over HTTP (MS-NTHT).
    Ntlm,
}

impl ProxyScheme {
    /// As URLs write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks5 => "socks5",
            Self::Ntlm => "ntlm",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http | Self::Ntlm => 80,
            Self::Https => 443,
            Self::Socks5 => 1080,
        }
    }
}

/// User and password, percent-decoded. Neither shows in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyLogin {
    /// The user; for NTLM perhaps `DOMAIN\user`.
    pub user: String,
    /// The password, empty without one.
    pub password: String,
}

/// Why a text is no URL of a proxy. It never repeats the text, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyUrlError {
    /// No `scheme://` in front.
    #[error("it does not begin with http://, https://, socks5:// or ntlm://")]
    NoScheme,
    /// Another scheme.
    #[error("proxy type must be http, https, socks5 or ntlm, not [{0}]")]
    Scheme(String),
    /// No host behind the scheme.
    #[error("no host in it")]
    NoHost,
    /// What stands for a host cannot be one.
    #[error("the host is none; special characters in user and password are to be percent-encoded")]
    Host,
    /// What stands for a port is none.
    #[error(
        "the port is no number from 1 to 65535; special characters in user and password are to be percent-encoded"
    )]
    Port,
    /// An `@` behind the end of the host: what was to be the password has ended it.
    #[error(
        "an @ comes too late: in user and password # is written %23, / is written %2F and ? is written %3F"
    )]
    LateAt,
    /// A `%` that two hexadecimal digits do not follow, or that does not decode to UTF-8.
    #[error("invalid percent-encoding in user or password")]
    Encoding,
}

impl FromStr for ProxyUrl {
    type Err = ProxyUrlError;

    fn from_str(url: &str) -> Result<Self, ProxyUrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(ProxyUrlError::NoScheme)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => ProxyScheme::Http,
            "https" => ProxyScheme::Https,
            "socks5" | "socks5h" => ProxyScheme::Socks5,
            "ntlm" => ProxyScheme::Ntlm,
            other if is_scheme(other) => return Err(ProxyUrlError::Scheme(other.to_owned())),
            _ => return Err(ProxyUrlError::NoScheme),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, behind) = rest.split_at(end);
        if behind.contains('@') {
            // Go takes what is before as the host, and part of a password would be told as one.
            return Err(ProxyUrlError::LateAt);
        }
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(parse_login(login)?), place),
            None => (None, authority),
        };
        let (host, port) = split_port(place)?;
        if host.is_empty() {
            return Err(ProxyUrlError::NoHost);
        }
        Ok(Self {
            scheme,
            host: host.to_owned(),
            port: port.unwrap_or_else(|| scheme.default_port()),
            login,
        })
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = if self.login.is_some() { "***@" } else { "" };
        let (open, close) = match self.host.contains(':') {
            true => ("[", "]"),
            false => ("", ""),
        };
        let (scheme, host, port) = (self.scheme.as_str(), &self.host, self.port);
        write!(f, "{scheme}://{login}{open}{host}{close}:{port}")
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyUrl({self})")
    }
}

impl fmt::Debug for ProxyLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxyLogin(***)")
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn parse_login(text: &str) -> Result<ProxyLogin, ProxyUrlError> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    Ok(ProxyLogin {
        user: decode(user)?,
        password: decode(password)?,
    })
}

fn split_port(place: &str) -> Result<(&str, Option<u16>), ProxyUrlError> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(ProxyUrlError::Host)?;
            // A zone is written as `%25eth0` in URLs; nobody reaches a proxy by one.
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(ProxyUrlError::Host);
            }
            (host, port)
        }
        None => place.split_at(place.find(':').unwrap_or(place.len())),
    };
    let odd = |c: char| c.is_whitespace() || c.is_control() || "%\\<>\"^`{}|[]".contains(c);
    if host.contains(odd) {
        return Err(ProxyUrlError::Host);
    }
    match port {
        "" | ":" => Ok((host, None)),
        _ => {
            let port = port.strip_prefix(':').ok_or(ProxyUrlError::Host)?;
            let digits = port.bytes().all(|b| b.is_ascii_digit());
            match port.parse() {
                Ok(port) if digits && port > 0 => Ok((host, Some(port))),
                _ => Err(ProxyUrlError::Port),
            }
        }
    }
}

fn decode(text: &str) -> Result<String, ProxyUrlError> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    let digit = |byte: Option<u8>| byte.and_then(|b| char::from(b).to_digit(16));
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => match (digit(bytes.next()), digit(bytes.next())) {
                (Some(high), Some(low)) => (high * 16 + low) as u8,
                _ => return Err(ProxyUrlError::Encoding),
            },
            byte => byte,
        });
    }
    String::from_utf8(decoded).map_err(|_| ProxyUrlError::Encoding)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<ProxyUrl, ProxyUrlError> {
        url.parse()
    }

    #[test]
    fn urls_are_read_as_go_reads_them() {
        let url = parse("http://me:p%40ss%3A%2F@proxy.example:3128/x?y#z").unwrap();
        assert_eq!(url.scheme, ProxyScheme::Http);
        assert_eq!((url.host.as_str(), url.port), ("proxy.example", 3128));
        let login = url.login.unwrap();
        assert_eq!(
            (login.user.as_str(), login.password.as_str()),
            ("me", "p@ss:/")
        );

        let url = parse("NTLM://OFFICE%5Cme:a:b@[::1]:80").unwrap();
        assert_eq!((url.scheme, url.host.as_str()), (ProxyScheme::Ntlm, "::1"));
        let login = url.login.unwrap();
        assert_eq!(
            (login.user.as_str(), login.password.as_str()),
            ("OFFICE\\me", "a:b")
        );

        // The last @ ends the login.
        let login = parse("http://a@b:c@d").unwrap().login.unwrap();
        assert_eq!((login.user.as_str(), login.password.as_str()), ("a@b", "c"));
    }

    #[test]
    fn a_port_may_be_left_out() {
        let port = |url| parse(url).unwrap().port;
        assert_eq!(port("http://p"), 80);
        assert_eq!(port("https://p/"), 443);
        assert_eq!(port("socks5://p:"), 1080);
        assert_eq!(port("socks5h://p"), 1080);
        assert_eq!(port("ntlm://[::1]"), 80);
    }

    #[test]
    fn what_is_no_proxy_is_refused() {
        for (url, why) in [
            ("", ProxyUrlError::NoScheme),
            ("proxy:3128", ProxyUrlError::NoScheme),
            ("127.0.0.1:3128", ProxyUrlError::NoScheme),
            ("://p", ProxyUrlError::NoScheme),
            ("1x://p", ProxyUrlError::NoScheme),
            ("socks4://p:1", ProxyUrlError::Scheme("socks4".to_owned())),
            ("http://", ProxyUrlError::NoHost),
            ("http://a:b@", ProxyUrlError::NoHost),
            ("http://:80", ProxyUrlError::NoHost),
            ("http://p:x", ProxyUrlError::Port),
            ("http://p:0", ProxyUrlError::Port),
            ("http://p:+80", ProxyUrlError::Port),
            ("http://p:70000", ProxyUrlError::Port),
            ("http://::1:80", ProxyUrlError::Port),
            ("http://[::1", ProxyUrlError::Host),
            ("http://[p]:1", ProxyUrlError::Host),
            ("http://[::1]x", ProxyUrlError::Host),
            ("http://a b:1", ProxyUrlError::Host),
            // A password with one of these in it ends the authority.
            ("http://a:b/c@p:1", ProxyUrlError::LateAt),
            ("http://user:12#34@proxy:80", ProxyUrlError::LateAt),
            ("http://user:12?34@proxy:80", ProxyUrlError::LateAt),
            ("http://user:1@2#34@proxy:80", ProxyUrlError::LateAt),
            ("http://a%4:b@p", ProxyUrlError::Encoding),
            ("http://a%ff:b@p", ProxyUrlError::Encoding),
        ] {
            assert_eq!(parse(url), Err(why), "{url}");
        }
    }

    #[test]
    fn neither_user_nor_password_shows() {
        let url = parse("http://alice:hunter2@[::1]:3128").unwrap();
        assert_eq!(url.to_string(), "http://***@[::1]:3128");
        assert_eq!(format!("{url:?}"), "ProxyUrl(http://***@[::1]:3128)");
        assert_eq!(format!("{:?}", url.login), "Some(ProxyLogin(***))");
        assert_eq!(parse("socks5h://p").unwrap().to_string(), "socks5://p:1080");
    }
}
