//! From which address is a local service dialled, so that it sees who its user is (`transport.realIP`)?
//!
//! - [`transparent`]: the user's own. What the service sends back there has to come back to this machine, for which
//!   there are [`rules`].
//! - [`loopback`]: one of 127.0.0.0/8 that stands for the user, and is found again by `frpc who`.

pub(crate) mod loopback;
#[cfg(target_os = "linux")]
mod rules;
#[cfg_attr(not(target_os = "linux"), path = "../absent/transparent.rs")]
mod transparent;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use frp_config::{RealIpMode, Secret};
use frp_log::{Log, info, warn};
use frp_net::dial::{DialError, DialOptions, dial};
use tokio::net::TcpStream;

use self::loopback::Loopback;
pub(crate) use self::loopback::Place;
pub(crate) use self::transparent::{Transparent, TransparentError};
use crate::dial::LOCAL;
use crate::tasks::Tasks;

/// What the proxies of a client share.
#[derive(Debug)]
pub(crate) struct RealIp {
    pub(crate) loopback: Loopback,
    transparent: Transparent,
}

/// Why a local service could not be dialled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReachError {
    #[error("{0}")]
    Dial(#[from] DialError),
    #[error("{0}")]
    Transparent(#[from] TransparentError),
}

/// A local service, and how it is to be dialled.
#[derive(Debug)]
pub(crate) struct Service<'a> {
    /// The name of its proxy.
    pub(crate) proxy: &'a str,
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) mode: Option<RealIpMode>,
    pub(crate) log: &'a Log,
    pub(crate) says_no_address: &'a Once,
}

/// A connection to a local service, and what its user is called there.
type Reached = (TcpStream, Option<Place>);

impl RealIp {
    /// Which addresses stand for users follows from `token`, so that it is the same after a restart and no user can
    /// choose.
    pub(crate) fn new(token: &Secret) -> Self {
        Self {
            loopback: Loopback::new(token.expose().as_bytes()),
            transparent: Transparent::default(),
        }
    }

    /// Whether a service can be dialled so.
    pub(crate) fn prepare(
        &self,
        mode: Option<RealIpMode>,
        log: &Log,
        tasks: &Tasks,
    ) -> Result<(), TransparentError> {
        match mode {
            Some(RealIpMode::Transparent) => self.transparent.prepare(log, tasks),
            Some(RealIpMode::Loopback) | None => Ok(()),
        }
    }

    /// A connection to `service` for the user at `from`, as far as that is known.
    pub(crate) async fn reach(
        &self,
        service: &Service<'_>,
        from: Option<SocketAddr>,
    ) -> Result<Reached, ReachError> {
        let (host, port) = (service.host, service.port);
        let plain = async || Ok((dial(host, port, &LOCAL).await?, None));
        let Some(mode) = service.mode else {
            return plain().await;
        };
        let Some(from) = from else {
            service.says_no_address.call(|| {
                warn!(
                    service.log,
                    "transport.realIP: the server does not say the addresses of users; the local service sees 127.0.0.1"
                );
            });
            return plain().await;
        };
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        match mode {
            RealIpMode::Transparent => {
                let host = beside(host, from.ip());
                let conn = self.transparent.dial(&host, port, from).await?;
                Ok((conn, None))
            }
            RealIpMode::Loopback => {
                let (place, is_new) = self.loopback.enter(service.proxy, from);
                let ip = place.ip();
                if is_new {
                    let log = service.log.of_user(from.ip());
                    info!(log, "user [{}] is [{ip}] at the local service", from.ip());
                }
                let options = DialOptions {
                    local_ip: Some(ip.into()),
                    ..LOCAL
                };
                let conn = dial(host, port, &options).await?;
                place.dialled(conn.local_addr().map_or(0, |addr| addr.port()));
                Ok((conn, Some(place)))
            }
        }
    }

    /// Takes back what was changed in the system.
    pub(crate) async fn end(&self) {
        self.transparent.end().await;
    }
}

/// This machine as a user of that family finds it: one of IPv4 cannot come to `::1`.
fn beside(host: &str, user: IpAddr) -> String {
    let given = host.parse::<IpAddr>().ok();
    match (user, given) {
        (IpAddr::V4(_), Some(IpAddr::V4(_))) | (IpAddr::V6(_), Some(IpAddr::V6(_))) => {
            host.to_owned()
        }
        (IpAddr::V4(_), _) => "127.0.0.1".to_owned(),
        (IpAddr::V6(_), _) => "::1".to_owned(),
    }
}

/// Something that is said once.
#[derive(Debug, Default)]
pub(crate) struct Once(AtomicBool);

impl Once {
    fn call(&self, say: impl FnOnce()) {
        if !self.0.swap(true, Ordering::Relaxed) {
            say();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::beside;

    #[test]
    fn a_user_finds_the_service_in_its_own_family() {
        for (host, user, found) in [
            ("127.0.0.1", "192.0.2.1", "127.0.0.1"),
            ("127.0.0.9", "192.0.2.1", "127.0.0.9"),
            ("127.0.0.9", "2001:db8::1", "::1"),
            ("::1", "192.0.2.1", "127.0.0.1"),
            ("::1", "2001:db8::1", "::1"),
            ("localhost", "192.0.2.1", "127.0.0.1"),
            ("localhost", "2001:db8::1", "::1"),
        ] {
            assert_eq!(beside(host, user.parse().unwrap()), found, "{host} {user}");
        }
    }
}
