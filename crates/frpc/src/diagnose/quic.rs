//! Why there is no QUIC connection to the server.

use std::io;

use frp_net::quic::{NO_APPLICATION_PROTOCOL, QuicDialError, QuicEnd};

use super::explained::{Explained, explain_lookup, explained, server};
use super::tls;
use crate::one_way::OneWay;

/// The alert for a certificate that is not valid now (RFC 8446, section 6.2).
const EXPIRED: u8 = 45;

pub(super) fn explain(error: &QuicDialError, cfg: &OneWay) -> Explained {
    match error {
        QuicDialError::Resolve(e) => explain_lookup(e),
        QuicDialError::Socket { source, .. }
            if source.kind() == io::ErrorKind::ConnectionRefused =>
        {
            explained(
                error,
                format!(
                    "the host answers, but nothing listens on its UDP port {}",
                    cfg.server_port
                ),
                "transport.protocol = \"quic\" needs quicBindPort in frps, and serverPort set to it",
            )
        }
        QuicDialError::Socket { .. } => explained(
            error,
            "no datagram can be sent to the server",
            "check the network of this machine, serverAddr and transport.connectServerLocalIP",
        ),
        QuicDialError::NoTls | QuicDialError::Tls(_) => explained(
            error,
            "the TLS settings do not do for QUIC",
            "set transport.protocol = \"tcp\"",
        ),
        QuicDialError::Absent => explained(
            error,
            "this build has no QUIC",
            "take one with the feature, or set transport.protocol = \"tcp\"",
        ),
        QuicDialError::TimedOut => explain_end(&QuicEnd::TimedOut, cfg),
        QuicDialError::Handshake(end) => explain_end(end, cfg),
    }
}

pub(super) fn explain_end(end: &QuicEnd, cfg: &OneWay) -> Explained {
    let server = server(cfg);
    match end {
        QuicEnd::TimedOut => explained(
            end,
            format!("no answer by UDP from {server}"),
            "check that serverPort is the quicBindPort of frps, and that the firewall or security \
             group of the server lets this UDP port in; many networks let no UDP out, where \
             transport.protocol tcp or wss may pass",
        ),
        QuicEnd::Version => explained(
            end,
            format!("{server} speaks no version of QUIC that we speak"),
            "check that the port is the quicBindPort of frps",
        ),
        QuicEnd::Tls {
            alert: NO_APPLICATION_PROTOCOL,
            ..
        } => explained(
            end,
            format!("{server} speaks QUIC, but not for frp"),
            "the port belongs to another service, such as HTTP/3: set serverPort to the quicBindPort \
             of frps",
        ),
        QuicEnd::Tls {
            alert: EXPIRED,
            remote: false,
            ..
        } => tls::out_of_time(end),
        QuicEnd::Tls {
            alert,
            remote: false,
            ..
        } if is_about_certificates(*alert) => tls::untrusted(end, cfg),
        QuicEnd::Tls {
            alert,
            remote: true,
            ..
        } if is_about_certificates(*alert) => explained(
            end,
            "the server does not accept our certificate",
            "frps has transport.tls.trustedCaFile set: give frpc transport.tls.certFile and keyFile \
             signed by that CA, with transport.tls.enable on",
        ),
        QuicEnd::Tls { remote, .. } => explained(
            end,
            match remote {
                true => "the server refused the TLS handshake",
                false => "the TLS of the server is none that we speak",
            },
            "check that the port is the quicBindPort of frps; its log may say more",
        ),
        QuicEnd::Peer(_) | QuicEnd::Local => explained(
            end,
            "QUIC works, but the server closed the connection on our login",
            "the log of frps may say why",
        ),
        QuicEnd::Reset | QuicEnd::Protocol(_) => explained(
            end,
            format!("{server} broke the connection off"),
            "check that the port is the quicBindPort of frps; the log of frps may say more",
        ),
    }
}

/// Alerts that blame a certificate, or the lack of one (RFC 8446, section 6.2).
fn is_about_certificates(alert: u8) -> bool {
    matches!(alert, 42..=46 | 48 | 49 | 116)
}
