//! The holes that a client takes part in: as an owner of proxies it answers for those that wait for it and
//! reports about those that it was told of; as a visitor it has so many at a time. An id means something
//! only to the client that was told it.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use frp_proto::msg::NatHoleClient;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::scores::Decided;
use crate::limits::{HOLE_REPORT, MAX_HOLES_OF_VISITOR, MAX_HOLES_REPORTED, MAX_HOLES_WAITING};

/// Those of one client.
#[derive(Debug, Default)]
pub(crate) struct Holes {
    owned: Arc<Mutex<Owned>>,
    visited: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Owned {
    waiting: HashMap<String, oneshot::Sender<NatHoleClient>>,
    /// Oldest first.
    told: VecDeque<(Instant, String, Decided)>,
}

/// A hole that waits for its owner, until dropped.
pub(super) struct Waiting {
    sid: String,
    owned: Arc<Mutex<Owned>>,
    answer: oneshot::Receiver<NatHoleClient>,
}

/// One of those that a client has as a visitor, until dropped.
#[derive(Debug)]
pub(super) struct Visiting(Arc<AtomicUsize>);

impl Holes {
    /// Has the hole `sid` wait for this client; `None` where too many do.
    pub(super) fn wait_for(&self, sid: String) -> Option<Waiting> {
        let (answers, answer) = oneshot::channel();
        let mut owned = lock(&self.owned);
        if owned.waiting.len() >= MAX_HOLES_WAITING {
            return None;
        }
        owned.waiting.insert(sid.clone(), answers);
        drop(owned);
        Some(Waiting {
            sid,
            owned: self.owned.clone(),
            answer,
        })
    }

    /// One more that this client has as a visitor; `None` where it has too many.
    pub(super) fn visit(&self) -> Option<Visiting> {
        let one_more = |n| (n < MAX_HOLES_OF_VISITOR).then_some(n + 1);
        self.visited
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()?;
        Some(Visiting(self.visited.clone()))
    }

    /// The client has answered for a hole. It comes back where none waits for that.
    pub(super) fn answered(&self, answer: NatHoleClient) -> Result<(), NatHoleClient> {
        match lock(&self.owned).waiting.remove(&answer.sid) {
            Some(hole) => hole.send(answer),
            None => Err(answer),
        }
    }

    /// What was decided for the hole `sid` was told to this client, which will report about it.
    pub(super) fn told(&self, sid: String, decided: Decided) {
        let now = Instant::now();
        let is_old = |at: &Instant| now.saturating_duration_since(*at) > HOLE_REPORT;
        let mut owned = lock(&self.owned);
        owned.told.push_back((now, sid, decided));
        while owned.told.len() > MAX_HOLES_REPORTED
            || owned.told.front().is_some_and(|(at, ..)| is_old(at))
        {
            owned.told.pop_front();
        }
    }

    /// The client reports about the hole `sid`: what was decided for it. Each counts once.
    pub(super) fn reported(&self, sid: &str) -> Option<Decided> {
        let mut owned = lock(&self.owned);
        let at = owned.told.iter().position(|(_, of, _)| of == sid)?;
        let (_, _, decided) = owned.told.remove(at)?;
        Some(decided)
    }
}

impl Waiting {
    pub(super) fn sid(&self) -> &str {
        &self.sid
    }

    /// What the owner answers; `None` where it has answered and that was taken, which is once only.
    pub(super) async fn answer(&mut self) -> Option<NatHoleClient> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        lock(&self.owned).waiting.remove(&self.sid);
    }
}

impl Drop for Visiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Owned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} waiting, {} told",
            self.waiting.len(),
            self.told.len()
        )
    }
}

fn lock(owned: &Mutex<Owned>) -> MutexGuard<'_, Owned> {
    owned.lock().unwrap_or_else(PoisonError::into_inner)
}
