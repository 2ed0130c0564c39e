//! A port of the router that leads to a socket of ours, whatever its NAT is like: asked for by PCP (RFC 6887),
//! NAT-PMP (RFC 6886) or UPnP, where the router speaks one of them (`natTraversal.portMapping`).
//!
//! In this order: which [`router`] there is → what it [`lends`](lease), and for how long → the [`PortMapping`],
//! which is given back when it is dropped. Asking costs a hole next to nothing: a router that does not
//! answer is not waited for, and not asked again for some time.
//!
//! What a router says is believed little: the port is told to peers only where its address is the one at
//! which a STUN server has seen us, so that nobody can be pointed at others.

mod lease;
pub(crate) mod router;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use frp_log::{Log, debug, info, shown_error};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::lease::{Lease, Way};
use self::router::{NoRouter, Router};
use crate::limits::{
    MAX_PORT_MAPPINGS, NO_PORT_MAPPING_AGAIN, PORT_MAPPING_ANSWER, PORT_MAPPING_GIVE_BACK,
    PORT_MAPPING_LEASE, PORT_MAPPING_WAIT, SHORTEST_PORT_MAPPING,
};
use crate::tasks::Tasks;

/// Who asks the router. One for the program.
#[derive(Debug, Clone)]
pub(crate) struct PortMapper {
    known: Arc<Mutex<Option<Known>>>,
    places: Arc<Semaphore>,
}

/// A port of the router that leads to a socket of ours, until this is dropped.
#[derive(Debug)]
pub(crate) struct PortMapping {
    /// At which peers reach it.
    pub(crate) external: SocketAddr,
    _given_back: DropGuard,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoMapping {
    #[error("there is no NAT: servers see this machine at its own address")]
    NoNat,
    #[error("{0} is no address of the internet")]
    NotTheInternet(IpAddr),
    #[error("{0}")]
    NoRouter(#[from] NoRouter),
    #[error("too many ports are mapped")]
    TooMany,
    #[error("the router {router} does not answer")]
    Slow { router: Router },
    #[error("the router {router} gave none a while ago, and is asked again later: {why}")]
    Before { router: Router, why: String },
    #[error("the router {router} gives none: {why}")]
    Refused { router: Router, why: String },
}

/// What there is to be known of a router.
#[derive(Debug, Clone)]
struct Known {
    router: Router,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Speaks(Way),
    /// It lends nothing, and is asked again then.
    Nothing {
        why: String,
        until: Instant,
    },
}

/// One port that is wanted.
struct Wanted {
    mapper: PortMapper,
    router: Router,
    /// What the router spoke the last time.
    way: Option<Way>,
    inside: SocketAddrV4,
    /// At which addresses servers have seen us.
    seen: BTreeSet<IpAddr>,
    log: Log,
    _place: OwnedSemaphorePermit,
}

impl Default for PortMapper {
    fn default() -> Self {
        Self {
            known: Arc::default(),
            places: Arc::new(Semaphore::new(MAX_PORT_MAPPINGS)),
        }
    }
}

impl PortMapper {
    /// Asks for a port that leads to UDP `port` of this machine, which servers see as `seen`, and waits for a
    /// moment. What comes later is given back; but then it is known how to ask.
    ///
    /// # Errors
    /// There is none, or none yet.
    pub(crate) async fn map(
        &self,
        port: u16,
        seen: &[SocketAddr],
        tasks: &Tasks,
        log: &Log,
    ) -> Result<PortMapping, NoMapping> {
        let router = Router::find()?;
        let seen: BTreeSet<_> = seen.iter().map(SocketAddr::ip).collect();
        if seen.contains(&router.own.into()) {
            return Err(NoMapping::NoNat);
        }
        if let Some(ip) = seen.iter().find(|ip| !is_of_the_internet(**ip)) {
            return Err(NoMapping::NotTheInternet(*ip));
        }
        let place = self.places.clone().try_acquire_owned();
        let wanted = Wanted {
            mapper: self.clone(),
            way: self.way(router)?,
            router,
            inside: SocketAddrV4::new(router.own, port),
            seen,
            log: log.clone(),
            _place: place.map_err(|_| NoMapping::TooMany)?,
        };
        let (told, hears) = oneshot::channel();
        let stop = tasks.stop.clone();
        tasks.tracker.spawn(wanted.hold(told, stop));
        match timeout(PORT_MAPPING_WAIT, hears).await {
            Ok(Ok(found)) => found,
            _ => Err(NoMapping::Slow { router }),
        }
    }

    /// What this router spoke the last time, if it was asked.
    fn way(&self, router: Router) -> Result<Option<Way>, NoMapping> {
        match &*self.known() {
            Some(known) if known.router == router => match &known.what {
                What::Speaks(way) => Ok(Some(way.clone())),
                What::Nothing { why, until } if Instant::now() < *until => {
                    let why = why.clone();
                    Err(NoMapping::Before { router, why })
                }
                What::Nothing { .. } => Ok(None),
            },
            _ => Ok(None),
        }
    }

    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wanted {
    /// Asks, tells, and keeps what it got until nobody wants it any more.
    async fn hold(
        mut self,
        told: oneshot::Sender<Result<PortMapping, NoMapping>>,
        stop: CancellationToken,
    ) {
        let asked = tokio::select! {
            asked = timeout(PORT_MAPPING_ANSWER, self.ask()) => asked,
            () = stop.cancelled() => return,
        };
        let silent = || format!("no answer within {} s", PORT_MAPPING_ANSWER.as_secs());
        let router = self.router;
        let what = asked.unwrap_or_else(|_| Err(silent()));
        let known = match &what {
            Ok((_, way)) => What::Speaks(way.clone()),
            Err(why) => What::Nothing {
                why: why.clone(),
                until: Instant::now() + NO_PORT_MAPPING_AGAIN,
            },
        };
        *self.mapper.known() = Some(Known {
            router,
            what: known,
        });
        let lease = match what {
            Ok((lease, _)) => lease,
            Err(why) => {
                debug!(self.log, "the router {router} gives no port: {why}");
                let _ = told.send(Err(NoMapping::Refused { router, why }));
                return;
            }
        };
        let (external, inside, way) = (lease.external(), self.inside, lease.name());
        info!(self.log, "the router maps {external} to {inside} ({way})");
        let unwanted = CancellationToken::new();
        let mapping = PortMapping {
            external: external.into(),
            _given_back: unwanted.clone().drop_guard(),
        };
        // Dropped, if it comes too late for the hole.
        let _ = told.send(Ok(mapping));
        self.keep(lease, &unwanted, &stop).await;
    }

    /// A lease, and how it was got.
    async fn ask(&mut self) -> Result<(Lease, Way), String> {
        let way = match self.way.take() {
            Some(way) => way,
            None => Way::find(self.router).await.map_err(|e| quoted(&e))?,
        };
        let lease = Lease::of(&way, self.router, self.inside).await;
        let lease = lease.map_err(|e| quoted(&e))?;
        match self.refused(&lease) {
            None => Ok((lease, way)),
            Some(why) => {
                let _ = timeout(PORT_MAPPING_GIVE_BACK, lease.give_back()).await;
                Err(why)
            }
        }
    }

    /// Why a lease is of no use.
    fn refused(&self, lease: &Lease) -> Option<String> {
        let external = lease.external();
        let ip = IpAddr::V4(*external.ip());
        if !self.seen.contains(&ip) {
            return Some(format!(
                "it says that its address is {ip}, but servers see another: there is a second NAT behind it"
            ));
        }
        let lifetime = lease.lifetime();
        (lifetime < SHORTEST_PORT_MAPPING)
            .then(|| format!("it would keep the port for {} s only", lifetime.as_secs()))
    }

    /// Renews the lease while it is wanted, and gives it back.
    async fn keep(&self, mut lease: Lease, unwanted: &CancellationToken, stop: &CancellationToken) {
        let external = lease.external();
        loop {
            tokio::select! {
                () = unwanted.cancelled() => break,
                () = stop.cancelled() => break,
                () = sleep(renewed_after(lease.lifetime())) => {}
            }
            let renewed = timeout(PORT_MAPPING_ANSWER, lease.renew()).await;
            let is_same = lease.external() == external && self.refused(&lease).is_none();
            match renewed {
                Ok(Ok(())) if is_same => {}
                // The peer has the address that it has.
                Ok(Ok(())) => {
                    debug!(self.log, "the router has lost {external}");
                    break;
                }
                Ok(Err(e)) => {
                    debug!(
                        self.log,
                        "the router does not renew {external}: {}",
                        quoted(&e)
                    );
                    break;
                }
                Err(_) => {
                    debug!(
                        self.log,
                        "the router does not answer, {external} may be lost"
                    );
                    break;
                }
            }
        }
        let given_back = timeout(PORT_MAPPING_GIVE_BACK, lease.give_back()).await;
        match given_back {
            Ok(Ok(())) => debug!(self.log, "gave {external} back to the router"),
            Ok(Err(e)) => debug!(
                self.log,
                "give {external} back to the router: {}",
                quoted(&e)
            ),
            Err(_) => debug!(self.log, "the router does not take {external} back in time"),
        }
    }
}

/// Half of what the router grants, as the RFCs have it; no longer than what is asked for.
fn renewed_after(lifetime: Duration) -> Duration {
    lifetime.min(PORT_MAPPING_LEASE) / 2
}

/// The words of a router are anybody's.
fn quoted(error: &lease::LeaseError) -> String {
    shown_error(&error.to_string()).into_owned()
}

/// Whether an address may be one of a router towards the internet. Behind others there is another NAT, or none.
fn is_of_the_internet(ip: IpAddr) -> bool {
    let IpAddr::V4(ip) = ip else { return false };
    let [first, second, ..] = ip.octets();
    let is_shared = first == 100 && (64..128).contains(&second);
    let is_nobodys = first == 0 || first >= 224;
    !(is_shared || is_nobodys || ip.is_private() || ip.is_loopback() || ip.is_link_local())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_be_an_address_of_the_internet_is_one() {
        for (ip, is_one) in [
            ("203.0.113.7", true),
            ("8.8.8.8", true),
            ("100.63.255.255", true),
            ("100.64.0.1", false),
            ("10.0.0.1", false),
            ("192.168.1.1", false),
            ("127.0.0.1", false),
            ("169.254.1.1", false),
            ("0.1.2.3", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::1", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(is_of_the_internet(ip.parse().unwrap()), is_one, "{ip}");
        }
    }

    #[test]
    fn a_lease_is_renewed_in_time_and_not_without_end() {
        assert_eq!(
            renewed_after(SHORTEST_PORT_MAPPING),
            SHORTEST_PORT_MAPPING / 2
        );
        assert_eq!(
            renewed_after(Duration::from_secs(u64::from(u32::MAX))),
            PORT_MAPPING_LEASE / 2
        );
    }
}
