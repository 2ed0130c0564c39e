//! Long targets and heads, odd ones, and transfer codings: what passes is what the user wrote.

use frp_tests::backend::{fetch, get, ok, raw, read_head, read_request, split};
use frp_tests::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const HOST: &str = "customDomains = [\"a.test\"]";

/// Of `length` bytes, which differ by `seed` to the last one.
fn long(seed: usize, length: usize) -> String {
    let mut target = format!("/{seed}/%2F;a=b,c?q=1&");
    while target.len() < length {
        let _ = write!(target, "{}%C3%A4/", target.len() * (seed + 7));
    }
    target.truncate(length - 1);
    target + "z"
}

#[tokio::test]
async fn long_targets_reach_the_service_as_they_are() {
    let backend = Backend::new(|seen| ok(&format!("{}", seen.path().len()))).await;
    let elsewhere = Backend::saying("elsewhere").await;
    let located = format!("{HOST}\nlocations = [\"/7/\"]");
    let proxies = proxy("web", &backend, HOST) + &proxy("other", &elsewhere, &located);
    let site = Site::open("", &proxies).await;
    let mut user = connect(site.port).await;
    let targets: Vec<_> = [100_000, 20, 32_768, 40_000, 65_534, 65_535, 900_000, 70_000]
        .iter()
        .enumerate()
        .map(|(seed, length)| long(seed, *length))
        .collect();
    // One after the other on a connection, with bodies and without.
    let mut buffer = Vec::new();
    for (n, target) in targets.iter().enumerate() {
        let request = match n % 3 {
            0 => format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n"),
            1 => format!(
                "POST {target} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\nGET / #\r\n"
            ),
            _ => format!(
                "PUT {target} HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a.test\r\n\r\n\
                 5;x=y\r\n#\r\n\r\n\r\n0\r\nX-A: b\r\n\r\n"
            ),
        };
        user.write_all(request.as_bytes()).await.unwrap();
        let answer = within(
            wait::SOON,
            "an answer",
            read_request(&mut user, &mut buffer, 0),
        )
        .await;
        let answer = answer.unwrap();
        assert!(answer.head.contains("200 OK"), "{n}: {}", answer.head);
        let seen = if n == 7 {
            elsewhere.last()
        } else {
            backend.last()
        };
        assert!(seen.path() == target, "{n}");
    }
    // All at once.
    let mut user = connect(site.port).await;
    let all: Vec<_> = targets[..7]
        .iter()
        .map(|target| format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n"))
        .collect();
    let (mut reader, mut writer) = user.split();
    let all = all.concat();
    let write = async { writer.write_all(all.as_bytes()).await.unwrap() };
    let read = async {
        let mut buffer = Vec::new();
        for target in &targets[..7] {
            let answer = read_request(&mut reader, &mut buffer, 0).await.unwrap();
            assert_eq!(answer.body, target.len().to_string().as_bytes());
        }
    };
    within(wait::SOON, "all answers", async {
        tokio::join!(write, read)
    })
    .await;
    let seen: Vec<_> = backend.seen();
    for (seen, target) in seen.iter().rev().zip(targets[..7].iter().rev()) {
        assert!(seen.path() == target, "{:.40}", seen.path());
    }
}

#[tokio::test]
async fn nobody_gets_the_target_of_another() {
    let backend = Backend::new(|seen| ok(&seen.path()[..20])).await;
    let site = Site::open("", &proxy("web", &backend, HOST)).await;
    let users = (0..12).map(|seed| {
        let target = long(seed, 100_000 + seed);
        let port = site.port;
        tokio::spawn(async move {
            for _ in 0..5 {
                let answer = raw(port, get("a.test", &target, &[])).await;
                assert_eq!(split(&answer), (200, target[..20].to_owned()));
            }
        })
    });
    for user in users.collect::<Vec<_>>() {
        user.await.unwrap();
    }
    let mut ends: Vec<_> = backend
        .seen()
        .iter()
        .map(|seen| seen.path().to_owned())
        .collect();
    ends.sort();
    let mut expected: Vec<_> = (0..60).map(|n| long(n / 5, 100_000 + n / 5)).collect();
    expected.sort();
    assert!(ends == expected);
}

#[tokio::test]
async fn a_head_may_have_a_megabyte_and_no_more() {
    let backend = Backend::saying("in").await;
    let site = Site::open("", &proxy("web", &backend, HOST)).await;
    let lines: Vec<String> = (0..256)
        .map(|n| format!("X-{n}: {}", "y".repeat(3500)))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let target = long(1, 100_000);
    assert_eq!(
        split(&raw(site.port, get("a.test", &target, &lines)).await).0,
        200
    );
    let seen = backend.last();
    assert!(seen.path() == target);
    assert_eq!(seen.header("x-255").map(str::len), Some(3500));
    for (target, line) in [
        (long(1, 1_100_000), String::new()),
        (long(1, 600_000), format!("X: {}\r\n", "y".repeat(600_000))),
        ("/".to_owned(), format!("X: {}\r\n", "y".repeat(1_100_000))),
        ("/".to_owned(), "X: y\r\n".repeat(2100)),
    ] {
        let mut user = connect(site.port).await;
        let request = format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n{line}\r\n");
        // It is refused before it is read to the end.
        let _ = user.write_all(request.as_bytes()).await;
        let head = within(wait::SOON, "431", read_head(&mut user, &mut Vec::new())).await;
        assert!(
            head.is_some_and(|head| head.contains("431")),
            "{}",
            line.len()
        );
    }
    assert_eq!(backend.seen().len(), 1);
}

#[tokio::test]
async fn a_long_target_is_checked_like_a_short_one() {
    let backend = Backend::saying("in").await;
    let site = Site::open("", &proxy("web", &backend, HOST)).await;
    let path = "x".repeat(100_000);
    for (target, host, code) in [
        (format!("http://b.test/{path}"), "a.test", 400),
        (format!("http://{path}/"), "a.test", 414),
        (path.clone(), "a.test", 414),
        (format!("/{path}<"), "a.test", 400),
        (format!("/{path}\u{1}"), "a.test", 400),
        (format!("http://a.test/{path}"), "a.test", 200),
        (format!("http://a.test?{path}"), "a.test", 200),
        (format!("/{path}\u{e4}"), "a.test", 200),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let mut user = connect(site.port).await;
        let _ = user.write_all(request.as_bytes()).await;
        let head = within(
            wait::SOON,
            "an answer",
            read_head(&mut user, &mut Vec::new()),
        )
        .await;
        let head = head.unwrap();
        let shown = &target[..20];
        assert!(head.contains(&format!(" {code} ")), "{shown}: {head}");
    }
    let seen: Vec<_> = backend.seen();
    assert_eq!(seen.len(), 3);
    assert!(seen[0].path() == format!("http://a.test/{path}"));
    assert!(seen[1].path() == format!("http://a.test/?{path}"));
}

#[tokio::test]
async fn a_number_sign_in_a_target_hides_nothing_of_it() {
    let backend = Backend::saying("in").await;
    let site = Site::open("", &proxy("web", &backend, HOST)).await;
    for (target, expected) in [
        ("/a#/../b", "/a%23/../b"),
        ("/#", "/%23"),
        ("/a?b#c?d", "/a?b%23c?d"),
        ("/a%23b", "/a%23b"),
    ] {
        assert_eq!(fetch(site.port, "a.test", target).await.0, 200);
        assert_eq!(backend.last().path(), expected);
    }
    let far = format!("/{}#{}", "x".repeat(50_000), "y".repeat(50_000));
    assert_eq!(fetch(site.port, "a.test", &far).await.0, 200);
    assert!(backend.last().path() == far.replace('#', "%23"));
}

#[tokio::test]
async fn a_request_with_an_unknown_coding_is_not_implemented() {
    let backend = Backend::saying("in").await;
    let site = Site::open("", &proxy("web", &backend, HOST)).await;
    for coding in [
        "xchunked",
        "chunked, identity",
        "identity",
        "gzip",
        "chunkedx",
        "chunked;q=1",
        "",
        "chunked\r\nTransfer-Encoding: gzip",
        "gzip\r\nTRANSFER-ENCODING:chunked",
        "\tchunked , \t",
    ] {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: {coding}\r\n\r\n\
             0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n"
        );
        let answer = raw(site.port, &request).await;
        assert_eq!(split(&answer).0, 501, "{coding:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
    assert_eq!(backend.seen().len(), 0);
    for coding in ["chunked", " \tCHUNKED \t "] {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding:{coding}\r\n\
             Connection: close\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
        );
        assert_eq!(split(&raw(site.port, &request).await).0, 200, "{coding:?}");
        assert_eq!(backend.last().body, b"hi");
    }
}

#[tokio::test]
async fn an_answer_whose_coding_nobody_takes_off_is_none() {
    let backend = Backend::new(|seen| {
        let coding = seen.path().trim_start_matches('/').replace('+', " ");
        let body = "2\r\nhi\r\n0\r\n\r\n";
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n{body}").into()
    })
    .await;
    let site = Site::open("", &proxy("web", &backend, HOST)).await;
    let answer = fetch(site.port, "a.test", "/chunked").await;
    assert_eq!(answer, (200, "2\r\nhi\r\n0\r\n\r\n".to_owned()));
    for coding in ["gzip,+chunked", "identity", "gzip", "chunked,+chunked"] {
        let (status, body) = fetch(site.port, "a.test", &format!("/{coding}")).await;
        assert_eq!(status, 404, "{coding}: {body}");
        let line = "error: unsupported transfer encoding: \"";
        site.frps.program.expect(line).await;
    }
}

#[tokio::test]
async fn what_follows_an_upgrade_is_no_head() {
    let service = Service::new(|mut stream| async move {
        let mut buffer = Vec::new();
        read_head(&mut stream, &mut buffer).await.unwrap();
        let answer =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.write_all(&buffer).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
    })
    .await;
    let site = Site::open("", &proxy_to("web", service.port, HOST)).await;
    let mut user = connect(site.port).await;
    let said = format!(
        "GET #{} /#\r\n\r\nTransfer-Encoding: x\r\n",
        "#".repeat(70_000)
    );
    let head = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
    user.write_all(format!("{head}#early").as_bytes())
        .await
        .unwrap();
    let mut buffer = Vec::new();
    let answer = read_head(&mut user, &mut buffer).await.unwrap();
    assert!(answer.contains("101"), "{answer}");
    user.write_all(said.as_bytes()).await.unwrap();
    let expected = format!("#early{said}");
    while buffer.len() < expected.len() {
        let n = within(wait::SOON, "an echo", user.read_buf(&mut buffer)).await;
        assert!(n.unwrap() > 0);
    }
    assert!(buffer == expected.as_bytes());
}

/// A HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

/// The first byte of the fields of the answer over HTTP/2 to a request with these fields: RFC 7541 has
/// `0x88` for 200, `0x8c` for 400 and `0x8d` for 404.
async fn h2(port: u16, fields: &[(&str, &str)]) -> u8 {
    let mut block = Vec::new();
    for (name, value) in fields {
        for (prefix, text) in [(&[0][..], name), (&[], value)] {
            block.extend_from_slice(prefix);
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    let mut user = connect(port).await;
    let begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let said = [&begin[..], &frame(4, 0, 0, &[]), &frame(1, 5, 1, &block)].concat();
    user.write_all(&said).await.unwrap();
    let answer = async {
        loop {
            let mut head = [0; 9];
            user.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            user.read_exact(&mut payload).await.unwrap();
            if head[3] == 1 {
                // Changes to the table of names come first.
                return payload.into_iter().find(|byte| byte >> 5 != 1).unwrap();
            }
        }
    };
    within(wait::SOON, "an answer", answer).await
}

#[tokio::test]
async fn over_http2_authority_and_host_are_one() {
    let backend = Backend::saying("in").await;
    let site = Site::open("", &proxy("web", &backend, HOST)).await;
    let pseudo = [(":method", "GET"), (":scheme", "http"), (":path", "/")];
    let asked = async |fields: &[(&str, &str)]| h2(site.port, &[&pseudo, fields].concat()).await;
    assert_eq!(asked(&[(":authority", "a.test")]).await, 0x88);
    assert_eq!(
        asked(&[(":authority", "a.test"), ("host", "A.test")]).await,
        0x88
    );
    assert_eq!(asked(&[("host", "a.test")]).await, 0x88);
    assert_eq!(asked(&[(":authority", "b.test")]).await, 0x8d);
    let seen = backend.seen().len();
    assert_eq!(seen, 3);
    assert_eq!(
        asked(&[(":authority", "a.test"), ("host", "b.test")]).await,
        0x8c
    );
    assert_eq!(
        asked(&[(":authority", "b.test"), ("host", "a.test")]).await,
        0x8c
    );
    assert_eq!(asked(&[("host", "a.test"), ("host", "b.test")]).await, 0x8c);
    // 501, which has no number of its own.
    let tunnel = [(":method", "CONNECT"), (":authority", "a.test:80")];
    assert_eq!(h2(site.port, &tunnel).await, 0x48);
    assert_eq!(backend.seen().len(), seen);
}
