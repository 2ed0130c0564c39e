//! What a client does now, for those who look: its session, its visitors, the users that are connected to its
//! proxies. Whoever does something says it here; nobody here asks.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use frp_config::Secret;
use frp_log::access;
use frp_relay::conns::{self, End, Ending, Owner};
use frp_relay::relay::Traffic;

use crate::connect::Connector;
use crate::real_ip::RealIp;
use crate::sshd::Sshd;

pub(crate) type Conns = conns::Conns<Served>;
pub(crate) type Conn = conns::Conn<Served>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) started: Duration,
    session: Mutex<Now>,
    /// Why those that do not listen don't, and why a user did not get through last.
    visitors: Mutex<BTreeMap<String, Visits>>,
    /// Bytes by the names of proxies, over all sessions.
    traffic: Mutex<BTreeMap<String, Arc<Served>>>,
    pub(crate) conns: Arc<Conns>,
    /// What users are called at local services.
    pub(crate) real_ip: Arc<RealIp>,
    /// What ssh servers make of them.
    pub(crate) sshd: Sshd,
}

/// What users' connections belong to: the proxy of a name, whatever session it is in.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) traffic: Arc<Traffic>,
    users: AtomicU64,
    ever: AtomicU64,
}

/// The session, or the way to it.
#[derive(Debug, Clone)]
pub(crate) struct Now {
    pub(crate) state: State,
    /// Behind 1970.
    pub(crate) since: Duration,
    pub(crate) run_id: String,
    pub(crate) transport: &'static str,
    pub(crate) tls: bool,
    pub(crate) mux: bool,
    /// Why this way is taken.
    pub(crate) why: String,
    /// What was wrong last, and what to do.
    pub(crate) error: Option<String>,
    pub(crate) cure: Option<String>,
    /// Behind 1970.
    pub(crate) retry_at: Option<Duration>,
    connector: Weak<Connector>,
    /// How long the server took to answer the last heartbeat.
    heartbeat: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum State {
    Connected,
    Connecting,
    /// For the next attempt.
    Waiting,
}

/// What is known of a visitor.
#[derive(Debug, Clone, Default)]
pub(crate) struct Visits {
    pub(crate) listens: bool,
    /// Why it does not, or why its last user did not get through.
    pub(crate) error: Option<String>,
}

impl Live {
    pub(crate) fn new(token: &Secret) -> Self {
        let mut seed = [[0; 8]; 2];
        for number in &mut seed {
            // Without entropy ids can be guessed, which alone leads nowhere.
            let _ = aws_lc_rs::rand::fill(number);
        }
        let now = Now {
            state: State::Connecting,
            since: unix_time(),
            run_id: String::new(),
            transport: "",
            tls: false,
            mux: false,
            why: String::new(),
            error: None,
            cure: None,
            retry_at: None,
            connector: Weak::new(),
            heartbeat: None,
        };
        Self {
            started: unix_time(),
            session: Mutex::new(now),
            visitors: Mutex::default(),
            traffic: Mutex::default(),
            conns: Arc::new(Conns::new(seed.map(u64::from_ne_bytes))),
            real_ip: Arc::new(RealIp::new(token)),
            sshd: Sshd::default(),
        }
    }

    pub(crate) fn session(&self) -> Now {
        lock(&self.session).clone()
    }

    /// An attempt to log in begins.
    pub(crate) fn connecting(&self) {
        self.change(State::Connecting, |now| now.retry_at = None);
    }

    /// The client is logged in, by `connector`.
    pub(crate) fn connected(&self, run_id: &str, connector: &Arc<Connector>, why: &str) {
        let way = connector.way();
        let new = Now {
            state: State::Connected,
            since: unix_time(),
            run_id: run_id.to_owned(),
            transport: way.protocol.as_str(),
            tls: way.tls.is_some(),
            mux: connector.is_muxed(),
            why: why.to_owned(),
            error: None,
            cure: None,
            retry_at: None,
            connector: Arc::downgrade(connector),
            heartbeat: None,
        };
        *lock(&self.session) = new;
    }

    /// There is no session, for this reason; the next attempt is after `wait`.
    pub(crate) fn failed(&self, error: String, cure: Option<String>, wait: Duration) {
        self.change(State::Waiting, |now| {
            now.error = Some(error);
            now.cure = cure;
            now.retry_at = Some(unix_time() + wait);
        });
    }

    /// A heartbeat was answered.
    pub(crate) fn answered(&self, after: Duration) {
        lock(&self.session).heartbeat = Some(after);
    }

    fn change(&self, state: State, change: impl FnOnce(&mut Now)) {
        let mut now = lock(&self.session);
        if now.state != state {
            now.state = state;
            now.since = unix_time();
        }
        now.run_id.clear();
        now.connector = Weak::new();
        change(&mut now);
    }

    /// A visitor listens, or does not.
    pub(crate) fn visitor(&self, name: &str, error: Option<String>) {
        let visits = Visits {
            listens: error.is_none(),
            error,
        };
        lock(&self.visitors).insert(name.to_owned(), visits);
    }

    /// A user of a visitor got through, or did not.
    pub(crate) fn visited(&self, name: &str, error: Option<String>) {
        if let Some(visits) = lock(&self.visitors).get_mut(name) {
            visits.error = error;
        }
    }

    /// A visitor is not there any more.
    pub(crate) fn visitor_gone(&self, name: &str) {
        lock(&self.visitors).remove(name);
    }

    pub(crate) fn visits(&self, name: &str) -> Option<Visits> {
        lock(&self.visitors).get(name).cloned()
    }

    /// What the connections to a proxy belong to.
    pub(crate) fn served(&self, name: &str, kind: &'static str) -> Arc<Served> {
        let mut all = lock(&self.traffic);
        match all.get(name) {
            Some(served) if served.kind == kind => served.clone(),
            _ => {
                let served = Arc::new(Served::new(name, kind));
                all.insert(name.to_owned(), served.clone());
                served
            }
        }
    }

    /// Bytes of all proxies: from users to services, and the other way.
    pub(crate) fn carried(&self) -> (u64, u64) {
        let all = lock(&self.traffic);
        let each = all.values().map(|served| served.bytes());
        each.fold((0, 0), |sum, more| (sum.0 + more.0, sum.1 + more.1))
    }

    /// A user has come to a proxy.
    pub(crate) fn enter(
        &self,
        from: Option<SocketAddr>,
        served: &Arc<Served>,
        ending: &Arc<Ending>,
        id: Option<u64>,
    ) -> conns::Place<Served> {
        self.conns.enter(from, served, ending, id)
    }
}

impl Now {
    /// From here to the server and back, where that is known.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        let connector = self.connector.upgrade()?;
        // Where streams share a connection, that knows it without a server that takes its time.
        connector.round_trip().or(self.heartbeat)
    }
}

impl State {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Connecting => "connecting",
            Self::Waiting => "waiting",
        }
    }
}

impl Served {
    pub(crate) fn new(name: &str, kind: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            traffic: Arc::default(),
            users: AtomicU64::new(0),
            ever: AtomicU64::new(0),
        }
    }

    /// Users that are there.
    pub(crate) fn users(&self) -> u64 {
        self.users.load(Ordering::Relaxed)
    }

    /// Users that have come.
    #[cfg(feature = "doctor")]
    pub(crate) fn ever(&self) -> u64 {
        self.ever.load(Ordering::Relaxed)
    }

    /// From users to the service, and the other way.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        // The tunnel is the far side.
        (self.traffic.far_to_near(), self.traffic.near_to_far())
    }
}

impl Owner for Served {
    fn entered(&self) {
        self.users.fetch_add(1, Ordering::Relaxed);
        self.ever.fetch_add(1, Ordering::Relaxed);
    }

    fn left(&self, conn: &Conn, lasted: Duration) {
        self.users.fetch_sub(1, Ordering::Relaxed);
        if !access::is_wanted() {
            return;
        }
        access::ended(&access::Connection {
            id: conn.number(),
            proxy: &self.name,
            kind: self.kind,
            client: "",
            user: conn.from,
            lasted,
            // The tunnel is the far side.
            bytes: (conn.traffic.far_to_near(), conn.traffic.near_to_far()),
            end: conn.end().unwrap_or(End::User).as_str(),
        });
    }
}

/// Behind 1970.
pub(crate) fn unix_time() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
