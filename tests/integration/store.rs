//! The store of frpc: proxies and visitors that are made over its API, answered as frp answers, kept in a
//! file that survives a kill at any moment and whoever edits it.

use std::path::Path;
use std::time::Duration;

use frp_tests::clients::{echo_on, until_echoes};
use frp_tests::http::{ADMIN, Answer, get, send};
use frp_tests::rig::{stcp_proxy, tcp_proxy};
use frp_tests::*;
use serde_json::{Value, json};

const PROXIES: &str = "/api/store/proxies";
const VISITORS: &str = "/api/store/visitors";

fn with_store(web: u16) -> String {
    format!(
        "webServer.port = {web}\nwebServer.user = \"admin\"\nwebServer.password = \"secret\"\n\
         store.path = \"kept/store.json\"\n"
    )
}

fn tcp(name: &str, local: u16, remote: u16) -> Value {
    json!({"name": name, "type": "tcp", "tcp": {"localPort": local, "remotePort": remote}})
}

async fn ask(web: u16, method: &str, path: &str, body: &Value) -> Answer {
    let body = match body {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        body => body.to_string(),
    };
    send(web, method, path, "", &body).await
}

async fn running(web: u16, name: &str) -> Value {
    let all = get(web, "/api/status").await.json();
    let mut all = all
        .as_object()
        .unwrap()
        .values()
        .flat_map(|list| list.as_array().unwrap());
    all.find(|proxy| proxy["name"] == name)
        .cloned()
        .unwrap_or_default()
}

/// The requests, and whether the answers' bodies must be the same to the byte; else frp's text is the
/// beginning of ours.
fn requests(remote: u16) -> Vec<(&'static str, String, Value, bool)> {
    let proxies = |name: &str| format!("{PROXIES}/{name}");
    let visitors = |name: &str| format!("{VISITORS}/{name}");
    let one = |kind: &str, block: Value| json!({"name": kind, "type": kind, kind: block});
    let odd = |block: Value| json!({"name": "odd", "type": "tcp", "tcp": block});
    let all = json!({
        "enabled": true, "annotations": {"b": "1", "a": "<2>&"}, "metadatas": {"k": "v"},
        "transport": {
            "useEncryption": true, "useCompression": true, "bandwidthLimit": "1MB",
            "bandwidthLimitMode": "server", "proxyProtocolVersion": "v2",
        },
        "loadBalancer": {"group": "g", "groupKey": "k"},
        "healthCheck": {
            "type": "http", "path": "/x", "timeoutSeconds": 4, "maxFailed": 2, "intervalSeconds": 7,
            "httpHeaders": [{"name": "h", "value": "v"}],
        },
        "localIP": "127.0.0.1", "localPort": 9, "customDomains": ["a.b"], "subdomain": "s",
        "locations": ["/x"], "httpUser": "u", "httpPassword": "p", "hostHeaderRewrite": "h",
        "requestHeaders": {"set": {"b": "c", "a": "b"}}, "responseHeaders": {"set": {"c": "d"}},
        "routeByHTTPUser": "r",
    });
    let forward = json!({
        "localAddr": "127.0.0.1:1", "hostHeaderRewrite": "h", "requestHeaders": {"set": {"a": "b"}},
    });
    let visit = json!({"serverName": "s", "bindPort": -1});
    let mut list = vec![
        ("GET", PROXIES.to_owned(), Value::Null, true),
        ("GET", VISITORS.to_owned(), Value::Null, true),
        ("GET", proxies("x"), Value::Null, true),
        ("DELETE", proxies("x"), Value::Null, true),
        ("DELETE", visitors("x"), Value::Null, true),
        (
            "GET",
            "/api/proxy/nothing/config".to_owned(),
            Value::Null,
            true,
        ),
        (
            "GET",
            "/api/visitor/nothing/config".to_owned(),
            Value::Null,
            true,
        ),
        (
            "GET",
            "/api/proxy/file/config".to_owned(),
            Value::Null,
            true,
        ),
        ("POST", PROXIES.to_owned(), tcp("a", 80, remote), true),
        ("POST", PROXIES.to_owned(), tcp("a", 80, remote), true),
        ("GET", proxies("a"), Value::Null, true),
        ("GET", "/api/proxy/a/config".to_owned(), Value::Null, true),
        ("PUT", proxies("a"), tcp("a", 81, remote), true),
        ("PUT", proxies("b"), tcp("a", 81, remote), true),
        ("PUT", proxies("b"), tcp("b", 81, remote), true),
        ("PATCH", PROXIES.to_owned(), Value::Null, true),
        ("POST", proxies("a"), Value::Null, true),
        ("GET", proxies(""), Value::Null, true),
        ("GET", proxies("a/b"), Value::Null, true),
    ];
    // What is no entry.
    for body in [
        json!(""),
        json!("{"),
        json!("[]"),
        json!("null"),
        json!("3"),
        json!("{\"name\":\"c\"} x"),
        json!("{name:1}"),
        json!({"name": 1}),
        json!({"type": "tcp"}),
        tcp("  ", 1, remote),
        json!({"name": "c", "type": "zzz", "tcp": {}}),
        json!({"name": "c", "tcp": {}}),
        json!({"name": "c", "type": "tcp"}),
        json!({"name": "c", "type": "tcp", "tcp": null}),
        json!({"name": "c", "type": "tcp", "tcp": {}, "udp": {}}),
        json!({"name": "c", "type": "tcp", "udp": {}}),
    ] {
        list.push(("POST", PROXIES.to_owned(), body, true));
    }
    // What could not run; ours says what to do about it, too.
    for block in [
        json!({"localPort": 99999}),
        json!({"localPort": 9, "healthCheck": {"type": "http"}}),
        json!({"localPort": 9, "healthCheck": {"type": "zz"}}),
        json!({"localPort": 9, "transport": {"proxyProtocolVersion": "v9"}}),
        json!({"localPort": 9, "transport": {"bandwidthLimitMode": "zz"}}),
        json!({"plugin": {"type": "https2http"}}),
        json!({"enabled": false, "plugin": {"type": "https2http"}}),
    ] {
        list.push(("POST", PROXIES.to_owned(), odd(block), false));
    }
    for body in [
        json!({"name": "c", "type": "http", "http": {"localPort": 9}}),
        json!({"name": "c", "type": "tcpmux", "tcpmux": {"localPort": 9, "customDomains": ["a.b"]}}),
    ] {
        list.push(("POST", PROXIES.to_owned(), body, false));
    }
    // Every type and plugin with all keys, and nearly none.
    let known = |names: &[&str]| {
        let pick = |name: &&str| Some(((*name).to_owned(), all.get(*name)?.clone()));
        Value::Object(names.iter().filter_map(pick).collect())
    };
    let base = [
        "enabled",
        "annotations",
        "metadatas",
        "transport",
        "loadBalancer",
        "healthCheck",
        "localIP",
        "localPort",
    ];
    let http = [
        "customDomains",
        "subdomain",
        "locations",
        "httpUser",
        "httpPassword",
        "hostHeaderRewrite",
        "requestHeaders",
        "responseHeaders",
        "routeByHTTPUser",
    ];
    for (kind, more) in [("tcp", &[][..]), ("http", &http[..]), ("https", &http[..2])] {
        list.push((
            "POST",
            PROXIES.to_owned(),
            one(kind, known(&[&base[..], more].concat())),
            true,
        ));
    }
    for (kind, block) in [
        ("udp", json!({"localPort": 5})),
        (
            "stcp",
            json!({"localPort": 5, "secretKey": "s", "allowUsers": ["*"]}),
        ),
        ("sudp", json!({"localPort": 5, "secretKey": "s"})),
        (
            "tcpmux",
            json!({"localPort": 5, "customDomains": ["a.b"], "multiplexer": "httpconnect"}),
        ),
    ] {
        list.push(("POST", PROXIES.to_owned(), one(kind, block), true));
    }
    for (kind, options) in [
        ("http2https", forward.clone()),
        ("http_proxy", json!({"httpUser": "u", "httpPassword": "p"})),
        ("https2http", forward.clone()),
        (
            "https2https",
            json!({"localAddr": "127.0.0.1:1", "enableHTTP2": false}),
        ),
        ("http2http", json!({"localAddr": "127.0.0.1:1"})),
        ("socks5", json!({"username": "u", "password": "p"})),
        (
            "static_file",
            json!({"localPath": "/tmp", "stripPrefix": "s"}),
        ),
        ("unix_domain_socket", json!({"unixPath": "/tmp/x"})),
        ("tls2raw", json!({"localAddr": "127.0.0.1:1"})),
    ] {
        let mut options = options;
        options["type"] = json!(kind);
        let body = json!({"name": kind, "type": "tcp", "tcp": {"plugin": options}});
        list.push(("POST", PROXIES.to_owned(), body, true));
        list.push((
            "GET",
            format!("/api/proxy/{kind}/config"),
            Value::Null,
            true,
        ));
    }
    let cased = json!({"name": "u", "TYPE": "tcp", "Tcp": {"localport": 9, "TRANSPORT": {"useENCRYPTION": true}, "unknown": 1}});
    list.extend([
        ("POST", PROXIES.to_owned(), cased, true),
        (
            "PUT",
            proxies("a"),
            json!({"name": "a", "type": "tcp", "tcp": {"enabled": false, "localPort": 3}}),
            true,
        ),
        ("GET", "/api/proxy/a/config".to_owned(), Value::Null, true),
        ("GET", PROXIES.to_owned(), Value::Null, true),
        ("DELETE", proxies("a"), Value::Null, true),
        (
            "POST",
            VISITORS.to_owned(),
            json!({"name": "v", "type": "stcp", "stcp": visit}),
            true,
        ),
        ("GET", "/api/visitor/v/config".to_owned(), Value::Null, true),
        (
            "PUT",
            visitors("v"),
            json!({"name": "v", "type": "sudp", "sudp": {
                "serverName": "s", "bindPort": -1, "enabled": false, "secretKey": "k",
                "serverUser": "u", "bindAddr": "127.0.0.1", "transport": {"useEncryption": true},
            }}),
            true,
        ),
        ("GET", "/api/visitor/v/config".to_owned(), Value::Null, true),
        ("GET", VISITORS.to_owned(), Value::Null, true),
        (
            "POST",
            VISITORS.to_owned(),
            json!({"name": "w", "type": "tcp", "stcp": visit}),
            true,
        ),
        (
            "POST",
            VISITORS.to_owned(),
            json!({"name": "w", "type": "stcp"}),
            true,
        ),
        (
            "POST",
            VISITORS.to_owned(),
            json!({"name": "w", "type": "stcp", "sudp": visit}),
            true,
        ),
        (
            "POST",
            VISITORS.to_owned(),
            json!({"name": "w", "type": "stcp", "stcp": {"bindPort": 4}}),
            false,
        ),
        (
            "POST",
            VISITORS.to_owned(),
            json!({"name": "w", "type": "stcp", "stcp": {"serverName": "4"}}),
            false,
        ),
        ("DELETE", visitors("v"), Value::Null, true),
    ]);
    list
}

/// A frpc of one side that has gone through the requests: the answers, and its store.
async fn answers(side: &Side, local: u16, remote: u16) -> (Vec<Answer>, Value, String) {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let web = free_port();
    let text = with_store(web) + &tcp_proxy("file", local, remote, "");
    let frpc = rig.frpc_of(side, frps.port, &text);
    frpc.expect("[file] start proxy success").await;
    let mut answers = Vec::new();
    for (method, path, body, _) in requests(remote) {
        answers.push(ask(web, method, &path, &body).await);
    }
    let store = std::fs::read_to_string(rig.path().join("kept/store.json")).unwrap();
    (answers, serde_json::from_str(&store).unwrap(), store)
}

fn by_name(list: &Value) -> Vec<Value> {
    let mut all = list.as_array().cloned().unwrap_or_default();
    all.sort_by_key(|one| one["name"].to_string());
    all
}

#[tokio::test]
async fn answers_are_those_of_frp() {
    let Some(reference) = Side::reference("0.70.1") else {
        return;
    };
    // The same ports for both, one after the other.
    let (local, remote) = (free_port(), free_port());
    let (theirs, their_store, _) = answers(&reference, local, remote).await;
    let (ours, our_store, text) = answers(&Side::Ours, local, remote).await;
    let requests = requests(remote);
    for ((method, path, body, exact), (ours, theirs)) in
        requests.iter().zip(ours.iter().zip(&theirs))
    {
        let request = format!("{method} {path} {body}");
        assert_eq!(
            ours.status, theirs.status,
            "{request}: {ours:?}\n{theirs:?}"
        );
        assert_eq!(
            ours.header("content-type"),
            theirs.header("content-type"),
            "{request}"
        );
        if *exact {
            assert_eq!(ours.body, theirs.body, "{request}");
        } else {
            let said = |answer: &Answer| answer.json()["Msg"].as_str().unwrap().to_owned();
            let (ours, theirs) = (said(ours), said(theirs));
            assert!(ours.starts_with(&theirs), "{request}: {ours}\n{theirs}");
        }
    }
    assert_eq!(
        by_name(&our_store["proxies"]),
        by_name(&their_store["proxies"])
    );
    assert_eq!(our_store["visitors"], their_store["visitors"]);
    assert!(
        text.starts_with("{\n  \"proxies\": [\n    {\n      \"name\": "),
        "{text}"
    );
}

/// What was made by frp's frpc runs in ours.
#[tokio::test]
async fn a_store_that_frp_wrote_is_taken() {
    let Some(reference) = Side::reference("0.70.1") else {
        return;
    };
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let echo = Service::echo().await;
    let (web, port) = (free_port(), free_port());
    let mut theirs = rig.frpc_of(&reference, frps.port, &with_store(web));
    theirs.expect("login to server success").await;
    let made = ask(web, "POST", PROXIES, &tcp("a", echo.port, port)).await;
    assert_eq!(made.status, 200, "{made:?}");
    until_echoes(port, Duration::from_secs(20)).await;
    theirs.kill().await;
    let frpc = rig.frpc(frps.port, &with_store(web));
    frpc.expect("[a] start proxy success").await;
    until_echoes(port, Duration::from_secs(20)).await;
}

#[tokio::test]
async fn a_change_takes_effect_at_once_and_disturbs_nothing_else() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let echo = Service::echo().await;
    let web = free_port();
    let [file, first, second] = [(); 3].map(|()| free_port());
    let text = with_store(web) + &tcp_proxy("file", echo.port, file, "");
    let config = format!(
        "serverAddr = \"127.0.0.1\"\nserverPort = {}\nuser = \"u\"\n{text}",
        frps.port
    );
    let mut frpc = rig.start(&Side::Ours, "frpc", &config);
    frpc.expect("[file] start proxy success").await;
    let mut user = connect(file).await;
    echo_on(&mut user, b"before").await;
    let made = ask(web, "POST", PROXIES, &tcp("a", echo.port, first)).await;
    assert_eq!(made.status, 200, "{made:?}");
    until_echoes(first, Duration::from_secs(20)).await;
    assert_eq!(running(web, "a").await["source"], "store");
    assert!(running(web, "file").await["source"].is_null());
    let mut kept = connect(first).await;
    echo_on(&mut kept, b"kept").await;

    // Another port: the old one is given back, and nobody else notices.
    let moved = ask(
        web,
        "PUT",
        &format!("{PROXIES}/a"),
        &tcp("a", echo.port, second),
    )
    .await;
    assert_eq!(moved.status, 200, "{moved:?}");
    until_echoes(second, Duration::from_secs(20)).await;
    eventually("the old port is free", async || {
        std::net::TcpListener::bind(("127.0.0.1", first)).is_ok()
    })
    .await;
    echo_on(&mut user, b"after").await;
    assert_eq!(frpc.log().count("[file] start proxy success"), 1);

    // In the place of one of the file, and back.
    let over = ask(web, "POST", PROXIES, &tcp("file", echo.port, first)).await;
    assert_eq!(over.status, 200, "{over:?}");
    until_echoes(first, Duration::from_secs(20)).await;
    assert_eq!(running(web, "file").await["source"], "store");
    assert_eq!(
        ask(web, "DELETE", &format!("{PROXIES}/file"), &Value::Null)
            .await
            .status,
        200
    );
    until_echoes(file, Duration::from_secs(20)).await;

    // It is all there after a restart, but for what is disabled.
    let off = json!({"name": "off", "type": "tcp", "tcp": {"localPort": 1, "enabled": false}});
    assert_eq!(ask(web, "POST", PROXIES, &off).await.status, 200);
    frpc.kill().await;
    frpc.start_again();
    until_echoes(second, Duration::from_secs(20)).await;
    assert!(running(web, "off").await.is_null());
    assert_eq!(get(web, &format!("{PROXIES}/off")).await.json(), {
        let mut shown = off.clone();
        shown["tcp"] = get(web, PROXIES).await.json()["proxies"][1]["tcp"].clone();
        shown
    });
}

#[tokio::test]
async fn a_stored_visitor_serves_at_once() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let echo = Service::echo().await;
    let (web, port) = (free_port(), free_port());
    let text = with_store(web) + &stcp_proxy("s", echo.port, "");
    let frpc = rig.frpc(frps.port, &text);
    frpc.expect("[s] start proxy success").await;
    let body = json!({"name": "v", "type": "stcp", "stcp": {
        "serverName": "s", "secretKey": "secret", "bindPort": port,
    }});
    assert_eq!(ask(web, "POST", VISITORS, &body).await.status, 200);
    until_echoes(port, Duration::from_secs(20)).await;
    assert_eq!(
        ask(web, "DELETE", &format!("{VISITORS}/v"), &Value::Null)
            .await
            .status,
        200
    );
    eventually("the visitor's port is free", async || {
        std::net::TcpListener::bind(("127.0.0.1", port)).is_ok()
    })
    .await;
}

#[tokio::test]
async fn what_is_edited_by_hand_stays_or_is_refused_with_its_place() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let echo = Service::echo().await;
    let (web, port) = (free_port(), free_port());
    let frpc = rig.frpc(frps.port, &with_store(web));
    frpc.expect("login to server success").await;
    assert_eq!(ask(web, "POST", PROXIES, &tcp("a", 1, 0)).await.status, 200);
    let file = rig.path().join("kept/store.json");
    assert_eq!(mode(&file), 0o600);
    let edited = format!(
        "{{\"note\": \"mine\", \"proxies\": [{{\"name\": \"hand\", \"type\": \"tcp\", \"localPort\": {}, \
         \"remotePort\": {port}, \"later\": 1}}]}}",
        echo.port
    );
    std::fs::write(&file, &edited).unwrap();
    // Whatever is asked for first, what was written is in force.
    assert_eq!(ask(web, "POST", PROXIES, &tcp("b", 1, 0)).await.status, 200);
    until_echoes(port, Duration::from_secs(20)).await;
    let names: Vec<String> = get(web, PROXIES).await.json()["proxies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["b", "hand"]);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(
        text.contains("\"note\": \"mine\"") && text.contains("\"later\": 1"),
        "{text}"
    );
    // It would lose what this version does not know.
    let lossy = ask(
        web,
        "PUT",
        &format!("{PROXIES}/hand"),
        &tcp("hand", 1, port),
    )
    .await;
    assert_eq!(lossy.status, 409, "{lossy:?}");
    assert!(lossy.body.contains("unknown field"), "{lossy:?}");

    let broken = text.replace("\"note\"", "note");
    std::fs::write(&file, &broken).unwrap();
    for (method, path, body) in [
        ("POST", PROXIES.to_owned(), tcp("c", 1, 0)),
        ("DELETE", format!("{PROXIES}/b"), Value::Null),
    ] {
        let refused = ask(web, method, &path, &body).await;
        assert_eq!(refused.status, 409, "{refused:?}");
        let line = broken
            .lines()
            .position(|line| line.contains("note"))
            .unwrap()
            + 1;
        let place = format!("store.json:{line}:3: ");
        assert!(refused.body.contains(&place), "{place}: {refused:?}");
    }
    assert_eq!(get(web, "/api/reload").await.status, 400);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), broken);
    until_echoes(port, Duration::from_secs(20)).await;
    // Mended by hand, a reload takes it.
    std::fs::write(&file, "{}").unwrap();
    assert_eq!(get(web, "/api/reload").await.status, 200);
    eventually("the proxy is gone", async || {
        running(web, "hand").await.is_null()
    })
    .await;
    // A file that is gone is written anew.
    assert_eq!(ask(web, "POST", PROXIES, &tcp("a", 1, 0)).await.status, 200);
    std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
    assert_eq!(ask(web, "POST", PROXIES, &tcp("b", 1, 0)).await.status, 200);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("\"a\"") && text.contains("\"b\""), "{text}");
}

#[tokio::test]
async fn a_store_that_cannot_be_read_keeps_frpc_from_starting() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    std::fs::create_dir(rig.path().join("kept")).unwrap();
    rig.file("kept/store.json", "{\"proxies\": [\n  {\"name\": \"a\"}}");
    let mut frpc = rig.frpc(frps.port, &with_store(free_port()));
    frpc.expect("failed to create store source: failed to load existing data: ")
        .await;
    frpc.expect("store.json:2:16: json: invalid character '}' after array element")
        .await;
    assert_eq!(frpc.exit_code().await, Some(1));
}

#[tokio::test]
async fn what_cannot_be_written_changes_nothing() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let web = free_port();
    // No folder can be made where a file is.
    rig.file("kept", "in the way");
    let frpc = rig.frpc(frps.port, &with_store(web));
    frpc.expect("failed to create store source").await;
    std::fs::remove_file(rig.path().join("kept")).unwrap();
    let frpc = rig.frpc(frps.port, &with_store(web));
    frpc.expect("login to server success").await;
    rig.file("kept", "in the way");
    let refused = ask(web, "POST", PROXIES, &tcp("a", 1, 0)).await;
    assert!(
        refused.status >= 400 && refused.body.contains("kept/store.json"),
        "{refused:?}"
    );
    assert_eq!(get(web, PROXIES).await.json(), json!({"proxies": []}));
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(1024 * 1024));
    let refused = ask(web, "POST", PROXIES, &Value::String(long)).await;
    assert_eq!(refused.status, 400, "{refused:?}");
}

/// Killed at any moment, it has the old or the new content.
#[tokio::test]
async fn a_kill_leaves_the_old_or_the_new_store() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let web = free_port();
    let mut frpc = rig.frpc(frps.port, &with_store(web));
    let file = rig.path().join("kept/store.json");
    let mut last = 0;
    for round in 0..12_u64 {
        eventually("the API answers", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", web))
                .await
                .is_ok()
        })
        .await;
        let mut asked = last;
        let (asks, mut asking) = tokio::sync::watch::channel(last);
        let until = last + 1 + round % 4;
        let writing = async {
            loop {
                asked += 1;
                asks.send_replace(asked);
                let body = json!({"name": "a", "type": "tcp", "tcp": {
                    "localPort": 1, "enabled": false,
                    "metadatas": {"n": asked.to_string(), "pad": "x".repeat(20_000)},
                }});
                let (method, path) = match asked {
                    1 => ("POST", PROXIES.to_owned()),
                    _ => ("PUT", format!("{PROXIES}/a")),
                };
                // It is killed in the midst of one.
                match answered(web, method, &path, &body.to_string()).await {
                    Ok(()) => last = asked,
                    Err(_) => return,
                }
            }
        };
        let killing = async {
            let _ = asking.wait_for(|asked| *asked >= until).await;
            // Each time at another point of the way to the disk.
            for _ in 0..round * 30 {
                tokio::task::yield_now().await;
            }
            frpc.kill().await;
        };
        tokio::join!(writing, killing);
        if let Ok(text) = std::fs::read_to_string(&file) {
            let store: Value = serde_json::from_str(&text).unwrap();
            let found: u64 = store["proxies"][0]["metadatas"]["n"]
                .as_str()
                .unwrap()
                .parse()
                .unwrap();
            assert!(found == last || found == last + 1, "{found} after {last}");
            last = found;
        } else {
            assert_eq!(last, 0);
        }
        frpc.start_again();
    }
    assert!(last > 0);
}

/// Waits for the answer to a request, which must be 200.
async fn answered(web: u16, method: &str, path: &str, body: &str) -> std::io::Result<()> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", web)).await?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        ADMIN,
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    match answer.starts_with(b"HTTP/1.1 200") {
        true => Ok(()),
        false => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).unwrap().mode() & 0o777
}
