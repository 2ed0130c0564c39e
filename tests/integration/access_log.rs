//! `log.access`: a line for each user's connection that has ended, in both programs, with the same id.

use std::path::Path;
use std::time::Duration;

use frp_tests::clients::{echo_on, read_all, until_closed};
use frp_tests::http::{ADMIN, get, request};
use frp_tests::rig::tcp_proxy;
use frp_tests::*;
use serde_json::Value;
use tokio::net::TcpStream;

/// The lines of a file, once it has `count` of them.
async fn lines(path: &Path, count: usize) -> Vec<Value> {
    let read = || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let parse = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        text.lines().map(parse).collect::<Vec<_>>()
    };
    eventually("the lines are there", || async { read().len() >= count }).await;
    let found = read();
    assert_eq!(found.len(), count, "{found:?}");
    found
}

fn setting(path: &Path) -> String {
    format!("log.access = {path:?}\n")
}

/// A user says hello, and leaves by itself.
async fn visit(port: u16) -> String {
    let mut user = connect(port).await;
    echo_on(&mut user, b"hello").await;
    user.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn both_programs_write_the_same_id() {
    let rig = Rig::new();
    let (web, remote, closed) = (free_port(), free_port(), free_port());
    let [of_frps, of_frpc] = ["frps.jsonl", "frpc.jsonl"].map(|name| rig.path().join(name));
    let service = Service::echo().await;
    let frps = rig
        .frps(&format!(
            "{}webServer.port = {web}\nwebServer.user = \"admin\"\nwebServer.password = \"secret\"\n",
            setting(&of_frps)
        ))
        .await;
    let other = free_port();
    let config = format!(
        "clientID = \"office\"\n{}{}{}",
        setting(&of_frpc),
        tcp_proxy("a", service.port, remote, ""),
        tcp_proxy("none", closed, other, "")
    );
    let client = rig.frpc(frps.port, &config);
    client.expect("[a] start proxy success").await;
    client.expect("[none] start proxy success").await;
    let user = visit(remote).await;
    let [ours, theirs] =
        [&lines(&of_frps, 1).await[0], &lines(&of_frpc, 1).await[0]].map(Value::clone);
    assert_eq!(ours["id"], theirs["id"]);
    for line in [&ours, &theirs] {
        assert_eq!(line["proxy"], "a");
        assert_eq!(line["type"], "tcp");
        assert_eq!(line["user"], user);
        assert_eq!((&line["in"], &line["out"]), (&5.into(), &5.into()));
        assert_eq!(line["end"], "user closed");
        assert!(line["duration"].as_f64().unwrap() < 60.0);
        let time = line["time"].as_str().unwrap();
        assert!(time.contains('T') && (time.ends_with('Z') || time[19..].contains(['+', '-'])));
    }
    assert_eq!(ours["client"], "office");

    // By an administrator, and by nobody.
    let mut user = connect(remote).await;
    echo_on(&mut user, b"hello").await;
    let conns = get(web, "/api/live/connections").await.json();
    let path = format!(
        "/api/live/connections/{}",
        conns["items"][0]["id"].as_str().unwrap()
    );
    assert_eq!(request(web, "DELETE", &path, Some(ADMIN)).await.status, 200);
    until_closed(&mut user, Duration::from_secs(10), "the user's side").await;
    let line = lines(&of_frps, 2).await.remove(1);
    assert_eq!(line["end"], "ended by an administrator");
    assert_eq!(line["id"], conns["items"][0]["id"]);
    lines(&of_frpc, 2).await;
    let mut user = connect(other).await;
    until_closed(&mut user, Duration::from_secs(10), "the user's side").await;
    assert_eq!(lines(&of_frpc, 3).await[2]["end"], "not served");
    lines(&of_frps, 3).await;
}

#[tokio::test]
async fn a_service_that_closes_first_is_told_apart_and_a_file_may_be_rotated() {
    let rig = Rig::new();
    let remote = free_port();
    let file = rig.path().join("access.jsonl");
    let service = Service::source("bye").await;
    let frps = rig.frps(&setting(&file)).await;
    let client = rig.frpc(frps.port, &tcp_proxy("g", service.port, remote, ""));
    client.expect("[g] start proxy success").await;
    let visit = async || {
        let mut user: TcpStream = connect(remote).await;
        let heard = read_all(&mut user).await;
        assert_eq!(heard, b"bye");
    };
    visit().await;
    let line = lines(&file, 1).await.remove(0);
    assert_eq!(line["end"], "service closed");
    assert_eq!((&line["in"], &line["out"]), (&0.into(), &3.into()));
    // Without a signal, as of logrotate's two ways.
    std::fs::rename(&file, rig.path().join("access.jsonl.1")).unwrap();
    let mut visits = 0;
    while !file.exists() {
        visit().await;
        visits += 1;
        assert!(visits < 10_000);
        tokio::task::yield_now().await;
    }
    std::fs::write(&file, "").unwrap();
    visit().await;
    eventually("it goes on at the beginning", || async {
        let text = std::fs::read_to_string(&file).unwrap();
        text.starts_with('{') && text.ends_with("}\n")
    })
    .await;
}

/// It begins and ends with a reload, whether or not anything else is told of users.
#[tokio::test]
async fn a_reload_begins_and_ends_it() {
    let rig = Rig::new();
    let (port, remote) = (free_port(), free_port());
    let access = rig.path().join("access.jsonl");
    let text = |more: &str| format!("bindAddr = \"127.0.0.1\"\nbindPort = {port}\n{more}");
    let file = rig.file("frps.toml", text(""));
    let frps = rig.run(&Side::Ours, "frps", ["-c".as_ref(), file.as_os_str()]);
    frps.expect("frps started successfully").await;
    let reload = async |more: &str| {
        let mark = frps.log().mark();
        std::fs::write(&file, text(more)).unwrap();
        frps.signal("HUP").await;
        frps.expect_from(mark, "log.access applied", wait::SOON)
            .await;
    };
    let service = Service::echo().await;
    let client = rig.frpc(port, &tcp_proxy("a", service.port, remote, ""));
    client.expect("[a] start proxy success").await;
    let mut early = connect(remote).await;
    echo_on(&mut early, b"hello").await;
    reload(&setting(&access)).await;
    let user = visit(remote).await;
    assert_eq!(lines(&access, 1).await[0]["user"], user);
    // Users are listed anyhow, for those whom a ban may end: so are those who came before.
    let first = early.local_addr().unwrap().to_string();
    drop(early);
    assert_eq!(lines(&access, 2).await[1]["user"], first);
    reload("").await;
    visit(remote).await;
    reload(&setting(&access)).await;
    let user = visit(remote).await;
    // The end of the one before it may be noticed only now.
    eventually("a line of who came last", || async {
        let all = std::fs::read_to_string(&access).unwrap();
        all.contains(&format!("\"{user}\""))
    })
    .await;
}

/// Go's programs pass over the id, and ours makes its own beside them.
#[tokio::test]
async fn with_frps_and_frpc_of_go_at_the_other_end() {
    let Some(go) = Side::reference("0.70.1") else {
        return skipped("FRP_REFERENCE_DIR");
    };
    for protocol in ["v1", "v2"] {
        for (of_frps, of_frpc) in [(&Side::Ours, &go), (&go, &Side::Ours)] {
            let rig = Rig::new();
            let remote = free_port();
            let file = rig.path().join("access.jsonl");
            let service = Service::echo().await;
            let is_server = matches!(of_frps, Side::Ours);
            let own = setting(&file);
            let (server, client) = match is_server {
                true => (own.as_str(), ""),
                false => ("", own.as_str()),
            };
            let frps = rig.frps_of(of_frps, server).await;
            let proxy = tcp_proxy("a", service.port, remote, "");
            let config = format!("{client}transport.wireProtocol = \"{protocol}\"\n{proxy}");
            let client = rig.frpc_of(of_frpc, frps.port, &config);
            client.expect("start proxy success").await;
            visit(remote).await;
            let line = lines(&file, 1).await.remove(0);
            assert_eq!(line["id"].as_str().unwrap().len(), 16);
            assert_eq!(
                (&line["in"], &line["out"]),
                (&5.into(), &5.into()),
                "{line}"
            );
        }
    }
}
