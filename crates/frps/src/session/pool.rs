//! The work connections that a client holds ready. They lie beside the session, not in its mailbox:
//! a user's connection never queues behind control messages.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use crate::greet::Greeted;

/// frp keeps this many places beyond `poolCount` (frp `server/control.go`).
const EXTRA_PLACES: usize = 10;

/// Ready work connections, those who wait for one, and how many to ask the client for.
#[derive(Debug)]
pub(crate) struct Pool {
    /// How many the client keeps ready.
    pub(crate) count: usize,
    state: Mutex<State>,
    to_request: AtomicUsize,
    request: Notify,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Greeted>,
    waiting: VecDeque<oneshot::Sender<Greeted>>,
    closed: bool,
}

/// A work connection that found no place; it comes back so that its client can be told.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) conn: Greeted,
    pub(crate) why: &'static str,
}

/// Why a user got no work connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeError {
    #[error("control is already closed")]
    Closed,
    #[error("timeout trying to get work connection")]
    TimedOut,
}

impl Pool {
    pub(crate) fn new(count: usize) -> Self {
        Self {
            count,
            state: Mutex::default(),
            to_request: AtomicUsize::new(count),
            request: Notify::new(),
        }
    }

    /// A work connection: a ready one, or the next that the client opens within `limit`. The
    /// client is asked for one more in its place.
    pub(crate) async fn take(&self, limit: Duration) -> Result<Greeted, TakeError> {
        let coming = {
            let mut state = self.lock();
            if state.closed {
                return Err(TakeError::Closed);
            }
            if let Some(conn) = state.ready.pop_front() {
                drop(state);
                self.ask_for(1);
                return Ok(conn);
            }
            let (tx, rx) = oneshot::channel();
            state.waiting.push_back(tx);
            rx
        };
        self.ask_for(1);
        let taken = tokio::time::timeout(limit, coming).await;
        let conn = taken
            .map_err(|_| TakeError::TimedOut)?
            .map_err(|_| TakeError::Closed)?;
        self.ask_for(1);
        Ok(conn)
    }

    /// Hands a new work connection to whoever waits longest, or keeps it ready.
    pub(crate) fn put(&self, mut conn: Greeted) -> Result<(), Box<Refused>> {
        let mut state = self.lock();
        if state.closed {
            return Err(Box::new(Refused {
                conn,
                why: "client control is closing",
            }));
        }
        while let Some(user) = state.waiting.pop_front() {
            match user.send(conn) {
                Ok(()) => return Ok(()),
                Err(back) => conn = back,
            }
        }
        if state.ready.len() >= self.count + EXTRA_PLACES {
            let why = "work connection pool is full, discarding";
            return Err(Box::new(Refused { conn, why }));
        }
        state.ready.push_back(conn);
        Ok(())
    }

    /// Waits until the client is to be asked for work connections, and says for how many.
    pub(crate) async fn wanted(&self) -> usize {
        loop {
            match self.to_request.swap(0, Ordering::AcqRel) {
                0 => self.request.notified().await,
                n => return n,
            }
        }
    }

    /// Lets go of everything ready and of everybody who waits.
    pub(crate) fn close(&self) {
        let (ready, waiting) = {
            let mut state = self.lock();
            state.closed = true;
            (
                std::mem::take(&mut state.ready),
                std::mem::take(&mut state.waiting),
            )
        };
        drop((ready, waiting));
    }

    fn ask_for(&self, n: usize) {
        self.to_request.fetch_add(n, Ordering::AcqRel);
        self.request.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
