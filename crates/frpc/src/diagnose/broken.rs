//! Why a connection that stood gave no answer to our login: it broke, or nothing came.

use std::io;

use frp_config::TransportProtocol;
use frp_net::go_text::go_text;
use frp_net::mux::{CloseReason, MuxError, ProtocolError};
use frp_proto::wire::WireProtocol;

use super::explained::{Explained, explained, server};
use super::stranger::explain_stranger;
use super::tls;
use crate::one_way::OneWay;

pub(super) fn explain_mux(error: &MuxError, cfg: &OneWay) -> Explained {
    match error {
        MuxError::Closed(reason) => explain_lost(reason, cfg),
        MuxError::GoAway
        | MuxError::Exhausted
        | MuxError::Reset
        | MuxError::Unread
        | MuxError::Finished => explain_closed(&error.to_string(), cfg),
    }
}

pub(super) fn explain_lost(reason: &CloseReason, cfg: &OneWay) -> Explained {
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

pub(super) fn explain_io(error: &io::Error, cfg: &OneWay) -> Explained {
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
pub(super) fn explain_closed(what: &str, cfg: &OneWay) -> Explained {
    let has_tls = matches!(
        cfg.protocol,
        TransportProtocol::Wss | TransportProtocol::Quic
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
    if cfg.protocol == TransportProtocol::Quic {
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

pub(super) fn explain_silence(cfg: &OneWay) -> Explained {
    let (how, advice) = match cfg.protocol {
        // A session of kcp is closed without a word, so this is also how frps refuses one.
        TransportProtocol::Kcp => (
            " over UDP",
            "check that the port is the kcpBindPort of frps and that transport.tcpMux is the same \
             on both ends",
        ),
        TransportProtocol::Quic => (
            " over QUIC",
            "check that the port is the quicBindPort of frps; its log may say why",
        ),
        _ if cfg.transport.tls.enable || cfg.protocol == TransportProtocol::Wss => (
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
