//! Tests of the routes, among them against a list that is looked through.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

type Routes = Vec<RouteGuards<&'static str>>;

/// Routes written `domain location user`, each leading to its own text.
fn router(routes: &[&'static str]) -> (Arc<Router<&'static str>>, Routes) {
    let router = Arc::new(Router::default());
    let guards = routes
        .iter()
        .map(|text| router.add(vec![key(text)], text).unwrap())
        .collect();
    (router, guards)
}

fn key(text: &str) -> RouteKey {
    let mut parts = text.split(' ');
    let mut part = || parts.next().unwrap_or_default();
    RouteKey {
        domain: part().to_lowercase().into(),
        location: part().into(),
        http_user: part().into(),
    }
}

#[test]
fn a_name_goes_before_its_parents_and_those_before_all() {
    let (router, _guards) = router(&["a.b.c.d", "*.b.c.d", "*.c.d", "*.d", "*"]);
    for (host, to) in [
        ("a.b.c.d", "a.b.c.d"),
        ("x.b.c.d", "*.b.c.d"),
        ("y.x.b.c.d", "*.b.c.d"),
        ("x.c.d", "*.c.d"),
        ("b.c.d", "*.c.d"),
        // Two labels are no longer below a wildcard: `*.d` never matches, as in frp.
        ("c.d", "*"),
        ("x.d", "*"),
        ("d", "*"),
        ("", "*"),
        ("127.0.0.1", "*"),
    ] {
        assert_eq!(router.find(host, "/", ""), Some(to), "{host}");
    }
}

#[test]
fn without_a_route_there_is_nothing() {
    let (router, _guards) = router(&["example.com", "*.example.org"]);
    for host in ["example.org", "a.example.com", "com", "", ".", "..", "*"] {
        assert_eq!(router.find(host, "/", ""), None, "{host}");
    }
}

#[test]
fn what_is_too_long_for_a_name_has_no_route() {
    let (router, _guards) = router(&["*.x.y", "*"]);
    let longest = "a.".repeat(MAX_HOST / 2 - 1) + "x.y";
    assert_eq!(longest.len(), MAX_HOST);
    assert_eq!(router.find(&longest, "/", ""), Some("*.x.y"));
    assert_eq!(
        router.find(&format!("{longest}.:80"), "/", ""),
        Some("*.x.y")
    );
    let longer = format!("a{longest}");
    assert_eq!(router.find(&longer, "/", ""), None);
    assert_eq!(cut(&longer).len(), MAX_HOST);
    assert_eq!(cut(&format!("a{}", "ä".repeat(200))).len(), MAX_HOST);
    assert_eq!(cut(&"ä".repeat(200)).len(), MAX_HOST - 1);
    assert_eq!(cut("a.b"), "a.b");
}

#[test]
fn ports_case_and_a_trailing_dot_do_not_matter() {
    let (router, _guards) = router(&["Example.COM", "*.Example.org", "::1", "::2"]);
    for (host, to) in [
        ("EXAMPLE.com:8080", Some("Example.COM")),
        ("example.com.", Some("Example.COM")),
        ("example.com.:80", Some("Example.COM")),
        ("www.example.ORG:1", Some("*.Example.org")),
        ("[::1]:80", Some("::1")),
        ("::2", Some("::2")),
        ("example.com..", None),
        ("[::1", None),
        (":80", None),
    ] {
        assert_eq!(router.find(host, "/", ""), to, "{host}");
    }
}

#[test]
fn the_longest_location_wins() {
    let (router, _guards) = router(&["a.b /api/v1", "a.b", "a.b /api", "a.b /z"]);
    for (path, to) in [
        ("/api/v1/x", "a.b /api/v1"),
        ("/api/v2", "a.b /api"),
        ("/apix", "a.b /api"),
        ("/z", "a.b /z"),
        ("/", "a.b"),
        ("", "a.b"),
    ] {
        assert_eq!(router.find("a.b", path, ""), Some(to), "{path}");
    }
}

#[test]
fn the_users_own_route_goes_before_everybodys_at_each_step() {
    let (router, _guards) = router(&["a.b.c", "a.b.c /x ann", "*.b.c / ben", "*  carl"]);
    for (path, user, to) in [
        ("/x", "ann", Some("a.b.c /x ann")),
        ("/y", "ann", Some("a.b.c")),
        // The name's route for everybody goes before the wildcard's own one.
        ("/x", "ben", Some("a.b.c")),
        ("/x", "", Some("a.b.c")),
    ] {
        assert_eq!(router.find("a.b.c", path, user), to, "{path} {user}");
    }
    assert_eq!(router.find("d.b.c", "/", "ben"), Some("*.b.c / ben"));
    assert_eq!(router.find("d.b.c", "/", "carl"), Some("*  carl"));
    assert_eq!(router.find("d.b.c", "/", ""), None);
}

#[test]
fn a_taken_route_is_refused_and_free_again_once_dropped() {
    let (router, mut guards) = router(&["a.b", "*.a.b", "*"]);
    for taken in ["A.B", "*.a.B", "*"] {
        let text = router.add(vec![key(taken)], &"").unwrap_err().to_string();
        assert_eq!(text, "router config conflict");
    }
    let other = router.add(vec![key("a.b /x")], &"more").unwrap();
    guards.remove(0);
    assert_eq!(router.find("a.b", "/x", ""), Some("more"));
    assert_eq!(router.find("a.b", "/", ""), Some("*"));
    drop(router.add(vec![key("a.b")], &"again").unwrap());
    drop(other);
}

#[test]
fn nothing_stays_behind() {
    let (router, guards) = router(&["a.b /x u", "a.b /y u", "a.b", "*.a.b  u", "*", "*  u"]);
    assert!(router.add(vec![key("a.b /x u")], &"").is_err());
    drop(guards);
    let table = router.table.read().unwrap();
    assert!(table.names.is_empty() && table.below.is_empty() && table.all.is_empty());
}

#[test]
fn of_routes_that_cannot_all_be_had_none_stays() {
    let (router, _guards) = router(&["m.test /9"]);
    let keys: Vec<_> = (0..ROUTES_UNDER_LOCK + 10)
        .map(|n| key(&format!("n{n}.test")))
        .chain([key("m.test /9")])
        .collect();
    assert!(router.add(keys.clone(), &"more").is_err());
    assert_eq!(router.table.read().unwrap().names.len(), 1);
    let twice = [keys[0].clone(), keys[0].clone()];
    assert!(router.add(twice.to_vec(), &"more").is_err());
    let all = router
        .add(keys[..keys.len() - 1].to_vec(), &"more")
        .unwrap();
    assert_eq!(router.find("n265.test", "/", ""), Some("more"));
    drop(all);
    assert_eq!(router.table.read().unwrap().names.len(), 1);
}

/// Few steps, though ten thousand locations are at one host, and though each of them has something
/// in common with the path.
#[test]
fn locations_are_not_looked_through() {
    let locations = || (0..10_000).map(|n| format!("/a/{n}/b"));
    let mut table: Locations<usize> = locations().map(Arc::from).zip(0..).collect();
    table.insert("/a".into(), 10_000);
    for (n, location) in locations().enumerate() {
        assert_eq!(longest(&table, &location), Some(&n));
        assert_eq!(longest(&table, &format!("{location}/more")), Some(&n));
    }
    assert_eq!(longest(&table, "/a/12345/b"), Some(&10_000));
    assert_eq!(longest(&table, "/b"), None);
    let long = "/a".repeat(100_000);
    assert_eq!(longest(&table, &long), Some(&10_000));
}

/// What [`Router::find`] is to answer, found by looking at every route.
fn naive<'a>(routes: &'a [String], host: &str, path: &str, user: &str) -> Option<&'a String> {
    let mut domains = vec![host.to_owned()];
    let mut rest = host;
    while let Some((_, parent)) = rest.split_once('.')
        && parent.contains('.')
    {
        domains.push(format!("*.{parent}"));
        rest = parent;
    }
    domains.push("*".to_owned());
    for domain in domains {
        for user in [user, ""] {
            let fits = |text: &&String| {
                let key = key(text);
                *key.domain == *domain
                    && *key.http_user == *user
                    && path.starts_with(&*key.location)
            };
            let longest = |text: &&String| key(text).location.len();
            if let Some(found) = routes.iter().filter(fits).max_by_key(longest) {
                return Some(found);
            }
        }
    }
    None
}

fn route() -> impl Strategy<Value = String> {
    let domain = prop_oneof![
        "[ab](\\.[ab]){0,3}",
        "\\*(\\.[ab]){1,3}",
        Just("*".to_owned())
    ];
    (domain, "(/[aä]{0,3}){0,3}", "[uv]{0,1}").prop_map(|(d, l, u)| format!("{d} {l} {u}"))
}

proptest! {
    /// Routes come and go; at each step the same are found as by looking at all of them.
    #[test]
    fn as_by_looking_at_all(
        steps in prop::collection::vec((route(), any::<bool>()), 1..60),
        asked in prop::collection::vec(("[ab](\\.[ab]){0,4}", "(/[aäb]{0,4}){0,4}", "[uvw]{0,1}"), 1..20),
    ) {
        let router = Arc::new(Router::default());
        let mut routes: Vec<String> = Vec::new();
        let mut guards = Vec::new();
        for (text, add) in steps {
            let known = routes.iter().position(|known| *known == text);
            if add {
                let added = router.add(vec![key(&text)], &text);
                prop_assert_eq!(added.is_ok(), known.is_none());
                if let Ok(guard) = added {
                    routes.push(text);
                    guards.push(guard);
                }
            } else if let Some(at) = known {
                routes.remove(at);
                guards.remove(at);
            }
            for (host, path, user) in &asked {
                let found = router.find(host, path, user);
                prop_assert_eq!(found.as_ref(), naive(&routes, host, path, user));
            }
        }
        drop(guards);
        let table = router.table.read().unwrap();
        prop_assert!(table.names.is_empty() && table.below.is_empty() && table.all.is_empty());
    }
}
