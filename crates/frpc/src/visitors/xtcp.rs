//! A xtcp visitor: its users reach the proxy by a direct path to the proxy's frpc, which is dug when it is
//! wanted (frp `client/visitor/xtcp.go`).
//!
//! Where there is a visitor to fall back to, nobody waits for that: users go by way of the other until the
//! path stands, and again when it is lost. frp has each wait for `fallbackTimeoutMs` first; here that is how
//! long a path that stands may take to show that it still does.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use frp_config::{VisitorKind, XtcpVisitor};
use frp_log::{debug, info, warn};
use frp_proto::msg::{NatHoleResp, NatHoleVisitor};
use frp_relay::layers::{Carried, Side, wrap};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::visitor::{VisitError, Visitor};
use crate::auth;
use crate::limits::{
    HOLE_ANSWER, HOLE_PRECHECK, HOLE_ROUND, MAX_FALLBACKS, TUNNEL_CHECK, TUNNEL_REPLACE_TRIES,
    TUNNEL_WAIT,
};
use crate::nathole::{HoleError, Orders, Tunnel, make_hole, new_id, prepare, words};

/// The direct path of a visitor, or the want of one.
#[derive(Debug)]
pub(super) struct Direct {
    path: watch::Sender<Option<Arc<Tunnel>>>,
    /// Users who wait for it.
    waiting: AtomicUsize,
    /// Somebody would have taken it, or it was lost.
    is_wanted: AtomicBool,
    wants: Notify,
    /// Why the last attempt failed.
    failed: Mutex<Option<String>>,
}

/// Why a user does not get through.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoPath {
    #[error("there is no direct path yet")]
    NotYet,
    #[error("the peer did not answer on the direct path")]
    Silent,
    #[error("open tunnel timeout: {0}")]
    TimedOut(String),
    #[error("transfer connection to visitor {name} error: {why}")]
    NotTaken { name: String, why: &'static str },
}

/// Digs whenever a path is wanted, and watches over the one that there is, until the visitor stops.
pub(super) async fn keep(visitor: Arc<Visitor>) {
    let (VisitorKind::Xtcp(cfg), Some(direct)) = (&visitor.cfg.kind, &visitor.direct) else {
        return;
    };
    tokio::select! {
        () = direct.keep(&visitor, cfg) => {}
        () = visitor.stop.cancelled() => {}
    }
    direct.path.send_replace(None);
}

impl Default for Direct {
    fn default() -> Self {
        Self {
            path: watch::Sender::new(None),
            waiting: AtomicUsize::new(0),
            is_wanted: AtomicBool::new(false),
            wants: Notify::new(),
            failed: Mutex::default(),
        }
    }
}

impl Direct {
    /// A stream to the proxy, behind the layers of whoever has opened it; so many visitors have fallen back to
    /// this one.
    pub(super) async fn open(
        &self,
        visitor: &Visitor,
        cfg: &XtcpVisitor,
        fell_back: usize,
    ) -> Result<Carried, VisitError> {
        if cfg.fallback_to.is_empty() {
            return Ok(self.wait_and_open(visitor).await?);
        }
        let opened = self.try_open(visitor, cfg.fallback_timeout).await;
        let Err(why) = opened else {
            return Ok(opened?);
        };
        let name = &cfg.fallback_to;
        debug!(visitor.log, "{why}; transfer connection to visitor: {name}");
        let not_taken = |why| NoPath::NotTaken {
            name: name.clone(),
            why,
        };
        let other = visitor.server.visitor(name);
        let other =
            other.ok_or_else(|| not_taken("there is none; add one, or change fallbackTo"))?;
        if other.cfg.kind == VisitorKind::Sudp {
            return Err(not_taken("it is of type sudp, which carries datagrams alone").into());
        }
        if fell_back >= MAX_FALLBACKS {
            return Err(not_taken("visitors fall back to each other without end").into());
        }
        other.open_for(fell_back + 1).await
    }

    /// Waits for a path.
    async fn wait_and_open(&self, visitor: &Visitor) -> Result<Carried, NoPath> {
        let _waits = Waits::begin(self);
        let mut path = self.path.subscribe();
        let opening = async {
            loop {
                path.mark_unchanged();
                let opened = self.try_open(visitor, TUNNEL_CHECK).await;
                if opened.is_ok() {
                    return opened;
                }
                // A path that is silent is lost soon.
                let _ = path.changed().await;
            }
        };
        let opened = timeout(TUNNEL_WAIT, opening).await;
        opened.unwrap_or_else(|_| {
            let why = self
                .why()
                .unwrap_or_else(|| "no attempt has ended yet".to_owned());
            Err(NoPath::TimedOut(why))
        })
    }

    /// The same by the path that there is, whose peer may take `limit` to show that it is there.
    async fn try_open(&self, visitor: &Visitor, limit: Duration) -> Result<Carried, NoPath> {
        let path = self.path.borrow().clone();
        let Some(path) = path else {
            self.want();
            return Err(NoPath::NotYet);
        };
        let opening = async {
            match path.is_alive(limit).await {
                true => path.open().await.ok(),
                false => None,
            }
        };
        let stream = timeout(limit, opening).await.ok().flatten();
        let stream = stream.ok_or(NoPath::Silent)?;
        let carried = wrap(stream, Bytes::new(), &visitor.layers, Side::Client);
        Ok(carried.of_peer(path.half_closes()))
    }

    async fn keep(&self, visitor: &Visitor, cfg: &XtcpVisitor) {
        let mut retries = cfg.keep_tunnel_open.then(|| Retries::new(cfg));
        let mut replacing = Replacing::default();
        loop {
            let kept = retries.as_ref().map(|retries| retries.due);
            let due = [kept, replacing.due].into_iter().flatten().min();
            self.wanted(due).await;
            let began = Instant::now();
            match dig(visitor, cfg).await {
                Ok(tunnel) => {
                    self.failed(None);
                    self.watch_over(visitor, cfg, Arc::new(tunnel)).await;
                    replacing.lost(Instant::now());
                }
                Err(e) => {
                    warn!(visitor.log, "{e}{}", consequence(cfg));
                    self.failed(Some(e.to_string()));
                    replacing.failed(Instant::now());
                }
            }
            if let Some(retries) = &mut retries {
                retries.failed(Instant::now());
            }
            // As in frp, lest a peer that cannot be reached costs much.
            sleep_until(began + HOLE_ROUND).await;
        }
    }

    /// Lends the path to the users until it is lost.
    async fn watch_over(&self, visitor: &Visitor, cfg: &XtcpVisitor, tunnel: Arc<Tunnel>) {
        let protocol = cfg.protocol.as_str();
        info!(
            visitor.log,
            "users go by the direct path to {} from now on, over {protocol}", tunnel.peer
        );
        self.path.send_replace(Some(tunnel.clone()));
        let why = tunnel.lost().await;
        self.path.send_replace(None);
        tunnel.close();
        visitor.server.link.connector.check();
        let meanwhile = match cfg.fallback_to.as_str() {
            "" => "users wait for another one".to_owned(),
            name => format!("using {name} until there is another one"),
        };
        warn!(
            visitor.log,
            "the direct path to {} is lost: {why}; {meanwhile}", tunnel.peer
        );
    }

    /// Waits until somebody wants a path, or it is `due`.
    async fn wanted(&self, due: Option<Instant>) {
        loop {
            let is_wanted = self.is_wanted.swap(false, Ordering::AcqRel);
            if is_wanted || self.waiting.load(Ordering::Acquire) > 0 {
                return;
            }
            tokio::select! {
                () = self.wants.notified() => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => return,
            }
        }
    }

    fn want(&self) {
        self.is_wanted.store(true, Ordering::Release);
        self.wants.notify_one();
    }

    fn failed(&self, why: Option<String>) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Why there is none, as far as is known.
    pub(super) fn why(&self) -> Option<String> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.clone()
    }
}

/// A user waits until this is dropped.
struct Waits<'a>(&'a Direct);

impl<'a> Waits<'a> {
    fn begin(direct: &'a Direct) -> Self {
        direct.waiting.fetch_add(1, Ordering::AcqRel);
        direct.wants.notify_one();
        Self(direct)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// When a path that is kept without users is tried for again.
struct Retries {
    due: Instant,
    interval: Duration,
    /// Attempts that there are left, which come back one by one over an hour.
    left: f64,
    an_hour: f64,
    at: Instant,
}

impl Retries {
    fn new(cfg: &XtcpVisitor) -> Self {
        let now = Instant::now();
        // The first attempt does not count.
        let an_hour = cfg.max_retries_an_hour.max(1) as f64;
        Self {
            due: now,
            interval: cfg.min_retry_interval,
            left: an_hour,
            an_hour,
            at: now,
        }
    }

    /// An attempt has failed, or its path was lost.
    fn failed(&mut self, now: Instant) {
        let hour = 3600.0;
        let more = (now - self.at).as_secs_f64() * self.an_hour / hour;
        self.left = (self.left + more).min(self.an_hour) - 1.0;
        self.at = now;
        let missing = (-self.left).max(0.0) * hour / self.an_hour;
        self.due = now + self.interval.max(Duration::from_secs_f64(missing));
    }
}

/// When a path that was lost is tried for again, whether anybody comes or not: less and less often, and not for
/// ever, for its proxy may be gone for good.
#[derive(Default)]
struct Replacing {
    due: Option<Instant>,
    left: u32,
    pause: Duration,
}

impl Replacing {
    fn lost(&mut self, now: Instant) {
        *self = Self {
            due: Some(now),
            left: TUNNEL_REPLACE_TRIES,
            pause: HOLE_ROUND,
        };
    }

    fn failed(&mut self, now: Instant) {
        self.left = self.left.saturating_sub(1);
        self.due = (self.left > 0).then(|| now + self.pause);
        self.pause *= 2;
    }
}

/// What becomes of users where there is no path.
fn consequence(cfg: &XtcpVisitor) -> String {
    match cfg.fallback_to.as_str() {
        "" => "; no fallbackTo is set, so users wait for another attempt".to_owned(),
        name => format!("; using {name}"),
    }
}

/// One attempt.
async fn dig(visitor: &Visitor, cfg: &XtcpVisitor) -> Result<Tunnel, HoleError> {
    let log = &visitor.log;
    let server = &visitor.server;
    let client = &server.client;
    let holes = &server.link.holes;
    let _place = client.budget.begin().ok_or(HoleError::TooMany)?;
    let ask = async |question: NatHoleVisitor, limit| -> Result<NatHoleResp, _> {
        let id = question.transaction_id.clone();
        holes.ask(question.into(), id, limit).await
    };
    let check = NatHoleVisitor {
        transaction_id: new_id(),
        proxy_name: visitor.target.clone(),
        pre_check: true,
        ..NatHoleVisitor::default()
    };
    ask(check, HOLE_PRECHECK)
        .await
        .map_err(HoleError::unchecked)?;
    let prepared = prepare(client, &cfg.nat_traversal, log).await?;
    let (timestamp, sign_key) = auth::signature(&visitor.cfg.secret_key);
    let question = NatHoleVisitor {
        transaction_id: new_id(),
        proxy_name: visitor.target.clone(),
        pre_check: false,
        protocol: cfg.protocol.as_str().to_owned(),
        sign_key,
        timestamp,
        mapped_addrs: words(&prepared.mapped),
        assisted_addrs: words(&prepared.assisted),
    };
    let answer = ask(question, HOLE_ANSWER)
        .await
        .map_err(HoleError::unanswered)?;
    let parties = server.link.connector.server_ips();
    let orders = Orders::new(&answer, &parties)?;
    let secret = &visitor.cfg.secret_key;
    let hole = make_hole(prepared, &orders, secret, &parties, &client.budget, log).await?;
    let quic = &client.cfg.transport.quic;
    Ok(Tunnel::dial(hole, cfg.protocol, quic, &client.tasks.tracker).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_path_is_kept_by_no_more_attempts_than_are_allowed() {
        let second = Duration::from_secs(1);
        let now = Instant::now();
        let mut retries = Retries {
            due: now,
            interval: 90 * second,
            left: 8.0,
            an_hour: 8.0,
            at: now,
        };
        let mut attempts = 0;
        while retries.due < now + 3600 * second {
            attempts += 1;
            let due = retries.due;
            retries.failed(due);
            assert!(retries.due >= due + 90 * second);
        }
        // Eight at once, those that come back within the hour, and the first.
        assert!((8..=17).contains(&attempts), "{attempts}");
    }
}
