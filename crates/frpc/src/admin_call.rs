//! Asks a running frpc, which may be frp's own, through its admin interface
//! (frp `pkg/sdk/client`, `cmd/frpc/sub/admin.go`).

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};

use frp_config::cli::{AdminCall, AdminRequest};
use frp_http::basic::Login;
use frp_http::client::{HttpClient, Limits, Outgoing, Reason, Trust, Via};
use frp_net::dial::DialError;
use frp_net::go_text::{go_text, join_host_port};
use frp_net::listen::Host;
use hyper::Method;
use serde::Deserialize;

/// Longest answer, in bytes: far more than the status of every proxy that frps could hold.
const LONGEST: usize = 64 * 1024 * 1024;

/// Types of proxies in the order that frp shows them in.
const TYPES: [&str; 8] = [
    "tcp", "udp", "tcpmux", "http", "https", "stcp", "sudp", "xtcp",
];

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("{0}: {1}")]
    Failed(String, String),
    #[error("{0}: context deadline exceeded: the running frpc did not answer in time")]
    Late(String),
    #[error("{0}: the answer is not HTTP: is this the admin port of a frpc?")]
    NotHttp(String),
    #[error("api status code [{0}]{hint}", hint = hint(*.0))]
    Status(u16),
    #[error("unmarshal http response error: {0}")]
    Json(String),
}

fn hint(status: u16) -> &'static str {
    match status {
        409 => ": no reload waits to be confirmed",
        401 => ": webServer.user and webServer.password are not those of the running frpc",
        404 => ": the running frpc does not know this command",
        _ => "",
    }
}

/// Sends the request and gives the lines to show.
pub(crate) async fn call(call: &AdminCall) -> Result<String, CallError> {
    match call.request {
        AdminRequest::Reload {
            strict,
            confirm: Some(time),
        } => {
            let seconds = time.as_secs();
            let path = format!("/api/reload?strictConfig={strict}&confirm={seconds}");
            send(call, Method::POST, &path).await?;
            Ok(format!(
                "reload success; the former settings come back in {seconds} s, unless frpc confirm is run \
                 before"
            ))
        }
        AdminRequest::Confirm => {
            send(call, Method::POST, "/api/confirm").await?;
            Ok("confirm success".to_owned())
        }
        AdminRequest::Reload {
            strict,
            confirm: None,
        } => {
            let query = if strict { "?strictConfig=true" } else { "" };
            send(call, Method::GET, &format!("/api/reload{query}")).await?;
            Ok("reload success".to_owned())
        }
        AdminRequest::Stop => {
            send(call, Method::POST, "/api/stop").await?;
            Ok("stop success".to_owned())
        }
        AdminRequest::Status => {
            let body = send(call, Method::GET, "/api/status").await?;
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

/// The body of the answer to one request.
async fn send(call: &AdminCall, method: Method, path: &str) -> Result<String, CallError> {
    let host = join_host_port(&call.addr, call.port);
    // What listens everywhere listens here.
    let addr: Option<SocketAddr> = match Host::literal(&call.addr) {
        Some(Host::Everywhere) => Some((Ipv4Addr::LOCALHOST, call.port).into()),
        Some(Host::At(mut addr)) => {
            addr.set_port(call.port);
            Some(addr)
        }
        None => None,
    };
    // As Go names a request in its errors.
    let verb = match method {
        Method::POST => "Post",
        _ => "Get",
    };
    let request = format!("{verb} \"http://{host}{path}\"");
    // A zone is nothing for others.
    let place = addr.map_or_else(
        || host.clone(),
        |addr| join_host_port(&addr.ip().to_string(), addr.port()),
    );
    let failed = |why: String| CallError::Failed(request.clone(), why);
    let outgoing = Outgoing::get(&format!("http://{place}{path}"));
    let mut outgoing = outgoing.map_err(|e| failed(e.to_string()))?;
    if method == Method::POST {
        outgoing = outgoing.post();
    }
    if let Some(addr) = addr {
        outgoing = outgoing.at(addr);
    }
    if let Some(shown) = Login::new(&call.user, call.password.expose()).shown() {
        outgoing = outgoing.authorization(shown);
    }
    let client = HttpClient::new(Trust::System, Via::Nothing);
    let client = client.map_err(|e| failed(e.to_string()))?.within(Limits {
        time: call.timeout,
        bytes: LONGEST,
    });
    let answer = match client.send(outgoing).await {
        Ok(answer) => answer,
        Err(e) => {
            return Err(match *e.reason {
                Reason::TimedOut(_) => CallError::Late(request),
                Reason::Dial(DialError::Connect { source, .. }) => {
                    let why = go_text(&source);
                    failed(format!("dial tcp {host}: connect: {why}"))
                }
                Reason::Exchange(e) if e.is_parse() || e.is_incomplete_message() => {
                    CallError::NotHttp(request)
                }
                reason => failed(reason.to_string()),
            });
        }
    };
    match answer.status.as_u16() {
        200 => Ok(String::from_utf8_lossy(&answer.body).into_owned()),
        status => Err(CallError::Status(status)),
    }
}
