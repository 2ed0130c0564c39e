//! The cases: what is set at either end, and what is tried then.

use super::Version;
use Use::{EveryKind, Stay, Tcp};

/// Which end is the old one; the other is ours, or the release that ours stand in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// frps is old.
    OldServer,
    /// frpc is old.
    OldClient,
}

/// What users do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// They use a proxy of each kind: tcp, tcp with encryption and compression, udp, http, stcp.
    EveryKind,
    /// They use a tcp proxy.
    Tcp,
    /// They use a tcp proxy and, for longer than any timeout that is set, nothing.
    Stay,
    /// They use a stcp proxy whose visitor is in a frpc of its own: that of the old release, where
    /// the client is old.
    Visit {
        /// Both frpcs have this user.
        user: bool,
        /// The proxy lets any user in.
        allow_all: bool,
    },
}

/// A line of a configuration, in both formats.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) toml: &'static str,
    pub(super) ini: &'static str,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// For the table.
    pub name: &'static str,
    /// Which end is old.
    pub direction: Direction,
    /// The old end cannot do it before this release.
    pub since: Version,
    pub(super) server: &'static [Line],
    pub(super) client: &'static [Line],
    /// What users do.
    pub usage: Use,
}

const ANY: Version = Version(0, 0, 0);
const QUIC_SINCE: Version = Version(0, 46, 0);
const WSS_SINCE: Version = Version(0, 51, 0);
const V2_SINCE: Version = Version(0, 69, 0);

const fn line(toml: &'static str, ini: &'static str) -> Line {
    Line { toml, ini }
}

const MUX_OFF: Line = line("transport.tcpMux = false", "tcp_mux = false");
const TLS_OFF: Line = line("transport.tls.enable = false", "tls_enable = false");
const TLS_ON: Line = line("transport.tls.enable = true", "tls_enable = true");
const FIRST_BYTE: Line = line(
    "transport.tls.disableCustomTLSFirstByte = false",
    "disable_custom_tls_first_byte = false",
);
const TLS_ONLY: Line = line("transport.tls.force = true", "tls_only = true");
const KCP_PORT: Line = line("kcpBindPort = {port}", "kcp_bind_port = {port}");
const KCP: Line = line("transport.protocol = \"kcp\"", "protocol = kcp");
const WEBSOCKET: Line = line("transport.protocol = \"websocket\"", "protocol = websocket");
const WSS: Line = line("transport.protocol = \"wss\"", "protocol = wss");
const QUIC_PORT: Line = line("quicBindPort = {port}", "quic_bind_port = {port}");
const QUIC: Line = line("transport.protocol = \"quic\"", "protocol = quic");
const V2: Line = line("transport.wireProtocol = \"v2\"", "wire_protocol = v2");
const TOKEN: Line = line("auth.token = \"right\"", "token = right");
const WRONG_TOKEN: Line = line("auth.token = \"wrong\"", "token = wrong");
const SCOPES: Line = line(
    "auth.additionalScopes = [\"HeartBeats\", \"NewWorkConns\"]",
    "authenticate_heartbeats = true\nauthenticate_new_work_conns = true",
);
const PING: Line = line("transport.heartbeatInterval = 1", "heartbeat_interval = 1");
const SHORT_TIMEOUT: Line = line("transport.heartbeatTimeout = 3", "heartbeat_timeout = 3");

/// A new frpc where frps is old, and the other way round: the name, since when the old one can, the
/// lines of frps and of frpc, and what users do.
macro_rules! cases {
    ($($direction:ident {
        $($name:literal $($since:ident)?: [$($server:ident)*] [$($client:ident)*] $usage:expr;)*
    })*) => {
        &[$($(Case {
            name: $name,
            direction: Direction::$direction,
            since: cases!(@ $($since)?),
            server: &[$($server),*],
            client: &[$($client),*],
            usage: $usage,
        },)*)*]
    };
    (@) => { ANY };
    (@ $since:ident) => { $since };
}

/// Every row, in the order of the table.
pub const CASES: &[Case] = cases! {
    OldServer {
        "defaults, every kind": [] [] EveryKind;
        "tcpMux off, every kind": [MUX_OFF] [MUX_OFF] EveryKind;
        "TLS off, every kind": [] [TLS_OFF] EveryKind;
        "TLS with 0x17, every kind": [] [TLS_ON FIRST_BYTE] EveryKind;
        "kcp": [KCP_PORT] [KCP] EveryKind;
        "kcp, TLS off": [KCP_PORT] [KCP TLS_OFF] EveryKind;
        "kcp, TLS with 0x17": [KCP_PORT] [KCP TLS_ON FIRST_BYTE] EveryKind;
        "kcp, tcpMux off": [KCP_PORT MUX_OFF] [KCP MUX_OFF] EveryKind;
        "websocket": [] [WEBSOCKET] EveryKind;
        "websocket, TLS off": [] [WEBSOCKET TLS_OFF] EveryKind;
        "websocket, TLS with 0x17": [] [WEBSOCKET TLS_ON FIRST_BYTE] EveryKind;
        "quic" QUIC_SINCE: [QUIC_PORT] [QUIC] EveryKind;
        "wss straight to frps": [] [WSS] Tcp;
        "frps TLS-only": [TLS_ONLY] [] Tcp;
        "token, both scopes, interval 1": [TOKEN SCOPES] [TOKEN SCOPES PING] Stay;
        "wrong token": [TOKEN] [WRONG_TOKEN] Tcp;
        "tcpMux on, frps off": [MUX_OFF] [] Tcp;
        "no Ping, frps timeout 3 s": [SHORT_TIMEOUT] [FIRST_BYTE] Stay;
        "Ping each second, frps timeout 3 s": [SHORT_TIMEOUT] [FIRST_BYTE PING] Stay;
        "wireProtocol v2": [] [V2] EveryKind;
        "stcp, no user": [] [FIRST_BYTE] visit(false, false);
        "stcp, user set": [] [FIRST_BYTE] visit(true, false);
    }
    OldClient {
        "defaults, every kind": [] [] EveryKind;
        "tcpMux off, every kind": [MUX_OFF] [MUX_OFF] EveryKind;
        "TLS off, every kind": [] [TLS_OFF] EveryKind;
        "TLS with 0x17, every kind": [] [TLS_ON FIRST_BYTE] EveryKind;
        "kcp": [KCP_PORT] [KCP] EveryKind;
        "kcp, TLS on": [KCP_PORT] [KCP TLS_ON] EveryKind;
        "kcp, TLS off": [KCP_PORT] [KCP TLS_OFF] EveryKind;
        "kcp, tcpMux off": [KCP_PORT MUX_OFF] [KCP MUX_OFF] EveryKind;
        "websocket": [] [WEBSOCKET] EveryKind;
        "websocket, TLS on": [] [WEBSOCKET TLS_ON] EveryKind;
        "websocket, TLS off": [] [WEBSOCKET TLS_OFF] EveryKind;
        "quic" QUIC_SINCE: [QUIC_PORT] [QUIC] EveryKind;
        "wss straight to frps" WSS_SINCE: [] [WSS] Tcp;
        "frps TLS-only": [TLS_ONLY] [] Tcp;
        "token": [TOKEN] [TOKEN] Tcp;
        "token, both scopes, interval 1": [TOKEN SCOPES] [TOKEN SCOPES PING] Stay;
        "wrong token": [TOKEN] [WRONG_TOKEN] Tcp;
        "frps tcpMux off, frpc on": [MUX_OFF] [] Tcp;
        "Ping as by default, frps timeout 3 s": [SHORT_TIMEOUT] [] Stay;
        "Ping each second, frps timeout 3 s": [SHORT_TIMEOUT] [PING] Stay;
        "wireProtocol v2" V2_SINCE: [] [V2] EveryKind;
        "stcp visitor, no user": [] [] visit(false, false);
        "stcp visitor, user set": [] [] visit(true, false);
        "stcp visitor, user set, allowUsers *": [] [] visit(true, true);
    }
};

const fn visit(user: bool, allow_all: bool) -> Use {
    Use::Visit { user, allow_all }
}
