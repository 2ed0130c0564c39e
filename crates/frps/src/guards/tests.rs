#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::counted::Counted;
use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn rule(allow: &[&str], deny: &[&str]) -> Rule {
    let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    Rule::new(GuardRules {
        allow_ips: nets(allow),
        deny_ips: nets(deny),
        allow_ip_files: Vec::new(),
        deny_ip_files: Vec::new(),
        max_conns_per_minute: 0,
        max_conns_per_source: 0,
        max_conns: 0,
    })
    .unwrap()
}

/// Behind each of them there are many users.
#[test]
fn who_stands_in_front_of_us_is_banned_for_no_failures() {
    let text = "acceptProxyProtocol = ['10.0.0.5']\nguard.ban.exceptIPs = ['192.0.2.1']";
    let options = frp_config::LoadOptions::new(frp_config::Purpose::Run);
    let settings = frp_config::parse_server(text, "frps.toml", &options);
    let settings = settings.unwrap().settings;
    let guards = Guards::new(settings.guard, &settings.accept_proxy_protocol).unwrap();
    let excepted = |text| guards.bans.except.contain(ip(text));
    assert!(excepted("10.0.0.5") && excepted("192.0.2.1") && !excepted("10.0.0.6"));
}

#[test]
fn all_rules_that_fit_hold_together() {
    let guards = Guards {
        all: rule(&[], &["203.0.113.0/24"]),
        named: vec![(
            "*.ssh".to_owned(),
            rule(&["10.0.0.0/8", "203.0.113.0/24"], &[]),
        )],
        bans: Arc::default(),
    };
    let asked = Asked::read(&NewProxy {
        guard_allow_ips: vec!["0.0.0.0/0".to_owned()],
        guard_deny_ips: vec!["10.0.0.9".to_owned()],
        ..NewProxy::default()
    });
    let (asked, nothing) = (asked.unwrap(), Asked::default());
    let why = |name: &str, asked: &Asked, from: &str| guards.denies(name, asked, ip(from));
    assert_eq!(why("web", &nothing, "8.8.8.8"), None);
    assert_eq!(why("web", &nothing, "203.0.113.1"), Some(Why::Denied));
    assert_eq!(why("ann.ssh", &nothing, "8.8.8.8"), Some(Why::NotAllowed));
    assert_eq!(
        why("ann.ssh", &asked, "8.8.8.8"),
        Some(Why::NotAllowed),
        "no laxer"
    );
    assert_eq!(why("ann.ssh", &nothing, "203.0.113.1"), Some(Why::Denied));
    assert_eq!(why("ann.ssh", &nothing, "::ffff:10.0.0.9"), None);
    assert_eq!(why("ann.ssh", &asked, "::ffff:10.0.0.9"), Some(Why::Denied));
    assert_eq!(why("web", &asked, "2001:db8::1"), Some(Why::NotAllowed));
}

#[test]
fn what_a_client_writes_wrongly_is_refused() {
    let asked = Asked::read(&NewProxy {
        guard_allow_ips: vec!["10.0.0.0/40".to_owned()],
        ..NewProxy::default()
    });
    let text = asked.unwrap_err().to_string();
    assert!(
        text.starts_with("guard.allowIPs: \"10.0.0.0/40\" is "),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_source_has_so_many_in_any_minute_and_a_64_is_one() {
    let counted = Arc::new(Counted::default());
    let limits = Limits {
        per_minute: 10,
        ..Limits::default()
    };
    let come = |from: &str| counted.enter(ip(from), limits).map(drop);
    for n in 0..10 {
        assert_eq!(come(&format!("2001:db8::{n}")), Ok(()));
    }
    assert_eq!(come("2001:db8::99"), Err(Why::Rate));
    assert_eq!(come("2001:db8:0:1::"), Ok(()), "another source");
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(
        come("2001:db8::99"),
        Err(Why::Rate),
        "those before count still"
    );
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(come("2001:db8::99"), Ok(()));
}

#[test]
fn places_are_given_back() {
    let counted = Arc::new(Counted::default());
    let limits = Limits {
        per_source: 2,
        all: 3,
        ..Limits::default()
    };
    let come = |from: &str| counted.enter(ip(from), limits);
    let (one, two) = (come("10.0.0.1").unwrap(), come("10.0.0.1").unwrap());
    assert_eq!(come("10.0.0.1").err(), Some(Why::Source));
    let three = come("10.0.0.2").unwrap();
    assert_eq!(come("10.0.0.3").err(), Some(Why::Full));
    drop((one, two));
    assert!(come("10.0.0.1").is_ok() && come("10.0.0.3").is_ok());
    drop(three);
}
