//! What a client asks for with a `NewProxy`: the type of the proxy, read once, with the settings of
//! that type (frp `pkg/config/v1/proxy.go`).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use frp_config::{BandwidthLimit, BandwidthLimitMode, Multiplexer, Secret, parse_bandwidth};
use frp_proto::msg::NewProxy;
use frp_proto::names::{Named as _, ProxyType};

use crate::guards::counted::Counted;
use crate::guards::{Asked, AskedError};
use crate::ports::PortError;

/// A proxy as its client wants it.
pub(crate) struct ProxySpec {
    pub(crate) name: Arc<str>,
    pub(crate) kind: Kind,
    pub(crate) transport: Transport,
    /// Only some types have groups; the API shows it with all of them, as frp does.
    pub(crate) group: Group,
    /// Whom its client wants to be kept out.
    pub(crate) guard: Asked,
    /// Users that are there, as far as they are counted.
    pub(crate) users: Arc<Counted>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) metas: BTreeMap<String, String>,
}

/// The type of a proxy with the settings of that type. A new type begins here: the compiler then
/// names every place that has to know it.
pub(crate) enum Kind {
    Tcp { remote_port: u16 },
    Udp { remote_port: u16 },
    Http(HttpSettings),
    Https(Hosts),
    Tcpmux(TcpmuxSettings),
    Stcp(Access),
    Sudp(Access),
    Xtcp(Access),
}

/// What carries a proxy's connections.
pub(crate) struct Transport {
    pub(crate) encryption: bool,
    pub(crate) compression: bool,
    /// As written; empty where it cannot be read, which is no limit, as in frp.
    pub(crate) bandwidth_limit: String,
    /// `client` or `server`, or as written.
    pub(crate) bandwidth_limit_mode: String,
    /// That of all connections together, where it is the server that limits.
    pub(crate) limit: Option<BandwidthLimit>,
}

/// Proxies that share a port or routes; without a name there is none.
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) key: Secret,
}

#[derive(Default)]
pub(crate) struct HttpSettings {
    pub(crate) hosts: Hosts,
    /// Prefixes of paths; none means all paths.
    pub(crate) locations: Vec<String>,
    /// Only requests of this HTTP user; empty for all.
    pub(crate) route_by_http_user: String,
    pub(crate) login: HttpLogin,
    pub(crate) host_header_rewrite: String,
    pub(crate) request_headers: BTreeMap<String, String>,
    pub(crate) response_headers: BTreeMap<String, String>,
}

/// The multiplexer is HTTP CONNECT: there is no other.
pub(crate) struct TcpmuxSettings {
    pub(crate) hosts: Hosts,
    pub(crate) route_by_http_user: String,
    pub(crate) login: HttpLogin,
}

/// `httpUser` and `httpPassword`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct HttpLogin {
    pub(crate) user: String,
    pub(crate) password: Secret,
}

/// The host names that a proxy asks for, as written.
#[derive(Default)]
pub(crate) struct Hosts {
    pub(crate) custom_domains: Vec<String>,
    /// A label below `subDomainHost`, or empty.
    pub(crate) subdomain: String,
}

/// Who may visit a proxy that only visitors reach.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) secret: Secret,
    /// Empty for the user of the proxy's own client; `*` is everybody.
    pub(crate) allow_users: Vec<String>,
}

/// Why a `NewProxy` asks for nothing that there is; the texts are frp's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpecError {
    #[error(
        "proxy type [{}] is not supported by this server; supported: [{}]",
        .0,
        supported()
    )]
    Type(String),
    #[error("{0}")]
    Port(PortError),
    #[error("acquire port {wanted} error: {why}")]
    UdpPort { wanted: i64, why: PortError },
    #[error("unknown multiplexer [{0}]")]
    Multiplexer(String),
    #[error("{0}")]
    Guard(#[from] AskedError),
}

/// frp's name of HTTP CONNECT.
pub(crate) const HTTP_CONNECT: &str = Multiplexer::HttpConnect.as_str();

impl ProxySpec {
    pub(crate) fn read(new: &NewProxy) -> Result<Self, SpecError> {
        Ok(Self {
            name: new.proxy_name.as_str().into(),
            kind: Kind::read(new)?,
            transport: Transport::read(new),
            group: Group {
                name: new.group.clone(),
                key: new.group_key.as_str().into(),
            },
            guard: Asked::read(new)?,
            users: Arc::default(),
            annotations: new.annotations.clone(),
            metas: new.metas.clone(),
        })
    }

    pub(crate) fn proxy_type(&self) -> ProxyType {
        self.kind.proxy_type()
    }
}

/// Stands in `allowUsers` for everybody.
const ANYBODY: &str = "*";

impl Access {
    /// Whether the visitor's user may come to a proxy whose client has logged in as `owner`.
    pub(crate) fn admits(&self, user: &str, owner: &str) -> bool {
        match self.allow_users.as_slice() {
            [] => user == owner,
            some => some.iter().any(|one| one == ANYBODY || one == user),
        }
    }
}

impl Kind {
    fn read(new: &NewProxy) -> Result<Self, SpecError> {
        let unsupported = || SpecError::Type(new.kind().to_owned());
        let hosts = || Hosts {
            custom_domains: new.custom_domains.clone(),
            subdomain: new.subdomain.clone(),
        };
        let login = || HttpLogin {
            user: new.http_user.clone(),
            password: new.http_pwd.as_str().into(),
        };
        let access = || Access {
            secret: new.sk.as_str().into(),
            allow_users: new.allow_users.clone(),
        };
        Ok(match new.kind().parse().map_err(|_| unsupported())? {
            ProxyType::Tcp => Self::Tcp {
                remote_port: port(new).map_err(SpecError::Port)?,
            },
            ProxyType::Udp => Self::Udp {
                remote_port: port(new).map_err(|why| SpecError::UdpPort {
                    wanted: new.remote_port,
                    why,
                })?,
            },
            ProxyType::Http => Self::Http(HttpSettings {
                hosts: hosts(),
                locations: new.locations.clone(),
                route_by_http_user: new.route_by_http_user.clone(),
                login: login(),
                host_header_rewrite: new.host_header_rewrite.clone(),
                request_headers: new.headers.clone(),
                response_headers: new.response_headers.clone(),
            }),
            ProxyType::Https => Self::Https(hosts()),
            ProxyType::Tcpmux if new.multiplexer != HTTP_CONNECT => {
                return Err(SpecError::Multiplexer(new.multiplexer.clone()));
            }
            ProxyType::Tcpmux => Self::Tcpmux(TcpmuxSettings {
                hosts: hosts(),
                route_by_http_user: new.route_by_http_user.clone(),
                login: login(),
            }),
            ProxyType::Stcp => Self::Stcp(access()),
            ProxyType::Sudp => Self::Sudp(access()),
            ProxyType::Xtcp => Self::Xtcp(access()),
        })
    }

    pub(crate) fn proxy_type(&self) -> ProxyType {
        match self {
            Self::Tcp { .. } => ProxyType::Tcp,
            Self::Udp { .. } => ProxyType::Udp,
            Self::Http(_) => ProxyType::Http,
            Self::Https(_) => ProxyType::Https,
            Self::Tcpmux(_) => ProxyType::Tcpmux,
            Self::Stcp(_) => ProxyType::Stcp,
            Self::Sudp(_) => ProxyType::Sudp,
            Self::Xtcp(_) => ProxyType::Xtcp,
        }
    }

    /// The port asked for, 0 for any, where the type has a port of its own.
    pub(crate) fn remote_port(&self) -> Option<u16> {
        match self {
            Self::Tcp { remote_port } | Self::Udp { remote_port } => Some(*remote_port),
            Self::Http(_) | Self::Https(_) | Self::Tcpmux(_) => None,
            Self::Stcp(_) | Self::Sudp(_) | Self::Xtcp(_) => None,
        }
    }

    /// Host names and locations, where users say which host they want.
    pub(crate) fn hosts(&self) -> Option<(&Hosts, &[String])> {
        match self {
            Self::Http(http) => Some((&http.hosts, &http.locations)),
            Self::Https(hosts) => Some((hosts, &[])),
            Self::Tcpmux(tcpmux) => Some((&tcpmux.hosts, &[])),
            Self::Tcp { .. } | Self::Udp { .. } => None,
            Self::Stcp(_) | Self::Sudp(_) | Self::Xtcp(_) => None,
        }
    }
}

impl Transport {
    fn read(new: &NewProxy) -> Self {
        let text = &new.bandwidth_limit;
        let limit = parse_bandwidth(text);
        let mode = match new.bandwidth_limit_mode.as_str() {
            "" => BandwidthLimitMode::Client.as_str(),
            mode => mode,
        };
        Self {
            encryption: new.use_encryption,
            compression: new.use_compression,
            bandwidth_limit: match limit {
                Ok(_) => text.trim().to_owned(),
                Err(_) => String::new(),
            },
            limit: limit
                .ok()
                .flatten()
                .filter(|_| mode == BandwidthLimitMode::Server.as_str()),
            bandwidth_limit_mode: mode.to_owned(),
        }
    }
}

fn supported() -> String {
    let names: Vec<&str> = ProxyType::ALL.iter().map(|t| t.as_str()).collect();
    names.join(" ")
}

fn port(new: &NewProxy) -> Result<u16, PortError> {
    u16::try_from(new.remote_port).map_err(|_| PortError::NotAllowed)
}

/// Settings hold secrets.
impl fmt::Debug for ProxySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.proxy_type(), self.name)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn new(kind: &str) -> NewProxy {
        NewProxy {
            proxy_type: kind.to_owned(),
            multiplexer: HTTP_CONNECT.to_owned(),
            remote_port: 7,
            ..NewProxy::default()
        }
    }

    #[test]
    fn every_type_is_read_as_itself_or_refused_by_name() {
        for wanted in ProxyType::ALL {
            let spec = ProxySpec::read(&new(wanted.as_str())).unwrap();
            assert_eq!(spec.proxy_type(), *wanted);
        }
        let spec = ProxySpec::read(&new("")).unwrap();
        assert_eq!(spec.kind.remote_port(), Some(7), "no type is tcp");
        let refused = ProxySpec::read(&new("TCP")).unwrap_err().to_string();
        assert_eq!(
            refused,
            "proxy type [TCP] is not supported by this server; supported: [tcp udp http https tcpmux \
             stcp sudp xtcp]"
        );
    }

    #[test]
    fn what_cannot_be_is_refused_in_frps_words() {
        let far = |kind: &str| NewProxy {
            remote_port: 65_536,
            ..new(kind)
        };
        let other = NewProxy {
            multiplexer: "other".to_owned(),
            ..new("tcpmux")
        };
        for (asked, text) in [
            (far("tcp"), "port not allowed"),
            (far("udp"), "acquire port 65536 error: port not allowed"),
            (other, "unknown multiplexer [other]"),
        ] {
            assert_eq!(ProxySpec::read(&asked).unwrap_err().to_string(), text);
        }
        assert!(ProxySpec::read(&far("stcp")).is_ok(), "it has no port");
    }

    #[test]
    fn a_limit_is_the_servers_only_where_it_says_so() {
        let read = |limit: &str, mode: &str| {
            let spec = ProxySpec::read(&NewProxy {
                bandwidth_limit: limit.to_owned(),
                bandwidth_limit_mode: mode.to_owned(),
                ..NewProxy::default()
            });
            let Transport {
                bandwidth_limit,
                bandwidth_limit_mode,
                limit,
                ..
            } = spec.unwrap().transport;
            (
                bandwidth_limit,
                bandwidth_limit_mode,
                limit.map(|l| l.bytes_per_second),
            )
        };
        let text = ToString::to_string;
        assert_eq!(read(" 1KB ", ""), (text("1KB"), text("client"), None));
        assert_eq!(
            read("1KB", "server"),
            (text("1KB"), text("server"), Some(1024))
        );
        assert_eq!(read("rubbish", "server"), (text(""), text("server"), None));
    }
}
