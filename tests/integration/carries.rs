//! What every transport has to carry, whatever it is made of.

use std::time::Duration;

use frp_tests::clients::read_all;
use frp_tests::rig::tcp_proxy;
use frp_tests::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// frps and frpc with a tunnel to four services.
pub(crate) struct Carried {
    pub rig: Rig,
    pub frps: Frps,
    pub frpc: Program,
    ports: [u16; 4],
    content: Vec<u8>,
    _services: [Service; 3],
}

/// Starts frps of `server` with these lines, and frpc of `client` with those that `client_lines`
/// makes of a free UDP port, which frps may have been told of by the same name: `{udp}`.
pub(crate) async fn start(
    server: &Side,
    client: &Side,
    lines: &str,
    client_lines: &str,
) -> Carried {
    let rig = Rig::new();
    let udp = free_udp_port();
    let frps = rig
        .frps_of(server, &lines.replace("{udp}", &udp.to_string()))
        .await;
    let client_lines = client_lines.replace("{udp}", &udp.to_string());
    let port = if client_lines.contains("\"quic\"") || client_lines.contains("\"kcp\"") {
        udp
    } else {
        frps.port
    };
    start_client(rig, frps, port, client, &client_lines).await
}

/// The same with a frps that runs, and frpc dialling `port`.
pub(crate) async fn start_client(
    rig: Rig,
    frps: Frps,
    port: u16,
    client: &Side,
    lines: &str,
) -> Carried {
    let content = pattern(900_000, 70);
    let services = [
        Service::echo().await,
        Service::greeting("SSH-2.0-office\r\n").await,
        Service::source(content.clone()).await,
    ];
    let ports = [free_port(), free_port(), free_port(), free_port()];
    let sealed = "transport.useEncryption = true\ntransport.useCompression = true";
    let text = [
        lines.to_owned(),
        tcp_proxy("echo", services[0].port, ports[0], ""),
        tcp_proxy("sealed", services[0].port, ports[1], sealed),
        tcp_proxy("greeting", services[1].port, ports[2], ""),
        tcp_proxy("source", services[2].port, ports[3], ""),
    ]
    .concat();
    let frpc = rig.frpc_of(client, port, &text);
    for name in ["echo", "sealed", "greeting", "source"] {
        frpc.expect(&format!("[{name}] start proxy success")).await;
    }
    Carried {
        rig,
        frps,
        frpc,
        ports,
        content,
        _services: services,
    }
}

impl Carried {
    /// The port of the service that echoes.
    pub(crate) fn echo_port(&self) -> u16 {
        self.ports[0]
    }

    /// All of it: several users at once, both ways; a service that speaks first; the last bytes
    /// before an end.
    pub(crate) async fn check(&self) {
        let [plain, sealed, greeting, source] = self.ports;
        let random = pattern(700_000, 1);
        let text = b"a line that compresses well\n".repeat(10_000);
        for port in [plain, sealed] {
            tokio::join!(echo(port, &random), echo(port, &text), echo(port, b"x"));
        }
        let mut user = connect(greeting).await;
        let mut heard = [0; 16];
        let hearing = user.read_exact(&mut heard);
        within(wait::SOON, "the greeting", hearing).await.unwrap();
        assert_eq!(&heard, b"SSH-2.0-office\r\n");
        clients::echo_on(&mut user, &random).await;

        let mut user = connect(source).await;
        let all = read_all(&mut user).await;
        assert!(all == self.content, "the source's bytes are not whole");

        // What was sent before the end comes back.
        let mut user = connect(plain).await;
        user.write_all(b"last words").await.unwrap();
        let mut heard = [0; 10];
        let hearing = user.read_exact(&mut heard);
        within(Duration::from_secs(60), "last words", hearing)
            .await
            .unwrap();
        assert_eq!(&heard, b"last words");
    }
}

/// A port of 127.0.0.1 that no UDP socket has.
pub(crate) fn free_udp_port() -> u16 {
    loop {
        let port = free_port();
        if std::net::UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// frps and frpc with these lines carry all of it.
pub(crate) async fn works(server: &Side, client: &Side, lines: &str, client_lines: &str) {
    start(server, client, lines, client_lines)
        .await
        .check()
        .await;
}

/// frpc of ours does not get in, and says these words.
pub(crate) async fn fails_saying(lines: &str, client_lines: &str, words: &str) {
    let rig = Rig::new();
    let udp = free_udp_port();
    let frps = rig.frps(&lines.replace("{udp}", &udp.to_string())).await;
    let port = if client_lines.contains("\"quic\"") {
        udp
    } else {
        frps.port
    };
    let mut frpc = rig.frpc(port, client_lines);
    let line = frpc.expect("login to the server failed").await;
    assert!(line.contains(words), "no `{words}` in: {line}");
    assert_eq!(frpc.exit_code().await, Some(1));
}
