//! The same requests through frp's Go pair and through ours: users get the same answers, services
//! the same requests, but for the differences that are listed here with their reasons.

use frp_tests::backend::raw;
use frp_tests::*;

use super::*;

const NEWEST: &str = "0.70.1";

/// A request, with what is there in Go's answer or request and not in ours, and the other way
/// around; `HOST` is the vhost port's name.
struct Case {
    what: &'static str,
    request: &'static str,
    only_theirs: &'static [&'static str],
    only_ours: &'static [&'static str],
}

/// Go asks the service for gzip where the user asks for nothing, and unpacks it again.
const GZIP: &str = "> Accept-Encoding: gzip";

/// Go leaves the usual headers out where it refuses a request without looking further.
const DATE: &str = "< Date: *";

const fn same(what: &'static str, request: &'static str) -> Case {
    Case {
        what,
        request,
        only_theirs: &[GZIP],
        only_ours: &[],
    }
}

const CASES: &[Case] = &[
    same(
        "a plain request",
        "GET /a/b?c=d&e HTTP/1.1\r\nHost: plain.test:81\r\nUser-Agent: me\r\nConnection: close\r\n\r\n",
    ),
    Case {
        only_theirs: &[],
        ..same(
            "one that asks for an encoding",
            "GET / HTTP/1.1\r\nHost: plain.test\r\nAccept-Encoding: br, gzip;q=0.5\r\nConnection: close\r\n\r\n",
        )
    },
    same(
        "no user agent, odd names and values",
        "GET / HTTP/1.1\r\nhost: plain.test\r\nx-odd-NAME:  two  words \r\nX-Empty:\r\nX-Twice: 1\r\nX-Twice: 2\r\nConnection: close\r\n\r\n",
    ),
    same(
        "headers of one hop",
        "GET / HTTP/1.1\r\nHost: plain.test\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nProxy-Authorization: Basic YTpi\r\nTE: deflate, trailers\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    same(
        "forwarded for others before",
        "GET / HTTP/1.1\r\nHost: plain.test\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 8.8.8.8, 7.7.7.7\r\nX-Forwarded-Host: forged\r\nX-Forwarded-Proto: https\r\nForwarded: for=1.1.1.1\r\nX-Real-IP: 3.3.3.3\r\nConnection: close\r\n\r\n",
    ),
    same(
        "a hidden forwarded-for",
        "GET / HTTP/1.1\r\nHost: plain.test\r\nX-Forwarded-For: 9.9.9.9\r\nConnection: close, X-Forwarded-For\r\n\r\n",
    ),
    same(
        "a form",
        "POST /form HTTP/1.1\r\nHost: plain.test\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\nConnection: close\r\n\r\na=b&c=d",
    ),
    same(
        "an empty post",
        "POST /form HTTP/1.1\r\nHost: plain.test\r\nConnection: close\r\n\r\n",
    ),
    same(
        "chunks",
        "PUT /put HTTP/1.1\r\nHost: plain.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
    ),
    same(
        "both lengths",
        "POST / HTTP/1.1\r\nHost: plain.test\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ),
    same(
        "a get with a body",
        "GET / HTTP/1.1\r\nHost: plain.test\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
    ),
    same(
        "a get with chunks",
        "GET / HTTP/1.1\r\nHost: plain.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    ),
    same(
        "another method",
        "PROPFIND /dav HTTP/1.1\r\nHost: plain.test\r\nDepth: 1\r\nConnection: close\r\n\r\n",
    ),
    same(
        "a cookie twice",
        "GET / HTTP/1.1\r\nHost: plain.test\r\nCookie: a=b\r\nCookie: c=d\r\nConnection: close\r\n\r\n",
    ),
    Case {
        only_theirs: &[],
        ..same(
            "a head",
            "HEAD / HTTP/1.1\r\nHost: plain.test\r\nConnection: close\r\n\r\n",
        )
    },
    Case {
        only_theirs: &[],
        ..same(
            "a range",
            "GET / HTTP/1.1\r\nHost: plain.test\r\nRange: bytes=0-1\r\nConnection: close\r\n\r\n",
        )
    },
    same(
        "an old client",
        "GET / HTTP/1.0\r\nHost: plain.test\r\n\r\n",
    ),
    same("an old client without a host", "GET / HTTP/1.0\r\n\r\n"),
    Case {
        only_theirs: &["< HTTP/1.1 400 Bad Request: missing required Host header"],
        only_ours: &["< HTTP/1.1 400 Bad Request", "< Content-Length: 45", DATE],
        ..same("no host", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    },
    Case {
        only_theirs: &["< | \"400 Bad Request\""],
        only_ours: &[
            "< Content-Length: 38",
            "< | \"400 Bad Request: too many Host headers\"",
            DATE,
        ],
        ..same(
            "two hosts",
            "GET / HTTP/1.1\r\nHost: plain.test\r\nHost: set.test\r\nConnection: close\r\n\r\n",
        )
    },
    same(
        "a target of a proxy",
        "GET http://plain.test:81/x?y=z HTTP/1.1\r\nHost: plain.test\r\nConnection: close\r\n\r\n",
    ),
    same(
        "a target without a path",
        "GET http://plain.test HTTP/1.1\r\nHost: plain.test\r\nConnection: close\r\n\r\n",
    ),
    Case {
        only_theirs: &["< Content-Length: 0", "< | \"\""],
        only_ours: &[
            "< Content-Length: 5",
            "< Content-Type: a/b",
            "< X-Set-Back: theirs",
            "< | \"hello\"",
            "> OPTIONS * HTTP/1.1",
            "> Host: plain.test",
            "> X-Forwarded-For: 127.0.0.1",
            "> X-Forwarded-Host: plain.test",
            "> X-Forwarded-Proto: http",
            "> | \"\"",
        ],
        ..same(
            "the server itself",
            "OPTIONS * HTTP/1.1\r\nHost: plain.test\r\nConnection: close\r\n\r\n",
        )
    },
    same(
        "escapes",
        "GET /%41%2fb%20c?q=%20x HTTP/1.1\r\nHost: plain.test\r\nConnection: close\r\n\r\n",
    ),
    same(
        "nobody's host",
        "GET / HTTP/1.1\r\nHost: nobody.test\r\nConnection: close\r\n\r\n",
    ),
    same(
        "nobody's host, head",
        "HEAD / HTTP/1.1\r\nHost: nobody.test\r\nConnection: close\r\n\r\n",
    ),
    Case {
        only_theirs: &[],
        only_ours: &["< Connection: close", DATE],
        ..same(
            "a tunnel to nobody",
            "CONNECT nobody.test:1 HTTP/1.1\r\nHost: nobody.test:1\r\n\r\n",
        )
    },
    same(
        "headers set",
        "GET / HTTP/1.1\r\nHost: set.test:99\r\nX-From-User: u\r\nX-Set: theirs\r\nUser-Agent: theirs\r\nConnection: close\r\n\r\n",
    ),
    same(
        "headers set, target of a proxy",
        "GET http://set.test:99/ HTTP/1.1\r\nHost: set.test\r\nConnection: close\r\n\r\n",
    ),
    same(
        "no password",
        "GET / HTTP/1.1\r\nHost: auth.test\r\nConnection: close\r\n\r\n",
    ),
    same(
        "a wrong password",
        "GET / HTTP/1.1\r\nHost: auth.test\r\nAuthorization: Basic dTp3cm9uZw==\r\nConnection: close\r\n\r\n",
    ),
    same(
        "the password",
        "GET / HTTP/1.1\r\nHost: auth.test\r\nAuthorization: basic dTpw\r\nConnection: close\r\n\r\n",
    ),
    same(
        "no password for a proxy",
        "GET http://auth.test/ HTTP/1.1\r\nHost: auth.test\r\nConnection: close\r\n\r\n",
    ),
    same(
        "the other password for a proxy",
        "GET http://auth.test/ HTTP/1.1\r\nHost: auth.test\r\nAuthorization: Basic dTpw\r\nConnection: close\r\n\r\n",
    ),
    same(
        "the password for a proxy",
        "GET http://auth.test/ HTTP/1.1\r\nHost: auth.test\r\nProxy-Authorization: Basic dTpw\r\nConnection: close\r\n\r\n",
    ),
    same(
        "a tunnel without a password",
        "CONNECT auth.test:1 HTTP/1.1\r\nHost: auth.test:1\r\nConnection: close\r\n\r\n",
    ),
    same(
        "not modified",
        "GET /304 HTTP/1.1\r\nHost: plain.test\r\nIf-None-Match: x\r\nConnection: close\r\n\r\n",
    ),
    same(
        "no content",
        "GET /204 HTTP/1.1\r\nHost: plain.test\r\nConnection: close\r\n\r\n",
    ),
    same(
        "moved",
        "GET /301 HTTP/1.1\r\nHost: plain.test\r\nConnection: close\r\n\r\n",
    ),
    same(
        "an error of the service",
        "GET /500 HTTP/1.1\r\nHost: plain.test\r\nConnection: close\r\n\r\n",
    ),
    same(
        "chunks from the service",
        "GET /chunked HTTP/1.1\r\nHost: plain.test\r\nConnection: close\r\n\r\n",
    ),
    same(
        "trailers from the service",
        "GET /trailers HTTP/1.1\r\nHost: plain.test\r\nTE: trailers\r\nConnection: close\r\n\r\n",
    ),
    same(
        "a body up to the end",
        "GET /until-end HTTP/1.1\r\nHost: plain.test\r\nConnection: close\r\n\r\n",
    ),
    same(
        "headers of one hop from the service",
        "GET /hop HTTP/1.1\r\nHost: plain.test\r\nConnection: close\r\n\r\n",
    ),
    same(
        "rubbish from the service",
        "GET /rubbish HTTP/1.1\r\nHost: plain.test\r\nConnection: close\r\n\r\n",
    ),
    same(
        "nothing from the service",
        "GET /nothing HTTP/1.1\r\nHost: plain.test\r\nConnection: close\r\n\r\n",
    ),
    same(
        "nothing from the service, post",
        "POST /nothing HTTP/1.1\r\nHost: plain.test\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx",
    ),
    same(
        "an upgrade that is refused",
        "GET / HTTP/1.1\r\nHost: plain.test\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n",
    ),
];

async fn backend() -> Backend {
    Backend::new(|seen| {
        let text = match seen.path() {
            "/304" => "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
            "/204" => "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
            "/301" => "HTTP/1.1 301 Moved Permanently\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
            "/500" => "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\noops",
            "/chunked" => "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            "/trailers" => "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n",
            "/until-end" => "HTTP/1.0 200 OK\r\nContent-Type: a/b\r\nConnection: close\r\n\r\nall of it",
            "/hop" => "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nKeep-Alive: timeout=5\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nServer: me\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nContent-Length: 2\r\n\r\nok",
            "/rubbish" => "rubbish\r\n\r\nConnection: close\r\n",
            "/nothing" => "",
            _ if seen.head.starts_with("HEAD") => {
                "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\n"
            }
            _ => "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nX-Set-Back: theirs\r\nContent-Length: 5\r\n\r\nhello",
        };
        text.as_bytes().to_vec()
    })
    .await
}

/// What the user gets (`<`) and what the service saw (`>`), a line each, in an order that does not
/// depend on that of headers.
async fn exchange(site: &Site, backend: &Backend, request: &str) -> Vec<String> {
    let before = backend.seen().len();
    let answer = raw(site.port, request).await;
    let mut lines = message("<", &answer);
    for seen in &backend.seen()[before..] {
        lines.extend(message(">", &seen.head));
        lines.push(format!("> | {:?}", String::from_utf8_lossy(&seen.body)));
    }
    lines
}

fn message(mark: &str, text: &str) -> Vec<String> {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let first = format!("{mark} {}", lines.next().unwrap_or_default());
    let masked = |line: &str| match line.split_once(": ") {
        Some(("Date", _)) => format!("{mark} Date: *"),
        _ => format!("{mark} {line}"),
    };
    let mut headers: Vec<String> = lines.map(masked).collect();
    headers.sort();
    let is_chunked = headers
        .iter()
        .any(|line| line.ends_with("Transfer-Encoding: chunked"));
    let body = match is_chunked {
        true => unchunked(body),
        false => body.to_owned(),
    };
    let body = (mark == "<").then(|| format!("{mark} | {body:?}"));
    std::iter::once(first).chain(headers).chain(body).collect()
}

/// The body without the sizes of its chunks, which the way may change; trailers stay.
fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, data)) = rest.split_once("\r\n") {
        match usize::from_str_radix(size, 16) {
            Ok(size) if size > 0 => {
                body += &data[..size];
                rest = &data[size + 2..];
            }
            _ => return body + " | " + data,
        }
    }
    body
}

async fn pair(side: &Side, backend: &Backend) -> Site {
    let proxies = [
        proxy("plain", backend, "customDomains = [\"plain.test\", \"*\"]"),
        proxy(
            "set",
            backend,
            "customDomains = [\"set.test\"]\nhostHeaderRewrite = \"inner.test\"\n\
             requestHeaders.set.x-set = \"ours\"\nrequestHeaders.set.User-Agent = \"ours\"\n\
             requestHeaders.set.Host = \"ignored\"\n\
             responseHeaders.set.X-Set-Back = \"ours\"\nresponseHeaders.set.x-new = \"new\"",
        ),
        proxy(
            "auth",
            backend,
            "customDomains = [\"auth.test\"]\nhttpUser = \"u\"\nhttpPassword = \"p\"",
        ),
    ];
    // Not for `nobody.test`.
    let proxies = proxies.concat().replace(", \"*\"", "");
    Site::open_of((side, side), "", &proxies).await
}

#[tokio::test]
async fn users_and_services_see_what_frp_shows_them() {
    let Some(theirs) = Side::reference(NEWEST) else {
        return;
    };
    let backend = backend().await;
    let ours = pair(&Side::Ours, &backend).await;
    let theirs = pair(&theirs, &backend).await;
    let mut wrong = String::new();
    for case in CASES {
        let got = exchange(&ours, &backend, case.request).await;
        let wanted = exchange(&theirs, &backend, case.request).await;
        let only = |these: &[String], those: &[String], allowed: &[&str]| -> Vec<String> {
            let differs =
                |line: &&String| !those.contains(line) && !allowed.contains(&line.as_str());
            these.iter().filter(differs).cloned().collect()
        };
        let more = only(&got, &wanted, case.only_ours);
        let less = only(&wanted, &got, case.only_theirs);
        if !more.is_empty() || !less.is_empty() {
            let _ = writeln!(
                wrong,
                "{}:\n  ours   {more:#?}\n  theirs {less:#?}",
                case.what
            );
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
