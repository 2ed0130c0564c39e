//! Counters of proxies and their traffic (frp `pkg/metrics/mem`, `pkg/metrics/prometheus`).
//!
//! The data path adds to atomics of its own proxy and knows nothing of this module. Days are made
//! of them by sampling: with every question, and once a minute so that little of a day's traffic
//! is counted for the next.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use frp_net::relay::Traffic;
use frp_proto::msg::NewProxy;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ZonedDateTime};

/// Days that traffic is kept for, today included.
pub(crate) const DAYS: usize = 7;

/// Closed proxies are forgotten after this time.
const REMEMBERED_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The longest time closed makes room beyond this many closed proxies.
const MAX_OFFLINE: usize = 10_000;

/// What the connections of one proxy add to.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) traffic: Traffic,
    open: AtomicU64,
    opened: AtomicU64,
}

/// A user's connection being served, counted until dropped.
#[derive(Debug)]
pub(crate) struct Serving(Arc<Counters>);

impl Counters {
    pub(crate) fn serving(self: &Arc<Self>) -> Serving {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.opened.fetch_add(1, Ordering::Relaxed);
        Serving(self.clone())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The counters of all proxies, those closed lately among them.
#[derive(Debug)]
pub(crate) struct Metrics {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    today: Date,
    proxies: BTreeMap<String, Entry>,
    /// Running proxies per type; a type stays when its last proxy is gone.
    types: BTreeMap<String, u64>,
    total: [Amount; DAYS],
}

#[derive(Debug)]
struct Entry {
    kind: String,
    user: String,
    client_id: String,
    counters: Arc<Counters>,
    /// What of the counters is in the days already.
    sampled: Amount,
    days: [Amount; DAYS],
    started: Timestamp,
    closed: Option<Timestamp>,
    /// While it runs.
    running: Option<Arc<NewProxy>>,
}

/// Bytes of both directions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    /// From users to the client.
    pub(crate) inward: u64,
    /// From the client to users.
    pub(crate) outward: u64,
}

/// A proxy as it stands at one moment.
#[derive(Debug, Clone)]
pub(crate) struct ProxyStats {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) user: String,
    pub(crate) client_id: String,
    /// Today first.
    pub(crate) days: [Amount; DAYS],
    /// Since the proxy was first seen.
    pub(crate) traffic: Amount,
    pub(crate) connections: u64,
    pub(crate) ever_connected: bool,
    pub(crate) started: Timestamp,
    pub(crate) closed: Option<Timestamp>,
    /// As the client registered it, with the port that it got; `None` when it is closed.
    pub(crate) running: Option<Arc<NewProxy>>,
}

/// The server as it stands at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Totals {
    pub(crate) today: Amount,
    pub(crate) connections: u64,
    pub(crate) types: BTreeMap<String, u64>,
}

/// What pruning did: entries before, and how many of them went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Pruned {
    pub(crate) cleared: usize,
    pub(crate) total: usize,
}

/// A running proxy, marked closed on drop.
#[derive(Debug)]
pub(crate) struct Running {
    name: String,
    kind: String,
    state: Arc<Mutex<State>>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let state = State {
            today: ZonedDateTime::now().date(),
            proxies: BTreeMap::new(),
            types: BTreeMap::new(),
            total: Default::default(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// The counters of the proxy `name`, those of its earlier runs where it had any.
    pub(crate) fn counters(&self, name: &str, kind: &str) -> Arc<Counters> {
        let state = lock(&self.state);
        let known = state.proxies.get(name).filter(|e| e.kind == kind);
        known.map_or_else(Arc::default, |entry| entry.counters.clone())
    }

    /// Counts `proxy` as running; its connections add to `counters`.
    pub(crate) fn start(
        &self,
        proxy: NewProxy,
        user: &str,
        client_id: &str,
        counters: &Arc<Counters>,
    ) -> Running {
        let (name, kind) = (proxy.proxy_name.clone(), proxy.kind().to_owned());
        let now = Timestamp::now();
        let mut state = lock(&self.state);
        *state.types.entry(kind.clone()).or_default() += 1;
        // A name that has another type now begins anew, as in frp.
        let known = state
            .proxies
            .remove(&name)
            .filter(|e| e.kind == kind && Arc::ptr_eq(&e.counters, counters));
        let mut entry = known.unwrap_or_else(|| Entry {
            kind: kind.clone(),
            user: String::new(),
            client_id: String::new(),
            counters: counters.clone(),
            sampled: Amount::default(),
            days: Default::default(),
            started: now,
            closed: None,
            running: None,
        });
        user.clone_into(&mut entry.user);
        client_id.clone_into(&mut entry.client_id);
        entry.started = now;
        entry.running = Some(Arc::new(proxy));
        state.proxies.insert(name.clone(), entry);
        Running {
            name,
            kind,
            state: self.state.clone(),
        }
    }

    pub(crate) fn totals(&self) -> Totals {
        let mut state = lock(&self.state);
        state.sample(ZonedDateTime::now().date());
        let open = |entry: &Entry| entry.counters.open.load(Ordering::Relaxed);
        Totals {
            today: state.total[0],
            connections: state.proxies.values().map(open).sum(),
            types: state.types.clone(),
        }
    }

    /// All proxies, sorted by name.
    pub(crate) fn all(&self) -> Vec<ProxyStats> {
        let mut state = lock(&self.state);
        state.sample(ZonedDateTime::now().date());
        let stats = |(name, entry): (&String, &Entry)| entry.stats(name);
        state.proxies.iter().map(stats).collect()
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<ProxyStats> {
        let mut state = lock(&self.state);
        state.sample(ZonedDateTime::now().date());
        state.proxies.get(name).map(|entry| entry.stats(name))
    }

    /// Forgets every closed proxy that no user is connected to any more.
    pub(crate) fn prune(&self) -> Pruned {
        lock(&self.state).prune(Timestamp::MAX)
    }

    /// What is to be done every minute.
    pub(crate) fn tick(&self) {
        let mut state = lock(&self.state);
        state.sample(ZonedDateTime::now().date());
        state.prune(Timestamp::now() - REMEMBERED_FOR);
    }
}

impl State {
    /// Puts what the counters have gained into the days, then turns the days to `date`.
    fn sample(&mut self, date: Date) {
        for entry in self.proxies.values_mut() {
            let (before, now) = (entry.sampled, entry.counters.amount());
            entry.sampled = now;
            let gained = now.minus(before);
            entry.days[0].add(gained);
            self.total[0].add(gained);
        }
        let passed = (date - self.today).get_days();
        // A clock that was set back ends no day.
        let passed = usize::try_from(passed).unwrap_or(0).min(DAYS);
        if passed > 0 {
            self.today = date;
            turn(&mut self.total, passed);
            for entry in self.proxies.values_mut() {
                turn(&mut entry.days, passed);
            }
        }
    }

    fn prune(&mut self, limit: Timestamp) -> Pruned {
        let total = self.proxies.len();
        self.sample(self.today);
        self.proxies.retain(|_, entry| {
            let gone = entry.is_idle() && entry.closed.is_some_and(|at| at < limit);
            !gone
        });
        Pruned {
            cleared: total - self.proxies.len(),
            total,
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self
            .proxies
            .iter()
            .filter(|(_, entry)| entry.is_idle())
            .filter_map(|(name, entry)| Some((entry.closed?, name)))
            .min()
            .map(|(_, name)| name.clone());
        if let Some(name) = oldest {
            self.sample(self.today);
            self.proxies.remove(&name);
        }
    }
}

impl Entry {
    fn is_idle(&self) -> bool {
        self.running.is_none() && self.counters.open.load(Ordering::Relaxed) == 0
    }

    fn stats(&self, name: &str) -> ProxyStats {
        ProxyStats {
            name: name.to_owned(),
            kind: self.kind.clone(),
            user: self.user.clone(),
            client_id: self.client_id.clone(),
            days: self.days,
            traffic: self.sampled,
            connections: self.counters.open.load(Ordering::Relaxed),
            ever_connected: self.counters.opened.load(Ordering::Relaxed) > 0,
            started: self.started,
            closed: self.closed,
            running: self.running.clone(),
        }
    }
}

impl Counters {
    fn amount(&self) -> Amount {
        Amount {
            inward: self.traffic.near_to_far(),
            outward: self.traffic.far_to_near(),
        }
    }
}

impl Amount {
    fn add(&mut self, more: Self) {
        self.inward += more.inward;
        self.outward += more.outward;
    }

    fn minus(self, less: Self) -> Self {
        Self {
            inward: self.inward.saturating_sub(less.inward),
            outward: self.outward.saturating_sub(less.outward),
        }
    }
}

fn turn(days: &mut [Amount; DAYS], passed: usize) {
    days.rotate_right(passed % DAYS);
    for day in days.iter_mut().take(passed) {
        *day = Amount::default();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        if let Some(count) = state.types.get_mut(&self.kind) {
            *count -= 1;
        }
        let running: u64 = state.types.values().sum();
        if let Some(entry) = state.proxies.get_mut(&self.name) {
            entry.running = None;
            entry.closed = Some(Timestamp::now());
        }
        let running = usize::try_from(running).unwrap_or(usize::MAX);
        if state.proxies.len().saturating_sub(running) > MAX_OFFLINE {
            state.forget_oldest();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Nothing panics while holding the lock; if something did, the maps would still be whole.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn start(metrics: &Metrics, name: &str) -> (Running, Arc<Counters>) {
        let proxy = NewProxy {
            proxy_name: name.to_owned(),
            ..NewProxy::default()
        };
        let counters = metrics.counters(name, "tcp");
        let running = metrics.start(proxy, "u", "office", &counters);
        (running, counters)
    }

    fn amount(inward: u64) -> Amount {
        Amount { inward, outward: 0 }
    }

    #[test]
    fn a_proxy_keeps_its_counters_over_a_restart() {
        let metrics = Metrics::new();
        let (running, counters) = start(&metrics, "p");
        let connection = counters.serving();
        let stats = metrics.by_name("p").unwrap();
        assert_eq!((stats.connections, stats.ever_connected), (1, true));
        assert_eq!(stats.client_id, "office");
        assert_eq!(metrics.totals().types["tcp"], 1);

        drop(running);
        let stats = metrics.by_name("p").unwrap();
        assert!(stats.running.is_none() && stats.closed.is_some());
        assert_eq!(metrics.totals().types["tcp"], 0, "the type stays");
        assert_eq!(metrics.totals().connections, 1);

        let (_running, again) = start(&metrics, "p");
        assert!(Arc::ptr_eq(&counters, &again));
        drop(connection);
        assert_eq!(metrics.totals().connections, 0);
    }

    #[test]
    fn only_what_nobody_uses_is_pruned() {
        let metrics = Metrics::new();
        let (_running, _) = start(&metrics, "running");
        let (closed, counters) = start(&metrics, "closed");
        let connection = counters.serving();
        drop(closed);
        drop(start(&metrics, "idle"));
        let pruned = |cleared, total| Pruned { cleared, total };
        metrics.tick();
        assert_eq!(metrics.prune(), pruned(1, 3));
        drop(connection);
        assert_eq!(metrics.prune(), pruned(1, 2));
        assert_eq!(metrics.prune(), pruned(0, 1));
    }

    #[test]
    fn memory_of_closed_proxies_is_bounded() {
        let metrics = Metrics::new();
        let (_running, _) = start(&metrics, "running");
        for i in 0..MAX_OFFLINE + 10 {
            drop(start(&metrics, &format!("p{i}")));
        }
        assert_eq!(metrics.all().len(), MAX_OFFLINE + 1);
        assert!(metrics.by_name("p0").is_none());
        assert!(metrics.by_name("running").is_some());
    }

    #[test]
    fn days_turn_and_fall_off_the_end() {
        let mut days: [Amount; DAYS] = Default::default();
        days[0] = amount(5);
        turn(&mut days, 1);
        days[0] = amount(3);
        assert_eq!(days[..3], [amount(3), amount(5), amount(0)]);
        turn(&mut days, 5);
        assert_eq!(days[5..], [amount(3), amount(5)]);
        turn(&mut days, 1);
        assert_eq!(days[6], amount(3));
        turn(&mut days, DAYS);
        assert_eq!(days, <[Amount; DAYS]>::default());
    }

    #[test]
    fn a_new_date_turns_the_days_once_and_an_old_one_never() {
        let metrics = Metrics::new();
        let (_running, _) = start(&metrics, "p");
        let mut state = lock(&metrics.state);
        state.proxies.get_mut("p").unwrap().days[0] = amount(7);
        let today = state.today;
        state.sample(today.yesterday().unwrap());
        state.sample(today.tomorrow().unwrap());
        state.sample(today.tomorrow().unwrap());
        assert_eq!(state.proxies["p"].days[1], amount(7));
    }
}
