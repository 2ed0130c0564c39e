//! Ours with theirs, theirs with ours, and ours with ours, over the whole table of wire version,
//! TLS and mux. Skipped where `FRP_REFERENCE_DIR` does not name the Go release.

use std::time::Duration;

use frp_tests::clients::read_all;
use frp_tests::rig::{ini_proxy, tcp_proxy};
use frp_tests::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

const NEWEST: &str = "0.70.1";
const OLDEST: &str = "0.28.2";

#[derive(Clone, Copy)]
struct Setting {
    wire: &'static str,
    tls: bool,
    mux: bool,
}

/// What the tunnels lead to.
struct Office {
    echo: Service,
    greeting: Service,
    source: Service,
    sink: Service,
    received: mpsc::UnboundedReceiver<Vec<u8>>,
    content: Vec<u8>,
}

impl Office {
    async fn open() -> Self {
        let (sender, received) = mpsc::unbounded_channel();
        let content = pattern(700_000, 70);
        Self {
            echo: Service::echo().await,
            greeting: Service::greeting("SSH-2.0-office\r\n").await,
            source: Service::source(content.clone()).await,
            sink: Service::sink(sender).await,
            received,
            content,
        }
    }
}

async fn newest(server: Side, client: Side, setting: Setting) {
    let Setting { wire, tls, mux } = setting;
    let rig = Rig::new();
    let mut office = Office::open().await;
    let common = format!("auth.token = \"interop\"\ntransport.tcpMux = {mux}\n");
    let frps = rig.frps_of(&server, &common).await;

    let ports: Vec<u16> = (0..8).map(|_| free_port()).collect();
    let lines = [
        "",
        "transport.useEncryption = true",
        "transport.useCompression = true",
        "transport.useEncryption = true\ntransport.useCompression = true\n\
         transport.bandwidthLimit = \"40MB\"",
        "transport.bandwidthLimit = \"40MB\"\ntransport.bandwidthLimitMode = \"server\"",
    ];
    let mut text = format!(
        "{common}transport.tls.enable = {tls}\ntransport.wireProtocol = \"{wire}\"\n\
         transport.poolCount = 2\nuser = \"me\"\n"
    );
    for (i, lines) in lines.iter().enumerate() {
        text += &tcp_proxy(&format!("echo{i}"), office.echo.port, ports[i], lines);
    }
    let sealed = lines[3];
    text += &tcp_proxy("greeting", office.greeting.port, ports[5], sealed);
    text += &tcp_proxy("source", office.source.port, ports[6], "");
    text += &tcp_proxy("sink", office.sink.port, ports[7], sealed);
    let frpc = rig.frpc_of(&client, frps.port, &text);
    for name in [
        "echo0", "echo1", "echo2", "echo3", "echo4", "greeting", "source", "sink",
    ] {
        frpc.expect(&format!("[{name}] start proxy success")).await;
    }
    carries_everything(&ports, &mut office).await;
}

async fn oldest(server: Side, client: Side, tls: bool, mux: bool) {
    let rig = Rig::new();
    let mut office = Office::open().await;
    let common = format!("[common]\ntoken = interop\ntcp_mux = {mux}\n");
    let frps = rig.frps_of(&server, &common).await;

    let ports: Vec<u16> = (0..8).map(|_| free_port()).collect();
    // Before 0.38 the 0x17 byte is the only sign of TLS that frps knows.
    let byte = if client == Side::Ours {
        "disable_custom_tls_first_byte = false\n"
    } else {
        ""
    };
    let mut text = format!("{common}tls_enable = {tls}\n{byte}pool_count = 2\n");
    let lines = [
        "",
        "use_encryption = true",
        "use_compression = true",
        "use_encryption = true\nuse_compression = true",
        "",
    ];
    for (i, lines) in lines.iter().enumerate() {
        text += &ini_proxy(&format!("echo{i}"), office.echo.port, ports[i], lines);
    }
    text += &ini_proxy("greeting", office.greeting.port, ports[5], lines[3]);
    text += &ini_proxy("source", office.source.port, ports[6], "");
    text += &ini_proxy("sink", office.sink.port, ports[7], lines[3]);
    let frpc = rig.frpc_of(&client, frps.port, &text);
    for name in [
        "echo0", "echo1", "echo2", "echo3", "echo4", "greeting", "source", "sink",
    ] {
        frpc.expect(&format!("[{name}] start proxy success")).await;
    }
    carries_everything(&ports, &mut office).await;
}

/// Ports 0 to 4 echo, 5 greets, 6 is a source that closes, 7 a sink.
async fn carries_everything(ports: &[u16], office: &mut Office) {
    let random = pattern(400_000, 1);
    let text = b"a line that compresses well\n".repeat(10_000);
    for &port in &ports[..5] {
        tokio::join!(echo(port, &random), echo(port, &text), echo(port, b"x"));
    }

    // A service that speaks first is heard before the user says anything.
    let mut user = connect(ports[5]).await;
    let mut heard = [0; 16];
    within(wait::SOON, "the greeting", user.read_exact(&mut heard))
        .await
        .unwrap();
    assert_eq!(&heard, b"SSH-2.0-office\r\n");
    clients::echo_on(&mut user, &random).await;

    // What a side had sent before it closed arrives, whoever closes.
    let mut user = connect(ports[6]).await;
    assert!(
        read_all(&mut user).await == office.content,
        "the source's bytes are not whole"
    );

    let mut user = connect(ports[7]).await;
    user.write_all(&office.content).await.unwrap();
    user.shutdown().await.unwrap();
    let received = within(
        Duration::from_secs(30),
        "the sink's bytes",
        office.received.recv(),
    )
    .await;
    assert!(
        received.unwrap() == office.content,
        "the sink's bytes are not whole"
    );
    // And the user sees the end of it.
    read_all(&mut user).await;
}

/// One test for each combination of wire version, TLS and mux.
macro_rules! table {
    ($($name:ident: $wire:literal $tls:literal $mux:literal;)*) => {
        mod ours_with_ours {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                newest(Side::Ours, Side::Ours, Setting { wire: $wire, tls: $tls, mux: $mux }).await;
            })*
        }

        mod our_server_with_their_client {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let Some(theirs) = Side::reference(NEWEST) else { return };
                newest(Side::Ours, theirs, Setting { wire: $wire, tls: $tls, mux: $mux }).await;
            })*
        }

        mod their_server_with_our_client {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let Some(theirs) = Side::reference(NEWEST) else { return };
                newest(theirs, Side::Ours, Setting { wire: $wire, tls: $tls, mux: $mux }).await;
            })*
        }
    };
}

table! {
    v1_tls_mux: "v1" true true;
    v1_tls_single: "v1" true false;
    v1_plain_mux: "v1" false true;
    v1_plain_single: "v1" false false;
    v2_tls_mux: "v2" true true;
    v2_tls_single: "v2" true false;
    v2_plain_mux: "v2" false true;
    v2_plain_single: "v2" false false;
}

macro_rules! oldest_table {
    ($($name:ident: $tls:literal $mux:literal;)*) => {
        mod our_server_with_the_oldest_client {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let Some(theirs) = Side::reference(OLDEST) else { return };
                oldest(Side::Ours, theirs, $tls, $mux).await;
            })*
        }

        mod the_oldest_server_with_our_client {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let Some(theirs) = Side::reference(OLDEST) else { return };
                oldest(theirs, Side::Ours, $tls, $mux).await;
            })*
        }
    };
}

oldest_table! {
    tls_mux: true true;
    tls_single: true false;
    plain_mux: false true;
    plain_single: false false;
}
