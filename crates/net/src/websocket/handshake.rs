//! The opening handshake without I/O (RFC 6455, section 4): is this a request that we take, and is
//! that the answer to ours?
//!
//! A request is judged by the rules of the Go server in frp (`golang.org/x/net/websocket` and
//! `net/http`); an answer less strictly than by its client, for proxies write it anew.

use std::fmt::Write as _;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use httparse::{EMPTY_HEADER, Header, Response, Status};

pub use super::words::{Accepted, AnswerError, FRP_PATH, Field, Request, UpgradeError};
use crate::limits::MAX_WEBSOCKET_FIELDS;

/// What a key is hashed with (section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Judges a whole request, `head` being everything up to its blank line. Gives the answer.
///
/// # Errors
/// Why it is not taken; [`UpgradeError::answer`] is the answer then.
pub fn judge(head: &[u8], accepted: &Accepted) -> Result<String, UpgradeError> {
    let mut fields = [EMPTY_HEADER; MAX_WEBSOCKET_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(head) {
        Ok(Status::Complete(_)) => {}
        Ok(Status::Partial) | Err(_) => return Err(UpgradeError::NotHttp),
    }
    let fields = Fields(request.headers);
    if request.method != Some("GET") {
        return Err(UpgradeError::Upgrade);
    }
    let path = request.path.unwrap_or_default();
    if path.split('?').next() != Some(&accepted.path) {
        return Err(UpgradeError::Path);
    }
    if request.version == Some(1) && fields.get("Host").is_none() {
        return Err(UpgradeError::Host);
    }
    if !fields.is("Upgrade", b"websocket") || !fields.has_word("Connection", b"upgrade") {
        return Err(UpgradeError::Upgrade);
    }
    let key = fields.get("Sec-WebSocket-Key").unwrap_or_default();
    if key.is_empty() {
        return Err(UpgradeError::Key);
    }
    if fields.get("Sec-WebSocket-Version") != Some(b"13") {
        return Err(UpgradeError::Version);
    }
    if !is_address(fields.get("Origin").unwrap_or_default()) {
        return Err(UpgradeError::Origin);
    }
    for Field { name, value } in &accepted.fields {
        let given = fields.get(name).unwrap_or_default();
        // Whoever tries values must not learn from the time that it takes.
        if verify_slices_are_equal(given, value.as_bytes()).is_err() {
            return Err(UpgradeError::Field(name.clone()));
        }
    }
    let mut answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n",
        accept(key)
    );
    if let Some(protocol) = fields.get("Sec-WebSocket-Protocol") {
        let protocol = str::from_utf8(protocol).unwrap_or_default();
        if protocol.contains(',') {
            return Err(UpgradeError::Protocols);
        }
        if !protocol.is_empty() {
            let _ = write!(answer, "Sec-WebSocket-Protocol: {protocol}\r\n");
        }
    }
    answer.push_str("\r\n");
    Ok(answer)
}

/// What proves that the request was understood.
fn accept(key: &[u8]) -> String {
    let hashed = [key, GUID].concat();
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &hashed))
}

/// What Go's `url.ParseRequestURI` takes for a URL, roughly: a path, or a scheme and a path.
fn is_address(text: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(text) else {
        return false;
    };
    let is_visible = |c: char| !c.is_control() && c != ' ';
    let has_scheme = || {
        text.split_once(":/").is_some_and(|(scheme, _)| {
            let mut letters = scheme.chars();
            letters.next().is_some_and(|c| c.is_ascii_alphabetic())
                && letters.all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        })
    };
    text.chars().all(is_visible) && (text.starts_with('/') || text == "*" || has_scheme())
}

impl Request {
    /// The request with the key of 16 random bytes, and what the answer to it must prove.
    #[must_use]
    pub fn write(&self, random: [u8; 16]) -> (String, Expected) {
        let key = STANDARD.encode(random);
        let own = |name: &str| {
            let field = self
                .fields
                .iter()
                .find(|f| f.name.eq_ignore_ascii_case(name));
            field.map(|field| field.value.as_str())
        };
        let host = own("Host").unwrap_or(&self.host);
        let origin = format!("http://{}", self.host.to_lowercase());
        let origin = own("Origin").unwrap_or(&origin);
        let mut text = format!(
            "GET {} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nOrigin: {origin}\r\nSec-WebSocket-Version: 13\r\n",
            self.path
        );
        for Field { name, value } in &self.fields {
            if !name.eq_ignore_ascii_case("Host") && !name.eq_ignore_ascii_case("Origin") {
                let _ = write!(text, "{name}: {value}\r\n");
            }
        }
        text.push_str("\r\n");
        let expected = Expected(accept(key.as_bytes()));
        (text, expected)
    }
}

/// What an answer must prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected(String);

impl Expected {
    /// Checks a whole answer, `head` being everything up to its blank line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, head: &[u8]) -> Result<(), AnswerError> {
        let mut fields = [EMPTY_HEADER; MAX_WEBSOCKET_FIELDS];
        let mut answer = Response::new(&mut fields);
        match answer.parse(head) {
            Ok(Status::Complete(_)) => {}
            Ok(Status::Partial) | Err(_) => return Err(AnswerError::NotHttp),
        }
        let fields = Fields(answer.headers);
        match answer.code {
            Some(101) => {}
            Some(other) => return Err(AnswerError::Status(other)),
            None => return Err(AnswerError::NotHttp),
        }
        let accept = fields.get("Sec-WebSocket-Accept");
        let absent = |name| fields.get(name).unwrap_or_default().is_empty();
        for (name, right) in [
            ("Upgrade", fields.is("Upgrade", b"websocket")),
            ("Connection", fields.has_word("Connection", b"upgrade")),
            ("Sec-WebSocket-Accept", accept == Some(self.0.as_bytes())),
            (
                "Sec-WebSocket-Extensions",
                absent("Sec-WebSocket-Extensions"),
            ),
            ("Sec-WebSocket-Protocol", absent("Sec-WebSocket-Protocol")),
        ] {
            if !right {
                return Err(AnswerError::Field(name));
            }
        }
        Ok(())
    }
}

/// The fields of a head.
struct Fields<'a>(&'a [Header<'a>]);

impl<'a> Fields<'a> {
    /// The first of that name, as in Go.
    fn get(&self, name: &str) -> Option<&'a [u8]> {
        let field = self.0.iter().find(|f| f.name.eq_ignore_ascii_case(name));
        field.map(|field| field.value.trim_ascii())
    }

    fn is(&self, name: &str, value: &[u8]) -> bool {
        self.get(name)
            .is_some_and(|given| given.eq_ignore_ascii_case(value))
    }

    /// Whether `word` (in lower case) is anywhere in the value, as Go looks for it.
    fn has_word(&self, name: &str, word: &[u8]) -> bool {
        let given = self.get(name).unwrap_or_default().to_ascii_lowercase();
        given.windows(word.len()).any(|part| part == word)
    }
}

/// The length of a head whose blank line is in `came`, looking from `from` on; what lies before was
/// looked at already.
#[must_use]
pub fn head_len(came: &[u8], from: usize) -> Option<usize> {
    let from = from.saturating_sub(3);
    let new = came.get(from..).unwrap_or_default();
    let crlf = new
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .map(|at| at + 4);
    let lf = new.windows(2).position(|w| w == b"\n\n").map(|at| at + 2);
    crlf.into_iter().chain(lf).min().map(|len| from + len)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Recorded from frpc 0.70.1 (0.61.0 asks the same), with the key of RFC 6455, section 1.3, and
    /// the answer that it takes.
    const GO_REQUEST: &str = "GET /~!frp HTTP/1.1\r\nHost: 127.0.0.1:7000\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Origin: http://127.0.0.1:7000\r\nSec-WebSocket-Version: 13\r\n\r\n";
    const GO_ANSWER: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    fn ours(fields: &[(&str, &str)]) -> Request {
        let field = |(name, value): &(&str, &str)| Field {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        };
        Request {
            path: FRP_PATH.to_owned(),
            host: "127.0.0.1:7000".to_owned(),
            fields: fields.iter().map(field).collect(),
        }
    }

    #[test]
    fn we_ask_and_answer_as_frp_does() {
        // The key is that of the RFC, section 1.3.
        let (request, expected) = ours(&[]).write(*b"the sample nonce");
        assert_eq!(request, GO_REQUEST);
        let accepted = Accepted::default();
        assert_eq!(judge(request.as_bytes(), &accepted).unwrap(), GO_ANSWER);
        assert_eq!(expected.check(GO_ANSWER.as_bytes()), Ok(()));
    }

    #[test]
    fn requests_are_refused_where_frp_refuses_them() {
        let refused = |from: &str, to: &str| {
            assert!(GO_REQUEST.contains(from));
            let request = GO_REQUEST.replace(from, to);
            let refusal = judge(request.as_bytes(), &Accepted::default()).unwrap_err();
            refusal.answer().split("\r\n").next().unwrap().to_owned()
        };
        assert_eq!(refused("/~!frp ", "/~!frp2 "), "HTTP/1.1 404 Not Found");
        assert_eq!(refused("GET", "PUT"), "HTTP/1.1 400 Bad Request");
        assert_eq!(
            refused("Host: 127.0.0.1:7000\r\n", ""),
            "HTTP/1.1 400 Bad Request"
        );
        assert_eq!(
            refused("Upgrade: websocket", "Upgrade: h2c"),
            "HTTP/1.1 400 Bad Request"
        );
        assert_eq!(
            refused("n: Upgrade", "n: close"),
            "HTTP/1.1 400 Bad Request"
        );
        assert_eq!(
            refused("dGhlIHNhbXBsZSBub25jZQ==", ""),
            "HTTP/1.1 400 Bad Request"
        );
        assert_eq!(
            refused("Version: 13", "Version: 8"),
            "HTTP/1.1 400 Bad Request"
        );
        for origin in ["", "null", "http:opaque", "example.com"] {
            assert_eq!(
                refused("http://127.0.0.1:7000", origin),
                "HTTP/1.1 403 Forbidden"
            );
        }
        let several = "Origin: http://a\r\nSec-WebSocket-Protocol: a, b";
        assert_eq!(
            refused("Origin: http://127.0.0.1:7000", several),
            "HTTP/1.1 400 Bad Request"
        );
    }

    #[test]
    fn requests_that_proxies_have_written_anew_are_taken() {
        for (from, to) in [
            ("HTTP/1.1\r", "HTTP/1.0\r"),
            ("/~!frp ", "/~!frp?a=b "),
            ("Upgrade: websocket", "upgrade: WebSocket"),
            ("Connection: Upgrade", "Connection: keep-alive, upgrade"),
            ("Origin: http://127.0.0.1:7000", "origin:https://x.example"),
            ("\r\n\r\n", "\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"),
        ] {
            let request = GO_REQUEST.replace(from, to);
            assert!(
                judge(request.as_bytes(), &Accepted::default()).is_ok(),
                "{request}"
            );
        }
        let with_protocol = GO_REQUEST.replace("Origin", "Sec-WebSocket-Protocol: frp\r\nOrigin");
        let answer = judge(with_protocol.as_bytes(), &Accepted::default()).unwrap();
        assert!(
            answer.ends_with("\r\nSec-WebSocket-Protocol: frp\r\n\r\n"),
            "{answer}"
        );
    }

    #[test]
    fn fields_are_sent_and_demanded() {
        let mut accepted = Accepted {
            path: "/tunnel".to_owned(),
            fields: ours(&[("X-Secret", "sesame")]).fields,
        };
        let mut asking = ours(&[("x-secret", "sesame"), ("host", "cdn.example")]);
        asking.path = "/tunnel?x".to_owned();
        let (request, _) = asking.write([0; 16]);
        assert!(
            request.starts_with("GET /tunnel?x HTTP/1.1\r\nHost: cdn.example\r\n"),
            "{request}"
        );
        assert_eq!(request.matches("ost:").count(), 1);
        assert!(
            request.ends_with("\r\nx-secret: sesame\r\n\r\n"),
            "{request}"
        );
        assert!(judge(request.as_bytes(), &accepted).is_ok());
        assert!(!format!("{asking:?} {accepted:?}").contains("sesame"));

        accepted.fields = ours(&[("X-Secret", "open")]).fields;
        let refusal = judge(request.as_bytes(), &accepted).unwrap_err();
        assert_eq!(refusal, UpgradeError::Field("X-Secret".to_owned()));
        assert!(refusal.answer().starts_with("HTTP/1.1 403 Forbidden\r\n"));
        let answer = refusal.answer().to_lowercase();
        assert!(!answer.contains("open") && !answer.contains("x-secret"));
    }

    #[test]
    fn answers_are_checked() {
        let (_, expected) = ours(&[]).write(*b"the sample nonce");
        let check = |from: &str, to: &str| expected.check(GO_ANSWER.replace(from, to).as_bytes());
        assert_eq!(
            check("Connection: Upgrade", "connection: keep-alive, Upgrade"),
            Ok(())
        );
        assert_eq!(
            check("101 Switching Protocols", "502 Bad Gateway"),
            Err(AnswerError::Status(502))
        );
        assert_eq!(
            check("s3p", "S3p"),
            Err(AnswerError::Field("Sec-WebSocket-Accept"))
        );
        assert_eq!(
            check("Upgrade: websocket\r\n", ""),
            Err(AnswerError::Field("Upgrade"))
        );
        let more = "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
        assert_eq!(
            check("\r\n\r\n", more),
            Err(AnswerError::Field("Sec-WebSocket-Extensions"))
        );
        assert_eq!(
            expected.check(b"SSH-2.0-OpenSSH\r\n\r\n"),
            Err(AnswerError::NotHttp)
        );
    }

    #[test]
    fn the_end_of_a_head_is_found_wherever_it_is_cut() {
        let text = GO_REQUEST.as_bytes();
        let behind = [text, b"behind"].concat();
        for cut in 0..text.len() {
            assert_eq!(head_len(&text[..cut], cut.saturating_sub(1)), None);
            assert_eq!(head_len(&behind, cut), Some(text.len()));
        }
        assert_eq!(head_len(b"GET / HTTP/1.1\nHost: a\n\nxx", 0), Some(24));
    }

    proptest! {
        #[test]
        fn foreign_heads_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let (_, expected) = ours(&[]).write([1; 16]);
            for start in [&b""[..], b"GET /~!frp HTTP/1.1\r\n", b"HTTP/1.1 101 x\r\n"] {
                let head = [start, &bytes, b"\r\n\r\n"].concat();
                let _ = judge(&head, &Accepted::default());
                let _ = expected.check(&head);
            }
        }
    }
}
