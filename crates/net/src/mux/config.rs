//! What may differ between sessions.

use std::time::Duration;

/// Which end of the connection this is: the two number their streams differently (odd for the
/// client, even for the server).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The end that made the connection (frpc).
    Client,
    /// The end that took it (frps).
    Server,
}

/// What may differ between sessions. Other windows, backlog and time limits are frp's.
#[derive(Clone, Debug)]
pub struct Config {
    /// Time between keep-alive pings; `None` sends none (the peer's are answered). A ping that is
    /// not answered within 10 s ends the session.
    pub keepalive_interval: Option<Duration>,
    /// The peer is a stranger until [`Mux::admit`](super::Mux::admit): it may send only 96 KiB ahead, less than yamux gives to
    /// everybody, over all its streams.
    pub stranger: bool,
}
