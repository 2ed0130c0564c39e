//! The plugin http_proxy.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use frp_tests::clients::{read_all, until_closed};
use frp_tests::wait::SOON;
use frp_tests::*;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use super::curl::{curl, parse};
use super::{Plugged, plugged, plugged_of};

const NEWEST: &str = "0.70.1";
const PLUGIN: &str = "type = \"http_proxy\"\nhttpUser = \"abc\"\nhttpPassword = \"123\"";
const OPEN: &str = "type = \"http_proxy\"";

/// A web server that answers each request with its head and body, and counts its connections.
async fn mirror(connections: Arc<AtomicUsize>) -> Service {
    Service::new(move |stream| {
        connections.fetch_add(1, Ordering::Relaxed);
        async move {
            let mut stream = BufReader::new(stream);
            while let Some((head, body)) = read_request(&mut stream).await {
                let body = [head.as_bytes(), &body].concat();
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nKeep-Alive: timeout=5\r\n\
                     Connection: X-Hop\r\nX-Hop: 1\r\nX-End: 2\r\n\r\n"
                );
                let answer = [head.as_bytes(), &body].concat();
                if stream.write_all(&answer).await.is_err() {
                    return;
                }
                if body.windows(5).any(|five| five == b"/last") {
                    return;
                }
            }
        }
    })
    .await
}

async fn read_request(stream: &mut BufReader<tokio::net::TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_lowercase();
    let length = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, body))
}

fn proxy_url(web: &Plugged, login: &str) -> String {
    format!("http://{login}@127.0.0.1:{}", web.port)
}

/// Ours on both sides, and ours with theirs.
fn pairs() -> Vec<[Side; 2]> {
    let mut pairs = vec![[Side::Ours, Side::Ours]];
    if let Some(theirs) = Side::reference(NEWEST) {
        pairs.push([theirs.clone(), Side::Ours]);
        pairs.push([Side::Ours, theirs]);
    }
    pairs
}

#[tokio::test]
async fn curl_fetches_through_it() {
    for [server, client] in &pairs() {
        let rig = Rig::new();
        let connections = Arc::new(AtomicUsize::new(0));
        let site = mirror(connections.clone()).await;
        let web = plugged_of(&rig, [server, client], "", PLUGIN).await;
        let proxy = proxy_url(&web, "abc:123");
        let url = format!("http://127.0.0.1:{}/path?q=1", site.port);

        let seen = curl(rig.path(), ["--proxy", &proxy, &url]).await.text();
        assert!(seen.starts_with("GET /path?q=1 HTTP/1.1\r\n"), "{seen}");
        assert!(!seen.to_lowercase().contains("proxy-"), "{seen}");
        let post = ["--proxy", &proxy, "--data", "the body", &url];
        assert!(
            curl(rig.path(), post)
                .await
                .text()
                .ends_with("\r\n\r\nthe body")
        );
        let tunnel = ["--proxy", &proxy, "--proxytunnel", &url];
        let seen = curl(rig.path(), tunnel).await.text();
        assert!(seen.starts_with("GET /path?q=1 HTTP/1.1\r\n"), "{seen}");

        // Requests on one connection go to the target on one. Theirs may take another user's.
        if *client != Side::Ours {
            continue;
        }
        let before = connections.load(Ordering::Relaxed);
        let both = curl(rig.path(), ["--proxy", &proxy, &url, &url])
            .await
            .text();
        assert_eq!(both.matches("GET /path").count(), 2);
        assert_eq!(connections.load(Ordering::Relaxed) - before, 1);
    }
}

#[tokio::test]
async fn who_cannot_log_in_is_asked_to() {
    for [server, client] in &pairs() {
        let rig = Rig::new();
        let connections = Arc::new(AtomicUsize::new(0));
        let site = mirror(connections.clone()).await;
        let web = plugged_of(&rig, [server, client], "", PLUGIN).await;
        let url = format!("http://127.0.0.1:{}/", site.port);
        let show = "%{http_code} %{http_connect} %header{proxy-authenticate}";
        for login in ["abc:12", "abc:", "x:123", ""] {
            let proxy = proxy_url(&web, login).replace("//@", "//");
            let args = ["--proxy", &proxy, "-o", "out", "--write-out", show, &url];
            let asked = curl(rig.path(), args).await.text();
            assert!(asked.starts_with("407 000 Basic"), "{login}: {asked}");
            let args = [
                "--proxytunnel",
                "--proxy",
                &proxy,
                "-o",
                "out",
                "--write-out",
                show,
                &url,
            ];
            let tunnel = curl(rig.path(), args).await;
            let asked = String::from_utf8(tunnel.out).unwrap();
            assert_eq!(tunnel.code, 56, "{login}: {}", tunnel.err);
            assert!(asked.starts_with("000 407"), "{login}: {asked}");
        }
        assert_eq!(connections.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test]
async fn only_what_concerns_both_ends_is_passed_on() {
    let rig = Rig::new();
    let site = mirror(Arc::default()).await;
    let web = plugged(&rig, "", OPEN).await;
    let port = site.port;
    let mut user = connect(web.port).await;
    let request = format!(
        "GET http://u:p@127.0.0.1:{port} HTTP/1.1\r\nHost: other.example\r\nX-End: 1\r\n\
         Connection: close, X-Hop\r\nX-Hop: 1\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\n\
         Upgrade: h2c\r\nKeep-Alive: 5\r\nProxy-Authorization: Basic eDp5\r\n\r\n"
    );
    user.write_all(request.as_bytes()).await.unwrap();
    let answer = parse(&read_all(&mut user).await);
    let mut seen: Vec<String> = answer.text().lines().map(str::to_owned).collect();
    assert_eq!(seen.remove(0), "GET / HTTP/1.1");
    seen.sort();
    assert_eq!(seen, ["", &format!("Host: 127.0.0.1:{port}"), "X-End: 1"]);
    assert_eq!(answer.header("x-end"), Some("2"));
    for name in ["x-hop", "keep-alive"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn an_answer_with_a_wrong_length_beside_its_chunks_is_whole() {
    let rig = Rig::new();
    let site = Service::new(|stream| async move {
        let mut stream = BufReader::new(stream);
        let _ = read_request(&mut stream).await;
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = format!("{head}5\r\nhello\r\n0\r\n\r\n");
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await;
    let web = plugged(&rig, "", OPEN).await;
    let mut user = connect(web.port).await;
    let request = format!(
        "GET http://127.0.0.1:{}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        site.port
    );
    user.write_all(request.as_bytes()).await.unwrap();
    let answer = parse(&read_all(&mut user).await);
    assert_eq!(answer.text(), "hello");
}

#[tokio::test]
async fn a_tunnel_carries_everything() {
    let layers = "transport.useEncryption = true\ntransport.useCompression = true";
    for lines in ["", layers] {
        let rig = Rig::new();
        let service = Service::echo().await;
        let web = plugged(&rig, lines, OPEN).await;
        let mut user = connect(web.port).await;
        // What comes behind the head before it is answered is the target's.
        let head = format!(
            "CONNECT 127.0.0.1:{0} HTTP/1.1\r\nHost: 127.0.0.1:{0}\r\n\r\nearly",
            service.port
        );
        user.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        within(SOON, "the answer and the echo", async {
            while !answer.ends_with(b"\r\n\r\nearly") {
                answer.push(user.read_u8().await.unwrap());
            }
        })
        .await;
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
        let answer = String::from_utf8(answer).unwrap().to_lowercase();
        assert!(
            !answer.contains("content-length") && !answer.contains("transfer-"),
            "{answer}"
        );
        clients::echo_on(&mut user, &pattern(700_000, 3)).await;
        user.write_all(b"last words").await.unwrap();
        user.shutdown().await.unwrap();
        assert_eq!(read_all(&mut user).await, b"last words");
    }
}

#[tokio::test]
async fn a_target_that_cannot_be_reached_is_told_and_the_next_request_is_served() {
    let rig = Rig::new();
    let site = mirror(Arc::default()).await;
    let web = plugged(&rig, "", OPEN).await;
    let proxy = proxy_url(&web, "a:b");
    let dead = free_port();
    let show = "%{http_code} %{http_connect} ";
    let url = format!("http://127.0.0.1:{dead}/");
    let alive = format!("http://127.0.0.1:{}/", site.port);

    let args = ["--proxy", &proxy, "--write-out", show, &url, &alive];
    let seen = curl(rig.path(), args).await.text();
    let why = format!("dial tcp 127.0.0.1:{dead}: connect: connection refused\n502 000 GET / ");
    assert!(seen.starts_with(&why), "{seen}");
    let args = [
        "--proxy",
        &proxy,
        "--proxytunnel",
        "--write-out",
        show,
        &url,
    ];
    let tunnel = curl(rig.path(), args).await;
    assert_eq!(String::from_utf8(tunnel.out).unwrap(), "000 502 ");

    let nowhere = [
        "--proxy",
        &proxy,
        "--write-out",
        show,
        "http://nowhere.invalid/",
    ];
    let seen = curl(rig.path(), nowhere).await.text();
    assert!(seen.starts_with("lookup nowhere.invalid: "), "{seen}");
    assert!(seen.ends_with("502 000 "), "{seen}");

    // A target that is no web server, or leaves without an answer.
    for garbage in ["SSH-2.0-x\r\n", ""] {
        let service = Service::source(garbage).await;
        let url = format!("http://127.0.0.1:{}/", service.port);
        let args = ["--proxy", &proxy, "--write-out", show, &url];
        let seen = curl(rig.path(), args).await.text();
        assert!(seen.ends_with("502 000 "), "{garbage}: {seen}");
    }
}

#[tokio::test]
async fn a_target_that_closed_between_requests_is_reached_again() {
    let rig = Rig::new();
    let connections = Arc::new(AtomicUsize::new(0));
    let site = mirror(connections.clone()).await;
    let web = plugged(&rig, "", OPEN).await;
    let proxy = proxy_url(&web, "a:b");
    let url = format!("http://127.0.0.1:{}/last", site.port);
    let args = ["--proxy", &proxy, &url, &url, &url];
    let seen = curl(rig.path(), args).await.text();
    assert_eq!(seen.matches("GET /last").count(), 3, "{seen}");
    assert_eq!(connections.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn what_is_no_proxy_request_is_refused_with_a_reason() {
    let rig = Rig::new();
    let web = plugged(&rig, "", OPEN).await;
    for (line, why) in [
        ("GET / HTTP/1.1", "this is a proxy"),
        ("GET https://a.example/ HTTP/1.1", "use CONNECT"),
        ("GET ftp://a.example/ HTTP/1.1", "use CONNECT"),
        ("CONNECT a.example HTTP/1.1", "host:port"),
        ("GET http://127.0.0.1:99999/ HTTP/1.1", "port"),
    ] {
        let mut user = connect(web.port).await;
        let request = format!("{line}\r\nHost: a.example\r\nConnection: close\r\n\r\n");
        user.write_all(request.as_bytes()).await.unwrap();
        let answer = parse(&read_all(&mut user).await);
        assert_eq!(answer.status, 400, "{line}");
        assert!(answer.text().contains(why), "{line}: {answer:?}");
    }
    for garbage in [
        &b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"[..],
        b"\x05\x01\0",
        b"A\r\n\r\n",
    ] {
        let mut user = connect(web.port).await;
        user.write_all(garbage).await.unwrap();
        user.shutdown().await.unwrap();
        until_closed(&mut user, SOON, "garbage").await;
    }
    // A head without an end.
    let mut user = connect(web.port).await;
    user.write_all(b"GET http://a.example/ HTTP/1.1\r\n")
        .await
        .unwrap();
    let line = format!("X: {}\r\n", "y".repeat(1000));
    let _ = user.write_all(line.repeat(1100).as_bytes()).await;
    until_closed(&mut user, SOON, "a head too long").await;
}

#[tokio::test]
async fn a_user_who_leaves_leaves_nothing() {
    let rig = Rig::new();
    let web = plugged(&rig, "", OPEN).await;
    let silent = Service::silent().await;
    let open = web.frpc.open_files();
    let target = format!("127.0.0.1:{}", silent.port);
    let mut users = Vec::new();
    for request in [
        format!("GET http://{target}/ HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("POST http://{target}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12"),
        format!("CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n"),
        "GET http://".to_owned(),
    ] {
        let mut user = connect(web.port).await;
        user.write_all(request.as_bytes()).await.unwrap();
        users.push(user);
    }
    eventually("the targets are reached", || async {
        web.frpc.open_files() >= open + 3
    })
    .await;
    drop(users);
    eventually("all is closed", || async { web.frpc.open_files() <= open }).await;
}
