//! Which of several ways is the first that carries a login? Knows no transport and no clock but
//! tokio's, so that tests decide what happens when.
//!
//! Ways are tried beside each other, but only one login is on its way at a time: two would be two
//! sessions at frps, or one that the other ends. A way that does not answer its login gives way to
//! one that is ready, and is closed before that one's login is sent.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

/// How long a way has for itself before the next is tried beside it. A login by TLS takes three
/// round trips, which are seldom longer than this.
pub(super) const HEAD_START: Duration = Duration::from_millis(500);

/// Something that can be tried on each way.
pub(super) trait Runner {
    /// A connection that is ready for a login.
    type Ready;
    /// An answered login.
    type Won;
    type Error;

    fn connect(&self, way: usize) -> impl Future<Output = Result<Self::Ready, Self::Error>> + Send;

    fn login(
        &self,
        way: usize,
        ready: Self::Ready,
    ) -> impl Future<Output = Result<Self::Won, Self::Error>> + Send;

    /// Whether this has nothing to do with the way, so that no other leads to another end.
    fn is_final(error: &Self::Error) -> bool;

    /// Whether the server's host is there and nobody listens: most likely frps is down, and what
    /// is silent is so for the same reason.
    fn is_absent(error: &Self::Error) -> bool;
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
/// ready for its own. Where nobody listens at one way, the others have twice that time.
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
    // The login that is on its way: of whom, since when, and its answer.
    let mut trying: Option<(usize, Instant, Pin<Box<_>>)> = None;
    if let Some(way) = left.pop_front() {
        started.push((way, Instant::now()));
        connecting.push(connect(way));
    }
    let mut next_start = Instant::now() + HEAD_START;
    let mut end: Option<Instant> = None;
    loop {
        if trying.is_none()
            && let Some((way, connection)) = ready.pop_front()
        {
            let answer = Box::pin(runner.login(way, connection));
            trying = Some((way, Instant::now(), answer));
        }
        if trying.is_none() && connecting.is_empty() && left.is_empty() {
            return Outcome::AllFailed(losers);
        }
        let absent = losers
            .iter()
            .any(|(_, lost)| matches!(lost, Lost::Failed(error) if R::is_absent(error)));
        if absent && end.is_none() {
            end = Some(Instant::now() + 2 * patience);
        }
        let idle = trying.is_none();
        let given_up = trying.as_ref().map(|(_, since, _)| *since + patience);
        tokio::select! {
            // An answer that is there counts, however late.
            biased;
            (way, answer) = answer_of(&mut trying), if trying.is_some() => {
                trying = None;
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
            Some((way, connected)) = connecting.next(), if !connecting.is_empty() => {
                match connected {
                    Ok(connection) => ready.push_back((way, connection)),
                    Err(error) if R::is_final(&error) => return Outcome::Refused(way, error),
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
            () = sleep_until(end.unwrap_or(next_start)), if end.is_some() && idle => {
                losers.extend(silent(&started, &losers, ways));
                return Outcome::AllFailed(losers);
            }
            () = sleep_until(next_start), if !left.is_empty() => {
                if let Some(way) = left.pop_front() {
                    started.push((way, Instant::now()));
                    connecting.push(connect(way));
                }
                next_start = Instant::now() + HEAD_START;
            }
        }
    }
}

/// The answer that is waited for.
async fn answer_of<F: Future>(
    trying: &mut Option<(usize, Instant, Pin<Box<F>>)>,
) -> (usize, F::Output) {
    match trying {
        Some((way, _, answer)) => (*way, answer.await),
        None => std::future::pending().await,
    }
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
