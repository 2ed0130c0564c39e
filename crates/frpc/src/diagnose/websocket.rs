//! Why there is no websocket to the server.

use std::io;

use frp_config::TransportProtocol;
use frp_net::go_text::go_text;
use frp_net::websocket::ConnectError;
use frp_net::websocket::handshake::AnswerError;

use super::broken::explain_io;
use super::explained::{Explained, explained, server};
use super::stranger::stranger;
use crate::one_way::OneWay;

const IN_BETWEEN: &str = "check that what stands before frps (a proxy, a CDN) passes websockets on";

pub(super) fn explain(error: &ConnectError, cfg: &OneWay) -> Explained {
    let server = server(cfg);
    match error {
        ConnectError::Io(e) if e.get_ref().is_some() => explain_io(e, cfg),
        ConnectError::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof => explained(
            go_text(e),
            format!("{server} closed the connection on our websocket request"),
            closed(cfg),
        ),
        ConnectError::Io(e) => explained(
            go_text(e),
            format!("the connection to {server} broke on our websocket request"),
            closed(cfg),
        ),
        ConnectError::TimedOut => explained(
            error,
            format!("{server} does not answer our websocket request"),
            format!("check that the port is the bindPort of frps; {IN_BETWEEN}"),
        ),
        ConnectError::TooLong => explained(
            error,
            format!("{server} is no frps"),
            "check serverAddr and serverPort",
        ),
        ConnectError::Answer {
            error: AnswerError::Status(status),
            ..
        } => explain_status(error, *status, cfg),
        ConnectError::Answer {
            error: AnswerError::NotHttp,
            first_bytes,
        } => {
            let (found, advice) = stranger(first_bytes, cfg);
            explained(
                error,
                format!("{server} answered our websocket request with {found}"),
                advice,
            )
        }
        ConnectError::Answer {
            error: AnswerError::Field(_),
            ..
        } => explained(
            error,
            format!("{server} answered, but not as a websocket server of ours"),
            IN_BETWEEN,
        ),
    }
}

fn closed(cfg: &OneWay) -> String {
    let within = match cfg.protocol {
        TransportProtocol::Wss => {
            "frps of frp ends no TLS around a websocket: use a proxy before it, or protocol \
             websocket; "
        }
        _ => "",
    };
    format!(
        "{within}check that transport.websocket.path is the same on both ends, and that the port is \
         the bindPort of frps"
    )
}

fn explain_status(error: &ConnectError, status: u16, cfg: &OneWay) -> Explained {
    let path = &cfg.transport.websocket.path;
    let host = "set transport.websocket.headers.Host to the name that it is known by";
    let (why, advice) = match status {
        301 | 302 | 307 | 308 => (
            "the server sends us elsewhere",
            "if it wants HTTPS, set transport.protocol = \"wss\" and serverPort = 443".to_owned(),
        ),
        401 | 403 => (
            "the server does not want our websocket request",
            "frps or what stands before it demands a header (transport.websocket.headers), or takes \
             no websockets"
                .to_owned(),
        ),
        404 => (
            "the server knows no such path",
            format!("transport.websocket.path is {path} here and must be that of frps; or {host}"),
        ),
        400 | 426 => (
            "the server does not take our request for a websocket",
            format!("{IN_BETWEEN} (HTTP/1.1, headers Upgrade and Connection)"),
        ),
        421 => ("the server is not responsible for the host", host.to_owned()),
        502..=504 | 520..=530 => (
            "what stands before frps does not reach it",
            "check that frps runs and that the proxy passes to its bindPort".to_owned(),
        ),
        _ => (
            "the server answers with a page",
            format!("check serverAddr and serverPort; {IN_BETWEEN}"),
        ),
    };
    explained(error, why, advice)
}
