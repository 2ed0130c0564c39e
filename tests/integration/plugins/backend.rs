//! A local web service that remembers what it is asked, and curl as the user.

use std::sync::Arc;
use std::time::Duration;

use frp_tests::tls::{Identity, server};
use frp_tests::wait::SOON;
use frp_tests::*;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// A pipe of either kind.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// One request as the local service saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// `GET /path HTTP/1.1`
    pub(super) line: String,
    /// `Name: value`, sorted.
    pub(super) fields: Vec<String>,
    pub(super) body: Vec<u8>,
}

impl Seen {
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.fields.iter().find_map(|f| f.strip_prefix(&prefix))
    }
}

/// Answers every request with 200 and `hello`.
pub(super) struct Backend {
    pub(super) port: u16,
    _service: Service,
    seen: mpsc::UnboundedReceiver<Seen>,
}

impl Backend {
    /// With a certificate: an HTTPS service.
    pub(super) async fn new(identity: Option<&Identity>) -> Self {
        let (sender, seen) = mpsc::unbounded_channel();
        let service = service(identity, move |mut io| {
            let sender = sender.clone();
            async move {
                while let Some(request) = read_request(&mut io).await {
                    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nKeep-Alive: timeout=9\r\n\
                                  X-Answer: yes\r\n\r\n";
                    let body = if request.line.starts_with("HEAD") {
                        ""
                    } else {
                        "hello"
                    };
                    let _ = sender.send(request);
                    if io
                        .write_all(format!("{answer}{body}").as_bytes())
                        .await
                        .is_err()
                    {
                        return;
                    }
                    let _ = io.flush().await;
                }
            }
        })
        .await;
        Self {
            port: service.port,
            _service: service,
            seen,
        }
    }

    /// The next request that came.
    pub(super) async fn seen(&mut self) -> Seen {
        within(SOON, "a request", self.seen.recv()).await.unwrap()
    }
}

/// Serves each connection, behind TLS if there is a certificate, with `serve`.
pub(super) async fn service<F, Fut>(identity: Option<&Identity>, serve: F) -> Service
where
    F: Fn(Box<dyn Io>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let acceptor = identity.map(|id| TlsAcceptor::from(Arc::new(server(id))));
    Service::new(move |stream| {
        let (acceptor, serve) = (acceptor.clone(), serve.clone());
        async move {
            match acceptor {
                None => serve(Box::new(stream)).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(Box::new(stream)).await;
                    }
                }
            }
        }
    })
    .await
}

/// A request's or an answer's head: its first line and its sorted fields.
pub(super) async fn read_head(io: &mut (impl Io + ?Sized)) -> Option<(String, Vec<String>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.ok()?);
    }
    let text = String::from_utf8(head).unwrap();
    let mut lines = text.trim_end().lines().map(str::to_owned);
    let line = lines.next()?;
    let mut fields: Vec<String> = lines.collect();
    fields.sort();
    Some((line, fields))
}

/// A whole request; `None` at the end of the connection.
pub(super) async fn read_request(io: &mut (impl Io + ?Sized)) -> Option<Seen> {
    let (line, fields) = read_head(io).await?;
    let mut seen = Seen {
        line,
        fields,
        body: Vec::new(),
    };
    if let Some(length) = seen.field("Content-Length") {
        seen.body = vec![0; length.parse().unwrap()];
        io.read_exact(&mut seen.body).await.ok()?;
    } else if seen.field("Transfer-Encoding") == Some("chunked") {
        loop {
            let size = read_line(io).await?;
            let size = usize::from_str_radix(&size, 16).unwrap();
            let mut chunk = vec![0; size];
            io.read_exact(&mut chunk).await.ok()?;
            read_line(io).await?;
            if size == 0 {
                break;
            }
            seen.body.extend(chunk);
        }
    }
    Some(seen)
}

async fn read_line(io: &mut (impl Io + ?Sized)) -> Option<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(io.read_u8().await.ok()?);
    }
    Some(String::from_utf8(line).unwrap().trim_end().to_owned())
}

/// What curl says.
#[derive(Debug)]
pub(super) struct Curled {
    /// curl's exit code; 0 is success.
    pub(super) exit: i32,
    /// Status and HTTP version, as `200 1.1`.
    pub(super) status: String,
    pub(super) body: Vec<u8>,
}

/// Runs curl, which trusts anybody and follows nothing.
pub(super) async fn curl(url: &str, args: &[&str]) -> Curled {
    let mut command = Command::new("curl");
    command
        .args([
            "--silent",
            "--insecure",
            "--noproxy",
            "*",
            "--max-time",
            "60",
        ])
        .args(["--write-out", "%{stderr}%{http_code} %{http_version}"])
        .args(args)
        .arg(url)
        .kill_on_drop(true);
    let output = within(Duration::from_secs(90), "curl", command.output()).await;
    let output = output.expect("curl is installed");
    Curled {
        exit: output.status.code().unwrap(),
        status: String::from_utf8(output.stderr).unwrap(),
        body: output.stdout,
    }
}

/// As [`curl`]; the answer is the backend's.
pub(super) async fn curl_hello(url: &str, args: &[&str]) {
    let got = curl(url, args).await;
    assert_eq!((got.exit, &got.body[..]), (0, &b"hello"[..]), "{got:?}");
    assert!(got.status.starts_with("200 "), "{got:?}");
}
