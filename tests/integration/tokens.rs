//! Several people share a server, each with a token of their own, and nobody is taken for another.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use frp_tests::clients::{connect, echo, echo_on, read_all, until_closed};
use frp_tests::http;
use frp_tests::rig::tcp_proxy;
use frp_tests::wire::{
    CLOSE_PROXY, Control, NEW_PROXY, NEW_PROXY_RESP, NEW_VISITOR_CONN, NEW_VISITOR_CONN_RESP,
    privilege_key, read_v1, v1,
};
use frp_tests::*;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::reload_frps::{SECRET, Server};

const NO_TOKEN: &str = "token in login doesn't match token from configuration";

async fn start(rig: &Rig, lines: &str) -> Server {
    Server::start(rig, &format!("{SECRET}{lines}")).await
}

async fn reload(server: &Server, lines: &str) {
    server.write(&format!("{SECRET}{lines}"));
    server.hang_up("auth.tokens applied").await;
}

async fn login(server: &Server, token: &str, more: &Value) -> (Control<TcpStream>, String) {
    let (control, answer) = Control::login(connect(server.port).await, token, more).await;
    (control, error_of(&answer))
}

fn entry(name: &str, lines: &str) -> String {
    format!("[[auth.tokens]]\nname = \"{name}\"\ntoken = \"{name}-secret\"\n{lines}\n")
}

fn error_of(answer: &Value) -> String {
    answer["error"].as_str().unwrap_or_default().to_owned()
}

/// The error that the registration of `proxy` is answered with.
async fn register(control: &mut Control<TcpStream>, proxy: &Value) -> String {
    control.send(NEW_PROXY, proxy).await;
    loop {
        let (kind, answer) = control.recv().await.expect("an answer");
        if kind == NEW_PROXY_RESP {
            return error_of(&answer);
        }
    }
}

/// So many seconds from now, as RFC 3339 has it.
async fn in_seconds(seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let at = format!("@{}", now.as_secs() + seconds);
    let date = Command::new("date")
        .args(["-u", "-d", &at, "+%Y-%m-%dT%H:%M:%SZ"])
        .output();
    String::from_utf8(date.await.unwrap().stdout)
        .unwrap()
        .trim()
        .to_owned()
}

/// Each of several people has what their token allows, under their own name, until it is taken away or expires:
/// then that one's sessions end with the reason, and nobody else's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_has_a_token_that_can_be_taken_away() {
    let sides = [Some(Side::Ours), Side::reference("0.70.1")];
    for side in sides.into_iter().flatten() {
        two_people(&side).await;
    }
}

async fn two_people(side: &Side) {
    let rig = Rig::new();
    let service = Service::echo().await;
    let (own, other, bobs) = (free_port(), free_port(), free_port());
    let ann = entry(
        "ann",
        &format!(
            "user = \"ann\"\nallowProxies = [\"web-*\"]\nallowTypes = [\"tcp\"]\nallowPorts = [{{ single = {own} }}]"
        ),
    );
    let bob = entry("bob", "user = \"bob\"\nmaxUserConns = 1");
    let server = start(&rig, &format!("{ann}{bob}")).await;
    let client = |lines: &str, proxies: &str| {
        rig.frpc_of(
            side,
            server.port,
            &format!("{lines}\nloginFailExit = false\n{proxies}"),
        )
    };

    // With other tokens there, none is as good as a wrong one.
    client("", "").expect(NO_TOKEN).await;
    client("user = \"bob\"\nauth.token = \"ann-secret\"", "")
        .expect("token [ann] is for user [ann], and the login is of user [bob]: set user = \"ann\" in the client")
        .await;

    let proxies = [
        tcp_proxy("web-1", service.port, own, ""),
        tcp_proxy("db", service.port, own, ""),
        tcp_proxy("web-2", service.port, other, ""),
    ];
    let anns = client(
        "user = \"ann\"\nauth.token = \"ann-secret\"",
        &proxies.concat(),
    );
    anns.expect("web-1] start proxy success").await;
    anns.expect("token [ann] does not allow proxy name [db]")
        .await;
    anns.expect(&format!("token [ann] does not allow port [{other}]"))
        .await;
    server.frps.expect("] token [ann]").await;
    echo(own, b"ann").await;
    let secret = tcp_proxy("ssh", service.port, bobs, "");
    let bob_client = client("user = \"bob\"\nauth.token = \"bob-secret\"", &secret);
    bob_client.expect("ssh] start proxy success").await;
    let mut user = connect(bobs).await;
    echo_on(&mut user, b"bob").await;
    // A second one is one too many.
    until_closed(&mut connect(bobs).await, wait::SOON, "one user too many").await;
    server
        .frps
        .expect("the proxies of token [bob] may have 1 connections together")
        .await;
    let clients = http::get(server.web, "/api/v2/clients").await;
    let items = clients.json()["data"]["items"].clone();
    let names: Vec<_> = items
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["tokenName"].clone())
        .collect();
    assert_eq!(names, ["ann", "bob"], "{items}");

    // What is allowed may change and counts for what comes next.
    reload(&server, &format!("{}{bob}", ann.replace("web-*", "db"))).await;
    echo(own, b"ann").await;
    assert_eq!(anns.log().count("has been revoked"), 0);

    reload(&server, &bob).await;
    anns.expect("token [ann] has been revoked").await;
    anns.expect(NO_TOKEN).await;
    server
        .frps
        .expect("control connection ended: token [ann] has been revoked")
        .await;
    echo_on(&mut user, b"bob is still there").await;

    let soon = in_seconds(3).await;
    reload(
        &server,
        &bob.replace("maxUserConns = 1", &format!("expires = {soon}")),
    )
    .await;
    bob_client
        .expect(&format!("token [bob] has expired at {soon}"))
        .await;
    bob_client.expect("ask for another one").await;
    let log = server.frps.log().text();
    assert!(!log.contains("-secret"), "{log}");
}

/// How much the clients of a token have together is counted; who comes again takes its own place.
#[tokio::test]
async fn what_a_token_may_have_is_counted_over_its_clients() {
    let rig = Rig::new();
    let limits = "maxClients = 2\nmaxProxies = 2\nmaxPorts = 1\nmaxRoutes = 2\nallowDomains = [\"*.ann.example.com\"]";
    let lines = format!(
        "transport.tcpMux = false\nvhostHTTPPort = {}\n{}{}",
        free_port(),
        entry("ann", limits),
        entry(
            "bob",
            &format!("allowPorts = [{{ single = {} }}]", free_port())
        )
    );
    let server = start(&rig, &lines).await;
    let (mut one, error) = login(&server, "ann-secret", &json!({"run_id": "one"})).await;
    assert_eq!(error, "");
    let (mut two, error) = login(&server, "ann-secret", &json!({"run_id": "two"})).await;
    assert_eq!(error, "");
    let (_, error) = login(&server, "ann-secret", &json!({"run_id": "three"})).await;
    assert_eq!(error, "too many clients: token [ann] is for 2 at a time");

    let port = json!({"proxy_name": "a", "proxy_type": "tcp", "remote_port": free_port()});
    assert_eq!(register(&mut one, &port).await, "");
    let port = json!({"proxy_name": "b", "proxy_type": "tcp", "remote_port": free_port()});
    let few = |what: &str, n: u64| {
        format!("too many {what}: the clients of token [ann] may have {n} together")
    };
    assert_eq!(register(&mut two, &port).await, few("ports", 1));
    let web = |name: &str, domains: &[&str]| json!({"proxy_name": name, "proxy_type": "http", "custom_domains": domains});
    let three = [
        "a.ann.example.com",
        "b.ann.example.com",
        "c.ann.example.com",
    ];
    assert_eq!(
        register(&mut two, &web("w", &three)).await,
        few("routes", 2)
    );
    let refused = register(&mut two, &web("w", &["*.example.com"])).await;
    assert_eq!(refused, "token [ann] does not allow domain [*.example.com]");
    assert_eq!(
        register(&mut two, &web("w", &["*.Ann.example.com"])).await,
        ""
    );
    assert_eq!(
        register(&mut one, &web("v", &["x.ann.example.com"])).await,
        few("proxies", 2)
    );

    // Its own place, and what it held is free again.
    let (mut again, error) = login(&server, "ann-secret", &json!({"run_id": "one"})).await;
    assert_eq!(error, "");
    assert_eq!(register(&mut again, &port).await, "");

    // Nor does a group give anybody a port that is not allowed.
    again.send(CLOSE_PROXY, &json!({"proxy_name": "b"})).await;
    let group = json!({"proxy_name": "g", "proxy_type": "tcp", "group": "g", "group_key": "k"});
    assert_eq!(register(&mut again, &group).await, "");
    let (mut bob, error) = login(&server, "bob-secret", &json!({})).await;
    assert_eq!(error, "");
    let mut own = group.clone();
    own["proxy_name"] = json!("h");
    assert_eq!(register(&mut bob, &own).await, "port not allowed");
}

/// frps knows a hash and not the token: frpc of ours logs in with the token, over both wire protocols, and nobody
/// without it.
#[tokio::test]
async fn a_client_logs_in_by_the_hash_of_its_token() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let (_, hash) = frps(&["token", "hash"], None, "guest-secret\n").await;
    let hash = hash.trim();
    let lines = format!(
        "[[auth.tokens]]\nname = \"guest\"\nuser = \"guest\"\nhash = {hash:?}\nmaxUserConns = 5\n"
    );
    let server = start(&rig, &lines).await;
    let client = |token: &str, more: &str| {
        rig.frpc(
            server.port,
            &format!("user = \"guest\"\nauth.token = {token:?}\n{more}"),
        )
    };
    for wire in ["v1", "v2"] {
        let port = free_port();
        let proxy = tcp_proxy("web", service.port, port, "transport.useEncryption = true");
        let frpc = client(
            "guest-secret",
            &format!("transport.wireProtocol = {wire:?}\n{proxy}"),
        );
        frpc.expect("web] start proxy success").await;
        echo(port, b"by the hash").await;
    }
    server.frps.expect("] token [guest]").await;
    let mut wrong = client("another", "");
    wrong.expect("login to the server failed").await;
    assert_eq!(wrong.exit_code().await, Some(1));
    // Nor does who has read the hash.
    let mut stolen = client(hash, "");
    stolen.expect("login to the server failed").await;
    assert_eq!(stolen.exit_code().await, Some(1));
    if let Some(go) = Side::reference("0.70.1") {
        let text = "user = \"guest\"\nauth.token = \"guest-secret\"\n";
        let frpc = rig.frpc_of(&go, server.port, text);
        frpc.expect(NO_TOKEN).await;
    }
}

/// What all proxies of a token carry comes out of one limit; nobody else's does.
#[tokio::test]
async fn a_token_has_a_bandwidth_for_all_of_its_proxies() {
    const CONTENT: usize = 150 * 1024;
    let rig = Rig::new();
    let service = Service::source(vec![7; CONTENT]).await;
    let ann = entry("ann", "user = \"ann\"\nbandwidthLimit = \"100KB\"");
    let bob = entry("bob", "user = \"bob\"");
    let server = start(&rig, &format!("{ann}{bob}")).await;
    let (one, two, other) = (free_port(), free_port(), free_port());
    let client = |user: &str, proxies: &str| {
        rig.frpc(
            server.port,
            &format!("user = {user:?}\nauth.token = \"{user}-secret\"\n{proxies}"),
        )
    };
    let own = "transport.bandwidthLimit = \"1MB\"\ntransport.bandwidthLimitMode = \"server\"";
    let both = [
        tcp_proxy("one", service.port, one, ""),
        tcp_proxy("two", service.port, two, own),
    ];
    let anns = client("ann", &both.concat());
    anns.expect("one] start proxy success").await;
    anns.expect("two] start proxy success").await;
    let bobs = client("bob", &tcp_proxy("other", service.port, other, ""));
    bobs.expect("other] start proxy success").await;

    let begun = Instant::now();
    let all = async |port: u16| read_all(&mut connect(port).await).await.len();
    let both = async {
        let got = tokio::join!(all(one), all(two));
        (got, begun.elapsed())
    };
    let (others, (got, took)) = tokio::join!(all(other), both);
    assert_eq!((others, got), (CONTENT, (CONTENT, CONTENT)));
    // 300 KB, of which 100 KB are there at once.
    assert!(took >= Duration::from_millis(1900), "{took:?}");
}

/// By `auth.strictUsers` a user, and the names that carry it, belong to who has its token; and nobody visits without
/// having logged in.
#[tokio::test]
async fn a_user_is_who_has_its_token() {
    let rig = Rig::new();
    let lines = format!(
        "auth.strictUsers = true\nauth.token = \"main\"\ntransport.tcpMux = false\n{}",
        entry("ann", "user = \"ann\"")
    );
    let server = start(&rig, &lines).await;
    let (_, error) = login(&server, "main", &json!({"user": "ann"})).await;
    assert!(
        error.starts_with("user [ann] is not the credentials' own (auth.strictUsers)"),
        "{error}"
    );
    let (mut ann, error) = login(
        &server,
        "ann-secret",
        &json!({"user": "ann", "run_id": "ann"}),
    )
    .await;
    assert_eq!(error, "");
    let stcp = |name: &str| json!({"proxy_name": name, "proxy_type": "stcp", "sk": "s", "allow_users": [""]});
    let refused = register(&mut ann, &stcp("bob.x")).await;
    assert_eq!(
        refused,
        "the name of proxy [bob.x] must begin with [ann.], the user of its client"
    );
    assert_eq!(register(&mut ann, &stcp("ann.x")).await, "");
    let (mut main, error) = login(&server, "main", &json!({"run_id": "main"})).await;
    assert_eq!(error, "");
    let refused = register(&mut main, &stcp("ann.y")).await;
    assert!(refused.contains("has a dot in its name"), "{refused}");
    assert_eq!(register(&mut main, &stcp("y")).await, "");

    // Another's run id is not taken over with another token.
    let (_, error) = login(&server, "main", &json!({"run_id": "ann"})).await;
    assert_eq!(
        error,
        "the run id is in use by a client with other credentials"
    );

    let visit = |run_id: &str| {
        let (sign_key, timestamp) = privilege_key("s");
        v1(
            NEW_VISITOR_CONN,
            &json!({"proxy_name": "ann.x", "sign_key": sign_key, "timestamp": timestamp, "run_id": run_id}),
        )
    };
    for (run_id, expected) in [
        (
            "",
            "visitor connection of [ann.x] without the run id of a login, for which auth.strictUsers asks",
        ),
        (
            "ann",
            "visitor connection of [ann.x] user [ann] not allowed",
        ),
        ("main", ""),
    ] {
        let mut visitor = connect(server.port).await;
        visitor.write_all(&visit(run_id)).await.unwrap();
        let (kind, answer) = read_v1(&mut visitor).await.expect("an answer");
        assert_eq!(
            (kind, error_of(&answer).as_str()),
            (NEW_VISITOR_CONN_RESP, expected)
        );
    }
}

async fn frps(args: &[&str], file: Option<&Path>, input: &str) -> (bool, String) {
    let mut command = Command::new(Side::Ours.program("frps"));
    command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    if let Some(file) = file {
        command.arg("-c").arg(file);
    }
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let output = within(
        Duration::from_secs(20),
        "an answer",
        child.wait_with_output(),
    )
    .await
    .unwrap();
    (
        output.status.success(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

/// What the commands make is what the configuration takes, and what can let nobody in is said with its line.
#[tokio::test]
async fn the_commands_and_the_documented_example_agree() {
    let rig = Rig::new();
    let (success, made) = frps(&["token", "new"], None, "").await;
    assert!(success, "{made}");
    let line = |name: &str| {
        let found = made
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name} = \"")));
        found.unwrap().trim_end_matches('"').to_owned()
    };
    let (token, hash) = (line("token"), line("hash"));
    assert!(token.len() >= 32 && !hash.contains(&token), "{made}");
    let (_, like) = frps(
        &["token", "hash", "--like", &hash],
        None,
        &format!("{token}\n"),
    )
    .await;
    assert_eq!(like.trim(), hash);
    let (success, said) = frps(&["token", "hash"], None, "\n").await;
    assert!(
        !success && said.contains("no token on standard input"),
        "{said}"
    );

    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/tokens.md")).unwrap();
    let (_, example) = page.split_once("```toml\n").unwrap();
    let example = example.split("```").next().unwrap();
    let example = example.replace(
        "/etc/frp/office.token",
        &rig.file("office.token", "o").display().to_string(),
    );
    let (success, said) = frps(&["verify"], Some(&rig.file("example.toml", &example)), "").await;
    assert!(
        success && said.contains("syntax is ok") && !said.contains("WARN"),
        "{said}"
    );

    let ini = "[common]\ntoken = a\nstrict_users = true\n[[auth.tokens]]\nname = a\n";
    let (_, said) = frps(&["verify"], Some(&rig.file("old.ini", ini)), "").await;
    assert!(
        said.contains("old.ini:3:1: auth.strictUsers cannot be set in INI files"),
        "{said}"
    );

    let wrong = "auth.token = 'one'\n[[auth.tokens]]\nname = 'a'\ntoken = 'one'\n[[auth.tokens]]\nname = 'a'\n\
                 hash = 'x'\nallowProxies = ['[']\n[[auth.tokens]]\nname = 'c'\ntoken = 'c'\nexpires = 'soon'\n";
    let (success, said) = frps(&["verify"], Some(&rig.file("wrong.toml", wrong)), "").await;
    assert!(!success, "{said}");
    for (line, problem) in [
        (4, "token [a] is the same as auth.token"),
        (6, "token name [a] is duplicated"),
        (7, "hash of token [a]: not of the form SCRAM-SHA-256$"),
        (8, "nothing fits the pattern \"[\""),
        (12, "\"soon\" is not a date and time"),
    ] {
        let place = format!("wrong.toml:{line}:");
        assert!(
            said.lines()
                .any(|text| text.contains(&place) && text.contains(problem)),
            "{line} {problem}: {said}"
        );
    }
}
