//! What the local service sees of a request that came through http2http, http2https, https2http or
//! https2https, and what the user sees of the answer.

use frp_tests::tls::Authority;
use frp_tests::*;

use super::backend::{Backend, Seen, curl, curl_hello};
use super::{BRIDGES, Bridges};

/// What curl is told, and a name for it.
const REQUESTS: &[(&str, &[&str])] = &[
    ("plain", &["-H", "Accept-Encoding: identity"]),
    (
        "with a way behind it",
        &[
            "-H",
            "Accept-Encoding: identity",
            "-H",
            "Forwarded: for=192.0.2.1",
            "-H",
            "X-Forwarded-For: 192.0.2.1",
            "-H",
            "X-Forwarded-For: 192.0.2.2",
            "-H",
            "X-Forwarded-Host: first.example",
            "-H",
            "X-Forwarded-Proto: gopher",
        ],
    ),
    (
        "with fields for this hop only",
        &[
            "-H",
            "Accept-Encoding: gzip",
            "--http1.1",
            "-H",
            "Connection: keep-alive, X-Mine",
            "-H",
            "X-Mine: 1",
            "-H",
            "Keep-Alive: timeout=5",
            "-H",
            "TE: trailers, deflate",
            "-H",
            "Proxy-Authorization: Basic eDp5",
            "-H",
            "Proxy-Connection: keep-alive",
            "-H",
            "Upgrade-Insecure-Requests: 1",
        ],
    ),
    (
        "with a body",
        &[
            "-H",
            "Accept-Encoding: identity",
            "-d",
            "a=1&b=2",
            "-A",
            "agent/1",
        ],
    ),
    (
        "with an empty body",
        &["-H", "Accept-Encoding: identity", "-d", ""],
    ),
    (
        "with a body of unknown length",
        &[
            "-H",
            "Accept-Encoding: identity",
            "-H",
            "Transfer-Encoding: chunked",
            "-d",
            "xyz",
            "--http1.1",
        ],
    ),
    (
        "of another method",
        &["-H", "Accept-Encoding: identity", "-X", "DELETE"],
    ),
    (
        "with cookies and without an agent",
        &[
            "-H",
            "Accept-Encoding: identity",
            "-b",
            "a=1; b=2",
            "-H",
            "User-Agent:",
            "--http1.1",
        ],
    ),
    (
        "of HTTP/1.0",
        &["-H", "Accept-Encoding: identity", "--http1.0", "--no-alpn"],
    ),
    (
        "in absolute form",
        &[
            "-H",
            "Accept-Encoding: identity",
            "-H",
            "Connection: close",
            "--http1.1",
            "--request-target",
            "http://127.0.0.1/x?y",
        ],
    ),
    (
        "to another host",
        &[
            "-H",
            "Accept-Encoding: identity",
            "-H",
            "Host: Shop.Example:81",
        ],
    ),
];

const PATHS: &[&str] = &["/", "/a%2Fb/c%20d?x=1&y=%20&z", "//double//slash/../up?"];

/// Every request through every plugin, as the local service sees it; ports are replaced by a word,
/// as they differ.
async fn all_seen(sides: [&Side; 2], lines: &str) -> Vec<(String, Seen)> {
    let rig = Rig::new();
    let authority = Authority::new(rig.path(), "ca");
    let identity = authority.issue(rig.path(), "local", &["127.0.0.1"]);
    let mut plain = Backend::new(None).await;
    let mut secure = Backend::new(Some(&identity)).await;
    let bridges = Bridges::new(&rig, sides, plain.port, secure.port, lines).await;
    let mut all = Vec::new();
    for ((name, url), port) in BRIDGES.iter().zip(bridges.urls()).zip(bridges.ports) {
        let backend = if name.ends_with("https") {
            &mut secure
        } else {
            &mut plain
        };
        let paths = PATHS.iter().map(|path| (*path, REQUESTS[0]));
        let requests = REQUESTS.iter().map(|request| (PATHS[1], *request));
        for (path, (what, args)) in paths.chain(requests) {
            let mut args = args.to_vec();
            args.push("--path-as-is");
            curl_hello(&format!("{url}{path}"), &args).await;
            let mut seen = backend.seen().await;
            for field in &mut seen.fields {
                *field = field.replace(&port.to_string(), "PORT");
            }
            all.push((format!("{name}: {path} {what}"), seen));
        }
    }
    all
}

#[tokio::test]
async fn requests_reach_the_service_as_they_do_through_frp() {
    let Some(theirs) = Side::reference("0.70.1") else {
        return;
    };
    let settings = [
        "",
        "hostHeaderRewrite = \"inside.example\"\nrequestHeaders.set.x-from = \"frp\"\n\
         requestHeaders.set.User-Agent = \"mine\"\nrequestHeaders.set.Host = \"ignored\"\n\
         requestHeaders.set.X-Forwarded-Proto = \"set\"",
    ];
    for lines in settings {
        let (ours, go) = tokio::join!(
            all_seen([&Side::Ours, &Side::Ours], lines),
            all_seen([&theirs, &theirs], lines),
        );
        assert_eq!(ours.len(), go.len());
        for (ours, theirs) in ours.into_iter().zip(go) {
            assert_eq!(ours, theirs);
        }
    }
}

/// The fields of `seen` whose names begin with `X-Forwarded-`, or are one of `also`.
fn fields<'a>(seen: &'a Seen, also: &[&str]) -> Vec<&'a str> {
    let wanted = |field: &&str| {
        let name = field.split(':').next().unwrap();
        name.starts_with("X-Forwarded-") || name == "Forwarded" || also.contains(&name)
    };
    seen.fields
        .iter()
        .map(String::as_str)
        .filter(wanted)
        .collect()
}

#[tokio::test]
async fn the_service_learns_where_the_user_is_where_users_come_by_https() {
    let all = all_seen([&Side::Ours, &Side::Ours], "").await;
    let of = |plugin: &str, what: &str| {
        let key = format!("{plugin}: {} {what}", PATHS[1]);
        let found = all.iter().rfind(|(name, _)| *name == key);
        fields(&found.unwrap().1, &["Host"])
    };
    let host = "Host: 127.0.0.1:PORT";
    for plugin in ["http2http", "http2https"] {
        assert_eq!(of(plugin, "plain"), [host]);
    }
    let added = [
        host,
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-Host: 127.0.0.1:PORT",
        "X-Forwarded-Proto: https",
    ];
    for plugin in ["https2http", "https2https"] {
        assert_eq!(of(plugin, "plain"), added);
    }
    let behind = "with a way behind it";
    assert_eq!(of("http2http", behind), [host]);
    let kept = [
        host,
        "X-Forwarded-For: 192.0.2.1",
        "X-Forwarded-For: 192.0.2.2",
        "X-Forwarded-Host: first.example",
        "X-Forwarded-Proto: gopher",
    ];
    assert_eq!(of("http2https", behind), kept);
    let prolonged = [
        host,
        "X-Forwarded-For: 192.0.2.1, 192.0.2.2, 127.0.0.1",
        "X-Forwarded-Host: 127.0.0.1:PORT",
        "X-Forwarded-Proto: https",
    ];
    for plugin in ["https2http", "https2https"] {
        assert_eq!(of(plugin, behind), prolonged);
    }
}

#[tokio::test]
async fn nothing_is_added_to_what_the_user_said() {
    let rig = Rig::new();
    let mut service = Backend::new(None).await;
    let sides = [&Side::Ours, &Side::Ours];
    let bridges = Bridges::new(&rig, sides, service.port, 1, "").await;
    // frp asks for gzip in the user's place, and unpacks the answer.
    curl_hello(&bridges.urls()[0], &["-H", "Accept:", "-H", "User-Agent:"]).await;
    let host = format!("Host: 127.0.0.1:{}", bridges.ports[0]);
    assert_eq!(service.seen().await.fields, [host]);
    // frp drops parameters with a semicolon.
    curl_hello(&format!("{}/?a=1;b=2&c=%zz", bridges.urls()[0]), &[]).await;
    assert_eq!(service.seen().await.line, "GET /?a=1;b=2&c=%zz HTTP/1.1");
    // frp answers this one itself.
    let about = ["-X", "OPTIONS", "--request-target", "*"];
    curl_hello(&bridges.urls()[0], &about).await;
    assert_eq!(service.seen().await.line, "OPTIONS * HTTP/1.1");
}

#[tokio::test]
async fn answers_come_back_without_the_fields_of_the_last_hop() {
    let rig = Rig::new();
    let service = Backend::new(None).await;
    let sides = [&Side::Ours, &Side::Ours];
    let bridges = Bridges::new(&rig, sides, service.port, 1, "").await;
    for url in [&bridges.urls()[0], &bridges.urls()[2]] {
        let got = curl(url, &["-i", "--http1.1"]).await;
        let text = String::from_utf8(got.body).unwrap();
        assert!(text.contains("\r\nX-Answer: yes\r\n"), "{text}");
        assert!(!text.to_lowercase().contains("keep-alive"), "{text}");
        let got = curl(url, &["-I", "--http1.1"]).await;
        let text = String::from_utf8(got.body).unwrap();
        assert!(text.contains("\r\nContent-Length: 5\r\n"), "{text}");
    }
}

#[tokio::test]
async fn connections_to_the_service_are_kept_for_later_requests() {
    let rig = Rig::new();
    let (sender, mut accepted) = tokio::sync::mpsc::unbounded_channel();
    let service = super::backend::service(None, move |mut io| {
        sender.send(()).unwrap();
        async move {
            while super::backend::read_request(&mut io).await.is_some() {
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
                tokio::io::AsyncWriteExt::write_all(&mut io, answer)
                    .await
                    .unwrap();
            }
        }
    })
    .await;
    let sides = [&Side::Ours, &Side::Ours];
    let bridges = Bridges::new(&rig, sides, service.port, 1, "").await;
    // Each curl is a user of its own.
    for _ in 0..5 {
        curl_hello(&bridges.urls()[0], &[]).await;
    }
    let mut connections = 0;
    while accepted.try_recv().is_ok() {
        connections += 1;
    }
    assert!(connections < 5, "{connections}");
}
