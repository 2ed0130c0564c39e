//! How long a task may run while others of its thread wait.
//!
//! The runtime runs tasks in the order in which they were woken, and looks for new I/O once none is left. A task
//! that always has something to move and wakes itself would keep the thread from looking, and everybody from
//! hearing of what has come. So who has moved a turn's worth gives the thread up: whoever has waited for I/O
//! goes first. That is who sends little: a keystroke waits for the turn that is under way, not for bulk.

use std::future::Future;
use std::pin::pin;
use std::task::Context;
use std::time::{Duration, Instant};

/// How long a turn takes, about.
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

pub fn knob(name: &str, default: usize) -> usize {
    use std::sync::Mutex;
    static K: Mutex<Vec<(String, usize)>> = Mutex::new(Vec::new());
    let mut k = K.lock().unwrap();
    if let Some((_, v)) = k.iter().find(|(n, _)| n == name) { return *v; }
    let v = std::env::var(format!("FRPK_{name}")).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    k.push((name.to_string(), v));
    v
}

/// Ends the turn of a task that could go on: it is woken once the thread has looked for new I/O, behind
/// those that this wakes.
pub fn give_up(cx: &mut Context<'_>) {
    // The runtime has the waker when this has been polled once.
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}
