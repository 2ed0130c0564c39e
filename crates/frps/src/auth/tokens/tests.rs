//! Who gets in by which token, and what it allows.

#![allow(clippy::unwrap_used)]

use frp_config::{LoadOptions, Purpose, parse_server};
use frp_proto::auth::token_key;
use proptest::prelude::*;

use super::*;

fn tokens(text: &str) -> Tokens {
    let loaded = parse_server(text, "frps.toml", &LoadOptions::new(Purpose::Run));
    let settings = loaded.unwrap().settings;
    Tokens::new(settings.auth.token, settings.tokens, false, None)
}

fn by(tokens: &Tokens, token: &str, user: &str) -> Option<String> {
    let login = Login {
        privilege_key: token_key(token, 7),
        timestamp: 7,
        user: user.to_owned(),
        ..Login::default()
    };
    let identity = tokens.by_digest(&login)?;
    Some(identity.entry().name().to_string())
}

const TWO: &str = "
[[auth.tokens]]
name = 'laptop'
token = 'one'
user = 'ann'
[[auth.tokens]]
name = 'any'
token = 'two'
";

#[test]
fn an_empty_main_token_opens_only_where_there_is_no_other() {
    assert_eq!(by(&tokens(""), "", "").as_deref(), Some(""));
    let two = tokens(TWO);
    assert_eq!(by(&two, "", ""), None);
    assert_eq!(by(&two, "", "ann"), None);
    assert_eq!(by(&two, "one", "ann").as_deref(), Some("laptop"));
    assert_eq!(by(&two, "two", "ann").as_deref(), Some("any"));
    let main = tokens(&format!("auth.token = 'main'\n{TWO}"));
    assert_eq!(by(&main, "main", "ann").as_deref(), Some(""));
    assert_eq!(by(&main, "", ""), None);
    // Another's is found, so that it can be said why it will not do.
    assert_eq!(by(&two, "one", "bob").as_deref(), Some("laptop"));
    let names = |user| {
        let found = main.candidates(user).into_iter();
        found
            .map(|entry| entry.name().to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("ann"), ["laptop", "any", ""]);
    assert_eq!(names("bob"), ["any", ""]);
}

#[test]
fn an_entry_whose_secret_was_not_read_lets_nobody_in() {
    let unread =
        tokens("[[auth.tokens]]\nname = 'n'\ntokenSource = { type = 'file', file.path = '/none' }");
    assert_eq!(by(&unread, "", ""), None);
}

#[test]
fn a_token_stays_good_as_long_as_its_secret_and_user_stay() {
    let before = tokens(TWO);
    let entry = before.of_user("ann").unwrap();
    let is_good = |text: &str| tokens(text).current(entry).is_some();
    assert!(is_good(TWO));
    assert!(is_good(
        &TWO.replace("user = 'ann'", "user = 'ann'\nmaxClients = 1")
    ));
    assert!(!is_good(&TWO.replace("'one'", "'other'")));
    assert!(!is_good(&TWO.replace("'ann'", "'bob'")));
    assert!(!is_good(&TWO.replace("'laptop'", "'desk'")));
    assert!(!is_good(""));
}

#[test]
fn a_domain_for_all_names_takes_a_pattern_for_all_names() {
    let allowed = |patterns: &[&str]| Allowed {
        domains: patterns
            .iter()
            .map(|p| Pattern::parse(p).unwrap())
            .collect(),
        ..Allowed::default()
    };
    let own = allowed(&["*.ann.example.com"]);
    for fine in [
        "a.ann.example.com",
        "A.Ann.Example.COM",
        "*.ann.example.com",
        "*.b.ann.example.com",
    ] {
        assert!(own.domain(fine), "{fine}");
    }
    for other in [
        "ann.example.com",
        "*.example.com",
        "*",
        "a.ann.example.com.evil",
        "bann.example.com",
    ] {
        assert!(!own.domain(other), "{other}");
    }
    for narrow in ["?.example.com", "[!-z]*.example.com", "?"] {
        let narrow = allowed(&[narrow]);
        assert!(!narrow.domain("*.example.com") && !narrow.domain("*"));
    }
    assert!(Allowed::default().domain("*"));
}

#[test]
fn users_are_counted_until_they_leave() {
    let held = Arc::new(Held::default());
    let one = held.user(1);
    assert!(one.is_some() && held.user(1).is_none());
    assert!(held.user(2).is_some() && held.user(0).is_some());
    drop(one);
    assert!(held.user(1).is_some());
}

proptest! {
    /// Whatever is given, only what is in one of the ranges may be asked for, and any where there is none.
    #[test]
    fn ports_are_those_of_the_ranges(ranges in prop::collection::vec((1..=u16::MAX, 0..1000_u16), 0..4), port: u16) {
        let ports: Vec<_> = ranges.iter().map(|(start, more)| PortRange { start: *start, end: start.saturating_add(*more) }).collect();
        let within = ports.iter().any(|range| range.start <= port && port <= range.end);
        let expected = port == 0 || ports.is_empty() || within;
        let allowed = Allowed { ports, ..Allowed::default() };
        prop_assert_eq!(allowed.port(port), expected);
    }

    /// A pattern of one star stands for what begins and ends so, whatever is between, and for nothing else.
    #[test]
    fn a_star_is_anything(before in "[a-z.-]{0,6}", after in "[a-z.-]{0,6}", name in "[a-z.-]{0,16}") {
        let allowed = Allowed { names: vec![Pattern::parse(&format!("{before}*{after}")).unwrap()], ..Allowed::default() };
        let fits = name.len() >= before.len() + after.len() && name.starts_with(&before) && name.ends_with(&after);
        prop_assert_eq!(allowed.name(&name), fits);
        let between = format!("{before}{name}{after}");
        prop_assert!(allowed.name(&between));
    }
}
