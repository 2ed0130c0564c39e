//! The phases of the proxies' registrations, and which is due next
//! (frp `client/proxy/proxy_wrapper.go`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::limits::MAX_KEPT_REASON;
use frp_config::ProxyConfig;
use frp_log::{shown_error, shown_name, trace};
use frp_proto::msg::NewProxyResp;
use tokio::time::Instant;

use crate::health::Monitor;
use crate::proxy::Proxy;

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

/// The longest of these waits where another program has the port: an outgoing connection may let go of
/// it at any time.
const RETRY_UNAVAILABLE: Duration = Duration::from_secs(10);

/// What frps says then (frp `server/ports/ports.go`).
const UNAVAILABLE: &str = "port unavailable";

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
    /// By name, and kept when a registration is replaced.
    asked: HashMap<String, Asked>,
}

/// The NewProxy messages of a name that the server has yet to answer; it answers each, in order.
/// An answer tells only the name.
#[derive(Debug, Default)]
struct Asked {
    unanswered: usize,
    /// Those sent before the last CloseProxy, so that their answers say nothing of what is there
    /// now. CloseProxy itself is not answered.
    void: usize,
}

/// What an answer of the server means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Runs,
    Refused(String),
    /// Nothing was asked; why it is ignored.
    Unasked(String),
    /// It is to a registration that was withdrawn meanwhile.
    Late,
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

    /// Whether users can come; `None` while that is not decided.
    pub(crate) fn runs(&self) -> Option<bool> {
        match self.phase {
            Phase::Running => Some(true),
            Phase::StartError { .. } | Phase::CheckFailed { .. } => Some(false),
            Phase::New { .. } | Phase::WaitStart { .. } => None,
        }
    }

    /// The phase as frp names it.
    pub(crate) fn status(&self) -> String {
        self.phase.to_string()
    }

    /// Why the proxy was refused last; empty where it was not.
    pub(crate) fn error(&self) -> &str {
        &self.error
    }

    /// Why users of the proxy get nowhere though it runs: its local service cannot be reached.
    pub(crate) fn unreachable(&self) -> Option<String> {
        matches!(self.phase, Phase::Running)
            .then(|| self.proxy.reach.cause())
            .flatten()
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
                let wait = RETRY_AFTER.get(nth).copied().unwrap_or_default();
                let unavailable = self.error.contains(UNAVAILABLE);
                Some(
                    since
                        + if unavailable {
                            wait.min(RETRY_UNAVAILABLE)
                        } else {
                            wait
                        },
                )
            }
            Phase::Running => None,
        }
    }

    fn enter(&mut self, phase: Phase) {
        let log = &self.proxy.log;
        trace!(log, "change status from [{}] to [{phase}]", self.phase);
        self.phase = phase;
    }

    fn refused(&mut self, mut error: String) {
        self.refusals += 1;
        error.truncate(error.floor_char_boundary(MAX_KEPT_REASON));
        self.error = error;
        let since = Instant::now();
        self.enter(Phase::StartError { since });
    }

    /// An empty `error` means that the proxy runs.
    fn answered(&mut self, error: &str, remote_addr: &str) -> Answer {
        match self.phase {
            Phase::WaitStart { .. } => {}
            // A message that was repeated has been refused, and the other of the two accepted.
            Phase::StartError { .. } if error.is_empty() => {}
            _ => return Answer::Unasked("status not wait start, ignore start message".to_owned()),
        }
        if !error.is_empty() {
            let error = shown_error(error).into_owned();
            self.refused(error.clone());
            return Answer::Refused(error);
        }
        self.refusals = 0;
        self.error.clear();
        remote_addr.clone_into(&mut self.remote_addr);
        self.enter(Phase::Running);
        Answer::Runs
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

    /// Takes out all but those for which `keep` says so, and gives their names; the caller tells
    /// the server.
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
            self.withdrawn(name);
        }
        gone
    }

    /// When the next one is to be sent.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The proxies whose registration is to be sent now. Of each the caller then says
    /// [`sent`](Self::sent) or [`not_sent`](Self::not_sent).
    pub(crate) fn due(&self, now: Instant) -> Vec<Arc<Proxy>> {
        let due = self.due.iter().take_while(|(at, _)| *at <= now);
        let due = due.filter_map(|(_, name)| self.by_name.get(name));
        due.map(|registration| registration.proxy.clone()).collect()
    }

    pub(crate) fn sent(&mut self, name: &str, now: Instant) {
        self.change(name, |registration| {
            registration.enter(Phase::WaitStart { since: now });
        });
        self.asked.entry(name.to_owned()).or_default().unanswered += 1;
    }

    /// The registration could not be sent, and counts as refused.
    pub(crate) fn not_sent(&mut self, name: &str, why: String) {
        self.change(name, |registration| registration.refused(why));
    }

    /// The server answered: an empty `error` means that the proxy runs.
    pub(crate) fn answered(&mut self, answer: &NewProxyResp, name: &str) -> Answer {
        if self.is_void(name) {
            return Answer::Late;
        }
        let NewProxyResp {
            error, remote_addr, ..
        } = answer;
        self.change(name, |registration| {
            registration.answered(error, remote_addr)
        })
        .unwrap_or_else(|| Answer::Unasked(format!("proxy [{}] not found", shown_name(name))))
    }

    /// Counts an answer; whether it is to a registration that was withdrawn.
    fn is_void(&mut self, name: &str) -> bool {
        let Some(asked) = self.asked.get_mut(name) else {
            return false;
        };
        let is_void = asked.void > 0;
        asked.void = asked.void.saturating_sub(1);
        asked.unanswered = asked.unanswered.saturating_sub(1);
        if asked.unanswered == 0 {
            self.asked.remove(name);
        }
        is_void
    }

    fn withdrawn(&mut self, name: &str) {
        if let Some(asked) = self.asked.get_mut(name) {
            asked.void = asked.unanswered;
        }
    }

    /// The monitor of `proxy` found the service well or ill. Returns whether the proxy is to be
    /// withdrawn, which is what the caller does.
    pub(crate) fn set_healthy(&mut self, proxy: &Arc<Proxy>, healthy: bool) -> bool {
        let name = &proxy.cfg.name;
        let is_there = self.change(name, |registration| {
            // The monitor's last word may come after its proxy was replaced.
            let is_its = Arc::ptr_eq(&registration.proxy, proxy);
            is_its.then(|| registration.set_healthy(healthy))
        });
        let Some(is_there) = is_there.flatten() else {
            return false;
        };
        // Refused, but perhaps asked for twice.
        let is_there = is_there || self.asked.contains_key(name);
        if !healthy && is_there {
            self.withdrawn(name);
        }
        !healthy && is_there
    }

    /// The proxy of this name, if the server has accepted it.
    pub(crate) fn running(&self, name: &str) -> Option<Arc<Proxy>> {
        let registration = self.by_name.get(name)?;
        matches!(registration.phase, Phase::Running).then(|| registration.proxy.clone())
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use frp_config::{LoadOptions, Purpose, parse_client};
    use frp_log::Log;
    use frp_proto::crypto::cfb;

    use super::*;
    use crate::live::Live;

    fn proxy(remote_port: u16) -> Arc<Proxy> {
        let text = format!(
            "[[proxies]]\nname = \"p\"\ntype = \"tcp\"\nlocalPort = 1\n\
             remotePort = {remote_port}\n"
        );
        let loaded = parse_client(&text, "f", &LoadOptions::new(Purpose::Run)).unwrap();
        let cfg = loaded.settings.proxies[0].clone();
        Arc::new(Proxy::new(
            cfg,
            &cfb::Key::derive(b""),
            &Log::root(),
            &Live::new(&"".into()),
        ))
    }

    fn with(proxy: &Arc<Proxy>) -> Registrations {
        [Registration::new(proxy.clone(), None)]
            .into_iter()
            .collect()
    }

    /// Sends what is due; whether anything was.
    fn send(registrations: &mut Registrations, after: Duration) -> bool {
        let now = Instant::now() + after;
        let due = registrations.due(now);
        for proxy in &due {
            registrations.sent(&proxy.cfg.name, now);
        }
        !due.is_empty()
    }

    fn answer(registrations: &mut Registrations, error: &str) -> Answer {
        let answer = NewProxyResp {
            error: error.to_owned(),
            ..Default::default()
        };
        registrations.answered(&answer, "p")
    }

    fn refused(error: &str) -> Answer {
        Answer::Refused(error.to_owned())
    }

    #[test]
    fn an_answer_to_a_replaced_registration_says_nothing_of_its_successor() {
        for late in ["", "port already used"] {
            let (old, new) = (proxy(1), proxy(2));
            let mut registrations = with(&old);
            assert!(send(&mut registrations, Duration::ZERO));
            assert_eq!(registrations.remove_unless(|cfg| *cfg == new.cfg), ["p"]);
            registrations.add(Registration::new(new.clone(), None));
            assert!(send(&mut registrations, Duration::ZERO));
            assert_eq!(answer(&mut registrations, late), Answer::Late);
            assert!(registrations.running("p").is_none());
            assert_eq!(answer(&mut registrations, ""), Answer::Runs);
            assert!(Arc::ptr_eq(&registrations.running("p").unwrap(), &new));
            assert!(registrations.asked.is_empty());
        }
    }

    #[test]
    fn an_answer_from_before_a_withdrawal_says_nothing_of_the_registration_after_it() {
        let proxy = proxy(1);
        let mut registrations = with(&proxy);
        assert!(send(&mut registrations, Duration::ZERO));
        assert!(registrations.set_healthy(&proxy, false));
        assert!(!registrations.set_healthy(&proxy, true));
        assert!(send(&mut registrations, Duration::ZERO));
        assert_eq!(answer(&mut registrations, ""), Answer::Late);
        assert_eq!(answer(&mut registrations, "no"), refused("no"));
        assert!(registrations.running("p").is_none());
    }

    /// The server was slow: it accepts the first message and refuses its repetition.
    #[test]
    fn of_a_repeated_registration_the_accepted_one_counts() {
        for answers in [["", "exists"], ["no", ""]] {
            let proxy = proxy(1);
            let mut registrations = with(&proxy);
            assert!(send(&mut registrations, Duration::ZERO));
            assert!(!send(&mut registrations, ANSWER_LIMIT / 2));
            assert!(send(&mut registrations, ANSWER_LIMIT * 2));
            for error in answers {
                answer(&mut registrations, error);
            }
            assert!(registrations.running("p").is_some(), "{answers:?}");
            assert_eq!(registrations.next_due(), None);
        }
    }

    #[test]
    fn a_service_that_is_ill_is_not_kept_by_the_answer_to_a_repetition() {
        let proxy = proxy(1);
        let mut registrations = with(&proxy);
        assert!(send(&mut registrations, Duration::ZERO));
        assert!(send(&mut registrations, ANSWER_LIMIT * 2));
        assert_eq!(answer(&mut registrations, "no"), refused("no"));
        assert!(registrations.set_healthy(&proxy, false));
        assert_eq!(answer(&mut registrations, ""), Answer::Late);
        assert!(registrations.running("p").is_none());
    }

    #[test]
    fn the_last_word_of_a_replaced_proxys_monitor_is_ignored() {
        let (old, new) = (proxy(1), proxy(2));
        let mut registrations = with(&new);
        assert!(send(&mut registrations, Duration::ZERO));
        assert_eq!(answer(&mut registrations, ""), Answer::Runs);
        assert!(!registrations.set_healthy(&old, false));
        assert!(registrations.running("p").is_some());
    }

    #[test]
    fn of_a_long_reason_the_beginning_is_kept() {
        let mut registrations: Registrations =
            [Registration::new(proxy(6000), None)].into_iter().collect();
        registrations.not_sent("p", "ü".repeat(30_000));
        let kept = registrations.all().next().unwrap().error().len();
        assert_eq!(kept, MAX_KEPT_REASON);
    }

    #[test]
    fn what_cannot_be_sent_is_refused_and_due_again() {
        let proxy = proxy(1);
        let mut registrations = with(&proxy);
        let now = Instant::now();
        registrations.not_sent("p", "too long".to_owned());
        assert!(registrations.due(now).is_empty());
        assert!(registrations.next_due().is_some_and(|at| at > now));
        let shown: Vec<_> = registrations.all().map(Registration::error).collect();
        assert_eq!(shown, ["too long"]);
    }
}
