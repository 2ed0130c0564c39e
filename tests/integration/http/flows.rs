//! What flows through a proxy of type http, other than short answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use frp_tests::backend::{curl, fetch, get, ok, raw, read_head, read_request, split};
use frp_tests::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::*;

const HOST: &str = "customDomains = [\"a.test\"]";

/// Reads until `stream` has said `text`.
async fn hear(stream: &mut TcpStream, text: &str) {
    let mut all = Vec::new();
    within(wait::SOON, text, async {
        while !String::from_utf8_lossy(&all).contains(text) {
            assert!(
                stream.read_buf(&mut all).await.unwrap() > 0,
                "ended before {text}"
            );
        }
    })
    .await;
}

/// Accepts upgrades and CONNECT, then sends back what it gets.
async fn switching() -> Service {
    Service::new(|mut stream| async move {
        let mut buffer = Vec::new();
        let Some(seen) = read_request(&mut stream, &mut buffer, 0).await else {
            return;
        };
        let answer = if seen.head.starts_with("CONNECT") {
            "HTTP/1.1 200 OK\r\nX-Tunnel: yes\r\n\r\n"
        } else {
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n"
        };
        // The first word comes with the head, and so did what is in the buffer.
        let first = [answer.as_bytes(), b"first", &buffer].concat();
        stream.write_all(&first).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
    })
    .await
}

#[tokio::test]
async fn an_upgraded_connection_carries_anything_both_ways() {
    let service = switching().await;
    let site = Site::open("", &proxy_to("web", service.port, HOST)).await;
    let mut user = connect(site.port).await;
    let request = "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, Upgrade\r\n\
                   Upgrade: Chat\r\n\r\nearly";
    user.write_all(request.as_bytes()).await.unwrap();
    let mut buffer = Vec::new();
    let head = read_head(&mut user, &mut buffer).await.unwrap();
    assert!(
        head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
        "{head}"
    );
    assert!(head.contains("\r\nUpgrade: chat"), "{head}");
    while buffer.len() < 10 {
        user.read_buf(&mut buffer).await.unwrap();
    }
    assert_eq!(buffer, b"firstearly");
    clients::echo_on(&mut user, &pattern(3_000_000, 5)).await;
    user.shutdown().await.unwrap();
    assert!(
        clients::read_all(&mut user).await.is_empty(),
        "the end is passed on"
    );
}

#[tokio::test]
async fn a_websocket_talks() {
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio_tungstenite::tungstenite::Message;

    let service = Service::new(|stream| async move {
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() || message.is_binary() {
                socket.send(message).await.unwrap();
            }
        }
    })
    .await;
    let lines = format!("{HOST}\ntransport.useEncryption = true\ntransport.useCompression = true");
    let site = Site::open("", &proxy_to("web", service.port, &lines)).await;
    let stream = connect(site.port).await;
    let (mut socket, _) = tokio_tungstenite::client_async("ws://a.test/chat", stream)
        .await
        .unwrap();
    for message in [
        Message::text("hello"),
        Message::binary(pattern(200_000, 3)),
        Message::text("bye"),
    ] {
        socket.send(message.clone()).await.unwrap();
        let back = within(wait::SOON, "the message back", socket.next()).await;
        assert_eq!(back.unwrap().unwrap(), message);
    }
    socket.close(None).await.unwrap();
}

#[tokio::test]
async fn connect_is_a_tunnel_of_the_service() {
    let service = switching().await;
    let lines = format!("{HOST}\nhttpUser = \"u\"\nhttpPassword = \"p\"");
    let site = Site::open("", &proxy_to("web", service.port, &lines)).await;
    let request =
        |header: &str| format!("CONNECT a.test:22 HTTP/1.1\r\nHost: a.test:22\r\n{header}\r\n");
    let refused = raw(site.port, request("Connection: close\r\n")).await;
    assert_eq!(split(&refused).0, 407, "{refused}");
    let mut user = connect(site.port).await;
    let request = request("Proxy-Authorization: Basic dTpw\r\n");
    user.write_all(request.as_bytes()).await.unwrap();
    let mut buffer = Vec::new();
    let head = read_head(&mut user, &mut buffer).await.unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("X-Tunnel: yes"),
        "{head}"
    );
    while buffer.len() < 5 {
        user.read_buf(&mut buffer).await.unwrap();
    }
    assert_eq!(buffer, b"first");
    clients::echo_on(&mut user, &pattern(100_000, 6)).await;
    let lost = raw(
        site.port,
        "CONNECT b.test:1 HTTP/1.1\r\nHost: b.test:1\r\n\r\n",
    )
    .await;
    assert!(lost.starts_with("HTTP/1.1 404 Not Found\r\n"), "{lost}");
    assert!(
        lost.contains("\r\nServer: frp/") && lost.contains("Content-Type: text/html\r\n"),
        "{lost}"
    );
}

#[tokio::test]
async fn http2_with_prior_knowledge_becomes_http1_at_the_service() {
    let backend = Backend::new(|seen| match seen.path() {
        "/trailers" => b"HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\n\
            Trailer: Grpc-Status\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\
            Grpc-Status: 0\r\n\r\n"
            .to_vec(),
        _ => ok(&format!("{} bytes", seen.body.len())),
    })
    .await;
    let lines = format!("{HOST}\nresponseHeaders.set.X-Ours = \"1\"");
    let site = Site::open("", &proxy("web", &backend, &lines)).await;
    let port = site.port;
    let at = format!("a.test:{port}:127.0.0.1");
    let url = |path: &str| format!("http://a.test:{port}{path}");
    let h2 = async |path: &str, args: &[&str]| {
        let fixed = [
            "--http2-prior-knowledge",
            "--resolve",
            &at,
            "-D",
            "-",
            "-w",
            "v%{http_version}",
        ];
        let url = url(path);
        curl(&[&fixed[..], args, &[url.as_str()]].concat()).await
    };
    let answer = h2("/x", &["-H", "TE: trailers"]).await;
    assert!(answer.starts_with("HTTP/2 200"), "{answer}");
    assert!(
        answer.contains("x-ours: 1\r\n") && answer.ends_with("0 bytesv2"),
        "{answer}"
    );
    let seen = backend.last();
    assert!(
        seen.head.starts_with("GET /x HTTP/1.1\r\n"),
        "{}",
        seen.head
    );
    assert_eq!(seen.header("host"), Some(format!("a.test:{port}").as_str()));
    assert_eq!(seen.header("x-forwarded-host"), seen.header("host"));
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    let data = "x".repeat(300_000);
    let file = site.rig.file("data", &data);
    let upload = format!("@{}", file.display());
    let answer = h2("/up", &["--data-binary", &upload]).await;
    assert!(answer.ends_with("300000 bytesv2"), "{answer}");
    let answer = h2("/trailers", &["-H", "TE: trailers"]).await;
    assert!(
        answer.contains("abc") && answer.contains("grpc-status: 0"),
        "{answer}"
    );
    assert!(
        h2("/x", &["-H", "Host: b.test"])
            .await
            .starts_with("HTTP/2 404")
    );
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn events_arrive_when_they_are_sent() {
    let (events, receiver) = mpsc::unbounded_channel::<&'static str>();
    let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
    let service = Service::new(move |mut stream| {
        let receiver = receiver.clone();
        async move {
            read_request(&mut stream, &mut Vec::new(), 0).await;
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                        Transfer-Encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes()).await.unwrap();
            while let Some(event) = receiver.lock().await.recv().await {
                let chunk = format!("{:x}\r\n{event}\r\n", event.len());
                if stream.write_all(chunk.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    let lines = format!("{HOST}\ntransport.useCompression = true");
    let site = Site::open("", &proxy_to("web", service.port, &lines)).await;
    let mut user = connect(site.port).await;
    user.write_all(get("a.test", "/events", &[]).as_bytes())
        .await
        .unwrap();
    hear(&mut user, "text/event-stream").await;
    for event in ["data: one\n\n", "data: two\n\n", "data: three\n\n"] {
        events.send(event).unwrap();
        hear(&mut user, event).await;
    }
}

/// Sends as much as is taken, after a head that announces `length` bytes.
async fn flood(length: u64) -> (Service, Arc<AtomicU64>) {
    let sent = Arc::new(AtomicU64::new(0));
    let service = Service::new({
        let sent = sent.clone();
        move |mut stream| {
            let sent = sent.clone();
            async move {
                read_request(&mut stream, &mut Vec::new(), 0).await;
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                stream.write_all(head.as_bytes()).await.unwrap();
                let block = pattern(64 * 1024, 9);
                let mut left = length;
                while left > 0 {
                    let n = left.min(block.len() as u64) as usize;
                    if stream.write_all(&block[..n]).await.is_err() {
                        return;
                    }
                    left -= n as u64;
                    sent.fetch_add(n as u64, Ordering::SeqCst);
                }
            }
        }
    })
    .await;
    (service, sent)
}

const MEGABYTE: u64 = 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_gigabyte_passes_in_constant_memory() {
    let length = 1024 * MEGABYTE;
    let (service, _) = flood(length).await;
    let site = Site::open("", &proxy_to("web", service.port, HOST)).await;
    assert_eq!(fetch(site.port, "b.test", "/").await.0, 404);
    let before = site.frps.program.private_bytes();
    let mut user = connect(site.port).await;
    user.write_all(get("a.test", "/", &[]).as_bytes())
        .await
        .unwrap();
    let mut buffer = Vec::new();
    read_head(&mut user, &mut buffer).await.unwrap();
    let mut received = buffer.len() as u64;
    let mut most = 0;
    let mut block = vec![0; 256 * 1024];
    let mut reads = 0;
    loop {
        let n = within(wait::SOON, "more of the body", user.read(&mut block))
            .await
            .unwrap();
        if n == 0 {
            break;
        }
        received += n as u64;
        reads += 1;
        if reads % 500 == 0 {
            most = most.max(site.frps.program.private_bytes());
        }
    }
    assert_eq!(received, length);
    assert!(
        most < before + 16 * MEGABYTE,
        "{before} bytes before, {most} at most"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_does_not_read_holds_back_the_service() {
    let (service, sent) = flood(1024 * MEGABYTE).await;
    let site = Site::open("", &proxy_to("web", service.port, HOST)).await;
    let before = site.frps.program.private_bytes();
    let mut user = connect(site.port).await;
    user.write_all(get("a.test", "/", &[]).as_bytes())
        .await
        .unwrap();
    hear(&mut user, "200 OK").await;
    let mut last = u64::MAX;
    eventually("the service is held back", || {
        let now = sent.load(Ordering::SeqCst);
        let same = std::mem::replace(&mut last, now) == now && now > 0;
        async move {
            tokio::time::sleep(Duration::from_millis(500)).await;
            same
        }
    })
    .await;
    // The system's buffers of four sockets, and one window of the mux.
    let sent = sent.load(Ordering::SeqCst);
    assert!(
        sent < 64 * MEGABYTE,
        "{sent} bytes were taken from the service"
    );
    let after = site.frps.program.private_bytes();
    assert!(
        after < before + 16 * MEGABYTE,
        "{before} bytes before, {after} after"
    );
    // Others are not held up.
    assert_eq!(fetch(site.port, "b.test", "/").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_while_the_answer_comes() {
    // Begins its answer before it has read the body, and sends all of it back.
    let service = Service::new(|mut stream| async move {
        let mut buffer = Vec::new();
        read_head(&mut stream, &mut buffer).await;
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 4000000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut left = 4_000_000 - buffer.len();
        while left > 0 {
            let mut block = vec![0; 65536];
            let n = stream.read(&mut block).await.unwrap();
            buffer.extend(&block[..n]);
            left -= n;
        }
        stream.write_all(&buffer).await.unwrap();
    })
    .await;
    let site = Site::open("", &proxy_to("web", service.port, HOST)).await;
    let data = pattern(4_000_000, 12);
    let mut user = connect(site.port).await;
    let head =
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4000000\r\nConnection: close\r\n\r\n";
    user.write_all(head.as_bytes()).await.unwrap();
    hear(&mut user, "Content-Length: 4000000").await;
    // Nothing of the answer's body can come before all of the upload is there.
    user.write_all(&data).await.unwrap();
    let answer = clients::read_all(&mut user).await;
    assert!(answer.ends_with(&data), "{} bytes came back", answer.len());
}

#[tokio::test]
async fn layers_and_limits_are_those_of_every_proxy() {
    let backend = Backend::new(|seen| ok(&String::from_utf8_lossy(&seen.body))).await;
    let settings = [
        "transport.useEncryption = true",
        "transport.useCompression = true",
        "transport.useEncryption = true\ntransport.useCompression = true\n\
         transport.bandwidthLimit = \"20MB\"\ntransport.bandwidthLimitMode = \"server\"",
        "transport.bandwidthLimit = \"20MB\"",
    ];
    let mut proxies = String::new();
    for (i, lines) in settings.iter().enumerate() {
        let lines = format!("customDomains = [\"p{i}.test\"]\n{lines}");
        proxies += &proxy(&format!("p{i}"), &backend, &lines);
    }
    let site = Site::open("", &proxies).await;
    let body = "some text that may compress ".repeat(20_000);
    for i in 0..settings.len() {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: p{i}.test\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let (status, back) = split(&raw(site.port, request).await);
        assert!(status == 200 && back == body, "p{i}: {status}");
    }
}

#[tokio::test]
async fn a_limit_of_the_server_holds_and_ends_with_the_user() {
    let (service, sent) = flood(64 * MEGABYTE).await;
    let lines = format!(
        "{HOST}\ntransport.bandwidthLimit = \"256KB\"\ntransport.bandwidthLimitMode = \"server\""
    );
    let web = free_port();
    let server = format!(
        "webServer.addr = \"127.0.0.1\"\nwebServer.port = {web}\n\
        webServer.user = \"admin\"\nwebServer.password = \"secret\"\n"
    );
    let site = Site::open(&server, &proxy_to("web", service.port, &lines)).await;
    let mut user = connect(site.port).await;
    user.write_all(get("a.test", "/", &[]).as_bytes())
        .await
        .unwrap();
    hear(&mut user, "200 OK").await;
    drop(user);
    // In frp the work connection stays open until all has been carried.
    eventually("the work connection is closed", || async {
        let info = http::get(web, "/api/proxy/http").await.json();
        info["proxies"][0]["curConns"] == 0
    })
    .await;
    assert!(sent.load(Ordering::SeqCst) < 32 * MEGABYTE);
}

#[tokio::test]
async fn bytes_and_connections_are_counted() {
    let backend = Backend::saying("hello").await;
    let service = switching().await;
    let web = free_port();
    let server = format!(
        "webServer.addr = \"127.0.0.1\"\nwebServer.port = {web}\n\
        webServer.user = \"admin\"\nwebServer.password = \"secret\"\n"
    );
    let proxies = [
        domain("web", &backend, "a.test"),
        proxy_to("ws", service.port, "customDomains = [\"b.test\"]"),
    ];
    let site = Site::open(&server, &proxies.concat()).await;
    assert_eq!(fetch(site.port, "a.test", "/").await, (200, "hello".into()));
    let seen = backend.last().head.len() as u64 + 4;
    let stats = async |name: &str| {
        http::get(web, &format!("/api/proxy/http/{name}"))
            .await
            .json()
    };
    let one = stats("web").await;
    assert_eq!(one["todayTrafficIn"], seen, "{one}");
    assert_eq!(one["todayTrafficOut"], ok("hello").len(), "{one}");
    assert_eq!(one["curConns"], 1, "the idle work connection");

    let mut user = connect(site.port).await;
    let request = "GET / HTTP/1.1\r\nHost: b.test\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n";
    user.write_all(request.as_bytes()).await.unwrap();
    hear(&mut user, "first").await;
    let before = stats("ws").await["todayTrafficIn"].as_u64().unwrap();
    clients::echo_on(&mut user, &pattern(10_000, 1)).await;
    eventually("the tunnel's bytes are counted", || async {
        let now = stats("ws").await;
        now["todayTrafficIn"] == before + 10_000 && now["curConns"] == 1
    })
    .await;
    drop(user);
    eventually("the tunnel is over", || async {
        stats("ws").await["curConns"] == 0
    })
    .await;
}

#[tokio::test]
async fn a_service_hears_of_the_user_that_its_connection_was_opened_for() {
    let (sender, mut received) = mpsc::unbounded_channel();
    let service = Service::new(move |mut stream| {
        let sender = sender.clone();
        async move {
            let mut buffer = Vec::new();
            while let Some(seen) = read_request(&mut stream, &mut buffer, 0).await {
                sender.send(seen.head).unwrap();
                stream.write_all(&ok("x")).await.unwrap();
            }
        }
    })
    .await;
    let lines = format!("{HOST}\ntransport.proxyProtocolVersion = \"v1\"");
    let site = Site::open("", &proxy_to("web", service.port, &lines)).await;
    let first = connect(site.port).await;
    let from = first.local_addr().unwrap().port();
    for mut user in [first, connect(site.port).await] {
        user.write_all(get("a.test", "/", &[]).as_bytes())
            .await
            .unwrap();
        clients::read_all(&mut user).await;
    }
    let head = received.recv().await.unwrap();
    let wanted = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {from} ");
    assert!(head.starts_with(&wanted), "{head}");
    let head = received.recv().await.unwrap();
    assert!(
        head.starts_with("GET / HTTP/1.1"),
        "on the same connection: {head}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_users_at_once_get_their_own_answers() {
    let backend = Backend::new(|seen| {
        let mut body = seen.path().as_bytes().to_vec();
        body.extend(&seen.body);
        ok(&String::from_utf8(body).unwrap())
    })
    .await;
    let proxies = [
        domain("a", &backend, "a.test"),
        proxy(
            "b",
            &backend,
            "customDomains = [\"b.test\"]\ntransport.useEncryption = true\n\
             transport.useCompression = true",
        ),
    ];
    let site = Site::open("", &proxies.concat()).await;
    let port = site.port;
    let mut users = tokio::task::JoinSet::new();
    for user in 0..40_usize {
        users.spawn(async move {
            let host = ["a.test", "b.test"][user % 2];
            let mut stream = connect(port).await;
            let mut buffer = Vec::new();
            for turn in 0..50_usize {
                let body = "x".repeat((user * 977 + turn * 4099) % 70_000 * (turn % 2));
                let method = ["GET", "POST"][turn % 2];
                let request = format!(
                    "{method} /{user}/{turn} HTTP/1.1\r\nHost: {host}\r\n\
                     Content-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(request.as_bytes()).await.unwrap();
                let head = within(wait::SOON, "an answer", read_head(&mut stream, &mut buffer));
                let head = head.await.unwrap();
                assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
                let wanted = format!("/{user}/{turn}{body}");
                assert!(
                    head.contains(&format!("Content-Length: {}", wanted.len())),
                    "{head}"
                );
                while buffer.len() < wanted.len() {
                    assert!(stream.read_buf(&mut buffer).await.unwrap() > 0);
                }
                assert!(buffer == wanted.as_bytes(), "another's answer");
                buffer.clear();
            }
        });
    }
    users.join_all().await;
    eventually("all but ten work connections are closed", || async {
        backend.open() <= 10
    })
    .await;
}
