//! Requests and answers that could be read in more than one way: nobody gets what is another's, and
//! the service gets nothing that is in doubt. And informational answers.

use frp_tests::backend::{curl, fetch, get, ok, raw, read_head, read_request, split};
use frp_tests::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const HOST: &str = "customDomains = [\"a.test\"]";

/// What a service that reads no body says to a request it refuses; the body is its next request.
async fn bodiless(refusal: &'static str) -> Service {
    Service::new(move |mut stream| async move {
        let mut buffer = Vec::new();
        while let Some(head) = read_head(&mut stream, &mut buffer).await {
            let path = head.split(' ').nth(1).unwrap();
            let answer = match path {
                "/poison" => ok("answer to /poison"),
                "/victim" => ok("answer to /victim"),
                _ => refusal.as_bytes().to_vec(),
            };
            stream.write_all(&answer).await.unwrap();
        }
    })
    .await
}

#[tokio::test]
async fn a_body_that_a_service_takes_for_a_request_is_answered_to_nobody() {
    const NO: &str = "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 3\r\n\r\nno\n";
    let service = bodiless(NO).await;
    let site = Site::open("", &proxy_to("web", service.port, HOST)).await;
    let poison = "GET /poison HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let length = poison.len();
    let chunked = format!("{length:x}\r\n{poison}\r\n0\r\n\r\n");
    for line in [
        "CONNECT a.test:80 HTTP/1.1\r\nHost: a.test:80\r\n",
        "GET /x HTTP/1.1\r\nHost: a.test\r\n",
        "DELETE /x HTTP/1.1\r\nHost: a.test\r\n",
        "OPTIONS /x HTTP/1.1\r\nHost: a.test\r\n",
        "POST /x HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: chat\r\n",
    ] {
        for framed in [
            format!("Content-Length: {length}\r\n\r\n{poison}"),
            format!("Transfer-Encoding: chunked\r\n\r\n{chunked}"),
        ] {
            let mut user = connect(site.port).await;
            let request = format!("{line}{framed}");
            user.write_all(request.as_bytes()).await.unwrap();
            let mut buffer = Vec::new();
            let head = within(wait::SOON, "405", read_head(&mut user, &mut buffer)).await;
            assert!(head.unwrap().contains("405"), "{request}");
            let (status, body) = fetch(site.port, "a.test", "/victim").await;
            assert_eq!(
                (status, body.as_str()),
                (200, "answer to /victim"),
                "{request}"
            );
        }
    }
}

#[tokio::test]
async fn an_answer_whose_end_is_in_doubt_is_the_last_of_its_connection() {
    for odd in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    ] {
        let backend = Backend::new(move |seen| match seen.path() {
            "/odd" => odd.as_bytes().to_vec(),
            _ => ok("yours"),
        })
        .await;
        let site = Site::open("", &proxy("web", &backend, HOST)).await;
        let (status, _) = fetch(site.port, "a.test", "/odd").await;
        assert!(status < 300, "{odd}");
        let (status, body) = fetch(site.port, "a.test", "/").await;
        assert_eq!((status, body.as_str()), (200, "yours"), "{odd}");
        assert_eq!(backend.last().connection, 1, "{odd}");
    }
}

#[tokio::test]
async fn what_can_be_read_in_two_ways_does_not_reach_the_service() {
    let backend = Backend::saying("hello").await;
    let site = Site::open("", &proxy("web", &backend, HOST)).await;
    let post = |lines: &str| format!("POST / HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n");
    let host = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let line = |line: &str| format!("{line} HTTP/1.1\r\nHost: a.test\r\n\r\n");
    for (request, code) in [
        (line("GET http://b.test/"), 400),
        (line("GET a.test"), 400),
        (line("CONNECT b.test:80"), 400),
        (host("a.test:\"><script>"), 400),
        (host("a.test:80/x"), 400),
        (host("a.test:b.test"), 400),
        (host("a.test:99999"), 400),
        (host("b.test@a.test"), 400),
        (host("a.test, b.test"), 400),
        (host("a.test\r\nHost: a.test"), 400),
        (post("Transfer-Encoding: gzip, chunked\r\n"), 501),
        (post("Transfer-Encoding: identity, chunked\r\n"), 501),
        (
            post("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"),
            501,
        ),
        (post("Content-Length: 9223372036854775808\r\n"), 400),
        (post("Content-Length: +2\r\n"), 400),
        (post("Content-Length: 2, 2\r\n"), 400),
        (
            post("Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n"),
            400,
        ),
        (post("Content-Length: 2\r\nExpect: 200-x\r\n"), 417),
        (post("Content-Length : 2\r\n"), 400),
        (post("X-A: b\0c\r\n"), 400),
        (post("X-A: b\rc\r\n"), 400),
        (post("X-A: b\r\n c\r\n"), 400),
    ] {
        let (status, _) = split(&raw(site.port, &request).await);
        assert_eq!(status, code, "{request}");
    }
    assert_eq!(backend.seen().len(), 0);
}

#[tokio::test]
async fn what_is_clear_reaches_the_service_in_one_way() {
    let backend = Backend::saying("hello").await;
    let site = Site::open("", &proxy("web", &backend, HOST)).await;
    let length =
        "POST / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nContent-Length: 002\r\n\r\nhi";
    assert_eq!(split(&raw(site.port, length).await).0, 200);
    assert_eq!(backend.last().header("content-length"), Some("2"));

    let lines = [
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAAQAAP__",
    ];
    let answer = raw(site.port, get("a.test", "/", &lines)).await;
    assert_eq!(split(&answer).0, 200);
    for name in ["connection", "upgrade", "http2-settings"] {
        assert_eq!(backend.last().header(name), None, "{name}");
    }

    // In bytes, not in lines.
    let many: Vec<String> = (0..1500).map(|n| format!("X-{n}: y")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let answer = raw(site.port, get("a.test", "/", &many)).await;
    assert_eq!(split(&answer).0, 200);
    assert_eq!(backend.last().header("x-1499"), Some("y"));
    let much = format!("X-A: {}", "y".repeat(900 * 1024));
    let answer = raw(site.port, get("a.test", "/", &[&much])).await;
    assert_eq!(split(&answer).0, 200);
    let more = format!("X-A: {}", "y".repeat(1100 * 1024));
    let mut user = connect(site.port).await;
    let request = get("a.test", "/", &[&more]);
    // It is refused before it is read to the end.
    let _ = user.write_all(request.as_bytes()).await;
    let head = read_head(&mut user, &mut Vec::new()).await.unwrap();
    assert!(head.contains("431"), "{head}");
}

/// Says two informational answers, then `ok`, or what comes of a body.
async fn hinting() -> Service {
    Service::new(|mut stream| async move {
        let mut buffer = Vec::new();
        while let Some(seen) = read_request(&mut stream, &mut buffer, 0).await {
            let hints = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\
                         link: </a.css>; rel=preload\r\nLink: </b.css>\r\nConnection: x\r\n\
                         Content-Length: 9\r\n\r\n";
            stream.write_all(hints.as_bytes()).await.unwrap();
            let _ = stream.write_all(&ok(seen.path())).await;
        }
    })
    .await
}

#[tokio::test]
async fn informational_answers_reach_the_user_before_the_answer_they_belong_to() {
    let service = hinting().await;
    let site = Site::open("", &proxy_to("web", service.port, HOST)).await;
    let hints = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\
                 Link: </a.css>; rel=preload\r\nLink: </b.css>\r\n\r\nHTTP/1.1 200 OK\r\n";
    let answer = raw(site.port, get("a.test", "/1", &[])).await;
    assert!(answer.starts_with(hints), "{answer}");
    assert!(answer.ends_with("\r\n\r\n/1"), "{answer}");

    // Pipelined, each in its place.
    let both = "GET /1 HTTP/1.1\r\nHost: a.test\r\n\r\n".to_owned() + &get("a.test", "/2", &[]);
    let answer = raw(site.port, both).await;
    let (first, second) = answer.split_once("\r\n\r\n/1").unwrap();
    assert!(first.starts_with(hints), "{answer}");
    assert!(
        second.starts_with(hints) && second.ends_with("/2"),
        "{answer}"
    );

    let at = format!("a.test:{}:127.0.0.1", site.port);
    let url = format!("http://a.test:{}/3", site.port);
    let answer = curl(&["--http2-prior-knowledge", "--resolve", &at, "-i", &url]).await;
    let hints = "HTTP/2 102 \r\n\r\nHTTP/2 103 \r\nlink: </a.css>; rel=preload\r\n\
                 link: </b.css>\r\n\r\nHTTP/2 200 \r\n";
    assert!(answer.starts_with(hints), "{answer}");
    assert!(answer.ends_with("\r\n\r\n/3"), "{answer}");

    // HTTP/1.0 has none.
    let old = "GET /1 HTTP/1.0\r\nHost: a.test\r\n\r\n";
    let answer = raw(site.port, old).await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn a_hint_comes_while_the_answer_is_still_awaited() {
    let (release, released) = tokio::sync::watch::channel(false);
    let service = Service::new(move |mut stream| {
        let mut released = released.clone();
        async move {
            read_request(&mut stream, &mut Vec::new(), 0).await;
            let hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
            stream.write_all(hint).await.unwrap();
            released.wait_for(|go| *go).await.unwrap();
            stream.write_all(&ok("done")).await.unwrap();
            let _ = stream.read(&mut [0]).await;
        }
    })
    .await;
    let site = Site::open("", &proxy_to("web", service.port, HOST)).await;
    let mut user = connect(site.port).await;
    let request = get("a.test", "/", &[]);
    user.write_all(request.as_bytes()).await.unwrap();
    let mut buffer = Vec::new();
    let head = within(wait::SOON, "103", read_head(&mut user, &mut buffer)).await;
    assert_eq!(head.unwrap(), "HTTP/1.1 103 Early Hints\r\nLink: </a.css>");
    release.send(true).unwrap();
    let head = within(wait::SOON, "200", read_head(&mut user, &mut buffer)).await;
    assert!(head.unwrap().starts_with("HTTP/1.1 200 OK"));
}
