//! Why a login failed, in words that help: what was seen, why as far as known, and what to do.
//!
//! A bare `EOF` is what most users of frp ever see of a firewall, a wrong port or two settings that
//! differ. Every one of those leaves its own traces, and this file reads them.

mod proxy;
mod quic;
#[cfg(test)]
mod tests;
mod tls;
mod websocket;

use std::fmt;
use std::io;

use frp_config::{AuthMethod, ClientConfig, TransportProtocol};
use frp_net::carrier::{Lost, OpenError};
use frp_net::dial::DialError;
use frp_net::go_text::{go_text, join_host_port};
use frp_net::msg_stream::{RecvError, SendError};
use frp_net::mux::{CloseReason, MuxError, ProtocolError};
use frp_net::quic::QuicDialError;
use frp_net::resolve::LookupError;
use frp_proto::wire::WireProtocol;

pub(crate) use self::proxy::setting as proxy_setting;
pub(crate) use self::tls::is_out_of_time;
use crate::connect::ConnectError;
use crate::login::LoginError;

/// A failed login, explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Explained {
    /// What was seen, in frp's words where frp has some.
    what: String,
    /// Why, as far as known.
    why: String,
    /// What to do.
    advice: String,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, why, advice } = self;
        write!(f, "{what}: {why}")?;
        if advice.is_empty() {
            Ok(())
        } else {
            write!(f, "; {advice}")
        }
    }
}

impl Explained {
    /// Something that needs no explanation.
    pub(crate) fn bare(what: String) -> Self {
        Self {
            what,
            why: "nothing answers".to_owned(),
            advice: "check serverAddr and serverPort, and that frps runs".to_owned(),
        }
    }

    /// As one of several failures, which `all` tells; this one is of `name`.
    pub(crate) fn one_of(mut self, all: String, name: &str) -> Self {
        self.what = all;
        self.why = format!("as to {name}, {}", self.why);
        self
    }

    /// Adds what a TLS handshake with the same port came to.
    pub(crate) fn with_tls_probe(mut self, answered: bool) -> Self {
        self.why.push_str(if answered {
            ", while TLS to the same port is answered"
        } else {
            ", and TLS to the same port is not answered either"
        });
        self
    }
}

fn explained(
    what: impl fmt::Display,
    why: impl Into<String>,
    advice: impl Into<String>,
) -> Explained {
    Explained {
        what: what.to_string(),
        why: why.into(),
        advice: advice.into(),
    }
}

/// Whether nobody listens at the server's port: asking again is cheap then.
pub(crate) fn is_refused(error: &LoginError) -> bool {
    match error {
        LoginError::Connect(ConnectError::Dial(DialError::Connect { source, .. })) => {
            source.kind() == io::ErrorKind::ConnectionRefused
        }
        _ => io_error(error).is_some_and(|e| e.kind() == io::ErrorKind::ConnectionRefused),
    }
}

/// What the system, or kcp in its place, said of a connection that stood.
fn io_error(error: &LoginError) -> Option<&io::Error> {
    match error {
        LoginError::Connect(ConnectError::Tls(e)) => Some(&e.source),
        LoginError::Connect(ConnectError::Open(OpenError::Mux(MuxError::Closed(
            CloseReason::Io(e),
        ))))
        | LoginError::Send {
            lost: Some(Lost::Mux(CloseReason::Io(e))),
            ..
        }
        | LoginError::Answer {
            lost: Some(Lost::Mux(CloseReason::Io(e))),
            ..
        } => Some(e),
        LoginError::Send {
            error: SendError::Io(e),
            ..
        }
        | LoginError::Answer {
            error: RecvError::Io(e),
            ..
        } => Some(e),
        _ => None,
    }
}

/// Whether it would help to know if the port answers TLS: the connection stood and broke on a
/// plaintext login.
pub(crate) fn wants_tls_probe(error: &LoginError, cfg: &ClientConfig) -> bool {
    let broke = match error {
        LoginError::Send { .. } => true,
        LoginError::Answer { error, .. } => !matches!(error, RecvError::Decode(_)),
        LoginError::Connect(ConnectError::Open(_)) => true,
        _ => false,
    };
    let plain = cfg.transport.protocol == TransportProtocol::Tcp;
    broke && plain && !cfg.transport.tls.enable
}

/// Explains a failed login under the configuration that it was tried with.
pub(crate) fn explain(error: &LoginError, cfg: &ClientConfig) -> Explained {
    let is_kcp = cfg.transport.protocol == TransportProtocol::Kcp;
    match error {
        _ if is_kcp && is_refused(error) => explain_closed_port(cfg),
        LoginError::Connect(ConnectError::Unheard) => explain_unheard(error, cfg),
        LoginError::Connect(ConnectError::Dial(e)) => explain_dial(e, cfg),
        LoginError::Connect(ConnectError::Tls(e)) => tls::explain(e, cfg),
        LoginError::Connect(ConnectError::Websocket(e)) => websocket::explain(e, cfg),
        LoginError::Connect(ConnectError::Quic(e)) => quic::explain(e, cfg),
        LoginError::Connect(ConnectError::Open(OpenError::Mux(e))) => explain_mux(e, cfg),
        LoginError::Connect(ConnectError::Open(OpenError::Quic(e))) => quic::explain_end(e, cfg),
        LoginError::Credentials(error) => {
            let (why, advice) = error.help();
            explained(error, why, advice)
        }
        LoginError::Send { error, lost } => match (error, lost) {
            (_, Some(Lost::Mux(reason))) => explain_lost(reason, cfg),
            (_, Some(Lost::Quic(end))) => quic::explain_end(end, cfg),
            (SendError::Io(e), None) => explain_io(e, cfg),
            (SendError::TimedOut, None) => explain_silence(cfg),
            (SendError::Encode(e), None) => explained(
                e,
                "the login does not fit into a message",
                "shorten user, clientID or metadatas",
            ),
        },
        LoginError::Answer {
            error,
            lost,
            first_bytes,
        } => match (error, lost) {
            (_, Some(Lost::Mux(reason))) => explain_lost(reason, cfg),
            (_, Some(Lost::Quic(end))) => quic::explain_end(end, cfg),
            (RecvError::Closed | RecvError::Truncated, None) => explain_closed("EOF", cfg),
            (RecvError::Io(e), None) => explain_io(e, cfg),
            (RecvError::TimedOut, None) => explain_silence(cfg),
            (RecvError::Decode(_), None) => explain_stranger(error, first_bytes, cfg),
        },
        LoginError::Hello(e) => explained(
            e,
            "the two ends do not agree on wire protocol v2",
            "set transport.wireProtocol = \"v1\" in frpc, or update the older end",
        ),
        LoginError::Unexpected(_) => explained(
            error,
            "the peer speaks frp, but not as a server",
            format!("check that {} is the bindPort of frps", server(cfg)),
        ),
        LoginError::Rejected(text) => explain_rejection(text, cfg),
    }
}

/// Explains why nothing had come yet when it was given up: on a `login` that was sent, or before.
pub(crate) fn explain_no_reply(login: bool, cfg: &ClientConfig) -> Explained {
    match cfg.transport.protocol.one() {
        _ if login => explain_silence(cfg),
        Some(TransportProtocol::Quic) => quic::explain(&QuicDialError::TimedOut, cfg),
        Some(TransportProtocol::Kcp) => explain_unheard(ConnectError::Unheard, cfg),
        _ => explain_nobody("i/o timeout", cfg),
    }
}

fn explain_lookup(error: &LookupError) -> Explained {
    explained(
        error,
        format!("the name {} could not be resolved", error.host),
        match error.server {
            None => "check serverAddr and the DNS of this machine",
            Some(_) => "check serverAddr, and that dnsServer is a DNS server and answers",
        },
    )
}

fn explain_dial(error: &DialError, cfg: &ClientConfig) -> Explained {
    let server = server(cfg);
    match error {
        DialError::Proxy { proxy, source } => proxy::explain(proxy, source, cfg),
        DialError::Resolve(e) => explain_lookup(e),
        DialError::TimedOut { host, addr: None } => explained(
            error,
            format!("the name {host} was not resolved in time"),
            match &cfg.dns_server {
                None => "check the network and the DNS of this machine",
                Some(_) => "check that dnsServer is a DNS server and answers",
            },
        ),
        DialError::TimedOut { .. } => explain_nobody(error, cfg),
        DialError::Connect { source, .. } => match source.kind() {
            io::ErrorKind::ConnectionRefused => explained(
                error,
                format!(
                    "the host answers, but nothing listens on port {}",
                    cfg.server_port
                ),
                "start frps, or set serverPort to its bindPort",
            ),
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => explained(
                error,
                "there is no route to the server",
                "check the network of this machine and serverAddr",
            ),
            io::ErrorKind::AddrNotAvailable if cfg.transport.connect_server_local_ip.is_some() => {
                explained(
                    error,
                    "the local address cannot be used",
                    "set transport.connectServerLocalIP to an address of this machine",
                )
            }
            io::ErrorKind::ConnectionReset => explained(
                error,
                "the connection was reset while it was being opened",
                "a firewall on the path may block this port; try another bindPort",
            ),
            _ => explained(
                error,
                format!("no connection to {server}"),
                "check the network",
            ),
        },
    }
}

fn explain_nobody(what: impl fmt::Display, cfg: &ClientConfig) -> Explained {
    explained(
        what,
        format!("nothing at {} answers", server(cfg)),
        "check serverAddr and serverPort, that the host is up, and that its firewall or security \
         group lets this TCP port in",
    )
}

/// What is different over UDP: there is no connection that could be refused or time out before the
/// login does.
fn explain_closed_port(cfg: &ClientConfig) -> Explained {
    let port = cfg.server_port;
    explained(
        "connection refused",
        format!("the host answers, but nothing listens on its UDP port {port}"),
        "transport.protocol = \"kcp\" needs kcpBindPort in frps, and serverPort set to it",
    )
}

fn explain_unheard(error: impl fmt::Display, cfg: &ClientConfig) -> Explained {
    let (server, port) = (server(cfg), cfg.server_port);
    explained(
        error,
        format!("nothing at {server} answers over UDP"),
        format!(
            "check that {port} is the kcpBindPort of frps, and that firewalls and security groups \
             let this UDP port in; where the network lets no UDP through, set transport.protocol = \
             \"tcp\" and serverPort to bindPort"
        ),
    )
}

fn explain_mux(error: &MuxError, cfg: &ClientConfig) -> Explained {
    match error {
        MuxError::Closed(reason) => explain_lost(reason, cfg),
        MuxError::GoAway | MuxError::Exhausted | MuxError::Reset | MuxError::Finished => {
            explain_closed(&error.to_string(), cfg)
        }
    }
}

fn explain_lost(reason: &CloseReason, cfg: &ClientConfig) -> Explained {
    match reason {
        CloseReason::Io(e) => explain_io(e, cfg),
        CloseReason::LocalClose | CloseReason::PeerClosed => explain_closed("EOF", cfg),
        CloseReason::GoAway(_) => explain_closed("session shutdown", cfg),
        CloseReason::PingTimeout | CloseReason::WriteTimeout | CloseReason::OpenTimeout => {
            explain_silence(cfg)
        }
        CloseReason::Protocol(ProtocolError::Version(first)) => {
            explain_stranger(reason, &[*first], cfg)
        }
        CloseReason::Protocol(_) => explain_stranger(reason, &[], cfg),
    }
}

fn explain_io(error: &io::Error, cfg: &ClientConfig) -> Explained {
    if let Some(tls) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        return tls::explain_error(tls, &[], cfg);
    }
    match error.kind() {
        io::ErrorKind::TimedOut => explain_silence(cfg),
        _ => explain_closed(&go_text(error), cfg),
    }
}

/// The connection stood, the login went out, and then it was closed or reset.
fn explain_closed(what: &str, cfg: &ClientConfig) -> Explained {
    let has_tls = matches!(
        cfg.transport.protocol.one(),
        Some(TransportProtocol::Wss | TransportProtocol::Quic)
    );
    if !cfg.transport.tls.enable && !has_tls {
        return explained(
            what,
            "the connection was closed right after our plaintext login",
            "a device on the path may reject plain frp, or frps takes only TLS: set \
             transport.tls.enable = true (tls_enable = true in an INI file). If it is on in frps \
             and fails too: check that transport.tcpMux is the same on both ends and that the port \
             is the bindPort of frps",
        );
    }
    if cfg.transport.protocol == TransportProtocol::Quic {
        let advice = match cfg.transport.wire_protocol {
            WireProtocol::V1 => "the log of frps may say why",
            WireProtocol::V2 => {
                "frps may be older than 0.69: set transport.wireProtocol = \"v1\"; its log may say more"
            }
        };
        return explained(what, "QUIC works, but frps closed our login", advice);
    }
    let v2 = match cfg.transport.wire_protocol {
        WireProtocol::V1 => "",
        WireProtocol::V2 => ", or frps is older than 0.69 (set transport.wireProtocol = \"v1\")",
    };
    explained(
        what,
        "TLS works, but the connection was closed right after our login",
        format!(
            "most likely transport.tcpMux differs: it is {} here and must be the same in frps; or \
             the port belongs to another TLS service{v2}",
            cfg.transport.tcp_mux
        ),
    )
}

fn explain_silence(cfg: &ClientConfig) -> Explained {
    let protocol = cfg.transport.protocol.one();
    let (how, advice) = match protocol {
        // A session of kcp is closed without a word, so this is also how frps refuses one.
        Some(TransportProtocol::Kcp) => (
            " over UDP",
            "check that the port is the kcpBindPort of frps and that transport.tcpMux is the same \
             on both ends",
        ),
        Some(TransportProtocol::Quic) => (
            " over QUIC",
            "check that the port is the quicBindPort of frps; its log may say why",
        ),
        _ if cfg.transport.tls.enable || protocol == Some(TransportProtocol::Wss) => (
            " within TLS",
            "check that the port is the bindPort of frps and not that of another TLS service, and \
             that transport.tcpMux is the same on both ends; a device on the path may end TLS \
             itself and swallow the login",
        ),
        _ => (
            "",
            "check that the port is the bindPort of frps and that transport.tcpMux is the same on \
             both ends; a device on the path may swallow the login, which transport.tls.enable = \
             true hides from it",
        ),
    };
    explained(
        "i/o timeout",
        format!("{} took our login{how} and did not answer", server(cfg)),
        advice,
    )
}

/// Something answered that is not frp.
fn explain_stranger(what: impl fmt::Display, first_bytes: &[u8], cfg: &ClientConfig) -> Explained {
    let (found, advice) = stranger(first_bytes, cfg);
    explained(
        what,
        format!("{} answered our login with {found}", server(cfg)),
        advice,
    )
}

/// What the first bytes of an answer look like, and what to do about it.
fn stranger(first_bytes: &[u8], cfg: &ClientConfig) -> (String, String) {
    let port = cfg.server_port;
    let not_frps = |what: &str| {
        format!("port {port} belongs to {what}: set serverPort to the bindPort of frps")
    };
    match first_bytes {
        [b'H', ..] => (
            "an HTTP answer".to_owned(),
            not_frps("a web server (or is vhostHTTPPort of frps)"),
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

fn explain_rejection(text: &str, cfg: &ClientConfig) -> Explained {
    let by_oidc = cfg.auth.method == AuthMethod::Oidc;
    let advice = if text.contains("OIDC") {
        match by_oidc {
            true => oidc_advice(text),
            false => {
                "frps wants tokens of an issuer: auth.method must be the same in frpc and frps"
            }
        }
    } else if text.contains("token") && by_oidc {
        "frps wants the token that both know: auth.method must be the same in frpc and frps"
    } else if text.contains("token") {
        "set auth.token (token in an INI file) to the same value in frpc and frps"
    } else if text.contains("is already online") {
        "give this frpc another clientID, or stop the other one"
    } else {
        "the log of frps may say more"
    };
    // Whatever the server says, it must not steer the terminal that shows it.
    let text: String = text.chars().take(MAX_PEER_TEXT).flat_map(visible).collect();
    explained(text, "the server refused the login", advice)
}

/// What to do about a token of an issuer that frps does not accept; the texts are go-oidc's.
fn oidc_advice(text: &str) -> &'static str {
    if text.contains("audience") {
        "set auth.oidc.audience of frpc and frps to the same value"
    } else if text.contains("different provider") {
        "auth.oidc.issuer of frps must be the issuer that auth.oidc.tokenEndpointURL belongs to"
    } else if text.contains("expired") || text.contains("before the nbf") {
        "check the clocks of this machine, the issuer and frps; a token from \
         auth.oidc.tokenSource must be renewed in time"
    } else if text.contains("reached its issuer") {
        "frps must reach the URL in its auth.oidc.issuer; it tries again by itself"
    } else {
        "auth.oidc.issuer of frps must be the issuer that the token comes from, and the token one \
         that is signed (a JWT)"
    }
}

/// Characters of a server's text that are shown.
const MAX_PEER_TEXT: usize = 512;

fn visible(c: char) -> impl Iterator<Item = char> {
    let (plain, escaped) = if c.is_control() {
        (None, Some(c.escape_default()))
    } else {
        (Some(c), None)
    };
    plain.into_iter().chain(escaped.into_iter().flatten())
}

fn server(cfg: &ClientConfig) -> String {
    join_host_port(&cfg.server_addr, cfg.server_port)
}
