//! What flows through the plugins that forward HTTP: switched protocols, events, large bodies.

use std::sync::Arc;

use frp_tests::clients::until_closed;
use frp_tests::tls::{client, connect_tls};
use frp_tests::wait::SOON;
use frp_tests::*;
use rustls::version::TLS13;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;

use super::backend::{Io, curl, read_head, read_request, service};
use super::{BRIDGES, Bridges, plugged};
use frp_tests::tls::Authority;

const OURS: [&Side; 2] = [&Side::Ours, &Side::Ours];

const ASK: &[u8] =
    b"GET /chat HTTP/1.1\r\nHost: chat.example\r\nConnection: keep-alive, Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\nearly";

/// A user's connection to a plugin, by TLS where its users speak that.
async fn visit(plugin: &str, port: u16) -> Box<dyn Io> {
    if plugin.starts_with("https") {
        let mut config = client(&[&TLS13]);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Box::new(connect_tls(port, config).await.unwrap())
    } else {
        Box::new(connect(port).await)
    }
}

/// Agrees to every switch and echoes from then on.
async fn chat(mut io: Box<dyn Io>) {
    let Some(request) = read_request(&mut *io).await else {
        return;
    };
    assert_eq!(request.field("Connection"), Some("Upgrade"));
    let protocol = request.field("Upgrade").unwrap().to_owned();
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nwelcome"
    );
    io.write_all(answer.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(io);
    let _ = tokio::io::copy(&mut reader, &mut writer).await;
    let _ = writer.shutdown().await;
}

#[tokio::test]
async fn websockets_pass_and_end_with_either_side() {
    let rig = Rig::new();
    let identity = Authority::new(rig.path(), "ca").issue(rig.path(), "local", &["127.0.0.1"]);
    let ended = Arc::new(Notify::new());
    let serve = {
        let ended = ended.clone();
        move |io| {
            let ended = ended.clone();
            async move {
                chat(io).await;
                ended.notify_one();
            }
        }
    };
    let plain = service(None, serve.clone()).await;
    let secure = service(Some(&identity), serve).await;
    let bridges = Bridges::new(&rig, OURS, plain.port, secure.port, "").await;
    for (plugin, port) in BRIDGES.iter().zip(bridges.ports) {
        let mut user = visit(plugin, port).await;
        user.write_all(ASK).await.unwrap();
        user.flush().await.unwrap();
        let (line, fields) = within(SOON, "the switch", read_head(&mut *user))
            .await
            .unwrap();
        assert_eq!(line, "HTTP/1.1 101 Switching Protocols", "{plugin}");
        let accept = "Sec-Websocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        assert!(fields.iter().any(|field| field == accept), "{fields:?}");
        let mut heard = [0; 12];
        within(SOON, "what was said at once", user.read_exact(&mut heard))
            .await
            .unwrap();
        assert_eq!(&heard, b"welcomeearly");
        for size in [1, 100_000] {
            let data = pattern(size, 3);
            user.write_all(&data).await.unwrap();
            user.flush().await.unwrap();
            let mut back = vec![0; size];
            within(SOON, "an echo", user.read_exact(&mut back))
                .await
                .unwrap();
            assert!(back == data, "{plugin}");
        }
        drop(user);
        within(SOON, "the service sees the end", ended.notified()).await;
    }
    // And the other way round.
    for service in [plain, secure] {
        drop(service);
    }
}

#[tokio::test]
async fn a_switch_that_nobody_asked_for_is_refused() {
    let rig = Rig::new();
    let service = service(None, |mut io| async move {
        read_request(&mut *io).await;
        let answer =
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
        io.write_all(answer).await.unwrap();
        until_closed(&mut io, SOON, "the plugin does not go on").await;
    })
    .await;
    let bridges = Bridges::new(&rig, OURS, service.port, 1, "").await;
    let why = "backend tried to switch protocol \"x\" when \"\" was requested";
    let got = curl(&bridges.urls()[0], &[]).await;
    assert_eq!(got.status, "502 1.1");
    bridges
        .frpc
        .expect(&format!("http: proxy error: {why}"))
        .await;
}

#[tokio::test]
async fn events_arrive_as_they_happen() {
    let rig = Rig::new();
    let go_on = Arc::new(Notify::new());
    let events = {
        let go_on = go_on.clone();
        move |mut io: Box<dyn Io>| {
            let go_on = go_on.clone();
            async move {
                read_request(&mut *io).await;
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                            Transfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n";
                io.write_all(head.as_bytes()).await.unwrap();
                io.flush().await.unwrap();
                go_on.notified().await;
                io.write_all(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")
                    .await
                    .unwrap();
                io.flush().await.unwrap();
                read_request(&mut *io).await;
            }
        }
    };
    let service = service(None, events).await;
    let bridges = Bridges::new(&rig, OURS, service.port, 1, "").await;
    for (plugin, port) in [
        (BRIDGES[0], bridges.ports[0]),
        (BRIDGES[2], bridges.ports[2]),
    ] {
        let mut user = visit(plugin, port).await;
        user.write_all(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            .await
            .unwrap();
        user.flush().await.unwrap();
        within(SOON, "the head", read_head(&mut *user))
            .await
            .unwrap();
        let mut event = [0; 14];
        within(SOON, "an event", user.read_exact(&mut event))
            .await
            .unwrap();
        assert_eq!(&event, b"9\r\ndata: 1\n\n\r\n");
        go_on.notify_one();
        let mut rest = [0; 19];
        within(SOON, "the rest", user.read_exact(&mut rest))
            .await
            .unwrap();
        assert_eq!(&rest, b"9\r\ndata: 2\n\n\r\n0\r\n\r\n");
    }
}

#[tokio::test]
async fn large_bodies_are_whole_both_ways() {
    let rig = Rig::new();
    let mirror = |mut io: Box<dyn Io>| async move {
        while let Some(request) = read_request(&mut *io).await {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                request.body.len()
            );
            io.write_all(head.as_bytes()).await.unwrap();
            io.write_all(&request.body).await.unwrap();
            io.flush().await.unwrap();
        }
    };
    let identity = Authority::new(rig.path(), "ca").issue(rig.path(), "local", &["127.0.0.1"]);
    let plain = service(None, mirror).await;
    let secure = service(Some(&identity), mirror).await;
    let data = pattern(3_000_000, 9);
    let file = rig.file("upload", &data);
    let upload = format!("@{}", file.display());
    let bridges = Bridges::new(&rig, OURS, plain.port, secure.port, "").await;
    let ways: &[&[&str]] = &[
        &["--http1.1"],
        &["--http2"],
        &[
            "--http1.1",
            "-H",
            "Transfer-Encoding: chunked",
            "-H",
            "Expect: 100-continue",
        ],
    ];
    for url in bridges.urls() {
        for way in ways {
            let got = curl(&url, &[*way, &["--data-binary", &upload]].concat()).await;
            assert!(
                got.body == data,
                "{url} {way:?}: {} {}",
                got.exit,
                got.status
            );
        }
    }
    // Under the layers of a work connection, too, which hold bytes until they are flushed.
    let lines = "transport.useEncryption = true\ntransport.useCompression = true\n\
                 transport.bandwidthLimit = \"50MB\"";
    let plugin = format!(
        "type = \"https2http\"\nlocalAddr = \"127.0.0.1:{}\"",
        plain.port
    );
    let web = plugged(&rig, lines, &plugin).await;
    let url = format!("https://127.0.0.1:{}/", web.port);
    let got = curl(&url, &["--data-binary", &upload]).await;
    assert!(got.body == data, "{} {}", got.exit, got.status);
}

#[tokio::test]
async fn a_slow_reader_holds_back_the_service() {
    let rig = Rig::new();
    let total = 256 * 1024 * 1024_usize;
    let flood = move |mut io: Box<dyn Io>| async move {
        read_request(&mut *io).await;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n");
        io.write_all(head.as_bytes()).await.unwrap();
        let chunk = vec![7; 64 * 1024];
        for _ in 0..total / chunk.len() {
            if io.write_all(&chunk).await.is_err() {
                return;
            }
        }
    };
    let service = service(None, flood).await;
    let bridges = Bridges::new(&rig, OURS, service.port, 1, "").await;
    let before = bridges.frpc.private_bytes();
    let mut user = visit(BRIDGES[2], bridges.ports[2]).await;
    user.write_all(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        .await
        .unwrap();
    user.flush().await.unwrap();
    within(SOON, "the head", read_head(&mut *user))
        .await
        .unwrap();
    // Whatever is read is on its way only because of that; the rest waits at the service.
    let mut buffer = vec![0; 1024 * 1024];
    let mut most = 0;
    for _ in 0..32 {
        within(SOON, "a part of the body", user.read_exact(&mut buffer))
            .await
            .unwrap();
        most = most.max(bridges.frpc.private_bytes().saturating_sub(before));
    }
    assert!(most < 24 * 1024 * 1024, "{most} bytes more");
}
