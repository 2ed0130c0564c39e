//! Asks a running frpc, which may be frp's own, through its admin interface
//! (frp `pkg/sdk/client`, `cmd/frpc/sub/admin.go`).

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use frp_config::cli::{AdminCall, AdminRequest};
use frp_net::go_text::{go_text, join_host_port};
use frp_net::listen::Host;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest answer, in bytes: far more than the status of every proxy that frps could hold.
const LONGEST: u64 = 64 * 1024 * 1024;

/// Types of proxies in the order that frp shows them in.
const TYPES: [&str; 8] = [
    "tcp", "udp", "tcpmux", "http", "https", "stcp", "sudp", "xtcp",
];

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("{request}: {}", what(.dialled.as_deref(), .source))]
    Io {
        request: String,
        /// The address, where no connection came about.
        dialled: Option<String>,
        source: io::Error,
    },
    #[error("{0}: context deadline exceeded: the running frpc did not answer in time")]
    Late(String),
    #[error("{0}: the answer is not HTTP: is this the admin port of a frpc?")]
    NotHttp(String),
    #[error("api status code [{0}]{hint}", hint = hint(*.0))]
    Status(u16),
    #[error("unmarshal http response error: {0}")]
    Json(String),
}

fn what(dialled: Option<&str>, source: &io::Error) -> String {
    match dialled {
        Some(addr) => format!("dial tcp {addr}: connect: {}", go_text(source)),
        None => go_text(source),
    }
}

fn hint(status: u16) -> &'static str {
    match status {
        401 => ": webServer.user and webServer.password are not those of the running frpc",
        404 => ": the running frpc does not know this command",
        _ => "",
    }
}

/// Sends the request and gives the lines to show.
pub(crate) async fn call(call: &AdminCall) -> Result<String, CallError> {
    match call.request {
        AdminRequest::Reload { strict } => {
            let query = if strict { "?strictConfig=true" } else { "" };
            send(call, "GET", &format!("/api/reload{query}")).await?;
            Ok("reload success".to_owned())
        }
        AdminRequest::Stop => {
            send(call, "POST", "/api/stop").await?;
            Ok("stop success".to_owned())
        }
        AdminRequest::Status => {
            let body = send(call, "GET", "/api/status").await?;
            let status: HashMap<String, Vec<Proxy>> =
                serde_json::from_str(&body).map_err(|_| CallError::Json(body.trim().to_owned()))?;
            Ok(tables(&status))
        }
    }
}

/// A proxy as `/api/status` describes it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Proxy {
    name: String,
    status: String,
    err: String,
    local_addr: String,
    plugin: String,
    remote_addr: String,
}

fn tables(status: &HashMap<String, Vec<Proxy>>) -> String {
    let mut text = "Proxy Status...\n".to_owned();
    for kind in TYPES {
        let Some(proxies) = status.get(kind).filter(|proxies| !proxies.is_empty()) else {
            continue;
        };
        let _ = write!(text, "\n{}\n", kind.to_uppercase());
        let header = [
            "Name",
            "Status",
            "LocalAddr",
            "Plugin",
            "RemoteAddr",
            "Error",
        ];
        let rows = proxies.iter().map(|proxy| {
            [
                &proxy.name,
                &proxy.status,
                &proxy.local_addr,
                &proxy.plugin,
                &proxy.remote_addr,
                &proxy.err,
            ]
            .map(String::as_str)
        });
        let rows: Vec<[&str; 6]> = std::iter::once(header).chain(rows).collect();
        let mut widths = [0; 6];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        for row in rows {
            for (cell, width) in row.iter().zip(widths) {
                let _ = write!(text, "{cell:width$}  ");
            }
            text.push('\n');
        }
    }
    text
}

/// One request as HTTP/1.0, whose answer ends with the connection.
async fn send(call: &AdminCall, method: &str, path: &str) -> Result<String, CallError> {
    let host = join_host_port(&call.addr, call.port);
    // What listens everywhere listens here.
    let addr = match Host::literal(&call.addr) {
        Some(Host::Everywhere) => Some((Ipv4Addr::LOCALHOST, call.port).into()),
        Some(Host::At(mut addr)) => {
            addr.set_port(call.port);
            Some(addr)
        }
        None => None,
    };
    // As Go names a request in its errors.
    let verb = match method {
        "POST" => "Post",
        _ => "Get",
    };
    let request = format!("{verb} \"http://{host}{path}\"");
    let exchange = exchange(call, method, path, &host, addr);
    let answer = match timeout(call.timeout, exchange).await {
        Ok(Ok(answer)) => answer,
        Ok(Err((connecting, source))) => {
            return Err(CallError::Io {
                request,
                dialled: connecting.then_some(host),
                source,
            });
        }
        Err(_) => return Err(CallError::Late(request)),
    };
    let answer = String::from_utf8_lossy(&answer);
    let parsed = answer.split_once("\r\n\r\n").and_then(|(head, body)| {
        let status = head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
        Some((status, body.to_owned()))
    });
    match parsed {
        Some((200, body)) => Ok(body),
        Some((status, _)) => Err(CallError::Status(status)),
        None => Err(CallError::NotHttp(request)),
    }
}

/// The whole answer; an error comes with whether it is one of connecting.
async fn exchange(
    call: &AdminCall,
    method: &str,
    path: &str,
    host: &str,
    addr: Option<SocketAddr>,
) -> Result<Vec<u8>, (bool, io::Error)> {
    // A zone is nothing for others.
    let host = addr.map_or_else(
        || host.to_owned(),
        |addr| join_host_port(&addr.ip().to_string(), addr.port()),
    );
    let mut request = format!("{method} {path} HTTP/1.0\r\nHost: {host}\r\n");
    if !call.user.is_empty() || !call.password.expose().is_empty() {
        let login = format!("{}:{}", call.user, call.password.expose());
        let _ = write!(
            request,
            "Authorization: Basic {}\r\n",
            BASE64_STANDARD.encode(login)
        );
    }
    request.push_str("Content-Length: 0\r\n\r\n");
    let connected = match addr {
        Some(addr) => TcpStream::connect(addr).await,
        None => TcpStream::connect((call.addr.as_str(), call.port)).await,
    };
    let mut stream = connected.map_err(|error| (true, error))?;
    let mut answer = Vec::new();
    let exchanged = async {
        stream.write_all(request.as_bytes()).await?;
        stream.take(LONGEST).read_to_end(&mut answer).await
    };
    exchanged.await.map_err(|error| (false, error))?;
    Ok(answer)
}
