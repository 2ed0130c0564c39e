//! How long a task may run while others of its thread wait, and who of them is next.
//!
//! The runtime runs tasks in the order in which they were woken, and looks for new I/O once none is left. A task
//! that always has something to move, and wakes itself, would keep the thread from looking. So a turn
//! ends after [`TURN`]. Who has bulk to move then [lines up](line_up): of those in the line one at a time is
//! called, and between two the thread looks for I/O and runs whoever that wakes. A keystroke waits for the turn
//! that is under way, not for all who have bulk.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::yield_now;

/// How long a turn takes, about: 100 to 500 KB, by what is done to them. Half of that costs bulk a fifth more CPU.
const TURN: Duration = Duration::from_micros(100);

/// A turn that is under way.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    began: Instant,
}

impl Turn {
    /// Begins now.
    #[must_use]
    pub fn begin() -> Self {
        Self {
            began: Instant::now(),
        }
    }

    /// Whether it has taken long enough.
    pub fn is_over(&self) -> bool {
        self.began.elapsed() >= TURN
    }
}

/// Ends the turn of a task that carries what others wait for: it goes on once the thread has looked for new
/// I/O, behind whoever that wakes.
pub fn give_way(cx: &mut Context<'_>) {
    // The runtime has the waker when this has been polled once.
    let _ = pin!(yield_now()).poll(cx);
}

/// Ends the turn of a task that has more to move: it goes on once it is called from the line of its thread.
pub fn line_up(cx: &mut Context<'_>) {
    let calls = LINE.with(|line| {
        let mut waiting = line.lock();
        waiting.tasks.push_back(cx.waker().clone());
        match waiting.is_called {
            true => None,
            false => {
                waiting.is_called = true;
                Some(Caller(Arc::clone(line)))
            }
        }
    });
    if let Some(caller) = calls
        && let Ok(runtime) = Handle::try_current()
    {
        runtime.spawn(caller.call());
    }
}

thread_local! {
    static LINE: Arc<Line> = Arc::default();
}

/// The tasks of a thread that wait for a turn.
#[derive(Default)]
struct Line(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    tasks: VecDeque<Waker>,
    /// There is a [`Caller`].
    is_called: bool,
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls one task after the other. When it goes, with its runtime or for want of one, all are called.
struct Caller(Arc<Line>);

impl Caller {
    async fn call(self) {
        loop {
            yield_now().await;
            let next = self.0.lock().tasks.pop_front();
            match next {
                Some(task) => task.wake(),
                // Who was called last has not come back.
                None => return,
            }
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let left = std::mem::take(&mut *self.0.lock());
        left.tasks.into_iter().for_each(Waker::wake);
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write as _;
    use std::os::unix::net::UnixStream as Blocking;
    use std::task::Poll;

    use tokio::io::AsyncReadExt as _;
    use tokio::net::UnixStream;

    use super::*;

    /// What ran, in order.
    type Log = Arc<Mutex<Vec<&'static str>>>;

    /// Lines up after each turn, for ever; in its tenth it sends a byte.
    async fn bulk(log: Log, mut to: Option<Blocking>) {
        let mut turns = 0;
        poll_fn(|cx| {
            turns += 1;
            log.lock().unwrap().push("bulk");
            if turns == 10
                && let Some(mut to) = to.take()
            {
                to.write_all(b"x").unwrap();
                log.lock().unwrap().push("sent");
            }
            line_up(cx);
            Poll::<()>::Pending
        })
        .await;
    }

    #[tokio::test]
    async fn who_waits_for_io_goes_before_all_who_have_bulk() {
        let log = Log::default();
        let (to, from) = Blocking::pair().unwrap();
        from.set_nonblocking(true).unwrap();
        let mut from = UnixStream::from_std(from).unwrap();
        let mut others = tokio::task::JoinSet::new();
        for to in [None, Some(to), None, None] {
            others.spawn(bulk(log.clone(), to));
        }
        from.read_u8().await.unwrap();
        let log = log.lock().unwrap().clone();
        let sent = log.iter().position(|what| *what == "sent").unwrap();
        let after = log.len() - sent - 1;
        assert!(after <= 1, "{after} turns of bulk after the byte was sent");
        // And all of them had their turns.
        assert!(sent >= 4 * 9, "{log:?}");
    }

    #[tokio::test]
    async fn who_gives_way_goes_on_after_one_turn_of_bulk() {
        let log = Log::default();
        let mut others = tokio::task::JoinSet::new();
        for _ in 0..3 {
            others.spawn(bulk(log.clone(), None));
        }
        let mut turns = 0;
        poll_fn(|cx| {
            turns += 1;
            log.lock().unwrap().push("driver");
            give_way(cx);
            match turns {
                50 => Poll::Ready(()),
                _ => Poll::Pending,
            }
        })
        .await;
        let log = log.lock().unwrap().clone();
        let in_a_row = log.split(|what| *what == "driver").map(<[_]>::len);
        // At the start all come once.
        assert!(in_a_row.skip(2).all(|bulk| bulk <= 1), "{log:?}");
        assert!(log.len() > 80, "{log:?}");
    }

    #[test]
    fn a_runtime_that_ends_leaves_nobody_in_the_line() {
        for _ in 0..2 {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            runtime.block_on(async {
                let log = Log::default();
                let task = tokio::spawn(bulk(log.clone(), None));
                while log.lock().unwrap().len() < 10 {
                    yield_now().await;
                }
                task.abort();
            });
        }
        assert!(LINE.with(|line| line.lock().tasks.is_empty()));
    }
}
