//! Users of tcpmux proxies: an HTTP CONNECT request says the host, the bytes behind it go on
//! (frp `pkg/util/tcpmux/httpconnect.go`).

use std::sync::Arc;

use bytes::Bytes;
use frp_http::basic::Basic;
use frp_http::host::{is_host, without_port};
use frp_proto::VERSION;
use hyper::header::HeaderValue;
use tokio::net::TcpStream;

use super::head::{HeadError, meet, read, refuse};
use super::http::answer::not_found_page;
use super::router::cut;
use super::target::ConnectTarget;
use crate::proxied::Ends;
use crate::proxy::members::Replies;
use crate::shared::Shared;

/// Lines that the request may have.
const MAX_HEADERS: usize = 1024;

/// The tunnel is there. Said only then: frp says it first, and then maybe 407 on top of it.
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const UNAUTHORIZED: &[u8] = b"HTTP/1.1 407 Proxy Authentication Required\r\n\
    Proxy-Authenticate: Basic realm=\"Restricted\"\r\nContent-Length: 0\r\n\r\n";
const BAD_REQUEST: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
/// The proxy's client has no work connection for us. frp closes without a word.
const BAD_GATEWAY: &[u8] = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";

/// What a user asks for.
pub(crate) struct Request {
    pub(crate) host: String,
    basic: Option<Basic>,
    /// Of the request, in bytes.
    pub(crate) length: usize,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("malformed request: {0}")]
    Malformed(#[from] httparse::Error),
    #[error("incomplete request line")]
    Incomplete,
    #[error("connections to tcp vhost must be of method CONNECT")]
    Method,
    #[error("the target and Host differ, or are no hosts")]
    Ambiguous,
    #[error("no tcpmux proxy for host [{}] httpUser [{}]", cut(host), cut(user))]
    NotFound { host: String, user: String },
    #[error("wrong user or password for host [{}]", cut(.0))]
    Unauthorized(String),
}

/// Reads whom a user is for, and takes it there.
pub(crate) async fn serve(shared: Arc<Shared>, mut conn: TcpStream, ends: Ends) {
    let passthrough = shared.policy().tcpmux_passthrough;
    let asking = find(&shared, &mut conn, passthrough);
    let Some((target, rest)) = meet(&shared, ends.peer, "tcpmux", asking).await else {
        return;
    };
    let replies = Replies {
        ready: if passthrough { &[] } else { OK },
        failed: BAD_GATEWAY,
    };
    target.members.receive_after(conn, rest, ends, replies);
}

/// Whoever serves the user, and the bytes that are for him.
async fn find(
    shared: &Shared,
    conn: &mut TcpStream,
    passthrough: bool,
) -> Result<(Arc<ConnectTarget>, Bytes), HeadError<ConnectError>> {
    let mut searched = 0;
    let asked = read(conn, Bytes::new(), |all| {
        let whole = has_blank_line(all, searched);
        searched = all.len();
        if whole {
            parse(all).map(Some)
        } else {
            Ok(None)
        }
    })
    .await;
    if let Err(HeadError::Refused(ConnectError::Ambiguous)) = asked {
        refuse(conn, BAD_REQUEST).await;
    }
    let (request, mut all) = asked?;
    let Request { host, basic, .. } = request;
    let user = basic.as_ref().map_or("", Basic::user);
    let Some(target) = shared.vhosts.connect.router.find(&host, "", user) else {
        refuse(conn, &not_found(shared).await).await;
        let user = user.to_owned();
        return Err(HeadError::Refused(ConnectError::NotFound { host, user }));
    };
    if !target.login.admits(basic.as_ref()) {
        refuse(conn, UNAUTHORIZED).await;
        return Err(HeadError::Refused(ConnectError::Unauthorized(host)));
    }
    if !passthrough {
        // What came right behind the request is the service's already. frp loses it.
        let _ = all.split_to(request.length);
    }
    Ok((target, all))
}

/// Whether the head of a request ends in `all`, whose first `searched` bytes it did not end in.
pub(crate) fn has_blank_line(all: &[u8], searched: usize) -> bool {
    let fresh = all.get(searched.saturating_sub(3)..).unwrap_or_default();
    let ends = |end: &[u8]| fresh.windows(end.len()).any(|found| found == end);
    ends(b"\n\r\n") || ends(b"\n\n")
}

pub(crate) fn parse(all: &[u8]) -> Result<Request, ConnectError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(length) = request.parse(all)? else {
        return Err(ConnectError::Incomplete);
    };
    if request.method != Some("CONNECT") {
        return Err(ConnectError::Method);
    }
    let header = |name: &str| {
        let mut headers = request.headers.iter();
        let found = headers.find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| header.value)
    };
    let host = match request.path.unwrap_or_default() {
        path if path.starts_with('/') => {
            String::from_utf8_lossy(header("host").unwrap_or_default()).into_owned()
        }
        authority => authority.to_owned(),
    };
    if !is_for_one_host(&host, request.headers) {
        return Err(ConnectError::Ambiguous);
    }
    let basic = header("proxy-authorization")
        .and_then(|value| HeaderValue::from_bytes(value).ok())
        .and_then(|value| Basic::parse(&value));
    Ok(Request {
        host,
        basic,
        length,
    })
}

/// Whether all that names the host says the same; some clients leave the port to the target.
fn is_for_one_host(target: &str, headers: &[httparse::Header<'_>]) -> bool {
    let hosts = headers
        .iter()
        .filter(|h| h.name.eq_ignore_ascii_case("host"));
    let hosts: Vec<&[u8]> = hosts.map(|host| host.value.trim_ascii()).collect();
    let name = without_port(target.as_bytes());
    let agrees = |host: &[u8]| without_port(host).eq_ignore_ascii_case(name);
    is_host(target.as_bytes()) && hosts.len() < 2 && hosts.iter().all(|host| agrees(host))
}

/// As frp writes it (`pkg/util/vhost/resource.go`).
async fn not_found(shared: &Shared) -> Vec<u8> {
    let page = not_found_page(shared).await;
    let head = format!(
        "HTTP/1.1 404 Not Found\r\nContent-Length: {}\r\nContent-Type: text/html\r\n\
         Server: frp/{VERSION}\r\n\r\n",
        page.len()
    );
    [head.as_bytes(), &page].concat()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_says_the_host() {
        let request = b"CONNECT Example.com:1 HTTP/1.1\r\nHost: example.com\r\n\
            Proxy-Authorization: Basic YW5uOng=\r\n\r\nmore";
        let asked = parse(request).unwrap();
        assert_eq!(asked.host, "Example.com:1");
        assert_eq!(asked.basic.unwrap().user(), "ann");
        assert_eq!(&request[asked.length..], b"more");

        for ambiguous in [
            &b"CONNECT a:1 HTTP/1.1\r\nHost: b\r\n\r\n"[..],
            b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            b"CONNECT a:99999 HTTP/1.1\r\n\r\n",
            b"CONNECT a\"b:1 HTTP/1.1\r\n\r\n",
            b"CONNECT http://a/ HTTP/1.1\r\n\r\n",
        ] {
            assert!(matches!(parse(ambiguous), Err(ConnectError::Ambiguous)));
        }

        let by_header = b"CONNECT /x HTTP/1.1\nHost: other\n\n";
        assert_eq!(parse(by_header).unwrap().host, "other");
    }

    #[test]
    fn only_whole_connect_requests_are_read() {
        assert!(matches!(
            parse(b"GET / HTTP/1.1\r\n\r\n"),
            Err(ConnectError::Method)
        ));
        for bad in [&b"\r\n\r\n"[..], b"CONNECT\r\n\r\n", b"\x16\x03\x01\n\n"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        let many = b"a: b\r\n".repeat(MAX_HEADERS + 1);
        assert!(parse(&[b"CONNECT a HTTP/1.1\r\n", &many[..], b"\r\n"].concat()).is_err());
    }

    #[test]
    fn the_blank_line_is_found_however_it_is_cut() {
        for whole in [
            &b"CONNECT a HTTP/1.1\r\nb: c\r\n\r\n"[..],
            b"x\n\n",
            b"x\n\r\n",
        ] {
            for searched in 0..whole.len() {
                assert!(has_blank_line(whole, searched), "{searched}");
                assert!(!has_blank_line(&whole[..whole.len() - 1], searched));
            }
        }
    }
}
