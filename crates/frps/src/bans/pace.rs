//! When is the next login from a source looked at that has had failed ones? At most one at a time, and after each
//! a pause that grows to [`SLOWEST_LOGIN`]: whoever guesses gets no more guesses by more connections, and whoever
//! has the right token waits for its turn. A few may wait; where more come, the lot decides who does, so that a
//! client behind the address of a flood has its chance with each attempt.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Bans, Kind, Source};
use crate::limits::{FREE_FAILED_LOGINS, MAX_LOGINS_WAITING, SLOW_LOGIN, SLOWEST_LOGIN};
use crate::random::random_bytes;

/// Who waits for its turn at one source.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the next may be looked at that is not waiting yet.
    next: Option<Instant>,
    waiting: Vec<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    at: Instant,
    /// Its place goes to another.
    loses: CancellationToken,
}

/// Why a login is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooFast {
    #[error("too many failed logins from this address: try again in {} s", SLOWEST_LOGIN.as_secs())]
    Crowded,
    #[error("this address is banned by the operator of the server")]
    Banned,
}

impl Pace {
    pub(super) fn is_awaited(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// A place in the row, after `pause`; `None`: there is nothing to wait for.
    fn wait(&mut self, now: Instant, pause: Duration) -> Option<Waiter> {
        let next = self.next.filter(|next| *next > now);
        if pause.is_zero() && next.is_none() && self.waiting.is_empty() {
            return None;
        }
        let loses = CancellationToken::new();
        if self.waiting.len() >= MAX_LOGINS_WAITING {
            let lot = u64::from_ne_bytes(random_bytes()) % (self.waiting.len() as u64 + 1);
            // Or else it is the newcomer itself that loses.
            let taken = usize::try_from(lot)
                .ok()
                .and_then(|lot| self.waiting.get_mut(lot));
            let at = match taken {
                Some(taken) => {
                    taken.loses.cancel();
                    taken.loses = loses.clone();
                    taken.at
                }
                None => {
                    loses.cancel();
                    now
                }
            };
            return Some(Waiter { at, loses });
        }
        // Those who have left their places do not make the row any longer.
        let row = u32::try_from(self.waiting.len() + 1).unwrap_or(u32::MAX);
        let at = next.unwrap_or(now).min(now + pause.saturating_mul(row));
        self.next = Some(at + pause);
        let waiter = Waiter { at, loses };
        self.waiting.push(Waiter {
            at,
            loses: waiter.loses.clone(),
        });
        Some(waiter)
    }

    fn leave(&mut self, at: Instant) {
        self.waiting.retain(|waiter| waiter.at != at);
    }
}

impl Source {
    /// After how long the next login is looked at.
    fn pause(&self, failures: u32, is_banned: bool) -> Duration {
        let Some(over) = failures.checked_sub(FREE_FAILED_LOGINS) else {
            return match is_banned {
                true => SLOWEST_LOGIN,
                false => Duration::ZERO,
            };
        };
        match is_banned {
            true => SLOWEST_LOGIN,
            false => SLOW_LOGIN
                .saturating_mul(1 << over.min(16))
                .min(SLOWEST_LOGIN),
        }
    }
}

/// Waits for its turn.
pub(super) async fn turn(bans: &Bans, ip: IpAddr) -> Result<(), TooFast> {
    let Some(waiter) = wait(bans, ip) else {
        return Ok(());
    };
    let place = Place {
        bans,
        ip,
        at: waiter.at,
        loses: &waiter.loses,
    };
    tokio::select! {
        biased;
        () = place.loses.cancelled() => Err(TooFast::Crowded),
        () = sleep_until(place.at) => Ok(()),
    }
}

fn wait(bans: &Bans, ip: IpAddr) -> Option<Waiter> {
    let now = Instant::now();
    let mut state = bans.lock();
    if state.sources.is_empty() {
        return None;
    }
    let window = state.rules.window;
    let source = state.sources.get(ip)?;
    let is_banned = source.ban.as_ref().is_some_and(|(_, until)| *until > now);
    let failures = source.failed(Kind::Login, window, now);
    let pause = source.pause(failures, is_banned);
    source.pace.wait(now, pause)
}

/// A place in the row, until dropped.
struct Place<'a> {
    bans: &'a Bans,
    ip: IpAddr,
    at: Instant,
    loses: &'a CancellationToken,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.loses.is_cancelled() {
            return;
        }
        let mut state = self.bans.lock();
        if let Some(source) = state.sources.get(self.ip) {
            source.pace.leave(self.at);
        }
    }
}
