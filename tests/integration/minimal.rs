//! A build with the feature `minimal` only: it does what is left, and says what it lacks.

use frp_tests::clients::read_all;
use frp_tests::openssh::Sshd;
use frp_tests::rig::{tcp_proxy, udp_proxy};
use frp_tests::*;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

const TOKEN: &str = "auth.token = \"minimal\"\n";

#[tokio::test]
async fn tcp_and_udp_go_through_with_and_without_tls_and_the_mux() {
    let Some(minimal) = Side::minimal() else {
        return;
    };
    for (tls, mux) in [(true, true), (true, false), (false, true), (false, false)] {
        let rig = Rig::new();
        let service = Service::echo().await;
        let datagrams = UdpService::echo().await;
        let common = format!("{TOKEN}transport.tcpMux = {mux}\n");
        let frps = rig.frps_of(&minimal, &common).await;
        let (tcp, udp) = (free_port(), free_port());
        let frpc = rig.frpc_of(
            &minimal,
            frps.port,
            &format!(
                "{common}transport.tls.enable = {tls}\n{}{}",
                tcp_proxy("tcp", service.port, tcp, ""),
                udp_proxy("udp", datagrams.port, udp, "")
            ),
        );
        frpc.expect("[tcp] start proxy success").await;
        frpc.expect("[udp] start proxy success").await;
        echo(tcp, &pattern(500_000, 1)).await;
        UdpUser::of(udp).await.echo(b"a datagram").await;
    }
}

#[tokio::test]
async fn it_works_with_complete_programs() {
    let Some(minimal) = Side::minimal() else {
        return;
    };
    for (server, client) in [(&minimal, &Side::Ours), (&Side::Ours, &minimal)] {
        let rig = Rig::new();
        let service = Service::echo().await;
        let frps = rig.frps_of(server, TOKEN).await;
        let port = free_port();
        let proxy = tcp_proxy("ssh", service.port, port, "");
        let frpc = rig.frpc_of(client, frps.port, &format!("{TOKEN}{proxy}"));
        frpc.expect("[ssh] start proxy success").await;
        echo(port, &pattern(500_000, 2)).await;
    }
}

/// What `verify` says of a file, and whether it is good.
async fn verify(rig: &Rig, side: &Side, program: &str, text: &str) -> (bool, String) {
    let file = rig.config(program, text);
    let output = Command::new(side.program(program))
        .args(["verify", "-c"])
        .arg(file)
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), text)
}

#[tokio::test]
async fn what_it_lacks_is_said_by_verify_and_at_the_start() {
    let Some(minimal) = Side::minimal() else {
        return;
    };
    let proxy = |lines: &str| format!("[[proxies]]\nname = \"p\"\nlocalPort = 1\n{lines}\n");
    let frpc = [
        (
            "transport.protocol = \"quic\"",
            "transport.protocol = \"quic\"",
            "quic",
        ),
        (
            "transport.protocol = \"kcp\"",
            "transport.protocol = \"kcp\"",
            "kcp",
        ),
        (
            "transport.protocol = \"wss\"",
            "transport.protocol = \"wss\"",
            "websocket",
        ),
        (
            "transport.protocol = \"auto\"\ntransport.order = [\"tcp\", \"quic:443\"]",
            "transport.order = \"quic:443\"",
            "quic",
        ),
        ("webServer.port = 7400", "webServer.port", "pages"),
        (
            "auth.method = \"oidc\"\nauth.oidc.clientID = \"a\"\n\
             auth.oidc.tokenEndpointURL = \"https://a/b\"",
            "auth.method = \"oidc\"",
            "oidc",
        ),
        (
            &proxy("type = \"http\"\ncustomDomains = [\"a.b\"]"),
            "proxy p: type = \"http\"",
            "http",
        ),
        (
            &proxy("type = \"tcp\"\n[proxies.plugin]\ntype = \"static_file\"\nlocalPath = \"/\""),
            "proxy p: plugin.type = \"static_file\"",
            "http",
        ),
        (
            &proxy("type = \"tcp\"\nhealthCheck.type = \"http\"\nhealthCheck.path = \"/\""),
            "proxy p: healthCheck.type = \"http\"",
            "http",
        ),
    ];
    let frps = [
        ("quicBindPort = 7001", "quicBindPort", "quic"),
        ("kcpBindPort = 7001", "kcpBindPort", "kcp"),
        ("vhostHTTPPort = 8080", "vhostHTTPPort", "http"),
        ("vhostHTTPSPort = 8443", "vhostHTTPSPort", "http"),
        (
            "tcpmuxHTTPConnectPort = 8081",
            "tcpmuxHTTPConnectPort",
            "http",
        ),
        ("webServer.port = 7500", "webServer.port", "pages"),
    ];
    let rig = Rig::new();
    for (program, cases) in [("frpc", &frpc[..]), ("frps", &frps[..])] {
        for (text, what, feature) in cases {
            let said =
                format!("{what}: this {program} was built without the feature \"{feature}\"");
            let (good, output) = verify(&rig, &minimal, program, text).await;
            assert!(!good && output.contains(&said), "{text}: {output}");
            let mut started = rig.start(&minimal, program, text);
            assert_eq!(started.exit_code().await, Some(1));
            assert!(started.log().text().contains(&said), "{text}");
            // It is the build that lacks something, not the file that is wrong.
            let (good, output) = verify(&rig, &Side::Ours, program, text).await;
            assert!(good, "{text}: {output}");
        }
    }
}

#[tokio::test]
async fn flags_and_commands_that_it_lacks_are_named() {
    let Some(minimal) = Side::minimal() else {
        return;
    };
    for (args, said) in [
        (
            &["tcp", "-n", "a", "-l", "1", "-r", "1", "--protocol", "quic"][..],
            "this frpc was built without the feature \"quic\"",
        ),
        (
            &["http", "-n", "a", "-l", "1", "--sd", "a"],
            "this frpc was built without the feature \"http\"",
        ),
        (
            &["status"],
            "frpc status: this frpc was built without the feature \"pages\"",
        ),
    ] {
        let output = Command::new(minimal.program("frpc"))
            .args(args)
            .output()
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            !output.status.success() && text.contains(said),
            "{args:?}: {text}"
        );
    }
}

#[tokio::test]
async fn a_peer_that_asks_for_what_it_lacks_is_told() {
    let Some(minimal) = Side::minimal() else {
        return;
    };
    let rig = Rig::new();
    let frps = rig.frps_of(&minimal, TOKEN).await;
    for (kind, lines) in [
        ("http", ""),
        ("https", ""),
        ("tcpmux", "multiplexer = \"httpconnect\""),
    ] {
        let proxy = format!(
            "[[proxies]]\nname = \"web\"\ntype = \"{kind}\"\nlocalPort = 1\n\
             customDomains = [\"a.b\"]\n{lines}\n"
        );
        let frpc = rig.frpc(frps.port, &format!("{TOKEN}{proxy}"));
        let line = frpc.expect("[web] start error").await;
        let said = "this frps was built without the feature \"http\"";
        assert!(line.contains(said), "{line}");
    }

    let mut stream = connect(frps.port).await;
    let request = websocket::REQUEST;
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = read_all(&mut stream).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 501 "), "{answer}");
    let said = "this frps was built without the feature \"websocket\"";
    assert!(answer.ends_with(said), "{answer}");
}

#[tokio::test]
async fn ssh_goes_through() {
    let Some(minimal) = Side::minimal() else {
        return;
    };
    let rig = Rig::new();
    let sshd = Sshd::start(rig.path()).await;
    let frps = rig.frps_of(&minimal, TOKEN).await;
    let port = free_port();
    let proxy = tcp_proxy("ssh", sshd.port, port, "");
    let frpc = rig.frpc_of(&minimal, frps.port, &format!("{TOKEN}{proxy}"));
    frpc.expect("[ssh] start proxy success").await;
    let output = sshd.ssh(port).arg("echo through").output().await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "through\n");
}
