//! What answered instead of frps.

use std::fmt;

use super::explained::{Explained, explained, server};
use crate::one_way::OneWay;

/// Something answered that is not frp.
pub(super) fn explain_stranger(
    what: impl fmt::Display,
    first_bytes: &[u8],
    cfg: &OneWay,
) -> Explained {
    let (found, advice) = stranger(first_bytes, cfg);
    explained(
        what,
        format!("{} answered our login with {found}", server(cfg)),
        advice,
    )
}

/// What the first bytes of an answer look like, and what to do about it.
pub(super) fn stranger(first_bytes: &[u8], cfg: &OneWay) -> (String, String) {
    let port = cfg.server_port;
    let not_frps = |what: &str| {
        format!("port {port} belongs to {what}: set serverPort to the bindPort of frps")
    };
    match first_bytes {
        [b'H', ..] => (
            "an HTTP answer".to_owned(),
            not_frps("a web server or a proxy (or is vhostHTTPPort of frps)"),
        ),
        [b'S', b'S', b'H', ..] | [b'S'] => ("an SSH banner".to_owned(), not_frps("an SSH server")),
        [0x15 | 0x16, ..] => (
            "TLS".to_owned(),
            not_frps("a TLS service, or is vhostHTTPSPort of frps, if it is not frps itself"),
        ),
        [0, ..] if !cfg.transport.tcp_mux => (
            "mux frames".to_owned(),
            "transport.tcpMux is false here and true in frps: set both the same".to_owned(),
        ),
        [] => (
            "bytes that are not frp's".to_owned(),
            "check that transport.tcpMux is the same on both ends and that the port is the \
             bindPort of frps"
                .to_owned(),
        ),
        bytes => (
            format!("unknown bytes ({})", bytes.escape_ascii()),
            format!(
                "check that port {port} is the bindPort of frps and that transport.tcpMux is the \
                 same on both ends"
            ),
        ),
    }
}
