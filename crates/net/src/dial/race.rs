//! Which of a name's addresses is connected to, and when the next one is tried: Happy Eyeballs (RFC
//! 8305).

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt as _};
use tokio::time::Instant;

/// An address may be silent for this long before the next one is tried beside it (RFC 8305, section
/// 5: 250 ms; Go takes 300).
pub(super) const NEXT_ADDRESS: Duration = Duration::from_millis(300);

/// Addresses that are there first wait this long for those of the preferred family (section 3).
pub(super) const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// What a race has come to so far.
#[derive(Debug)]
pub(crate) struct Progress<E, C = io::Error> {
    /// The address that was tried first.
    pub(crate) first: Option<SocketAddr>,
    /// What became of it.
    pub(crate) first_failed: Option<C>,
    /// Why a name has no addresses, or none of one family.
    pub(crate) not_found: Option<E>,
}

impl<E, C> Default for Progress<E, C> {
    fn default() -> Self {
        Self {
            first: None,
            first_failed: None,
            not_found: None,
        }
    }
}

/// Connects to one of the addresses that `answers` tells, the families in turn, for it is a whole
/// family that does not work where something does not. The next is tried when one has failed or been
/// silent for [`NEXT_ADDRESS`]; the others go on meanwhile, until one is there. An answer is in the
/// order of whoever gave it; several together are ordered here, for which `has_route` says what this
/// machine can reach. `None`: all failed, or there are none.
pub(super) async fn race<T, F, E, C>(
    answers: impl Stream<Item = Result<Vec<SocketAddr>, E>>,
    local_ip: Option<IpAddr>,
    progress: &mut Progress<E, C>,
    has_route: fn(SocketAddr) -> bool,
    connect: impl Fn(SocketAddr) -> F,
) -> Option<T>
where
    F: Future<Output = Result<T, C>>,
{
    let mut answers = std::pin::pin!(answers);
    let mut complete = false;
    let mut left: Vec<SocketAddr> = Vec::new();
    let mut last: Option<SocketAddr> = None;
    let mut trying = FuturesUnordered::new();
    let mut next_at = Instant::now();
    loop {
        if !left.is_empty() && next_at <= Instant::now() {
            let addr = left.remove(turn(&left, last));
            let is_first = last.is_none();
            if is_first {
                progress.first = Some(addr);
            }
            last = Some(addr);
            next_at = Instant::now() + NEXT_ADDRESS;
            let connecting = connect(addr);
            trying.push(async move { (is_first, connecting.await) });
        }
        tokio::select! {
            tried = trying.next(), if !trying.is_empty() => match tried {
                Some((_, Ok(conn))) => return Some(conn),
                Some((is_first, Err(error))) => {
                    if is_first {
                        progress.first_failed = Some(error);
                    }
                    next_at = Instant::now();
                }
                None => {}
            },
            answer = answers.next(), if !complete => match answer {
                Some(Ok(addrs)) => {
                    let several = !left.is_empty();
                    left.extend(addrs);
                    left = reachable(left, local_ip);
                    if several {
                        preferred_first(&mut left, has_route);
                    }
                    if last.is_none() {
                        let family = |addr: &SocketAddr| match local_ip {
                            Some(ip) => addr.is_ipv4() == ip.is_ipv4(),
                            None => addr.is_ipv6(),
                        };
                        let preferred = |addr: &SocketAddr| family(addr) && has_route(*addr);
                        next_at = Instant::now();
                        if !left.iter().any(preferred) {
                            next_at += RESOLUTION_DELAY;
                        }
                    }
                }
                Some(Err(error)) => progress.not_found = Some(error),
                // Nothing is left to wait for.
                None => {
                    complete = true;
                    if last.is_none() {
                        next_at = Instant::now();
                    }
                }
            },
            () = tokio::time::sleep_until(next_at), if !left.is_empty() => {}
            else => return None,
        }
    }
}

/// IPv6 before IPv4, and last what this machine has no route to (RFC 6724, rules 1 and 6). The
/// system's resolver has done that for its own answers.
pub(crate) fn preferred_first(addrs: &mut [SocketAddr], has_route: fn(SocketAddr) -> bool) {
    addrs.sort_by_key(|addr| (!has_route(*addr), addr.is_ipv4()));
}

/// Which of `left` is next: the first whose family was not the last one's.
fn turn(left: &[SocketAddr], last: Option<SocketAddr>) -> usize {
    let other = |addr: &SocketAddr| last.is_some_and(|last| last.is_ipv4() != addr.is_ipv4());
    left.iter().position(other).unwrap_or(0)
}

/// From `local_ip` only its own family can be reached; where there is none of it, the error of the
/// attempt says so.
fn reachable(mut addrs: Vec<SocketAddr>, local_ip: Option<IpAddr>) -> Vec<SocketAddr> {
    if let Some(ip) = local_ip
        && addrs.iter().any(|addr| addr.is_ipv4() == ip.is_ipv4())
    {
        addrs.retain(|addr| addr.is_ipv4() == ip.is_ipv4());
    }
    addrs
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures_util::stream;

    use super::*;

    type Answer = (u64, Result<Vec<SocketAddr>, &'static str>);

    fn addrs(of: &[&str]) -> Vec<SocketAddr> {
        of.iter().map(|addr| addr.parse().unwrap()).collect()
    }

    /// Silent, refusing or there, by the port.
    async fn pretended(addr: SocketAddr) -> io::Result<SocketAddr> {
        match addr.port() {
            1 => std::future::pending().await,
            2 => Err(io::Error::other(addr.ip().to_string())),
            _ => Ok(addr),
        }
    }

    /// Documentation's addresses lead nowhere.
    fn has_route(addr: SocketAddr) -> bool {
        !addr.ip().to_string().starts_with("2001:db8:")
    }

    struct Raced {
        won: Option<String>,
        first: Option<String>,
        first_failed: Option<String>,
        not_found: Option<&'static str>,
        /// Milliseconds.
        took: u128,
    }

    /// Answers that come after so many milliseconds each.
    async fn raced_from(answers: Vec<Answer>, from: Option<&str>) -> Raced {
        let start = Instant::now();
        let answers = stream::iter(answers).then(|(after, answer)| async move {
            tokio::time::sleep(Duration::from_millis(after)).await;
            answer
        });
        let mut progress = Progress::default();
        let from = from.map(|ip| ip.parse().unwrap());
        let won = race(answers, from, &mut progress, has_route, pretended).await;
        Raced {
            won: won.map(|addr| addr.ip().to_string()),
            first: progress.first.map(|addr| addr.ip().to_string()),
            first_failed: progress.first_failed.map(|e| e.to_string()),
            not_found: progress.not_found,
            took: start.elapsed().as_millis(),
        }
    }

    async fn raced(of: &[&str]) -> Raced {
        raced_from(vec![(0, Ok(addrs(of)))], None).await
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_silent_or_refuses_does_not_hold_up_the_next() {
        let there = |ip: &str| Some(ip.to_owned());
        let silent = raced(&["[::1]:1", "127.0.0.1:3", "127.0.0.2:3"]).await;
        assert_eq!(
            (silent.won, silent.first_failed),
            (there("127.0.0.1"), None)
        );
        assert!((300..320).contains(&silent.took), "{}", silent.took);

        let refusing = raced(&["[::1]:2", "127.0.0.1:3"]).await;
        assert_eq!((refusing.won, refusing.took), (there("127.0.0.1"), 0));

        let none = raced(&["[::1]:2", "127.0.0.1:2"]).await;
        assert_eq!((none.won, none.first_failed), (None, there("::1")));
        assert_eq!(none.first, there("::1"));
    }

    #[tokio::test(start_paused = true)]
    async fn families_take_turns_and_only_that_of_the_source_is_tried() {
        // Two dead IPv6 addresses do not stand before the first of IPv4.
        let found = addrs(&["[::1]:1", "[::2]:1", "[::3]:3", "1.1.1.1:3"]);
        let raced = raced_from(vec![(0, Ok(found.clone()))], None).await;
        assert_eq!(raced.won.as_deref(), Some("1.1.1.1"));
        assert!(raced.took < 320);
        let raced = raced_from(vec![(0, Ok(found.clone()))], Some("127.0.0.9")).await;
        assert_eq!(raced.first.as_deref(), Some("1.1.1.1"));
        let raced = raced_from(vec![(0, Ok(found))], Some("::9")).await;
        assert_eq!(raced.won.as_deref(), Some("::3"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_of_ipv4_waits_a_moment_for_ipv6() {
        let v4 = || Ok(addrs(&["127.0.0.1:3"]));
        let v6 = || Ok(addrs(&["[::1]:3"]));
        // In time: IPv6 is preferred.
        let raced = raced_from(vec![(10, v4()), (20, v6())], None).await;
        assert_eq!(raced.first.as_deref(), Some("::1"));
        // Too late, or never: IPv4 is taken.
        let late = raced_from(vec![(10, v4()), (5000, v6())], None).await;
        assert_eq!(late.won.as_deref(), Some("127.0.0.1"));
        assert!((60..80).contains(&late.took), "{}", late.took);
        // In time, but there is no route to it.
        let nowhere = Ok(addrs(&["[2001:db8::1]:2"]));
        let raced = raced_from(vec![(10, nowhere), (20, v4())], None).await;
        assert_eq!(raced.first.as_deref(), Some("127.0.0.1"));
        // From an address of IPv4 it is the other way round.
        let raced = raced_from(vec![(10, v6()), (20, v4())], Some("127.0.0.9")).await;
        assert_eq!(raced.first.as_deref(), Some("127.0.0.1"));
        let raced = raced_from(vec![(10, v4()), (5000, v6())], Some("127.0.0.9")).await;
        assert_eq!(raced.took, 10);
        // IPv6 waits for nobody.
        let raced = raced_from(vec![(10, v6()), (5000, v4())], None).await;
        assert_eq!((raced.won.as_deref(), raced.took), (Some("::1"), 10));
        // Nothing else comes: no wait.
        let raced = raced_from(vec![(10, v4()), (1, Err("no AAAA"))], None).await;
        assert_eq!(raced.won.as_deref(), Some("127.0.0.1"));
        assert!(raced.took < 50, "{}", raced.took);
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_that_come_late_are_tried_too() {
        let answers = vec![
            (10, Ok(addrs(&["[::1]:2"]))),
            (1000, Ok(addrs(&["127.0.0.1:3"]))),
        ];
        let raced = raced_from(answers, None).await;
        assert_eq!(raced.won.as_deref(), Some("127.0.0.1"));
        let none = raced_from(vec![(1, Err("no A")), (1, Err("no AAAA"))], None).await;
        assert_eq!((none.won, none.not_found), (None, Some("no AAAA")));
    }
}
