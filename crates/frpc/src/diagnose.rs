//! Why a login failed, in words that help: what was seen, why as far as known, and what to do.
//!
//! A bare `EOF` is what most users of frp ever see of a firewall, a wrong port or two settings that
//! differ. Every one of those leaves its own traces, and this file reads them.

mod broken;
#[cfg_attr(not(feature = "oidc"), path = "absent/credentials.rs")]
mod credentials;
mod explained;
mod identity;
#[cfg(feature = "doctor")]
pub(crate) mod path;
mod proxy;
mod quic;
mod stranger;
#[cfg(test)]
mod tests;
mod tls;
mod websocket;

use std::fmt;
use std::io;

use frp_config::{AuthMethod, TransportProtocol};
use frp_net::carrier::{Lost, OpenError};
use frp_net::dial::DialError;
use frp_net::mux::{CloseReason, MuxError};
use frp_net::quic::{QuicDialError, QuicEnd};
use frp_relay::msg_stream::{RecvError, SendError};

use self::broken::{explain_closed, explain_io, explain_lost, explain_mux, explain_silence};
pub(crate) use self::explained::Explained;
use self::explained::{explain_lookup, explained, server, visible};
pub(crate) use self::proxy::setting as proxy_setting;
use self::stranger::explain_stranger;
pub(crate) use self::tls::is_out_of_time;
use crate::backoff::Found;
use crate::connect::ConnectError;
use crate::known_servers::PROVES;
use crate::login::LoginError;
use crate::one_way::OneWay;
use crate::proof::ProofError;
use frp_proto::scram::ScramError;

/// What the attempt came upon.
pub(crate) fn found(error: &LoginError) -> Found {
    let LoginError::Connect(connect) = error else {
        return match is_refused(error) {
            true => Found::Nobody,
            false => Found::Someone,
        };
    };
    let kind = match connect {
        ConnectError::Dial(DialError::TimedOut { addr: Some(_), .. })
        | ConnectError::Quic(
            QuicDialError::TimedOut | QuicDialError::Handshake(QuicEnd::TimedOut),
        )
        | ConnectError::Unheard => return Found::Nothing,
        ConnectError::Dial(DialError::Connect { source, .. })
        | ConnectError::Quic(QuicDialError::Socket { source, .. }) => Some(source.kind()),
        _ => io_error(error).map(io::Error::kind),
    };
    match kind {
        Some(
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown,
        ) => Found::Nobody,
        Some(io::ErrorKind::TimedOut) if matches!(connect, ConnectError::Dial(_)) => Found::Nothing,
        _ => Found::Someone,
    }
}

/// Whether nobody listens at the server's port.
pub(crate) fn is_refused(error: &LoginError) -> bool {
    match error {
        LoginError::Connect(
            ConnectError::Dial(DialError::Connect { source, .. })
            | ConnectError::Quic(QuicDialError::Socket { source, .. }),
        ) => source.kind() == io::ErrorKind::ConnectionRefused,
        _ => io_error(error).is_some_and(|e| e.kind() == io::ErrorKind::ConnectionRefused),
    }
}

/// Whether someone answered who is not the server, by what is known of it.
pub(crate) fn is_stranger(error: &LoginError) -> bool {
    match error {
        LoginError::Connect(ConnectError::Identity(_)) => true,
        LoginError::Connect(ConnectError::Tls(e)) => {
            matches!(e.tls(), Some(rustls::Error::InvalidCertificate(_)))
        }
        _ => false,
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
pub(crate) fn wants_tls_probe(error: &LoginError, cfg: &OneWay) -> bool {
    let broke = match error {
        LoginError::Send { .. } => true,
        LoginError::Answer { error, .. } => !matches!(error, RecvError::Decode(_)),
        LoginError::Connect(ConnectError::Open(_)) => true,
        _ => false,
    };
    let plain = cfg.protocol == TransportProtocol::Tcp;
    broke && plain && !cfg.transport.tls.enable
}

/// Explains a failed login under the configuration that it was tried with.
pub(crate) fn explain(error: &LoginError, cfg: &OneWay) -> Explained {
    let is_kcp = cfg.protocol == TransportProtocol::Kcp;
    match error {
        _ if is_kcp && is_refused(error) => explain_closed_port(cfg),
        LoginError::Connect(ConnectError::Unheard) => explain_unheard(error, cfg),
        LoginError::Connect(ConnectError::Dial(e)) => explain_dial(e, cfg),
        LoginError::Connect(ConnectError::Identity(refusal)) => identity::explain(refusal),
        LoginError::Connect(ConnectError::Tls(e)) => tls::explain(e, cfg),
        LoginError::Connect(ConnectError::Websocket(e)) => websocket::explain(e, cfg),
        LoginError::Connect(ConnectError::Quic(e)) => quic::explain(e, cfg),
        LoginError::Connect(ConnectError::Open(OpenError::Mux(e))) => explain_mux(e, cfg),
        LoginError::Connect(ConnectError::Open(OpenError::Quic(e))) => quic::explain_end(e, cfg),
        LoginError::Credentials(error) => credentials::explain(error),
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
        LoginError::Proof(error) => explain_proof(error, cfg),
    }
}

fn explain_proof(error: &ProofError, cfg: &OneWay) -> Explained {
    let server = server(cfg);
    match error {
        ProofError::Scram(ScramError::ServerSignature) => explained(
            error,
            format!(
                "{server} asked for a proof of auth.token and has then not shown that it knows the token itself: it \
                 is not your frps, or poses as it"
            ),
            "check serverAddr and who answers there; what it has got is worth nothing to it elsewhere",
        ),
        ProofError::NoLonger => explained(
            error,
            format!(
                "{server} was replaced by frps of frp, or has auth.challenge = \"off\" now, or somebody poses as it"
            ),
            "if that is what you have done, restart frpc (it lets it in after an hour, too); if not, find out who \
             answers there",
        ),
        ProofError::Known(known) => explained(
            error,
            format!(
                "{server} was replaced by frps of frp, or has auth.challenge = \"off\" now, or somebody poses as it"
            ),
            format!(
                "if that is what you have done, take the word {PROVES} off that line of {}; if not, find out who answers \
                 there",
                known.file.display()
            ),
        ),
        ProofError::NotAsked => explained(
            error,
            format!(
                "{server} is frps of frp, or one with auth.challenge = \"off\", or poses as yours"
            ),
            "use frps of frp-rs there, or leave auth.challenge out here",
        ),
        _ => explained(
            error,
            format!("{server} does not do the proof of the token as it should"),
            "update the older end; if it stays so, somebody between here and frps changes what is said",
        ),
    }
}

/// Explains why nothing had come yet when it was given up: on a `login` that was sent, or before.
pub(crate) fn explain_no_reply(login: bool, cfg: &OneWay) -> Explained {
    match cfg.protocol {
        _ if login => explain_silence(cfg),
        TransportProtocol::Quic => quic::explain(&QuicDialError::TimedOut, cfg),
        TransportProtocol::Kcp => explain_unheard(ConnectError::Unheard, cfg),
        _ => explain_nobody("i/o timeout", cfg),
    }
}

fn explain_dial(error: &DialError, cfg: &OneWay) -> Explained {
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

fn explain_nobody(what: impl fmt::Display, cfg: &OneWay) -> Explained {
    explained(
        what,
        format!("nothing at {} answers", server(cfg)),
        "check serverAddr and serverPort, that the host is up, and that its firewall or security \
         group lets this TCP port in",
    )
}

/// What is different over UDP: there is no connection that could be refused or time out before the
/// login does.
fn explain_closed_port(cfg: &OneWay) -> Explained {
    let port = cfg.server_port;
    explained(
        "connection refused",
        format!("the host answers, but nothing listens on its UDP port {port}"),
        "transport.protocol = \"kcp\" needs kcpBindPort in frps, and serverPort set to it",
    )
}

fn explain_unheard(error: impl fmt::Display, cfg: &OneWay) -> Explained {
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

fn explain_rejection(text: &str, cfg: &OneWay) -> Explained {
    let by_oidc = cfg.auth.method == AuthMethod::Oidc;
    let advice = if text.contains("OIDC") {
        match by_oidc {
            true => oidc_advice(text),
            false => {
                "frps wants tokens of an issuer: auth.method must be the same in frpc and frps"
            }
        }
    } else if text.contains("another TLS connection") {
        "somebody between here and frps ends TLS: a proxy, a firewall that inspects TLS, or an attacker; try from \
         another network"
    } else if text.contains("auth.maxClockSkew") {
        "set the clock of this machine"
    } else if text.contains("too many failed logins") {
        "wait as long as it says, and see that every frpc at this address has the right auth.token"
    } else if text.contains("auth.challenge") {
        "leave auth.challenge out of frpc's settings: it must not be \"off\" here"
    } else if text.contains("token") && by_oidc {
        "frps wants the token that both know: auth.method must be the same in frpc and frps"
    } else if text.contains("token") {
        "set auth.token (token in an INI file) to the same value in frpc and frps"
    } else if text.contains("is already online") {
        "give this frpc another clientID, or stop the other one"
    } else {
        "the log of frps may say more"
    };
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
