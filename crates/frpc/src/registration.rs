//! The phases of the proxies' registrations, and which is due next
//! (frp `client/proxy/proxy_wrapper.go`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use frp_config::ProxyConfig;
use frp_log::{trace, warn};
use frp_proto::msg::NewProxyResp;
use tokio::time::Instant;

use crate::health::Monitor;
use crate::proxy::Proxy;
use crate::service::Tasks;

/// An unanswered registration is sent again after this time.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// A refused registration is tried again after these times, then always after the last. frp waits
/// 30 s each time; what stands in the way is often gone sooner (a dead client's port).
const RETRY_AFTER: [Duration; 4] = [
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

/// Where a proxy's registration stands; shown as frp names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    New { since: Instant },
    WaitStart { since: Instant },
    StartError { since: Instant },
    Running,
    CheckFailed { since: Instant },
}

/// A proxy and its registration.
#[derive(Debug)]
pub(crate) struct Registration {
    proxy: Arc<Proxy>,
    phase: Phase,
    refusals: usize,
    /// Why it was refused last; empty where it was not.
    error: String,
    /// How users reach it, as the server says.
    remote_addr: String,
    /// What the monitor said last; without a monitor every service is taken for well.
    healthy: bool,
    _monitor: Option<Monitor>,
}

/// The registrations of a session, by the proxies' raw names.
#[derive(Debug, Default)]
pub(crate) struct Registrations {
    by_name: BTreeMap<String, Registration>,
    /// When each is to be sent (again), if it is.
    due: BTreeSet<(Instant, String)>,
}

impl Registration {
    /// Due at once, or where there is a monitor, once it has found the service well.
    pub(crate) fn new(proxy: Arc<Proxy>, monitor: Option<Monitor>) -> Self {
        Self {
            proxy,
            phase: Phase::New {
                since: Instant::now(),
            },
            refusals: 0,
            error: String::new(),
            remote_addr: String::new(),
            healthy: monitor.is_none(),
            _monitor: monitor,
        }
    }

    pub(crate) fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// The phase as frp names it.
    pub(crate) fn status(&self) -> String {
        self.phase.to_string()
    }

    /// Why the proxy was refused last; empty where it was not.
    pub(crate) fn error(&self) -> &str {
        &self.error
    }

    /// How users reach the proxy, as the server says: `:PORT` or host names.
    pub(crate) fn remote_addr(&self) -> &str {
        &self.remote_addr
    }

    fn due(&self) -> Option<Instant> {
        if !self.healthy {
            return None;
        }
        match self.phase {
            Phase::New { since } | Phase::CheckFailed { since } => Some(since),
            Phase::WaitStart { since } => Some(since + ANSWER_LIMIT),
            Phase::StartError { since } => {
                let nth = self.refusals.saturating_sub(1).min(RETRY_AFTER.len() - 1);
                Some(since + RETRY_AFTER.get(nth).copied().unwrap_or_default())
            }
            Phase::Running => None,
        }
    }

    fn enter(&mut self, phase: Phase) {
        let log = &self.proxy.log;
        trace!(log, "change status from [{}] to [{phase}]", self.phase);
        self.phase = phase;
    }

    /// The proxy, if its registration is to be sent. One that nothing here could serve is not
    /// registered; frp registers it first, and takes it back.
    fn start(&mut self, now: Instant, tasks: &Tasks) -> Option<Arc<Proxy>> {
        if let Err(e) = self.proxy.prepare(tasks) {
            warn!(self.proxy.log, "start error: {e}");
            self.refused(e.to_string());
            return None;
        }
        self.enter(Phase::WaitStart { since: now });
        Some(self.proxy.clone())
    }

    fn refused(&mut self, error: String) {
        self.refusals += 1;
        self.error = error;
        let since = Instant::now();
        self.enter(Phase::StartError { since });
    }

    /// An empty `error` means that the proxy runs.
    fn answered(&mut self, error: &str, remote_addr: &str) -> Result<Arc<Proxy>, String> {
        if !matches!(self.phase, Phase::WaitStart { .. }) {
            return Err("status not wait start, ignore start message".to_owned());
        }
        if !error.is_empty() {
            self.refused(error.to_owned());
            return Err(error.to_owned());
        }
        self.refusals = 0;
        self.error.clear();
        remote_addr.clone_into(&mut self.remote_addr);
        self.enter(Phase::Running);
        Ok(self.proxy.clone())
    }

    /// Whether the server has it, or has been asked to.
    fn set_healthy(&mut self, healthy: bool) -> bool {
        self.healthy = healthy;
        let is_there = matches!(self.phase, Phase::Running | Phase::WaitStart { .. });
        if !healthy && is_there {
            let since = Instant::now();
            self.enter(Phase::CheckFailed { since });
        }
        is_there
    }
}

impl FromIterator<Registration> for Registrations {
    fn from_iter<I: IntoIterator<Item = Registration>>(all: I) -> Self {
        let mut registrations = Self::default();
        for registration in all {
            registrations.add(registration);
        }
        registrations
    }
}

impl Registrations {
    /// In the order of their names.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Registration> {
        self.by_name.values()
    }

    /// Whether the proxy is configured like this already.
    pub(crate) fn has(&self, cfg: &ProxyConfig) -> bool {
        let known = self.by_name.get(&cfg.name);
        known.is_some_and(|registration| registration.proxy.cfg == *cfg)
    }

    pub(crate) fn add(&mut self, registration: Registration) {
        let name = registration.proxy.cfg.name.clone();
        if let Some(at) = registration.due() {
            self.due.insert((at, name.clone()));
        }
        self.by_name.insert(name, registration);
    }

    /// Takes out all but those for which `keep` says so, and gives their names.
    pub(crate) fn remove_unless(&mut self, keep: impl Fn(&ProxyConfig) -> bool) -> Vec<String> {
        let gone: Vec<String> = self
            .by_name
            .values()
            .filter(|registration| !keep(&registration.proxy.cfg))
            .map(|registration| registration.proxy.cfg.name.clone())
            .collect();
        for name in &gone {
            if let Some(at) = self.by_name.remove(name).and_then(|gone| gone.due()) {
                self.due.remove(&(at, name.clone()));
            }
        }
        gone
    }

    /// When the next one is to be sent.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The proxies whose registration is to be sent now, which is what the caller does.
    pub(crate) fn take_due(&mut self, now: Instant, tasks: &Tasks) -> Vec<Arc<Proxy>> {
        let mut taken = Vec::new();
        while let Some((at, name)) = self.due.pop_first() {
            if at > now {
                self.due.insert((at, name));
                break;
            }
            let start = |registration: &mut Registration| registration.start(now, tasks);
            taken.extend(self.change(&name, start).flatten());
        }
        taken
    }

    /// The server answered: an empty `error` means that the proxy runs.
    pub(crate) fn answered(
        &mut self,
        answer: &NewProxyResp,
        name: &str,
    ) -> Result<Arc<Proxy>, String> {
        let NewProxyResp {
            error, remote_addr, ..
        } = answer;
        self.change(name, |registration| {
            registration.answered(error, remote_addr)
        })
        .unwrap_or_else(|| Err(format!("proxy [{name}] not found")))
    }

    /// The monitor found the service well or ill. Returns whether the server has the proxy, or has
    /// been asked to.
    pub(crate) fn set_healthy(&mut self, name: &str, healthy: bool) -> bool {
        self.change(name, |registration| registration.set_healthy(healthy))
            .unwrap_or(false)
    }

    /// Every change goes through here, so that `due` is right.
    fn change<T>(&mut self, name: &str, change: impl FnOnce(&mut Registration) -> T) -> Option<T> {
        let registration = self.by_name.get_mut(name)?;
        let before = registration.due();
        let changed = change(registration);
        let after = registration.due();
        if before != after {
            if let Some(at) = before {
                self.due.remove(&(at, name.to_owned()));
            }
            if let Some(at) = after {
                self.due.insert((at, name.to_owned()));
            }
        }
        Some(changed)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New { .. } => "new",
            Self::WaitStart { .. } => "wait start",
            Self::StartError { .. } => "start error",
            Self::Running => "running",
            Self::CheckFailed { .. } => "check failed",
        })
    }
}
