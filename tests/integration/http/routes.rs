//! Which proxy a request goes to.

use frp_tests::backend::{fetch, get, raw, split};
use frp_tests::wire::{self, Control};
use frp_tests::*;
use serde_json::json;

use super::*;

#[tokio::test]
async fn host_location_and_user_choose_the_proxy() {
    let (a, b, c) = (
        Backend::saying("a").await,
        Backend::saying("b").await,
        Backend::saying("c").await,
    );
    let (d, e, f) = (
        Backend::saying("d").await,
        Backend::saying("e").await,
        Backend::saying("f").await,
    );
    let proxies = [
        domain("a", &a, "Exact.Test"),
        domain("b", &b, "*.wild.test"),
        proxy(
            "c",
            &c,
            "customDomains = [\"exact.test\"]\nlocations = [\"/c\", \"/see\"]",
        ),
        proxy(
            "d",
            &d,
            "customDomains = [\"exact.test\"]\nrouteByHTTPUser = \"dora\"",
        ),
        proxy("e", &e, "subdomain = \"sub\""),
        proxy("f", &f, "customDomains = [\"*\"]\nlocations = [\"/any\"]"),
    ];
    let site = Site::open("subDomainHost = \"frp.test\"\n", &proxies.concat()).await;
    for (host, path, to) in [
        ("exact.test", "/", "a"),
        ("EXACT.test:8080", "/x", "a"),
        ("exact.test.", "/", "a"),
        ("x.wild.test", "/", "b"),
        ("y.x.wild.test", "/", "b"),
        ("exact.test", "/c/d", "c"),
        ("exact.test", "/%63", "c"),
        ("exact.test", "/seen", "c"),
        ("sub.frp.test", "/", "e"),
        ("sub.frp.test", "/any", "e"),
        ("who.knows", "/anything", "f"),
    ] {
        let answer = fetch(site.port, host, path).await;
        assert_eq!(answer, (200, to.to_owned()), "{host}{path}");
    }
    for (host, path) in [("wild.test", "/"), ("who.knows", "/"), ("frp.test", "/")] {
        assert_eq!(fetch(site.port, host, path).await.0, 404, "{host}{path}");
    }
    // dora:x and anna:x
    let by_user = |user| {
        get(
            "exact.test",
            "/",
            &[&format!("Authorization: Basic {user}")],
        )
    };
    let dora = raw(site.port, by_user("ZG9yYTp4")).await;
    assert_eq!(split(&dora), (200, "d".to_owned()));
    let anna = raw(site.port, by_user("YW5uYTp4")).await;
    assert_eq!(split(&anna), (200, "a".to_owned()));
}

#[tokio::test]
async fn the_client_is_told_each_route_and_why_one_is_refused() {
    let backend = Backend::saying("x").await;
    let first = proxy(
        "first",
        &backend,
        "customDomains = [\"a.test\", \"B.test\"]\nsubdomain = \"s\"\nlocations = [\"/x\", \"/y\"]",
    );
    let site = Site::open("subDomainHost = \"frp.test\"\n", &first).await;
    let told = site.frps.program.log().text();
    assert!(
        told.contains(
            "http proxy listen for host [a.test] location [/x] group [], routeByHTTPUser []"
        ),
        "{told}"
    );
    let refused = [
        proxy(
            "taken",
            &backend,
            "customDomains = [\"A.TEST\"]\nlocations = [\"/y\"]",
        ),
        proxy("below", &backend, "customDomains = [\"x.frp.test\"]"),
        proxy("dotted", &backend, "subdomain = \"a.b\""),
        proxy(
            "header",
            &backend,
            "customDomains = [\"c.test\"]\nrequestHeaders.set.\"a b\" = \"c\"",
        ),
    ];
    let frpc = site.rig.frpc(site.frps.port, &refused.concat());
    for text in [
        "[taken] start error: router config conflict",
        "[below] start error: custom domain [x.frp.test] should not belong to subdomain host [frp.test]",
        "[dotted] start error: '.' and '*' are not supported in subdomain",
        "[header] start error: requestHeaders.set: [a b] is not a valid header",
    ] {
        frpc.expect(text).await;
    }
}

#[tokio::test]
async fn the_address_of_a_proxy_names_each_of_its_routes() {
    let rig = Rig::new();
    let port = free_port();
    let server =
        format!("vhostHTTPPort = {port}\nsubDomainHost = \"frp.test\"\ntransport.tcpMux = false\n");
    let frps = rig.frps(&server).await;
    let (mut control, _) = Control::login(connect(frps.port).await, "", &json!({})).await;
    let new = json!({
        "proxy_name": "web", "proxy_type": "http", "custom_domains": ["a.test", "B.test"],
        "subdomain": "s", "locations": ["/x", "/y"],
    });
    control.send(wire::NEW_PROXY, &new).await;
    let answer = loop {
        let (kind, body) = control.recv().await.expect("an answer to NewProxy");
        if kind == wire::NEW_PROXY_RESP {
            break body;
        }
    };
    let twice = |host| format!("{host}:{port},{host}:{port}");
    let wanted = ["a.test", "B.test", "s.frp.test"].map(twice).join(",");
    assert_eq!(answer["remote_addr"], wanted);
}

#[tokio::test]
async fn without_the_port_or_the_domain_there_is_no_proxy() {
    let backend = Backend::saying("x").await;
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let frpc = rig.frpc(frps.port, &domain("web", &backend, "a.test"));
    frpc.expect("[web] start error: type [http] not supported when vhost http port is not set")
        .await;
    let site = Site::open("", "").await;
    let sub = proxy("sub", &backend, "subdomain = \"s\"");
    let frpc = site.rig.frpc(site.frps.port, &sub);
    frpc.expect(
        "[sub] start error: subdomain is not supported because this feature is not enabled in server",
    )
    .await;
}

#[tokio::test]
async fn routes_are_free_again_when_their_client_has_gone() {
    let (old, new) = (Backend::saying("old").await, Backend::saying("new").await);
    let mut site = Site::open("", &domain("web", &old, "a.test")).await;
    assert_eq!(fetch(site.port, "a.test", "/").await, (200, "old".into()));
    assert_eq!(
        old.open(),
        1,
        "the work connection waits for the next request"
    );
    site.frpc.kill().await;
    site.frps.program.expect("client exit success").await;
    assert_eq!(fetch(site.port, "a.test", "/").await.0, 404);
    let _frpc = site.client(&domain("other", &new, "a.test")).await;
    assert_eq!(fetch(site.port, "a.test", "/").await, (200, "new".into()));
}

#[tokio::test]
async fn a_group_serves_in_turn_on_all_its_routes() {
    let (a, b) = (Backend::saying("a").await, Backend::saying("b").await);
    let lines = |key: &str, domains: &str| {
        format!(
            "customDomains = [{domains}]\nlocations = [\"/x\", \"/y\"]\n\
             loadBalancer.group = \"web\"\nloadBalancer.groupKey = \"{key}\""
        )
    };
    let both = "\"one.test\", \"two.test\"";
    let site = Site::open("", &proxy("a", &a, &lines("k", both))).await;
    let mut other = site.client(&proxy("b", &b, &lines("k", both))).await;
    let mut got = Vec::new();
    for i in 0..8 {
        let host = ["one.test", "two.test"][i / 4];
        got.push(fetch(site.port, host, ["/x", "/y"][i % 2]).await.1);
    }
    let turns = |from: usize| {
        (0..8)
            .map(|i| ["a", "b"][(i + from) % 2])
            .collect::<Vec<_>>()
    };
    assert!(got == turns(0) || got == turns(1), "{got:?}");
    assert_eq!(
        a.connections() + b.connections(),
        2,
        "kept for the next turn"
    );

    let refused = [
        proxy("wrong", &a, &lines("no", both)),
        proxy("less", &a, &lines("k", "\"one.test\"")),
        // In frp its service would be open to everybody.
        proxy(
            "secret",
            &a,
            &format!("{}\nhttpPassword = \"x\"", lines("k", both)),
        ),
    ];
    let frpc = site.rig.frpc(site.frps.port, &refused.concat());
    frpc.expect("[wrong] start error: group auth failed").await;
    for name in ["less", "secret"] {
        frpc.expect(&format!("[{name}] start error: group params invalid"))
            .await;
    }

    other.kill().await;
    eventually("the rest of the group serves all", || async {
        fetch(site.port, "one.test", "/x").await.1 == "a"
            && fetch(site.port, "one.test", "/x").await.1 == "a"
    })
    .await;
    assert_eq!(fetch(site.port, "two.test", "/y").await, (200, "a".into()));
}
