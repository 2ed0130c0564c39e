//! The work connections of a proxy that wait for the next request (frp `pkg/util/vhost/http.go`:
//! MaxIdleConnsPerHost, IdleConnTimeout).

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use frp_process::threads::Thread;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::conn::WorkConn;

/// So many stay.
const KEPT: usize = 5;

/// For so long without a request.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// Beyond [`KEPT`], a connection stays for this time: between the requests of many users at once.
/// frp closes it at once and opens the next a moment later.
const SPARE_FOR: Duration = Duration::from_secs(1);

/// More than any service is asked for at once.
const MAX_SPARE: usize = 1024;

/// So many are out of reach while they are looked at.
const AT_A_TIME: usize = 16;

/// See the module. Closed when its proxy is no longer published.
pub(crate) struct Idle {
    state: Mutex<State>,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// That of the connections.
    thread: Thread,
}

#[derive(Default)]
struct State {
    /// The longest idle first.
    conns: Vec<(Instant, WorkConn)>,
    /// Whether somebody looks after them.
    kept: bool,
    closed: bool,
}

impl Idle {
    pub(crate) fn new(tasks: TaskTracker, stop: CancellationToken, thread: Thread) -> Self {
        Self {
            state: Mutex::default(),
            tasks,
            stop,
            thread,
        }
    }

    /// The connection that was used last and can take a request.
    pub(super) fn take(&self) -> Option<WorkConn> {
        loop {
            let (_, mut conn) = self.lock().conns.pop()?;
            if conn.is_usable() {
                return Some(conn);
            }
        }
    }

    /// Keeps `conn`, whose last answer is complete, if it can take another request.
    pub(super) fn put(self: &Arc<Self>, mut conn: WorkConn) {
        if !conn.is_usable() {
            return;
        }
        let mut state = self.lock();
        // Otherwise it is dropped after the lock is let go.
        if state.closed || state.conns.len() >= MAX_SPARE {
            drop(state);
            return;
        }
        state.conns.push((Instant::now(), conn));
        if !state.kept {
            state.kept = true;
            drop(state);
            let keeping = keep(self.clone());
            self.tasks.spawn_on(keeping, self.thread.handle());
        }
    }

    /// Lets go of all connections and keeps none from now on.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let conns = std::mem::take(&mut state.conns);
        drop(state);
        drop(conns);
    }

    /// Takes out what has been idle for too long or has ended. Whether any are left.
    ///
    /// A few at a time, and not under the lock while they are looked at: the others can be taken.
    fn sweep(&self, gone: &mut Vec<WorkConn>) -> bool {
        let now = Instant::now();
        let mut spare = self.lock().conns.len().saturating_sub(KEPT);
        // Those before have been looked at.
        let mut at = 0;
        loop {
            let mut state = self.lock();
            let end = state.conns.len().min(at + AT_A_TIME);
            if at >= end {
                state.kept = !state.conns.is_empty();
                return state.kept;
            }
            let some: Vec<_> = state.conns.drain(at..end).collect();
            drop(state);
            let mut good = Vec::with_capacity(some.len());
            for (since, mut conn) in some {
                let idle = now.saturating_duration_since(since);
                let is_spare = spare > 0 && idle >= SPARE_FOR;
                if is_spare || idle >= KEPT_FOR || !conn.is_usable() {
                    spare = spare.saturating_sub(1);
                    gone.push(conn);
                } else {
                    good.push((since, conn));
                }
            }
            let mut state = self.lock();
            if state.closed {
                gone.extend(good.into_iter().map(|(_, conn)| conn));
                state.kept = false;
                return false;
            }
            // Some may have been taken meanwhile.
            let from = at.min(state.conns.len());
            at = from + good.len();
            state.conns.splice(from..from, good);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Idle")
            .field(&self.lock().conns.len())
            .finish()
    }
}

/// Looks after the idle connections until there are none.
async fn keep(idle: Arc<Idle>) {
    let mut tick = interval(SPARE_FOR);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = idle.stop.cancelled() => return idle.close(),
        }
        let mut gone = Vec::new();
        if !idle.sweep(&mut gone) {
            return;
        }
    }
}
