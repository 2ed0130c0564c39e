//! The local service behind a plugin is down, ends early or talks nonsense; the user leaves.

use std::sync::Arc;
use std::time::Duration;

use frp_tests::clients::until_closed;
use frp_tests::tls::Authority;
use frp_tests::wait::SOON;
use frp_tests::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Notify, mpsc};

use super::backend::{Backend, Io, curl, curl_hello, read_head, read_request, service};
use super::{BRIDGES, Bridges};

const OURS: [&Side; 2] = [&Side::Ours, &Side::Ours];

/// Every plugin answers 502, and the log has `why`, in which PLACE is the service.
async fn refused(http: u16, https: u16, why: [&str; 2]) {
    let rig = Rig::new();
    let bridges = Bridges::new(&rig, OURS, http, https, "").await;
    for (plugin, url) in BRIDGES.iter().zip(bridges.urls()) {
        // The second time may only be counted.
        let mark = bridges.frpc.log().mark();
        for args in [&["--http1.1"], &["--http2"]] {
            let got = curl(&url, args).await;
            assert!(
                got.status.starts_with("502 ") && got.body.is_empty(),
                "{got:?}"
            );
            let (why, port) = if plugin.ends_with("https") {
                (why[1], https)
            } else {
                (why[0], http)
            };
            let why = why.replace("PLACE", &format!("127.0.0.1:{port}"));
            let line = format!("[{plugin}] http: proxy error: {why}");
            bridges.frpc.expect_from(mark, &line, SOON).await;
        }
    }
}

#[tokio::test]
async fn a_service_that_is_down_is_a_bad_gateway_and_the_log_says_why() {
    let why = "dial tcp PLACE: connect: connection refused";
    refused(free_port(), free_port(), [why, why]).await;
}

#[tokio::test]
async fn a_service_that_ends_early_is_a_bad_gateway() {
    let rig = Rig::new();
    let identity = Authority::new(rig.path(), "ca").issue(rig.path(), "local", &["127.0.0.1"]);
    let end = |mut io: Box<dyn Io>| async move {
        read_request(&mut *io).await;
        let _ = io.shutdown().await;
    };
    let plain = service(None, end).await;
    let secure = service(Some(&identity), end).await;
    let why = "EOF: PLACE closed the connection before it answered";
    refused(plain.port, secure.port, [why, why]).await;
}

#[tokio::test]
async fn a_service_that_talks_nonsense_is_a_bad_gateway() {
    let nonsense = service(None, |mut io| async move {
        let _ = io.read_u8().await;
        let _ = io.write_all(b"220 mail.example ESMTP\r\n").await;
        until_closed(&mut io, SOON, "the plugin does not go on").await;
    })
    .await;
    let why = ["malformed HTTP response from PLACE: ", "tls: "];
    refused(nonsense.port, nonsense.port, why).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_not_look_whole() {
    let rig = Rig::new();
    let half = service(None, |mut io| async move {
        read_request(&mut *io).await;
        let _ = io
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
            .await;
        let _ = io.shutdown().await;
    })
    .await;
    let bridges = Bridges::new(&rig, OURS, half.port, 1, "").await;
    for (url, args) in [
        (&bridges.urls()[0], ["--http1.1"]),
        (&bridges.urls()[2], ["--http1.1"]),
        (&bridges.urls()[2], ["--http2"]),
    ] {
        let got = curl(url, &args).await;
        assert_ne!(got.exit, 0, "{got:?}");
        assert_eq!(got.body, b"hello");
    }
}

#[tokio::test]
async fn a_request_that_meets_a_closing_connection_is_repeated_if_it_may_be() {
    let rig = Rig::new();
    let (sender, mut requests) = mpsc::unbounded_channel();
    let once = service(None, move |mut io| {
        let sender = sender.clone();
        async move {
            // Answers one request and ends on the next, as a service whose patience is over.
            for answer in [
                &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"[..],
                b"",
            ] {
                let Some(request) = read_request(&mut *io).await else {
                    return;
                };
                sender.send(request.line).unwrap();
                let _ = io.write_all(answer).await;
            }
        }
    })
    .await;
    let bridges = Bridges::new(&rig, OURS, once.port, 1, "").await;
    let url = &bridges.urls()[0];
    curl_hello(url, &[]).await;
    curl_hello(url, &[]).await;
    let got = curl(url, &["-d", "pay"]).await;
    assert!(got.status.starts_with("502 "), "{got:?}");
    let mut lines = Vec::new();
    while let Ok(line) = requests.try_recv() {
        lines.push(line.split(' ').next().unwrap().to_owned());
    }
    assert_eq!(lines, ["GET", "GET", "GET", "POST"]);
}

#[tokio::test]
async fn a_user_who_leaves_ends_the_request_and_nothing_is_left() {
    let rig = Rig::new();
    let (asked, left) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (asked, left) = (asked.clone(), left.clone());
        move |mut io: Box<dyn Io>| {
            let (asked, left) = (asked.clone(), left.clone());
            async move {
                read_request(&mut *io).await;
                asked.notify_one();
                until_closed(&mut io, SOON, "the user has left").await;
                left.notify_one();
            }
        }
    };
    let service = service(None, slow).await;
    let bridges = Bridges::new(&rig, OURS, service.port, 1, "").await;
    let before = bridges.frpc.open_files();
    for (url, version) in [
        (&bridges.urls()[0], "--http1.1"),
        (&bridges.urls()[2], "--http1.1"),
        (&bridges.urls()[2], "--http2"),
    ] {
        let args = [version];
        tokio::select! {
            got = curl(url, &args) => panic!("{got:?}"),
            () = within(SOON, "the request arrives", asked.notified()) => {}
        }
        within(SOON, "the service is let go", left.notified()).await;
    }
    eventually("no descriptor is left", || async {
        bridges.frpc.open_files() <= before
    })
    .await;
}

#[tokio::test]
async fn kept_connections_go_when_the_service_closes_them() {
    let rig = Rig::new();
    let service = Backend::new(None).await;
    let port = service.port;
    let bridges = Bridges::new(&rig, OURS, port, 1, "").await;
    let before = bridges.frpc.open_files();
    curl_hello(&bridges.urls()[2], &[]).await;
    drop(service);
    eventually("no descriptor is left", || async {
        bridges.frpc.open_files() <= before
    })
    .await;
}

#[tokio::test]
async fn a_client_that_is_stopped_ends_the_requests_under_way() {
    let rig = Rig::new();
    let asked = Arc::new(Notify::new());
    let slow = {
        let asked = asked.clone();
        move |mut io: Box<dyn Io>| {
            let asked = asked.clone();
            async move {
                read_request(&mut *io).await;
                asked.notify_one();
                until_closed(&mut io, Duration::from_secs(60), "the client stops").await;
            }
        }
    };
    let service = service(None, slow).await;
    let mut bridges = Bridges::new(&rig, OURS, service.port, 1, "").await;
    let urls = bridges.urls();
    let users = async { tokio::join!(curl(&urls[0], &[]), curl(&urls[2], &["--http2"])) };
    let stop = async {
        for _ in 0..2 {
            within(SOON, "the request arrives", asked.notified()).await;
        }
        bridges.frpc.signal("TERM").await;
        bridges.frpc.exit_code().await;
    };
    let ((first, second), ()) = tokio::join!(users, stop);
    assert!(first.exit != 0 && second.exit != 0, "{first:?} {second:?}");
}

#[tokio::test]
async fn a_request_that_breaks_off_is_not_the_services_fault() {
    let rig = Rig::new();
    let (asked, left) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (asked, left) = (asked.clone(), left.clone());
        move |mut io: Box<dyn Io>| {
            let (asked, left) = (asked.clone(), left.clone());
            async move {
                read_head(&mut *io).await;
                asked.notify_one();
                until_closed(&mut io, SOON, "the user has left").await;
                left.notify_one();
            }
        }
    };
    let service = service(None, slow).await;
    let bridges = Bridges::new(&rig, OURS, service.port, 1, "").await;
    let mut user = connect(bridges.ports[0]).await;
    let half = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf";
    user.write_all(half).await.unwrap();
    within(SOON, "the request arrives", asked.notified()).await;
    drop(user);
    within(SOON, "the service is let go", left.notified()).await;
    bridges.frpc.expect("handle by plugin finished").await;
    assert_eq!(bridges.frpc.log().count("http: proxy error"), 0);
}
