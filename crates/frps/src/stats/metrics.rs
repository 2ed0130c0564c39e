//! Counters of proxies and their traffic (frp `pkg/metrics/mem`, `pkg/metrics/prometheus`).
//!
//! The data path adds to atomics of its own proxy and knows nothing of this module. Days are made
//! of them by sampling: with every question, and once a minute so that little of a day's traffic
//! is counted for the next.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::{COME_BACK, STATS_UNDER_LOCK};
use frp_proto::names::ProxyType;
use frp_relay::relay::Traffic;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp, ZonedDateTime};

use crate::ended::{Ended, Turn};
use crate::proxy::spec::ProxySpec;

/// Days that traffic is kept for, today included.
pub(crate) const DAYS: usize = 7;

/// Closed proxies are forgotten after this time.
const REMEMBERED_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What the connections of one proxy add to.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) traffic: Traffic,
    open: AtomicU64,
    opened: AtomicU64,
    /// Users that are there; their requests share connections.
    pub(crate) users: AtomicU64,
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
    proxies: BTreeMap<Arc<str>, Entry>,
    /// Those that are closed.
    ended: Ended<Timestamp>,
    /// Running proxies per type; a type stays when its last proxy is gone.
    types: BTreeMap<&'static str, u64>,
    total: [Amount; DAYS],
    /// Those that ran before a restart, and until when they may come back.
    awaited: Option<(Timestamp, Vec<Arc<str>>)>,
    /// Since the program started, by type of proxy.
    carried: BTreeMap<&'static str, Amount>,
    /// How often a proxy has come or gone.
    revision: u64,
}

#[derive(Debug)]
struct Entry {
    kind: ProxyType,
    user: Arc<str>,
    client_id: Arc<str>,
    counters: Arc<Counters>,
    /// The first of `days`.
    today: Date,
    /// What of the counters is in the days already.
    sampled: Amount,
    days: [Amount; DAYS],
    started: Timestamp,
    closed: Option<Timestamp>,
    /// While it is closed.
    turn: Option<Turn>,
    /// While it runs.
    running: Option<Published>,
}

/// What runs.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) spec: Arc<ProxySpec>,
    /// That it got, where its type has one.
    pub(crate) port: Option<u16>,
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
    pub(crate) name: Arc<str>,
    pub(crate) kind: ProxyType,
    pub(crate) user: Arc<str>,
    pub(crate) client_id: Arc<str>,
    /// Today first.
    pub(crate) days: [Amount; DAYS],
    /// Since the proxy was first seen.
    pub(crate) traffic: Amount,
    pub(crate) connections: u64,
    pub(crate) users: u64,
    pub(crate) ever_connected: bool,
    pub(crate) started: Timestamp,
    pub(crate) closed: Option<Timestamp>,
    /// `None` when it is closed.
    pub(crate) running: Option<Published>,
}

/// The server as it stands at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Totals {
    pub(crate) today: Amount,
    /// Since the program started.
    pub(crate) carried: BTreeMap<&'static str, Amount>,
    /// Proxies that are closed.
    pub(crate) closed: usize,
    /// How often one has come or gone.
    pub(crate) revision: u64,
    pub(crate) connections: u64,
    pub(crate) types: BTreeMap<&'static str, u64>,
}

/// What survives a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The first of all days.
    pub(crate) today: Date,
    pub(crate) saved: Timestamp,
    /// Of all proxies, those forgotten, too.
    pub(crate) days: [Amount; DAYS],
    pub(crate) proxies: Vec<KeptProxy>,
}

/// What survives of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptProxy {
    pub(crate) name: Arc<str>,
    pub(crate) kind: ProxyType,
    pub(crate) user: Arc<str>,
    pub(crate) client_id: Arc<str>,
    pub(crate) days: [Amount; DAYS],
    pub(crate) started: Timestamp,
    /// `None` while it runs.
    pub(crate) closed: Option<Timestamp>,
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
    name: Arc<str>,
    kind: ProxyType,
    state: Arc<Mutex<State>>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let state = State {
            today: ZonedDateTime::now().date(),
            proxies: BTreeMap::new(),
            ended: Ended::default(),
            types: BTreeMap::new(),
            total: Default::default(),
            awaited: None,
            carried: BTreeMap::new(),
            revision: 0,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// The counters of the proxy `name`, those of its earlier runs where it had any.
    pub(crate) fn counters(&self, name: &str, kind: ProxyType) -> Arc<Counters> {
        let state = lock(&self.state);
        let known = state.proxies.get(name).filter(|e| e.kind == kind);
        known.map_or_else(Arc::default, |entry| entry.counters.clone())
    }

    /// Counts the proxy of `spec` as running, on `port` if its type has one; its connections add to
    /// `counters`. `owner` is the user and the client id.
    pub(crate) fn start(
        &self,
        spec: Arc<ProxySpec>,
        port: Option<u16>,
        (user, client_id): (&Arc<str>, &Arc<str>),
        counters: &Arc<Counters>,
    ) -> Running {
        let now = Timestamp::now();
        let mut state = lock(&self.state);
        let today = state.today;
        let (name, kind) = (spec.name.clone(), spec.proxy_type());
        *state.types.entry(kind.as_str()).or_default() += 1;
        // A name that has another type now begins anew, as in frp.
        let before = state.forget(&name);
        let known = before.filter(|e| e.kind == kind && Arc::ptr_eq(&e.counters, counters));
        let (sampled, days, day) = known.map_or_else(
            || (Amount::default(), Default::default(), today),
            |known| (known.sampled, known.days, known.today),
        );
        let entry = Entry {
            kind,
            user: user.clone(),
            client_id: client_id.clone(),
            counters: counters.clone(),
            today: day,
            sampled,
            days,
            started: now,
            closed: None,
            turn: None,
            running: Some(Published { spec, port }),
        };
        state.proxies.insert(name.clone(), entry);
        state.revision += 1;
        Running {
            name,
            kind,
            state: self.state.clone(),
        }
    }

    pub(crate) fn totals(&self) -> Totals {
        let mut connections = 0;
        self.each(|_, entry| connections += entry.counters.open.load(Ordering::Relaxed));
        let state = lock(&self.state);
        let running: u64 = state.types.values().sum();
        let running = usize::try_from(running).unwrap_or(usize::MAX);
        Totals {
            today: state.total[0],
            carried: state.carried.clone(),
            closed: state.proxies.len().saturating_sub(running),
            revision: state.revision,
            connections,
            types: state.types.clone(),
        }
    }

    /// All proxies, sorted by name.
    pub(crate) fn all(&self) -> Vec<ProxyStats> {
        let mut all = Vec::new();
        self.each(|name, entry| all.push(entry.stats(name)));
        all
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<ProxyStats> {
        let mut state = lock(&self.state);
        state.turn_to(ZonedDateTime::now().date());
        let State {
            today,
            proxies,
            total,
            carried,
            ..
        } = &mut *state;
        let (name, _) = proxies.get_key_value(name)?;
        let name = name.clone();
        let entry = proxies.get_mut(&name)?;
        let gained = entry.sample(*today);
        total[0].add(gained);
        carried.entry(entry.kind.as_str()).or_default().add(gained);
        Some(entry.stats(&name))
    }

    /// Forgets every closed proxy that no user is connected to any more.
    pub(crate) fn prune(&self) -> Pruned {
        let mut closed = Vec::new();
        let mut total = 0;
        self.each(|name, entry| {
            total += 1;
            if entry.is_idle() {
                closed.push(name.clone());
            }
        });
        let mut cleared = 0;
        for names in closed.chunks(STATS_UNDER_LOCK) {
            let mut state = lock(&self.state);
            for name in names {
                if state.proxies.get(name).is_some_and(Entry::is_idle) {
                    state.forget(name);
                    cleared += 1;
                }
            }
        }
        Pruned { cleared, total }
    }

    /// What is to be done every minute.
    pub(crate) fn tick(&self) {
        self.each(|_, _| {});
        let now = Timestamp::now();
        let mut state = lock(&self.state);
        state.await_no_longer(now);
        state.forget_old(now - REMEMBERED_FOR);
    }

    /// What is to survive a restart.
    pub(crate) fn kept(&self) -> Kept {
        let mut proxies = Vec::new();
        self.each(|name, entry| {
            proxies.push((
                entry.today,
                KeptProxy {
                    name: name.clone(),
                    kind: entry.kind,
                    user: entry.user.clone(),
                    client_id: entry.client_id.clone(),
                    days: entry.days,
                    started: entry.started,
                    closed: entry.closed,
                },
            ));
        });
        let state = lock(&self.state);
        let today = state.today;
        let proxies = proxies.into_iter().map(|(day, mut proxy)| {
            // Where a day has ended meanwhile.
            turn(&mut proxy.days, days_between(day, today));
            proxy
        });
        Kept {
            today,
            saved: Timestamp::now(),
            days: state.total,
            proxies: proxies.collect(),
        }
    }

    /// Goes on from there, before any proxy runs. Those that ran have closed then, and may come back.
    pub(crate) fn restore(&self, mut kept: Kept) {
        // Ends are remembered in their order.
        kept.proxies.sort_by_key(|proxy| proxy.closed);
        let mut state = lock(&self.state);
        state.turn_to(ZonedDateTime::now().date());
        let today = state.today;
        let passed = days_between(kept.today, today);
        state.total = kept.days;
        turn(&mut state.total, passed);
        let mut awaited = Vec::new();
        for mut proxy in kept.proxies {
            turn(&mut proxy.days, passed);
            let name = proxy.name;
            let text = name.len() + proxy.user.len() + proxy.client_id.len();
            let turn = proxy
                .closed
                .map(|at| state.ended.push(name.clone(), at, text));
            if turn.is_none() {
                awaited.push(name.clone());
            }
            let entry = Entry {
                kind: proxy.kind,
                user: proxy.user,
                client_id: proxy.client_id,
                counters: Arc::default(),
                today,
                sampled: Amount::default(),
                days: proxy.days,
                started: proxy.started,
                closed: Some(proxy.closed.unwrap_or(kept.saved)),
                turn,
                running: None,
            };
            if let Some(turn) = state
                .proxies
                .insert(name, entry)
                .and_then(|twice| twice.turn)
            {
                state.ended.remove(turn);
            }
        }
        let now = Timestamp::now();
        state.awaited = Some((now + COME_BACK, awaited));
        state.forget_old(now - REMEMBERED_FOR);
    }

    /// Looks at every proxy, counted up to now, in the order of their names. Some at a time, so that
    /// proxies can start and end meanwhile.
    fn each(&self, mut look: impl FnMut(&Arc<str>, &Entry)) {
        let mut after = Bound::Unbounded;
        loop {
            let mut state = lock(&self.state);
            state.turn_to(ZonedDateTime::now().date());
            let State {
                today,
                proxies,
                total,
                carried,
                ..
            } = &mut *state;
            let mut last = None;
            let some = proxies.range_mut::<str, _>((
                after.as_ref().map(|name: &Arc<str>| &**name),
                Bound::Unbounded,
            ));
            for (name, entry) in some.take(STATS_UNDER_LOCK) {
                let gained = entry.sample(*today);
                total[0].add(gained);
                carried.entry(entry.kind.as_str()).or_default().add(gained);
                look(name, entry);
                last = Some(name.clone());
            }
            drop(state);
            match last {
                Some(name) => after = Bound::Excluded(name),
                None => return,
            }
        }
    }
}

impl State {
    /// Makes `date` the first day. A clock that was set back ends no day.
    fn turn_to(&mut self, date: Date) {
        let passed = days_between(self.today, date);
        if passed > 0 {
            self.today = date;
            turn(&mut self.total, passed);
        }
    }

    /// Takes the entry of `name` out. What it counted stays in the total.
    fn forget(&mut self, name: &str) -> Option<Entry> {
        let mut entry = self.proxies.remove(name)?;
        let gained = entry.sample(self.today);
        self.total[0].add(gained);
        let carried = self.carried.entry(entry.kind.as_str()).or_default();
        carried.add(gained);
        self.revision += 1;
        if let Some(turn) = entry.turn {
            self.ended.remove(turn);
        }
        Some(entry)
    }

    /// Has those that did not come back after a restart count among the ended ones.
    fn await_no_longer(&mut self, now: Timestamp) {
        let Some((_, names)) = self.awaited.take_if(|(until, _)| *until < now) else {
            return;
        };
        for name in names {
            if let Some(entry) = self.proxies.get_mut(&name)
                && let (None, None, Some(at)) = (&entry.running, entry.turn, entry.closed)
            {
                let text = name.len() + entry.user.len() + entry.client_id.len();
                entry.turn = Some(self.ended.push(name, at, text));
            }
        }
    }

    /// Forgets who has closed before `limit`, and the longest closed where there are too many.
    fn forget_old(&mut self, limit: Timestamp) {
        while let Some(name) = self.ended.pop(|closed| *closed < limit) {
            self.forget(&name);
        }
    }
}

impl Entry {
    fn is_idle(&self) -> bool {
        self.running.is_none() && self.counters.open.load(Ordering::Relaxed) == 0
    }

    /// Puts what the counters have gained into the days, and says how much that is. What comes
    /// between two samples counts for the day of the second one.
    fn sample(&mut self, date: Date) -> Amount {
        let passed = days_between(self.today, date);
        if passed > 0 {
            self.today = date;
            turn(&mut self.days, passed);
        }
        let (before, now) = (self.sampled, self.counters.amount());
        self.sampled = now;
        let gained = now.minus(before);
        self.days[0].add(gained);
        gained
    }

    fn stats(&self, name: &Arc<str>) -> ProxyStats {
        ProxyStats {
            name: name.clone(),
            kind: self.kind,
            user: self.user.clone(),
            client_id: self.client_id.clone(),
            days: self.days,
            traffic: self.sampled,
            connections: self.counters.open.load(Ordering::Relaxed),
            users: self.counters.users.load(Ordering::Relaxed),
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

impl Totals {
    /// Of all types.
    pub(crate) fn all_carried(&self) -> Amount {
        let mut all = Amount::default();
        self.carried.values().for_each(|amount| all.add(*amount));
        all
    }
}

impl Amount {
    fn add(&mut self, more: Self) {
        self.inward = self.inward.saturating_add(more.inward);
        self.outward = self.outward.saturating_add(more.outward);
    }

    fn minus(self, less: Self) -> Self {
        Self {
            inward: self.inward.saturating_sub(less.inward),
            outward: self.outward.saturating_sub(less.outward),
        }
    }
}

fn days_between(earlier: Date, later: Date) -> usize {
    usize::try_from((later - earlier).get_days())
        .unwrap_or(0)
        .min(DAYS)
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
        let State {
            proxies,
            ended,
            types,
            ..
        } = &mut *state;
        if let Some(count) = types.get_mut(self.kind.as_str()) {
            *count -= 1;
        }
        let now = Timestamp::now();
        let mut gone = None;
        if let Some(entry) = proxies.get_mut(&self.name) {
            gone = entry.running.take();
            entry.closed = Some(now);
            let text = self.name.len() + entry.user.len() + entry.client_id.len();
            entry.turn = Some(ended.push(self.name.clone(), now, text));
        }
        state.revision += 1;
        state.forget_old(now - REMEMBERED_FOR);
        drop(state);
        drop(gone);
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
    use crate::limits::{MAX_ENDED, MAX_ENDED_TEXT};
    use frp_proto::msg::NewProxy;

    fn start(metrics: &Metrics, name: &str) -> (Running, Arc<Counters>) {
        let spec = ProxySpec::read(&NewProxy {
            proxy_name: name.to_owned(),
            ..NewProxy::default()
        });
        let counters = metrics.counters(name, ProxyType::Tcp);
        let owner = (&"u".into(), &"office".into());
        let running = metrics.start(Arc::new(spec.unwrap()), Some(1), owner, &counters);
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
        assert_eq!(&*stats.client_id, "office");
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
        for i in 0..MAX_ENDED + 10 {
            let (closing, counters) = start(&metrics, &format!("p{i}"));
            counters.traffic.add_near_to_far(1);
            drop(closing);
        }
        assert_eq!(metrics.all().len(), MAX_ENDED + 1);
        assert!(metrics.by_name("p0").is_none());
        assert!(metrics.by_name("running").is_some());
        let carried = u64::try_from(MAX_ENDED).unwrap() + 10;
        assert_eq!(metrics.totals().today, amount(carried), "of all of them");
        // In bytes, too.
        drop(start(&metrics, &"n".repeat(MAX_ENDED_TEXT)));
        assert_eq!(metrics.all().len(), 1);
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
        let today = state.today;
        let mut entry = state.proxies.remove("p").unwrap();
        entry.days[0] = amount(7);
        for date in [
            today.yesterday().unwrap(),
            today.tomorrow().unwrap(),
            today.tomorrow().unwrap(),
            today,
        ] {
            entry.sample(date);
            state.turn_to(date);
        }
        assert_eq!(entry.days[1], amount(7));
        assert_eq!(state.today, today.tomorrow().unwrap());
    }
}
