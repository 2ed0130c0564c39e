//! Which users have come to proxies whose client says what becomes of them ([`UserReport`]), and of whom is it still to
//! be heard?
//!
//! A user is awaited from when it comes until the client says that its service has let it in or has done with it, or
//! until some time after its end, for what is said of it comes later. Of one source no more are awaited at a time than may fail before it
//! is banned: however many come at once, no more of them get as far as a guess. Others wait for their turn.
//!
//! What a client says of anybody else is not believed.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use frp_proto::msg::UserReport;
use frp_relay::conns::Ending;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::bans::sources::source;
use crate::limits::{
    MAX_VISITS, MAX_VISITS_WAITING, REPORT_LATEST, REPORT_WAIT, VISIT_LOGIN, VISIT_TURN,
};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Visits {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    all: HashMap<u64, Visit>,
    /// By the names of proxies and the addresses of users; users of a visitor share the visitor's.
    called: HashMap<Called, Vec<u64>>,
    /// By their sources.
    of: HashMap<IpAddr, Vec<u64>>,
    /// How many wait, by their sources.
    waiting: HashMap<IpAddr, usize>,
    /// Those that have ended, the first ones first.
    ended: VecDeque<(Instant, u64)>,
    next: u64,
}

type Called = (Arc<str>, SocketAddr);

#[derive(Debug)]
struct Visit {
    called: Called,
    came: Instant,
    ended: Option<Instant>,
    /// The service has let it in.
    is_in: bool,
    /// Nothing more will be said of it.
    is_over: bool,
    ending: Arc<Ending>,
}

/// A user is there, until dropped.
#[derive(Debug)]
pub(crate) struct Visiting {
    id: Option<u64>,
    visits: Arc<Visits>,
}

/// Why a user may not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotNow {
    /// Its source is banned.
    Banned,
    /// Others of its source have not logged in for too long, or wait for it.
    Crowded,
}

impl Visits {
    /// A user comes from `from`, whom `ending` ends; its source may fail as often as `left` says, which is 0 once it is
    /// banned.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        proxy: &Arc<str>,
        from: SocketAddr,
        ending: &Arc<Ending>,
        left: impl Fn(IpAddr) -> Option<u32>,
    ) -> Result<Visiting, NotNow> {
        let from = canonical(from);
        let until = Instant::now() + VISIT_TURN;
        let mut waiting = None;
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let left = left(from.ip());
            if left == Some(0) {
                return Err(NotNow::Banned);
            }
            let now = Instant::now();
            let next = {
                let mut state = self.lock();
                state.forget(now);
                let (awaited, next) = state.awaited(from.ip(), now);
                match next.filter(|_| left.is_some_and(|left| awaited >= left as usize)) {
                    Some(next) => next,
                    None => {
                        let id = state.enter((proxy.clone(), from), now, ending);
                        let visits = self.clone();
                        return Ok(Visiting { id, visits });
                    }
                }
            };
            if now >= until {
                return Err(NotNow::Crowded);
            }
            if waiting.is_none() {
                waiting = Some(self.wait(from.ip()).ok_or(NotNow::Crowded)?);
            }
            tokio::select! {
                () = changed => {}
                () = sleep_until(next.min(until)) => {}
            }
        }
    }

    /// Whom a client tells of: the name of the proxy and the address, if such a user has been there lately.
    pub(crate) fn told(&self, report: &UserReport) -> Option<(Arc<str>, IpAddr)> {
        let ip: IpAddr = report.src_addr.parse().ok()?;
        let from = canonical(SocketAddr::new(ip, report.src_port));
        let called = (report.proxy_name.as_str().into(), from);
        let mut state = self.lock();
        state.forget(Instant::now());
        let ids = state.called.get(&called)?.clone();
        // With neither the service has done with the user.
        let is_over = report.failures == 0 && !report.accepted;
        if is_over || report.accepted {
            let awaited = |id: &&u64| {
                let visit = state.all.get(id);
                visit.is_some_and(|visit| !visit.is_in && !visit.is_over)
            };
            let id = ids.iter().find(awaited).copied();
            if let Some(visit) = id.and_then(|id| state.all.get_mut(&id)) {
                visit.is_in = report.accepted;
                visit.is_over = is_over;
            }
        }
        drop(state);
        self.changed.notify_waiters();
        Some((called.0, from.ip()))
    }

    /// Ends those of the source of `ip` that have not logged in.
    pub(crate) fn end_those_at(&self, ip: IpAddr) {
        let state = self.lock();
        let ids = state.of.get(&source(ip)).into_iter().flatten();
        let visits = ids.filter_map(|id| state.all.get(id));
        let outside = visits.filter(|visit| !visit.is_in && visit.ended.is_none());
        let endings: Vec<Arc<Ending>> = outside.map(|visit| visit.ending.clone()).collect();
        drop(state);
        for ending in endings {
            ending.ban();
        }
        self.changed.notify_waiters();
    }

    /// A place among those of the source of `ip` who wait.
    fn wait(&self, ip: IpAddr) -> Option<Waiting<'_>> {
        let source = source(ip);
        let mut state = self.lock();
        let waiting = state.waiting.entry(source).or_default();
        if *waiting >= MAX_VISITS_WAITING {
            return None;
        }
        *waiting += 1;
        Some(Waiting {
            source,
            visits: self,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How many of the source of `ip` are awaited, and when that changes by itself.
    fn awaited(&self, ip: IpAddr, now: Instant) -> (usize, Option<Instant>) {
        let ids = self.of.get(&source(ip)).into_iter().flatten();
        let visits = ids.filter_map(|id| self.all.get(id));
        let until = visits.filter_map(Visit::awaited_until);
        let awaited = until.filter(|until| *until > now);
        awaited.fold((0, None), |(count, next), until| {
            (count + 1, next.min(Some(until)).or(Some(until)))
        })
    }

    /// `None`: there are too many for one to be remembered.
    fn enter(&mut self, called: Called, now: Instant, ending: &Arc<Ending>) -> Option<u64> {
        if self.all.len() >= MAX_VISITS {
            let (_, first) = self.ended.pop_front()?;
            self.remove(first);
        }
        let id = self.next;
        self.next += 1;
        self.called.entry(called.clone()).or_default().push(id);
        let source = source(called.1.ip());
        self.of.entry(source).or_default().push(id);
        let visit = Visit {
            called,
            came: now,
            ended: None,
            is_in: false,
            is_over: false,
            ending: ending.clone(),
        };
        self.all.insert(id, visit);
        Some(id)
    }

    /// Those of whom nothing is believed any more.
    fn forget(&mut self, now: Instant) {
        while let Some((_, id)) = self.ended.pop_front_if(|(at, _)| now - *at > REPORT_LATEST) {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: u64) {
        let Some(visit) = self.all.remove(&id) else {
            return;
        };
        let source = source(visit.called.1.ip());
        without(&mut self.called, &visit.called, id);
        without(&mut self.of, &source, id);
    }
}

impl Visit {
    fn awaited_until(&self) -> Option<Instant> {
        let (since, wait): (Instant, Duration) = match self.ended {
            Some(ended) => (ended, REPORT_WAIT),
            None => (self.came, VISIT_LOGIN),
        };
        let is_awaited = !self.is_in && !self.is_over;
        is_awaited.then_some(since + wait)
    }
}

impl Drop for Visiting {
    fn drop(&mut self) {
        let Some(id) = self.id else {
            return;
        };
        let now = Instant::now();
        let mut state = self.visits.lock();
        if let Some(visit) = state.all.get_mut(&id) {
            visit.ended = Some(now);
            state.ended.push_back((now, id));
        }
        drop(state);
        self.visits.changed.notify_waiters();
    }
}

/// Somebody waits, until this is dropped.
struct Waiting<'a> {
    source: IpAddr,
    visits: &'a Visits,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.visits.lock();
        if let Some(waiting) = state.waiting.get_mut(&self.source) {
            *waiting -= 1;
            if *waiting == 0 {
                state.waiting.remove(&self.source);
            }
        }
    }
}

/// Takes `id` out of the list of `key`.
fn without<K: Eq + std::hash::Hash>(lists: &mut HashMap<K, Vec<u64>>, key: &K, id: u64) {
    if let Some(list) = lists.get_mut(key) {
        list.retain(|other| *other != id);
        if list.is_empty() {
            lists.remove(key);
        }
    }
}

fn canonical(at: SocketAddr) -> SocketAddr {
    SocketAddr::new(at.ip().to_canonical(), at.port())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn at(port: u16) -> SocketAddr {
        ([192, 0, 2, 9], port).into()
    }

    fn report(proxy: &str, from: SocketAddr, accepted: bool) -> UserReport {
        UserReport {
            proxy_name: proxy.to_owned(),
            src_addr: from.ip().to_string(),
            src_port: from.port(),
            failures: u16::from(!accepted),
            accepted,
        }
    }

    async fn enter(visits: &Arc<Visits>, port: u16, left: u32) -> Result<Visiting, NotNow> {
        let (proxy, ending) = ("ssh".into(), Arc::default());
        let left = |_| Some(left);
        visits.enter(&proxy, at(port), &ending, left).await
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_of_a_source_are_there_than_may_fail() {
        let visits = Arc::new(Visits::default());
        let first = enter(&visits, 1, 2).await.unwrap();
        let second = enter(&visits, 2, 2).await.unwrap();
        assert!(enter(&visits, 3, 2).now_or_never().is_none());
        let other = ([192, 0, 2, 10], 1).into();
        let (proxy, ending) = ("ssh".into(), Arc::default());
        let other = visits.enter(&proxy, other, &ending, |_| Some(2));
        assert!(other.now_or_never().unwrap().is_ok(), "another source");

        // Who is in makes room, and who has left does some time later.
        assert!(visits.told(&report("ssh", at(1), true)).is_some());
        let third = enter(&visits, 3, 2).await.unwrap();
        assert!(enter(&visits, 4, 2).now_or_never().is_none());
        let before = Instant::now();
        let (fourth, ()) = tokio::join!(enter(&visits, 4, 2), async { drop(second) });
        assert_eq!(before.elapsed(), REPORT_WAIT);
        assert!(fourth.is_ok());
        // Nor is it waited for who has left where the client has said so.
        let end = UserReport {
            failures: 0,
            ..report("ssh", at(4), false)
        };
        assert!(visits.told(&end).is_some());
        assert!(enter(&visits, 6, 2).now_or_never().unwrap().is_ok());
        drop((first, third));
        assert_eq!(enter(&visits, 5, 0).await.unwrap_err(), NotNow::Banned);
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_logs_in_keeps_others_waiting_for_a_while_only() {
        let visits = Arc::new(Visits::default());
        let _silent = enter(&visits, 1, 1).await.unwrap();
        let mut waiting = Vec::new();
        for port in 0..MAX_VISITS_WAITING {
            let visits = visits.clone();
            let port = 1000 + port as u16;
            waiting.push(tokio::spawn(async move { enter(&visits, port, 1).await }));
        }
        tokio::task::yield_now().await;
        let more = enter(&visits, 2, 1).now_or_never().unwrap();
        assert_eq!(more.unwrap_err(), NotNow::Crowded, "too many wait");
        for one in waiting {
            assert_eq!(one.await.unwrap().unwrap_err(), NotNow::Crowded);
        }
        assert!(visits.lock().waiting.is_empty());
        tokio::time::advance(VISIT_LOGIN).await;
        assert!(enter(&visits, 3, 1).now_or_never().unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn only_users_that_have_been_there_are_told_of() {
        let visits = Arc::new(Visits::default());
        let visit = enter(&visits, 1, 5).await.unwrap();
        let said = |proxy, port| visits.told(&report(proxy, at(port), false)).is_some();
        assert!(said("ssh", 1) && !said("ssh", 2) && !said("web", 1));
        drop(visit);
        assert!(said("ssh", 1), "what is said comes later");
        tokio::time::advance(REPORT_LATEST + Duration::from_secs(1)).await;
        assert!(!said("ssh", 1));
        let state = visits.lock();
        assert!(state.all.is_empty() && state.called.is_empty() && state.of.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_ban_ends_those_who_are_not_in() {
        let visits = Arc::new(Visits::default());
        let endings: [Arc<Ending>; 2] = Default::default();
        let mut all = Vec::new();
        for (port, ending) in (1..).zip(&endings) {
            let proxy = "ssh".into();
            all.push(visits.enter(&proxy, at(port), ending, |_| Some(5)).await);
        }
        visits.told(&report("ssh", at(2), true));
        visits.end_those_at(at(1).ip());
        assert_eq!(endings.map(|ending| ending.is_ended()), [true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_has_a_bound() {
        let visits = Arc::new(Visits::default());
        for n in 0..2 * MAX_VISITS as u32 {
            let from = std::net::Ipv4Addr::from_bits(0x0a00_0000 + n);
            let (proxy, ending) = ("ssh".into(), Arc::default());
            let from = (from, 1).into();
            let visit = visits.enter(&proxy, from, &ending, |_| Some(5));
            drop(visit.await.unwrap());
        }
        assert!(visits.lock().all.len() <= MAX_VISITS);
    }
}
