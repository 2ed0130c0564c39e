//! The SSH gateway of frps, used as its users do: by OpenSSH, plink and dbclient, with the programs of the
//! distribution.

mod hostile;
mod keys;
mod lives;
mod texts;

use std::time::Duration;

use frp_tests::backend::Backend;
use frp_tests::clients::{echoes, until_echoes};
use frp_tests::rig::stcp_visitor;
use frp_tests::ssh_clients::{SSH_CLIENTS, SshClient, SshGateway};
use frp_tests::*;

pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A frps with a gateway.
pub(crate) struct Office {
    pub(crate) rig: Rig,
    pub(crate) frps: Frps,
    pub(crate) port: u16,
}

impl Office {
    pub(crate) async fn open(extra: &str) -> Self {
        Self::open_of(&Side::Ours, extra).await
    }

    pub(crate) async fn open_of(side: &Side, extra: &str) -> Self {
        let (rig, port) = (Rig::new(), free_port());
        let text = format!("{extra}\nsshTunnelGateway.bindPort = {port}\n");
        let frps = rig.frps_of(side, &text).await;
        Self { rig, frps, port }
    }

    pub(crate) fn gateway(&self) -> SshGateway<'_> {
        SshGateway {
            port: self.port,
            directory: self.rig.path(),
            key: None,
        }
    }

    /// OpenSSH with the service `local`.
    pub(crate) fn ssh(&self, local: u16, command: &str) -> Program {
        self.gateway().run(SshClient::OpenSsh, local, command)
    }
}

#[tokio::test]
async fn every_ssh_client_publishes_a_tcp_port() {
    let office = Office::open("auth.token = \"tok\"").await;
    let service = Service::echo().await;
    for client in SSH_CLIENTS {
        let port = free_port();
        let command = format!("tcp --proxy_name x --remote_port {port} --token tok");
        let mut ssh = office.gateway().run(client, service.port, &command);
        for line in [
            "frp (via SSH) (Ctrl+C to quit)",
            "User:",
            "ProxyName: x",
            "Type: tcp",
            &format!("RemoteAddress: :{port}"),
        ] {
            ssh.expect(line).await;
        }
        until_echoes(port, SOON).await;
        echo(port, &pattern(3_000_000, 1)).await;
        // Several at a time, and one direction ended before the other.
        let mut users = Vec::new();
        for n in 0..20 {
            users.push(tokio::spawn(async move {
                echo(port, &pattern(200_000, n)).await
            }));
        }
        for user in users {
            user.await.unwrap();
        }
        ssh.kill().await;
        eventually(&format!("{client:?} is gone, and its port"), || async {
            !echoes(port).await
        })
        .await;
    }
}

#[tokio::test]
async fn a_user_that_has_sent_all_gets_the_answer() {
    use tokio::io::AsyncWriteExt as _;
    let office = Office::open("").await;
    let service = Service::answer_after_end().await;
    let port = free_port();
    let ssh = office.ssh(service.port, &format!("tcp --remote_port {port}"));
    ssh.expect("RemoteAddress").await;
    let mut user = connect(port).await;
    user.write_all(b"question").await.unwrap();
    user.shutdown().await.unwrap();
    assert!(!clients::read_all(&mut user).await.is_empty());
}

#[tokio::test]
async fn http_https_tcpmux_and_stcp_go_by_ssh() {
    let (http, https, mux) = (free_port(), free_port(), free_port());
    let office = Office::open(&format!(
        "vhostHTTPPort = {http}\nvhostHTTPSPort = {https}\ntcpmuxHTTPConnectPort = {mux}"
    ))
    .await;
    let page = Backend::saying("hello").await;
    let echo_service = Service::echo().await;

    let web = office.ssh(page.port(), "http -n web --custom-domain web.example");
    web.expect(&format!("RemoteAddress: web.example:{http}"))
        .await;
    let answer = curl(&[
        "-H",
        "Host: web.example",
        &format!("http://127.0.0.1:{http}/"),
    ])
    .await;
    assert_eq!(answer, "hello");

    let tls = office.ssh(echo_service.port, "https -n tls -d tls.example");
    tls.expect(&format!("RemoteAddress: tls.example:{https}"))
        .await;
    // The service echoes the hello: what arrives there is the user's TLS as it was.
    let heard = tls_echo(https, "tls.example").await;
    assert_eq!(heard[0], 0x16, "{heard:?}");

    let tunnel = office.ssh(
        page.port(),
        "tcpmux --mux=httpconnect -n mux --custom_domain mux.example",
    );
    tunnel.expect("ProxyName: mux").await;
    let proxy = format!("http://127.0.0.1:{mux}");
    let answer = curl(&["--proxytunnel", "-x", &proxy, "http://mux.example/"]).await;
    assert_eq!(answer, "hello");

    let secret = office.ssh(
        echo_service.port,
        "stcp -n secret --sk=secret --allow-users=\"*\"",
    );
    secret.expect("ProxyName: secret").await;
    let port = free_port();
    let _visitor = office
        .rig
        .frpc(office.frps.port, &stcp_visitor("v", "secret", port, ""));
    until_echoes(port, SOON).await;
}

async fn curl(args: &[&str]) -> String {
    let mut curl = tokio::process::Command::new("curl");
    curl.args(["-s", "--noproxy", "", "--max-time", "20"])
        .args(args);
    let output = curl.output().await.unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What comes back of a ClientHello.
async fn tls_echo(port: u16, host: &str) -> Vec<u8> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = host.to_owned().try_into().unwrap();
    let mut tls = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    tls.write_tls(&mut hello).unwrap();
    let mut user = connect(port).await;
    user.write_all(&hello).await.unwrap();
    let mut heard = vec![0; hello.len()];
    within(SOON, "the hello comes back", user.read_exact(&mut heard))
        .await
        .unwrap();
    assert!(heard == hello);
    heard
}
