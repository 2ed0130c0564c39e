//! Whose connection does a line of the ssh server's log speak of, and how many passwords has that had refused?
//!
//! One failure may be in several lines: that there is no such user, that PAM refuses the answer, that the answer was
//! wrong. Each line of a connection that says again what another has said before counts no more.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::time::Instant;

use super::line::{Line, Said};
use crate::limits::{LOG_LINE_LATEST, LOG_LINE_WAIT, MAX_LOG_PROCESSES, SSH_LOGIN};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Users {
    all: HashMap<u64, User>,
    /// By the addresses that they have at the server: the latest.
    at: HashMap<SocketAddr, u64>,
    /// Those that have left, the first ones first.
    left: VecDeque<(Instant, u64)>,
    next: u64,
    /// Failures of which only the process is known yet, the first ones first.
    pending: VecDeque<(u32, u32)>,
}

#[derive(Debug)]
struct User {
    local: SocketAddr,
    proxy: Arc<str>,
    from: SocketAddr,
    came: Instant,
    left: Option<Instant>,
    is_in: bool,
    is_over: bool,
    /// A name was counted, whose password is refused next.
    named: u32,
    /// Answers that PAM has refused, and were not heard of otherwise.
    refused: u32,
}

/// What is new of a user.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) proxy: Arc<str>,
    pub(super) from: SocketAddr,
    pub(super) failures: u32,
    pub(super) accepted: bool,
    /// It has left without a login: nothing more comes.
    pub(super) ended: bool,
}

impl Users {
    pub(super) fn enter(&mut self, local: SocketAddr, proxy: Arc<str>, from: SocketAddr) -> u64 {
        let now = Instant::now();
        self.forget(now);
        let local = canonical(local);
        let id = self.next;
        self.next += 1;
        let user = User {
            local,
            proxy,
            from,
            came: now,
            left: None,
            is_in: false,
            is_over: false,
            named: 0,
            refused: 0,
        };
        self.all.insert(id, user);
        self.at.insert(local, id);
        id
    }

    pub(super) fn leave(&mut self, id: u64) {
        let now = Instant::now();
        if let Some(user) = self.all.get_mut(&id) {
            user.left = Some(now);
            self.left.push_back((now, id));
        }
        self.forget(now);
    }

    /// Process `process` of the server has said this; 0 where that is not known.
    pub(super) fn take(&mut self, process: u32, line: Line) -> Option<Found> {
        let Some(peer) = line.peer else {
            if line.said == Said::Pam && process != 0 {
                self.pend(process, line.times);
            }
            return None;
        };
        let id = self.at.get(&canonical(peer))?;
        let user = self.all.get_mut(id)?;
        let mut failures = 0;
        // Of the same connection, as each has a process of its own.
        let pending = self.pending.iter().position(|(of, _)| *of == process);
        let pending = pending.and_then(|at| self.pending.remove(at));
        if let Some((_, times)) = pending {
            failures += without(times, &mut user.named);
            user.refused = user.refused.saturating_add(times);
        }
        match line.said {
            Said::WrongPassword => failures += without(line.times, &mut user.named),
            Said::WrongAnswer => {
                let new = without(line.times, &mut user.refused);
                failures += without(new, &mut user.named);
            }
            Said::NoSuchUser => {
                failures += 1;
                user.named = 1;
            }
            Said::Accepted => user.is_in = true,
            Said::Pam | Said::Ended => {}
        }
        let accepted = line.said == Said::Accepted;
        let ended = line.said == Said::Ended && !user.is_in && !user.is_over;
        user.is_over |= ended;
        (failures > 0 || accepted || ended).then(|| Found {
            proxy: user.proxy.clone(),
            from: user.from,
            failures,
            accepted,
            ended,
        })
    }

    fn pend(&mut self, process: u32, times: u32) {
        if let Some((_, count)) = self.pending.iter_mut().find(|(of, _)| *of == process) {
            *count = count.saturating_add(times);
            return;
        }
        if self.pending.len() >= MAX_LOG_PROCESSES {
            self.pending.pop_front();
        }
        self.pending.push_back((process, times));
    }

    /// Whether a line of anybody may come any moment.
    pub(super) fn are_awaited(&self) -> bool {
        let now = Instant::now();
        self.all.values().any(|user| match user.left {
            _ if user.is_in || user.is_over => false,
            Some(left) => now - left < LOG_LINE_WAIT,
            None => now - user.came < SSH_LOGIN,
        })
    }

    fn forget(&mut self, now: Instant) {
        while let Some((_, id)) = self
            .left
            .pop_front_if(|(left, _)| now - *left > LOG_LINE_LATEST)
        {
            let Some(user) = self.all.remove(&id) else {
                continue;
            };
            // Another one may have the address by now.
            if self.at.get(&user.local) == Some(&id) {
                self.at.remove(&user.local);
            }
        }
    }
}

/// How many of `times` were not counted in `known` before, which are taken from there.
fn without(times: u32, known: &mut u32) -> u32 {
    let again = times.min(*known);
    *known -= again;
    times - again
}

fn canonical(at: SocketAddr) -> SocketAddr {
    SocketAddr::new(at.ip().to_canonical(), at.port())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::super::line::of_message;
    use super::*;

    const FROM: &str = "203.0.113.7:4000";

    fn users() -> (Users, u64) {
        let mut users = Users::default();
        let local = "127.0.0.1:50000".parse().unwrap();
        let id = users.enter(local, "ssh".into(), FROM.parse().unwrap());
        (users, id)
    }

    /// Failures by these lines, and whether the user is in.
    fn said(users: &mut Users, lines: &[&str]) -> (u32, bool) {
        let of = |line: &&str| users.take(7, of_message(line).unwrap());
        lines.iter().filter_map(of).fold((0, false), |sum, found| {
            assert_eq!((&*found.proxy, found.from), ("ssh", FROM.parse().unwrap()));
            (sum.0 + found.failures, sum.1 || found.accepted)
        })
    }

    const WRONG: &str = "Failed password for root from 127.0.0.1 port 50000 ssh2";
    const NAME: &str = "Invalid user x from 127.0.0.1 port 50000";
    const WRONG_OF_NAME: &str = "Failed password for invalid user x from 127.0.0.1 port 50000 ssh2";
    const PAM: &str = "error: PAM: Authentication failure for root from 127.0.0.1";
    const ANSWER: &str = "Failed keyboard-interactive/pam for root from 127.0.0.1 port 50000 ssh2";
    const END: &str =
        "Connection closed by authenticating user root 127.0.0.1 port 50000 [preauth]";
    const IN: &str = "Accepted password for root from 127.0.0.1 port 50000 ssh2";

    #[tokio::test]
    async fn each_failure_counts_once_however_often_it_is_said() {
        for (lines, failures) in [
            (&[WRONG, WRONG, WRONG, END][..], 3),
            (&[NAME, WRONG_OF_NAME, END], 1),
            (&[NAME, WRONG_OF_NAME, WRONG_OF_NAME, END], 2),
            (&[NAME, END], 1),
            (&[ANSWER, ANSWER, END], 2),
            // OpenSSH leaves out the first two of them, as long as its log is not verbose.
            (&[PAM, PAM, PAM, ANSWER, PAM, ANSWER, END], 4),
            (&[PAM, END], 1),
            (&[NAME, PAM, ANSWER, PAM, ANSWER, END], 2),
            (&[END], 0),
        ] {
            let (mut users, _) = users();
            assert_eq!(said(&mut users, lines), (failures, false), "{lines:?}");
        }
        let (mut users, _) = users();
        assert_eq!(said(&mut users, &[WRONG, IN]), (1, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_is_of_who_had_the_address_last_and_for_a_while() {
        let (mut users, first) = users();
        assert!(users.are_awaited());
        let other = "Failed password for root from 127.0.0.1 port 50001 ssh2";
        assert_eq!(said(&mut users, &[other]), (0, false), "of somebody else");
        users.leave(first);
        assert_eq!(said(&mut users, &[WRONG]), (1, false), "a line comes later");
        let local = "[::ffff:127.0.0.1]:50000".parse().unwrap();
        let second = users.enter(local, "ssh".into(), FROM.parse().unwrap());
        tokio::time::advance(LOG_LINE_LATEST + Duration::from_secs(1)).await;
        users.forget(Instant::now());
        assert_eq!(said(&mut users, &[WRONG, IN]), (1, true));
        assert!(!users.are_awaited(), "whoever is in fails no more");
        users.leave(second);
        tokio::time::advance(LOG_LINE_LATEST + Duration::from_secs(1)).await;
        users.forget(Instant::now());
        assert!(users.all.is_empty() && users.at.is_empty() && users.left.is_empty());
    }
}
