//! Which of several ways is the first that carries a login? Knows no transport and no clock but
//! tokio's, so that tests decide what happens when.
//!
//! Ways are tried beside each other, but only one login is on its way at a time: two would be two
//! sessions at frps, or one that the other ends. A way that does not answer its login gives way to
//! one that is ready, and is abandoned before that one's login is sent.
//!
//! All logins are made with the same credentials. They are asked for once the first way is ready, and
//! how long that takes counts against none of the ways.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use frp_net::or_never::or_never;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

/// How long a way has for itself before the next is tried beside it. A login by TLS takes three
/// round trips, which are seldom longer than this.
pub(super) const HEAD_START: Duration = Duration::from_millis(500);

/// The longest that ways which may not hear that nobody listens are waited for, where others have heard
/// it: a server that is down is to be found soon after it is back.
const DEAF_MAX: Duration = Duration::from_secs(6);

/// Something that can be tried on each way.
pub(super) trait Runner {
    /// A connection that is ready for a login.
    type Ready;
    /// What every login is made with.
    type Credentials: Clone;
    /// An answered login.
    type Won;
    type Error;

    fn connect(&self, way: usize) -> impl Future<Output = Result<Self::Ready, Self::Error>> + Send;

    /// Asked for at most once. Without them there is no login on any way.
    fn credentials(&self) -> impl Future<Output = Result<Self::Credentials, Self::Error>> + Send;

    /// A login that is dropped must not arrive any more.
    fn login(
        &self,
        way: usize,
        ready: Self::Ready,
        credentials: Self::Credentials,
    ) -> impl Future<Output = Result<Self::Won, Self::Error>> + Send;

    /// Whether the answer to a login has nothing to do with the way, so that no other leads to another
    /// end.
    fn is_final(error: &Self::Error) -> bool;

    /// Whether the server's host is there and nobody listens: most likely frps is down, and the deaf
    /// ways are silent for the same reason.
    fn is_absent(&self, way: usize, error: &Self::Error) -> bool;

    /// Whether a way may be silent where nobody listens.
    fn is_deaf(&self, way: usize) -> bool;
}

/// What came of a way that did not win.
#[derive(Debug)]
pub(super) enum Lost<E> {
    Failed(E),
    /// Tried for this long, without an answer. `login`: to the login, to anything else.
    Silent {
        after: Duration,
        login: bool,
    },
}

impl<E> Lost<E> {
    pub(super) fn failed(&self) -> Option<&E> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Silent { .. } => None,
        }
    }
}

/// A way and what came of it.
pub(super) type Loser<E> = (usize, Lost<E>);

/// How a race ended.
#[derive(Debug)]
pub(super) enum Outcome<W, E> {
    /// The first answered login; and what came of those that were to be tried before.
    Won {
        way: usize,
        won: W,
        losers: Vec<Loser<E>>,
    },
    /// An end that has nothing to do with the way: mostly, the server says no.
    Refused(usize, E),
    /// Every way failed, in the order in which they did.
    AllFailed(Vec<Loser<E>>),
}

/// Tries `ways` in this order. A login that has taken `patience` is given up once another way is
/// ready for its own. Once all have begun, nobody listens at one, and only deaf ones are left, these
/// have twice that time; every other wait is the runner's to end.
pub(super) async fn race<R: Runner>(
    runner: &R,
    ways: &[usize],
    patience: Duration,
) -> Outcome<R::Won, R::Error> {
    let mut losers: Vec<Loser<R::Error>> = Vec::new();
    let mut left = ways.iter().copied().collect::<VecDeque<_>>();
    let mut started: Vec<(usize, Instant)> = Vec::new();
    let connect = move |way: usize| async move { (way, runner.connect(way).await) };
    let mut connecting = FuturesUnordered::new();
    let mut ready: VecDeque<(usize, R::Ready)> = VecDeque::new();
    let mut credentials: Option<R::Credentials> = None;
    // Who needs the credentials first, and the question for them.
    let mut asking: Option<(usize, Pin<Box<_>>)> = None;
    // The login that is on its way: of whom, since when, and its answer.
    let mut trying: Option<(usize, Instant, Pin<Box<_>>)> = None;
    if let Some(way) = left.pop_front() {
        started.push((way, Instant::now()));
        connecting.push(connect(way));
    }
    let mut next_start = Instant::now() + HEAD_START;
    loop {
        if trying.is_none()
            && let Some(credentials) = &credentials
            && let Some((way, connection)) = ready.pop_front()
        {
            let answer = Box::pin(runner.login(way, connection, credentials.clone()));
            trying = Some((way, Instant::now(), answer));
        }
        if credentials.is_none()
            && asking.is_none()
            && let Some((way, _)) = ready.front()
        {
            asking = Some((*way, Box::pin(runner.credentials())));
        }
        let idle = trying.is_none() && ready.is_empty();
        if idle && connecting.is_empty() && left.is_empty() {
            return Outcome::AllFailed(losers);
        }
        let end = (idle && left.is_empty() && is_down(runner, &started, &losers))
            .then(|| started.last().map(|(_, since)| *since))
            .flatten()
            .map(|since| since + (2 * patience).min(DEAF_MAX));
        let given_up = trying.as_ref().map(|(_, since, _)| *since + patience);
        tokio::select! {
            // An answer that is there counts, however late.
            biased;
            answer = or_never(trying.as_mut().map(|(_, _, answer)| answer.as_mut())) => {
                let Some((way, _, _)) = trying.take() else { continue };
                match answer {
                    Ok(won) => {
                        let before = ways.iter().position(|other| *other == way);
                        let mut before = ways[..before.unwrap_or(0)].to_vec();
                        // These were only slower.
                        before.retain(|way| !ready.iter().any(|(other, _)| other == way));
                        losers.extend(silent(&started, &losers, &before));
                        return Outcome::Won { way, won, losers };
                    }
                    Err(error) if R::is_final(&error) => return Outcome::Refused(way, error),
                    Err(error) => {
                        losers.push((way, Lost::Failed(error)));
                        next_start = Instant::now();
                    }
                }
            }
            given = or_never(asking.as_mut().map(|(_, asked)| asked.as_mut())) => {
                let Some((way, _)) = asking.take() else { continue };
                match given {
                    Ok(given) => credentials = Some(given),
                    Err(error) => return Outcome::Refused(way, error),
                }
                next_start = Instant::now() + HEAD_START;
            }
            Some((way, connected)) = connecting.next(), if !connecting.is_empty() => {
                match connected {
                    Ok(connection) => ready.push_back((way, connection)),
                    Err(error) => {
                        losers.push((way, Lost::Failed(error)));
                        next_start = Instant::now();
                    }
                }
            }
            () = sleep_until(given_up.unwrap_or(next_start)),
                if given_up.is_some() && !ready.is_empty() =>
            {
                if let Some((way, since, _)) = trying.take() {
                    let after = since.elapsed();
                    losers.push((way, Lost::Silent { after, login: true }));
                }
            }
            () = sleep_until(end.unwrap_or(next_start)), if end.is_some() => {
                losers.extend(silent(&started, &losers, ways));
                return Outcome::AllFailed(losers);
            }
            () = sleep_until(next_start), if !left.is_empty() && asking.is_none() => {
                if let Some(way) = left.pop_front() {
                    started.push((way, Instant::now()));
                    connecting.push(connect(way));
                }
                next_start = Instant::now() + HEAD_START;
            }
        }
    }
}

/// Whether nobody listens at one way, and only deaf ones have not been heard of.
fn is_down<R: Runner>(
    runner: &R,
    started: &[(usize, Instant)],
    losers: &[Loser<R::Error>],
) -> bool {
    let is_out = |way: usize| losers.iter().any(|(out, _)| *out == way);
    let mut silent = started.iter().filter(|(way, _)| !is_out(*way));
    silent.all(|(way, _)| runner.is_deaf(*way))
        && losers.iter().any(|(way, lost)| {
            let error = lost.failed();
            error.is_some_and(|error| runner.is_absent(*way, error))
        })
}

/// Those of `ways` that have been started and of which nothing has been heard.
fn silent<E>(started: &[(usize, Instant)], losers: &[Loser<E>], ways: &[usize]) -> Vec<Loser<E>> {
    let is_out = |way: usize| losers.iter().any(|(out, _)| *out == way);
    ways.iter()
        .filter(|way| !is_out(**way))
        .filter_map(|way| {
            let (_, since) = started.iter().find(|(other, _)| other == way)?;
            let after = since.elapsed();
            Some((
                *way,
                Lost::Silent {
                    after,
                    login: false,
                },
            ))
        })
        .collect()
}

#[cfg(test)]
#[path = "race_tests.rs"]
mod tests;
