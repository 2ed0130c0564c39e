//! Who is connected now: which users, from where, to which proxy, since when, with how many bytes; and how one
//! of them is ended.
//!
//! A user is here from its [entry](crate::proxy::user::UserConn::enter) to its end, once for each proxy that
//! it has come to. The bytes are those that its relay counts for itself. There are many tables, so that those
//! who come and go do not wait for each other, and whoever looks at all holds each for a few entries only.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Bound;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use frp_relay::relay::Traffic;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::metrics::Counters;
use crate::client::handle::SessionHandle;
use crate::limits::CONNS_UNDER_LOCK;
use crate::proxy::spec::ProxySpec;
use crate::random::random_bytes;

/// Tables; threads are fewer.
const TABLES: usize = 64;

/// All users' connections.
#[derive(Debug)]
pub(crate) struct Conns {
    tables: Vec<Mutex<Table>>,
    open: AtomicUsize,
    entered: AtomicU64,
    /// What ids are made with: an odd factor, and where they begin.
    factor: u64,
    first: u64,
    start: Instant,
    started: Timestamp,
    ended: Arc<Notify>,
}

type Table = BTreeMap<u64, Arc<Conn>>;

/// What the connections of one run of a proxy belong to.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) spec: Arc<ProxySpec>,
    pub(crate) client: Arc<SessionHandle>,
    pub(crate) counters: Arc<Counters>,
}

/// One user's connection to one proxy.
#[derive(Debug)]
pub(crate) struct Conn {
    id: u64,
    /// Behind the start of the program.
    since: Duration,
    /// Where the user comes from; of a visitor's user that is the visitor.
    pub(crate) from: Option<SocketAddr>,
    pub(crate) served: Arc<Served>,
    pub(crate) traffic: Traffic,
    ending: Arc<Ending>,
}

/// What ends a user's connection from outside.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    ended: AtomicBool,
    changed: Notify,
}

/// A place among the connections, given back on drop.
#[derive(Debug)]
pub(crate) struct Place {
    conn: Arc<Conn>,
    conns: Arc<Conns>,
}

impl Conns {
    pub(crate) fn new() -> Self {
        let [factor, first] = [random_bytes(), random_bytes()].map(u64::from_ne_bytes);
        Self {
            tables: (0..TABLES).map(|_| Mutex::default()).collect(),
            open: AtomicUsize::new(0),
            entered: AtomicU64::new(0),
            factor: factor | 1,
            first,
            start: Instant::now(),
            started: Timestamp::now(),
            ended: Arc::default(),
        }
    }

    /// A user has come to the proxy of `served`; `ending` ends it.
    pub(crate) fn enter(
        self: &Arc<Self>,
        from: Option<SocketAddr>,
        served: &Arc<Served>,
        ending: &Arc<Ending>,
    ) -> Place {
        let number = self.entered.fetch_add(1, Ordering::Relaxed);
        let conn = Arc::new(Conn {
            // An odd factor gives no id twice.
            id: number.wrapping_mul(self.factor).wrapping_add(self.first),
            since: self.start.elapsed(),
            from,
            served: served.clone(),
            traffic: Traffic::default(),
            ending: ending.clone(),
        });
        self.open.fetch_add(1, Ordering::Relaxed);
        served.counters.users.fetch_add(1, Ordering::Relaxed);
        served.client.conns.fetch_add(1, Ordering::Relaxed);
        self.table(conn.id).insert(conn.id, conn.clone());
        let conns = self.clone();
        Place { conn, conns }
    }

    /// How many there are.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Those that `wanted` says, in the order in which they came, the latest first.
    pub(crate) fn find(&self, wanted: impl Fn(&Conn) -> bool) -> Vec<Arc<Conn>> {
        let mut found = Vec::new();
        for table in &self.tables {
            let mut after = Bound::Unbounded;
            loop {
                let table = lock(table);
                let mut last = None;
                for (id, conn) in table
                    .range((after, Bound::Unbounded))
                    .take(CONNS_UNDER_LOCK)
                {
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
    pub(crate) fn by_id(&self, id: &str) -> Option<Arc<Conn>> {
        let number = u64::from_str_radix(id, 16).ok()?;
        let conn = self.table(number).get(&number).cloned()?;
        (conn.id() == id).then_some(conn)
    }

    /// Ends it.
    pub(crate) fn end(&self, conn: &Conn) {
        conn.ending.end();
        self.ended.notify_waiters();
    }

    /// Completes when anybody is ended: for those who serve many without a wait for each.
    pub(crate) fn somebody_ended(&self) -> OwnedNotified {
        self.ended.clone().notified_owned()
    }

    /// When it has come.
    pub(crate) fn started(&self, conn: &Conn) -> Timestamp {
        self.started + conn.since
    }

    fn table(&self, id: u64) -> MutexGuard<'_, Table> {
        let at = (id % TABLES as u64) as usize;
        // There are so many.
        #[allow(clippy::indexing_slicing)]
        lock(&self.tables[at])
    }
}

impl Conn {
    /// Its name: as long as the program runs no other has it.
    pub(crate) fn id(&self) -> String {
        format!("{:016x}", self.id)
    }
}

impl Ending {
    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Completes once somebody has ended the connection.
    pub(crate) async fn ended(&self) {
        let changed = self.changed.notified();
        if !self.is_ended() {
            changed.await;
        }
    }
}

impl Place {
    pub(crate) fn conn(&self) -> &Arc<Conn> {
        &self.conn
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Self { conn, conns } = self;
        let gone = conns.table(conn.id).remove(&conn.id);
        conns.open.fetch_sub(1, Ordering::Relaxed);
        conn.served.counters.users.fetch_sub(1, Ordering::Relaxed);
        conn.served.client.conns.fetch_sub(1, Ordering::Relaxed);
        drop(gone);
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
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
        let place = 2 * size_of::<(u64, Arc<Conn>)>();
        let size = size_of::<Conn>() + size_of::<Ending>() + arcs + place;
        assert!(size <= 240, "{size} bytes");
    }
}
