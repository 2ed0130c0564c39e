//! Who is connected now: which users, from where, to what, since when, with how many bytes; and how one of them
//! is ended.
//!
//! The bytes are those that a user's relay counts for itself. There are many tables, so that those who come and
//! go do not wait for each other, and whoever looks at all holds each for a few entries only.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Bound;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::relay::{RelayError, Relayed, Traffic};

/// Entries that are looked at under one lock.
const UNDER_LOCK: usize = 256;

/// Tables; threads are fewer.
const TABLES: usize = 64;

/// All users' connections.
#[derive(Debug)]
pub struct Conns<T> {
    tables: Vec<Mutex<Table<T>>>,
    open: AtomicUsize,
    entered: AtomicU64,
    /// What ids are made with: an odd factor, and where they begin.
    factor: u64,
    first: u64,
    start: Instant,
    /// Behind 1970.
    started: Duration,
    ended: Arc<Notify>,
}

type Table<T> = BTreeMap<u64, Arc<Conn<T>>>;

/// What connections belong to.
pub trait Owner {
    /// A user has come.
    fn entered(&self) {}

    /// One has gone, after this time.
    fn left(&self, _: &Conn<Self>, _lasted: Duration)
    where
        Self: Sized,
    {
    }
}

/// One user's connection.
#[derive(Debug)]
pub struct Conn<T> {
    id: u64,
    /// Behind the start of the program.
    since: Duration,
    /// Where the user comes from; of a visitor's user that is the visitor.
    pub from: Option<SocketAddr>,
    /// What it belongs to.
    pub owner: Arc<T>,
    /// Its bytes.
    pub traffic: Traffic,
    ending: Arc<Ending>,
    end: OnceLock<End>,
}

/// Why a user's connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The user closed first.
    User,
    /// The service did.
    Service,
    /// The user's connection was reset, or timed out.
    UserFailed,
    /// The service's was, or what lies between.
    ServiceFailed,
    /// One side had ended, and the other did nothing for long.
    Idle,
    /// There was nobody to serve the user.
    Unserved,
    /// The client's session is over, or what carried its datagrams.
    ClientGone,
    /// The program ends.
    Stopped,
    /// Somebody has ended it.
    Administrator,
    /// Its user's address was banned.
    Banned,
}

impl End {
    /// Of a relay; `user_is_near`: or else it is at the far side.
    pub fn of(relayed: &Relayed, user_is_near: bool) -> Self {
        let of = |is_users: bool, users, others| if is_users { users } else { others };
        match (&relayed.end, relayed.near_first) {
            (Ok(()), near_first) => {
                let near_first = near_first.unwrap_or(user_is_near);
                of(near_first == user_is_near, Self::User, Self::Service)
            }
            (Err(RelayError::Near(_)), _) => {
                of(user_is_near, Self::UserFailed, Self::ServiceFailed)
            }
            (Err(RelayError::Far(_)), _) => {
                of(!user_is_near, Self::UserFailed, Self::ServiceFailed)
            }
            (Err(RelayError::HalfClosedIdle | RelayError::NotDelivered), _) => Self::Idle,
        }
    }

    /// In an access log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user closed",
            Self::Service => "service closed",
            Self::UserFailed => "user failed",
            Self::ServiceFailed => "service failed",
            Self::Idle => "idle",
            Self::Unserved => "not served",
            Self::ClientGone => "client gone",
            Self::Stopped => "program stopped",
            Self::Administrator => "ended by an administrator",
            Self::Banned => "address banned",
        }
    }
}

/// What ends a user's connection from outside.
#[derive(Debug, Default)]
pub struct Ending {
    why: AtomicU8,
    changed: Notify,
}

/// What [`Ending::why`] is.
const NOT_ENDED: u8 = 0;
const BY_ADMINISTRATOR: u8 = 1;
const BY_BAN: u8 = 2;

/// A place among the connections, given back on drop.
#[derive(Debug)]
pub struct Place<T: Owner> {
    conn: Arc<Conn<T>>,
    conns: Arc<Conns<T>>,
}

impl<T: Owner> Conns<T> {
    /// None yet. Ids are made with these two, which should be random.
    pub fn new([factor, first]: [u64; 2]) -> Self {
        Self {
            tables: (0..TABLES).map(|_| Mutex::default()).collect(),
            open: AtomicUsize::new(0),
            entered: AtomicU64::new(0),
            factor: factor | 1,
            first,
            start: Instant::now(),
            started: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
            ended: Arc::default(),
        }
    }

    /// A user has come; `ending` ends it. `id` is what another program calls it.
    pub fn enter(
        self: &Arc<Self>,
        from: Option<SocketAddr>,
        owner: &Arc<T>,
        ending: &Arc<Ending>,
        id: Option<u64>,
    ) -> Place<T> {
        let number = self.entered.fetch_add(1, Ordering::Relaxed);
        // An odd factor gives no id twice.
        let own = number.wrapping_mul(self.factor).wrapping_add(self.first);
        let given = id.filter(|id| !self.table(*id).contains_key(id));
        let conn = Arc::new(Conn {
            id: given.unwrap_or(own),
            since: self.start.elapsed(),
            from,
            owner: owner.clone(),
            traffic: Traffic::default(),
            ending: ending.clone(),
            end: OnceLock::new(),
        });
        self.open.fetch_add(1, Ordering::Relaxed);
        owner.entered();
        self.table(conn.id).insert(conn.id, conn.clone());
        let conns = self.clone();
        Place { conn, conns }
    }

    /// How many there are.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Those that `wanted` says, in the order in which they came, the latest first.
    pub fn find(&self, wanted: impl Fn(&Conn<T>) -> bool) -> Vec<Arc<Conn<T>>> {
        let mut found = Vec::new();
        for table in &self.tables {
            let mut after = Bound::Unbounded;
            loop {
                let table = lock(table);
                let mut last = None;
                for (id, conn) in table.range((after, Bound::Unbounded)).take(UNDER_LOCK) {
                    last = Some(*id);
                    if wanted(conn) {
                        found.push(conn.clone());
                    }
                }
                match last {
                    Some(id) => after = Bound::Excluded(id),
                    None => break,
                }
            }
        }
        found.sort_by_key(|conn| (std::cmp::Reverse(conn.since), conn.id));
        found
    }

    /// The one that [`Conn::id`] names.
    pub fn by_id(&self, id: &str) -> Option<Arc<Conn<T>>> {
        let number = u64::from_str_radix(id, 16).ok()?;
        let conn = self.table(number).get(&number).cloned()?;
        (conn.id() == id).then_some(conn)
    }

    /// Ends it, as an administrator wants.
    pub fn end(&self, conn: &Conn<T>) {
        conn.ending.end(BY_ADMINISTRATOR);
        self.ended.notify_waiters();
    }

    /// Ends those that `wanted` says, whose users were banned.
    pub fn end_banned(&self, wanted: impl Fn(&Conn<T>) -> bool) {
        let banned = self.find(wanted);
        if banned.is_empty() {
            return;
        }
        for conn in banned {
            conn.ending.end(BY_BAN);
        }
        self.ended.notify_waiters();
    }

    /// Completes when anybody is ended: for those who serve many without a wait for each.
    pub fn somebody_ended(&self) -> OwnedNotified {
        self.ended.clone().notified_owned()
    }

    /// When it has come: time behind 1970.
    pub fn started(&self, conn: &Conn<T>) -> Duration {
        self.started + conn.since
    }

    /// How long it has been there.
    pub fn lasted(&self, conn: &Conn<T>) -> Duration {
        self.start.elapsed().saturating_sub(conn.since)
    }

    fn table(&self, id: u64) -> MutexGuard<'_, Table<T>> {
        let at = (id % TABLES as u64) as usize;
        // There are so many.
        #[allow(clippy::indexing_slicing)]
        lock(&self.tables[at])
    }
}

impl<T> Conn<T> {
    /// Why it ends; the first who says so is right.
    pub fn ends(&self, end: End) {
        let _ = self.end.set(end);
    }

    /// Why it ended.
    pub fn end(&self) -> Option<End> {
        self.ending.why().or_else(|| self.end.get().copied())
    }

    /// As a number.
    pub fn number(&self) -> u64 {
        self.id
    }

    /// Its name: as long as the program runs no other has it.
    pub fn id(&self) -> String {
        format!("{:016x}", self.id)
    }
}

impl Ending {
    fn end(&self, why: u8) {
        // The first who says so is right.
        let _ = self
            .why
            .compare_exchange(NOT_ENDED, why, Ordering::AcqRel, Ordering::Acquire);
        self.changed.notify_waiters();
    }

    /// Ends the connection because its address is banned. Who serves many users without a wait for each does not notice.
    pub fn ban(&self) {
        self.end(BY_BAN);
    }

    /// Whether somebody has.
    pub fn is_ended(&self) -> bool {
        self.why().is_some()
    }

    /// Why, if somebody has.
    pub fn why(&self) -> Option<End> {
        match self.why.load(Ordering::Acquire) {
            NOT_ENDED => None,
            BY_BAN => Some(End::Banned),
            _ => Some(End::Administrator),
        }
    }

    /// Completes once somebody has ended the connection.
    pub async fn ended(&self) {
        let changed = self.changed.notified();
        if !self.is_ended() {
            changed.await;
        }
    }
}

impl<T: Owner> Place<T> {
    /// The connection.
    pub fn conn(&self) -> &Arc<Conn<T>> {
        &self.conn
    }
}

impl<T: Owner> Drop for Place<T> {
    fn drop(&mut self) {
        let Self { conn, conns } = self;
        let gone = conns.table(conn.id).remove(&conn.id);
        conns.open.fetch_sub(1, Ordering::Relaxed);
        conn.owner.left(conn, conns.lasted(conn));
        drop(gone);
    }
}

fn lock<T>(table: &Mutex<Table<T>>) -> MutexGuard<'_, Table<T>> {
    // Nothing panics while holding the lock; if something did, the table would still be whole.
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that an idle user costs here, about: its place in the table, too.
    #[test]
    fn a_connection_takes_little_memory() {
        let arcs = 2 * 2 * size_of::<usize>();
        let place = 2 * size_of::<(u64, Arc<Conn<()>>)>();
        let size = size_of::<Conn<()>>() + size_of::<Ending>() + arcs + place;
        assert!(size <= 240, "{size} bytes");
    }
}
