//! Between programs of ours: a login is good once, on its connection, and by who holds the run id.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use frp_tests::rig::{stcp_proxy, stcp_visitor, tcp_proxy};
use frp_tests::tls::{self, Authority};
use frp_tests::wire::{self, Control};
use frp_tests::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;

use crate::reload_frps::{SECRET, Server};

const TOKEN: &str = "auth.token = \"secret\"\n";
const SINGLE: &str = "auth.token = \"secret\"\ntransport.tcpMux = false\n";
const PLAIN: &str = "transport.tls.enable = false\n";

/// In front of `target`: what clients send is kept, a recording for each connection.
async fn listener(target: u16) -> (Service, Arc<Mutex<Vec<Vec<u8>>>>) {
    let kept: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let recordings = kept.clone();
    let service = Service::new(move |client| {
        let kept = recordings.clone();
        async move {
            let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else {
                return;
            };
            let at = {
                let mut kept = kept.lock().unwrap();
                kept.push(Vec::new());
                kept.len() - 1
            };
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            let up = async {
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = from_client.read(&mut buffer).await {
                    kept.lock().unwrap()[at].extend(&buffer[..n]);
                    if to_server.write_all(&buffer[..n]).await.is_err() {
                        return;
                    }
                }
            };
            tokio::join!(up, tokio::io::copy(&mut from_server, &mut to_client))
                .1
                .ok();
        }
    })
    .await;
    (service, kept)
}

fn run_id(line: &str) -> String {
    let (_, rest) = line.split_once("get run id [").expect("a run id");
    rest.trim_end().trim_end_matches(']').to_owned()
}

/// A recorded login opens nothing, as it is or with what is ours taken out.
#[tokio::test]
async fn a_recorded_login_cannot_be_repeated() {
    for wire in ["v1", "v2"] {
        let rig = Rig::new();
        let frps = rig.frps(SINGLE).await;
        let (between, kept) = listener(frps.port).await;
        let text = format!("{SINGLE}{PLAIN}transport.wireProtocol = \"{wire}\"\n");
        let frpc = rig.frpc(between.port, &text);
        frpc.expect("login to server success").await;
        let recorded = kept.lock().unwrap()[0].clone();
        let mut again = connect(frps.port).await;
        again.write_all(&recorded).await.unwrap();
        frps.program
            .expect("the proof of the token is for another login")
            .await;
        if wire == "v1" {
            let (kind, mut login) = wire::read_v1(&mut recorded.as_slice()).await.unwrap();
            assert_eq!(kind, wire::LOGIN);
            let fields = login.as_object_mut().unwrap();
            for ours in ["scram", "features", "run_key"] {
                assert!(fields.remove(ours).is_some(), "{ours}");
            }
            let answer = said(frps.port, &login).await;
            assert!(answer.contains("its proof was taken out"), "{answer}");
        }
        assert_eq!(frps.program.log().count("replaced by client"), 0);
    }
}

async fn said(port: u16, login: &Value) -> String {
    let mut stream = connect(port).await;
    let login = wire::v1(wire::LOGIN, login);
    stream.write_all(&login).await.unwrap();
    let (_, answer) = wire::read_v1(&mut stream).await.expect("an answer");
    answer["error"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn who_has_the_token_takes_neither_run_id_nor_users_of_another() {
    let rig = Rig::new();
    let (office, port) = (Service::echo().await, free_port());
    let frps = rig.frps(SINGLE).await;
    let text = format!("{SINGLE}{}", tcp_proxy("office", office.port, port, ""));
    let frpc = rig.frpc(frps.port, &text);
    let id = run_id(&frpc.expect("get run id [").await);
    frpc.expect("[office] start proxy success").await;
    echo(port, b"before").await;

    let of = json!({"run_id": id});
    let (_, answer) = Control::login(connect(frps.port).await, "secret", &of).await;
    let error = answer["error"].as_str().unwrap();
    assert!(error.contains("does not hold its key"), "{error}");

    let mut work = connect(frps.port).await;
    let hello = wire::v1(wire::NEW_WORK_CONN, &of);
    work.write_all(&hello).await.unwrap();
    let (_, answer) = wire::read_v1(&mut work).await.expect("an answer");
    let error = answer["error"].as_str().unwrap();
    assert!(error.contains("does not show that it belongs"), "{error}");

    assert_eq!(frps.program.log().count("replaced by client"), 0);
    for _ in 0..3 {
        echo(port, b"as before").await;
    }
    assert_eq!(frpc.log().count("session ended"), 0);
}

/// The work connection of an honest client, taken down and sent again.
#[tokio::test]
async fn a_work_connection_is_good_once() {
    let rig = Rig::new();
    let (office, port) = (Service::echo().await, free_port());
    let frps = rig.frps(SINGLE).await;
    let (between, kept) = listener(frps.port).await;
    let proxy = tcp_proxy(
        "office",
        office.port,
        port,
        "transport.useEncryption = true",
    );
    let frpc = rig.frpc(between.port, &format!("{SINGLE}{PLAIN}{proxy}"));
    frpc.expect("[office] start proxy success").await;
    echo(port, b"a user").await;
    let recorded = kept.lock().unwrap()[1].clone();
    let (kind, hello) = wire::read_v1(&mut recorded.as_slice()).await.unwrap();
    assert_eq!(kind, wire::NEW_WORK_CONN);
    let mut again = connect(frps.port).await;
    let hello = wire::v1(wire::NEW_WORK_CONN, &hello);
    again.write_all(&hello).await.unwrap();
    let (_, answer) = wire::read_v1(&mut again).await.expect("an answer");
    let error = answer["error"].as_str().unwrap();
    assert!(error.contains("or is a repeated one"), "{error}");
}

#[tokio::test]
async fn visitors_of_sessions_without_the_mux_show_that_they_are_theirs() {
    let rig = Rig::new();
    let (office, port) = (Service::echo().await, free_port());
    let frps = rig.frps(SINGLE).await;
    let lines = "transport.useEncryption = true";
    let owner = rig.frpc(
        frps.port,
        &format!("{SINGLE}{}", stcp_proxy("office", office.port, lines)),
    );
    owner.expect("[office] start proxy success").await;
    let text = format!("{SINGLE}{}", stcp_visitor("visit", "office", port, lines));
    let visitor = rig.frpc(frps.port, &text);
    let id = run_id(&visitor.expect("get run id [").await);
    clients::until_echoes(port, Duration::from_secs(20)).await;
    let mut other = connect(frps.port).await;
    let hello = json!({"run_id": id, "proxy_name": "office"});
    let hello = wire::v1(wire::NEW_VISITOR_CONN, &hello);
    other.write_all(&hello).await.unwrap();
    let (_, answer) = wire::read_v1(&mut other).await.expect("an answer");
    let error = answer["error"].as_str().unwrap();
    assert!(error.contains("does not show that it belongs"), "{error}");
}

#[tokio::test]
async fn frps_can_ask_for_the_proof_or_for_a_clock() {
    let rig = Rig::new();
    let required = rig
        .frps(&format!("{SINGLE}auth.challenge = \"required\"\n"))
        .await;
    let error = said(required.port, &wire::login("secret", &json!({}))).await;
    assert!(error.contains("auth.challenge = \"required\""), "{error}");
    let frpc = rig.frpc(
        required.port,
        &format!("{SINGLE}auth.challenge = \"required\"\n"),
    );
    frpc.expect("login to server success").await;

    let clock = rig.frps(&format!("{SINGLE}auth.maxClockSkew = 60\n")).await;
    assert_eq!(
        said(clock.port, &wire::login("secret", &json!({}))).await,
        ""
    );
    // The digest of then, as it was recorded.
    let old = json!({"timestamp": 1, "privilege_key": "9bc0a6c9ccbc1c0d0fae1c1c1b33b4c8"});
    let error = said(clock.port, &wire::login("secret", &old)).await;
    assert!(error.contains("auth.maxClockSkew is 60 s"), "{error}");
}

#[tokio::test]
async fn frpc_can_ask_for_the_proof_and_names_who_does_not_know_the_token() {
    let rig = Rig::new();
    let off = rig
        .frps(&format!("{SINGLE}auth.challenge = \"off\"\n"))
        .await;
    let keep = "loginFailExit = false\n";
    let required = "auth.challenge = \"required\"\n";
    let frpc = rig.frpc(off.port, &format!("{keep}{SINGLE}{required}"));
    frpc.expect("does not ask for the proof of the token").await;
    let frpc = rig.frpc(off.port, SINGLE);
    frpc.expect("login to server success").await;

    let false_frps = Service::new(|mut stream| async move {
        let (_, login) = wire::read_v1(&mut stream).await.unwrap();
        let first = login["scram"].as_str().unwrap();
        let nonce = first.split(",r=").nth(1).unwrap();
        let nonce = nonce.split(',').next().unwrap();
        let challenge = format!("r={nonce}more,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let challenge = wire::v1(wire::LOGIN_RESP, &json!({"scram": challenge}));
        stream.write_all(&challenge).await.unwrap();
        assert!(wire::read_v1(&mut stream).await.is_some());
        let signature = format!("v={}=", "A".repeat(43));
        let welcome = json!({"run_id": "x", "scram": signature});
        let welcome = wire::v1(wire::LOGIN_RESP, &welcome);
        stream.write_all(&welcome).await.unwrap();
    })
    .await;
    let frpc = rig.frpc(false_frps.port, &format!("{keep}{SINGLE}{PLAIN}"));
    frpc.expect("does not know the token").await;

    // Nor does it do to ask for something else, as a frps does that goes by an issuer.
    let false_frps = Service::new(|mut stream| async move {
        assert!(wire::read_v1(&mut stream).await.is_some());
        for said in [json!({"scram": "r=nonce"}), json!({"run_id": "x"})] {
            let said = wire::v1(wire::LOGIN_RESP, &said);
            stream.write_all(&said).await.unwrap();
        }
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let text = format!("{keep}{SINGLE}{PLAIN}{required}");
    let frpc = rig.frpc(false_frps.port, &text);
    frpc.expect("does not ask for the proof of the token").await;
    assert_eq!(frpc.log().count("login to server success"), 0);
}

/// Who has seen the proof of a server takes no other for it: neither a frpc that runs, nor one that has it in
/// `known_servers`.
#[tokio::test]
async fn who_has_proven_the_token_is_not_replaced_by_who_does_not() {
    let rig = Rig::new();
    let store = rig.path().join("frps.key");
    let keys = format!("{SECRET}{SINGLE}transport.tls.keyStore = {store:?}\n");
    let off = format!("{keys}auth.challenge = \"off\"\n");
    let mut server = Server::start(&rig, &keys).await;
    let frpc = rig.frpc(server.port, SINGLE);
    frpc.expect("login to server success").await;
    let trusting = format!("{SINGLE}transport.tls.trust = \"first-use\"\n");
    let first = rig.frpc(server.port, &trusting);
    first.expect("is known from now on by its key").await;
    drop(first);
    let known = rig.path().join("known_servers");
    let line = std::fs::read_to_string(&known).unwrap();
    assert!(line.ends_with(" proof\n"), "{line}");

    let mark = frpc.log().mark();
    server.frps.kill().await;
    server.write(&off);
    server.frps.start_again();
    let said = frpc
        .expect_from(mark, "does not any more", wait::SOON)
        .await;
    for part in ["has proven before", "somebody poses as it", "restart frpc"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let mut refused = rig.frpc(server.port, &trusting);
    let said = refused.expect("login to the server failed").await;
    for part in [
        "known_servers line 1 says",
        "take the word proof off that line",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(refused.exit_code().await, Some(1));

    // The ways out.
    std::fs::write(&known, line.replace(" proof", "")).unwrap();
    let let_in = rig.frpc(server.port, &trusting);
    let_in.expect("login to server success").await;
    assert_eq!(frpc.log().count("login to server success"), 1);
    let mark = frpc.log().mark();
    server.frps.kill().await;
    server.write(&keys);
    server.frps.start_again();
    frpc.expect_from(mark, "login to server success", wait::SOON)
        .await;
}

/// A frps that was told to ask for no proof any more remembers the keys of before.
#[tokio::test]
async fn a_run_id_that_is_lost_is_given_up_whether_or_not_a_proof_is_asked_for() {
    let rig = Rig::new();
    let said: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = said.clone();
    let frps = Service::new(move |mut stream| {
        let kept = kept.clone();
        async move {
            let Some((_, login)) = wire::read_v1(&mut stream).await else {
                return;
            };
            let run_id = login["run_id"].as_str().unwrap_or_default().to_owned();
            let answer = match &*run_id {
                "" => json!({"run_id": "mine"}),
                _ => json!({"error": "taken", "run_id_lost": true}),
            };
            kept.lock().unwrap().push(run_id);
            let answer = wire::v1(wire::LOGIN_RESP, &answer);
            stream.write_all(&answer).await.unwrap();
        }
    })
    .await;
    let text = format!("loginFailExit = false\n{SINGLE}{PLAIN}");
    let _frpc = rig.frpc(frps.port, &text);
    eventually("a login without the run id", || async {
        said.lock().unwrap().len() >= 3
    })
    .await;
    assert_eq!(said.lock().unwrap()[..3], ["", "mine", ""]);
}

/// A relay with a certificate of its own, which passes on everything, by whatever TLS it likes. (By none it may be the
/// operator's, where it is on the same machine.)
#[tokio::test]
async fn who_relays_tls_is_named() {
    for onward in [
        Some(&rustls::version::TLS13),
        Some(&rustls::version::TLS12),
        None,
    ] {
        relayed_tls(onward).await;
    }
}

async fn relayed_tls(onward: Option<&'static rustls::SupportedProtocolVersion>) {
    let rig = Rig::new();
    let frps = rig.frps(TOKEN).await;
    let authority = Authority::new(rig.path(), "anyone");
    let identity = authority.issue(rig.path(), "relay", &["127.0.0.1"]);
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls::server(&identity)));
    let target = frps.port;
    let relay = Service::new(move |mut client| {
        let acceptor = acceptor.clone();
        async move {
            // frp's byte in front of TLS, where there is one.
            let mut first = [0];
            if client.peek(&mut first).await.is_ok() && first[0] == 0x17 {
                let _ = client.read_exact(&mut first).await;
            }
            let Ok(mut client) = acceptor.accept(client).await else {
                return;
            };
            let Some(version) = onward else {
                let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else {
                    return;
                };
                let _ = copy_bidirectional(&mut client, &mut server).await;
                return;
            };
            let config = tls::client(&[version]);
            let Ok(mut server) = tls::connect_tls(target, config).await else {
                return;
            };
            let _ = copy_bidirectional(&mut client, &mut server).await;
        }
    })
    .await;
    let frpc = rig.frpc(relay.port, &format!("loginFailExit = false\n{TOKEN}"));
    if onward.is_none() {
        frps.program.expect("ends before this frps").await;
        return;
    }
    frpc.expect("somebody between the client and this frps relays it")
        .await;
    frps.program
        .expect("the login was made for another TLS connection")
        .await;
    assert_eq!(frpc.log().count("login to server success"), 0);
    // Who has no relay in between comes in.
    let frpc = rig.frpc(frps.port, TOKEN);
    frpc.expect("login to server success").await;
}
