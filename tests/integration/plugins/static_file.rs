//! The plugin static_file.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use frp_tests::wait::SOON;
use frp_tests::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::curl::{Reply, curl, request};
use super::{plugged, plugged_of};

const NEWEST: &str = "0.70.1";

/// 2024-02-29 12:00:00 UTC
const CHANGED: u64 = 1_709_208_000;
const CHANGED_TEXT: &str = "Thu, 29 Feb 2024 12:00:00 GMT";
const BEFORE: &str = "Thu, 29 Feb 2024 11:59:59 GMT";

/// The directory that is published, and beside it what is not.
fn files(rig: &Rig) -> PathBuf {
    let root = rig.path().join("files");
    fs::create_dir_all(root.join("sub/deep")).unwrap();
    fs::create_dir_all(root.join("list")).unwrap();
    let long = "a line of text that compresses well\n".repeat(500);
    for (name, content) in [
        ("hello.txt", &b"0123456789"[..]),
        ("empty.txt", b""),
        ("long.txt", long.as_bytes()),
        ("page", b"<!DOCTYPE html><p>hello"),
        ("blob", b"\x00\x01\x02"),
        ("image.png", b"\x89PNG\r\n\x1a\nnot really"),
        ("data.json", b"{}"),
        ("a b?#%&'\"<>.txt", b"special"),
        ("list/one", b"1"),
        ("list/col:on", b"2"),
        ("list/z.tar.gz", b"3"),
        ("sub/index.html", b"<h1>index</h1>"),
        ("sub/deep/file", b"deep"),
        ("../secret", b"do not look"),
    ] {
        fs::write(root.join(name), content).unwrap();
    }
    fs::create_dir(root.join("list/dir")).unwrap();
    std::os::unix::fs::symlink("hello.txt", root.join("link")).unwrap();
    std::os::unix::fs::symlink("../secret", root.join("offered")).unwrap();
    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(CHANGED);
    for name in [
        "hello.txt",
        "long.txt",
        "list",
        "empty.txt",
        "sub/index.html",
    ] {
        let file = File::open(root.join(name)).unwrap();
        file.set_modified(changed).unwrap();
    }
    root
}

fn plugin(rig: &Rig, more: &str) -> String {
    format!(
        "type = \"static_file\"\nlocalPath = {:?}\n{more}",
        files(rig)
    )
}

#[tokio::test]
async fn files_and_lists_are_shown_to_curl() {
    let rig = Rig::new();
    let web = plugged(&rig, "", &plugin(&rig, "")).await;
    let get = async |path: &str| {
        let url = format!("http://127.0.0.1:{}{path}", web.port);
        curl(rig.path(), ["--location", "--compressed", &url])
            .await
            .text()
    };
    assert_eq!(get("/hello.txt").await, "0123456789");
    assert_eq!(get("/sub").await, "<h1>index</h1>");
    assert_eq!(get("/sub/index.html").await, "<h1>index</h1>");
    assert_eq!(get("/link").await, "0123456789");
    let long = fs::read_to_string(rig.path().join("files/long.txt")).unwrap();
    assert_eq!(get("/long.txt").await, long);
    assert_eq!(
        get("/list").await,
        "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n\
         <a href=\"./col:on\">col:on</a>\n<a href=\"dir/\">dir/</a>\n<a href=\"one\">one</a>\n\
         <a href=\"z.tar.gz\">z.tar.gz</a>\n</pre>\n"
    );
    // A name from the list leads to the file.
    let list = get("/").await;
    let line = list.lines().find(|line| line.contains("a%20b")).unwrap();
    let href = line.split('"').nth(1).unwrap();
    assert_eq!(get(&format!("/{href}")).await, "special");
}

/// Requests whose answers are the same as frp's.
const AS_FRP: &[(&str, &str, &[&str])] = &[
    ("GET", "/hello.txt", &[]),
    ("GET", "/empty.txt", &[]),
    ("GET", "/page", &[]),
    ("GET", "/blob", &[]),
    ("GET", "/image.png", &[]),
    ("GET", "/data.json", &[]),
    ("GET", "/a%20b%3F%23%25&'%22%3C%3E.txt", &[]),
    ("GET", "/", &["If-None-Match: \"x\""]),
    ("GET", "/list/", &[]),
    (
        "GET",
        "/list/",
        &["If-Modified-Since: Thu, 29 Feb 2024 12:00:00 GMT"],
    ),
    ("GET", "/list?a=b", &[]),
    ("GET", "/sub", &[]),
    ("GET", "/sub/", &[]),
    ("GET", "/sub/index.html", &[]),
    ("GET", "/sub/index.html?q", &[]),
    ("GET", "/hello.txt/", &[]),
    ("GET", "/sub/deep/file/", &[]),
    ("GET", "/hello.txt/x", &[]),
    ("GET", "/absent", &[]),
    ("GET", "/absent/", &[]),
    ("GET", "/link", &[]),
    ("GET", "/offered", &[]),
    ("GET", "/%00", &[]),
    ("GET", "/a//b", &[]),
    ("GET", "//hello.txt", &[]),
    ("GET", "/./hello.txt?x=1", &[]),
    ("GET", "/../secret", &[]),
    ("GET", "/sub/../../secret", &[]),
    ("GET", "/%2e%2e/secret", &[]),
    ("GET", "/..%2fsecret", &[]),
    ("GET", "/sub/..%2f..%2fsecret", &[]),
    ("GET", "/..%5csecret", &[]),
    ("GET", "/sub%2fdeep%2ffile", &[]),
    (
        "GET",
        "/hello.txt",
        &["If-Modified-Since: Thu, 29 Feb 2024 12:00:00 GMT"],
    ),
    (
        "GET",
        "/hello.txt",
        &["If-Modified-Since: Thu, 29 Feb 2024 11:59:59 GMT"],
    ),
    ("GET", "/hello.txt", &["If-Modified-Since: yesterday"]),
    (
        "GET",
        "/hello.txt",
        &["If-Modified-Since: Thursday, 29-Feb-24 12:00:00 GMT"],
    ),
    (
        "GET",
        "/hello.txt",
        &["If-Unmodified-Since: Thu, 29 Feb 2024 11:59:59 GMT"],
    ),
    (
        "GET",
        "/hello.txt",
        &["If-Unmodified-Since: Thu, 29 Feb 2024 12:00:00 GMT"],
    ),
    ("GET", "/hello.txt", &["If-None-Match: *"]),
    (
        "GET",
        "/hello.txt",
        &[
            "If-None-Match: \"x\"",
            "If-Modified-Since: Thu, 29 Feb 2024 12:00:00 GMT",
        ],
    ),
    ("GET", "/hello.txt", &["If-Match: \"x\""]),
    ("GET", "/hello.txt", &["If-Match: *"]),
    ("GET", "/hello.txt", &["Range: bytes=2-4"]),
    ("GET", "/hello.txt", &["Range: bytes=7-"]),
    ("GET", "/hello.txt", &["Range: bytes=-3"]),
    ("GET", "/hello.txt", &["Range: bytes=-300"]),
    ("GET", "/hello.txt", &["Range: bytes=8-300"]),
    ("GET", "/hello.txt", &["Range: bytes=10-"]),
    ("GET", "/hello.txt", &["Range: bytes=4-2"]),
    ("GET", "/hello.txt", &["Range: bytes=x"]),
    ("GET", "/hello.txt", &["Range: lines=1-2"]),
    ("GET", "/hello.txt", &["Range: bytes=0-9,0-9"]),
    ("GET", "/hello.txt", &["Range: bytes=0-1,20-"]),
    ("GET", "/empty.txt", &["Range: bytes=0-"]),
    (
        "GET",
        "/hello.txt",
        &[
            "Range: bytes=1-2",
            "If-Range: Thu, 29 Feb 2024 12:00:00 GMT",
        ],
    ),
    (
        "GET",
        "/hello.txt",
        &[
            "Range: bytes=1-2",
            "If-Range: Thu, 29 Feb 2024 11:59:59 GMT",
        ],
    ),
    (
        "GET",
        "/hello.txt",
        &["Range: bytes=1-2", "If-Range: \"x\""],
    ),
    ("POST", "/hello.txt", &["Content-Length: 0"]),
    ("DELETE", "/hello.txt", &[]),
];

/// Where a `Location` leads from the path of a request (RFC 3986, section 5.2): ours are relative.
fn followed(path: &str, location: &str) -> String {
    let path = path.split('?').next().unwrap();
    let (to, query) = match location.split_once('?') {
        Some((to, query)) => (to, format!("?{query}")),
        None => (location, String::new()),
    };
    if to.starts_with("//") {
        return format!("another host: {location}");
    }
    let folder = &path[..=path.rfind('/').unwrap()];
    let merged = match to.starts_with('/') {
        true => to.to_owned(),
        false => format!("{folder}{to}"),
    };
    let mut parts = Vec::new();
    for part in merged[1..].split('/') {
        match part.to_lowercase().replace("%2e", ".").as_str() {
            "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    // Behind the last `/` may be nothing, which is a part, too.
    if merged.ends_with("/.") || merged.ends_with("/..") {
        parts.push("");
    }
    format!("/{}{query}", parts.join("/"))
}

#[test]
fn locations_are_followed_as_browsers_do() {
    for (path, location, target) in [
        ("/a//b", "../../a/b", "/a/b"),
        ("/a//b", "../a/b", "/a/a/b"),
        ("/a//b", "/a/b", "/a/b"),
        ("/list?a=b", "list/?a=b", "/list/?a=b"),
        ("/sub/x", "./", "/sub/"),
        ("/sub/x", "..", "/"),
        ("//x", "//y/", "another host: //y/"),
    ] {
        assert_eq!(followed(path, location), target, "{path}, {location}");
    }
}

/// What is compared of the answer to a request for `path`.
fn shown(path: &str, reply: &Reply) -> String {
    let headers = [
        "accept-ranges",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "last-modified",
        "location",
        "www-authenticate",
        "x-content-type-options",
    ];
    let headers = headers.map(|name| match (name, reply.header(name)) {
        // The times of files that the test did not set are now.
        ("last-modified", Some(time)) if time != CHANGED_TEXT => "last-modified".to_owned(),
        // An answer without a body says so by a length of 0 or by none.
        ("content-length", Some("0")) | (_, None) => String::new(),
        ("location", Some(location)) => format!("location: {}\n", followed(path, location)),
        (_, Some(value)) => format!("{name}: {value}\n"),
    });
    format!("{}\n{}\n{}", reply.status, headers.concat(), reply.text())
}

#[tokio::test]
async fn answers_are_those_of_frp() {
    let Some(theirs) = Side::reference(NEWEST) else {
        return;
    };
    let rig = Rig::new();
    let plugin = plugin(&rig, "");
    let ours = plugged(&rig, "", &plugin).await;
    let theirs = plugged_of(&rig, [&theirs, &theirs], "", &plugin).await;
    for (method, path, headers) in AS_FRP {
        let our = request(ours.port, method, path, headers).await;
        let their = request(theirs.port, method, path, headers).await;
        let what = format!("{method} {path} {headers:?}");
        assert_eq!(
            shown(path, &our),
            shown(path, &their),
            "{what}: ours, theirs"
        );
    }
}

#[tokio::test]
async fn conditions_and_ranges() {
    let rig = Rig::new();
    let web = plugged(&rig, "", &plugin(&rig, "")).await;
    let get = async |headers: &[&str]| request(web.port, "GET", "/hello.txt", headers).await;
    let same = format!("If-Modified-Since: {CHANGED_TEXT}");
    let before = format!("If-Modified-Since: {BEFORE}");

    let whole = get(&[]).await;
    assert_eq!((whole.status, whole.text().as_str()), (200, "0123456789"));
    assert_eq!(whole.header("last-modified"), Some(CHANGED_TEXT));
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    assert_eq!(
        whole.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(get(&[&same]).await.status, 304);
    assert_eq!(get(&[&before]).await.status, 200);

    let part = get(&["Range: bytes=2-4"]).await;
    assert_eq!((part.status, part.text().as_str()), (206, "234"));
    assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
    let outside = get(&["Range: bytes=10-"]).await;
    assert_eq!(outside.status, 416);
    assert_eq!(outside.header("content-range"), Some("bytes */10"));

    let parts = get(&["Range: bytes=0-1,8-"]).await;
    assert_eq!(parts.status, 206);
    let kind = parts.header("content-type").unwrap();
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let expected = format!(
        "--{boundary}\r\nContent-Range: bytes 0-1/10\r\nContent-Type: text/plain; charset=utf-8\
         \r\n\r\n01\r\n--{boundary}\r\nContent-Range: bytes 8-9/10\r\nContent-Type: text/plain; \
         charset=utf-8\r\n\r\n89\r\n--{boundary}--\r\n"
    );
    assert_eq!(parts.text(), expected);
    let length = expected.len().to_string();
    assert_eq!(parts.header("content-length"), Some(length.as_str()));

    let malformed = request(web.port, "GET", "/%zz", &[]).await;
    assert_eq!(
        (malformed.status, malformed.text().as_str()),
        (400, "400 Bad Request")
    );

    let head = request(web.port, "HEAD", "/hello.txt", &[]).await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some("10"));
}

#[tokio::test]
async fn a_download_is_resumed() {
    let rig = Rig::new();
    let web = plugged(&rig, "", &plugin(&rig, "")).await;
    let content = pattern(3_000_000, 5);
    fs::write(rig.path().join("files/big.iso"), &content).unwrap();
    let partial = rig.file("got.iso", &content[..1_234_567]);
    let url = format!("http://127.0.0.1:{}/big.iso", web.port);
    let args = ["-C", "-", "--compressed", "-o", "got.iso", &url];
    curl(rig.path(), args).await.text();
    assert!(fs::read(partial).unwrap() == content, "other bytes came");

    // As a browser or a download manager does it: in parts, at once.
    let part = async |range: &str| curl(rig.path(), ["-r", range, &url]).await.out;
    let (first, second) = tokio::join!(part("0-999999"), part("1000000-"));
    assert!([first, second].concat() == content, "other parts came");
}

#[tokio::test]
async fn text_is_compressed_and_what_is_compressed_already_is_not() {
    let rig = Rig::new();
    let web = plugged(&rig, "", &plugin(&rig, "")).await;
    fs::write(rig.path().join("files/big.png"), pattern(100_000, 6)).unwrap();
    let gzip = "Accept-Encoding: gzip, deflate";
    let get = async |path: &str, headers: &[&str]| request(web.port, "GET", path, headers).await;

    let text = get("/long.txt", &[gzip]).await;
    assert_eq!(text.header("content-encoding"), Some("gzip"));
    assert_eq!(text.header("vary"), Some("Accept-Encoding"));
    // A part of the compressed form could not be asked for.
    assert_eq!(text.header("accept-ranges"), None);
    assert!(text.body.len() < 2000, "{} bytes", text.body.len());

    for (path, headers) in [
        ("/long.txt", &[][..]),
        ("/long.txt", &["Accept-Encoding: gzip;q=0"]),
        ("/long.txt", &[gzip, "Range: bytes=0-99"]),
        ("/big.png", &[gzip]),
        ("/hello.txt", &[gzip]),
        ("/absent", &[gzip]),
    ] {
        let plain = get(path, headers).await;
        assert_eq!(plain.header("content-encoding"), None, "{path} {headers:?}");
        let length = plain.body.len().to_string();
        assert_eq!(
            plain.header("content-length"),
            Some(length.as_str()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn nothing_outside_the_directory_is_served() {
    let rig = Rig::new();
    let web = plugged(&rig, "", &plugin(&rig, "")).await;
    for path in [
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/sub/..%2f..%2fsecret",
        "/sub/deep/../../../secret",
        "/.%2e/.%2e/secret",
        "/..%5csecret",
        "/..%00/secret",
        "//../secret",
        "http://x/../secret",
    ] {
        let reply = request(web.port, "GET", path, &[]).await;
        assert!(matches!(reply.status, 301 | 400 | 404), "{path}: {reply:?}");
        assert!(!reply.text().contains("look"), "{path}: {reply:?}");
        let location = reply.header("location").unwrap_or("/");
        // Followed, it stays here: no other host, and the directory's own `secret` is not there.
        assert!(!location.starts_with("//"), "{path}: {location}");
        // Relative, and from these paths up to the root.
        let below = location.trim_start_matches("../").trim_start_matches("./");
        let location = format!("/{}", below.trim_start_matches('/'));
        let followed = request(web.port, "GET", &location, &[]).await;
        assert!(!followed.text().contains("look"), "{path}: {location}");
    }
}

#[tokio::test]
async fn a_pipe_in_the_directory_holds_nobody() {
    let rig = Rig::new();
    let web = plugged(&rig, "", &plugin(&rig, "")).await;
    let pipe = rig.path().join("files/pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let reply = within(SOON, "an answer", request(web.port, "GET", "/pipe", &[])).await;
    assert_eq!(reply.status, 403);
}

#[tokio::test]
async fn user_prefix_and_password() {
    let more = "stripPrefix = \"static\"\nhttpUser = \"abc\"\nhttpPassword = \"123\"";
    let mut sides = vec![[Side::Ours, Side::Ours]];
    if let Some(theirs) = Side::reference(NEWEST) {
        sides.push([theirs.clone(), Side::Ours]);
        sides.push([Side::Ours, theirs]);
    }
    for [server, client] in &sides {
        let rig = Rig::new();
        let web = plugged_of(&rig, [server, client], "", &plugin(&rig, more)).await;
        let get = async |path: &str, user: &str| {
            let url = format!("http://127.0.0.1:{}{path}", web.port);
            let show = "\n%{http_code} %header{www-authenticate}";
            let args = ["--write-out", show, "--user", user, &url];
            curl(rig.path(), args).await.text()
        };
        assert_eq!(
            get("/static/hello.txt", "abc:123").await,
            "0123456789\n200 "
        );
        for wrong in ["abc:12", "abd:123", ":", "abc:1234"] {
            assert_eq!(
                get("/static/hello.txt", wrong).await,
                "Unauthorized\n\n401 Basic realm=\"Restricted\"",
                "{wrong}"
            );
        }
        assert_eq!(
            get("/hello.txt", "abc:123").await,
            "404 page not found\n\n404 "
        );
        assert_eq!(
            get("/static", "abc:123").await,
            "404 page not found\n\n404 "
        );
        // The redirection does not name the prefix.
        assert_eq!(get("/static/list", "abc:123").await, "\n301 ");
        let authorization = "Authorization: Basic YWJjOjEyMw==";
        let moved = request(web.port, "GET", "/static/list", &[authorization]).await;
        assert_eq!(moved.header("location"), Some("list/"));
    }
}

#[tokio::test]
async fn a_reader_that_stops_costs_little_memory_and_leaves_nothing() {
    let rig = Rig::new();
    let web = plugged(&rig, "", &plugin(&rig, "")).await;
    let big = File::create(rig.path().join("files/big.bin")).unwrap();
    big.set_len(4 << 30).unwrap();
    request(web.port, "GET", "/hello.txt", &[]).await;
    let (memory, open) = (web.frpc.private_bytes(), web.frpc.open_files());

    let mut users = Vec::new();
    for _ in 0..8 {
        let mut user = connect(web.port).await;
        let get = b"GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n";
        user.write_all(get).await.unwrap();
        // Enough that what may be kept for a reader is full.
        let mut some = vec![0; 8 << 20];
        within(Duration::from_secs(60), "8 MB", user.read_exact(&mut some))
            .await
            .unwrap();
        users.push(user);
    }
    let grown = web.frpc.private_bytes().saturating_sub(memory);
    assert!(grown < 16 << 20, "{grown} bytes for 8 readers");
    drop(users);
    // A user whose end looks like a mere end of output is given up when nothing is taken any more.
    let limit = Duration::from_secs(90);
    wait::eventually_within(limit, "the files are closed", || async {
        web.frpc.open_files() <= open
    })
    .await;
}

#[tokio::test]
async fn who_ends_his_output_first_gets_the_answer() {
    let rig = Rig::new();
    let web = plugged(&rig, "", &plugin(&rig, "")).await;
    let mut user = connect(web.port).await;
    user.write_all(b"GET /hello.txt HTTP/1.0\r\n\r\n")
        .await
        .unwrap();
    user.shutdown().await.unwrap();
    let answer = clients::read_all(&mut user).await;
    assert!(answer.ends_with(b"0123456789"), "{answer:?}");
}
