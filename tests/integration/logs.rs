//! Log lines as frp writes them: users and their scripts search them.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use frp_tests::rig::tcp_proxy;
use frp_tests::wire::{self, Control};
use frp_tests::*;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

/// `YYYY-MM-DD HH:MM:SS.mmm [L] [dir/file.ext:line] rest`: the level and the rest.
fn parse(line: &str) -> Option<(char, &str)> {
    let (stamp, rest) = line.split_at_checked(23)?;
    let shape: String = stamp
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    if shape != "0000-00-00 00:00:00.000" {
        return None;
    }
    let (level, rest) = rest.strip_prefix(" [")?.split_once("] [")?;
    let (place, rest) = rest.split_once("] ")?;
    let (file, number) = place.rsplit_once(':')?;
    number.parse::<u32>().ok()?;
    (file.contains('/') && file.contains('.')).then_some(())?;
    let mut level = level.chars();
    let letter = level.next().filter(|l| "TDIWE".contains(*l))?;
    level.next().is_none().then_some((letter, rest))
}

#[tokio::test]
async fn lines_have_frps_shape_prefixes_and_texts() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let mut frps = rig.frps("").await;
    let port = free_port();
    let proxy = tcp_proxy("ssh", service.port, port, "");
    let mut frpc = rig.frpc(frps.port, &format!("user = \"ann\"\n{proxy}"));
    frpc.expect("[ssh] start proxy success").await;
    echo(port, b"hello").await;
    frps.program
        .expect("get a user connection [127.0.0.1:")
        .await;
    let line = frpc.expect("login to server success, get run id [").await;
    let run_id = line
        .rsplit('[')
        .next()
        .unwrap()
        .trim_end_matches(']')
        .to_owned();
    frpc.signal("TERM").await;
    frpc.exit_status_within(wait::SOON).await;
    frps.program.expect("client exit success").await;
    frps.program.signal("TERM").await;
    frps.program.exit_status_within(wait::SOON).await;

    for line in [frps.program.log().lines(), frpc.log().lines()].concat() {
        assert!(parse(&line).is_some(), "not of frp's shape: {line}");
    }
    let has = |program: &Program, level: char, text: &str| {
        let lines = program.log().lines();
        let found = lines
            .iter()
            .filter_map(|l| parse(l))
            .any(|(l, t)| l == level && t == text);
        assert!(found, "no [{level}] `{text}` in:\n{}", program.log().text());
    };
    let contains = |program: &Program, text: &str| {
        assert!(
            program.log().count(text) > 0,
            "no `{text}` in:\n{}",
            program.log().text()
        );
    };
    let server = frps.port;
    contains(&frps.program, "frps uses config file: ");
    has(
        &frps.program,
        'I',
        &format!("frps tcp listen on 127.0.0.1:{server}"),
    );
    has(&frps.program, 'I', "frps started successfully");
    contains(&frps.program, "client login info: ip [127.0.0.1:");
    has(
        &frps.program,
        'I',
        &format!("[{run_id}] new proxy [ann.ssh] type [tcp] success"),
    );
    contains(&frps.program, &format!("[{run_id}] [ann.ssh] "));
    has(
        &frps.program,
        'I',
        &format!("[{run_id}] client exit success"),
    );
    contains(&frpc, "start frpc service for config file [");
    has(&frpc, 'I', "try to connect to server...");
    has(
        &frpc,
        'I',
        &format!("[{run_id}] login to server success, get run id [{run_id}]"),
    );
    has(&frpc, 'I', &format!("[{run_id}] [ssh] start proxy success"));
}

/// The lines of frps that users, scripts and frp's own tests search for; a `*` stands for what differs.
const OF_FRPS: &[&str] = &[
    "I frps uses config file: *.toml",
    "I frps tcp listen on 127.0.0.1:*",
    "I frps kcp listen on udp 127.0.0.1:*",
    "I frps quic listen on 127.0.0.1:*",
    "I http service listen on 127.0.0.1:*",
    "I https service listen on 127.0.0.1:*",
    "I tcpmux httpconnect multiplexer listen on 127.0.0.1:*, passthrough: false",
    "I dashboard listen on 127.0.0.1:*",
    "I frps started successfully",
    "I *client login info: ip [127.0.0.1:*] version [*] hostname [*] os [linux] arch [*]",
    "W *register control error: token in login doesn't match token from configuration",
    "I [*] new proxy [ssh] type [tcp] success",
    "W [*] new proxy [taken] type [tcp] error: *",
    "I [*] [ssh] get a user connection [127.0.0.1:*]",
    "I [*] close proxy [checked] success",
    "I [*] client exit success",
];

/// Those of frpc.
const OF_FRPC: &[&str] = &[
    "I start frpc service for config file [*.toml] with aggregated configuration",
    "I try to connect to server...",
    "I [*] login to server success, get run id [*]",
    "I [*] [ssh] start proxy success",
    "W [*] [taken] start error: *",
    "I [*] start visitor success",
    "D [*] send heartbeat to server",
    "I admin server listen on 127.0.0.1:*",
    "I [*] [checked] health check success",
    "I [*] [checked] health check failed",
    "E [*] [dead] connect to local service [127.0.0.1:1] error: *",
    "I frpc service for config file [*.toml] stopped",
];

/// Whether `text` is `pattern`, whatever stands for its `*`.
fn fits(text: &str, pattern: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else {
        return text == pattern;
    };
    let rest = text.strip_prefix(before);
    rest.is_some_and(|rest| {
        let mut starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
        starts.any(|at| fits(&rest[at..], after))
    })
}

async fn expect_lines(program: &Program, wanted: &[&str]) {
    for pattern in wanted {
        eventually(&format!("a line `{pattern}`"), async || {
            let lines = program.log().lines();
            let mut lines = lines.iter().filter_map(|line| parse(line));
            lines.any(|(level, text)| fits(&format!("{level} {text}"), pattern))
        })
        .await;
    }
}

#[tokio::test]
async fn the_lines_that_scripts_search_for_are_frps() {
    for side in [Some(Side::Ours), Side::reference("0.70.1")] {
        let Some(side) = side else { continue };
        let rig = Rig::new();
        let service = Service::echo().await;
        let [kcp, quic, http, https, tcpmux, web, port, dead, admin] =
            [(); 9].map(|()| free_port());
        let frps = rig
            .frps_of(
                &side,
                &format!(
                    "auth.token = \"right\"\nlog.level = \"trace\"\nlog.disablePrintColor = true\n\
                     kcpBindPort = {kcp}\nquicBindPort = {quic}\nproxyBindAddr = \"127.0.0.1\"\n\
                     vhostHTTPPort = {http}\nvhostHTTPSPort = {https}\n\
                     tcpmuxHTTPConnectPort = {tcpmux}\nwebServer.port = {web}\n"
                ),
            )
            .await;
        let mut checked = TcpListener::bind("127.0.0.1:0").await.ok();
        let checked_port = checked.as_ref().unwrap().local_addr().unwrap().port();
        let check = "healthCheck.type = \"tcp\"\nhealthCheck.intervalSeconds = 1\n";
        let mut text = format!(
            "auth.token = \"right\"\nlog.level = \"trace\"\nlog.disablePrintColor = true\n\
             webServer.port = {admin}\ntransport.heartbeatInterval = 1\n\
             transport.heartbeatTimeout = 90\n"
        );
        text += &tcp_proxy("ssh", service.port, port, "");
        text += &tcp_proxy("taken", service.port, frps.port, "");
        text += &tcp_proxy("dead", 1, dead, "");
        text += &tcp_proxy("checked", checked_port, 0, check);
        text += &rig::stcp_visitor("secret", "other", free_port(), "");
        let frpc = rig.frpc_of(&side, frps.port, &text);
        frpc.expect("[ssh] start proxy success").await;
        frpc.expect("[dead] start proxy success").await;
        echo(port, b"hello").await;
        drop(connect(dead).await);
        frpc.expect("[checked] start proxy success").await;
        checked.take();
        frpc.expect("health check failed").await;
        let mut other = rig.frpc_of(&side, frps.port, "auth.token = \"wrong\"\n");
        assert_eq!(other.exit_code().await, Some(1));
        let stopped = http::request(admin, "POST", "/api/stop", None).await;
        assert_eq!(stopped.status, 200);
        expect_lines(&frpc, OF_FRPC).await;
        expect_lines(&frps.program, OF_FRPS).await;
    }
}

#[tokio::test]
async fn a_level_hides_what_is_below_it() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let mut frpc = rig.frpc(
        frps.port,
        "log.level = \"warn\"\nlog.disablePrintColor = true\nauth.token = \"wrong\"\n",
    );
    assert_eq!(frpc.exit_code().await, Some(1));
    let log = frpc.log();
    assert_eq!(log.count("[I]"), 0, "{}", log.text());
    // That nobody looks who the server is, and its answer.
    assert_eq!(log.count("[W]"), 2, "{}", log.text());
}

#[tokio::test]
async fn a_file_is_appended_to_is_private_and_old_ones_go() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let outdated = rig.file("frpc.20200101-000000.log", "old\n");
    let other = rig.file("frpc.notes.log", "mine\n");
    let lines = "log.to = \"./frpc.log\"\nlog.level = \"info\"\nlog.maxDays = 2\n";
    let mut frpc = rig.frpc(frps.port, lines);
    let file = rig.path().join("frpc.log");
    let logins = || async {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        text.matches("login to server success").count()
    };
    eventually("a login in the file", || async { logins().await == 1 }).await;
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    frpc.kill().await;
    frpc.start_again();
    eventually("the next login behind it", || async { logins().await == 2 }).await;

    let text = std::fs::read_to_string(&file).unwrap();
    for line in text.lines() {
        assert!(parse(line).is_some(), "not of frp's shape: {line}");
    }
    assert_eq!(
        frpc.log().count("login to server success"),
        0,
        "the console stays quiet"
    );
    eventually("the outdated file is gone", || async { !outdated.exists() }).await;
    assert!(other.exists());
}

/// How many lines with `text` there are, and how many more the log says that there were.
fn counted(program: &Program, text: &str) -> (usize, usize) {
    let (mut shown, mut left_out) = (0, 0);
    for line in program.log().lines().iter().filter(|l| l.contains(text)) {
        match line.split_once(" more like this") {
            Some((before, _)) => {
                let number = before.rsplit('(').next().unwrap();
                left_out += number.parse::<usize>().unwrap();
            }
            None => shown += 1,
        }
    }
    (shown, left_out)
}

/// More than any burst and the seconds that a test takes, and far less than the floods below.
const BOUND: usize = 150;

#[tokio::test]
async fn failed_logins_are_written_at_once_then_counted() {
    const LOGINS: usize = 1000;
    let rig = Rig::new();
    let frps = rig
        .frps("auth.token = \"right\"\ntransport.tcpMux = false\n")
        .await;
    let texts = [
        "register control error: token in login doesn't match token from configuration",
        "client login info: ip [127.0.0.1:",
    ];
    for n in 0..LOGINS {
        let mut stream = TcpStream::connect(("127.0.0.1", frps.port)).await.unwrap();
        let login = wire::v1(wire::LOGIN, &wire::login("wrong", &json!({})));
        stream.write_all(&login).await.unwrap();
        assert!(wire::read_v1(&mut stream).await.is_some());
        if n == 0 {
            for text in texts {
                frps.program.expect(text).await;
            }
        }
    }
    for text in texts {
        let what = format!("every line is written or counted: {text}");
        wait::eventually_within(Duration::from_secs(90), &what, async || {
            let (shown, left_out) = counted(&frps.program, text);
            shown + left_out == LOGINS
        })
        .await;
        assert!(counted(&frps.program, text).0 < BOUND, "{text}");
    }
    frps.program
        .expect(" more like this from 127.0.0.0/24 in the last ")
        .await;
}

/// A flood that has just begun when the program is told to end.
#[tokio::test]
async fn what_was_left_out_is_counted_at_the_end() {
    const EACH: usize = 1000;
    let rig = Rig::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let plain = "auth.token = \"t\"\ntransport.tcpMux = false\ntransport.tls.enable = false\n";
    for (signal, number) in [("TERM", 15), ("INT", 2)] {
        let mut frpc = rig.frpc(port, plain);
        let (stream, _) = listener.accept().await.unwrap();
        let mut control = Control::of_server(stream, "t").await;
        for n in 0..EACH {
            let body = json!({"proxy_name": format!("nnnnn{n}"), "error": "no"});
            control.send(wire::NEW_PROXY_RESP, &body).await;
        }
        control.send(wire::PONG, &json!({"error": "the end"})).await;
        frpc.expect("pong message contains error: the end").await;
        frpc.signal(signal).await;
        let status = frpc.exit_status_within(Duration::from_secs(3)).await;
        assert_eq!(status.signal(), Some(number));
        let (shown, left_out) = counted(&frpc, "nnnnn");
        assert_eq!(shown + left_out, EACH, "{}", frpc.log().text());
        assert!(shown < BOUND);
    }
}

#[tokio::test]
async fn a_hostile_server_cannot_fill_the_log_of_frpc() {
    const EACH: usize = 3000;
    let rig = Rig::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let frpc = rig.frpc(
        port,
        "auth.token = \"t\"\ntransport.tcpMux = false\ntransport.tls.enable = false\n",
    );
    let (stream, _) = listener.accept().await.unwrap();
    let mut control = Control::of_server(stream, "t").await;
    // Nobody accepts the work connections that are asked for.
    let name = "n".repeat(2000);
    for n in 0..EACH {
        let body = json!({"proxy_name": format!("{n}{name}"), "error": "\u{202e}no\n"});
        control.send(wire::NEW_PROXY_RESP, &body).await;
    }
    control.send(wire::PONG, &json!({"error": "the end"})).await;
    frpc.expect("pong message contains error: the end").await;
    let text = "start error: proxy [";
    wait::eventually_within(Duration::from_secs(90), "all is counted", async || {
        let (shown, left_out) = counted(&frpc, "nnnnn");
        shown + left_out == EACH
    })
    .await;
    assert!(frpc.log().count(text) < BOUND);
    let longest = frpc.log().lines().iter().map(String::len).max();
    assert!(longest.unwrap() < 1500, "{longest:?}");
    assert!(!frpc.log().text().contains('\u{202e}'));
}

/// What a client may register at once has a line each; what goes on for ever is counted.
#[tokio::test]
async fn a_client_that_registers_without_end_does_not_fill_the_log() {
    const ROUNDS: usize = 6000;
    const AT_ONCE: usize = 2000;
    let rig = Rig::new();
    let frps = rig
        .frps("transport.tcpMux = false\nlog.level = \"info\"\nlog.disablePrintColor = true\n")
        .await;
    let (mut control, _) = Control::login(connect(frps.port).await, "", &json!({})).await;
    for n in 0..ROUNDS {
        let name = format!("flood{n}");
        let proxy = json!({"proxy_name": name, "proxy_type": "stcp", "sk": "s"});
        let answer = control.register(&proxy).await;
        assert_eq!(answer["error"].as_str().unwrap_or_default(), "");
        control.close_proxy(&name).await;
    }
    for text in ["new proxy [flood", "close proxy [flood"] {
        let what = format!("every line is written or counted: {text}");
        wait::eventually_within(Duration::from_secs(90), &what, async || {
            let (shown, left_out) = counted(&frps.program, text);
            shown + left_out == ROUNDS
        })
        .await;
        let (shown, _) = counted(&frps.program, text);
        assert!((AT_ONCE..AT_ONCE + 600).contains(&shown), "{shown} {text}");
    }
}

/// The filters for fail2ban that people have for frps (`failregex = ^.*get a user connection
/// \[<HOST>:[0-9]*\]`, and the same with `client login info: ip`) find the address in our lines, and
/// the date where fail2ban looks for it.
#[tokio::test]
async fn filters_for_fail2ban_find_whom_to_ban() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let common = "auth.token = \"right\"\nlog.level = \"info\"\nlog.disablePrintColor = true\n";
    let frps = rig.frps(common).await;
    let port = free_port();
    let proxy = tcp_proxy("ssh", service.port, port, "");
    let frpc = rig.frpc(frps.port, &format!("{common}{proxy}"));
    frpc.expect("[ssh] start proxy success").await;
    echo(port, b"x").await;
    let mut wrong = rig.frpc(frps.port, "auth.token = \"wrong\"\n");
    wrong.exit_code().await;
    for before in ["get a user connection [", "client login info: ip ["] {
        let line = frps.program.expect(before).await;
        assert!(parse(&line).is_some(), "{line}");
        let (_, after) = line.split_once(before).unwrap();
        let (host, after) = after.split_once(':').unwrap();
        assert_eq!(host.parse(), Ok(Ipv4Addr::LOCALHOST), "{line}");
        let (number, _) = after.split_once(']').unwrap();
        assert!(number.bytes().all(|b| b.is_ascii_digit()), "{line}");
    }
    // The line of a login that failed names nobody; the one before it does, and both have the run id.
    let run_id = |line: &str| parse(line).unwrap().1.split(' ').next().map(str::to_owned);
    let failed = frps.program.expect("register control error: token").await;
    let log = frps.program.log();
    let lines = log.lines();
    let mut logins = lines
        .iter()
        .filter(|l| l.contains("client login info: ip ["));
    assert!(
        logins.any(|login| run_id(login) == run_id(&failed)),
        "{}",
        log.text()
    );
}

#[tokio::test]
async fn a_crowd_of_users_and_proxies_keeps_its_lines() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let frps = rig.frps("").await;
    let mut text = String::new();
    let port = free_port();
    for n in 0..200 {
        text += &tcp_proxy(
            &format!("p{n}"),
            service.port,
            if n == 0 { port } else { 0 },
            "",
        );
    }
    let frpc = rig.frpc(frps.port, &text);
    for n in 0..200 {
        frpc.expect(&format!("[p{n}] start proxy success")).await;
        frps.program
            .expect(&format!("new proxy [p{n}] type [tcp] success"))
            .await;
    }
    for _ in 0..100 {
        echo(port, b"x").await;
    }
    eventually("each user has a line", async || {
        frps.program
            .log()
            .count("get a user connection [127.0.0.1:")
            == 100
    })
    .await;
    for program in [&frps.program, &frpc] {
        assert_eq!(program.log().count("more like this"), 0);
    }
}

#[tokio::test]
async fn the_clock_is_that_of_tz() {
    let rig = Rig::new();
    for tz in ["Asia/Shanghai", ":America/New_York", "UTC", "", "No/Where"] {
        let hour = async || {
            let mut date = Command::new("date");
            // What date makes of a name that it does not know is UTC, too.
            let date = date.env("TZ", tz).arg("+%Y-%m-%d %H").output().await;
            String::from_utf8(date.unwrap().stdout)
                .unwrap()
                .trim()
                .to_owned()
        };
        let before = hour().await;
        let config = format!(
            "bindAddr = \"127.0.0.1\"\nbindPort = {}\nlog.disablePrintColor = true\n",
            free_port()
        );
        let frps = rig.start_with(&Side::Ours, "frps", &config, &[("TZ", tz)]);
        let line = frps.expect("frps started successfully").await;
        let after = hour().await;
        let shown = line.get(..13).unwrap();
        assert!(
            [&before[..], &after[..]].contains(&shown),
            "TZ={tz}: {line}"
        );
    }
}
