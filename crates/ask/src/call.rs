//! One request to the running program, which may be frp's own, where its file says that it listens
//! (frp `pkg/sdk/client`).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use frp_config::cli::AdminCall;
use frp_http::basic::Login;
use frp_http::client::{HttpClient, Limits, Outgoing, Reason, Trust, Via};
use frp_net::dial::DialError;
use frp_net::go_text::{go_text, join_host_port};
use frp_net::listen::Host;
use hyper::Method;
use serde::Deserialize;

/// Longest answer, in bytes: far more than the status of every proxy that frps could hold.
const LONGEST: usize = 64 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It was not reached.
    #[error("{0}: {1}")]
    Failed(String, String),
    /// It is too slow.
    #[error("{0}: context deadline exceeded: the running {1} did not answer in time")]
    Late(String, &'static str),
    /// Something else is there.
    #[error("{0}: the answer is not HTTP: is this the admin port of a {1}?")]
    NotHttp(String, &'static str),
    /// It says no.
    #[error("api status code [{status}]{}", hint(*.status, .program, .why))]
    Status {
        /// Of HTTP.
        status: u16,
        /// Which it was.
        program: &'static str,
        /// What ours adds.
        why: String,
    },
    /// It says something else.
    #[error("unmarshal http response error: {0}")]
    Json(String),
    /// It does not know whom the command is about.
    #[error("{0}")]
    Unknown(String),
}

impl CallError {
    /// Without what was asked for, which whoever asks again and again knows.
    #[cfg(feature = "top")]
    pub(crate) fn cause(&self) -> String {
        match self {
            Self::Failed(_, why) => why.clone(),
            Self::Late(..) => "it does not answer in time".to_owned(),
            Self::NotHttp(..) => "what answers there is no web server".to_owned(),
            other => other.to_string(),
        }
    }
}

fn hint(status: u16, program: &str, why: &str) -> String {
    match status {
        401 => format!(
            ": webServer.user and webServer.password are not those of the running {program}"
        ),
        // A refusal has a text; what has no such route says no more than that.
        404 => format!(": the running {program} does not know this command"),
        409 => ": no reload waits to be confirmed".to_owned(),
        _ if why.is_empty() => String::new(),
        _ => format!(": {}", frp_log::visible(why)),
    }
}

/// The body of the answer to one request.
///
/// # Errors
/// See [`CallError`].
pub async fn send(call: &AdminCall, method: Method, path: &str) -> Result<String, CallError> {
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
        Method::DELETE => "Delete",
        _ => "Get",
    };
    let (scheme, trust) = match &call.certificate {
        None => ("http", Trust::System),
        // Nobody lies between a program and its own machine, and the certificate is for other names.
        Some(_) if addr.is_some_and(|addr| is_here(addr.ip())) => ("https", Trust::Anybody),
        Some(file) => ("https", Trust::CaFile(file.clone())),
    };
    let request = format!("{verb} \"{scheme}://{host}{path}\"");
    // A zone is nothing for others.
    let place = addr.map_or_else(
        || host.clone(),
        |addr| join_host_port(&addr.ip().to_string(), addr.port()),
    );
    let failed = |why: String| CallError::Failed(request.clone(), why);
    let outgoing = Outgoing::get(&format!("{scheme}://{place}{path}"));
    let mut outgoing = outgoing.map_err(|e| failed(e.to_string()))?.by(method);
    if let Some(addr) = addr {
        outgoing = outgoing.at(addr);
    }
    if let Some(shown) = Login::new(&call.user, call.password.expose()).shown() {
        outgoing = outgoing.authorization(shown);
    }
    let client = HttpClient::new(trust, Via::Nothing);
    let client = client.map_err(|e| failed(e.to_string()))?.within(Limits {
        time: call.timeout,
        bytes: LONGEST,
    });
    let answer = match client.send(outgoing).await {
        Ok(answer) => answer,
        Err(e) => {
            return Err(match *e.reason {
                Reason::TimedOut(_) => CallError::Late(request, call.program),
                Reason::Dial(DialError::Connect { source, .. }) => {
                    let why = go_text(&source);
                    failed(format!("dial tcp {host}: connect: {why}"))
                }
                Reason::Exchange(e) if e.is_parse() || e.is_incomplete_message() => {
                    CallError::NotHttp(request, call.program)
                }
                reason => failed(reason.to_string()),
            });
        }
    };
    match answer.status.as_u16() {
        200 => Ok(String::from_utf8_lossy(&answer.body).into_owned()),
        status => Err(CallError::Status {
            status,
            program: call.program,
            why: told(&answer.body),
        }),
    }
}

fn is_here(ip: IpAddr) -> bool {
    ip.is_loopback()
}

/// The text of an error of frps's API; frpc's commands have shown the status only, as frp's.
fn told(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Told {
        #[serde(rename = "Msg")]
        msg: String,
    }
    serde_json::from_slice::<Told>(body).map_or_else(|_| String::new(), |told| told.msg)
}
