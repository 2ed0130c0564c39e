//! What frpc does now (`/api/live`): its session, its proxies with their errors and the cure, its visitors, users'
//! connections, events.

use std::time::Duration;

use frp_tests::clients::{echo_on, until_closed};
use frp_tests::http::{ADMIN, get, request};
use frp_tests::rig::{stcp_proxy, stcp_visitor, tcp_proxy, udp_proxy};
use frp_tests::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

fn admin(web: u16, rest: &str) -> String {
    format!(
        "webServer.port = {web}\nwebServer.user = \"admin\"\nwebServer.password = \"secret\"\n{rest}"
    )
}

async fn live(web: u16, path: &str) -> Value {
    let answer = get(web, &format!("/api/live/{path}")).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

async fn item(web: u16, list: &str, name: &str) -> Value {
    let items = live(web, list).await["items"].as_array().unwrap().clone();
    let mut found = items.into_iter().filter(|item| item["name"] == name);
    found.next().unwrap_or(Value::Null)
}

#[tokio::test]
async fn a_session_and_its_users_are_shown() {
    let rig = Rig::new();
    let (web, remote) = (free_port(), free_port());
    let service = Service::echo().await;
    let frps = rig.frps("").await;
    let client = rig.frpc(
        frps.port,
        &admin(web, &tcp_proxy("a", service.port, remote, "")),
    );
    client.expect("[a] start proxy success").await;
    let overview = live(web, "overview").await;
    let session = &overview["session"];
    for (key, value) in [
        ("state", json!("connected")),
        ("transport", json!("tcp")),
        ("tls", json!(true)),
        ("mux", json!(true)),
        ("error", json!(null)),
        ("retryAt", json!(null)),
    ] {
        assert_eq!(session[key], value, "{key}: {session}");
    }
    assert_eq!(session["runID"].as_str().unwrap().len(), 16);
    assert!(
        session["why"]
            .as_str()
            .unwrap()
            .contains("transport.protocol")
    );
    assert_eq!(overview["server"], format!("127.0.0.1:{}", frps.port));
    assert_eq!(
        overview["proxies"],
        json!({"running": 1, "failed": 0, "waiting": 0, "closed": 0})
    );
    assert!(
        overview["config"]["path"]
            .as_str()
            .unwrap()
            .ends_with(".toml")
    );
    eventually("the round trip is known", || async {
        live(web, "overview").await["session"]["roundTripMs"].is_number()
    })
    .await;

    let mut user = connect(remote).await;
    echo_on(&mut user, b"hello").await;
    eventually("its bytes are there", || async {
        let conns = live(web, "connections?proxy=a").await;
        let conn = &conns["items"][0];
        (&conn["in"], &conn["out"]) == (&json!(5), &json!(5))
    })
    .await;
    let conn = live(web, "connections").await["items"][0].clone();
    assert_eq!(conn["user"], user.local_addr().unwrap().to_string());
    let a = item(web, "proxies", "a").await;
    for (key, value) in [
        ("status", json!("running")),
        ("err", json!("")),
        ("cure", json!(null)),
        ("source", json!("file")),
        ("connections", json!(1)),
        ("in", json!(5)),
    ] {
        assert_eq!(a[key], value, "{key}: {a}");
    }
    let ended = format!("/api/live/connections/{}", conn["id"].as_str().unwrap());
    let delete = async || request(web, "DELETE", &ended, Some(ADMIN)).await.status;
    assert_eq!(delete().await, 200);
    until_closed(&mut user, Duration::from_secs(10), "the user's side").await;
    eventually("it is not listed", || async { delete().await == 404 }).await;
    let overview = live(web, "overview").await;
    assert_eq!(
        (&overview["trafficIn"], &overview["connections"]),
        (&json!(5), &json!(0))
    );
}

/// Of a udp and of a sudp proxy: their datagrams come by one work connection.
#[tokio::test]
async fn users_of_datagrams_are_shown_and_ended() {
    let rig = Rig::new();
    let (web, remote, bind) = (free_port(), free_port(), free_port());
    let service = UdpService::echo().await;
    let frps = rig.frps("").await;
    let secret = format!(
        "[[proxies]]\nname = \"s\"\ntype = \"sudp\"\nlocalPort = {}\nsecretKey = \"k\"\n\
         [[visitors]]\nname = \"v\"\ntype = \"sudp\"\nserverName = \"s\"\nsecretKey = \"k\"\n\
         bindAddr = \"127.0.0.1\"\nbindPort = {bind}\n",
        service.port
    );
    let text = udp_proxy("u", service.port, remote, "") + &secret;
    let log = rig.path().join("access.jsonl");
    let text = format!("log.access = {log:?}\n{text}");
    let client = rig.frpc(frps.port, &admin(web, &text));
    client.expect("[u] start proxy success").await;
    client.expect("[s] start proxy success").await;
    for (port, proxy, kind) in [(remote, "u", "udp"), (bind, "s", "sudp")] {
        let user = UdpUser::of(port).await;
        user.echo(b"hello").await;
        let path = format!("connections?proxy={proxy}");
        eventually("its bytes are there", || async {
            let conn = &live(web, &path).await["items"][0];
            (&conn["in"], &conn["out"]) == (&json!(5), &json!(5))
        })
        .await;
        let conn = live(web, &path).await["items"][0].clone();
        assert_eq!(conn["type"], kind);
        assert_eq!(conn["user"], user.0.local_addr().unwrap().to_string());
        assert_eq!(item(web, "proxies", proxy).await["connections"], 1);
        // There is no connection that could be closed: it is another one with its next datagram.
        let ended = format!("/api/live/connections/{}", conn["id"].as_str().unwrap());
        let delete = async || request(web, "DELETE", &ended, Some(ADMIN)).await.status;
        assert_eq!(delete().await, 200);
        eventually("it is not listed", || async { delete().await == 404 }).await;
        assert_eq!(live(web, &path).await["total"], 0);
        user.echo(b"again").await;
        let other = live(web, &path).await["items"][0].clone();
        assert_ne!(other["id"], conn["id"]);
    }
    eventually("their ends are in the log", || async {
        let lines = std::fs::read_to_string(&log).unwrap();
        let ended = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let ended = ended.filter(|line| line["end"] == "ended by an administrator");
        let of: Vec<_> = ended.map(|line| line["proxy"].clone()).collect();
        of == [json!("u"), json!("s")]
    })
    .await;
}

/// Where neither the mux nor QUIC measures it, a heartbeat does.
#[tokio::test]
async fn a_heartbeat_tells_the_round_trip_without_the_mux() {
    let rig = Rig::new();
    for server in [Some(Side::Ours), Side::reference("0.70.1")]
        .into_iter()
        .flatten()
    {
        let web = free_port();
        let frps = rig.frps_of(&server, "transport.tcpMux = false\n").await;
        let text = admin(
            web,
            "transport.tcpMux = false\ntransport.heartbeatInterval = 1\n",
        );
        let client = rig.frpc(frps.port, &text);
        client.expect("login to server success").await;
        eventually("the round trip is known", || async {
            let round_trip = &live(web, "overview").await["session"]["roundTripMs"];
            round_trip.as_f64().is_some_and(|millis| millis > 0.0)
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_wrong_is_shown_with_its_cure() {
    let rig = Rig::new();
    let web = free_port();
    let [taken, free, visited, closed] = [(); 4].map(|()| free_port());
    let service = Service::echo().await;
    let mut frps = rig.frps("").await;
    let other = format!(
        "user = \"o\"\n{}{}",
        tcp_proxy("taken", service.port, taken, ""),
        stcp_proxy("s", service.port, "allowUsers = [\"*\"]")
    );
    let other = rig.frpc(frps.port, &other);
    other.expect("[taken] start proxy success").await;
    other.expect("[s] start proxy success").await;
    let visitor = stcp_visitor("v", "s", visited, "serverUser = \"o\"");
    let config = format!(
        "{}{}{}",
        tcp_proxy("taken", service.port, taken, ""),
        tcp_proxy("nobody", closed, free, ""),
        visitor.replace("\"secret\"", "\"wrong\"")
    );
    let client = rig.frpc(frps.port, &admin(web, &config));
    client.expect("[nobody] start proxy success").await;
    client.expect("[taken] start error").await;
    let refused = item(web, "proxies", "taken").await;
    assert_eq!(refused["status"], "start error");
    assert!(
        refused["err"]
            .as_str()
            .unwrap()
            .contains("port already used")
    );
    assert!(refused["cure"].as_str().unwrap().contains("remotePort"));
    let overview = live(web, "overview").await;
    assert_eq!(overview["proxies"]["failed"], 1);

    let revision = overview["revisions"]["proxies"].as_u64().unwrap();
    let mut user = connect(free).await;
    until_closed(&mut user, Duration::from_secs(10), "the user's side").await;
    eventually("the service is told to be away", || async {
        let nobody = item(web, "proxies", "nobody").await;
        nobody["cure"]
            .as_str()
            .is_some_and(|cure| cure.contains("localPort"))
    })
    .await;
    let overview = live(web, "overview").await;
    assert!(overview["revisions"]["proxies"].as_u64().unwrap() > revision);

    assert_eq!(item(web, "visitors", "v").await["status"], "running");
    assert_eq!(item(web, "visitors", "v").await["server"], "o.s");
    let mut user = connect(visited).await;
    until_closed(&mut user, Duration::from_secs(10), "the user's side").await;
    eventually("the visitor has an error", || async {
        let visitor = item(web, "visitors", "v").await;
        visitor["err"]
            .as_str()
            .is_some_and(|err| err.contains("secretKey"))
    })
    .await;

    frps.program.kill().await;
    eventually("it waits for the server", || async {
        let session = live(web, "overview").await["session"].clone();
        session["error"].is_string()
            && session["cure"].is_string()
            && session["retryAt"].is_number()
    })
    .await;
    let overview = live(web, "overview").await;
    assert_eq!(overview["proxies"]["closed"], 2);
    assert_eq!(item(web, "proxies", "nobody").await["status"], "closed");
    assert_eq!(item(web, "visitors", "v").await["status"], "closed");
}

#[tokio::test]
async fn events_tell_of_the_session() {
    let rig = Rig::new();
    let web = free_port();
    let frps = rig.frps("").await;
    let client = rig.frpc(frps.port, &admin(web, ""));
    client.expect("login to server success").await;
    let mut page = connect(web).await;
    let request = format!(
        "GET /api/live/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {ADMIN}\r\n\r\n"
    );
    page.write_all(request.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    within(Duration::from_secs(20), "two events", async {
        while heard.windows(6).filter(|found| found == b"data: ").count() < 2 {
            assert!(page.read_buf(&mut heard).await.unwrap() > 0);
        }
    })
    .await;
    let heard = String::from_utf8(heard).unwrap();
    assert!(
        heard
            .to_lowercase()
            .contains("content-type: text/event-stream")
    );
    assert!(
        heard.contains("event: overview\ndata: {\"version\":"),
        "{heard}"
    );
    assert!(heard.contains("\"state\":\"connected\""), "{heard}");
    for (path, status) in [("nope", 404), ("visitors?pageSize=201", 400)] {
        let answer = get(web, &format!("/api/live/{path}")).await;
        assert_eq!(answer.status, status, "{path}");
    }
}
