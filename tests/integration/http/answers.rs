//! What frps itself answers, and how it keeps connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use frp_tests::backend::{fetch, get, ok, raw, read_head, read_request, split};
use frp_tests::clients::until_closed;
use frp_tests::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Barrier;

use super::*;

const PASSWORD: &str =
    "customDomains = [\"a.test\"]\nhttpUser = \"ann\"\nhttpPassword = \"secret\"";
/// ann:secret
const RIGHT: &str = "Basic YW5uOnNlY3JldA==";
/// ann:wrong
const WRONG: &str = "Basic YW5uOndyb25n";

#[tokio::test]
async fn a_password_is_asked_for_in_the_right_way() {
    let backend = Backend::saying("in").await;
    let site = Site::open("", &proxy("web", &backend, PASSWORD)).await;
    let ask = async |target: &str, header: String| {
        let header = if header.is_empty() {
            vec![]
        } else {
            vec![header.as_str()]
        };
        raw(site.port, get("a.test", target, &header)).await
    };
    for header in [
        String::new(),
        format!("Authorization: {WRONG}"),
        format!("Proxy-Authorization: {RIGHT}"),
    ] {
        let answer = ask("/", header).await;
        assert_eq!(split(&answer), (401, "Unauthorized\n".to_owned()));
        assert!(
            answer.contains("\r\nWww-Authenticate: Basic realm=\"Restricted\"\r\n"),
            "{answer}"
        );
    }
    for header in [
        String::new(),
        format!("Proxy-Authorization: {WRONG}"),
        format!("Authorization: {RIGHT}"),
    ] {
        let answer = ask("http://a.test/", header).await;
        assert_eq!(
            split(&answer),
            (407, "Proxy Authentication Required\n".to_owned())
        );
        assert!(
            answer.contains("\r\nProxy-Authenticate: Basic realm=\"Restricted\"\r\n"),
            "{answer}"
        );
    }
    assert!(backend.seen().is_empty());
    let answer = ask("/", format!("Authorization: {RIGHT}")).await;
    assert_eq!(split(&answer), (200, "in".to_owned()));
    let answer = ask("http://a.test/", format!("Proxy-Authorization: {RIGHT}")).await;
    assert_eq!(split(&answer), (200, "in".to_owned()));
    assert_eq!(backend.last().header("proxy-authorization"), None);
}

#[tokio::test]
async fn the_page_of_a_404_can_be_ones_own_and_changed() {
    let rig = Rig::new();
    let page = rig.file("404.html", "<p>first</p>");
    let server = format!("custom404Page = '{}'\n", page.display());
    let site = Site::open(&server, "").await;
    let answer = raw(site.port, get("a.test", "/", &[])).await;
    assert_eq!(split(&answer), (404, "<p>first</p>".to_owned()));
    assert!(
        answer.contains("\r\nContent-Type: text/html; charset=utf-8\r\n"),
        "{answer}"
    );
    rig.file("404.html", "second");
    assert_eq!(
        fetch(site.port, "a.test", "/").await,
        (404, "second".into())
    );
    let frps_own = async |error: &str| {
        let (status, body) = fetch(site.port, "a.test", "/").await;
        assert_eq!((status, body.len()), (404, 489), "frp's own page");
        let text = format!("read custom 404 page error: {error}");
        site.frps.program.expect(&text).await;
    };
    rig.file("404.html", "x".repeat(1024 * 1024 + 1));
    frps_own("larger than 1 MiB").await;
    std::fs::remove_file(&page).unwrap();
    frps_own("No such file").await;
    // As a pipe, it has no bytes to tell its kind by.
    std::fs::create_dir(&page).unwrap();
    frps_own("not a regular file").await;
}

#[tokio::test]
async fn a_service_that_does_not_answer_in_time_is_a_504() {
    let service = Service::silent().await;
    let web = proxy_to("web", service.port, "customDomains = [\"a.test\"]");
    let site = Site::open("vhostHTTPTimeout = 1\n", &web).await;
    assert_eq!(fetch(site.port, "a.test", "/").await, (504, String::new()));
    site.frps
        .program
        .expect("do http proxy request [host: a.test] error: timeout awaiting response headers")
        .await;
}

#[tokio::test]
async fn the_time_to_answer_begins_when_the_request_is_over() {
    let backend = Backend::new(|seen| ok(&seen.body.len().to_string())).await;
    let site = Site::open("vhostHTTPTimeout = 1\n", &domain("web", &backend, "a.test")).await;
    let mut user = connect(site.port).await;
    let head = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 30\r\nConnection: close\r\n\r\n";
    user.write_all(head.as_bytes()).await.unwrap();
    // An upload that takes longer than the service may.
    let started = std::time::Instant::now();
    let mut sent = 0;
    while sent < 30 {
        tokio::time::sleep(Duration::from_millis(70)).await;
        user.write_all(b"x").await.unwrap();
        sent += 1;
    }
    assert!(started.elapsed() > Duration::from_secs(2));
    let answer = String::from_utf8(clients::read_all(&mut user).await).unwrap();
    assert_eq!(split(&answer), (200, "30".to_owned()));
}

#[tokio::test]
async fn a_head_that_is_no_head_is_refused() {
    let backend = Backend::saying("in").await;
    let site = Site::open("", &domain("web", &backend, "a.test")).await;
    let long = "x".repeat(1_100_000);
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        (
            "GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n".to_owned(),
            400,
        ),
        // frp goes by the target.
        (
            "GET http://a.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n".to_owned(),
            400,
        ),
        ("rubbish\r\n\r\n".to_owned(), 400),
        (
            format!("GET / HTTP/1.1\r\nHost: a.test\r\nX: {long}\r\n\r\n"),
            431,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a.test\r\nContent-Length: x\r\n\r\n".to_owned(),
            400,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(),
            501,
        ),
    ] {
        let answer = raw(site.port, &request).await;
        assert_eq!(split(&answer).0, status, "{:.80}: {answer}", request);
    }
    assert!(backend.seen().is_empty());
    // Many headers, and long ones, are no offence.
    let many: Vec<String> = (0..200)
        .map(|i| format!("X-{i}: {}", "y".repeat(500)))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let answer = raw(site.port, get("a.test", "/", &many)).await;
    assert_eq!(split(&answer), (200, "in".to_owned()));
    assert_eq!(backend.last().header("x-199").map(str::len), Some(500));
}

#[tokio::test]
async fn connections_are_kept_on_both_sides() {
    let backend = Backend::saying("in").await;
    let site = Site::open("", &domain("web", &backend, "a.test")).await;
    let mut user = connect(site.port).await;
    let mut buffer = Vec::new();
    for i in 0..20 {
        let request = format!("GET /{i} HTTP/1.1\r\nHost: a.test\r\n\r\n");
        user.write_all(request.as_bytes()).await.unwrap();
        let head = within(wait::SOON, "an answer", read_head(&mut user, &mut buffer)).await;
        assert!(head.unwrap().starts_with("HTTP/1.1 200 OK"));
        while buffer.len() < 2 {
            user.read_buf(&mut buffer).await.unwrap();
        }
        buffer.drain(..2);
    }
    // Two at once without waiting, then the end.
    let two = format!(
        "GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n{}",
        get("a.test", "/b", &[])
    );
    user.write_all(two.as_bytes()).await.unwrap();
    let answers = clients::read_all(&mut user).await;
    let answers = String::from_utf8(answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2);
    for _ in 0..5 {
        assert_eq!(fetch(site.port, "a.test", "/").await, (200, "in".into()));
    }
    assert_eq!(backend.connections(), 1);
    assert_eq!(backend.seen().len(), 27);
}

#[tokio::test]
async fn at_most_five_work_connections_wait_for_requests() {
    let all_here = Arc::new(Barrier::new(12));
    let open = Arc::new(AtomicUsize::new(0));
    let service = Service::new({
        let open = open.clone();
        move |mut stream| {
            let (all_here, open) = (all_here.clone(), open.clone());
            async move {
                open.fetch_add(1, Ordering::SeqCst);
                let mut buffer = Vec::new();
                if read_request(&mut stream, &mut buffer, 0).await.is_some() {
                    all_here.wait().await;
                    stream.write_all(&ok("in")).await.unwrap();
                }
                until_closed(&mut stream, Duration::from_secs(70), "frps").await;
                open.fetch_sub(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let web = proxy_to("web", service.port, "customDomains = [\"a.test\"]");
    let site = Site::open("", &web).await;
    let mut users = tokio::task::JoinSet::new();
    for _ in 0..12 {
        users.spawn(fetch(site.port, "a.test", "/"));
    }
    for (status, _) in users.join_all().await {
        assert_eq!(status, 200);
    }
    eventually("all but five are closed", || async {
        open.load(Ordering::SeqCst) == 5
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_that_the_service_closed_is_no_failure() {
    // Closes behind each second request's back: it says nothing of it.
    let backend = Backend::new(|seen| match seen.path() {
        "/end" => Vec::new(),
        _ => ok("in"),
    })
    .await;
    let site = Site::open("", &domain("web", &backend, "a.test")).await;
    let post =
        "POST /end HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx";
    assert_eq!(fetch(site.port, "a.test", "/").await.0, 200);
    assert_eq!(split(&raw(site.port, post).await).0, 404);
    let posts = |backend: &Backend| backend.seen().iter().filter(|s| s.path() == "/end").count();
    assert_eq!(posts(&backend), 1, "a POST is never sent twice");
    // A GET is, but only where the connection had been idle: the second time it is the answer.
    assert_eq!(fetch(site.port, "a.test", "/").await.0, 200);
    assert_eq!(fetch(site.port, "a.test", "/end").await.0, 404);
    assert_eq!(posts(&backend), 3);
    assert_eq!(backend.last().connection, backend.connections() - 1);
}

#[tokio::test]
async fn a_user_may_end_its_connection_at_any_time() {
    let backend = Backend::saying("in").await;
    let site = Site::open("", &domain("web", &backend, "a.test")).await;
    for part in [
        "",
        "G",
        "GET / HTTP/1.1\r\nHost: a.t",
        "PRI * HTTP/2.0\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut user = connect(site.port).await;
        user.write_all(part.as_bytes()).await.unwrap();
        user.shutdown().await.unwrap();
        until_closed(&mut user, wait::SOON, part).await;
    }
    assert_eq!(fetch(site.port, "a.test", "/").await, (200, "in".into()));
}
