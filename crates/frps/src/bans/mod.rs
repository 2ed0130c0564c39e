//! Who has failed too often, and is kept out for a while? Logins, passwords that frpc reports, and users who come
//! too often are counted by their source ([`sources`]); each ban of a source is twice as long as the one before.
//! An operator bans networks as well.
//!
//! What a client reports counts for its own proxies only ([`Whose`]): it might be a lie, and keep users from others.
//!
//! Whoever shows the right token comes in from a banned source, too, if slowly ([`pace`]), and the address of a
//! client that is logged in is never banned for what comes from there.

#[cfg_attr(not(feature = "pages"), path = "../absent/bans_file.rs")]
pub(crate) mod file;
mod pace;
pub(crate) mod sources;

use std::fmt;
use std::mem;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use frp_log::{Log, info, shown_name, warn};
use frp_net::strangers::Strangers;
use frp_proto::named;
use frp_proto::names::Named as _;
use frp_proto::network::Network;
use tokio::sync::Notify;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

pub(crate) use self::file::BansFile;
#[cfg(feature = "pages")]
pub(crate) use self::file::millis;
use self::pace::Pace;
pub(crate) use self::pace::TooFast;
use self::sources::Sources;
use crate::limits::{FORGET_BANS, LONGEST_BAN, MAX_ADDED_BANS, MAX_BANNED_SOURCES};
use crate::networks::Networks;

/// See the module.
#[derive(Debug)]
pub(crate) struct Bans {
    state: Mutex<State>,
    /// There may be one: most servers have none, and do not look.
    any: AtomicBool,
    /// Where clients are logged in.
    homes: Strangers,
    /// Failures may lead to one.
    by_failures: AtomicBool,
    /// There are new ones, of those who may be connected.
    fresh: Notify,
    /// What has happened, by [`Kind`].
    failures: [AtomicU64; Kind::ALL.len()],
    banned: [AtomicU64; Kind::ALL.len()],
    /// The list has changed, so often, and is to be stored.
    revision: AtomicU64,
    changed: Notify,
}

named! {
    /// What a source is banned for.
    pub(crate) enum Kind {
        /// Logins of frpc or ssh that failed.
        Login = "login",
        /// Passwords that the service behind a proxy refused, as its frpc reports.
        Password = "password",
        /// New connections beyond what a guard allows.
        Rate = "rate",
        /// An operator wants it.
        Operator = "operator",
    }
}

/// Whose proxies somebody is kept from: those of certain clients
/// ([`SessionHandle::whose`](crate::client::handle::SessionHandle::whose)), or all.
pub(crate) type Whose = Option<Arc<str>>;

/// What failures lead to.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// As many within `window` are a ban; 0: never.
    pub(crate) failures: u32,
    pub(crate) window: Duration,
    /// How long the first ban of a source is, and the longest.
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
    /// Who is never banned for failures.
    pub(crate) except: Networks,
}

/// A ban that is in force.
#[derive(Debug, Clone)]
pub(crate) struct Ban {
    pub(crate) network: Network,
    pub(crate) kind: Kind,
    pub(crate) since: SystemTime,
    /// `None`: until it is taken back.
    pub(crate) until: Option<SystemTime>,
    /// Whose proxies alone it is kept from.
    pub(crate) whose: Whose,
    /// The proxy that it was about, or empty.
    pub(crate) proxy: String,
    /// What the operator says, or empty.
    pub(crate) reason: String,
    /// Which one it is of this source.
    pub(crate) strikes: u32,
}

/// Why a ban cannot be added.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddError {
    #[error(
        "there are {MAX_ADDED_BANS} bans already: remove some, or put networks into a file of guard.denyIPFiles"
    )]
    TooMany,
    #[error("{0} is every address there is: frps would shut out everybody")]
    Everybody(Network),
}

#[derive(Debug)]
struct State {
    rules: Arc<Rules>,
    sources: Sources<Source, Whose>,
    /// By an operator.
    added: Vec<Ban>,
    /// Their networks.
    networks: Networks,
    /// Whose connections are still to be ended.
    fresh: Vec<Network>,
}

/// What is known of a source.
#[derive(Debug, Default)]
struct Source {
    failed: [Failures; Kind::ALL.len()],
    ban: Option<(Ban, Instant)>,
    strikes: u32,
    /// When something was noted last.
    noted: Option<Instant>,
    pace: Pace,
}

/// Failures since the first of them.
#[derive(Debug, Default, Clone, Copy)]
struct Failures {
    count: u32,
    since: Option<Instant>,
}

impl Bans {
    pub(crate) fn new(homes: Strangers) -> Self {
        Self {
            state: Mutex::new(State {
                rules: Arc::default(),
                sources: Sources::new(MAX_BANNED_SOURCES),
                added: Vec::new(),
                networks: Networks::default(),
                fresh: Vec::new(),
            }),
            any: AtomicBool::new(false),
            homes,
            by_failures: AtomicBool::new(false),
            fresh: Notify::new(),
            failures: Default::default(),
            banned: Default::default(),
            revision: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }

    /// Has what follows go by `rules`.
    pub(crate) fn follow(&self, rules: Arc<Rules>) {
        self.by_failures
            .store(rules.failures > 0, Ordering::Relaxed);
        self.lock().rules = rules;
    }

    /// Whether failures lead to bans, or there are some.
    pub(crate) fn may_ban(&self) -> bool {
        self.by_failures.load(Ordering::Relaxed) || self.any.load(Ordering::Relaxed)
    }

    /// `ip` has failed by `kind`, at `proxy` where it was one. Whether its source is banned now.
    pub(crate) fn failed(&self, ip: IpAddr, kind: Kind, proxy: Option<&str>) -> bool {
        self.failed_beyond(ip, kind, proxy, 1)
    }

    /// The same where a ban takes `least` failures at least.
    pub(crate) fn failed_beyond(
        &self,
        ip: IpAddr,
        kind: Kind,
        proxy: Option<&str>,
        least: u32,
    ) -> bool {
        self.note(None, ip, (kind, proxy), least)
    }

    /// The service behind `proxy` has refused a password of a user at `ip`, as its client says. Whether its source is
    /// kept from that client's proxies now.
    pub(crate) fn reported(&self, whose: &Arc<str>, ip: IpAddr, proxy: &str) -> bool {
        let whose = Some(whose.clone());
        self.note(whose, ip, (Kind::Password, Some(proxy)), 1)
    }

    /// It has let in a user at `ip`: passwords that it has refused count no more.
    pub(crate) fn let_in(&self, whose: &Arc<str>, ip: IpAddr) {
        let mut state = self.lock();
        let known = state.sources.get_in(Some(whose.clone()), ip);
        if let Some(failed) =
            known.and_then(|source| source.failed.get_mut(Kind::Password as usize))
        {
            *failed = Failures::default();
        }
    }

    /// How many passwords of a user at `ip` that client's services may refuse before its source is kept from them;
    /// `None` for any number.
    pub(crate) fn failures_left(&self, whose: &Arc<str>, ip: IpAddr) -> Option<u32> {
        let ip = ip.to_canonical();
        if self.keeps_from(whose, ip) {
            return Some(0);
        }
        let is_home = self.homes.is_home(ip);
        let now = Instant::now();
        let mut state = self.lock();
        let rules = state.rules.clone();
        if rules.failures == 0 || is_home || rules.except.contain(ip) {
            return None;
        }
        let known = state.sources.get_in(Some(whose.clone()), ip);
        let failed = known.map_or(0, |source| source.failed(Kind::Password, rules.window, now));
        Some(rules.failures.saturating_sub(failed).max(1))
    }

    fn note(
        &self,
        whose: Whose,
        ip: IpAddr,
        (kind, proxy): (Kind, Option<&str>),
        least: u32,
    ) -> bool {
        let ip = ip.to_canonical();
        if let Some(count) = self.failures.get(kind as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let is_home = self.homes.is_home(ip);
        let mut state = self.lock();
        let rules = state.rules.clone();
        let is_counted = rules.failures > 0 && !rules.except.contain(ip);
        let noted = match is_counted {
            true => state.sources.at_in(whose.clone(), ip),
            false => None,
        };
        let now = Instant::now();
        let (count, ban) = match noted {
            None => (1, None),
            Some(source) => source.note(ip, (&whose, kind), (&rules, least), (now, is_home), proxy),
        };
        drop(state);
        let proxy = Quoted(proxy);
        let log = Log::root().by(ip);
        match (&whose, kind) {
            (_, Kind::Rate) => {}
            (None, _) => warn!(
                log,
                "guard: failed {ip} cause={kind} count={count} proxy={proxy}"
            ),
            (Some(whose), _) => {
                let whose = Quoted(Some(whose));
                warn!(
                    log,
                    "guard: reported {ip} cause={kind} count={count} proxy={proxy} by={whose}"
                );
            }
        }
        let Some((ban, length)) = ban else {
            return false;
        };
        self.any.store(true, Ordering::Release);
        self.tell(ip, &ban, Some(length));
        true
    }

    /// Whether what comes from `ip` is kept from everything.
    pub(crate) fn is_banned(&self, ip: IpAddr) -> bool {
        self.is_banned_by(&[None], ip)
    }

    /// Whether it is kept from the proxies of these clients.
    pub(crate) fn keeps_from(&self, whose: &Arc<str>, ip: IpAddr) -> bool {
        self.is_banned_by(&[None, Some(whose.clone())], ip)
    }

    fn is_banned_by(&self, regards: &[Whose], ip: IpAddr) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        if self.is_operators(ip) {
            return true;
        }
        let now = Instant::now();
        let is_in_force = {
            let mut state = self.lock();
            regards.iter().any(|whose| {
                let known = state.sources.get_in(whose.clone(), ip);
                let ban = known.and_then(|source| source.ban.as_ref());
                ban.is_some_and(|(_, until)| *until > now)
            })
        };
        is_in_force && !self.homes.is_home(ip.to_canonical())
    }

    /// Whether an operator has banned it.
    pub(crate) fn is_operators(&self, ip: IpAddr) -> bool {
        let state = self.lock();
        if !state.networks.contain(ip) {
            return false;
        }
        let now = SystemTime::now();
        let is_it = |ban: &Ban| ban.is_in_force(now) && ban.network.contains(ip);
        state.added.iter().any(is_it)
    }

    /// Waits until a login from `ip` may be looked at: at once, unless some from there have failed.
    pub(crate) async fn login_turn(&self, ip: IpAddr) -> Result<(), TooFast> {
        if self.any.load(Ordering::Acquire) && self.is_operators(ip) {
            return Err(TooFast::Banned);
        }
        pace::turn(self, ip).await
    }

    /// Keeps `network` out for `length`, or until that is taken back.
    pub(crate) fn add(
        &self,
        network: Network,
        length: Option<Duration>,
        reason: &str,
    ) -> Result<Ban, AddError> {
        if network.prefix() == 0 {
            return Err(AddError::Everybody(network));
        }
        let since = SystemTime::now();
        let ban = Ban {
            network,
            kind: Kind::Operator,
            since,
            until: length.and_then(|length| since.checked_add(length)),
            whose: None,
            proxy: String::new(),
            reason: reason.to_owned(),
            strikes: 0,
        };
        let mut state = self.lock();
        state.added.retain(|ban| ban.network != network);
        if state.added.len() >= MAX_ADDED_BANS {
            return Err(AddError::TooMany);
        }
        state.added.push(ban.clone());
        state.learn();
        drop(state);
        self.any.store(true, Ordering::Release);
        self.tell(network.range().0, &ban, length);
        Ok(ban)
    }

    /// Takes back the bans of `network` and of sources in it, and what is counted against them. How many bans
    /// there were.
    pub(crate) fn remove(&self, network: Network) -> usize {
        let mut gone = Vec::new();
        let mut state = self.lock();
        state.added.retain(|ban| {
            let stays = ban.network != network;
            if !stays {
                gone.push(ban.network);
            }
            stays
        });
        state.learn();
        state.sources.retain(|ip, source| {
            let is_in = network.contains(ip) || Network::of_source(ip).contains(network.range().0);
            if is_in && source.ban.is_some() {
                gone.push(Network::of_source(ip));
            }
            !is_in
        });
        drop(state);
        for network in &gone {
            info!(Log::root(), "guard: unbanned {network} cause=operator");
        }
        self.has_changed();
        gone.len()
    }

    /// Those in force, the latest first.
    pub(crate) fn all(&self) -> Vec<Ban> {
        let mut state = self.lock();
        let now = (SystemTime::now(), Instant::now());
        let added = state.added.iter().filter(|ban| ban.is_in_force(now.0));
        let mut all: Vec<Ban> = added.cloned().collect();
        state.sources.each(|_, source| {
            if let Some((ban, until)) = &source.ban
                && *until > now.1
            {
                all.push(ban.clone());
            }
        });
        drop(state);
        all.sort_by_key(|ban| std::cmp::Reverse(ban.since));
        all
    }

    /// Has bans from before a restart in force again, as far as they still are.
    pub(crate) fn restore(&self, bans: Vec<Ban>) {
        let (now, at) = (SystemTime::now(), Instant::now());
        let mut state = self.lock();
        for ban in bans.into_iter().filter(|ban| ban.is_in_force(now)) {
            let left = ban.until.and_then(|until| until.duration_since(now).ok());
            let left = left.map(|left| left.min(LONGEST_BAN));
            match (ban.kind, left) {
                (Kind::Operator, _) if state.added.len() < MAX_ADDED_BANS => state.added.push(ban),
                (Kind::Operator, _) | (_, None) => {}
                (_, Some(left)) => {
                    let known = state
                        .sources
                        .at_in(ban.whose.clone(), ban.network.range().0);
                    if let Some(source) = known {
                        source.strikes = ban.strikes;
                        source.noted = Some(at);
                        source.ban = Some((ban, at + left));
                    }
                }
            }
        }
        state.learn();
        let any = !state.added.is_empty() || !state.sources.is_empty();
        drop(state);
        self.any.store(any, Ordering::Release);
    }

    /// Completes when what is to be stored has changed.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Grows whenever the list changes.
    pub(crate) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Relaxed)
    }

    /// Failures and bans since the start, by their kind.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (Kind, u64, u64)> {
        let each = Kind::ALL.iter().zip(&self.failures).zip(&self.banned);
        each.map(|((kind, failures), banned)| {
            let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            (*kind, count(failures), count(banned))
        })
    }

    /// Forgets what is over, until `stop`. Where there are new bans, `end` ends what those have who are banned.
    pub(crate) async fn run(
        self: Arc<Self>,
        end: impl Fn(&(dyn Fn(IpAddr) -> bool + Sync)),
        stop: CancellationToken,
    ) {
        let mut turns = interval(FORGET_BANS);
        loop {
            tokio::select! {
                _ = turns.tick() => self.forget(),
                () = self.fresh.notified() => {
                    let fresh: Networks = mem::take(&mut self.lock().fresh).into_iter().collect();
                    end(&|ip| fresh.contain(ip) && self.is_banned(ip));
                }
                () = stop.cancelled() => return,
            }
        }
    }

    fn forget(&self) {
        let (now, at) = (SystemTime::now(), Instant::now());
        let mut over = Vec::new();
        let mut state = self.lock();
        state.added.retain(|ban| {
            let stays = ban.is_in_force(now);
            if !stays {
                over.push(ban.network);
            }
            stays
        });
        state.learn();
        let rules = state.rules.clone();
        state.sources.retain(|_, source| {
            if let Some((ban, _)) = source.ban.take_if(|(_, until)| *until <= at) {
                over.push(ban.network);
            }
            source.is_of_use(&rules, at)
        });
        let any = !state.added.is_empty() || !state.sources.is_empty();
        // Under the lock: nobody can have added one meanwhile that it hides.
        self.any.store(any, Ordering::Release);
        drop(state);
        for network in &over {
            info!(Log::root(), "guard: unbanned {network} cause=over");
        }
        if !over.is_empty() {
            self.has_changed();
        }
    }

    /// Of a new ban, which came by `ip`: the line that others read, in the form of docs/guards.md.
    fn tell(&self, ip: IpAddr, ban: &Ban, length: Option<Duration>) {
        if let Some(count) = self.banned.get(ban.kind as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let Ban {
            network,
            kind,
            whose,
            ..
        } = ban;
        let proxy = Quoted(Some(&*ban.proxy).filter(|name| !name.is_empty()));
        let seconds = Seconds(length);
        let log = Log::root().by(ip);
        match whose {
            None => {
                warn!(
                    log,
                    "guard: banned {ip} cause={kind} network={network} seconds={seconds} proxy={proxy}"
                );
                self.lock().fresh.push(*network);
                self.fresh.notify_one();
            }
            Some(whose) => {
                let whose = Quoted(Some(whose));
                warn!(
                    log,
                    "guard: barred {ip} cause={kind} network={network} seconds={seconds} proxy={proxy} from={whose}"
                );
            }
        }
        self.has_changed();
    }

    fn has_changed(&self) {
        self.revision.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ban {
    fn is_in_force(&self, now: SystemTime) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

impl State {
    /// Which networks are banned.
    fn learn(&mut self) {
        self.networks = self.added.iter().map(|ban| ban.network).collect();
    }
}

impl Source {
    /// How often it has failed so by now, and the ban that this leads to, with its length.
    fn note(
        &mut self,
        ip: IpAddr,
        (whose, kind): (&Whose, Kind),
        (rules, least): (&Rules, u32),
        (now, is_home): (Instant, bool),
        proxy: Option<&str>,
    ) -> (u32, Option<(Ban, Duration)>) {
        self.noted = Some(now);
        let Some(failed) = self.failed.get_mut(kind as usize) else {
            return (0, None);
        };
        if failed.since.is_none_or(|since| now - since > rules.window) {
            *failed = Failures {
                count: 0,
                since: Some(now),
            };
        }
        failed.count = failed.count.saturating_add(1);
        let count = failed.count;
        if is_home || count < rules.failures.max(least) {
            return (count, None);
        }
        *failed = Failures::default();
        self.strikes = self.strikes.saturating_add(1);
        let doublings = (self.strikes - 1).min(31);
        let length = rules
            .first
            .saturating_mul(1 << doublings)
            .min(rules.longest)
            .min(LONGEST_BAN);
        let since = SystemTime::now();
        let ban = Ban {
            network: Network::of_source(ip),
            kind,
            since,
            until: since.checked_add(length),
            whose: whose.clone(),
            proxy: proxy.unwrap_or_default().to_owned(),
            reason: String::new(),
            strikes: self.strikes,
        };
        self.ban = Some((ban.clone(), now + length));
        (count, Some((ban, length)))
    }

    /// Whether anything follows from it still.
    fn is_of_use(&self, rules: &Rules, now: Instant) -> bool {
        let quiet = self.noted.map_or(Duration::MAX, |noted| now - noted);
        self.ban.is_some()
            || self.pace.is_awaited()
            || quiet <= rules.window
            || self.strikes > 0 && quiet <= rules.longest.saturating_mul(2)
    }

    /// How often it has failed so of late.
    fn failed(&self, kind: Kind, window: Duration, now: Instant) -> u32 {
        let failed = self.failed.get(kind as usize).copied().unwrap_or_default();
        let is_late = |since: Instant| now - since <= window;
        match failed.since.is_some_and(is_late) {
            true => failed.count,
            false => 0,
        }
    }
}

/// A name as a line shows it, in which nothing can be taken for the end of it; `-` for none.
struct Quoted<'a>(Option<&'a str>);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(f, "{:?}", shown_name(name)),
            None => f.write_str("-"),
        }
    }
}

struct Seconds(Option<Duration>);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(length) => write!(f, "{}", length.as_secs()),
            None => f.write_str("-"),
        }
    }
}

#[cfg(test)]
mod tests;
