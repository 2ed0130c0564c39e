//! Why a way failed, in a few words: several of them stand in one line. What to do about it is
//! [`crate::diagnose`]'s.

use std::io;

use frp_net::carrier::{Lost, OpenError};
use frp_net::dial::DialError;
use frp_net::mux::{CloseReason, MuxError};
use frp_net::quic::{QuicDialError, QuicEnd};
use frp_net::tls::HandshakeError;
use frp_net::websocket;
use frp_relay::msg_stream::{RecvError, SendError};

use crate::connect::ConnectError;
use crate::diagnose::is_out_of_time;
use crate::login::LoginError;

const HANDSHAKE: &str = "at the TLS handshake";
const LOGIN: &str = "at the login";
const WEBSOCKET: &str = "at the websocket handshake";

pub(super) fn cause(error: &LoginError) -> String {
    match error {
        LoginError::Connect(ConnectError::Dial(error)) => of_dial(error),
        LoginError::Connect(ConnectError::Tls(error)) => of_handshake(error),
        LoginError::Connect(ConnectError::Unheard) => "no reply".to_owned(),
        LoginError::Connect(ConnectError::Identity(_)) => "shows another key".to_owned(),
        LoginError::Connect(ConnectError::Open(OpenError::Mux(MuxError::Closed(reason)))) => {
            of_mux(reason)
        }
        LoginError::Connect(ConnectError::Open(OpenError::Quic(end))) => of_quic(end),
        LoginError::Connect(ConnectError::Quic(error)) => match error {
            QuicDialError::Resolve(error) => error.to_string(),
            QuicDialError::Socket { source, .. } => of_io(source, HANDSHAKE),
            QuicDialError::TimedOut => "no reply".to_owned(),
            QuicDialError::Handshake(end) => of_quic(end),
            other => other.to_string(),
        },
        LoginError::Connect(ConnectError::Websocket(error)) => match error {
            websocket::ConnectError::Io(error) => of_io(error, WEBSOCKET),
            websocket::ConnectError::TimedOut => format!("no reply {WEBSOCKET}"),
            _ => "leads to something that takes no websocket".to_owned(),
        },
        LoginError::Send {
            lost: Some(reason), ..
        }
        | LoginError::Answer {
            lost: Some(reason), ..
        } => match reason {
            Lost::Mux(reason) => of_mux(reason),
            Lost::Quic(end) => of_quic(end),
        },
        LoginError::Send { error, lost: None } => match error {
            SendError::Io(error) => of_io(error, LOGIN),
            SendError::TimedOut => "takes no login".to_owned(),
            SendError::Encode(error) => error.to_string(),
        },
        LoginError::Answer {
            error, lost: None, ..
        } => match error {
            RecvError::Closed | RecvError::Truncated => format!("closed {LOGIN}"),
            RecvError::Io(error) => of_io(error, LOGIN),
            RecvError::TimedOut => "does not answer the login".to_owned(),
            RecvError::Decode(_) => "leads to something that is not frps".to_owned(),
        },
        other => other.to_string(),
    }
}

fn of_dial(error: &DialError) -> String {
    match error {
        DialError::Resolve(error) => error.to_string(),
        DialError::Proxy { .. } => error.to_string(),
        DialError::TimedOut { .. } => "no reply".to_owned(),
        DialError::Connect { source, .. } => match source.kind() {
            io::ErrorKind::ConnectionRefused => "refused".to_owned(),
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                "no route".to_owned()
            }
            _ => of_io(source, "while it was opened"),
        },
    }
}

fn of_handshake(error: &HandshakeError) -> String {
    match error.tls() {
        Some(rustls::Error::InvalidCertificate(e)) if is_out_of_time(e) => {
            "certificate expired or not valid yet".to_owned()
        }
        Some(rustls::Error::InvalidCertificate(_)) => "certificate not trusted".to_owned(),
        Some(rustls::Error::PeerIncompatible(_)) => "no TLS in common".to_owned(),
        Some(rustls::Error::AlertReceived(alert)) => format!("TLS refused ({alert:?})"),
        Some(_) => "no TLS there".to_owned(),
        None => of_io(&error.source, HANDSHAKE),
    }
}

fn of_quic(end: &QuicEnd) -> String {
    match end {
        QuicEnd::TimedOut => "no reply".to_owned(),
        other => other.to_string(),
    }
}

fn of_mux(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Io(error) => of_io(error, LOGIN),
        CloseReason::PingTimeout | CloseReason::WriteTimeout | CloseReason::OpenTimeout => {
            "does not answer the login".to_owned()
        }
        CloseReason::Protocol(_) => "leads to something that is not frps".to_owned(),
        CloseReason::LocalClose | CloseReason::PeerClosed | CloseReason::GoAway(_) => {
            format!("closed {LOGIN}")
        }
    }
}

fn of_io(error: &io::Error, when: &str) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => format!("reset {when}"),
        io::ErrorKind::ConnectionRefused => "refused".to_owned(),
        io::ErrorKind::UnexpectedEof => format!("closed {when}"),
        io::ErrorKind::TimedOut => format!("no reply {when}"),
        _ => format!("{error} {when}"),
    }
}
