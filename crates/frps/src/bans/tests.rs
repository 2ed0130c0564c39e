#![allow(clippy::unwrap_used)]

use super::*;
use crate::limits::{MAX_LOGINS_WAITING, SLOWEST_LOGIN};

const OTHER: &str = "192.0.2.9";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn bans() -> Bans {
    let bans = Bans::new(Strangers::new(8));
    bans.follow(Arc::new(Rules {
        failures: 3,
        window: Duration::from_secs(600),
        first: Duration::from_secs(60),
        longest: Duration::from_secs(200),
        except: "127.0.0.0/8".parse::<Network>().into_iter().collect(),
    }));
    bans
}

fn fail(bans: &Bans, from: &str, times: u32) -> bool {
    (0..times).fold(false, |_, _| bans.failed(ip(from), Kind::Login, None))
}

#[tokio::test(start_paused = true)]
async fn each_ban_of_a_source_is_twice_as_long_as_the_one_before() {
    let bans = bans();
    for length in [60, 120, 200, 200] {
        assert!(!fail(&bans, OTHER, 2) && !bans.is_banned(ip(OTHER)));
        assert!(fail(&bans, OTHER, 1) && bans.is_banned(ip(OTHER)));
        tokio::time::advance(Duration::from_secs(length - 1)).await;
        bans.forget();
        assert!(bans.is_banned(ip(OTHER)), "{length}");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!bans.is_banned(ip(OTHER)), "{length}");
        bans.forget();
    }
    tokio::time::advance(Duration::from_secs(2000)).await;
    bans.forget();
    assert!(bans.lock().sources.is_empty() && !bans.any.load(Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn who_fails_now_and_then_is_not_banned() {
    let bans = bans();
    for _ in 0..20 {
        assert!(!fail(&bans, OTHER, 2));
        tokio::time::advance(Duration::from_secs(601)).await;
    }
    assert!(!fail(&bans, "127.0.0.1", 100), "excepted");
}

#[test]
fn a_64_is_one_source_and_a_mapped_address_is_its_own() {
    let bans = bans();
    assert!(!fail(&bans, "2001:db8::1", 1) && !fail(&bans, "2001:db8::2", 1));
    assert!(fail(&bans, "2001:db8::3", 1) && bans.is_banned(ip("2001:db8::ffff:0:0:9")));
    assert!(!bans.is_banned(ip("2001:db8:0:1::1")));
    assert!(fail(&bans, "::ffff:192.0.2.9", 3) && bans.is_banned(ip(OTHER)));
}

#[test]
fn the_address_of_a_client_is_banned_by_an_operator_only() {
    let homes = Strangers::new(8);
    let _home = homes.at_home(ip(OTHER));
    let bans = Bans { homes, ..bans() };
    assert!(!fail(&bans, OTHER, 50) && !bans.is_banned(ip(OTHER)));
    bans.add("192.0.2.0/24".parse().unwrap(), None, "").unwrap();
    assert!(bans.is_banned(ip(OTHER)) && bans.is_operators(ip(OTHER)));
}

#[test]
fn a_flood_of_sources_pushes_out_no_other() {
    let bans = bans();
    assert!(fail(&bans, OTHER, 3));
    for n in 0..2 * MAX_BANNED_SOURCES as u128 {
        let net = (0x2001_0db8_0002_u128 << 80) | ((n & 0xffff) << 64) | (n >> 16);
        fail(&bans, &std::net::Ipv6Addr::from_bits(net).to_string(), 1);
    }
    assert!(bans.is_banned(ip(OTHER)));
    assert!(bans.lock().sources.len() <= MAX_BANNED_SOURCES);
}

#[test]
fn bans_are_added_listed_restored_and_taken_back() {
    let (bans, again) = (bans(), bans());
    let net: Network = "198.51.100.0/24".parse().unwrap();
    let hour = Duration::from_secs(3600);
    bans.add(net, Some(hour), "noise").unwrap();
    bans.add(net, Some(hour), "more noise").unwrap();
    assert!(bans.add("::/0".parse().unwrap(), None, "").is_err());
    assert!(fail(&bans, "198.51.100.7", 3));
    let all = bans.all();
    assert_eq!(all.len(), 2);
    again.restore(all);
    assert!(again.is_banned(ip("198.51.100.1")) && again.is_banned(ip("198.51.100.7")));
    assert_eq!(again.remove(net), 2, "with those of sources in it");
    assert!(!again.is_banned(ip("198.51.100.7")));
    assert_eq!(again.remove(net), 0);
}

/// When each of the logins that begin now is looked at, in milliseconds.
async fn looked_at(bans: &Arc<Bans>, logins: usize) -> Vec<Option<u128>> {
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..logins {
        let bans = bans.clone();
        tasks.push(tokio::spawn(async move {
            let turn = bans.login_turn(ip(OTHER)).await;
            turn.ok().map(|()| begun.elapsed().as_millis())
        }));
    }
    let mut at = Vec::new();
    for task in tasks {
        at.push(task.await.unwrap());
    }
    at.sort();
    at
}

#[tokio::test(start_paused = true)]
async fn a_banned_source_gets_one_look_at_a_time() {
    let bans = Arc::new(bans());
    assert_eq!(looked_at(&bans, 3).await, [Some(0); 3], "nobody has failed");
    assert!(fail(&bans, OTHER, 3));
    let many = looked_at(&bans, 50).await;
    let seen: Vec<u128> = many.into_iter().flatten().collect();
    assert!(seen.len() <= MAX_LOGINS_WAITING + 1, "{seen:?}");
    let slowest = SLOWEST_LOGIN.as_millis();
    assert!(
        seen.windows(2).all(|two| two[1] - two[0] >= slowest),
        "{seen:?}"
    );
    assert!(
        seen.len() >= 2,
        "whoever has the right token has its chance: {seen:?}"
    );
    assert_eq!(
        bans.login_turn(ip("192.0.2.10")).await,
        Ok(()),
        "another source"
    );
    bans.add("192.0.2.0/24".parse().unwrap(), None, "").unwrap();
    assert_eq!(bans.login_turn(ip(OTHER)).await, Err(TooFast::Banned));
}

/// A place in the row costs a stranger nothing but a connection.
#[tokio::test(start_paused = true)]
async fn who_leaves_the_row_delays_nobody() {
    let bans = Arc::new(bans());
    assert!(fail(&bans, OTHER, 3));
    for _ in 0..100 {
        let turn = bans.login_turn(ip(OTHER));
        // Gone as soon as it stands in the row.
        let _ = tokio::time::timeout(Duration::from_millis(1), turn).await;
    }
    let seen = looked_at(&bans, 1).await;
    let soon = 2 * SLOWEST_LOGIN.as_millis();
    assert!(seen[0].is_some_and(|at| at <= soon), "{seen:?}");
}

#[test]
fn a_ban_may_be_as_long_as_the_settings_can_say() {
    let bans = bans();
    let mut rules = Rules {
        failures: 1,
        first: Duration::MAX,
        longest: Duration::MAX,
        ..Rules::default()
    };
    rules.window = Duration::MAX;
    bans.follow(Arc::new(rules));
    assert!(fail(&bans, OTHER, 1) && bans.is_banned(ip(OTHER)));
    let again = self::bans();
    again.restore(bans.all());
    assert!(again.is_banned(ip(OTHER)));
}

#[tokio::test(start_paused = true)]
async fn what_a_client_reports_counts_for_its_own_proxies_only() {
    let (bans, again) = (bans(), bans());
    let [own, others]: [Arc<str>; 2] = ["client a".into(), "token b".into()];
    let report = |times: u32| (0..times).any(|_| bans.reported(&own, ip(OTHER), "ssh"));
    assert_eq!(bans.failures_left(&own, ip(OTHER)), Some(3));
    assert!(!report(2));
    assert_eq!(bans.failures_left(&own, ip(OTHER)), Some(1));
    // Of somebody who was let in nothing is held against.
    bans.let_in(&others, ip(OTHER));
    assert_eq!(bans.failures_left(&own, ip(OTHER)), Some(1));
    bans.let_in(&own, ip(OTHER));
    assert!(!report(2) && report(1));
    assert!(bans.keeps_from(&own, ip(OTHER)));
    assert_eq!(bans.failures_left(&own, ip(OTHER)), Some(0));
    assert!(!bans.keeps_from(&others, ip(OTHER)) && !bans.is_banned(ip(OTHER)));
    assert_eq!(bans.failures_left(&others, ip(OTHER)), Some(3));
    assert_eq!(bans.failures_left(&own, ip("127.0.0.1")), None, "excepted");

    let all = bans.all();
    assert_eq!(all[0].whose, Some(own.clone()));
    again.restore(all);
    assert!(again.keeps_from(&own, ip(OTHER)) && !again.is_banned(ip(OTHER)));
    assert_eq!(bans.remove("192.0.2.9".parse().unwrap()), 1);
    assert!(!bans.keeps_from(&own, ip(OTHER)));
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(!again.keeps_from(&own, ip(OTHER)), "it is over");
}

#[test]
fn the_address_of_a_client_is_not_banned_by_the_word_of_another() {
    let homes = Strangers::new(8);
    let _home = homes.at_home(ip(OTHER));
    let bans = Bans { homes, ..bans() };
    let own: Arc<str> = "client a".into();
    for _ in 0..50 {
        bans.reported(&own, ip(OTHER), "ssh");
    }
    assert!(!bans.keeps_from(&own, ip(OTHER)));
    assert_eq!(bans.failures_left(&own, ip(OTHER)), None);
}
