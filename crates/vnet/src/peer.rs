//! Who is at the other end of a connection, and what became of its packets?

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::packet::Malformed;
use crate::queue::Queue;

/// The other end of a connection, or of one that is to be.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Later ones have greater numbers.
    pub(crate) number: u64,
    pub(crate) kind: Kind,
    pub(crate) queue: Queue,
    pub(crate) losses: Losses,
    is_connected: AtomicBool,
    wanted: Notify,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The owner of a proxy, by a name for it: all whom we reach by the same proxy may send for each other.
    Owner(String),
    /// A visitor of a proxy of ours.
    Visitor,
}

impl Peer {
    pub(crate) fn new(number: u64, kind: Kind) -> Self {
        Self {
            number,
            kind,
            queue: Queue::default(),
            losses: Losses::default(),
            is_connected: AtomicBool::new(false),
            wanted: Notify::new(),
        }
    }

    /// There is a connection, or no longer.
    pub(crate) fn connected(&self, is: bool) {
        self.is_connected.store(is, Ordering::Relaxed);
        self.queue.clear();
    }

    /// Whether packets can go there. Where they cannot, somebody has wanted it.
    pub(crate) fn is_there(&self) -> bool {
        let is_there = self.is_connected.load(Ordering::Relaxed);
        if !is_there {
            self.wanted.notify_one();
        }
        is_there
    }

    /// Waits for a packet that there is no connection for.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }
}

/// Packets of a connection that went nowhere.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    malformed: AtomicU64,
    misdirected: AtomicU64,
    foreign: AtomicU64,
    refused: AtomicU64,
    first_foreign: Mutex<Option<IpAddr>>,
    last_malformed: Mutex<Option<Malformed>>,
}

/// See [`Losses`]; in the log of whoever has the connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dropped {
    malformed: u64,
    how: Option<Malformed>,
    misdirected: u64,
    foreign: u64,
    from: Option<IpAddr>,
    refused: u64,
    crowded: u64,
}

impl Losses {
    pub(crate) fn malformed(&self, how: Option<Malformed>, count: u64) {
        self.malformed.fetch_add(count, Ordering::Relaxed);
        let mut last = self.last_malformed.lock();
        **last.as_mut().unwrap_or_else(|e| e.get_mut()) = how;
    }

    pub(crate) fn misdirected(&self) {
        self.misdirected.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn foreign(&self, source: IpAddr) {
        self.foreign.fetch_add(1, Ordering::Relaxed);
        let mut first = self.first_foreign.lock();
        first
            .as_mut()
            .unwrap_or_else(|e| e.get_mut())
            .get_or_insert(source);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

impl Peer {
    /// What was lost since this was last asked.
    pub(crate) fn take_dropped(&self) -> Option<Dropped> {
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        let losses = &self.losses;
        let dropped = Dropped {
            malformed: take(&losses.malformed),
            how: take_from(&losses.last_malformed),
            misdirected: take(&losses.misdirected),
            foreign: take(&losses.foreign),
            from: take_from(&losses.first_foreign),
            refused: take(&losses.refused),
            crowded: self.queue.take_dropped(),
        };
        (dropped != Dropped::default()).then_some(dropped)
    }
}

fn take_from<T>(place: &Mutex<Option<T>>) -> Option<T> {
    place.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.malformed > 0 {
            let how = self.how.as_ref().map(ToString::to_string);
            let how = how.unwrap_or_else(|| "longer than any packet".to_owned());
            parts.push(format!("{} malformed ({how})", self.malformed));
        }
        if self.foreign > 0 {
            let from = self.from.map(|ip| format!(", such as {ip}"));
            parts.push(format!(
                "{} from addresses that are not the peer's{}",
                self.foreign,
                from.unwrap_or_default()
            ));
        }
        for (count, what) in [
            (self.misdirected, "for no machine's address"),
            (self.refused, "that the device did not take"),
            (self.crowded, "that found the queue to the peer full"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        write!(f, "packets dropped: {}", parts.join(", "))
    }
}
