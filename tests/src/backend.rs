//! HTTP services that write down what reaches them, and users that say exactly what they want.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::clients::{connect, read_all};
use crate::service::Service;
use crate::wait::within;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Which connection it came over, counted from 0.
    pub connection: usize,
    /// Request line and headers.
    pub head: String,
    /// Without the sizes of chunks.
    pub body: Vec<u8>,
}

/// A local HTTP service. It answers each request with raw bytes and keeps the connection, unless
/// the answer says `Connection: close` or is empty.
#[derive(Debug)]
pub struct Backend {
    service: Service,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    open: AtomicUsize,
}

/// A connection to a backend, counted as open until dropped.
struct Open(Arc<State>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Seen {
    /// The path of the request line.
    #[must_use]
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (given, value) = line.split_once(": ")?;
            given.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

impl Backend {
    /// Answers with what `answer` returns.
    pub async fn new(answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let state = Arc::new(State::default());
        let answer = Arc::new(answer);
        let service = Service::new({
            let state = state.clone();
            move |stream| {
                let (state, answer) = (state.clone(), answer.clone());
                async move {
                    let connection = state.connections.fetch_add(1, Ordering::SeqCst);
                    state.open.fetch_add(1, Ordering::SeqCst);
                    let _open = Open(state.clone());
                    serve(stream, connection, &state, &*answer).await;
                }
            }
        })
        .await;
        Self { service, state }
    }

    /// Answers 200 with `text`.
    pub async fn saying(text: &'static str) -> Self {
        Self::new(move |_| ok(text)).await
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.service.port
    }

    /// All requests until now.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// The last request.
    #[must_use]
    pub fn last(&self) -> Seen {
        self.seen().pop().expect("no request reached the service")
    }

    /// Connections that are open now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }

    /// Connections that there have ever been.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

/// `200 OK` with `body`.
#[must_use]
pub fn ok(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    state: &State,
    answer: &(impl Fn(&Seen) -> Vec<u8> + ?Sized),
) {
    let mut buffer = Vec::new();
    while let Some(seen) = read_request(&mut stream, &mut buffer, connection).await {
        state.seen.lock().unwrap().push(seen.clone());
        let answer = answer(&seen);
        if stream.write_all(&answer).await.is_err() {
            return;
        }
        let says_close = String::from_utf8_lossy(&answer).contains("Connection: close\r\n");
        if answer.is_empty() || says_close {
            return;
        }
    }
}

/// Reads one request; what follows it stays in `buffer`.
pub async fn read_request(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    connection: usize,
) -> Option<Seen> {
    let head = read_head(stream, buffer).await?;
    let mut seen = Seen {
        connection,
        head,
        body: Vec::new(),
    };
    if seen.header("transfer-encoding") == Some("chunked") {
        loop {
            let line = read_until(stream, buffer, b"\r\n").await?;
            let size = usize::from_str_radix(line.trim(), 16).unwrap();
            if size == 0 {
                read_until(stream, buffer, b"\r\n").await?;
                break;
            }
            seen.body.extend(read_exactly(stream, buffer, size).await?);
            read_exactly(stream, buffer, 2).await?;
        }
    } else if let Some(length) = seen.header("content-length") {
        let length = length.parse().unwrap();
        seen.body = read_exactly(stream, buffer, length).await?;
    }
    Some(seen)
}

/// Reads the head of a message, without the empty line at its end.
pub async fn read_head(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> Option<String> {
    let head = read_until(stream, buffer, b"\r\n\r\n").await?;
    Some(head.trim_end_matches("\r\n").to_owned())
}

async fn read_until(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    end: &[u8],
) -> Option<String> {
    loop {
        if let Some(at) = buffer.windows(end.len()).position(|w| w == end) {
            let line: Vec<u8> = buffer.drain(..at + end.len()).collect();
            return Some(String::from_utf8_lossy(&line).into_owned());
        }
        more(stream, buffer).await?;
    }
}

async fn read_exactly(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    length: usize,
) -> Option<Vec<u8>> {
    while buffer.len() < length {
        more(stream, buffer).await?;
    }
    Some(buffer.drain(..length).collect())
}

async fn more(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<()> {
    match stream.read_buf(buffer).await {
        Ok(n) if n > 0 => Some(()),
        _ => None,
    }
}

/// Sends `request` as it stands to `port` and returns all that comes back until the end.
pub async fn raw(port: u16, request: impl AsRef<[u8]>) -> String {
    let mut stream = connect(port).await;
    stream.write_all(request.as_ref()).await.unwrap();
    String::from_utf8_lossy(&read_all(&mut stream).await).into_owned()
}

/// A GET of `path` at `host` that asks for the end of the connection behind it.
#[must_use]
pub fn get(host: &str, path: &str, headers: &[&str]) -> String {
    let mut text = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for header in headers {
        let _ = write!(text, "{header}\r\n");
    }
    text + "\r\n"
}

/// Status and body of what `port` answers to a [`get`].
pub async fn fetch(port: u16, host: &str, path: &str) -> (u16, String) {
    split(&raw(port, get(host, path, &[])).await)
}

/// Status and body of an answer.
#[must_use]
pub fn split(answer: &str) -> (u16, String) {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        panic!("no answer: {answer:?}");
    };
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// Runs `curl` with `args` and returns what it printed.
pub async fn curl(args: &[&str]) -> String {
    let run = tokio::process::Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "--max-time",
            "60",
        ])
        .args(args)
        .kill_on_drop(true)
        .output();
    let output = within(Duration::from_secs(70), "curl", run).await.unwrap();
    assert!(
        output.status.success(),
        "curl {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
