//! The ways to frps that `transport.protocol = "auto"` chooses from.

use std::fmt;
use std::str::FromStr;

use crate::{ClientConfig, TransportProtocol};

/// One entry of `transport.order`, such as `wss:443`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// How frps is reached.
    pub protocol: TransportProtocol,
    /// Without TLS: only an entry that says so.
    pub plain: bool,
    /// Instead of `serverPort`.
    pub port: Option<u16>,
}

/// The names, best known first.
const NAMES: [(&str, TransportProtocol, bool); 6] = [
    ("tcp", TransportProtocol::Tcp, false),
    ("quic", TransportProtocol::Quic, false),
    ("wss", TransportProtocol::Wss, false),
    ("kcp", TransportProtocol::Kcp, false),
    ("websocket", TransportProtocol::Websocket, false),
    ("tcp-plain", TransportProtocol::Tcp, true),
];

/// Why a text is no [`Way`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WayError {
    /// No way is called so.
    #[error("unknown transport {0:?}")]
    Name(String),
    /// What follows the colon is no port.
    #[error("{0:?} is no port from 1 to 65535")]
    Port(String),
}

impl Way {
    /// Whether it runs over UDP.
    #[must_use]
    pub fn is_udp(self) -> bool {
        matches!(
            self.protocol,
            TransportProtocol::Quic | TransportProtocol::Kcp
        )
    }

    /// What there is to choose from when a file names nothing: TLS only, unless TLS is switched off.
    pub(crate) fn usual(tls: bool) -> Vec<Self> {
        let usual = ["tcp", "quic", "wss", "kcp"];
        let plain = (!tls).then_some("tcp-plain");
        let names = usual.into_iter().chain(plain);
        names.filter_map(|name| name.parse().ok()).collect()
    }

    /// The names that `transport.order` knows.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, ..)| *name)
    }
}

impl FromStr for Way {
    type Err = WayError;

    fn from_str(text: &str) -> Result<Self, WayError> {
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        };
        let known = NAMES.iter().find(|(known, ..)| *known == name);
        let (_, protocol, plain) = *known.ok_or_else(|| WayError::Name(name.to_owned()))?;
        let port = port.map(|port| match port.parse() {
            Ok(0) | Err(_) => Err(WayError::Port(port.to_owned())),
            Ok(port) => Ok(port),
        });
        Ok(Self {
            protocol,
            plain,
            port: port.transpose()?,
        })
    }
}

/// As in `transport.order`.
impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_this = |(_, protocol, plain): &&(&str, TransportProtocol, bool)| {
            (*protocol, *plain) == (self.protocol, self.plain)
        };
        let name = NAMES.iter().find(is_this).map_or("", |(name, ..)| name);
        f.write_str(name)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl ClientConfig {
    /// The same client on this way only. It has no proxies and no visitors, which do not depend on
    /// the way.
    #[must_use]
    pub fn by(&self, way: Way) -> Self {
        let mut cfg = self.clone();
        cfg.proxies = Vec::new();
        cfg.visitors = Vec::new();
        cfg.server_port = way.port.unwrap_or(self.server_port);
        cfg.transport.protocol = way.protocol;
        cfg.transport.tls.enable = !way.plain;
        cfg.transport.order = None;
        cfg
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_reads_back_as_it_is_written() {
        for name in Way::names() {
            for text in [name.to_owned(), format!("{name}:443")] {
                assert_eq!(text.parse::<Way>().unwrap().to_string(), text);
            }
        }
        let plain: Way = "tcp-plain:7001".parse().unwrap();
        assert!(plain.plain && plain.port == Some(7001));
    }

    #[test]
    fn what_is_no_way_is_refused() {
        for text in ["", "tls", "TCP", "tcp ", "tcp-plain ", "auto"] {
            assert!(
                matches!(text.parse::<Way>(), Err(WayError::Name(_))),
                "{text}"
            );
        }
        for text in [
            "tcp:",
            "tcp:0",
            "tcp:65536",
            "tcp:-1",
            "tcp:7000:1",
            "wss:https",
        ] {
            assert!(
                matches!(text.parse::<Way>(), Err(WayError::Port(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn only_who_switches_tls_off_is_offered_a_way_without() {
        assert!(Way::usual(true).iter().all(|way| !way.plain));
        let without: Vec<String> = Way::usual(false).iter().map(Way::to_string).collect();
        assert_eq!(without, ["tcp", "quic", "wss", "kcp", "tcp-plain"]);
    }
}
