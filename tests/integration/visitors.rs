//! stcp: proxies without a port, and the visitors that reach them.

use std::time::Duration;

use frp_tests::clients::{echo_on, echoes, read_all, until_closed, until_echoes};
use frp_tests::openssh::Sshd;
use frp_tests::rig::{stcp_proxy, stcp_visitor, tcp_proxy};
use frp_tests::*;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

/// A frps, an frpc with an echo behind the stcp proxy `echo`, and a visitor of it on `port`.
struct Street {
    rig: Rig,
    service: Service,
    frps: Frps,
    owner: Program,
    visitor: Program,
    port: u16,
}

impl Street {
    async fn new(common: &str, proxy: &str, visitor: &str) -> Self {
        let rig = Rig::new();
        let service = Service::echo().await;
        let frps = rig.frps(common).await;
        let port = free_port();
        let text = format!("{common}{}", stcp_proxy("echo", service.port, proxy));
        let owner = rig.frpc(frps.port, &text);
        owner.expect("[echo] start proxy success").await;
        let text = format!("{common}{}", stcp_visitor("v", "echo", port, visitor));
        let visitor = rig.frpc(frps.port, &text);
        visitor.expect("start visitor success").await;
        visitor.expect("visitor added: [v]").await;
        Self {
            rig,
            service,
            frps,
            owner,
            visitor,
            port,
        }
    }

    /// Another frpc with the lines `common`, and a visitor on the port that comes back.
    async fn another(&self, common: &str, lines: &str) -> (Program, u16) {
        let port = free_port();
        let text = format!("{common}{}", stcp_visitor("v", "echo", port, lines));
        let frpc = self.rig.frpc(self.frps.port, &text);
        frpc.expect("start visitor success").await;
        (frpc, port)
    }
}

/// A user who comes to `port` is sent away at once, without a byte.
async fn sent_away(port: u16) {
    let mut user = connect(port).await;
    assert!(read_all(&mut user).await.is_empty());
}

const ENCRYPT: &str = "transport.useEncryption = true\n";
const COMPRESS: &str = "transport.useCompression = true\n";

#[tokio::test]
async fn every_leg_has_layers_of_its_own() {
    for common in [
        "",
        "transport.tcpMux = false\n",
        "transport.tls.enable = false\n",
    ] {
        let rig = Rig::new();
        let service = Service::echo().await;
        let server = common.replace("transport.tls.enable = false\n", "");
        let frps = rig.frps(&server).await;
        let legs = ["", ENCRYPT, COMPRESS, &format!("{ENCRYPT}{COMPRESS}")];
        let mut proxies = format!("user = \"me\"\nauth.token = \"\"\n{common}");
        let mut visitors = format!("user = \"me\"\nauth.token = \"\"\n{common}");
        let mut ports = Vec::new();
        for (i, own) in legs.iter().enumerate() {
            proxies += &stcp_proxy(&format!("p{i}"), service.port, own);
            for (j, theirs) in legs.iter().enumerate() {
                let port = free_port();
                let name = format!("v{i}{j}");
                visitors += &stcp_visitor(&name, &format!("p{i}"), port, theirs);
                ports.push(port);
            }
        }
        let owner = rig.frpc(frps.port, &proxies);
        for i in 0..legs.len() {
            owner.expect(&format!("[p{i}] start proxy success")).await;
        }
        let visitor = rig.frpc(frps.port, &visitors);
        visitor.expect("visitor added: [v00 v01").await;
        let random = pattern(200_000, 1);
        let text = b"a line that compresses well\n".repeat(5_000);
        for port in ports {
            tokio::join!(echo(port, &random), echo(port, &text), echo(port, b"x"));
        }
    }
}

#[tokio::test]
async fn many_users_at_once_each_get_their_own_bytes() {
    let layers = format!("{ENCRYPT}{COMPRESS}");
    let street = Street::new("", "", &layers).await;
    let port = street.port;
    let mut users = tokio::task::JoinSet::new();
    for i in 0..100 {
        users.spawn(async move { echo(port, &pattern(10_000 + 37 * i, i as u64)).await });
    }
    while let Some(user) = users.join_next().await {
        user.unwrap();
    }
}

#[tokio::test]
async fn who_is_refused_is_told_why_and_what_to_do() {
    let street = Street::new("", "", "").await;
    let cases = [
        (
            "",
            "secretKey = \"other\"",
            "visitor connection of [echo] auth failed",
            "secretKey is not that of the proxy",
        ),
        (
            "user = \"eve\"\n",
            "",
            "custom listener for [eve.echo] doesn't exist",
            "check serverName and serverUser",
        ),
    ];
    for (common, lines, why, advice) in cases {
        let port = free_port();
        let mut text = stcp_visitor("v", "echo", port, lines);
        if !lines.is_empty() {
            text = text.replace("secretKey = \"secret\"\n", "");
        }
        let frpc = street
            .rig
            .frpc(street.frps.port, &format!("{common}{text}"));
        frpc.expect("start visitor success").await;
        sent_away(port).await;
        let line = frpc.expect("start new visitor connection error").await;
        assert!(line.contains(why) && line.contains(advice), "{line}");
        let from = "[v] user connection [127.0.0.1:";
        assert!(line.contains(from), "{line}");
        street
            .frps
            .program
            .expect(&format!("register visitor conn error: {why}"))
            .await;
    }
    echo(street.port, b"the others are served").await;
}

#[tokio::test]
async fn the_server_may_keep_the_reason_to_itself() {
    let rig = Rig::new();
    let frps = rig.frps("detailedErrorsToClient = false\n").await;
    let port = free_port();
    let frpc = rig.frpc(frps.port, &stcp_visitor("v", "none", port, ""));
    frpc.expect("start visitor success").await;
    sent_away(port).await;
    let line = frpc.expect("start new visitor connection error").await;
    assert!(
        line.contains("error: register visitor conn error: ") && !line.contains("custom listener"),
        "{line}"
    );
    frps.program
        .expect("custom listener for [none] doesn't exist")
        .await;
}

#[tokio::test]
async fn allow_users_says_who_may_come() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let frps = rig.frps("").await;
    let proxies = [
        ("own", ""),
        ("bobs", "allowUsers = [\"bob\", \"carol\"]"),
        ("all", "allowUsers = [\"*\"]"),
    ];
    let mut text = "user = \"alice\"\n".to_owned();
    for (name, lines) in proxies {
        text += &stcp_proxy(name, service.port, lines);
    }
    let owner = rig.frpc(frps.port, &text);
    for (name, _) in proxies {
        owner.expect(&format!("[{name}] start proxy success")).await;
    }
    for (user, allowed) in [
        ("alice", ["own", "all"].as_slice()),
        ("bob", &["bobs", "all"]),
        ("eve", &["all"]),
        ("", &["all"]),
    ] {
        let mut text = match user {
            "" => String::new(),
            user => format!("user = \"{user}\"\n"),
        };
        let ports: Vec<u16> = proxies.iter().map(|_| free_port()).collect();
        for ((name, _), port) in proxies.iter().zip(&ports) {
            text += &stcp_visitor(name, name, *port, "serverUser = \"alice\"");
        }
        let frpc = rig.frpc(frps.port, &text);
        frpc.expect("visitor added: [all bobs own]").await;
        for ((name, _), port) in proxies.iter().zip(&ports) {
            if allowed.contains(name) {
                echo(*port, user.as_bytes()).await;
                continue;
            }
            sent_away(*port).await;
            let why = format!("visitor connection of [alice.{name}] user [{user}] not allowed");
            let line = frpc.expect(&why).await;
            assert!(line.contains("add this user to allowUsers"), "{line}");
        }
    }
}

#[tokio::test]
async fn a_name_is_unique() {
    let street = Street::new("", "", "").await;
    let text = stcp_proxy("echo", street.service.port, "");
    let second = street.rig.frpc(street.frps.port, &text);
    second
        .expect("[echo] start error: proxy [echo] already exists")
        .await;
    let text = tcp_proxy("echo", street.service.port, free_port(), "");
    let third = street.rig.frpc(street.frps.port, &text);
    third
        .expect("[echo] start error: proxy [echo] already exists")
        .await;
    echo(street.port, b"still the first").await;
}

#[tokio::test]
async fn a_visitor_may_be_there_before_its_proxy_and_outlives_it() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let frps = rig.frps("").await;
    let port = free_port();
    let visitor = rig.frpc(frps.port, &stcp_visitor("v", "echo", port, ""));
    visitor.expect("start visitor success").await;
    sent_away(port).await;

    let mut owner = rig.frpc(frps.port, &stcp_proxy("echo", service.port, ""));
    owner.expect("[echo] start proxy success").await;
    let mut user = connect(port).await;
    echo_on(&mut user, b"there it is").await;

    owner.kill().await;
    until_closed(&mut user, wait::SOON, "the owner is gone").await;
    frps.program.expect("client exit success").await;
    sent_away(port).await;
    owner.start_again();
    owner.expect("[echo] start proxy success").await;
    echo(port, b"and back").await;
}

#[tokio::test]
async fn without_a_bind_port_nothing_listens() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let text = "\n[[visitors]]\nname = \"quiet\"\ntype = \"stcp\"\nserverName = \"echo\"\n\
                bindPort = -1\nsecretKey = \"secret\"\n";
    let frpc = rig.frpc(frps.port, text);
    frpc.expect("[quiet] start visitor success").await;
    frpc.expect("visitor added: [quiet]").await;
    assert_eq!(listening(frpc.pid()), 0);
    let port = free_port();
    let frpc = rig.frpc(frps.port, &stcp_visitor("loud", "echo", port, ""));
    frpc.expect("[loud] start visitor success").await;
    assert_eq!(listening(frpc.pid()), 1);
}

/// TCP sockets that the process listens on.
fn listening(pid: u32) -> usize {
    let sockets: Vec<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok())
        .filter_map(|link| {
            let name = link.to_string_lossy().into_owned();
            Some(name.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let tables = ["tcp", "tcp6"]
        .map(|t| std::fs::read_to_string(format!("/proc/{pid}/net/{t}")).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields[3] == "0A" && sockets.iter().any(|inode| inode == fields[9]))
        .count()
}

#[tokio::test]
async fn a_taken_bind_port_is_tried_again() {
    let street = Street::new("", "", "").await;
    let port = free_port();
    let taken = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let text =
        stcp_visitor("late", "echo", port, "") + &stcp_visitor("fine", "echo", free_port(), "");
    let frpc = street.rig.frpc(street.frps.port, &text);
    let error = format!("[late] start error: listen tcp 127.0.0.1:{port}: bind: address already");
    frpc.expect(&error).await;
    frpc.expect("[fine] start visitor success").await;
    drop(taken);
    frpc.expect("try to start visitor [late]").await;
    until_echoes(port, wait::SOON).await;
}

#[tokio::test]
async fn visitors_come_back_after_an_outage() {
    for common in ["", "transport.tcpMux = false\n"] {
        let mut street = Street::new(common, "", "").await;
        let mut user = connect(street.port).await;
        echo_on(&mut user, b"before").await;
        street.frps.program.kill().await;
        until_closed(&mut user, wait::SOON, "the server is gone").await;
        eventually("nobody listens meanwhile", || async {
            TcpStream::connect(("127.0.0.1", street.port))
                .await
                .is_err()
        })
        .await;
        street.frps.program.start_again();
        until_echoes(street.port, Duration::from_secs(10)).await;
        assert_eq!(street.visitor.log().count("start error"), 0);
        assert_eq!(street.visitor.log().count("start visitor success"), 2);
    }
}

#[tokio::test]
async fn a_killed_visitor_gives_everything_back() {
    let mut street = Street::new("", "", "").await;
    for _ in 0..3 {
        let mut user = connect(street.port).await;
        echo_on(&mut user, b"once").await;
        street.visitor.kill().await;
        street.visitor.start_again();
        street.visitor.expect("start visitor success").await;
        until_echoes(street.port, wait::SOON).await;
    }
    street.visitor.kill().await;
    let (owner, frps) = (&street.owner, &street.frps.program);
    eventually("nothing is open for the visitor", || async {
        // Pooled work connections are streams of one connection.
        frps.open_files() < 20 && owner.open_files() < 20
    })
    .await;
}

/// Unlike frp, which closes both directions at the first end.
#[tokio::test]
async fn nothing_is_lost_at_the_end_of_a_direction() {
    let layers = format!("{ENCRYPT}{COMPRESS}");
    for (common, leg) in [
        ("", ""),
        ("", layers.as_str()),
        ("transport.tcpMux = false\n", ""),
        ("transport.tcpMux = false\n", &layers),
    ] {
        let rig = Rig::new();
        let content = pattern(300_000, 6);
        let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
        let late = Service::answer_after_end().await;
        let source = Service::source(content.clone()).await;
        let sink = Service::sink(sender).await;
        let frps = rig.frps(common).await;
        let mut proxies = common.to_owned();
        let mut visitors = common.to_owned();
        let mut ports = Vec::new();
        for (name, service) in [("late", &late), ("source", &source), ("sink", &sink)] {
            let port = free_port();
            proxies += &stcp_proxy(name, service.port, leg);
            visitors += &stcp_visitor(name, name, port, leg);
            ports.push(port);
        }
        let owner = rig.frpc(frps.port, &proxies);
        for name in ["late", "source", "sink"] {
            owner.expect(&format!("[{name}] start proxy success")).await;
        }
        let visitor = rig.frpc(frps.port, &visitors);
        visitor.expect("visitor added: [late sink source]").await;

        let mut user = connect(ports[0]).await;
        user.write_all(&content).await.unwrap();
        user.shutdown().await.unwrap();
        let mut answer = read_all(&mut user).await;
        answer.reverse();
        assert!(answer == content, "{} bytes came back", answer.len());

        let mut user = connect(ports[1]).await;
        assert!(read_all(&mut user).await == content);

        let mut user = connect(ports[2]).await;
        user.write_all(&content).await.unwrap();
        drop(user);
        let heard = within(wait::SOON, "the bytes", received.recv()).await;
        assert!(heard.unwrap() == content);
    }
}

#[tokio::test]
async fn a_service_that_is_down_ends_the_user() {
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let (down, port) = (free_port(), free_port());
    let owner = rig.frpc(frps.port, &stcp_proxy("echo", down, ""));
    owner.expect("[echo] start proxy success").await;
    let visitor = rig.frpc(frps.port, &stcp_visitor("v", "echo", port, ""));
    visitor.expect("start visitor success").await;
    sent_away(port).await;
    owner.expect("connect to local service").await;
}

#[tokio::test]
async fn an_owner_that_gives_no_work_connection_ends_the_user() {
    let rig = Rig::new();
    let frps = rig
        .frps("transport.tcpMux = false\nuserConnTimeout = 1\n")
        .await;
    let stream = connect(frps.port).await;
    let (mut owner, _) = wire::Control::login(stream, "", &serde_json::json!({})).await;
    let proxy = serde_json::json!({"proxy_name": "echo", "proxy_type": "stcp", "sk": "secret"});
    owner.send(wire::NEW_PROXY, &proxy).await;
    frps.program
        .expect("new proxy [echo] type [stcp] success")
        .await;
    let port = free_port();
    let text = stcp_visitor("v", "echo", port, "");
    let visitor = rig.frpc(frps.port, &format!("transport.tcpMux = false\n{text}"));
    visitor.expect("start visitor success").await;
    sent_away(port).await;
    frps.program
        .expect("timeout trying to get work connection")
        .await;
}

#[tokio::test]
async fn ssh_goes_through_a_visitor() {
    let rig = Rig::new();
    let sshd = Sshd::start(rig.path()).await;
    let frps = rig.frps("auth.token = \"office\"\n").await;
    let port = free_port();
    let common = "auth.token = \"office\"\n";
    let leg = format!("{ENCRYPT}{COMPRESS}");
    let owner = rig.frpc(
        frps.port,
        &format!("{common}{}", stcp_proxy("ssh", sshd.port, &leg)),
    );
    owner.expect("[ssh] start proxy success").await;
    let visitor = rig.frpc(
        frps.port,
        &format!("{common}{}", stcp_visitor("v", "ssh", port, &leg)),
    );
    visitor.expect("start visitor success").await;
    let mut command = sshd.ssh(port);
    command.arg("echo hello from $((40 + 2)); head -c 5000000 /dev/zero | wc -c");
    let output = within(Duration::from_secs(60), "ssh", command.output())
        .await
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let heard = String::from_utf8_lossy(&output.stdout);
    assert_eq!(heard, "hello from 42\n5000000\n");

    let content = pattern(3_000_000, 9);
    let (here, there) = (rig.file("here", &content), rig.path().join("there"));
    let mut scp = sshd.scp(port);
    scp.arg(&here).arg(sshd.remote(&there));
    let output = within(Duration::from_secs(60), "scp", scp.output())
        .await
        .unwrap();
    assert!(output.status.success());
    assert!(std::fs::read(&there).unwrap() == content);
}

#[tokio::test]
async fn both_ends_run_from_flags() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let frps = rig.frps("auth.token = \"t\"\n").await;
    let common = ["-s", "127.0.0.1", "-t", "t", "-P"];
    let start = |command: &[&str], flags: &[&str]| {
        let server = frps.port.to_string();
        let mut args: Vec<String> = command.iter().map(|&arg| arg.to_owned()).collect();
        args.extend(common.iter().map(|&arg| arg.to_owned()));
        args.push(server);
        args.extend(flags.iter().map(|&arg| arg.to_owned()));
        rig.run(&Side::Ours, "frpc", args)
    };
    let (local, port) = (service.port.to_string(), free_port());
    let owner = start(
        &["stcp"],
        &[
            "-n",
            "echo",
            "-l",
            &local,
            "--sk",
            "k",
            "-u",
            "al",
            "--allow-users",
            "bo",
            "--ue",
        ],
    );
    owner.expect("[echo] start proxy success").await;
    let bind = port.to_string();
    let visitor = start(
        &["stcp", "visitor"],
        &[
            "-n",
            "v",
            "--server-name",
            "echo",
            "--server-user",
            "al",
            "-u",
            "bo",
            "--sk",
            "k",
            "--bind-addr",
            "127.0.0.1",
            "--bind-port",
            &bind,
            "--ue",
            "--uc",
        ],
    );
    visitor.expect("start visitor success").await;
    echo(port, &pattern(50_000, 4)).await;
}

#[tokio::test]
async fn the_api_counts_what_visitors_do() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let web = free_port();
    let frps = rig
        .frps(&format!(
            "webServer.port = {web}\nwebServer.user = \"a\"\nwebServer.password = \"b\"\n"
        ))
        .await;
    let owner = rig.frpc(frps.port, &stcp_proxy("echo", service.port, ""));
    owner.expect("[echo] start proxy success").await;
    let port = free_port();
    let visitor = rig.frpc(frps.port, &stcp_visitor("v", "echo", port, ENCRYPT));
    visitor.expect("start visitor success").await;
    let mut user = connect(port).await;
    echo_on(&mut user, &pattern(1000, 1)).await;
    let ask = async |field: &str| {
        let answer = http::request(web, "GET", "/api/proxy/stcp", Some("Basic YTpi")).await;
        answer.json()["proxies"][0][field].clone()
    };
    assert_eq!(ask("name").await, "echo");
    assert_eq!(ask("curConns").await, 1);
    assert_eq!(ask("todayTrafficIn").await, 1000);
    assert_eq!(ask("todayTrafficOut").await, 1000);
    drop(user);
    eventually("the user has left", || async { ask("curConns").await == 0 }).await;
}

#[tokio::test]
async fn a_visitor_on_a_connection_of_its_own_needs_no_more() {
    let common = "transport.tcpMux = false\nauth.token = \"t\"\n\
                  auth.additionalScopes = [\"HeartBeats\", \"NewWorkConns\"]\n";
    let street = Street::new(common, "", "").await;
    echo(street.port, &pattern(100_000, 3)).await;
    let (other, port) = street.another(common, ENCRYPT).await;
    echo(port, &pattern(100_000, 3)).await;
    assert_eq!(other.log().count("WARN"), 0, "{}", other.log().text());
    assert!(echoes(street.port).await);
}
