//! Server plugins: what they are asked, in which order, what they change and refuse, and what one that
//! misbehaves costs.

mod examples;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use frp_tests::clients::{read_all, until_closed, until_echoes};
use frp_tests::http::send;
use frp_tests::plugin_server::{PluginServer, Question, Says, config};
use frp_tests::rig::{host_proxy, stcp_proxy, stcp_visitor, tcp_proxy, udp_proxy};
use frp_tests::tls::Authority;
use frp_tests::wire::{self, Control};
use frp_tests::*;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

const ALL: &str = "Login NewProxy CloseProxy Ping NewWorkConn NewUserConn";

/// Messages are frames on plain connections: scripted clients are simple then.
const PLAIN: &str = "transport.tcpMux = false\n";

async fn login(port: u16, more: &Value) -> (Control<TcpStream>, Value) {
    Control::login(connect(port).await, "", more).await
}

async fn logged_in(port: u16) -> Control<TcpStream> {
    let (control, answer) = login(port, &json!({})).await;
    assert_eq!(error(&answer), "");
    control
}

fn error(answer: &Value) -> &str {
    answer["error"].as_str().unwrap_or("")
}

fn tcp(name: &str) -> Value {
    json!({"proxy_name": name, "proxy_type": "tcp"})
}

/// Sends a message and waits for the answer of `kind`, past requests for work connections.
async fn answered(client: &mut Control<TcpStream>, send: u8, body: &Value, kind: u8) -> Value {
    client.send(send, body).await;
    loop {
        let (came, answer) = client.recv().await.expect("an answer");
        if came == kind {
            return answer;
        }
    }
}

/// A first message on a connection of its own, and the answer.
async fn first(port: u16, kind: u8, body: &Value) -> Option<(u8, Value)> {
    let mut stream = connect(port).await;
    let bytes = wire::v1(kind, body);
    tokio::io::AsyncWriteExt::write_all(&mut stream, &bytes)
        .await
        .unwrap();
    let answer = timeout(Duration::from_secs(20), wire::read_v1(&mut stream));
    answer.await.expect("an answer or an end")
}

/// The first line of each question and its body, with what differs between runs in letters.
fn normalized(question: &Question, port: u16) -> String {
    let line = question.head.lines().next().unwrap();
    let text = format!("{line}\n{}", question.text);
    let mut text = text.replace(&format!("_port\":{port}"), "_port\":PORT");
    for (key, end) in [
        ("\"run_id\":\"", '"'),
        ("\"privilege_key\":\"", '"'),
        ("\"timestamp\":", ','),
        ("_addr\":\"127.0.0.1:", '"'),
        ("_address\":\"127.0.0.1:", '"'),
    ] {
        let parts: Vec<&str> = text.split(key).collect();
        let rest = parts[1..].iter().map(|part| {
            let at = part.find([end, '}']).unwrap();
            format!("{key}*{}", &part[at..])
        });
        text = std::iter::once(parts[0].to_owned()).chain(rest).collect();
    }
    text
}

/// What a plugin is asked about in the life of one client with one user, by operation.
async fn life(server: &Side, client: &Side) -> BTreeMap<String, String> {
    let rig = Rig::new();
    let plugin = PluginServer::agreeing().await;
    let scopes = "auth.additionalScopes = [\"HeartBeats\", \"NewWorkConns\"]\n";
    let text = format!("{scopes}{}", plugin.config("all", ALL, ""));
    let frps = rig.frps_of(server, &text).await;
    frps.program
        .expect("plugin [all] has been registered")
        .await;
    let echo = Service::echo().await;
    let port = free_port();
    // Between programs of ours a work connection shows that it is of its session, and has no key of frp's.
    let challenge = match client {
        Side::Ours => "auth.challenge = \"off\"\n",
        _ => "",
    };
    let text = format!(
        "{challenge}user = \"u\"\nmetadatas.token = \"<secret>\"\ntransport.heartbeatInterval = 1\n{scopes}{}",
        tcp_proxy("p", echo.port, port, "metadatas.id = \"7\"\n")
    );
    let mut frpc = rig.frpc_of(client, frps.port, &text);
    frpc.expect("[p] start proxy success").await;
    until_echoes(port, Duration::from_secs(20)).await;
    plugin.until_asked("Ping", 1).await;
    frpc.kill().await;
    plugin.until_asked("CloseProxy", 1).await;
    let asked = plugin.asked();
    for question in &asked {
        let head = question.head.to_lowercase();
        assert!(
            head.contains("content-type: application/json\r\n"),
            "{head}"
        );
        let (_, id) = head.split_once("x-frp-reqid: ").expect("an id");
        let id = id.lines().next().unwrap();
        let is_id = id.len() == 16 && id.bytes().all(|digit| digit.is_ascii_hexdigit());
        assert!(is_id, "{head}");
    }
    let ops = ALL.split(' ').map(|op| {
        let found = asked.iter().find(|question| question.op() == op);
        let found = found.unwrap_or_else(|| panic!("{op} was not asked about"));
        (op.to_owned(), normalized(found, port))
    });
    ops.collect()
}

#[tokio::test]
async fn every_operation_is_asked_about_in_frps_words() {
    let asked = life(&Side::Ours, &Side::Ours).await;
    let user = r#""user":{"user":"u","metas":{"token":"\u003csecret\u003e"},"run_id":"*"}"#;
    let expect = |op: &str, rest: &str| {
        let line = format!("POST /handler?op={op}&version=0.1.0 HTTP/1.1");
        let body = format!(r#"{{"version":"0.1.0","op":"{op}","content":{{{user}{rest}}}}}"#);
        assert_eq!(asked[op], format!("{line}\n{body}"));
    };
    expect(
        "NewProxy",
        r#","proxy_name":"u.p","proxy_type":"tcp","metas":{"id":"7"},"remote_port":PORT"#,
    );
    expect("CloseProxy", r#","proxy_name":"u.p""#);
    expect("Ping", r#","privilege_key":"*","timestamp":*"#);
    expect(
        "NewWorkConn",
        r#","run_id":"*","privilege_key":"*","timestamp":*"#,
    );
    expect(
        "NewUserConn",
        r#","proxy_name":"u.p","proxy_type":"tcp","remote_addr":"127.0.0.1:*""#,
    );
    let login = &asked["Login"];
    assert!(
        login.contains(r#""content":{"version":"0.70.1","hostname":"#) && !login.contains("run_id"),
        "{login}"
    );
    assert!(
        login.ends_with(r#","pool_count":1,"client_address":"127.0.0.1:*"}}"#),
        "{login}"
    );
    let Some(go) = Side::reference("0.70.1") else {
        return;
    };
    // The same client, which is frp's, with each server.
    let (theirs, ours) = (life(&go, &go).await, life(&Side::Ours, &go).await);
    assert_eq!(ours, theirs);
}

#[tokio::test]
async fn plugins_are_asked_in_their_order_and_see_what_those_before_have_changed() {
    let rig = Rig::new();
    let port = free_port();
    let first = PluginServer::start(move |q| q.with("remote_port", port)).await;
    let second = PluginServer::agreeing().await;
    let third = PluginServer::start(|_| Says::no("not this one")).await;
    let text = [
        first.config("first", "NewProxy", ""),
        second.config("second", "NewProxy Ping", ""),
        third.config("third", "Ping", ""),
    ];
    let frps = rig.frps(&(PLAIN.to_owned() + &text.concat())).await;
    let mut client = logged_in(frps.port).await;
    let answer = client.register(&tcp("p")).await;
    assert_eq!(answer["remote_addr"], format!(":{port}"));
    let (first, second) = (first.asked(), second.asked_about("NewProxy"));
    assert_eq!(first[0].content()["remote_port"], Value::Null);
    assert_eq!(second[0].content()["remote_port"], port);
    let id = |question: &Question| {
        let head = question.head.to_lowercase();
        head.split_once("x-frp-reqid: ").unwrap().1[..16].to_owned()
    };
    assert_eq!(id(&first[0]), id(&second[0]), "it is one operation");
    let pong = answered(&mut client, wire::PING, &json!({}), wire::PONG).await;
    assert_eq!(error(&pong), "not this one");
}

/// As users do who limit others: what a client does not know, the server does.
#[tokio::test]
async fn a_proxy_and_a_login_can_be_changed() {
    let rig = Rig::new();
    let plugin = PluginServer::start(|q| match q.op() {
        "Login" => q.with("user", "renamed"),
        _ => q.with("proxy_name", "other"),
    })
    .await;
    let text = PLAIN.to_owned() + &plugin.config("p", "Login NewProxy CloseProxy", "");
    let frps = rig.frps(&text).await;
    let mut client = logged_in(frps.port).await;
    let answer = client.register(&tcp("mine")).await;
    assert_eq!(
        (error(&answer), &answer["proxy_name"]),
        ("", &json!("other"))
    );
    client.close_proxy("mine").await;
    let closed = plugin.until_asked("CloseProxy", 1).await;
    assert_eq!(closed[0].content()["proxy_name"], "other");
    assert_eq!(closed[0].content()["user"]["user"], "renamed");
    assert_eq!(closed[0].content()["user"]["metas"], Value::Null);
}

#[tokio::test]
async fn whoever_is_refused_is_told_the_reason_of_the_plugin() {
    let rig = Rig::new();
    let plugin = PluginServer::agreeing().await;
    let text = PLAIN.to_owned() + &plugin.config("guard", ALL, "");
    let frps = rig.frps(&text).await;
    let mut client = logged_in(frps.port).await;
    let answer = client.register(&tcp("open")).await;
    let open = answer["remote_addr"].as_str().unwrap()[1..]
        .parse()
        .unwrap();
    let run_id = plugin.asked_about("NewProxy")[0].content()["user"]["run_id"].clone();
    let long = "r".repeat(60_000);
    for (said, expected) in [
        ("no, \u{1b}[31m sorry", "no, \u{1b}[31m sorry".to_owned()),
        // frp's client takes no text for success.
        ("", "rejected by a plugin of the server".to_owned()),
        (&long, format!("{}…", "r".repeat(512))),
    ] {
        let reason = said.to_owned();
        plugin.script(move |_| Says::no(&reason));
        let (_, answer) = login(frps.port, &json!({})).await;
        assert_eq!(error(&answer), expected);
        assert_eq!(error(&client.register(&tcp("p")).await), expected);
        let pong = answered(&mut client, wire::PING, &json!({}), wire::PONG).await;
        assert_eq!(error(&pong), expected);
        let conn = json!({"run_id": run_id});
        let (kind, start) = first(frps.port, wire::NEW_WORK_CONN, &conn).await.unwrap();
        assert_eq!((kind, error(&start)), (wire::START_WORK_CONN, &*expected));
        let mut user = connect(open).await;
        assert!(read_all(&mut user).await.is_empty());
    }
    frps.program
        .expect("new proxy [p] type [tcp] error: no, \\u{1b}[31m sorry (http plugin [guard])")
        .await;
    // What could not be refused has not been: the session is there.
    plugin.script(|_| Says::yes());
    assert_eq!(error(&client.register(&tcp("q")).await), "");
}

#[tokio::test]
async fn details_stay_in_the_log_where_they_are_not_for_clients() {
    let rig = Rig::new();
    let plugin = PluginServer::start(|_| Says::no("the database says so")).await;
    let text = plugin.config("guard", "Login", "");
    let text = format!("detailedErrorsToClient = false\n{PLAIN}{text}");
    let frps = rig.frps(&text).await;
    let (_, answer) = login(frps.port, &json!({})).await;
    assert_eq!(error(&answer), "register control error");
    frps.program
        .expect("register control error: the database says so (http plugin [guard])")
        .await;
}

/// Names, ports and limits are those of the server, whoever asks for them.
#[tokio::test]
async fn what_a_plugin_changes_is_checked_like_what_a_client_sends() {
    let rig = Rig::new();
    let allowed = free_port();
    let plugin = PluginServer::agreeing().await;
    let text = format!(
        "maxPortsPerClient = 1\nallowPorts = [{{ single = {allowed} }}]\n{PLAIN}{}",
        plugin.config("p", "Login NewProxy", "")
    );
    let frps = rig.frps(&text).await;
    let mut client = logged_in(frps.port).await;
    let stcp = json!({"proxy_name": "s", "proxy_type": "stcp", "sk": "x"});
    let too_long = "n".repeat(1025);
    let domains: Vec<String> = (0..10_001).map(|n| format!("d{n}")).collect();
    let cases = [
        (
            "proxy_name",
            json!(too_long),
            "proxy name is longer than 1024 bytes",
        ),
        (
            "proxy_type",
            json!("no such"),
            "proxy type [no such] is not supported",
        ),
        ("remote_port", json!(65_536), "port not allowed"),
        ("remote_port", json!(allowed ^ 1), "port not allowed"),
        (
            "custom_domains",
            json!(domains),
            "too many routes: 10001 domains",
        ),
    ];
    for (key, value, expected) in cases {
        let kind = if key == "custom_domains" {
            "http"
        } else {
            "tcp"
        };
        plugin.script(move |q| q.with(key, value.clone()));
        let asked = json!({"proxy_name": "p", "proxy_type": kind});
        let answer = client.register(&asked).await;
        assert!(error(&answer).starts_with(expected), "{key}: {answer}");
    }
    // What was refused holds nothing.
    plugin.script(|_| Says::yes());
    assert_eq!(error(&client.register(&tcp("one")).await), "");
    // A proxy without a port that becomes one with a port.
    plugin.script(|q| q.with("proxy_type", "tcp"));
    let answer = client.register(&stcp).await;
    assert_eq!(error(&answer), "exceed the max_ports_per_client");
    // And the other way round it takes none.
    plugin.script(|q| q.with("proxy_type", "stcp"));
    client.close_proxy("one").await;
    for name in ["s1", "s2"] {
        assert_eq!(error(&client.register(&tcp(name)).await), "");
    }
    // A plugin of frp knows no guards, and leaves them out.
    plugin.script(|q| {
        let mut content = q.content().clone();
        let fields = content.as_object_mut().unwrap();
        assert!(fields.remove("guard_allow_ips").is_some());
        Says::changed(content)
    });
    let asked = json!({
        "proxy_name": "guarded", "proxy_type": "tcp", "remote_port": allowed, "guard_allow_ips": ["203.0.113.1"],
    });
    assert_eq!(error(&client.register(&asked).await), "");
    let mut user = connect(allowed).await;
    frps.program
        .expect("guard: refused 127.0.0.1 cause=not-allowed")
        .await;
    until_closed(&mut user, wait::SOON, "a user that is not allowed").await;
    client.close_proxy("guarded").await;
    let longer = too_long.clone();
    plugin.script(move |q| q.with("user", longer.clone()));
    let (_, answer) = login(frps.port, &json!({})).await;
    assert_eq!(error(&answer), "user is longer than 1024 bytes");
    // The credentials are checked after it.
    plugin.script(|q| q.with("privilege_key", "wrong"));
    let (_, answer) = login(frps.port, &json!({})).await;
    assert_eq!(
        error(&answer),
        "token in login doesn't match token from configuration"
    );
}

#[tokio::test]
async fn a_plugin_that_does_not_answer_as_it_should_is_a_refusal_with_its_cause_in_one_line() {
    let rig = Rig::new();
    let plugin = PluginServer::agreeing().await;
    let text = PLAIN.to_owned() + &plugin.config("odd", "Login NewProxy NewUserConn", "");
    let frps = rig.frps(&text).await;
    let mut client = logged_in(frps.port).await;
    let cases = [
        (
            Says::Status(500, "oops".to_owned()),
            "do http request error code: 500",
        ),
        (
            Says::Status(302, String::new()),
            "do http request error code: 302",
        ),
        (
            Says::Status(200, "<html>".to_owned()),
            "its answer is none: ",
        ),
        (Says::Status(200, String::new()), "its answer is none: "),
        (
            Says::Status(200, "[true]".to_owned()),
            "its answer is none: ",
        ),
        (
            Says::Json(json!({"unchange": "true"})),
            "its answer is none: ",
        ),
        (
            Says::changed(json!({"remote_port": "7"})),
            "its answer is none: ",
        ),
        (Says::changed(json!([])), "its answer is none: "),
        (
            Says::Json(json!({})),
            "it changes the content and sends none",
        ),
        (
            Says::changed(Value::Null),
            "it changes the content and sends none",
        ),
        (
            Says::Bytes(8 << 20),
            "the answer has more than 262144 bytes",
        ),
        (Says::Closes, "connection closed before message completed"),
    ];
    for (says, cause) in cases {
        let shown = format!("{says:?}");
        plugin.script(move |_| says.clone());
        let mark = frps.program.log().mark();
        let answer = client.register(&tcp("p")).await;
        assert_eq!(
            error(&answer),
            "send NewProxy request to plugin error",
            "{shown}"
        );
        let line = "error: send NewProxy request to plugin [odd] error: ";
        let line = frps
            .program
            .expect_from(mark, line, Duration::from_secs(20))
            .await;
        assert!(line.contains(cause), "{shown}: {line}");
        let lines = frps.program.log().lines();
        let about = lines[mark..].iter().filter(|line| line.contains("plugin"));
        assert_eq!(about.count(), 1, "{shown}");
    }
    // The others go on.
    plugin.script(|_| Says::yes());
    assert_eq!(error(&client.register(&tcp("p")).await), "");
}

#[tokio::test]
async fn a_plugin_that_is_not_there_refuses() {
    let rig = Rig::new();
    let text = PLAIN.to_owned() + &config("gone", &format!("127.0.0.1:{}", free_port()), ALL, "");
    let frps = rig.frps(&text).await;
    let (_, answer) = login(frps.port, &json!({})).await;
    assert_eq!(error(&answer), "send Login request to plugin error");
    let line = "register control error: send Login request to plugin [gone] error: Post \"http://";
    let line = frps.program.expect(line).await;
    assert!(line.to_lowercase().contains("connection refused"), "{line}");
}

#[tokio::test]
async fn a_plugin_that_hangs_holds_up_nobody_else() {
    let rig = Rig::new();
    let plugin = PluginServer::start(|q| {
        let about = q.content();
        let hangs = about["proxy_name"] == "slow" || about["hostname"] == "slow";
        match hangs || q.op() == "CloseProxy" {
            true => Says::Hangs,
            false => Says::yes(),
        }
    })
    .await;
    let text = PLAIN.to_owned() + &plugin.config("p", ALL, "");
    let frps = rig.frps(&text).await;
    let begun = Instant::now();
    let mut client = logged_in(frps.port).await;
    let slow = tokio::spawn({
        let port = frps.port;
        async move { login(port, &json!({"hostname": "slow"})).await.1 }
    });
    client.send(wire::NEW_PROXY, &tcp("slow")).await;
    plugin.until_asked("NewProxy", 1).await;
    // Neither its own pings and proxies, nor their ends, nor others.
    let fast = async {
        for _ in 0..3 {
            let pong = answered(&mut client, wire::PING, &json!({}), wire::PONG).await;
            assert_eq!(error(&pong), "");
            assert_eq!(error(&client.register(&tcp("a")).await), "");
            client.close_proxy("a").await;
        }
        let mut other = logged_in(frps.port).await;
        assert_eq!(error(&other.register(&tcp("b")).await), "");
    };
    timeout(Duration::from_secs(5), fast)
        .await
        .expect("nobody waits");
    plugin.until_asked("CloseProxy", 3).await;
    // Those that it is about are told within the patience of a client.
    let answer = timeout(Duration::from_secs(20), slow).await.unwrap();
    let text = "send Login request to plugin error";
    assert_eq!(error(&answer.unwrap()), text);
    let (_, answer) = client.recv().await.unwrap();
    assert_eq!(error(&answer), "send NewProxy request to plugin error");
    assert!(begun.elapsed() >= Duration::from_secs(7), "it had its time");
    frps.program
        .expect("send CloseProxy request to plugin [p] error: ")
        .await;
}

/// They are decided about in their order, a few at a time, and end with the plugin's time.
#[tokio::test]
async fn pings_that_a_plugin_is_asked_about_keep_their_order() {
    let rig = Rig::new();
    let plugin = PluginServer::start(|q| match q.content()["timestamp"].as_i64() {
        Some(1) => Says::Hangs,
        n => Says::no(&format!("{n:?}")),
    })
    .await;
    let text = PLAIN.to_owned() + &plugin.config("p", "Ping", "");
    let frps = rig.frps(&text).await;
    let mut client = logged_in(frps.port).await;
    for n in 1..=20 {
        client.send(wire::PING, &json!({"timestamp": n})).await;
    }
    let mut pongs = Vec::new();
    while pongs.len() < 20 {
        let (kind, pong) = client.recv().await.unwrap();
        if kind == wire::PONG {
            pongs.push(error(&pong).to_owned());
        }
        if pongs.is_empty() {
            assert!(plugin.asked().len() <= 4);
        }
    }
    assert_eq!(pongs[0], "send Ping request to plugin error");
    let others: Vec<String> = (2..=20).map(|n| format!("{:?}", Some(n))).collect();
    assert_eq!(pongs[1..], others);
}

#[tokio::test]
async fn connections_to_a_plugin_are_kept() {
    let rig = Rig::new();
    let plugin = PluginServer::agreeing().await;
    let text = PLAIN.to_owned() + &plugin.config("p", "Login NewProxy", "");
    let frps = rig.frps(&text).await;
    let mut client = logged_in(frps.port).await;
    for n in 0..20 {
        let answer = client.register(&tcp(&format!("p{n}"))).await;
        assert_eq!(error(&answer), "");
    }
    let asked = plugin.asked();
    assert_eq!(asked.len(), 21);
    assert!(asked.iter().all(|question| question.connection == 1));
    // One that answers and goes is asked on another.
    plugin.script(|_| Says::Last);
    for n in 20..25 {
        let answer = client.register(&tcp(&format!("p{n}"))).await;
        assert_eq!(error(&answer), "");
        plugin.until_closed().await;
    }
    assert!(plugin.asked().last().unwrap().connection > 2);
}

#[tokio::test]
async fn a_certificate_is_verified_where_that_is_wanted() {
    let rig = Rig::new();
    let (known, other) = (
        Authority::new(rig.path(), "known"),
        Authority::new(rig.path(), "other"),
    );
    let good = known.issue(rig.path(), "good", &["127.0.0.1"]);
    let named = known.issue(rig.path(), "named", &["elsewhere.test"]);
    let strange = other.issue(rig.path(), "strange", &["127.0.0.1"]);
    let known = known.file.to_str().unwrap().to_owned();
    for (identity, lines, passes) in [
        (&good, "tlsVerify = true\n", true),
        (&strange, "tlsVerify = true\n", false),
        (&named, "tlsVerify = true\n", false),
        (&strange, "", true),
        (&strange, "tlsVerify = false\n", true),
    ] {
        let plugin = PluginServer::start_tls(identity).await;
        let addr = format!("https://127.0.0.1:{}", plugin.port);
        let port = free_port();
        let text = format!(
            "bindAddr = \"127.0.0.1\"\nbindPort = {port}\n{PLAIN}{}",
            config("p", &addr, "Login", lines)
        );
        let environment = [("SSL_CERT_FILE", &*known)];
        let frps = rig.start_with(&Side::Ours, "frps", &text, &environment);
        frps.expect("frps started successfully").await;
        let warned = frps.log().count("is not verified") > 0;
        assert_eq!(warned, lines.is_empty(), "whoever has not decided is told");
        let (_, answer) = login(port, &json!({})).await;
        if passes {
            assert_eq!(error(&answer), "", "{lines}");
            assert_eq!(plugin.asked().len(), 1);
        } else {
            assert_eq!(
                error(&answer),
                "send Login request to plugin error",
                "{lines}"
            );
            assert!(plugin.asked().is_empty(), "nothing is said to a stranger");
            frps.expect("tls: ").await;
        }
    }
}

/// Those of udp and http have no connection that frp asks about.
#[tokio::test]
async fn users_are_asked_about_as_frp_asks() {
    let mut sides = vec![Side::Ours];
    sides.extend(Side::reference("0.70.1"));
    for side in sides {
        let rig = Rig::new();
        let plugin = PluginServer::agreeing().await;
        let (vhost, mux, https) = (free_port(), free_port(), free_port());
        let text = format!(
            "vhostHTTPPort = {vhost}\nvhostHTTPSPort = {https}\ntcpmuxHTTPConnectPort = {mux}\n{}",
            plugin.config("p", "NewUserConn", "")
        );
        let frps = rig.frps_of(&side, &text).await;
        let (echo, datagrams) = (Service::echo().await, UdpService::echo().await);
        let (tcp, udp, bind) = (free_port(), free_port(), free_port());
        let host = "customDomains = [\"a.test\"]\n";
        let text = tcp_proxy("tcp", echo.port, tcp, "")
            + &udp_proxy("udp", datagrams.port, udp, "")
            + &host_proxy("http", "http", echo.port, host)
            + &host_proxy("https", "https", echo.port, host)
            + &host_proxy(
                "tcpmux",
                "tcpmux",
                echo.port,
                &format!("multiplexer = \"httpconnect\"\n{host}"),
            )
            + &stcp_proxy("stcp", echo.port, "")
            + &stcp_visitor("visitor", "stcp", bind, "");
        let frpc = rig.frpc(frps.port, &text);
        for name in ["tcp", "udp", "http", "https", "tcpmux", "stcp"] {
            frpc.expect(&format!("[{name}] start proxy success")).await;
        }
        frpc.expect("start visitor success").await;
        UdpUser::of(udp).await.echo(b"datagram").await;
        let _ = send(vhost, "GET", "/", "Host: a.test\r\n", "").await;
        assert!(plugin.asked().is_empty(), "{side:?}: {:?}", plugin.asked());
        until_echoes(tcp, Duration::from_secs(20)).await;
        until_echoes(bind, Duration::from_secs(20)).await;
        let mut tunnel = connect(mux).await;
        let request = b"CONNECT a.test:80 HTTP/1.1\r\nHost: a.test\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut tunnel, request)
            .await
            .unwrap();
        let hello = tls::handshake_for(
            connect(https).await,
            "a.test",
            tls::client(rustls::ALL_VERSIONS),
        );
        drop(timeout(Duration::from_secs(1), hello).await);
        let what = format!("{side:?}: users of four types are asked about");
        eventually(&what, || async {
            let asked = plugin.asked();
            let types = asked.iter().map(|q| q.content()["proxy_type"].clone());
            let types: BTreeSet<String> = types
                .map(|kind| kind.as_str().unwrap().to_owned())
                .collect();
            types
                .into_iter()
                .eq(["https", "stcp", "tcp", "tcpmux"].map(str::to_owned))
        })
        .await;
    }
}

#[tokio::test]
async fn an_end_is_told_once_and_only_of_what_was_there() {
    let rig = Rig::new();
    let plugin = PluginServer::agreeing().await;
    let text = PLAIN.to_owned() + &plugin.config("p", "NewProxy CloseProxy", "");
    let frps = rig.frps(&text).await;
    let mut client = logged_in(frps.port).await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut failing = tcp("failing");
    failing["remote_port"] = json!(taken.local_addr().unwrap().port());
    assert_ne!(error(&client.register(&failing).await), "");
    assert_eq!(error(&client.register(&tcp("closed")).await), "");
    client.close_proxy("closed").await;
    plugin.until_asked("CloseProxy", 1).await;
    assert_eq!(error(&client.register(&tcp("left")).await), "");
    drop(client);
    let asked = plugin.until_asked("CloseProxy", 2).await;
    let names: Vec<&Value> = asked.iter().map(|q| &q.content()["proxy_name"]).collect();
    assert_eq!(names, ["closed", "left"]);
}

#[tokio::test]
async fn frps_client_is_told_what_a_plugin_says() {
    let Some(go) = Side::reference("0.70.1") else {
        return;
    };
    let rig = Rig::new();
    let plugin = PluginServer::start(|q| match q.content()["metas"]["token"] == "123" {
        true => Says::yes(),
        false => Says::no("invalid token"),
    })
    .await;
    let frps = rig.frps(&plugin.config("users", "Login", "")).await;
    let echo = Service::echo().await;
    let port = free_port();
    let proxy = tcp_proxy("p", echo.port, port, "");
    let frpc = rig.frpc_of(
        &go,
        frps.port,
        &format!("metadatas.token = \"123\"\n{proxy}"),
    );
    frpc.expect("[p] start proxy success").await;
    until_echoes(port, Duration::from_secs(20)).await;
    let refused = rig.frpc_of(&go, frps.port, &format!("metadatas.token = \"4\"\n{proxy}"));
    refused.expect("invalid token").await;
}

/// Whoever is there stays, and is asked about by the plugins that there are now.
#[tokio::test]
async fn plugins_may_change_while_frps_runs() {
    let rig = Rig::new();
    let (old, new) = (
        PluginServer::agreeing().await,
        PluginServer::agreeing().await,
    );
    let port = free_port();
    let text = |plugin: &PluginServer, ops: &str| {
        let plugin = plugin.config("p", ops, "");
        format!("bindAddr = \"127.0.0.1\"\nbindPort = {port}\n{PLAIN}{plugin}")
    };
    let file = rig.config("frps", &text(&old, "NewProxy"));
    let args = ["-c".into(), file.clone().into_os_string()];
    let frps = rig.run::<std::ffi::OsString>(&Side::Ours, "frps", args);
    frps.expect("frps started successfully").await;
    let mut client = logged_in(port).await;
    assert_eq!(error(&client.register(&tcp("a")).await), "");
    std::fs::write(&file, text(&new, "Login NewProxy CloseProxy")).unwrap();
    frps.signal("HUP").await;
    eventually("the new plugin is asked", || async {
        login(port, &json!({})).await;
        !new.asked().is_empty()
    })
    .await;
    assert_eq!(error(&client.register(&tcp("b")).await), "");
    assert_eq!(new.asked_about("NewProxy").len(), 1);
    client.close_proxy("a").await;
    new.until_asked("CloseProxy", 1).await;
    assert_eq!(old.asked().len(), 1);
}
