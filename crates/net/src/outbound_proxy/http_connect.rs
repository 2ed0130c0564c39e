//! What is said to an HTTP proxy, and what its answer means (RFC 9110, section 9.3.6; RFC 9112).
//! Free of I/O.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use frp_proto::proxy_url::ProxyLogin;

use crate::limits::MAX_PROXY_FIELDS;

/// An answer's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The reason phrase, printable; empty where there is none.
    pub reason: String,
    /// The `Proxy-Authenticate` fields in their order.
    pub challenges: Vec<String>,
    /// What follows the head; nothing does where `status` is 2xx.
    pub body: Body,
    /// The connection ends behind it.
    pub closes: bool,
}

/// How long the body of an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
    /// All that comes until the end of the connection.
    UntilEnd,
}

/// The answer is no HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its answer is no HTTP")]
pub struct NoHttp;

/// A `CONNECT` request for `target` (`host:port`) with that `Proxy-Authorization`. The user agent
/// is frp's, for some proxies let only browsers through.
pub fn request(target: &str, authorization: Option<&str>) -> Vec<u8> {
    let authorization = match authorization {
        Some(value) => format!("Proxy-Authorization: {value}\r\n"),
        None => String::new(),
    };
    format!(
        "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: Mozilla/5.0\r\n\
         {authorization}\r\n"
    )
    .into_bytes()
}

/// `Proxy-Authorization` by user and password (RFC 7617).
pub fn basic(login: &ProxyLogin) -> String {
    let pair = format!("{}:{}", login.user, login.password);
    format!("Basic {}", STANDARD.encode(pair))
}

/// How many bytes of a head are certainly still to come behind `head`; `None`: it is whole. Whoever
/// reads no more than that leaves what is behind the head unread: it belongs to the tunnel.
pub fn head_lacks(head: &[u8]) -> Option<usize> {
    match head {
        [.., b'\n', b'\n'] | [.., b'\n', b'\r', b'\n'] => None,
        [.., b'\n'] | [.., b'\n', b'\r'] => Some(1),
        _ => Some(2),
    }
}

/// Reads a whole head.
///
/// # Errors
/// It is not that of an HTTP/1 answer, or has too many fields.
pub fn parse(head: &[u8]) -> Result<Answer, NoHttp> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_PROXY_FIELDS];
    let mut answer = httparse::Response::new(&mut fields);
    let whole = answer.parse(head).map_err(|_| NoHttp)?.is_complete();
    let status = answer.code.filter(|_| whole).ok_or(NoHttp)?;
    let values = |name: &str| {
        let named = answer
            .headers
            .iter()
            .filter(|field| field.name.eq_ignore_ascii_case(name));
        let values = named.map(|field| String::from_utf8_lossy(field.value).trim().to_owned());
        values.collect::<Vec<String>>()
    };
    let chunked = values("Transfer-Encoding")
        .iter()
        .any(|value| value.to_ascii_lowercase().ends_with("chunked"));
    let body = if chunked {
        Body::Chunked
    } else {
        match values("Content-Length").first() {
            Some(length) => Body::Length(length.parse().map_err(|_| NoHttp)?),
            None => Body::UntilEnd,
        }
    };
    let closes = ["Connection", "Proxy-Connection"].iter().any(|name| {
        let values = values(name).join(",").to_ascii_lowercase();
        values.split(',').any(|option| option.trim() == "close")
    });
    let printable = |c: &char| !c.is_control();
    Ok(Answer {
        status,
        reason: answer
            .reason
            .unwrap_or_default()
            .chars()
            .filter(printable)
            .take(80)
            .collect(),
        challenges: values("Proxy-Authenticate"),
        body,
        closes,
    })
}

/// The size of a chunk by its line, without the line's end; what stands behind `;` means nothing.
///
/// # Errors
/// It is none.
pub fn chunk_size(line: &[u8]) -> Result<u64, NoHttp> {
    let digits = line.split(|&b| b == b';').next().unwrap_or_default();
    let digits = std::str::from_utf8(digits).map_err(|_| NoHttp)?.trim();
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return Err(NoHttp);
    }
    u64::from_str_radix(digits, 16).map_err(|_| NoHttp)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As Go's `http.Request.Write` writes it for frp 0.70.1, field by field.
    #[test]
    fn the_request_is_that_of_frp() {
        let login = ProxyLogin {
            user: "Aladdin".to_owned(),
            password: "open sesame".to_owned(),
        };
        let asked = request("frps.example:7000", Some(&basic(&login)));
        // The credentials are the example of RFC 7617, section 2.
        let wanted = "CONNECT frps.example:7000 HTTP/1.1\r\nHost: frps.example:7000\r\n\
                      User-Agent: Mozilla/5.0\r\n\
                      Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n";
        assert_eq!(String::from_utf8(asked).unwrap(), wanted);
    }

    #[test]
    fn answers_are_understood() {
        let answer = parse(b"HTTP/1.0 200 Connection established\r\n\r\n").unwrap();
        assert_eq!((answer.status, answer.body), (200, Body::UntilEnd));
        assert_eq!(answer.reason, "Connection established");

        let head =
            b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Negotiate\r\n\
                     Content-Length: 12\r\nProxy-Authenticate:  Basic realm=\"x\" \r\n\r\n";
        let answer = parse(head).unwrap();
        assert_eq!((answer.status, answer.body), (407, Body::Length(12)));
        assert_eq!(answer.challenges, ["Negotiate", "Basic realm=\"x\""]);

        let answer = parse(b"HTTP/1.1 407\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n").unwrap();
        assert_eq!((answer.reason.as_str(), answer.body), ("", Body::Chunked));

        for (field, closes) in [
            ("Connection: close", true),
            ("proxy-connection: foo, Close", true),
            ("Proxy-Connection: keep-alive", false),
        ] {
            let head = format!("HTTP/1.1 407 No\r\n{field}\r\n\r\n");
            assert_eq!(parse(head.as_bytes()).unwrap().closes, closes, "{field}");
        }

        for bad in [
            &b"SSH-2.0-OpenSSH_9.2\r\n\r\n"[..],
            b"HTTP/1.1 abc\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.1 407 No\r\nContent-Length: x\r\n\r\n",
            b"",
        ] {
            assert_eq!(parse(bad), Err(NoHttp), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn sizes_of_chunks() {
        assert_eq!(chunk_size(b"1f"), Ok(31));
        assert_eq!(chunk_size(b"0;x=y"), Ok(0));
        for bad in [&b""[..], b"+1", b"x", b"-1", b"fffffffffffffffff", b"\xff"] {
            assert_eq!(chunk_size(bad), Err(NoHttp));
        }
    }

    proptest! {
        /// Reading what is said to be lacking, and never more, ends exactly behind the head.
        #[test]
        fn a_head_is_read_to_its_end_and_no_further(
            lines in proptest::collection::vec("[a-z:\r]{0,9}[a-z]", 1..6),
            end in prop_oneof![Just("\n"), Just("\r\n")],
            behind in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut sent: Vec<u8> = lines.iter().flat_map(|l| [l, end].concat().into_bytes()).collect();
            sent.extend(end.bytes());
            let head = sent.len();
            sent.extend(behind);
            let mut read = 0;
            while let Some(lacks) = head_lacks(&sent[..read]) {
                read += lacks;
                prop_assert!(read <= head);
            }
            prop_assert_eq!(read, head);
        }

        #[test]
        fn anything_can_be_parsed(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
            let _ = parse(&[b"HTTP/1.1 ", &bytes[..]].concat());
            let _ = chunk_size(&bytes);
        }
    }
}
