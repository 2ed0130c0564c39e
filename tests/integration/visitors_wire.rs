//! Visitors and owners of stcp proxies that speak by script: what frps takes and gives on the wire.

use frp_tests::clients::until_closed;
use frp_tests::rig::stcp_proxy;
use frp_tests::wire::{
    CLOSE_PROXY, Control, NEW_PROXY, NEW_VISITOR_CONN, NEW_VISITOR_CONN_RESP, NEW_WORK_CONN,
    REQ_WORK_CONN, START_WORK_CONN, privilege_key, read_v1, v1,
};
use frp_tests::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const SINGLE: &str = "transport.tcpMux = false\n";

/// A NewVisitorConn for `proxy` with the right signature of `secret`.
fn visit(proxy: &str, secret: &str, more: &Value) -> Value {
    let (sign_key, timestamp) = privilege_key(secret);
    let mut body = json!({"proxy_name": proxy, "sign_key": sign_key, "timestamp": timestamp});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// Asks frps; the connection and the error of the answer.
async fn ask(port: u16, body: &Value) -> (TcpStream, String) {
    let mut stream = connect(port).await;
    stream.write_all(&v1(NEW_VISITOR_CONN, body)).await.unwrap();
    let (kind, answer) = read_v1(&mut stream).await.expect("an answer");
    assert_eq!(kind, NEW_VISITOR_CONN_RESP);
    let named = |message: &Value| message["proxy_name"].as_str().map(ToOwned::to_owned);
    assert_eq!(
        named(&answer).unwrap_or_default(),
        named(body).unwrap_or_default()
    );
    let error = answer["error"].as_str().unwrap_or_default().to_owned();
    (stream, error)
}

/// Logs in as the owner of the stcp proxy `p`, whose work connections it opens itself.
async fn owner(frps: &Frps) -> (Control<TcpStream>, String) {
    let (mut control, answer) = Control::login(connect(frps.port).await, "", &json!({})).await;
    let proxy = json!({"proxy_name": "p", "proxy_type": "stcp", "sk": "s"});
    control.send(NEW_PROXY, &proxy).await;
    frps.program
        .expect("new proxy [p] type [stcp] success")
        .await;
    (control, answer["run_id"].as_str().unwrap().to_owned())
}

/// A work connection when frps asks for one, and what it is told.
async fn work(control: &mut Control<TcpStream>, port: u16, run_id: &str) -> (TcpStream, Value) {
    loop {
        let (kind, _) = control.recv().await.expect("ReqWorkConn");
        if kind == REQ_WORK_CONN {
            break;
        }
    }
    let mut stream = connect(port).await;
    let hello = v1(NEW_WORK_CONN, &json!({"run_id": run_id}));
    stream.write_all(&hello).await.unwrap();
    let (kind, start) = read_v1(&mut stream).await.expect("StartWorkConn");
    assert_eq!(kind, START_WORK_CONN);
    (stream, start)
}

#[tokio::test]
async fn the_owner_is_told_where_the_visitor_is() {
    let rig = Rig::new();
    let frps = rig.frps(SINGLE).await;
    let (mut control, run_id) = owner(&frps).await;
    let (mut visitor, error) = ask(frps.port, &visit("p", "s", &json!({}))).await;
    assert_eq!(error, "");
    let (mut work, start) = work(&mut control, frps.port, &run_id).await;
    let at = visitor.local_addr().unwrap();
    assert_eq!(
        start,
        json!({
            "proxy_name": "p", "src_addr": "127.0.0.1", "src_port": at.port(),
            "dst_addr": "127.0.0.1", "dst_port": frps.port,
        })
    );
    visitor.write_all(b"ping").await.unwrap();
    let mut heard = [0; 4];
    work.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"ping");
}

#[tokio::test]
async fn a_proxy_that_is_withdrawn_lets_go_of_nobody() {
    let rig = Rig::new();
    let frps = rig.frps(SINGLE).await;
    let (mut control, run_id) = owner(&frps).await;
    let body = visit("p", "s", &json!({}));
    let (mut visitor, _) = ask(frps.port, &body).await;
    let (mut work, _) = work(&mut control, frps.port, &run_id).await;
    control.send(CLOSE_PROXY, &json!({"proxy_name": "p"})).await;
    frps.program.expect("close proxy [p] success").await;

    let (mut late, error) = ask(frps.port, &body).await;
    assert_eq!(error, "custom listener for [p] doesn't exist");
    until_closed(&mut late, wait::SOON, "after the refusal").await;
    work.write_all(b"still here").await.unwrap();
    let mut heard = [0; 10];
    visitor.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"still here");
    drop(work);
    until_closed(&mut visitor, wait::SOON, "the work connection is gone").await;

    // The name is free again.
    let proxy = json!({"proxy_name": "p", "proxy_type": "stcp", "sk": "other"});
    let mark = frps.program.log().mark();
    control.send(NEW_PROXY, &proxy).await;
    frps.program
        .expect_from(mark, "new proxy [p] type [stcp] success", wait::SOON)
        .await;
    let (_, error) = ask(frps.port, &body).await;
    assert_eq!(error, "visitor connection of [p] auth failed");
}

#[tokio::test]
async fn what_frps_refuses_is_answered_and_closed() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let frps = rig.frps(SINGLE).await;
    let text = format!(
        "user = \"al\"\n{SINGLE}{}",
        stcp_proxy("p", service.port, "")
    );
    let frpc = rig.frpc(frps.port, &text);
    frpc.expect("[p] start proxy success").await;
    let name = "al.p";
    let (key, timestamp) = privilege_key("secret");
    let long = "n".repeat(4000);
    let not_there = format!("custom listener for [{long}] doesn't exist");
    let wrong_key = "visitor connection of [al.p] auth failed";
    let cases = [
        (
            json!({"proxy_name": ""}),
            "custom listener for [] doesn't exist",
        ),
        (json!({"proxy_name": long}), &not_there),
        (
            json!({"proxy_name": "p"}),
            "custom listener for [p] doesn't exist",
        ),
        (json!({"proxy_name": name}), wrong_key),
        (
            json!({"proxy_name": name, "sign_key": "", "timestamp": 0}),
            wrong_key,
        ),
        (
            json!({"proxy_name": name, "sign_key": key.to_uppercase(), "timestamp": timestamp}),
            wrong_key,
        ),
        (
            json!({"proxy_name": name, "sign_key": key, "timestamp": timestamp + 1}),
            wrong_key,
        ),
        (
            json!({"proxy_name": name, "sign_key": key, "timestamp": i64::MIN}),
            wrong_key,
        ),
        (
            visit(name, "secret", &json!({"run_id": "0123456789abcdef"})),
            "no client control found for run id [0123456789abcdef]",
        ),
        // Without a login the user is "".
        (
            visit(name, "secret", &json!({})),
            "visitor connection of [al.p] user [] not allowed",
        ),
    ];
    for (body, expected) in cases {
        let (mut stream, error) = ask(frps.port, &body).await;
        assert_eq!(error, expected, "{body}");
        until_closed(&mut stream, wait::SOON, "after the refusal").await;
    }
    // An answer with a longer name fits no message: the end says it all.
    let mut stream = connect(frps.port).await;
    let body = visit(&"n".repeat(9000), "secret", &json!({}));
    let asked = v1(NEW_VISITOR_CONN, &body);
    stream.write_all(&asked).await.unwrap();
    until_closed(&mut stream, wait::SOON, "after a long name").await;
    // A session that is over counts no more.
    let (control, answer) =
        Control::login(connect(frps.port).await, "", &json!({"user": "al"})).await;
    let run_id = answer["run_id"].as_str().unwrap().to_owned();
    let body = visit(name, "secret", &json!({"run_id": run_id}));
    let (mut stream, error) = ask(frps.port, &body).await;
    assert_eq!(error, "");
    stream.write_all(b"echo").await.unwrap();
    let mut heard = [0; 4];
    stream.read_exact(&mut heard).await.unwrap();
    drop(control);
    frps.program.expect("client exit success").await;
    let (_, error) = ask(frps.port, &body).await;
    assert_eq!(
        error,
        format!("no client control found for run id [{run_id}]")
    );
}

/// Whoever is admitted and then says nothing, or nonsense, or leaves, harms nobody.
#[tokio::test]
async fn visitors_that_misbehave_leave_nothing_behind() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let frps = rig.frps(SINGLE).await;
    let frpc = rig.frpc(
        frps.port,
        &format!("{SINGLE}{}", stcp_proxy("p", service.port, "")),
    );
    frpc.expect("[p] start proxy success").await;
    let before = frps.program.open_files();
    let mut silent = Vec::new();
    for i in 0..60 {
        let layers = json!({"use_encryption": i % 2 == 0, "use_compression": i % 3 == 0});
        let (mut stream, error) = ask(frps.port, &visit("p", "secret", &layers)).await;
        assert_eq!(error, "");
        match i % 4 {
            0 => drop(stream),
            1 => {
                let _ = stream.write_all(&pattern(5000, i)).await;
                drop(stream);
            }
            2 => {
                let mut stream = connect(frps.port).await;
                let body = visit("p", "secret", &layers);
                let _ = stream.write_all(&v1(NEW_VISITOR_CONN, &body)).await;
            }
            _ => silent.push(stream),
        }
    }
    let (mut honest, _) = ask(frps.port, &visit("p", "secret", &json!({}))).await;
    clients::echo_on(&mut honest, b"served all the same").await;
    drop(honest);
    drop(silent);
    eventually("all of it is given back", || async {
        // A few more work connections may lie ready than at first.
        frps.program.open_files() <= before + 12
    })
    .await;
}

/// One multiplexed connection, by hand.
struct MuxPeer(TcpStream);

impl MuxPeer {
    async fn on(port: u16) -> Self {
        Self(connect(port).await)
    }

    /// Sends `message` as the first on stream `id`; the first message of the answer.
    async fn first(&mut self, id: u32, message: &[u8]) -> (u8, Value) {
        let mut out = yamux::open(id);
        out.extend(yamux::data(id, message));
        self.0.write_all(&out).await.unwrap();
        let mut heard = Vec::new();
        within(wait::SOON, "an answer", async {
            loop {
                let (head, body) = yamux::read(&mut self.0).await.expect("a frame");
                if head.stream == id && head.kind == yamux::DATA {
                    heard.extend(body);
                    if heard.len() > 9 {
                        return read_v1(&mut heard.as_slice()).await.unwrap();
                    }
                }
            }
        })
        .await
    }

    async fn login(&mut self, id: u32, user: &str) -> String {
        let login = v1(wire::LOGIN, &wire::login("t", &json!({"user": user})));
        let (kind, answer) = self.first(id, &login).await;
        assert_eq!(kind, wire::LOGIN_RESP, "{answer}");
        answer["run_id"].as_str().unwrap().to_owned()
    }

    async fn visit(&mut self, id: u32, body: &Value) -> String {
        let (kind, answer) = self.first(id, &v1(NEW_VISITOR_CONN, body)).await;
        assert_eq!(kind, NEW_VISITOR_CONN_RESP);
        answer["error"].as_str().unwrap_or_default().to_owned()
    }
}

/// Defect 5 of frp: whoever had the secret needed no login, and whoever knew a run id was its user.
#[tokio::test]
async fn a_multiplexed_visitor_belongs_to_the_login_of_its_connection() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let frps = rig.frps("auth.token = \"t\"\n").await;
    let text = stcp_proxy("open", service.port, "")
        + &stcp_proxy("als", service.port, "allowUsers = [\"al\"]");
    let frpc = rig.frpc(frps.port, &format!("auth.token = \"t\"\n{text}"));
    frpc.expect("[open] start proxy success").await;
    frpc.expect("[als] start proxy success").await;

    let mut al = MuxPeer::on(frps.port).await;
    let run_id = al.login(1, "al").await;
    let als = visit("als", "secret", &json!({"run_id": run_id}));
    assert_eq!(al.visit(3, &als).await, "");
    // As frpc did before 0.50, after a login on the same connection: user "".
    let open = visit("open", "secret", &json!({}));
    assert_eq!(al.visit(5, &open).await, "");

    let mut stranger = MuxPeer::on(frps.port).await;
    assert_eq!(
        stranger.visit(1, &open).await,
        "visitor connection of [open] without run id on a connection that has not logged in"
    );
    assert_eq!(
        stranger.visit(3, &als).await,
        format!("no client control found for run id [{run_id}]")
    );
    let mut eve = MuxPeer::on(frps.port).await;
    eve.login(1, "eve").await;
    assert_eq!(
        eve.visit(3, &als).await,
        format!("no client control found for run id [{run_id}]")
    );
}
