//! The ways to frps: one, or those that `transport.protocol = "auto"` chooses from.

use std::fmt;
use std::str::FromStr;

use frp_proto::named;
use frp_proto::names::Named;

use crate::features::{Build, Feature, Needs};
use crate::keys::{At, Item, Kind, Rule, Setting};

named! {
    /// A way to carry bytes to frps.
    pub enum TransportProtocol {
        /// TCP
        Tcp = "tcp",
        /// KCP, over UDP.
        Kcp = "kcp",
        /// QUIC, over UDP.
        Quic = "quic",
        /// A websocket.
        Websocket = "websocket",
        /// A websocket within TLS.
        Wss = "wss",
    }
}

/// `transport.protocol`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// This one.
    One(TransportProtocol),
    /// `auto`: one of these, best first, not empty.
    Auto(Vec<Way>),
}

const AUTO: &str = "auto";

impl TransportProtocol {
    /// The features that they need, each by its name.
    pub(crate) const NEED: &'static [(&'static str, Feature)] = &[
        (Self::Kcp.as_str(), Feature::Kcp),
        (Self::Quic.as_str(), Feature::Quic),
        (Self::Websocket.as_str(), Feature::Websocket),
        (Self::Wss.as_str(), Feature::Websocket),
    ];

    /// Whether it runs over UDP.
    #[must_use]
    pub const fn is_udp(self) -> bool {
        matches!(self, Self::Quic | Self::Kcp)
    }
}

impl Transport {
    /// Whether it runs over UDP, or may do so.
    #[must_use]
    pub fn may_be_udp(&self) -> bool {
        match self {
            Self::One(protocol) => protocol.is_udp(),
            Self::Auto(_) => true,
        }
    }
}

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
        self.protocol.is_udp()
    }

    /// What there is to choose from when a file names nothing: TLS only, unless TLS is switched off,
    /// of what this build has.
    pub(crate) fn usual(tls: bool, build: Build) -> Vec<Self> {
        let usual = ["tcp", "quic", "wss", "kcp"];
        let plain = (!tls).then_some("tcp-plain");
        let names = usual.into_iter().chain(plain);
        let has = |name: &&str| {
            let feature = Needs::For(TransportProtocol::NEED).of(name);
            feature.is_none_or(|feature| build.needs(feature).is_ok())
        };
        names
            .filter(has)
            .filter_map(|name| name.parse().ok())
            .collect()
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

/// What `auto` chooses from is in another key.
impl Setting for Transport {
    const KIND: Kind = Kind::Text;
    const RULE: Rule = Rule::OneOf {
        values: &{
            let mut values = [AUTO; TransportProtocol::NAMES.len() + 1];
            let mut at = 0;
            while at < TransportProtocol::NAMES.len() {
                values[at] = TransportProtocol::NAMES[at];
                at += 1;
            }
            values
        },
        refusal: "",
    };

    fn read(at: &At<'_, Self>) -> Self {
        match at.text().as_str() {
            AUTO => Self::Auto(Vec::new()),
            _ => Self::One(at.choice().unwrap_or(TransportProtocol::FIRST)),
        }
    }
}

impl Item for Way {
    const KIND: Kind = Kind::Texts;
    const RULE: Rule = Rule::Ways;

    fn read_all(at: &At<'_, Vec<Self>>) -> Vec<Self> {
        let mut order: Vec<Self> = Vec::new();
        for way in at.texts().flat_map(str::parse) {
            if !order.contains(&way) {
                order.push(way);
            }
        }
        order
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
        assert!(
            Way::usual(true, Build::COMPLETE)
                .iter()
                .all(|way| !way.plain)
        );
        let without: Vec<String> = Way::usual(false, Build::COMPLETE)
            .iter()
            .map(Way::to_string)
            .collect();
        assert_eq!(without, ["tcp", "quic", "wss", "kcp", "tcp-plain"]);
    }
}
