//! What others may know of a session and do to it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use frp_log::Log;
use frp_proto::features;
use frp_proto::msg::Login;
use frp_proto::plugin::UserInfo;
use frp_proto::scram::Use;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::allowance::Allowance;
use super::outbox::Outbox;
use super::pool::Pool;
use super::visits::Visits;
use crate::auth::Auth;
use crate::auth::tokens::Identity;
use crate::caller::Caller;
use crate::limits::{DOUBT, MAX_PLUGIN_QUESTIONS_OF_CLIENT, MEASURE_EVERY};
use crate::nathole::holes::Holes;
use crate::proof::{RunKey, Streams};

/// See the module.
#[derive(Debug)]
pub(crate) struct SessionHandle {
    pub(crate) run_id: String,
    pub(crate) pool: Pool,
    /// What others tell it.
    pub(crate) outbox: Outbox,
    /// The direct paths that it takes part in.
    pub(crate) holes: Holes,
    pub(crate) log: Log,
    /// Cancelled by the successor: the session must end.
    pub(crate) replaced: CancellationToken,
    /// Cancelled when the session has given back all that it had taken.
    pub(crate) released: CancellationToken,
    /// Another client wants a name of its proxies: perhaps it is the same one, which was started again.
    pub(crate) doubted: Arc<Notify>,
    /// Users of its proxies of whom it says what becomes of them.
    pub(crate) visits: Arc<Visits>,
    /// What plugins are told of it.
    pub(crate) info: Arc<UserInfo>,
    /// Its users that plugins are asked about at a time.
    pub(crate) user_questions: Semaphore,
    /// What its proxies may have together.
    pub(crate) allowance: Arc<Allowance>,
    /// Cancelled by an administrator: the session must end.
    pub(crate) ended: CancellationToken,
    /// Its proxies, and the users that they have, where somebody counts them.
    pub(crate) proxies: AtomicU64,
    pub(crate) conns: AtomicU64,
    pub(super) running: AtomicBool,
    half_closes: bool,
    user: Arc<str>,
    /// What the client is known by.
    id: Arc<str>,
    pub(super) client_id: String,
    auth: Arc<Auth>,
    identity: Identity,
    whose: Arc<str>,
    /// Who holds the run id.
    pub(super) run_key: Option<RunKey>,
    streams: Option<Streams>,
    caller: Caller,
    /// Microseconds, of a connection that does not tell by itself; 0 for none.
    measured: AtomicU64,
    /// When the round trip was asked for last.
    asked: Mutex<Option<Instant>>,
}

impl SessionHandle {
    pub(crate) fn new(
        login: &Login,
        (auth, identity): (Arc<Auth>, Identity),
        (run_key, streams): (Option<RunKey>, Option<Streams>),
        pool: Pool,
        caller: Caller,
        log: Log,
    ) -> Self {
        let id = id_of(&login.client_id, &login.run_id);
        let whose = match identity.entry().is_named() {
            true => format!("token {}", identity.entry().name()),
            false => format!("client {}", key_of(&login.user, id)),
        };
        Self {
            run_id: login.run_id.clone(),
            pool,
            outbox: Outbox::default(),
            holes: Holes::default(),
            log,
            replaced: CancellationToken::new(),
            released: CancellationToken::new(),
            doubted: Arc::default(),
            visits: Arc::default(),
            info: Arc::new(UserInfo {
                user: login.user.clone(),
                metas: login.metas.clone(),
                run_id: login.run_id.clone(),
            }),
            user_questions: Semaphore::new(MAX_PLUGIN_QUESTIONS_OF_CLIENT),
            allowance: Arc::default(),
            ended: CancellationToken::new(),
            proxies: AtomicU64::new(0),
            conns: AtomicU64::new(0),
            running: AtomicBool::new(false),
            half_closes: features::half_closes(&login.features),
            user: login.user.as_str().into(),
            id: id.into(),
            client_id: login.client_id.clone(),
            auth,
            identity,
            whose: whose.into(),
            run_key,
            streams,
            caller,
            measured: AtomicU64::new(0),
            asked: Mutex::default(),
        }
    }

    /// What the API calls the client: `user.id`, or `id` where there is no user.
    pub(crate) fn key(&self) -> String {
        key_of(&self.user, &self.id)
    }

    /// From here to the client and back, as it was measured last. Has it be measured again, if that is
    /// long ago.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        if self.caller.is_muxed() {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            if asked.is_none_or(|at| at.elapsed() >= MEASURE_EVERY) {
                *asked = Some(Instant::now());
                drop(asked);
                self.caller.ask();
            }
        }
        let measured = self.measured.load(Ordering::Relaxed);
        let measured = (measured > 0).then(|| Duration::from_micros(measured));
        self.caller.round_trip().or(measured)
    }

    /// The session has measured it.
    pub(crate) fn measured(&self, round_trip: Duration) {
        let micros = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
        self.measured.store(micros, Ordering::Relaxed);
    }

    /// Completes when the client was doubted and has not answered. Over UDP nobody tells that a program has ended, nor
    /// by TCP that a machine has.
    pub(crate) async fn gone(&self) {
        loop {
            self.doubted.notified().await;
            let Some(before) = self.caller.heard() else {
                continue;
            };
            self.caller.ask();
            sleep(DOUBT).await;
            if self.caller.heard() == Some(before) {
                return;
            }
        }
    }

    /// Whether `other` is a stream of this session's connection, or neither is multiplexed.
    pub(crate) fn shares_connection(&self, other: &Caller) -> bool {
        match (&self.caller.link, &other.link) {
            (Some(own), Some(others)) => Arc::ptr_eq(own, others),
            (None, None) => true,
            _ => false,
        }
    }

    /// Whether a stream for `what` shows that it is this session's, or has not to: a run id is no secret.
    pub(crate) fn admits(&self, what: Use, count: i64, proof: &[u8]) -> bool {
        let streams = self.streams.as_ref();
        streams.is_none_or(|streams| streams.admits(what, count, proof))
    }

    /// Whether an end on one of the client's streams is that of one direction only.
    pub(crate) fn half_closes(&self) -> bool {
        self.half_closes
    }

    /// Where the client is, as it is seen here.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.caller.peer
    }

    /// The user that the client logged in as; may be empty.
    pub(crate) fn user(&self) -> &Arc<str> {
        &self.user
    }

    /// What the client has logged in under, and goes on under.
    pub(crate) fn auth(&self) -> &Auth {
        &self.auth
    }

    /// Who has logged in, as far as the credentials say.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whose proxies its own count as, where it has users kept from them: those of its token, if that is one of
    /// `auth.tokens`, or else of the client alone. Whoever shares `auth.token` may be anybody.
    pub(crate) fn whose(&self) -> &Arc<str> {
        &self.whose
    }

    /// What the client is known by: its `clientID`, or else the run id.
    pub(crate) fn id(&self) -> &Arc<str> {
        &self.id
    }
}

/// `user.id`, or `id` where there is no user.
pub(crate) fn key_of(user: &str, id: &str) -> String {
    match user {
        "" => id.to_owned(),
        user => format!("{user}.{id}"),
    }
}

/// The id that a client goes by.
pub(crate) fn id_of<'a>(client_id: &'a str, run_id: &'a str) -> &'a str {
    if client_id.is_empty() {
        run_id
    } else {
        client_id
    }
}
