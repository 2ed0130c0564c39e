//! A bound on strangers: connections that have not logged in yet.
//!
//! frp has none. Refusing newcomers at the bound would let a flood lock honest clients out, so
//! somebody makes room: one of the crowd ([`crate::crowd`]).
//!
//! Who comes from the address of a client that is logged in, with a work connection of its own as
//! without the mux, is no stranger: no crowd from elsewhere takes its place.
//!
//! Here is only who has shown that it is where it says: by the handshake of TCP or QUIC, or, with kcp,
//! by an echo. The others cost less, and are bounded where they arrive.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Resource, getrlimit};
use tokio_util::sync::CancellationToken;

use crate::crowd::Crowd;
use crate::kcp::Stranger;
use crate::limits::{MAX_GUESTS, MAX_STRANGERS, MIN_STRANGERS};

/// The connections waiting to log in.
#[derive(Debug, Clone)]
pub struct Strangers {
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    most: usize,
    strangers: Crowd<CancellationToken>,
    /// Those whose address belongs to a client that is logged in.
    guests: Crowd<CancellationToken>,
    /// How many sessions live at an address.
    sessions: HashMap<IpAddr, usize>,
}

/// A place among the strangers, given back on drop.
#[derive(Debug)]
pub struct Turn {
    evicted: CancellationToken,
    /// Of kcp that is with the session at its port.
    seat: Option<Seat>,
    kcp: Option<Stranger>,
}

/// The place itself.
#[derive(Debug)]
pub(crate) struct Seat {
    id: u64,
    guest: bool,
    waiting: Arc<Mutex<Waiting>>,
}

/// A client at an address is logged in, until dropped.
#[derive(Debug)]
pub struct Home {
    ip: IpAddr,
    waiting: Arc<Mutex<Waiting>>,
}

impl Default for Strangers {
    /// As many as the process has descriptors for.
    fn default() -> Self {
        Self::new(max_strangers())
    }
}

/// An eighth of the descriptors, for there are strangers of several kinds, and sessions, work
/// connections and users need the rest; at most [`MAX_STRANGERS`].
fn max_strangers() -> usize {
    let descriptors = getrlimit(Resource::Nofile).current;
    let eighth = descriptors.map_or(MAX_STRANGERS as u64, |most| most / 8);
    usize::try_from(eighth)
        .unwrap_or(MAX_STRANGERS)
        .clamp(MIN_STRANGERS, MAX_STRANGERS)
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Strangers {
    /// Takes `most` strangers.
    pub fn new(most: usize) -> Self {
        let waiting = Waiting {
            most,
            strangers: Crowd::default(),
            guests: Crowd::default(),
            sessions: HashMap::new(),
        };
        Self {
            waiting: Arc::new(Mutex::new(waiting)),
        }
    }

    /// Takes a place; one of the crowd loses its own where all are taken.
    pub fn enter(&self, ip: IpAddr) -> Turn {
        let evicted = CancellationToken::new();
        Turn {
            seat: Some(self.seat(ip, evicted.clone())),
            evicted,
            kcp: None,
        }
    }

    /// The same; `evicted` is cancelled when the place goes to somebody else.
    pub(crate) fn seat(&self, ip: IpAddr, evicted: CancellationToken) -> Seat {
        let mut waiting = lock(&self.waiting);
        let most_guests = waiting.most.min(MAX_GUESTS);
        // Where many clients share an address, being known must not be worse than being a stranger.
        let guest = waiting.sessions.contains_key(&ip)
            && (waiting.guests.len() < most_guests || waiting.strangers.len() >= waiting.most);
        let most = match guest {
            true => most_guests,
            false => waiting.most,
        };
        let crowd = waiting.crowd(guest);
        let id = crowd.insert(ip, evicted);
        let leaves = (crowd.len() > most)
            .then(|| crowd.make_room_for(id))
            .flatten();
        drop(waiting);
        if let Some(leaves) = leaves {
            leaves.cancel();
        }
        Seat {
            id,
            guest,
            waiting: self.waiting.clone(),
        }
    }

    /// How many there are.
    pub fn waiting(&self) -> usize {
        let waiting = lock(&self.waiting);
        waiting.strangers.len() + waiting.guests.len()
    }

    /// One of the crowd leaves, where the process has no descriptor left. Whether there was one: a few
    /// strangers are no crowd, and one whose login is on its way must not pay for what users hold.
    pub fn make_room(&self) -> bool {
        let mut waiting = lock(&self.waiting);
        let is_crowd = |crowd: &Crowd<_>| crowd.len() > MIN_STRANGERS;
        let leaves = match &mut *waiting {
            Waiting { strangers, .. } if is_crowd(strangers) => strangers.make_room(),
            Waiting { guests, .. } if is_crowd(guests) => guests.make_room(),
            _ => None,
        };
        drop(waiting);
        if let Some(leaves) = &leaves {
            leaves.cancel();
        }
        leaves.is_some()
    }

    /// Whether a client at this address is logged in.
    pub fn is_home(&self, ip: IpAddr) -> bool {
        lock(&self.waiting).sessions.contains_key(&ip)
    }

    /// A client at this address is logged in.
    pub fn at_home(&self, ip: IpAddr) -> Home {
        *lock(&self.waiting).sessions.entry(ip).or_default() += 1;
        Home {
            ip,
            waiting: self.waiting.clone(),
        }
    }
}

impl Waiting {
    fn crowd(&mut self, guest: bool) -> &mut Crowd<CancellationToken> {
        match guest {
            true => &mut self.guests,
            false => &mut self.strangers,
        }
    }
}

impl Turn {
    /// The place of a kcp session, which it has at its port.
    #[must_use]
    pub fn of_kcp(stranger: Stranger) -> Self {
        Self {
            evicted: stranger.evicted().clone(),
            seat: None,
            kcp: Some(stranger),
        }
    }

    /// The peer has said something.
    pub fn spoke(&self) {
        if let Some(seat) = &self.seat {
            seat.spoke();
        }
        if let Some(stranger) = &self.kcp {
            stranger.spoke();
        }
    }

    /// The peer has shown that it may be here.
    pub fn admit(mut self) {
        if let Some(stranger) = self.kcp.take() {
            stranger.admit();
        }
    }

    /// Completes when the place has gone to somebody else.
    pub async fn evicted(&self) {
        self.evicted.cancelled().await;
    }
}

impl Seat {
    pub(crate) fn spoke(&self) {
        let mut waiting = lock(&self.waiting);
        waiting.crowd(self.guest).spoke(self.id);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut waiting = lock(&self.waiting);
        waiting.crowd(self.guest).remove(self.id);
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let mut waiting = lock(&self.waiting);
        if let Some(n) = waiting.sessions.get_mut(&self.ip) {
            *n -= 1;
            if *n == 0 {
                waiting.sessions.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 64;
    const HONEST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const HOSTILE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn a_crowd_makes_room_and_a_lone_stranger_stays() {
        let strangers = Strangers::new(MOST);
        let mut crowd: Vec<Turn> = (0..MOST).map(|_| strangers.enter(HOSTILE)).collect();
        let honest = strangers.enter(HONEST);
        let evicted = |turns: &[Turn]| turns.iter().filter(|t| t.evicted.is_cancelled()).count();
        assert_eq!(evicted(&crowd), 1);
        crowd.extend((0..9).map(|_| strangers.enter(HOSTILE)));
        assert_eq!(evicted(&crowd), 10);
        assert!(!honest.evicted.is_cancelled());
        for _ in 0..1000 {
            let newcomer = strangers.enter(HOSTILE);
            assert!(!newcomer.evicted.is_cancelled(), "it has said nothing yet");
            crowd.push(newcomer);
        }

        crowd.retain(|turn| !turn.evicted.is_cancelled());
        crowd.truncate(MOST / 2);
        let _another = strangers.enter(HOSTILE);
        assert_eq!(evicted(&crowd), 0, "places were free");
        assert!(strangers.make_room());
        crowd.truncate(1);
        assert!(!strangers.make_room(), "two are no crowd");
    }

    #[test]
    fn a_thousand_clients_at_the_address_of_one_come_in_at_once() {
        let strangers = Strangers::new(MAX_STRANGERS);
        let _home = strangers.at_home(HONEST);
        let come: Vec<Turn> = (0..1000).map(|_| strangers.enter(HONEST)).collect();
        assert!(come.iter().all(|turn| !turn.evicted.is_cancelled()));
    }

    #[test]
    fn the_address_of_a_client_has_places_of_its_own() {
        let strangers = Strangers::new(MOST);
        let (home, twice) = (strangers.at_home(HONEST), strangers.at_home(HONEST));
        drop(twice);
        let work: Vec<Turn> = (0..MOST / 2).map(|_| strangers.enter(HONEST)).collect();
        let crowd: Vec<Turn> = (0..MOST).map(|_| strangers.enter(HOSTILE)).collect();
        assert!(work.iter().chain(&crowd).all(|t| !t.evicted.is_cancelled()));
        // Whoever shares the address takes the places of nobody else.
        let shared: Vec<Turn> = (0..MOST).map(|_| strangers.enter(HONEST)).collect();
        assert!(shared.len() == MOST && crowd.iter().all(|t| !t.evicted.is_cancelled()));
        drop((home, shared, work, crowd));
        let waiting = lock(&strangers.waiting);
        assert!(waiting.sessions.is_empty());
        assert!(waiting.guests.is_empty() && waiting.strangers.is_empty());
    }
}
