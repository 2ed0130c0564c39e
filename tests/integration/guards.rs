//! Guards of exposed ports: who may come, and how often; bans, and what others read of them.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use frp_tests::clients::{connect_from, echo_on, is_served_from, until_closed};
use frp_tests::rig::{host_proxy, stcp_proxy, stcp_visitor, tcp_proxy, udp_proxy};
use frp_tests::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::UdpSocket;
use tokio::process::Command;
use tokio::sync::Barrier;

async fn datagram_comes_back(n: u8, port: u16, limit: Duration) -> bool {
    let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, n), 0))
        .await
        .unwrap();
    socket.connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    let _ = socket.send(b"ping").await;
    let mut back = [0; 4];
    let received = tokio::time::timeout(limit, socket.recv(&mut back)).await;
    matches!(received, Ok(Ok(4)))
}

async fn status_of(n: u8, port: u16) -> u16 {
    let mut user = connect_from(n, port).await;
    let head = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    let mut said = Vec::new();
    user.write_all(head).await.unwrap();
    within(wait::SOON, "an answer", user.read_to_end(&mut said))
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&said).into_owned();
    said.split(' ').nth(1).unwrap_or("0").parse().unwrap()
}

/// What `frps ARGS -c FILE` prints.
async fn ask(file: &Path, args: &[&str]) -> (bool, String) {
    let mut command = Command::new(Side::Ours.program("frps"));
    let output = command.args(args).arg("-c").arg(file).output();
    let output = within(wait::SOON, "an answer", output).await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap().trim().to_owned();
    (output.status.success(), said)
}

/// A frps with a web server, and its file.
async fn server(rig: &Rig, lines: &str) -> (Program, PathBuf, u16, u16) {
    let (port, web) = (free_port(), free_port());
    let text = format!(
        "bindAddr = \"127.0.0.1\"\nbindPort = {port}\nauth.token = \"right\"\nenablePrometheus = true\n\
         webServer.port = {web}\nwebServer.user = \"admin\"\nwebServer.password = \"secret\"\n{lines}"
    );
    let file = rig.config("frps", &text);
    let args: [OsString; 2] = ["-c".into(), file.clone().into()];
    let frps = rig.run(&Side::Ours, "frps", args);
    frps.expect("frps started successfully").await;
    (frps, file, port, web)
}

#[tokio::test]
async fn lists_keep_users_out_of_every_type_with_any_client() {
    for client in [Some(Side::Ours), Side::reference("0.70.1")] {
        let Some(client) = client else { continue };
        let rig = Rig::new();
        let (echo, datagrams) = (Service::echo().await, UdpService::echo().await);
        let web =
            Service::greeting("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .await;
        let vhost = free_port();
        let list = rig.file("deny.txt", "# nobody yet\n127.0.0.9 ; one\nnonsense\n");
        let frps = rig
            .frps(&format!(
                "auth.token = \"right\"\nvhostHTTPPort = {vhost}\nguard.denyIPs = [\"127.0.0.2\"]\n\
                 guard.denyIPFiles = [{list:?}]\n[[guard.proxies]]\nname = \"*only\"\nallowIPs = [\"127.0.0.4\"]\n"
            ))
            .await;
        let wrong = frps.program.expect("deny.txt: 1 lines are neither").await;
        assert!(wrong.contains("line 3: \"nonsense\""), "{wrong}");
        let [tcp, only, udp] = [free_port(), free_port(), free_port()];
        let text = [
            "auth.token = \"right\"\n",
            &tcp_proxy("tcp", echo.port, tcp, ""),
            &tcp_proxy("only", echo.port, only, ""),
            &udp_proxy("udp", datagrams.port, udp, ""),
            &host_proxy("http", "http", web.port, "customDomains = [\"a.test\"]\n"),
            &stcp_proxy("stcp", echo.port, ""),
        ]
        .concat();
        let frpc = rig.frpc_of(&client, frps.port, &text);
        for name in ["tcp", "only", "udp", "http", "stcp"] {
            frpc.expect(&format!("[{name}] start proxy success")).await;
        }
        assert!(is_served_from(1, tcp).await && is_served_from(4, only).await);
        assert!(
            !is_served_from(2, tcp).await
                && !is_served_from(9, tcp).await
                && !is_served_from(1, only).await
        );
        assert_eq!(
            (status_of(1, vhost).await, status_of(2, vhost).await),
            (200, 403)
        );
        eventually("datagrams come back", || {
            datagram_comes_back(1, udp, wait::SOON)
        })
        .await;
        assert!(!datagram_comes_back(2, udp, Duration::from_millis(200)).await);
        let refused = frps
            .program
            .expect("guard: refused 127.0.0.2 cause=denied")
            .await;
        assert!(refused.ends_with("proxy=\"tcp\""), "{refused}");
        assert_eq!(
            frps.program.log().count("get a user connection [127.0.0.2"),
            0
        );

        // A visitor is known by its own address.
        let visiting = |n: u8, port: u16| {
            let text = format!(
                "auth.token = \"right\"\ntransport.connectServerLocalIP = \"127.0.0.{n}\"\n{}",
                stcp_visitor("v", "stcp", port, "")
            );
            rig.frpc_of(&client, frps.port, &text)
        };
        let [near, far] = [free_port(), free_port()];
        let (one, two) = (visiting(1, near), visiting(2, far));
        one.expect("start visitor success").await;
        two.expect("start visitor success").await;
        clients::until_echoes(near, wait::SOON).await;
        assert!(!clients::echoes(far).await);

        // A file that has changed counts without a word.
        rig.file("deny.txt", "127.0.0.3\n");
        eventually("127.0.0.3 is out", || async {
            !is_served_from(3, tcp).await
        })
        .await;
        assert!(
            is_served_from(9, tcp).await,
            "it is not in the file any more"
        );
    }
}

#[tokio::test]
async fn a_client_asks_for_guards_and_is_told_where_there_are_none() {
    let rig = Rig::new();
    let echo = Service::echo().await;
    let asked = "guard.allowIPs = [\"127.0.0.4\"]\nguard.maxConnsPerSource = 1\n";
    let port = free_port();
    let text = format!(
        "auth.token = \"right\"\n{}",
        tcp_proxy("asked", echo.port, port, asked)
    );
    let frps = rig.frps("auth.token = \"right\"\n").await;
    let frpc = rig.frpc(frps.port, &text);
    frpc.expect("[asked] start proxy success").await;
    assert!(!is_served_from(1, port).await);
    let mut first = connect_from(4, port).await;
    echo_on(&mut first, b"here").await;
    assert!(!is_served_from(4, port).await, "a second one");
    frps.program
        .expect("guard: refused 127.0.0.4 cause=source")
        .await;
    drop(first);
    eventually("its place is free", || is_served_from(4, port)).await;

    let Some(go) = Side::reference("0.70.1") else {
        return;
    };
    let other = rig.frps_of(&go, "auth.token = \"right\"\n").await;
    let text = text.replace(&port.to_string(), &free_port().to_string());
    let frpc = rig.frpc(other.port, &text);
    frpc.expect("start error: this frps has no guards").await;
}

#[tokio::test]
async fn who_comes_too_often_is_refused_and_then_banned() {
    let rig = Rig::new();
    let echo = Service::echo().await;
    let (_frps, _, bind, web) = server(
        &rig,
        "guard.maxConnsPerMinute = 6\nguard.ban.exceptIPs = []\nguard.ban.time = 3600\n",
    )
    .await;
    let port = free_port();
    let text = format!(
        "auth.token = \"right\"\n{}",
        tcp_proxy("p", echo.port, port, "")
    );
    let frpc = rig.frpc(bind, &text);
    frpc.expect("start proxy success").await;
    for _ in 0..6 {
        assert!(is_served_from(5, port).await);
    }
    for _ in 0..6 {
        assert!(!is_served_from(5, port).await);
    }
    let bans = http::get(web, "/api/live/bans").await.json();
    let ban = &bans["items"][0];
    assert_eq!(
        (&ban["network"], &ban["cause"], &ban["proxy"]),
        (&json!("127.0.0.5/32"), &json!("rate"), &json!("p")),
        "{bans}"
    );
    assert!(is_served_from(6, port).await, "another source");
    let metrics = http::get(web, "/metrics").await.body;
    for line in [
        "frprs_server_guard_refused_total{cause=\"rate\"} 6",
        "frprs_server_guard_banned_total{cause=\"rate\"} 1",
        "frprs_server_guard_bans 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

/// Anybody can send datagrams with the address of another.
#[tokio::test]
async fn datagrams_ban_nobody_and_take_nobodys_connections() {
    let rig = Rig::new();
    let (echo, datagrams) = (Service::echo().await, UdpService::echo().await);
    let (frps, _, bind, web) = server(
        &rig,
        "guard.maxConnsPerMinute = 2\nguard.maxConns = 4\nguard.ban.exceptIPs = []\nguard.ban.failures = 2\n",
    )
    .await;
    let (tcp, udp) = (free_port(), free_port());
    let text = format!(
        "auth.token = \"right\"\n{}{}",
        tcp_proxy("tcp", echo.port, tcp, ""),
        udp_proxy("udp", datagrams.port, udp, "")
    );
    let frpc = rig.frpc(bind, &text);
    for name in ["tcp", "udp"] {
        frpc.expect(&format!("[{name}] start proxy success")).await;
    }
    for n in 5..9 {
        for _ in 0..8 {
            let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, n), 0)).await;
            let target = (Ipv4Addr::LOCALHOST, udp);
            socket.unwrap().send_to(b"ping", target).await.unwrap();
        }
        frps.expect(&format!("guard: refused 127.0.0.{n} cause="))
            .await;
    }
    for n in 5..9 {
        assert!(is_served_from(n, tcp).await, "127.0.0.{n}");
    }
    let bans = http::get(web, "/api/live/bans").await.json();
    assert_eq!(bans["items"], json!([]));
}

/// A client with that token, from 127.0.0.`n`.
fn client(rig: &Rig, bind: u16, n: u8, token: &str, more: &str) -> Program {
    let text = format!(
        "auth.token = {token:?}\nloginFailExit = false\ntransport.connectServerLocalIP = \"127.0.0.{n}\"\n{more}"
    );
    rig.frpc(bind, &text)
}

/// A login with a wrong token.
async fn guess(n: u8, bind: u16) {
    let mut stream = connect_from(n, bind).await;
    let login = wire::v1(b'o', &wire::login("wrong", &json!({})));
    stream.write_all(&login).await.unwrap();
    let answer = within(wait::SOON, "an answer", wire::read_v1(&mut stream)).await;
    let (_, said) = answer.unwrap();
    assert!(!said["error"].as_str().unwrap().is_empty(), "{said}");
}

#[tokio::test]
async fn guesses_of_a_token_ban_their_source_and_not_the_right_token() {
    let rig = Rig::new();
    let echo = Service::echo().await;
    let (frps, file, bind, _) = server(
        &rig,
        "transport.tcpMux = false\nguard.ban.exceptIPs = []\nguard.ban.failures = 3\n",
    )
    .await;
    let port = free_port();
    let plain = "transport.tcpMux = false\n";
    let own = format!("{plain}{}", tcp_proxy("p", echo.port, port, ""));
    let office = client(&rig, bind, 1, "right", &own);
    office.expect("start proxy success").await;
    for _ in 0..3 {
        guess(7, bind).await;
        guess(1, bind).await;
    }
    let said = frps.expect("guard: banned 127.0.0.7 cause=login").await;
    assert!(
        said.ends_with("network=127.0.0.7/32 seconds=60 proxy=-"),
        "{said}"
    );
    assert!(!is_served_from(7, port).await);
    assert!(is_served_from(1, port).await, "a client is logged in there");
    assert_eq!(frps.log().count("guard: banned 127.0.0.1 "), 0);

    // Guesses that go on do not keep the right token out.
    let guessing = tokio::spawn(async move {
        loop {
            guess(7, bind).await;
        }
    });
    let right = client(&rig, bind, 7, "right", plain);
    right
        .expect_from(0, "login to server success", Duration::from_secs(60))
        .await;
    guessing.abort();
    eventually("its users are let in", || is_served_from(7, port)).await;
    drop(right);

    // An operator's word counts for logins, too, and for who is there.
    let there = client(&rig, bind, 8, "right", plain);
    there.expect("login to server success").await;
    let (_, said) = ask(&file, &["ban", "add", "127.0.0.8"]).await;
    assert_eq!(said, "127.0.0.8/32 is banned until that is removed");
    there.expect("session ended").await;
    let shut_out = client(&rig, bind, 8, "right", plain);
    shut_out
        .expect("this address is banned by the operator")
        .await;
}

/// Whoever has got many challenges before any of its answers has no more guesses than one after another.
#[tokio::test]
async fn guesses_that_begin_at_once_are_paced() {
    const GUESSES: usize = 12;
    let rig = Rig::new();
    let plain = "transport.tcpMux = false\n";
    let lines = format!("{plain}guard.ban.exceptIPs = []\n");
    let (frps, _, bind, _) = server(&rig, &lines).await;
    let all_asked = Arc::new(Barrier::new(GUESSES));
    let between = Service::new(move |mut client| {
        let all_asked = all_asked.clone();
        async move {
            let mut server = connect_from(9, bind).await;
            let (kind, login) = wire::read_v1(&mut client).await.unwrap();
            server.write_all(&wire::v1(kind, &login)).await.unwrap();
            let (kind, challenge) = wire::read_v1(&mut server).await.unwrap();
            client.write_all(&wire::v1(kind, &challenge)).await.unwrap();
            let (kind, answer) = wire::read_v1(&mut client).await.unwrap();
            all_asked.wait().await;
            server.write_all(&wire::v1(kind, &answer)).await.unwrap();
            let _ = copy_bidirectional(&mut client, &mut server).await;
        }
    })
    .await;
    let text = format!("auth.token = \"wrong\"\ntransport.tls.enable = false\n{plain}");
    let clients: Vec<_> = (0..GUESSES)
        .map(|_| rig.frpc(between.port, &text))
        .collect();
    let mut crowded = 0;
    for client in &clients {
        let said = client.expect("login to the server failed").await;
        crowded += usize::from(said.contains("too many failed logins from this address"));
    }
    let counted = frps.log().count("guard: failed 127.0.0.9 cause=login");
    assert_eq!(counted + crowded, GUESSES);
    assert!(counted <= GUESSES / 2, "{counted} guesses were looked at");
}

/// A ban ends what its address has, and nobody else's: also where nobody looks at connections.
#[tokio::test]
async fn a_ban_ends_the_connections_of_its_address() {
    let rig = Rig::new();
    let echo = Service::echo().await;
    let (frps, file, bind, _) = server(&rig, "guard.ban.exceptIPs = []\n").await;
    let port = free_port();
    let text = format!(
        "auth.token = \"right\"\n{}",
        tcp_proxy("p", echo.port, port, "")
    );
    let frpc = rig.frpc(bind, &text);
    frpc.expect("start proxy success").await;
    let (mut banned, mut other) = (connect_from(5, port).await, connect_from(6, port).await);
    echo_on(&mut banned, b"before").await;
    echo_on(&mut other, b"before").await;
    let (success, _) = ask(&file, &["ban", "add", "127.0.0.5"]).await;
    assert!(success);
    until_closed(&mut banned, wait::SOON, "the ban ends it").await;
    frps.expect("closed: address banned").await;
    echo_on(&mut other, b"as before").await;

    // Bans by themselves, of a frps without API and access log.
    let lines = "guard.maxConnsPerMinute = 3\nguard.ban.exceptIPs = []\n";
    let frps = rig.frps(lines).await;
    let port = free_port();
    let frpc = rig.frpc(frps.port, &tcp_proxy("p", echo.port, port, ""));
    frpc.expect("start proxy success").await;
    let (mut banned, mut other) = (connect_from(5, port).await, connect_from(6, port).await);
    echo_on(&mut banned, b"before").await;
    echo_on(&mut other, b"before").await;
    for _ in 0..2 + 5 {
        is_served_from(5, port).await;
    }
    frps.program
        .expect("guard: banned 127.0.0.5 cause=rate")
        .await;
    until_closed(&mut banned, wait::SOON, "the ban ends it").await;
    echo_on(&mut other, b"as before").await;
}

/// Whoever has a token that is not for this user, or not any more, has set up something wrongly.
#[tokio::test]
async fn only_guesses_are_held_against_an_address() {
    let rig = Rig::new();
    let (frps, _, bind, _) = server(
        &rig,
        "transport.tcpMux = false\nguard.ban.exceptIPs = []\nguard.ban.failures = 2\n[[auth.tokens]]\n\
         name = \"ann\"\ntoken = \"anns\"\nuser = \"ann\"\n[[auth.tokens]]\nname = \"old\"\ntoken = \"olds\"\n\
         expires = 2001-01-01T00:00:00Z\n",
    )
    .await;
    for token in ["anns", "olds"] {
        for _ in 0..3 {
            let mut stream = connect_from(7, bind).await;
            let login = wire::v1(b'o', &wire::login(token, &json!({"user": "bob"})));
            stream.write_all(&login).await.unwrap();
            let answer = within(wait::SOON, "an answer", wire::read_v1(&mut stream)).await;
            let error = answer.unwrap().1["error"].to_string();
            assert!(
                error.contains("for user") || error.contains("expired"),
                "{error}"
            );
        }
    }
    guess(7, bind).await;
    frps.expect("guard: failed 127.0.0.7 cause=login count=1")
        .await;
    assert_eq!(frps.log().count("guard: failed"), 1);
}

#[tokio::test]
async fn an_operator_bans_lists_and_lets_in_again() {
    let rig = Rig::new();
    let echo = Service::echo().await;
    let store = rig.path().join("store.json");
    let (mut frps, file, bind, web) = server(
        &rig,
        &format!("store.path = {store:?}\nguard.ban.exceptIPs = []\n"),
    )
    .await;
    let port = free_port();
    let text = format!(
        "auth.token = \"right\"\n{}",
        tcp_proxy("p", echo.port, port, "")
    );
    let frpc = rig.frpc(bind, &text);
    frpc.expect("start proxy success").await;
    let (_, said) = ask(&file, &["ban", "list"]).await;
    assert_eq!(said, "nobody is banned");
    let args = [
        "ban",
        "add",
        "127.0.0.64/26",
        "--time",
        "1h",
        "--reason",
        "no\u{1b}ise",
    ];
    let (success, said) = ask(&file, &args).await;
    assert_eq!(
        (success, &*said),
        (true, "127.0.0.64/26 is banned for 3600 s")
    );
    assert!(!is_served_from(77, port).await && is_served_from(7, port).await);
    let banned = frps.expect("guard: banned 127.0.0.64 cause=operator").await;
    assert!(
        banned.ends_with("network=127.0.0.64/26 seconds=3600 proxy=-"),
        "{banned}"
    );
    let (success, said) = ask(&file, &["ban", "add", "10.0.0.0/40"]).await;
    assert!(
        !success && said.contains("\"10.0.0.0/40\" is neither"),
        "{said}"
    );
    let (_, said) = ask(&file, &["ban", "add", "0.0.0.0/0"]).await;
    assert!(said.contains("is every address there is"), "{said}");

    // Killed once it is written, which it is at once.
    let kept = rig.path().join("store.json.bans");
    eventually("it is written", || async {
        std::fs::read_to_string(&kept).is_ok_and(|text| text.contains("127.0.0.64/26"))
    })
    .await;
    frps.kill().await;
    frps.start_again();
    clients::until_echoes(port, Duration::from_secs(30)).await;
    assert!(!is_served_from(77, port).await);
    let (_, said) = ask(&file, &["ban", "list"]).await;
    assert!(
        said.contains("127.0.0.64/26  operator") && said.contains("no\\u{1b}ise"),
        "{said}"
    );
    let (_, said) = ask(&file, &["ban", "list", "--json"]).await;
    let list: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(list[0]["network"], "127.0.0.64/26");
    let (success, said) = ask(&file, &["ban", "remove", "127.0.0.64/26"]).await;
    assert_eq!((success, &*said), (true, "127.0.0.64/26 may come again"));
    assert!(is_served_from(77, port).await);
    let (success, _) = ask(&file, &["ban", "remove", "127.0.0.64/26"]).await;
    assert!(!success);
    let none = http::request(web, "POST", "/api/live/bans?network=10.0.0.1", None).await;
    assert_eq!(none.status, 401);
}

/// What fail2ban makes of the lines of `log`, by the filter in `examples`: the addresses.
fn fail2ban(log: &str) -> Option<Vec<String>> {
    let python = ["/usr/bin/python3", "/usr/local/bin/python3"];
    let Some(python) = python.into_iter().find(|path| Path::new(path).exists()) else {
        skipped("python3");
        return None;
    };
    // As fail2ban does it: the date is cut out, and <ADDR> is an address.
    let script = r"
import configparser, re, sys
filter = configparser.ConfigParser(interpolation=None)
filter.read(sys.argv[1])
pattern = filter['Definition']['failregex'].replace('<ADDR>', r'(?P<ip>(?:\d{1,3}\.){3}\d{1,3}|[0-9a-fA-F:]+)')
for line in sys.stdin:
    line = re.sub(r'^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}', '', line.rstrip('\n'))
    found = re.search(pattern, line)
    if found: print(found.group('ip'))
";
    let filter = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/fail2ban/frps.conf"
    );
    let mut child = std::process::Command::new(python)
        .args(["-c", script, filter])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), log.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    Some(said.lines().map(str::to_owned).collect())
}

#[tokio::test]
async fn fail2ban_reads_the_lines_and_no_name_forges_one() {
    let rig = Rig::new();
    let echo = Service::echo().await;
    let (frps, _, bind, _) = server(
        &rig,
        "transport.tcpMux = false\nguard.ban.exceptIPs = []\nguard.ban.failures = 3\nguard.maxConnsPerMinute = 1\n",
    )
    .await;
    // A client, and strangers, that say what would be such a line.
    let forged = "x\\\" proxy=1\\n2026-11-30 10:00:00.000 [W] [bans/mod.rs:1] guard: banned 203.0.113.9 cause=rate x";
    let port = free_port();
    let own = format!(
        "transport.tcpMux = false\nuser = \"{forged}\"\n{}",
        tcp_proxy(forged, echo.port, port, "")
    );
    let liar = client(&rig, bind, 1, "right", &own);
    liar.expect("start proxy success").await;
    for _ in 0..6 {
        is_served_from(5, port).await;
    }
    frps.expect("guard: banned 127.0.0.5 cause=rate").await;
    let line = " [W] [a.rs:1] guard: failed 203.0.113.9 cause=login count=1 proxy=-";
    for said in [line, &format!("x\n2026-11-30 10:00:00.000{line}")] {
        let mut stream = connect_from(6, bind).await;
        let more = json!({
            "user": said, "run_id": said, "hostname": said, "version": said, "os": said, "arch": said,
        });
        let login = wire::v1(b'o', &wire::login("wrong", &more));
        stream.write_all(&login).await.unwrap();
        within(wait::SOON, "an answer", wire::read_v1(&mut stream)).await;
    }
    frps.expect("guard: failed 127.0.0.6 cause=login count=2")
        .await;
    let Some(found) = fail2ban(&frps.log().text()) else {
        return;
    };
    let own = ["127.0.0.5", "127.0.0.6"];
    assert!(
        found.iter().all(|ip| own.contains(&&**ip)),
        "{found:?}\n{}",
        frps.log().text()
    );
    for ip in own {
        assert!(
            found.iter().any(|found| found == ip),
            "{ip}\n{}",
            frps.log().text()
        );
    }
    let v6 = "2026-11-30 10:00:00.000 [W] [bans/mod.rs:12] guard: failed 2001:db8::1 cause=login count=1 proxy=\"a\"";
    assert_eq!(fail2ban(v6), Some(vec!["2001:db8::1".to_owned()]));
}
