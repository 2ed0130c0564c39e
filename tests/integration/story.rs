//! The story the project exists for: a device on the path resets plain frp logins.

#[cfg(target_os = "linux")]
use std::net::SocketAddrV4;
use std::time::Duration;

#[cfg(target_os = "linux")]
use frp_tests::clients::echo_on;
use frp_tests::middlebox::{self, Policy};
#[cfg(target_os = "linux")]
use frp_tests::network::middlebox::ResetPlainLogins;
#[cfg(target_os = "linux")]
use frp_tests::network::{Network, Path};
use frp_tests::rig::{ini_proxy, tcp_proxy};
use frp_tests::*;

const TOKEN: &str = "auth.token = \"story\"\n";

#[tokio::test]
async fn a_plain_login_that_is_reset_ends_with_an_explanation() {
    for mux in [true, false] {
        let rig = Rig::new();
        let frps = rig.frps(TOKEN).await;
        let device = middlebox::start(frps.port, Policy::ResetPlain).await;
        let plain = format!("{TOKEN}transport.tls.enable = false\ntransport.tcpMux = {mux}\n");
        let mut frpc = rig.frpc(device.port, &plain);
        let line = frpc.expect("login to the server failed").await;
        assert_eq!(frpc.exit_code().await, Some(1));
        // The advice belongs to the failure: on the same line or right after it.
        let log = frpc.log().text();
        let advice = log
            .split_once(&line)
            .map(|(_, rest)| format!("{line}{rest}"))
            .unwrap();
        assert!(
            advice.contains("transport.tls.enable"),
            "no advice in: {advice}"
        );
    }
}

/// What README shows first, but for building.
#[tokio::test]
async fn the_demo_tells_it_and_leaves_nothing_behind() {
    let rig = Rig::new();
    let scratch = rig.path().join("demo");
    std::fs::create_dir(&scratch).unwrap();
    let mut demo = tokio::process::Command::new(env!("CARGO_BIN_EXE_demo"));
    demo.env("TMPDIR", &scratch).kill_on_drop(true);
    let output = within(Duration::from_secs(60), "the demo", demo.output())
        .await
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for part in ["frps.toml", "frpc.toml", "ssh -p ", "hello from home"] {
        assert!(told.contains(part), "no {part} in {told}");
    }
    let left = std::fs::read_dir(&scratch).unwrap().count();
    assert_eq!(left, 0, "files are left in {}", scratch.display());
}

#[tokio::test]
async fn tls_gets_through() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let frps = rig.frps(TOKEN).await;
    let device = middlebox::start(frps.port, Policy::ResetPlainAndCustomByte).await;
    let port = free_port();
    let frpc = rig.frpc(
        device.port,
        &format!("{TOKEN}{}", tcp_proxy("ssh", service.port, port, "")),
    );
    frpc.expect("[ssh] start proxy success").await;
    echo(port, &pattern(500_000, 1)).await;
}

/// The file of 2019 as it was, but for the ports.
#[tokio::test]
async fn the_configuration_of_2019_gets_through_unchanged() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let frps = rig.frps_of(&Side::Ours, "[common]\ntoken = story\n").await;
    let device = middlebox::start(frps.port, Policy::ResetPlain).await;
    let port = free_port();
    let common = format!(
        "[common]\nserver_addr = 127.0.0.1\nserver_port = {}\ntoken = story\n\
         tls_enable = true\nprotocol = tcp\n",
        device.port
    );
    let text = format!("{common}{}", ini_proxy("ssh", service.port, port, ""));
    let frpc = rig.start(&Side::Ours, "frpc", &text);
    frpc.expect("[ssh] start proxy success").await;
    echo(port, &pattern(500_000, 2)).await;
}

/// The same device between two hosts: it sees packets, as the one of the story did.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn between_two_hosts_a_plain_login_is_reset_and_explained_and_tls_gets_through() {
    let Some(net) = Network::new(Path::default(), ResetPlainLogins) else {
        return;
    };
    let rig = Rig::new();
    let service = net.client.echo();
    let server = format!("{TOKEN}bindPort = 7000\nlog.disablePrintColor = true\n");
    let frps = net.server.start(&rig, &Side::Ours, "frps", &server);
    frps.expect("frps started successfully").await;

    let client = |tls: bool| {
        format!(
            "{TOKEN}serverAddr = \"{}\"\nserverPort = 7000\nlog.disablePrintColor = true\n\
             transport.tls.enable = {tls}\n{}",
            net.server.ip,
            tcp_proxy("ssh", service.port, 6000, "")
        )
    };
    let mut plain = net.client.start(&rig, &Side::Ours, "frpc", &client(false));
    let said = plain.expect("login to the server failed").await;
    assert_eq!(plain.exit_code().await, Some(1));
    assert!(
        said.contains("reset") && said.contains("transport.tls.enable"),
        "{said}"
    );
    assert!(
        said.contains("while TLS to the same port is answered"),
        "{said}"
    );

    let frpc = net.client.start(&rig, &Side::Ours, "frpc", &client(true));
    frpc.expect("[ssh] start proxy success").await;
    let to = SocketAddrV4::new(net.server.ip, 6000);
    let mut user = net.server.connect(to).await.unwrap();
    echo_on(&mut user, &pattern(500_000, 3)).await;
}
