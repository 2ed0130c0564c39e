//! When is the server asked whether it still knows us? It may have been killed and started again, which over UDP
//! nobody tells by himself, and whoever does not ask finds out by silence.

use tokio::time::Instant;

use crate::limits::{ASK_AGAIN, ASK_NO_MORE};

/// Asks often while users come, and ever more seldom after the last one, whom one would miss.
#[derive(Debug)]
pub(crate) struct Asking {
    user_came: Instant,
    next: Option<Instant>,
}

/// Of the time since the last user, so much may be lost.
const SHARE: u32 = 100;

impl Asking {
    /// A session begins.
    pub(crate) fn new(now: Instant) -> Self {
        let mut asking = Self {
            user_came: now,
            next: None,
        };
        asking.asked(now);
        asking
    }

    /// A user came.
    pub(crate) fn user_came(&mut self, now: Instant) {
        self.user_came = now;
        let soon = now + ASK_AGAIN;
        self.next = Some(self.next.map_or(soon, |next| next.min(soon)));
    }

    /// When the server is to be asked.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// It was asked.
    pub(crate) fn asked(&mut self, now: Instant) {
        let wait = (now.duration_since(self.user_came) / SHARE).max(ASK_AGAIN);
        // The transport has keep-alives of its own.
        self.next = (wait < ASK_NO_MORE).then(|| now + wait);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// How often it asks within `time`.
    fn asks(asking: &mut Asking, now: &mut Instant, time: Duration) -> usize {
        let end = *now + time;
        let mut asks = 0;
        while let Some(next) = asking.next().filter(|next| *next <= end) {
            *now = next;
            asking.asked(next);
            asks += 1;
        }
        *now = end;
        asks
    }

    #[test]
    fn a_server_without_users_is_left_alone() {
        let mut now = Instant::now();
        let mut asking = Asking::new(now);
        let hour = Duration::from_secs(3600);
        assert!(asks(&mut asking, &mut now, hour) < 500);
        assert_eq!(asks(&mut asking, &mut now, hour), 0);
        asking.user_came(now);
        let minute = asks(&mut asking, &mut now, Duration::from_secs(60));
        assert_eq!(minute, 100);
    }
}
