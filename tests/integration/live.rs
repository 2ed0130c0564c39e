//! What is there now (`/api/live`): clients come and go, users' connections with their bytes, and their end;
//! failed logins; events.

use std::time::Duration;

use frp_tests::clients::{echo_on, until_closed, until_echoes};
use frp_tests::http::{ADMIN, Answer, get, request, send};
use frp_tests::rig::{host_proxy, stcp_proxy, stcp_visitor, tcp_proxy, udp_proxy};
use frp_tests::udp::{UdpService, UdpUser};
use frp_tests::wait::eventually_within;
use frp_tests::wire::Control;
use frp_tests::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

fn dashboard(web: u16) -> String {
    format!("webServer.port = {web}\nwebServer.user = \"admin\"\nwebServer.password = \"secret\"\n")
}

async fn live(web: u16, path: &str) -> Value {
    let answer = get(web, &format!("/api/live/{path}")).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

async fn items(web: u16, path: &str) -> Vec<Value> {
    live(web, path).await["items"].as_array().unwrap().clone()
}

async fn delete(web: u16, path: &str) -> Answer {
    request(web, "DELETE", &format!("/api/live/{path}"), Some(ADMIN)).await
}

fn refusal(answer: &Answer) -> (u16, String) {
    let json = answer.json();
    assert_eq!(json["Code"], answer.status, "{answer:?}");
    (answer.status, json["Msg"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_client_is_listed_as_it_comes_and_goes() {
    let rig = Rig::new();
    let (web, remote) = (free_port(), free_port());
    let service = Service::echo().await;
    let frps = rig.frps(&dashboard(web)).await;
    let nobody = live(web, "overview").await;
    assert_eq!(nobody["clients"], json!({"online": 0, "offline": 0}));

    let office = format!(
        "user = \"u\"\nclientID = \"office\"\n{}",
        tcp_proxy("a", service.port, remote, "")
    );
    let mut office = rig.frpc(frps.port, &office);
    office.expect("[a] start proxy success").await;
    let [client] = &items(web, "clients").await[..] else {
        panic!("one client")
    };
    for (key, value) in [
        ("key", json!("u.office")),
        ("user", json!("u")),
        ("clientID", json!("office")),
        ("transport", json!("tcp")),
        ("tls", json!(true)),
        ("mux", json!(true)),
        ("wireProtocol", json!("v1")),
        ("online", json!(true)),
        ("disconnectedAt", json!(null)),
        ("proxies", json!(1)),
        ("connections", json!(0)),
    ] {
        assert_eq!(client[key], value, "{key}: {client}");
    }
    assert!(
        client["address"]
            .as_str()
            .unwrap()
            .starts_with("127.0.0.1:")
    );
    eventually("the round trip is known", || async {
        live(web, "clients/u.office").await["roundTripMs"].is_number()
    })
    .await;
    let one = live(web, "overview").await;
    assert_eq!(one["clients"], json!({"online": 1, "offline": 0}));
    assert_eq!(one["proxies"], json!({"online": {"tcp": 1}, "offline": 0}));
    let revision = |overview: &Value, of: &str| overview["revisions"][of].as_u64().unwrap();
    for of in ["clients", "proxies"] {
        assert!(revision(&one, of) > revision(&nobody, of), "{of}");
    }
    assert!(one["memory"].as_u64().unwrap() > 1_000_000);
    assert!(one["descriptors"]["used"].as_u64().unwrap() > 5);
    let [proxy] = &items(web, "proxies?client=u.office").await[..] else {
        panic!("one proxy")
    };
    assert_eq!(proxy["name"], "u.a");
    assert_eq!(proxy["client"], "u.office");
    assert_eq!(proxy["remote"], remote.to_string());
    assert!(items(web, "proxies?client=office").await.is_empty());

    office.kill().await;
    eventually("the client is offline", || async {
        live(web, "overview").await["clients"] == json!({"online": 0, "offline": 1})
    })
    .await;
    let gone = live(web, "clients/u.office").await;
    assert_eq!(
        (&gone["online"], &gone["proxies"]),
        (&json!(false), &json!(0))
    );
    assert!(gone["disconnectedAt"].is_number());
    assert!(items(web, "clients?status=online").await.is_empty());
    assert_eq!(items(web, "proxies?status=offline").await.len(), 1);
    assert_eq!(delete(web, "clients/u.office").await.status, 200);
    assert_eq!(delete(web, "clients/u.office").await.status, 404);
    assert!(items(web, "clients").await.is_empty());
}

#[tokio::test]
async fn clients_that_are_offline_are_forgotten_together() {
    let rig = Rig::new();
    let web = free_port();
    let settings = format!("transport.tcpMux = false\n{}", dashboard(web));
    let frps = rig.frps(&settings).await;
    for id in ["one", "two", "three"] {
        let login = json!({ "client_id": id });
        let (control, _) = Control::login(connect(frps.port).await, "", &login).await;
        if id == "three" {
            eventually("two have left", || async {
                live(web, "overview").await["clients"] == json!({"online": 1, "offline": 2})
            })
            .await;
            assert_eq!(refusal(&delete(web, "clients").await).0, 400);
            let cleared = delete(web, "clients?status=offline").await.json();
            assert_eq!(cleared, json!({"cleared": 2}));
            let [left] = &items(web, "clients").await[..] else {
                panic!("one is online")
            };
            assert_eq!(
                (&left["key"], &left["mux"]),
                (&json!("three"), &json!(false))
            );
            eventually("the socket tells the round trip", || async {
                live(web, "clients/three").await["roundTripMs"].is_number()
            })
            .await;
        }
        drop(control);
    }
}

#[tokio::test]
async fn a_session_is_ended_and_its_client_comes_back() {
    let rig = Rig::new();
    let (web, remote) = (free_port(), free_port());
    let service = Service::echo().await;
    let frps = rig.frps(&dashboard(web)).await;
    let office = tcp_proxy("a", service.port, remote, "");
    let office = rig.frpc(frps.port, &format!("clientID = \"office\"\n{office}"));
    office.expect("[a] start proxy success").await;
    let before = live(web, "clients/office").await;
    assert_eq!(delete(web, "clients/office").await.status, 200);
    frps.program.expect("ended by an administrator").await;
    eventually("it has logged in again", || async {
        let now = live(web, "clients/office").await;
        now["online"] == true && now["lastConnectedAt"] != before["lastConnectedAt"]
    })
    .await;
    until_echoes(remote, Duration::from_secs(20)).await;
}

#[tokio::test]
async fn connections_are_listed_with_their_bytes_and_ended() {
    let rig = Rig::new();
    let (web, remote, visited) = (free_port(), free_port(), free_port());
    let (closed, mut closes) = tokio::sync::mpsc::unbounded_channel();
    let service = Service::new(move |mut conn: TcpStream| {
        let closed = closed.clone();
        async move {
            let (mut reads, mut writes) = conn.split();
            let _ = tokio::io::copy(&mut reads, &mut writes).await;
            let _ = closed.send(());
        }
    })
    .await;
    let frps = rig.frps(&dashboard(web)).await;
    let home = format!(
        "clientID = \"home\"\n{}{}{}",
        tcp_proxy("a", service.port, remote, ""),
        stcp_proxy("s", service.port, ""),
        stcp_visitor("v", "s", visited, "")
    );
    let home = rig.frpc(frps.port, &home);
    home.expect("[a] start proxy success").await;
    home.expect("[s] start proxy success").await;
    for (port, proxy, kind) in [(remote, "a", "tcp"), (visited, "s", "stcp")] {
        let mut user = connect(port).await;
        let path = format!("connections?proxy={proxy}");
        for round in 1..=3 {
            echo_on(&mut user, b"hello").await;
            eventually("the bytes are there", || async {
                let [conn] = &items(web, &path).await[..] else {
                    return false;
                };
                (&conn["in"], &conn["out"]) == (&json!(5 * round), &json!(5 * round))
            })
            .await;
        }
        let [conn] = &items(web, &path).await[..] else {
            panic!("one connection")
        };
        assert_eq!(
            (&conn["type"], &conn["client"]),
            (&json!(kind), &json!("home"))
        );
        if kind == "tcp" {
            assert_eq!(conn["user"], user.local_addr().unwrap().to_string());
        }
        assert_eq!(live(web, "overview").await["connections"], 1);
        assert_eq!(live(web, "clients/home").await["connections"], 1);
        assert_eq!(items(web, "connections?q=127.0.0").await.len(), 1);
        assert!(items(web, "connections?client=nobody").await.is_empty());
        let ended = format!("connections/{}", conn["id"].as_str().unwrap());
        assert_eq!(delete(web, &ended).await.status, 200);
        until_closed(&mut user, Duration::from_secs(10), "the user's side").await;
        closes.recv().await.unwrap();
        eventually("it is not listed", || async {
            items(web, &path).await.is_empty()
        })
        .await;
        assert_eq!(refusal(&delete(web, &ended).await).0, 404);
    }
    assert_eq!(live(web, "overview").await["connections"], 0);
}

/// One row as long as the user's connection is there, whatever its requests go over.
#[tokio::test]
async fn a_user_of_http_is_listed_between_its_requests() {
    let rig = Rig::new();
    let (web, vhost) = (free_port(), free_port());
    let service = Service::new(|mut conn: TcpStream| async move {
        let mut buffer = [0; 4096];
        while let Ok(1..) = conn.read(&mut buffer).await {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            let _ = conn.write_all(answer).await;
        }
    })
    .await;
    let frps = rig
        .frps(&format!("vhostHTTPPort = {vhost}\n{}", dashboard(web)))
        .await;
    let lines = "customDomains = [\"a.test\"]";
    let client = rig.frpc(frps.port, &host_proxy("http", "h", service.port, lines));
    client.expect("[h] start proxy success").await;
    let mut user = connect(vhost).await;
    let mut seen = 0;
    for _ in 0..3 {
        user.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
            .await
            .unwrap();
        let mut heard = Vec::new();
        while !heard.ends_with(b"ok") {
            assert!(user.read_buf(&mut heard).await.unwrap() > 0, "{heard:?}");
        }
        let [conn] = &items(web, "connections").await[..] else {
            panic!("one connection")
        };
        assert_eq!(conn["user"], user.local_addr().unwrap().to_string());
        let carried = conn["out"].as_u64().unwrap();
        assert!(carried > seen, "{conn}");
        assert!(conn["in"].as_u64().unwrap() > 0, "{conn}");
        seen = carried;
    }
    let id = items(web, "connections").await[0]["id"].clone();
    let ended = format!("connections/{}", id.as_str().unwrap());
    assert_eq!(delete(web, &ended).await.status, 200);
    until_closed(&mut user, Duration::from_secs(10), "the user's side").await;
}

#[tokio::test]
async fn users_of_udp_are_listed_by_address() {
    let rig = Rig::new();
    let (web, remote) = (free_port(), free_port());
    let service = UdpService::echo().await;
    let frps = rig.frps(&dashboard(web)).await;
    let client = rig.frpc(frps.port, &udp_proxy("u", service.port, remote, ""));
    client.expect("[u] start proxy success").await;
    let [one, other] = [UdpUser::of(remote).await, UdpUser::of(remote).await];
    one.echo(b"hello").await;
    other.echo(b"hello").await;
    other.echo(b"hello").await;
    let path = "connections?proxy=u";
    let found = async |user: &UdpUser| {
        let address = user.0.local_addr().unwrap().to_string();
        let listed = items(web, path).await;
        let mut found = listed.into_iter().filter(|conn| conn["user"] == address);
        found.next()
    };
    eventually("the bytes of both are there", || async {
        let [Some(one), Some(other)] = [found(&one).await, found(&other).await] else {
            return false;
        };
        let bytes = |conn: &Value, way: &str| conn[way].as_u64().unwrap();
        bytes(&one, "in") >= 5 && bytes(&other, "in") >= 10 && bytes(&other, "out") >= 10
    })
    .await;
    let id = found(&one).await.unwrap()["id"].clone();
    let ended = format!("connections/{}", id.as_str().unwrap());
    assert_eq!(delete(web, &ended).await.status, 200);
    eventually("it is not listed", || async { found(&one).await.is_none() }).await;
    // With its next datagram it is a new user.
    one.echo(b"hello").await;
    assert_ne!(found(&one).await.unwrap()["id"], id);
}

#[tokio::test]
async fn failed_logins_are_listed_with_cause_and_cure() {
    let rig = Rig::new();
    let web = free_port();
    let plain = "transport.tcpMux = false\n";
    let settings = format!("{plain}auth.token = \"right\"\n{}", dashboard(web));
    let frps = rig.frps(&settings).await;
    let login = json!({"user": "<b>\u{202e}eve", "version": "9.9.9"});
    for _ in 0..3 {
        let (_, answer) = Control::login(connect(frps.port).await, "wrong", &login).await;
        assert!(answer["error"].as_str().unwrap().contains("token"));
    }
    let [failed] = &items(web, "logins").await[..] else {
        panic!("one source")
    };
    assert_eq!(failed["code"], "token");
    assert_eq!(failed["count"], 3);
    assert_eq!(failed["user"], "<b>\u{202e}eve");
    assert_eq!(failed["version"], "9.9.9");
    assert_eq!(failed["transport"], "tcp");
    assert!(failed["cause"].as_str().unwrap().contains("token in login"));
    assert!(failed["cure"].as_str().unwrap().contains("auth.token"));
    for (wanted, found) in [("EVE", 1), ("9.9.9", 1), ("127.0.0.1", 1), ("nobody", 0)] {
        assert_eq!(items(web, &format!("logins?q={wanted}")).await.len(), found);
    }
    let overview = live(web, "overview").await;
    assert_eq!(overview["loginFailures"], 3);
    assert_eq!(overview["revisions"]["logins"], 3);
    // Nothing that a page could take for markup.
    let body = get(web, "/api/live/logins").await.body;
    assert!(!body.contains('<'), "{body}");
}

#[tokio::test]
async fn a_client_without_tls_is_told_apart() {
    let rig = Rig::new();
    let web = free_port();
    let settings = format!("transport.tls.force = true\n{}", dashboard(web));
    let frps = rig.frps(&settings).await;
    let _client = rig.frpc(frps.port, "transport.tls.enable = false\n");
    eventually("it is listed", || async {
        let logins = items(web, "logins").await;
        logins.iter().any(|failed| failed["code"] == "tlsRequired")
    })
    .await;
}

#[tokio::test]
async fn ten_thousand_proxies_are_sorted_searched_and_paged() {
    let rig = Rig::new();
    let web = free_port();
    let settings = format!(
        "transport.tcpMux = false\nvhostHTTPPort = {}\n{}",
        free_port(),
        dashboard(web)
    );
    let frps = rig.frps(&settings).await;
    let login = json!({"client_id": "big"});
    let (mut control, _) = Control::login(connect(frps.port).await, "", &login).await;
    for n in 0..600 {
        let domain = format!("h{n:03}.test");
        let proxy = json!({
            "proxy_name": format!("p{n:03}"), "proxy_type": "http", "custom_domains": [domain],
        });
        control.register(&proxy).await;
    }
    let hostile = "<img src=x>\u{202e}\u{0}\"';--";
    let secret = json!({"proxy_name": hostile, "proxy_type": "stcp", "sk": "x"});
    let answer = control.register(&secret).await;
    assert!(answer["error"].as_str().unwrap_or_default().is_empty());
    let all = live(web, "proxies").await;
    assert_eq!((&all["total"], &all["pageSize"]), (&json!(601), &json!(50)));
    let names = async |query: &str| -> Vec<String> {
        let found = items(web, &format!("proxies?{query}")).await;
        let name = |item: &Value| item["name"].as_str().unwrap().to_owned();
        found.iter().map(name).collect()
    };
    assert_eq!(names("q=H123.test").await, ["p123"]);
    assert_eq!(names("type=stcp").await, [hostile]);
    assert_eq!(
        names("type=http&order=desc&pageSize=2&page=2").await,
        ["p597", "p596"]
    );
    assert_eq!(names("sort=type&order=desc&pageSize=1").await, [hostile]);
    assert!(names("page=1000").await.is_empty());
    let big = live(web, "clients/big").await;
    assert_eq!(big["proxies"], 601);
    let body = get(web, "/api/live/proxies?type=stcp").await.body;
    assert!(!body.contains(['<', '>', '\0']), "{body}");
    drop(control);
    eventually("all are closed", || async {
        live(web, "overview").await["proxies"]["offline"] == 601
    })
    .await;
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused() {
    let rig = Rig::new();
    let web = free_port();
    let _frps = rig.frps(&dashboard(web)).await;
    for (path, status) in [
        ("clients/nobody", 404),
        ("clients?pageSize=201", 400),
        ("clients?page=0", 400),
        ("clients?sort=size", 400),
        ("clients?order=up", 400),
        ("clients?status=gone", 400),
        ("proxies?type=magic", 400),
        ("proxies?sort=magic", 400),
        ("connections?pageSize=x", 400),
    ] {
        let answer = get(web, &format!("/api/live/{path}")).await;
        assert_eq!(refusal(&answer).0, status, "{path}");
    }
    for id in ["0", "00000000000000000", "zz", "-1"] {
        let answer = delete(web, &format!("connections/{id}")).await;
        assert_eq!(refusal(&answer).0, 404, "{id}");
    }
    for (method, path, status) in [
        ("GET", "nope", 404),
        ("POST", "overview", 405),
        ("DELETE", "logins", 405),
        ("PUT", "clients/x", 405),
        ("GET", "connections/1", 405),
    ] {
        let answer = request(web, method, &format!("/api/live/{path}"), Some(ADMIN)).await;
        assert_eq!(answer.status, status, "{method} {path}");
    }
    for path in ["overview", "events", "clients"] {
        let path = format!("/api/live/{path}");
        assert_eq!(request(web, "GET", &path, None).await.status, 401);
    }
    // A page of another site has no say.
    let foreign = "Sec-Fetch-Site: cross-site\r\n";
    let answer = send(web, "DELETE", "/api/live/clients/x", foreign, "").await;
    assert_eq!(refusal(&answer).0, 403);
}

/// Asks for the events; the head of the answer.
async fn listen(stream: &mut TcpStream) -> String {
    let request = format!(
        "GET /api/live/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {ADMIN}\r\n\
         Accept: text/event-stream\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    within(Duration::from_secs(20), "an answer", async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
    })
    .await;
    String::from_utf8(head).unwrap().to_lowercase()
}

/// The data of the next event that comes, over a connection whose body has chunks.
async fn next_event(stream: &mut TcpStream) -> Value {
    let read = async {
        loop {
            let mut line = Vec::new();
            while !line.ends_with(b"\n") {
                line.push(stream.read_u8().await.unwrap());
            }
            if let Some(data) = line.strip_prefix(b"data: ") {
                return serde_json::from_slice(data).unwrap();
            }
        }
    };
    within(Duration::from_secs(20), "an event", read).await
}

#[tokio::test]
async fn events_tell_the_overview_at_once_and_then_every_second() {
    let rig = Rig::new();
    let (web, remote) = (free_port(), free_port());
    let service = Service::echo().await;
    let frps = rig.frps(&dashboard(web)).await;
    let mut page = connect(web).await;
    let head = listen(&mut page).await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    for line in ["content-type: text/event-stream", "cache-control: no-store"] {
        assert!(head.contains(line), "{head}");
    }
    let first = next_event(&mut page).await;
    assert_eq!(first["clients"]["online"], 0);
    let client = rig.frpc(frps.port, &tcp_proxy("a", service.port, remote, ""));
    client.expect("[a] start proxy success").await;
    echo(remote, b"hello").await;
    within(Duration::from_secs(20), "the client and its bytes", async {
        loop {
            let told = next_event(&mut page).await;
            assert!(told["now"].as_i64() > first["now"].as_i64());
            if told["clients"]["online"] == 1 && told["trafficIn"] == 5 {
                return assert_eq!(told["todayOut"], 5);
            }
        }
    })
    .await;
    // It ends when frps begins to leave, with a user still there.
    let mut user = connect(remote).await;
    echo_on(&mut user, b"hello").await;
    frps.program.signal("TERM").await;
    until_closed(&mut page, Duration::from_secs(10), "the events").await;
}

#[tokio::test]
async fn listeners_are_bounded_and_those_who_do_not_read_are_cut_off() {
    let rig = Rig::new();
    let web = free_port();
    let _frps = rig.frps(&dashboard(web)).await;
    let mut idlers = Vec::new();
    for _ in 0..64 {
        let socket = TcpSocket::new_v4().unwrap();
        // So that little of what it does not read can be on its way.
        socket.set_recv_buffer_size(2048).unwrap();
        let mut idler = socket.connect(([127, 0, 0, 1], web).into()).await.unwrap();
        assert!(listen(&mut idler).await.starts_with("http/1.1 200"));
        idlers.push(idler);
    }
    assert!(
        listen(&mut connect(web).await)
            .await
            .starts_with("http/1.1 503")
    );
    eventually_within(Duration::from_secs(60), "there is room again", || async {
        listen(&mut connect(web).await)
            .await
            .starts_with("http/1.1 200")
    })
    .await;
    drop(idlers);
}
