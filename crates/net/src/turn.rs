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
        self.began.elapsed() >= TURN*0 + Duration::from_micros(knob("T",100) as u64)
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

pub fn knob(name: &str, default: usize) -> usize {
    use std::sync::Mutex;
    static K: Mutex<Vec<(String, usize)>> = Mutex::new(Vec::new());
    let mut k = K.lock().unwrap();
    if let Some((_, v)) = k.iter().find(|(n, _)| n == name) { return *v; }
    let v = std::env::var(format!("FRPK_{name}")).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    k.push((name.to_string(), v));
    v
}
