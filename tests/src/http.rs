//! A small HTTP client: one request per connection.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::clients::connect;
use crate::wait::within;

/// `admin:secret`, as the header's value has it.
pub const ADMIN: &str = "Basic YWRtaW46c2VjcmV0";

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Names (lower case) and values.
    pub headers: Vec<(String, String)>,
    /// The body, without its chunks' sizes.
    pub body: String,
}

impl Answer {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(given, _)| given == name)?;
        Some(&found.1)
    }

    /// The body, which must be JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// Sends a GET with [`ADMIN`]'s credentials to `port` of 127.0.0.1.
pub async fn get(port: u16, path: &str) -> Answer {
    request(port, "GET", path, Some(ADMIN)).await
}

/// Sends a request to `port` of 127.0.0.1.
pub async fn request(port: u16, method: &str, path: &str, authorization: Option<&str>) -> Answer {
    request_on(connect(port).await, method, path, authorization).await
}

/// As [`request`], on a connection of the caller's.
pub async fn request_on(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    path: &str,
    authorization: Option<&str>,
) -> Answer {
    let authorization = authorization.map(|value| format!("Authorization: {value}\r\n"));
    exchange(stream, method, path, &authorization.unwrap_or_default(), "").await
}

/// Sends a request with a body, [`ADMIN`]'s credentials and further header lines (each with its
/// line end, `Host` perhaps among them) to `port` of 127.0.0.1.
pub async fn send(port: u16, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let headers = format!(
        "Authorization: {ADMIN}\r\nContent-Length: {}\r\n{headers}",
        body.len()
    );
    exchange(connect(port).await, method, path, &headers, body).await
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Answer {
    let host = match headers.contains("Host: ") {
        true => "",
        false => "Host: 127.0.0.1\r\n",
    };
    let head =
        format!("{method} {path} HTTP/1.1\r\n{host}Connection: close\r\n{headers}\r\n{body}");
    let mut all = Vec::new();
    within(
        Duration::from_secs(60),
        &format!("{method} {path}"),
        async {
            stream.write_all(head.as_bytes()).await.unwrap();
            // Without a closing record of TLS the body is whole all the same.
            let _ = stream.read_to_end(&mut all).await;
        },
    )
    .await;
    parse(&String::from_utf8(all).unwrap())
}

fn parse(text: &str) -> Answer {
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no head: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let header = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_lowercase(), value.to_owned())
    };
    let mut answer = Answer {
        status: status.parse().unwrap(),
        headers: lines.map(header).collect(),
        body: String::new(),
    };
    answer.body = match answer.header("transfer-encoding") {
        Some("chunked") => unchunked(body),
        _ => body.to_owned(),
    };
    answer
}

fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, data)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        body += &data[..size];
        rest = data[size..].strip_prefix("\r\n").unwrap();
    }
    body
}
