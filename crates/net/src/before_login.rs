//! A bound on strangers: connections that have not logged in yet.
//!
//! frp has none. Refusing newcomers at the bound would let a flood lock honest clients out, so the
//! oldest goes instead: an honest login is over in moments, a silent peer waits and is the oldest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::kcp::Stranger;
use crate::limits::MAX_BEFORE_LOGIN;
use tokio_util::sync::CancellationToken;

/// The connections waiting to log in, oldest first.
#[derive(Debug, Default)]
pub struct BeforeLogin {
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    turns: BTreeMap<u64, CancellationToken>,
}

/// A place among the strangers, given back on drop.
#[derive(Debug)]
pub struct Turn {
    id: u64,
    evicted: CancellationToken,
    waiting: Arc<Mutex<Waiting>>,
    /// The place that a kcp session has at its port, too.
    kcp: Option<Stranger>,
}

impl BeforeLogin {
    /// Takes a place; the oldest loses its own where all are taken.
    pub fn enter(&self) -> Turn {
        let evicted = CancellationToken::new();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.turns.len() >= MAX_BEFORE_LOGIN
            && let Some((_, oldest)) = waiting.turns.pop_first()
        {
            oldest.cancel();
        }
        let id = waiting.next;
        waiting.next += 1;
        waiting.turns.insert(id, evicted.clone());
        Turn {
            id,
            evicted,
            waiting: self.waiting.clone(),
            kcp: None,
        }
    }
}

impl Turn {
    /// The place of a kcp session, which is a stranger at its port, too.
    #[must_use]
    pub fn of_kcp(mut self, stranger: Stranger) -> Self {
        self.kcp = Some(stranger);
        self
    }

    /// The peer has shown that it may be here.
    pub fn admit(mut self) {
        if let Some(stranger) = self.kcp.take() {
            stranger.admit();
        }
    }

    /// Completes when the place has gone to somebody else.
    pub async fn evicted(&self) {
        self.evicted.cancelled().await;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .turns
            .remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_stranger_makes_room() {
        let strangers = BeforeLogin::default();
        let mut turns: Vec<Turn> = (0..MAX_BEFORE_LOGIN).map(|_| strangers.enter()).collect();
        let newest = strangers.enter();
        turns[0].evicted().await;
        assert!(!turns[1].evicted.is_cancelled());
        assert!(!newest.evicted.is_cancelled());

        drop(turns.remove(1));
        let _another = strangers.enter();
        assert!(!turns[1].evicted.is_cancelled(), "a place was free");
    }
}
