//! What goes wrong, what the user sees of it, and that nothing stays behind.

use frp_tests::backend::{fetch, get, ok, raw, read_head, read_request, split};
use frp_tests::clients::{read_all, until_closed};
use frp_tests::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::*;
use crate::strangers::{CROWD, crowd};

const HOST: &str = "customDomains = [\"a.test\"]";

#[tokio::test]
async fn a_service_that_is_not_there_is_a_404() {
    let site = Site::open("", &proxy_to("web", free_port(), HOST)).await;
    let (status, page) = fetch(site.port, "a.test", "/").await;
    assert_eq!((status, page.len()), (404, 489));
    site.frps
        .program
        .expect("do http proxy request [host: a.test] error: ")
        .await;
}

#[tokio::test]
async fn a_service_that_says_rubbish_or_leaves_is_a_404() {
    for said in ["SSH-2.0-x\r\n", "HTTP/1.1 2", ""] {
        let backend = Backend::new(|_| Vec::new()).await;
        let service = Service::new(move |mut stream| async move {
            read_request(&mut stream, &mut Vec::new(), 0).await;
            stream.write_all(said.as_bytes()).await.unwrap();
        })
        .await;
        let site = Site::open("", &proxy_to("web", service.port, HOST)).await;
        let post =
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
        assert_eq!(split(&raw(site.port, post).await).0, 404, "{said:?}");
        assert_eq!(fetch(site.port, "a.test", "/").await.0, 404, "{said:?}");
        drop(backend);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_passed_off_as_whole() {
    for (said, is_chunked) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart", false),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
            true,
        ),
    ] {
        let service = Service::new(move |mut stream| async move {
            read_request(&mut stream, &mut Vec::new(), 0).await;
            stream.write_all(said.as_bytes()).await.unwrap();
        })
        .await;
        let site = Site::open("", &proxy_to("web", service.port, HOST)).await;
        let answer = raw(site.port, get("a.test", "/", &[])).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        if is_chunked {
            assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
        } else {
            assert!(answer.contains("Content-Length: 100\r\n"), "{answer}");
            assert!(split(&answer).1.len() <= 4, "{answer}");
        }
    }
}

#[tokio::test]
async fn a_client_that_vanishes_mid_request_is_a_404_and_mid_answer_an_end() {
    let (began, mut begun) = mpsc::unbounded_channel();
    let service = Service::new(move |mut stream| {
        let began = began.clone();
        async move {
            let seen = read_request(&mut stream, &mut Vec::new(), 0).await.unwrap();
            if seen.path() == "/begin" {
                let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart";
                stream.write_all(head.as_bytes()).await.unwrap();
            }
            began.send(()).unwrap();
            std::future::pending::<()>().await;
        }
    })
    .await;
    let mut site = Site::open("", &proxy_to("web", service.port, HOST)).await;
    let mut waiting = connect(site.port).await;
    waiting
        .write_all(get("a.test", "/wait", &[]).as_bytes())
        .await
        .unwrap();
    let mut reading = connect(site.port).await;
    reading
        .write_all(get("a.test", "/begin", &[]).as_bytes())
        .await
        .unwrap();
    let mut buffer = Vec::new();
    read_head(&mut reading, &mut buffer).await.unwrap();
    begun.recv().await;
    begun.recv().await;
    site.frpc.kill().await;
    let answer = String::from_utf8(read_all(&mut waiting).await).unwrap();
    assert_eq!(split(&answer).0, 404, "{answer}");
    until_closed(&mut reading, wait::SOON, "a user of a client that is gone").await;
    site.frps.program.expect("client exit success").await;
    // Another client finds the route free, and the server as it was.
    let backend = Backend::saying("new").await;
    let _frpc = site.client(&domain("web", &backend, "a.test")).await;
    assert_eq!(fetch(site.port, "a.test", "/").await, (200, "new".into()));
}

#[tokio::test]
async fn a_user_that_leaves_takes_its_work_connection_along() {
    let (event, mut events) = mpsc::unbounded_channel();
    let service = Service::new(move |mut stream| {
        let event = event.clone();
        async move {
            let Some(seen) = read_request(&mut stream, &mut Vec::new(), 0).await else {
                return;
            };
            if seen.path() == "/begin" {
                let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart";
                stream.write_all(head.as_bytes()).await.unwrap();
            }
            event.send("request").unwrap();
            until_closed(&mut stream, wait::SOON, "frps").await;
            event.send("closed").unwrap();
        }
    })
    .await;
    let site = Site::open("", &proxy_to("web", service.port, HOST)).await;
    for path in ["/wait", "/begin"] {
        let mut user = connect(site.port).await;
        user.write_all(get("a.test", path, &[]).as_bytes())
            .await
            .unwrap();
        assert_eq!(events.recv().await, Some("request"));
        drop(user);
        assert_eq!(
            within(wait::SOON, path, events.recv()).await,
            Some("closed")
        );
    }
    // In the middle of an upload, too.
    let mut user = connect(site.port).await;
    let upload = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\npart";
    user.write_all(upload.as_bytes()).await.unwrap();
    drop(user);
}

#[tokio::test]
async fn an_unfinished_upload_ends_with_its_user() {
    let (event, mut events) = mpsc::unbounded_channel();
    let service = Service::new(move |mut stream| {
        let event = event.clone();
        async move {
            let mut buffer = Vec::new();
            read_head(&mut stream, &mut buffer).await.unwrap();
            event.send("head").unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            event.send("closed").unwrap();
        }
    })
    .await;
    let site = Site::open("", &proxy_to("web", service.port, HOST)).await;
    let mut user = connect(site.port).await;
    let upload = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\npart";
    user.write_all(upload.as_bytes()).await.unwrap();
    assert_eq!(events.recv().await, Some("head"));
    drop(user);
    let closed = within(wait::SOON, "the service hears the end", events.recv()).await;
    assert_eq!(closed, Some("closed"));
}

#[tokio::test]
async fn after_many_failures_no_descriptor_is_left() {
    let backend = Backend::new(|seen| match seen.path() {
        "/nothing" => Vec::new(),
        "/part" => b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nx".to_vec(),
        _ => ok("x"),
    })
    .await;
    let site = Site::open("", &domain("web", &backend, "a.test")).await;
    let round = async || {
        for path in ["/nothing", "/part", "/", "/none"].iter().cycle().take(80) {
            let host = if *path == "/none" { "b.test" } else { "a.test" };
            raw(site.port, get(host, path, &[])).await;
        }
    };
    // Threads have started after this, and what they hold is there.
    round().await;
    let before = site.frps.program.open_files();
    round().await;
    eventually("the descriptors are closed", || async {
        site.frps.program.open_files() <= before + 1
    })
    .await;
    eventually("the work connections are closed", || async {
        backend.open() <= 5
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_is_closed_lets_go_of_its_work_connections() {
    let backend = Backend::saying("x").await;
    let mut site = Site::open("", &domain("web", &backend, "a.test")).await;
    for _ in 0..3 {
        assert_eq!(fetch(site.port, "a.test", "/").await.0, 200);
    }
    assert_eq!(backend.open(), 1);
    site.frpc.signal("TERM").await;
    site.frpc.exit_code().await;
    eventually("the work connection is closed", || async {
        backend.open() == 0
    })
    .await;
    assert_eq!(fetch(site.port, "a.test", "/").await.0, 404);
}

#[tokio::test]
async fn a_crowd_of_users_makes_room_and_known_and_lone_ones_stay() {
    let backend = Backend::saying("here").await;
    let site = Site::open("", &domain("web", &backend, "a.test")).await;
    let request = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let answered = async |user: &mut TcpStream| {
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nhere") {
            let reading = user.read_buf(&mut answer);
            assert!(within(wait::SOON, "the answer", reading).await.unwrap() > 0);
        }
    };
    let mut known = connect(site.port).await;
    let mut ask_again = async || {
        known.write_all(request).await.unwrap();
        answered(&mut known).await;
    };
    ask_again().await;
    let mut lone = connect(site.port).await;
    let (begin, rest) = request.split_at(20);
    lone.write_all(begin).await.unwrap();

    // Some are silent from the start, some in the middle of a head, some have asked for nobody.
    let for_nobody = b"GET / HTTP/1.1\r\nHost: b.test\r\n\r\n";
    let mut crowds = Vec::new();
    for first in [&b""[..], begin, for_nobody] {
        crowds.push(crowd(site.port, CROWD / 3, first).await);
    }
    eventually("some of each kind are closed", || async {
        crowds.iter().all(|crowd| crowd.iter().any(is_closed))
    })
    .await;
    ask_again().await;
    lone.write_all(rest).await.unwrap();
    answered(&mut lone).await;
    assert_eq!(fetch(site.port, "a.test", "/").await, (200, "here".into()));
}

fn is_closed(user: &TcpStream) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match user.try_read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(e) => return e.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}
