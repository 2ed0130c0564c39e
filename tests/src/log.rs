//! What a program has printed so far, to be waited on.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::sync::watch;
use tokio::time::timeout;

/// The lines of a program's stdout and stderr, in order of arrival.
#[derive(Clone, Debug)]
pub struct Log(watch::Sender<State>);

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    open_pipes: usize,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(State::default()))
    }

    /// Follows `pipe` until it ends.
    pub(crate) fn follow(&self, pipe: impl AsyncRead + Unpin + Send + 'static) {
        let state = self.0.clone();
        state.send_modify(|s| s.open_pipes += 1);
        tokio::spawn(async move {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).await.unwrap_or(0) > 0 {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                state.send_modify(|s| s.lines.push(text));
                line.clear();
            }
            state.send_modify(|s| s.open_pipes -= 1);
        });
    }

    /// All lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.borrow().lines.clone()
    }

    /// All lines so far as one text.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// The number of lines so far, to look only at later ones.
    #[must_use]
    pub fn mark(&self) -> usize {
        self.0.borrow().lines.len()
    }

    /// How many lines contain `text`.
    #[must_use]
    pub fn count(&self, text: &str) -> usize {
        self.0
            .borrow()
            .lines
            .iter()
            .filter(|l| l.contains(text))
            .count()
    }

    /// Waits for a line from number `mark` on that `wanted` accepts. None after `limit`, or when
    /// the program ended without one.
    pub async fn wait(
        &self,
        mark: usize,
        limit: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let find = |s: &State| s.lines.iter().skip(mark).find(|l| wanted(l)).cloned();
        let mut changes = self.0.subscribe();
        let arrived = changes.wait_for(|s| s.open_pipes == 0 || find(s).is_some());
        match timeout(limit, arrived).await {
            Ok(Ok(state)) => find(&state),
            _ => None,
        }
    }

    /// Waits until the program has closed its output.
    pub(crate) async fn ended(&self) {
        let _ = self.0.subscribe().wait_for(|s| s.open_pipes == 0).await;
    }
}
