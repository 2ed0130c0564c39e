//! What is asked for and taken in the opening handshake, and why it fails.

use std::fmt;
use std::io;

use thiserror::Error;

use crate::limits::MAX_WEBSOCKET_HEAD;

/// The path of frp's websockets (frp `pkg/util/net/websocket.go`: FrpWebsocketPath).
pub const FRP_PATH: &str = "/~!frp";

/// A header by name and value. Values may be secrets and are not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Field {
    /// Of any case.
    pub name: String,
    /// Without white space around it.
    pub value: String,
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ***", self.name)
    }
}

/// What a server takes.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The path of the request; what follows a `?` does not count.
    pub path: String,
    /// Fields that a request must have with just these values.
    pub fields: Vec<Field>,
}

impl Default for Accepted {
    fn default() -> Self {
        Self {
            path: FRP_PATH.to_owned(),
            fields: Vec::new(),
        }
    }
}

/// What a client asks for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The path, perhaps with a query.
    pub path: String,
    /// For the fields `Host` and `Origin`: the server's name, with the port where frp has it.
    pub host: String,
    /// More fields; a `Host` or an `Origin` among them takes the place of ours.
    pub fields: Vec<Field>,
}

/// Why a request is not taken. The client is told the text, but not of [`UpgradeError::Field`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum UpgradeError {
    /// It is no HTTP request.
    #[error("not an HTTP request")]
    NotHttp,
    /// Another path.
    #[error("404 page not found")]
    Path,
    /// HTTP 1.1 without a host.
    #[error("missing required Host header")]
    Host,
    /// Not for a websocket.
    #[error("not websocket protocol")]
    Upgrade,
    /// No key.
    #[error("challenge response error")]
    Key,
    /// Another version than 13.
    #[error("missing or bad WebSocket Version")]
    Version,
    /// Several subprotocols to choose from; there are none.
    #[error("missing or bad WebSocket-Protocol")]
    Protocols,
    /// No origin, or one that is no address. frp has no use for it, and refuses such a request.
    #[error("missing or bad Origin")]
    Origin,
    /// A field that the server demands. Its name is half of the secret.
    #[error("the header {0} is missing or has another value")]
    Field(String),
    /// The build has no websockets.
    #[error("this frps was built without the feature \"websocket\"")]
    Absent,
}

impl UpgradeError {
    fn status(&self) -> &'static str {
        match self {
            Self::Path => "404 Not Found",
            Self::Origin | Self::Field(_) => "403 Forbidden",
            Self::Absent => "501 Not Implemented",
            _ => "400 Bad Request",
        }
    }

    /// The answer.
    #[must_use]
    pub fn answer(&self) -> String {
        let text = match self {
            Self::Field(_) => "forbidden".to_owned(),
            _ => self.to_string(),
        };
        let version = match self {
            Self::Version => "Sec-WebSocket-Version: 13\r\n",
            _ => "",
        };
        format!(
            "HTTP/1.1 {}\r\n{version}Content-Type: text/plain; charset=utf-8\r\nContent-Length: \
             {}\r\nConnection: close\r\n\r\n{text}",
            self.status(),
            text.len()
        )
    }
}

/// Why an answer is none to our request.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AnswerError {
    /// It is no HTTP answer.
    #[error("not an HTTP answer")]
    NotHttp,
    /// A refusal, or a page.
    #[error("HTTP status {0}")]
    Status(u16),
    /// Status 101, and not to a websocket; the field that is not right.
    #[error("the header {0} of the answer is missing or wrong")]
    Field(&'static str),
}

/// Why a connection did not become a websocket of ours.
#[derive(Debug, Error)]
pub enum AcceptError {
    /// The connection failed, or ended before the request did.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The request did not come to its end in time.
    #[error("no whole websocket request in time")]
    TimedOut,
    /// The request has no end, or cookies by the dozen.
    #[error("a websocket request of more than {MAX_WEBSOCKET_HEAD} bytes")]
    TooLong,
    /// It was answered with a refusal.
    #[error("websocket request refused: {0}")]
    Refused(#[from] UpgradeError),
}

/// Why there is no websocket to a server.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The connection failed, or ended before the answer did.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The answer did not come to its end in time.
    #[error("websocket handshake: i/o timeout")]
    TimedOut,
    /// The answer's head has no end.
    #[error("websocket handshake: an answer of more than {MAX_WEBSOCKET_HEAD} bytes")]
    TooLong,
    /// The answer is not the one to our request.
    #[error("websocket handshake: {error}")]
    Answer {
        /// What is wrong with it.
        error: AnswerError,
        /// The first bytes (at most 16) that came.
        first_bytes: Vec<u8>,
    },
}
