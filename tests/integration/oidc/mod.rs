//! Logins by tokens of an OpenID Connect issuer, which runs in the test.

mod checks;
mod tokens;

use std::path::Path;
use std::time::Duration;

use frp_tests::issuer::{Asked, Issuer, Key, now, unsigned_token};
use frp_tests::rig::tcp_proxy;
use frp_tests::tls::Authority;
use frp_tests::wait::eventually_within;
use frp_tests::wire::{self, Control};
use frp_tests::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const DISCOVERY: &str = "/.well-known/openid-configuration";
const SCOPES: &str = "auth.additionalScopes = [\"HeartBeats\", \"NewWorkConns\"]\n";
const LONG: Duration = Duration::from_secs(40);

/// Logs in with `token` by wire v1; without the mux.
async fn login(port: u16, token: &str) -> (Control<TcpStream>, Value) {
    let login = json!({ "privilege_key": token });
    Control::login(connect(port).await, "", &login).await
}

async fn refusal(port: u16, token: &str) -> String {
    let (_, answer) = login(port, token).await;
    answer["error"].as_str().unwrap_or("").to_owned()
}

async fn answer_to(control: &mut Control<TcpStream>, wanted: u8) -> Value {
    loop {
        let (kind, body) = control.recv().await.expect("an answer");
        if kind == wanted {
            return body;
        }
    }
}

async fn ping(control: &mut Control<TcpStream>, token: &str) -> String {
    control
        .send(wire::PING, &json!({ "privilege_key": token }))
        .await;
    let answer = answer_to(control, wire::PONG).await;
    answer["error"].as_str().unwrap_or("").to_owned()
}

/// An frps that can be logged in at by hand, without the mux.
async fn server(rig: &Rig, issuer: &Issuer) -> Frps {
    let lines = format!("{}transport.tcpMux = false\n", issuer.server_lines());
    rig.frps(&lines).await
}

/// A tunnel that works, and its frpc.
async fn tunnel(rig: &Rig, frps: &Frps, lines: &str) -> (Program, u16, Service) {
    let service = Service::echo().await;
    let port = free_port();
    let proxy = tcp_proxy("web", service.port, port, "");
    let frpc = rig.frpc(frps.port, &format!("{lines}{proxy}"));
    frpc.expect_from(0, "[web] start proxy success", LONG).await;
    echo(port, b"hello").await;
    (frpc, port, service)
}

/// The same between an frps and an frpc whose heartbeats, one a second, carry tokens.
async fn with_heartbeats(rig: &Rig, issuer: &Issuer) -> (Frps, Program, u16, Service) {
    let scope = "auth.additionalScopes = [\"HeartBeats\"]\n";
    let frps = rig.frps(&format!("{}{scope}", issuer.server_lines())).await;
    let lines = format!(
        "{}{scope}transport.heartbeatInterval = 1\n",
        issuer.client_lines()
    );
    let (frpc, port, service) = tunnel(rig, &frps, &lines).await;
    (frps, frpc, port, service)
}

fn last_token_request(issuer: &Issuer) -> Asked {
    let state = issuer.state();
    let mut asked = state.asked.iter().rev();
    asked
        .find(|asked| asked.target.contains("/token"))
        .unwrap()
        .clone()
}

/// `program` with that configuration and environment.
fn in_environment(rig: &Rig, program: &str, config: &str, vars: &[(&str, &Path)]) -> Program {
    let file = rig.file(&format!("{program}-{}.toml", free_port()), config);
    let mut args: Vec<_> = vars
        .iter()
        .map(|(name, value)| format!("{name}={}", value.display()).into())
        .collect();
    args.push(Side::Ours.program(program).into_os_string());
    args.extend(["-c".into(), file.into_os_string()]);
    Program::spawn(Path::new("/usr/bin/env"), args, rig.path())
}

/// An HTTP proxy that takes whole URLs and CONNECT, and leads everything to `target`. What it was
/// asked first comes out of the receiver.
async fn proxy(target: u16) -> (Service, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let (sender, asked) = tokio::sync::mpsc::unbounded_channel();
    let service = Service::new(move |mut near| {
        let sender = sender.clone();
        async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match near.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            let head = String::from_utf8(head).unwrap();
            let mut far = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
            if head.starts_with("CONNECT ") {
                near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            } else {
                let path = head.replacen("http://issuer.test", "", 1);
                far.write_all(path.as_bytes()).await.unwrap();
            }
            let _ = sender.send(head);
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        }
    })
    .await;
    (service, asked)
}

#[tokio::test]
async fn https_is_checked_against_the_given_ca() {
    let (rig, dir) = (Rig::new(), Rig::new());
    let ca = Authority::new(dir.path(), "ca");
    let other = Authority::new(dir.path(), "other");
    let identity = ca.issue(dir.path(), "issuer", &["127.0.0.1"]);
    let issuer = Issuer::start_tls(&identity).await;

    // frps trusts what the system trusts.
    let started = |ca: &Path| {
        let (port, lines) = (free_port(), issuer.server_lines());
        let config = format!("bindAddr = \"127.0.0.1\"\nbindPort = {port}\n{lines}");
        in_environment(&rig, "frps", &config, &[("SSL_CERT_FILE", ca)])
    };
    let distrusting = started(&other.file);
    distrusting.expect("invalid peer certificate").await;
    let trusting = started(&ca.file);
    trusting.expect("answers, it has 1 keys").await;
    drop((distrusting, trusting));

    let http = Issuer::start().await;
    let frps = rig
        .frps(&format!(
            "{}auth.oidc.skipIssuerCheck = true\n",
            http.server_lines()
        ))
        .await;
    http.rotate(issuer.state().key.clone());
    let lines = |more: &str| format!("loginFailExit = false\n{}{more}", issuer.client_lines());
    let frpc = rig.frpc(frps.port, &lines(""));
    let line = frpc.expect("invalid peer certificate").await;
    assert!(
        line.contains("set auth.oidc.trustedCaFile to the CA that signed it"),
        "{line}"
    );
    let frpc = rig.frpc(
        frps.port,
        &lines(&format!("auth.oidc.trustedCaFile = {:?}\n", ca.file)),
    );
    frpc.expect("login to server success").await;
    // A renewed CA needs no restart.
    let renewed = dir.path().join("renewed-ca");
    std::fs::copy(&other.file, &renewed).unwrap();
    let frpc = rig.frpc(
        frps.port,
        &lines(&format!("auth.oidc.trustedCaFile = {renewed:?}\n")),
    );
    frpc.expect("invalid peer certificate").await;
    std::fs::copy(&ca.file, &renewed).unwrap();
    frpc.expect("login to server success").await;
    let frpc = rig.frpc(frps.port, &lines("auth.oidc.insecureSkipVerify = true\n"));
    frpc.expect("login to server success").await;

    let mut frpc = rig.frpc(
        frps.port,
        &lines("auth.oidc.trustedCaFile = \"/nonexistent\"\n"),
    );
    frpc.expect("auth.oidc.trustedCaFile: open /nonexistent: no such file or directory")
        .await;
    assert_eq!(frpc.exit_code().await, Some(1));
}

#[tokio::test]
async fn methods_that_differ_are_said() {
    let (rig, issuer) = (Rig::new(), Issuer::start().await);
    let frps = rig.frps(&issuer.server_lines()).await;
    let frpc = rig.frpc(frps.port, "auth.token = \"x\"\n");
    frpc.expect("auth.method must be the same in frpc and frps")
        .await;
    let frps = rig.frps("auth.token = \"x\"\n").await;
    let frpc = rig.frpc(frps.port, &issuer.client_lines());
    frpc.expect("auth.method must be the same in frpc and frps")
        .await;
}

#[tokio::test]
async fn ours_and_theirs_understand_each_other() {
    let Some(go) = Side::reference("0.70.1") else {
        return;
    };
    for (server, client) in [(&Side::Ours, &go), (&go, &Side::Ours)] {
        for mux in [true, false] {
            let (rig, issuer) = (Rig::new(), Issuer::start().await);
            // The key of the ciphers is auth.token whatever the method.
            let common = format!("{SCOPES}auth.token = \"key\"\ntransport.tcpMux = {mux}\n");
            let frps = rig
                .frps_of(server, &format!("{}{common}", issuer.server_lines()))
                .await;
            let service = Service::echo().await;
            let port = free_port();
            let frpc = rig.frpc_of(
                client,
                frps.port,
                &format!(
                    "{}{common}transport.heartbeatInterval = 1\n{}",
                    issuer.client_lines(),
                    tcp_proxy(
                        "web",
                        service.port,
                        port,
                        "transport.useEncryption = true\n"
                    )
                ),
            );
            frpc.expect_from(0, "[web] start proxy success", LONG).await;
            echo(port, b"hello").await;
            eventually("heartbeats", || async {
                frpc.log().count("receive heartbeat from server") >= 3
            })
            .await;
            echo(port, b"hello").await;
            assert_eq!(frpc.log().count("login to server success"), 1);
            assert_eq!(issuer.count("/token"), 1);
        }
    }
}
