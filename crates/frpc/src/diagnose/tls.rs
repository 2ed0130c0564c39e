//! Why a TLS handshake with the server failed.

use std::io;

use frp_config::{ServerTrust, TransportProtocol};
use frp_net::go_text::go_text;
use frp_net::tls::HandshakeError;
use rustls::{AlertDescription, CertificateError};

use super::explained::{Explained, explained, server};
use super::stranger::stranger;
use crate::one_way::OneWay;

pub(super) fn explain(error: &HandshakeError, cfg: &OneWay) -> Explained {
    if let Some(tls) = error.tls() {
        return explain_error(tls, &error.first_bytes, cfg);
    }
    let what = go_text(&error.source);
    let (why, advice) = match error.source.kind() {
        io::ErrorKind::TimedOut => silent(cfg),
        _ => closed(cfg),
    };
    explained(what, format!("{} {why}", server(cfg)), advice)
}

fn silent(cfg: &OneWay) -> (&'static str, &'static str) {
    if cfg.protocol != TransportProtocol::Kcp {
        return (
            "accepts connections but does not answer a TLS hello",
            "check that the port is the bindPort of frps; a device on the path may swallow TLS",
        );
    }
    // A session of kcp is closed without a word.
    (
        "acknowledges our bytes over UDP but does not answer a TLS hello",
        if cfg.transport.tls.disable_custom_first_byte {
            "if frps is older than 0.38, set transport.tls.disableCustomTLSFirstByte = false; else \
             check that the port is the kcpBindPort of frps"
        } else {
            "check that the port is the kcpBindPort of frps"
        },
    )
}

fn closed(cfg: &OneWay) -> (&'static str, &'static str) {
    let advice = if cfg.protocol == TransportProtocol::Wss {
        // Nothing goes in front of this TLS.
        "either a device on the path rejects TLS to this port, or the port takes no wss: frps of \
         frp ends no TLS around a websocket and needs a proxy before it"
    } else if cfg.transport.tls.disable_custom_first_byte {
        "either a device on the path rejects TLS to this port, or the port is not bindPort of frps (but its \
         vhostHTTPSPort, perhaps), or frps is older than 0.38 (then set transport.tls.disableCustomTLSFirstByte = false)"
    } else {
        "we sent frp's own first byte 0x17, which devices on the path may reject: set \
         transport.tls.disableCustomTLSFirstByte = true; or the port is not bindPort of frps (but its vhostHTTPSPort, perhaps)"
    };
    ("closed the connection right after our TLS hello", advice)
}

/// What rustls says. `first_bytes`: those of the server's answer, as far as known.
pub(super) fn explain_error(error: &rustls::Error, first_bytes: &[u8], cfg: &OneWay) -> Explained {
    match error {
        rustls::Error::InvalidCertificate(e) if is_out_of_time(e) => out_of_time(error),
        rustls::Error::InvalidCertificate(_) => untrusted(error, cfg),
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::AccessDenied,
        ) => explained(
            error,
            "the server does not accept our certificate",
            "frps has transport.tls.trustedCaFile set: give frpc transport.tls.certFile and \
             keyFile signed by that CA",
        ),
        rustls::Error::AlertReceived(AlertDescription::UnrecognisedName)
            if cfg.transport.tls.disable_custom_first_byte =>
        {
            explained(
                error,
                format!("{} took us for a user of an https proxy", server(cfg)),
                "where the vhostHTTPSPort of frps is its bindPort, frpc needs \
                 transport.tls.disableCustomTLSFirstByte = false",
            )
        }
        rustls::Error::AlertReceived(_) => explained(
            error,
            "the server refused the TLS handshake",
            "check that the port is the bindPort of frps and that both ends have a common TLS \
             version",
        ),
        rustls::Error::PeerIncompatible(_) => explained(
            format!("TLS: {error}"),
            format!("{} speaks TLS, but none that we speak", server(cfg)),
            "check that the port is the bindPort of frps; what stands before it must offer TLS 1.2 \
             or 1.3",
        ),
        _ => {
            let (found, advice) = stranger(first_bytes, cfg);
            explained(
                format!("TLS: {error}"),
                format!(
                    "{} answered our TLS hello with {found}, not TLS",
                    server(cfg)
                ),
                advice,
            )
        }
    }
}

/// Whether the certificate would be good at another time.
pub(crate) fn is_out_of_time(error: &CertificateError) -> bool {
    matches!(
        error,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
    )
}

pub(super) fn out_of_time(what: impl std::fmt::Display) -> Explained {
    explained(
        what,
        "the certificate of the server has expired, or is not valid yet",
        "check the clock of this machine; if it is right, renew the certificate of the server",
    )
}

pub(super) fn untrusted(what: impl std::fmt::Display, cfg: &OneWay) -> Explained {
    if cfg.transport.tls.trust == Some(ServerTrust::System) {
        return explained(
            what,
            "the CAs of this machine do not vouch for the certificate of the server, or not for its name",
            "where frps makes its certificate itself, or its CA is your own, set transport.tls.trust = \
             \"first-use\", transport.tls.pin or transport.tls.trustedCaFile instead; else check that \
             transport.tls.serverName (default: serverAddr) is a name in the certificate; if it is, somebody is in \
             between",
        );
    }
    explained(
        what,
        "the certificate of the server is not trusted",
        "check transport.tls.trustedCaFile, and that transport.tls.serverName (default: serverAddr) \
         is a name in the certificate; if both are right, somebody is in between",
    )
}
