//! What is said of failures that are seldom seen.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use frp_config::{LoadOptions, Purpose, Transport, parse_client};
use frp_net::quic::QuicEnd;
use rustls::{CertificateError, PeerIncompatible};

use super::*;

fn cfg(lines: &str) -> OneWay {
    let text = format!("serverAddr = \"frps.example\"\n{lines}");
    let loaded = parse_client(&text, "frpc", &LoadOptions::new(Purpose::Run));
    let cfg = loaded.unwrap_or_else(|e| panic!("{e}")).settings;
    let Transport::One(protocol) = cfg.transport.protocol else {
        panic!("{:?}", cfg.transport.protocol)
    };
    OneWay::new(Arc::new(cfg), protocol).unwrap()
}

fn protocol(name: &str) -> OneWay {
    cfg(&format!("transport.protocol = \"{name}\"\n"))
}

fn silence(cfg: &OneWay) -> String {
    let error = LoginError::Answer {
        error: RecvError::TimedOut,
        lost: None,
        first_bytes: Vec::new(),
    };
    explain(&error, cfg).to_string()
}

fn handshake(source: io::Error, cfg: &OneWay) -> String {
    let error = frp_net::tls::HandshakeError {
        source,
        first_bytes: Vec::new(),
    };
    explain(&LoginError::Connect(ConnectError::Tls(error)), cfg).to_string()
}

fn tls(error: rustls::Error) -> String {
    handshake(io::Error::other(error), &cfg(""))
}

fn quic(alert: u8, remote: bool) -> String {
    let text = String::new();
    let end = QuicEnd::Tls {
        alert,
        remote,
        text,
    };
    let error = QuicDialError::Handshake(end);
    let error = LoginError::Connect(ConnectError::Quic(error));
    explain(&error, &protocol("quic")).to_string()
}

#[test]
fn nobody_is_told_to_switch_on_what_is_on() {
    let plain = silence(&cfg("transport.tls.enable = false\n"));
    assert!(plain.contains("transport.tls.enable = true"), "{plain}");
    for within_tls in [cfg(""), protocol("wss")] {
        let said = silence(&within_tls);
        assert!(!said.contains("tls.enable"), "{said}");
        assert!(said.contains("within TLS"), "{said}");
        assert!(said.contains("transport.tcpMux"), "{said}");
    }
    let quic = silence(&protocol("quic"));
    assert!(
        !quic.contains("tcpMux") && !quic.contains("tls.enable"),
        "{quic}"
    );
    assert!(quic.contains("quicBindPort"), "{quic}");
}

#[test]
fn nothing_is_said_of_a_first_byte_that_was_not_sent() {
    let byte = "transport.tls.disableCustomTLSFirstByte = false\n";
    let closed = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let tcp = handshake(closed(), &cfg(byte));
    assert!(tcp.contains("0x17"), "{tcp}");
    for lines in [byte, ""] {
        let wss = cfg(&format!("{lines}transport.protocol = \"wss\"\n"));
        let said = handshake(closed(), &wss);
        assert!(
            !said.contains("0x17") && !said.contains("FirstByte"),
            "{said}"
        );
        assert!(said.contains("wss"), "{said}");
    }
}

#[test]
fn a_certificate_of_another_time_is_no_matter_of_trust() {
    for error in [CertificateError::Expired, CertificateError::NotValidYet] {
        let said = tls(rustls::Error::InvalidCertificate(error));
        assert!(
            said.contains("clock") && !said.contains("trusted"),
            "{said}"
        );
    }
    let unknown = CertificateError::UnknownIssuer;
    let said = tls(rustls::Error::InvalidCertificate(unknown));
    assert!(said.contains("transport.tls.trustedCaFile"), "{said}");
    let said = tls(rustls::Error::PeerIncompatible(
        PeerIncompatible::ServerDoesNotSupportTls12Or13,
    ));
    assert!(said.contains("TLS 1.2 or 1.3"), "{said}");
    assert!(!said.contains("not TLS"), "{said}");
}

#[test]
fn the_alerts_of_quic_are_told_apart() {
    const HANDSHAKE_FAILURE: u8 = 40;
    const EXPIRED: u8 = 45;
    const UNKNOWN_CA: u8 = 48;
    const CERTIFICATE_REQUIRED: u8 = 116;
    for alert in [EXPIRED, UNKNOWN_CA, CERTIFICATE_REQUIRED] {
        let said = quic(alert, true);
        assert!(said.contains("does not accept our certificate"), "{said}");
    }
    assert!(quic(UNKNOWN_CA, false).contains("is not trusted"));
    let expired = quic(EXPIRED, false);
    assert!(
        expired.contains("clock") && !expired.contains("trusted"),
        "{expired}"
    );
    for remote in [true, false] {
        let said = quic(HANDSHAKE_FAILURE, remote);
        assert!(!said.contains("certificate"), "{said}");
        assert!(said.contains("TLS"), "{said}");
    }
}
