//! How each side finds out that the other is gone.

use std::time::Duration;

use frp_tests::clients::until_echoes;
use frp_tests::rig::tcp_proxy;
use frp_tests::wire::Control;
use frp_tests::*;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

const FAST: &str = "transport.tcpMux = false\ntransport.heartbeatInterval = 1\n\
                    transport.heartbeatTimeout = 3\n";

#[tokio::test]
async fn frps_ends_a_silent_session_without_mux() {
    let rig = Rig::new();
    let frps = rig
        .frps("transport.tcpMux = false\ntransport.heartbeatTimeout = 2\n")
        .await;
    let (mut control, _) = Control::login(connect(frps.port).await, "", &json!({})).await;
    frps.program.expect("heartbeat timeout").await;
    while control.recv().await.is_some() {}
}

/// A path that swallows everything, without a reset: only timeouts help.
#[tokio::test]
async fn frpc_leaves_a_path_that_went_dead_without_mux() {
    dead_path(
        "transport.tcpMux = false\ntransport.heartbeatTimeout = 3\n",
        FAST,
    )
    .await;
}

/// With mux its keep-alive does it: 1 s interval here, and 10 s for the answer.
#[tokio::test]
async fn frpc_leaves_a_path_that_went_dead_with_mux() {
    let fast = "transport.tcpMuxKeepaliveInterval = 1\n";
    dead_path(fast, fast).await;
}

async fn dead_path(server: &str, client: &str) {
    let rig = Rig::new();
    let service = Service::echo().await;
    let frps = rig.frps(server).await;
    let (freeze, frozen) = watch::channel(0);
    let path = freezing_path(frps.port, frozen).await;
    let port = free_port();
    let proxy = tcp_proxy("web", service.port, port, "");
    let frpc = rig.frpc(path.port, &format!("{client}{proxy}"));
    frpc.expect("[web] start proxy success").await;
    echo(port, b"before").await;

    let mark = frpc.log().mark();
    freeze.send_modify(|generation| *generation += 1);
    // Connections made from now on pass; frpc must give the old one up and make a new one.
    frpc.expect_from(mark, "login to server success", Duration::from_secs(30))
        .await;
    until_echoes(port, Duration::from_secs(30)).await;
}

/// Forwards to `target`; connections older than the last change of `frozen` swallow everything.
async fn freezing_path(target: u16, frozen: watch::Receiver<u32>) -> Service {
    Service::new(move |mut near| {
        let mut frozen = frozen.clone();
        frozen.mark_unchanged();
        async move {
            let mut far = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => return,
                _ = frozen.changed() => {}
            }
            // Both ends stay open and are read, but nothing passes.
            let mut sink = tokio::io::sink();
            let (mut near, _near) = near.split();
            let (mut far, _far) = far.split();
            let mut other = tokio::io::sink();
            let _ = tokio::join!(
                tokio::io::copy(&mut near, &mut sink),
                tokio::io::copy(&mut far, &mut other)
            );
        }
    })
    .await
}

/// Mux peers answer pings, on both roles; a silent one is left.
#[tokio::test]
async fn frps_answers_pings_and_leaves_a_mux_peer_that_does_not() {
    let rig = Rig::new();
    let frps = rig.frps("transport.tcpMuxKeepaliveInterval = 1\n").await;
    let mut peer = connect(frps.port).await;
    let mut hello = yamux::open(1);
    hello.extend(yamux::data(
        1,
        &wire::v1(wire::LOGIN, &wire::login("", &json!({}))),
    ));
    hello.extend(yamux::header(yamux::PING, yamux::SYN, 0, 4242));
    peer.write_all(&hello).await.unwrap();

    let (mut answered, mut asked) = (false, false);
    within(
        Duration::from_secs(40),
        "frps gives the silent peer up",
        async {
            while let Some((head, _)) = yamux::read(&mut peer).await {
                if head.kind == yamux::PING && head.flags == yamux::ACK {
                    assert_eq!(head.length, 4242);
                    answered = true;
                }
                asked |= head.kind == yamux::PING && head.flags == yamux::SYN;
            }
        },
    )
    .await;
    assert!(answered, "no answer to a ping");
    assert!(asked, "no ping before the end");
    frps.program.expect("client exit success").await;
}

/// A user who does not read must not stall others of the same mux session.
#[tokio::test]
async fn one_unread_stream_does_not_stall_the_others() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let flood = Service::new(|mut stream| async move {
        let block = pattern(64 * 1024, 1);
        while stream.write_all(&block).await.is_ok() {}
    })
    .await;
    let frps = rig.frps("transport.tcpMuxKeepaliveInterval = 1\n").await;
    let (port, flooded) = (free_port(), free_port());
    let text =
        tcp_proxy("web", service.port, port, "") + &tcp_proxy("flood", flood.port, flooded, "");
    let frpc = rig.frpc(
        frps.port,
        &format!("transport.tcpMuxKeepaliveInterval = 1\n{text}"),
    );
    frpc.expect("[web] start proxy success").await;
    frpc.expect("[flood] start proxy success").await;

    let mut lazy = Vec::new();
    for _ in 0..4 {
        let mut user = connect(flooded).await;
        user.read_u8().await.unwrap();
        lazy.push(user);
    }
    for i in 0..20 {
        echo(port, &pattern(100_000, i)).await;
    }
    assert_eq!(frpc.log().count("login to server success"), 1);

    // They read at last, and the bytes are in order.
    let block = pattern(64 * 1024, 1);
    for user in &mut lazy {
        let mut bytes = vec![0; 10 << 20];
        within(
            Duration::from_secs(60),
            "10 MB",
            user.read_exact(&mut bytes),
        )
        .await
        .unwrap();
        let expected = block.iter().cycle().skip(1);
        assert!(bytes.iter().eq(expected.take(bytes.len())), "bytes differ");
    }
}
