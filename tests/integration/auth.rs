//! Credentials: the token, and the scopes that ask for it again.

use std::time::Duration;

use frp_tests::rig::tcp_proxy;
use frp_tests::wire::{self, Control, privilege_key};
use frp_tests::*;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

const SINGLE: &str = "auth.token = \"secret\"\ntransport.tcpMux = false\n";

async fn login(port: u16, token: &str) -> (Control<TcpStream>, Value) {
    Control::login(connect(port).await, token, &json!({})).await
}

#[tokio::test]
async fn only_the_token_opens() {
    let rig = Rig::new();
    let frps = rig.frps(SINGLE).await;
    let (_, answer) = login(frps.port, "secret").await;
    assert_eq!(answer["error"], Value::Null);
    for wrong in ["", "Secret", "secret "] {
        let (_, answer) = login(frps.port, wrong).await;
        let expected = "token in login doesn't match token from configuration";
        assert_eq!(answer["error"], expected, "token {wrong:?}");
        assert!(answer["run_id"].as_str().unwrap_or("").is_empty());
    }
    let (_, answer) = Control::login(
        connect(frps.port).await,
        "secret",
        &json!({"privilege_key": ""}),
    )
    .await;
    assert!(answer["error"].is_string());
}

#[tokio::test]
async fn details_are_kept_back_on_request() {
    let rig = Rig::new();
    let frps = rig
        .frps(&format!("detailedErrorsToClient = false\n{SINGLE}"))
        .await;
    let (_, answer) = login(frps.port, "wrong").await;
    assert_eq!(answer["error"], "register control error");
    let (mut control, _) = login(frps.port, "secret").await;
    let proxy = json!({"proxy_name": "x", "proxy_type": "tcp", "remote_port": frps.port});
    control.send(wire::NEW_PROXY, &proxy).await;
    let answer = answer_to(&mut control, wire::NEW_PROXY_RESP).await;
    assert_eq!(answer["error"], "new proxy [x] error");
}

async fn answer_to(control: &mut Control<TcpStream>, wanted: u8) -> Value {
    loop {
        let (kind, body) = control.recv().await.expect("an answer");
        if kind == wanted {
            return body;
        }
    }
}

/// The answer to a login is not yet the session: an honest client waits until it is asked for a
/// work connection.
async fn running(control: &mut Control<TcpStream>) {
    control.send(wire::PING, &json!({})).await;
    answer_to(control, wire::PONG).await;
}

#[tokio::test]
async fn heartbeats_carry_the_token_where_the_scope_asks() {
    let rig = Rig::new();
    let frps = rig
        .frps(&format!(
            "auth.additionalScopes = [\"HeartBeats\"]\n{SINGLE}"
        ))
        .await;
    let (mut control, _) = login(frps.port, "secret").await;
    let (key, timestamp) = privilege_key("secret");
    control
        .send(
            wire::PING,
            &json!({"privilege_key": key, "timestamp": timestamp}),
        )
        .await;
    assert_eq!(
        answer_to(&mut control, wire::PONG).await["error"]
            .as_str()
            .unwrap_or(""),
        ""
    );
    control.send(wire::PING, &json!({})).await;
    let expected = "token in heartbeat doesn't match token from configuration";
    assert_eq!(answer_to(&mut control, wire::PONG).await["error"], expected);
}

#[tokio::test]
async fn work_connections_carry_the_token_where_the_scope_asks() {
    let rig = Rig::new();
    let frps = rig
        .frps(&format!(
            "auth.additionalScopes = [\"NewWorkConns\"]\n{SINGLE}"
        ))
        .await;
    let (mut control, answer) = login(frps.port, "secret").await;
    running(&mut control).await;
    let mut work = connect(frps.port).await;
    let hello = wire::v1(wire::NEW_WORK_CONN, &json!({"run_id": answer["run_id"]}));
    work.write_all(&hello).await.unwrap();
    let (kind, answer) = wire::read_v1(&mut work).await.expect("an answer");
    assert_eq!(kind, wire::START_WORK_CONN);
    let expected = "token in NewWorkConn doesn't match token from configuration";
    assert_eq!(answer["error"], expected);
}

#[tokio::test]
async fn frpc_satisfies_both_scopes() {
    for (mux, wire) in [(true, "v1"), (false, "v1"), (true, "v2"), (false, "v2")] {
        let rig = Rig::new();
        let service = Service::echo().await;
        let scopes = "auth.additionalScopes = [\"HeartBeats\", \"NewWorkConns\"]\n";
        let common = format!("{scopes}auth.token = \"secret\"\ntransport.tcpMux = {mux}\n");
        let frps = rig
            .frps(&format!("{common}transport.heartbeatTimeout = 4\n"))
            .await;
        let port = free_port();
        let frpc = rig.frpc(
            frps.port,
            &format!(
                "{common}transport.wireProtocol = \"{wire}\"\ntransport.heartbeatInterval = 1\n\
                 transport.heartbeatTimeout = 4\n{}",
                tcp_proxy("web", service.port, port, "")
            ),
        );
        frpc.expect("[web] start proxy success").await;
        echo(port, b"hello").await;
        // Longer than the timeout: the pings are what keeps the session.
        let log = frpc.log();
        eventually("six heartbeats", || async {
            log.count("send heartbeat to server") >= 6
        })
        .await;
        assert_eq!(log.count("login to server success"), 1);
        echo(port, b"hello").await;
    }
}

/// frp's client id: one owner at a time.
#[tokio::test]
async fn a_client_id_has_one_owner_at_a_time() {
    let rig = Rig::new();
    let frps = rig.frps(SINGLE).await;
    let id = json!({"client_id": "office", "user": "ann"});
    let (control, answer) = Control::login(connect(frps.port).await, "secret", &id).await;
    assert_eq!(answer["error"], Value::Null);
    let (_, answer) = Control::login(connect(frps.port).await, "secret", &id).await;
    assert_eq!(
        answer["error"],
        "client_id [office] for user [ann] is already online"
    );
    drop(control);
    frps.program.expect("client exit success").await;
    let (_, answer) = Control::login(connect(frps.port).await, "secret", &id).await;
    assert_eq!(answer["error"], Value::Null);
}

#[tokio::test]
async fn a_pool_is_asked_for_at_login_within_the_servers_bound() {
    let rig = Rig::new();
    let frps = rig
        .frps(&format!("{SINGLE}transport.maxPoolCount = 3\n"))
        .await;
    let wish = json!({"pool_count": 50});
    let (mut control, _) = Control::login(connect(frps.port).await, "secret", &wish).await;
    let mut requests = 0;
    while let Ok(Some((kind, _))) =
        tokio::time::timeout(Duration::from_secs(2), control.recv()).await
    {
        assert_eq!(kind, wire::REQ_WORK_CONN);
        requests += 1;
    }
    assert_eq!(requests, 3);
}

/// Whoever knows a run id may offer work connections (defect 5: old clients send no more than that
/// in them); the pool's bound is what keeps them from piling up.
#[tokio::test]
async fn work_connections_beyond_the_pool_are_refused() {
    let rig = Rig::new();
    let frps = rig.frps(SINGLE).await;
    let (mut control, answer) = login(frps.port, "secret").await;
    running(&mut control).await;
    let hello = wire::v1(wire::NEW_WORK_CONN, &json!({"run_id": answer["run_id"]}));
    let mut offered = Vec::new();
    for _ in 0..40 {
        let mut work = connect(frps.port).await;
        work.write_all(&hello).await.unwrap();
        offered.push(work);
    }
    // Kept ones stay silent, refused ones are told and closed.
    let mut refused = 0;
    for mut work in offered {
        let answer = tokio::time::timeout(Duration::from_millis(500), wire::read_v1(&mut work));
        if let Ok(Some((kind, body))) = answer.await {
            assert_eq!(kind, wire::START_WORK_CONN);
            assert_eq!(body["error"], "work connection pool is full, discarding");
            refused += 1;
        }
    }
    assert!(refused >= 40 - 11, "only {refused} of 40 were refused");
}
