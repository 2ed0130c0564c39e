//! Health checks: what is asked of the service, and what becomes of its proxy.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use frp_tests::rig::tcp_proxy;
use frp_tests::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const TCP: &str = "healthCheck.type = \"tcp\"\nhealthCheck.intervalSeconds = 1";

fn http(more: &str) -> String {
    format!("healthCheck.type = \"http\"\nhealthCheck.intervalSeconds = 1\n{more}")
}

/// Answers the n-th request with `answer(n)`, and hands over each request's head.
async fn web(
    answer: impl Fn(usize, &str) -> String + Send + Sync + 'static,
) -> (Service, mpsc::UnboundedReceiver<String>) {
    let (sender, received) = mpsc::unbounded_channel();
    let (answer, count) = (Arc::new(answer), Arc::new(AtomicUsize::new(0)));
    let service = Service::new(move |mut stream: TcpStream| {
        let (sender, answer, count) = (sender.clone(), answer.clone(), count.clone());
        async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            let head = String::from_utf8(head).unwrap();
            let text = answer(count.fetch_add(1, Ordering::Relaxed), &head);
            let _ = sender.send(head);
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.read_u8().await;
        }
    });
    (service.await, received)
}

fn status(line: &str) -> String {
    format!("HTTP/1.1 {line}\r\nContent-Length: 2\r\n\r\nok")
}

async fn is_closed(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).await.is_err()
}

/// The proxy comes and goes with its service, at our frps and at frp's.
#[tokio::test]
async fn a_proxy_comes_and_goes_with_its_service() {
    for server in [Some(Side::Ours), Side::reference("0.70.1")] {
        let Some(server) = server else { continue };
        let rig = Rig::new();
        let frps = rig.frps_of(&server, "").await;
        let (local, port, plain) = (free_port(), free_port(), free_port());
        let text = tcp_proxy("web", local, port, TCP) + &tcp_proxy("plain", local, plain, "");
        let frpc = rig.frpc(frps.port, &text);
        // Only the one without a check is registered.
        frpc.expect("[plain] start proxy success").await;
        let failed = frpc.expect("do one health check failed: ").await;
        let why = format!("dial tcp 127.0.0.1:{local}: connect: connection refused");
        assert!(failed.contains(&format!("[web] do one health check failed: {why}")));
        assert!(is_closed(port).await);
        assert_eq!(frpc.log().count("[web] start"), 0);

        for _ in 0..2 {
            let mark = frpc.log().mark();
            let listener = TcpListener::bind(("127.0.0.1", local)).await.unwrap();
            for text in [
                "[web] health check status change to success",
                "[web] health check success",
                "[web] start proxy success",
            ] {
                frpc.expect_from(mark, text, wait::SOON).await;
            }
            drop(connect(port).await);

            let mark = frpc.log().mark();
            drop(listener);
            for text in [
                "[web] do one health check failed",
                "[web] health check status change to failed",
                "[web] health check failed",
            ] {
                frpc.expect_from(mark, text, wait::SOON).await;
            }
            eventually("the port is closed", || is_closed(port)).await;
        }
        assert_eq!(frpc.log().count("[plain] start proxy success"), 1);
    }
}

#[tokio::test]
async fn http_checks_ask_as_configured_and_want_success() {
    let (service, mut requests) = web(|n, _| match n {
        0 | 3 => status("200 OK"),
        1 => status("299 Fine"),
        2 => status("503 Service Unavailable"),
        _ => status("404 Not Found"),
    })
    .await;
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let port = free_port();
    let check = http(
        "healthCheck.path = \"status?full=1\"\nhealthCheck.httpHeaders = [\
         { name = \"host\", value = \"web.example\" }, { name = \"x-from\", value = \"frp\" }]",
    );
    let frpc = rig.frpc(frps.port, &tcp_proxy("web", service.port, port, &check));
    frpc.expect("[web] start proxy success").await;
    let head = within(wait::SOON, "a request", requests.recv()).await;
    let head = head.unwrap();
    assert!(
        head.starts_with("GET /status?full=1 HTTP/1.1\r\n"),
        "{head}"
    );
    for line in ["\r\nHost: web.example\r\n", "\r\nX-From: frp\r\n"] {
        assert!(head.contains(line), "{head}");
    }
    // One failure is enough by default; the next success brings it back.
    frpc.expect("do one health check failed: do http health check, StatusCode is [503] not 2xx")
        .await;
    frpc.expect("[web] health check status change to failed")
        .await;
    eventually("registered twice", || async {
        frpc.log().count("[web] start proxy success") == 2
    })
    .await;
    eventually("withdrawn twice", || async {
        frps.program.log().count("close proxy [web] success") == 2
    })
    .await;
    assert!(is_closed(port).await);
}

/// Defect 19 of frp: failures were counted for ever, so that any two would have done.
#[tokio::test]
async fn only_failures_in_a_row_withdraw_a_proxy() {
    let (service, mut requests) = web(|n, _| match n {
        9.. => status("500 No"),
        n if n % 2 == 0 => status("200 OK"),
        _ => status("500 No"),
    })
    .await;
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let port = free_port();
    let check = http("healthCheck.path = \"/\"\nhealthCheck.maxFailed = 2");
    let frpc = rig.frpc(frps.port, &tcp_proxy("web", service.port, port, &check));
    frpc.expect("[web] start proxy success").await;
    for n in 0..9 {
        let request = within(wait::SOON, &format!("request {n}"), requests.recv()).await;
        assert!(request.is_some());
        assert_eq!(frpc.log().count("status change to failed"), 0);
    }
    frpc.expect("[web] health check status change to failed")
        .await;
    assert_eq!(frpc.log().count("do one health check failed"), 4 + 2);
}

#[tokio::test]
async fn redirects_are_followed_and_silence_fails() {
    let (moved, mut requests) = web(|_, head| {
        if head.starts_with("GET /here ") {
            status("200 OK")
        } else if head.starts_with("GET /old ") {
            status("302 Found\r\nLocation: here")
        } else {
            status("301 Moved Permanently\r\nLocation: /round")
        }
    })
    .await;
    let silent = Service::silent().await;
    let rig = Rig::new();
    let frps = rig.frps("").await;
    let check = |path: &str| {
        http(&format!(
            "healthCheck.path = \"{path}\"\nhealthCheck.timeoutSeconds = 2"
        ))
    };
    let text = tcp_proxy("moved", moved.port, free_port(), &check("/old"))
        + &tcp_proxy("silent", silent.port, free_port(), &check("/"));
    let frpc = rig.frpc(frps.port, &text);
    frpc.expect("[moved] start proxy success").await;
    for path in ["GET /old ", "GET /here "] {
        let head = within(wait::SOON, "a request", requests.recv()).await;
        assert!(head.unwrap().starts_with(path));
    }
    frpc.expect(&format!(
        "[silent] do one health check failed: Get \"http://127.0.0.1:{}/\": no complete answer",
        silent.port
    ))
    .await;

    let circle = tcp_proxy("circle", moved.port, free_port(), &check("/"));
    let frpc = rig.frpc(frps.port, &circle);
    frpc.expect("\": stopped after 10 redirects").await;
    assert_eq!(frpc.log().count("start proxy success"), 0);
}

/// The checks belong to the session: after a lost server everything begins anew.
#[tokio::test]
async fn a_new_session_checks_anew() {
    let rig = Rig::new();
    let mut frps = rig.frps("").await;
    let service = Service::echo().await;
    let port = free_port();
    let frpc = rig.frpc(frps.port, &tcp_proxy("web", service.port, port, TCP));
    frpc.expect("[web] start proxy success").await;
    frps.program.kill().await;
    let mark = frpc.log().mark();
    frps.program.start_again();
    for text in [
        "login to server success",
        "[web] health check success",
        "[web] start proxy success",
    ] {
        frpc.expect_from(mark, text, wait::SOON).await;
    }
    echo(port, b"again").await;
}
