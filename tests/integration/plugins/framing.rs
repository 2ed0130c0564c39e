//! What could be read in more than one way, at plugins that speak HTTP with users; and
//! informational answers.

use frp_tests::backend::{Backend, get, ok, raw, read_head, split};
use frp_tests::tls::Authority;
use frp_tests::*;
use tokio::io::AsyncWriteExt as _;

use super::backend::Backend as Remembering;
use super::curl::curl;
use super::*;

#[tokio::test]
async fn a_body_that_a_service_takes_for_a_request_is_answered_to_nobody() {
    let service = Service::new(move |mut stream| async move {
        let mut buffer = Vec::new();
        while let Some(head) = read_head(&mut stream, &mut buffer).await {
            let path = head.split(' ').nth(1).unwrap();
            stream.write_all(&ok(path)).await.unwrap();
        }
    })
    .await;
    let rig = Rig::new();
    let plugin = format!(
        "type = \"http2http\"\nlocalAddr = \"127.0.0.1:{}\"",
        service.port
    );
    let web = plugged(&rig, "", &plugin).await;
    let poison = "GET /poison HTTP/1.1\r\nHost: a\r\n\r\n";
    for line in ["GET /x", "DELETE /x", "OPTIONS /x"] {
        let head = format!(
            "{line} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n",
            poison.len()
        );
        let answer = raw(web.port, format!("{head}Connection: close\r\n\r\n{poison}")).await;
        assert_eq!(split(&answer), (200, "/x".to_owned()));
        let answer = raw(web.port, get("a", "/victim", &[])).await;
        assert_eq!(split(&answer), (200, "/victim".to_owned()), "{line}");
    }
}

#[tokio::test]
async fn what_can_be_read_in_two_ways_is_refused_by_every_plugin() {
    let backend = Backend::saying("hello").await;
    let rig = Rig::new();
    let directory = rig.path();
    let directory = directory.display();
    for plugin in [
        format!(
            "type = \"http2http\"\nlocalAddr = \"127.0.0.1:{}\"",
            backend.port()
        ),
        "type = \"http_proxy\"".to_owned(),
        format!("type = \"static_file\"\nlocalPath = \"{directory}\""),
    ] {
        let web = plugged(&rig, "", &plugin).await;
        let b = format!("127.0.0.1:{}", backend.port());
        let target = format!("http://{b}/");
        for (line, lines, code) in [
            (&*target, "Host: other\r\n".to_owned(), 400),
            (&*target, format!("Host: {b}\r\nHost: {b}\r\n"), 400),
            ("/", "Host: a:\"><script>\r\n".to_owned(), 400),
            ("/", "Host: a:99999\r\n".to_owned(), 400),
            (
                &*target,
                format!("Host: {b}\r\nTransfer-Encoding: gzip, chunked\r\n"),
                501,
            ),
            (
                &*target,
                format!("Host: {b}\r\nTransfer-Encoding: xchunked\r\n"),
                501,
            ),
            (
                &*target,
                format!("Host: {b}\r\nTransfer-Encoding: chunked, identity\r\n"),
                501,
            ),
            (&*target, format!("Host: {b}\r\nExpect: more\r\n"), 417),
        ] {
            // It goes by the target, whatever Host says.
            if plugin.contains("http_proxy") && code == 400 {
                continue;
            }
            let request = format!("POST {line} HTTP/1.1\r\n{lines}\r\n");
            let (status, _) = split(&raw(web.port, &request).await);
            assert_eq!(status, code, "{plugin}: {request}");
        }
    }
    assert_eq!(backend.seen().len(), 0);
}

#[tokio::test]
async fn informational_answers_pass_through_plugins() {
    let backend = Backend::new(|_| {
        let hint = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
        [&hint[..], &ok("done")].concat()
    })
    .await;
    let rig = Rig::new();
    let local = format!("127.0.0.1:{}", backend.port());
    for (plugin, target) in [
        (
            format!("type = \"http2http\"\nlocalAddr = \"{local}\""),
            "/".to_owned(),
        ),
        (
            "type = \"http_proxy\"".to_owned(),
            format!("http://{local}/"),
        ),
    ] {
        let web = plugged(&rig, "", &plugin).await;
        let answer = raw(web.port, get(&local, &target, &[])).await;
        let hint = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\n";
        assert!(answer.starts_with(hint), "{plugin}: {answer}");
        assert!(answer.ends_with("\r\n\r\ndone"), "{plugin}: {answer}");
    }
    let plugin = format!("type = \"https2http\"\nlocalAddr = \"{local}\"");
    let web = plugged(&rig, "", &plugin).await;
    let url = format!("https://127.0.0.1:{}/", web.port);
    for (version, hint) in [
        (
            "--http1.1",
            "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\n",
        ),
        (
            "--http2",
            "HTTP/2 103 \r\nlink: </a.css>\r\n\r\nHTTP/2 200 \r\n",
        ),
    ] {
        let answer = curl(rig.path(), ["-k", "-i", version, &url]).await;
        let answer = answer.text();
        assert!(answer.starts_with(hint), "{version}: {answer}");
        assert!(answer.ends_with("\r\n\r\ndone"), "{version}: {answer}");
    }
}

#[tokio::test]
async fn long_targets_pass_through_every_plugin_as_they_are() {
    let rig = Rig::new();
    let identity = Authority::new(rig.path(), "ca").issue(rig.path(), "web", &["127.0.0.1"]);
    let mut backends = [
        Remembering::new(None).await,
        Remembering::new(Some(&identity)).await,
    ];
    let (http, https) = (backends[0].port, backends[1].port);
    let bridges = Bridges::new(&rig, [&Side::Ours, &Side::Ours], http, https, "").await;
    for (plugin, url) in BRIDGES.iter().zip(bridges.urls()) {
        for n in [100_000, 70_000, 10] {
            let path = format!("/a?{}{n}", "x/".repeat(n / 2));
            let url = format!("{url}{path}");
            let answer = curl(rig.path(), ["--http1.1", "-k", &url, &url]).await;
            assert_eq!(answer.text(), "hellohello", "{plugin}");
            for _ in 0..2 {
                let seen = backends[usize::from(plugin.ends_with("https"))]
                    .seen()
                    .await;
                assert!(seen.line == format!("GET {path} HTTP/1.1"), "{plugin}");
            }
        }
    }
    let web = plugged(&rig, "", "type = \"http_proxy\"").await;
    let path = "/x".repeat(50_000);
    let target = format!("http://127.0.0.1:{http}{path}#z");
    let answer = raw(web.port, get("a", &target, &[])).await;
    assert_eq!(split(&answer), (200, "hello".to_owned()));
    let seen = backends[0].seen().await;
    assert!(seen.line == format!("GET {path}%23z HTTP/1.1"));
}

#[tokio::test]
async fn an_answer_whose_coding_nobody_takes_off_is_a_bad_gateway() {
    let backend = Backend::new(|_| {
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n".to_vec()
    })
    .await;
    let rig = Rig::new();
    let local = format!("127.0.0.1:{}", backend.port());
    for (plugin, target) in [
        (
            format!("type = \"http2http\"\nlocalAddr = \"{local}\""),
            "/".to_owned(),
        ),
        (
            "type = \"http_proxy\"".to_owned(),
            format!("http://{local}/"),
        ),
    ] {
        let web = plugged(&rig, "", &plugin).await;
        let answer = raw(web.port, get(&local, &target, &[])).await;
        assert_eq!(split(&answer).0, 502, "{plugin}: {answer}");
    }
}
