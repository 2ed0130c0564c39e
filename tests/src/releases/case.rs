//! The cases: what is set at either end, and what is tried then.

use super::Version;

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

/// Every row, in the order of the table.
pub const CASES: &[Case] = &[
    // A new frpc and an old frps.
    to_old("defaults, every kind", ANY, &[], &[], Use::EveryKind),
    to_old(
        "tcpMux off, every kind",
        ANY,
        &[MUX_OFF],
        &[MUX_OFF],
        Use::EveryKind,
    ),
    to_old("TLS off, every kind", ANY, &[], &[TLS_OFF], Use::EveryKind),
    to_old(
        "TLS with 0x17, every kind",
        ANY,
        &[],
        &[TLS_ON, FIRST_BYTE],
        Use::EveryKind,
    ),
    to_old("kcp", ANY, &[KCP_PORT], &[KCP], Use::EveryKind),
    to_old(
        "kcp, TLS off",
        ANY,
        &[KCP_PORT],
        &[KCP, TLS_OFF],
        Use::EveryKind,
    ),
    to_old(
        "kcp, tcpMux off",
        ANY,
        &[KCP_PORT, MUX_OFF],
        &[KCP, MUX_OFF],
        Use::EveryKind,
    ),
    to_old("websocket", ANY, &[], &[WEBSOCKET], Use::EveryKind),
    to_old(
        "websocket, TLS off",
        ANY,
        &[],
        &[WEBSOCKET, TLS_OFF],
        Use::EveryKind,
    ),
    to_old("quic", QUIC_SINCE, &[QUIC_PORT], &[QUIC], Use::EveryKind),
    to_old("wss straight to frps", ANY, &[], &[WSS], Use::Tcp),
    to_old("frps TLS-only", ANY, &[TLS_ONLY], &[], Use::Tcp),
    to_old(
        "token, both scopes, interval 1",
        ANY,
        &[TOKEN, SCOPES],
        &[TOKEN, SCOPES, PING],
        Use::Stay,
    ),
    to_old("wrong token", ANY, &[TOKEN], &[WRONG_TOKEN], Use::Tcp),
    to_old("tcpMux on, frps off", ANY, &[MUX_OFF], &[], Use::Tcp),
    to_old(
        "no Ping, frps timeout 3 s",
        ANY,
        &[SHORT_TIMEOUT],
        &[FIRST_BYTE],
        Use::Stay,
    ),
    to_old(
        "Ping each second, frps timeout 3 s",
        ANY,
        &[SHORT_TIMEOUT],
        &[FIRST_BYTE, PING],
        Use::Stay,
    ),
    to_old("wireProtocol v2", ANY, &[], &[V2], Use::EveryKind),
    to_old(
        "stcp, no user",
        ANY,
        &[],
        &[FIRST_BYTE],
        visit(false, false),
    ),
    to_old(
        "stcp, user set",
        ANY,
        &[],
        &[FIRST_BYTE],
        visit(true, false),
    ),
    // An old frpc and a new frps.
    from_old("defaults, every kind", ANY, &[], &[], Use::EveryKind),
    from_old(
        "tcpMux off, every kind",
        ANY,
        &[MUX_OFF],
        &[MUX_OFF],
        Use::EveryKind,
    ),
    from_old("TLS off, every kind", ANY, &[], &[TLS_OFF], Use::EveryKind),
    from_old(
        "TLS with 0x17, every kind",
        ANY,
        &[],
        &[TLS_ON, FIRST_BYTE],
        Use::EveryKind,
    ),
    from_old("kcp", ANY, &[KCP_PORT], &[KCP], Use::EveryKind),
    from_old(
        "kcp, TLS on",
        ANY,
        &[KCP_PORT],
        &[KCP, TLS_ON],
        Use::EveryKind,
    ),
    from_old(
        "kcp, TLS off",
        ANY,
        &[KCP_PORT],
        &[KCP, TLS_OFF],
        Use::EveryKind,
    ),
    from_old(
        "kcp, tcpMux off",
        ANY,
        &[KCP_PORT, MUX_OFF],
        &[KCP, MUX_OFF],
        Use::EveryKind,
    ),
    from_old("websocket", ANY, &[], &[WEBSOCKET], Use::EveryKind),
    from_old(
        "websocket, TLS on",
        ANY,
        &[],
        &[WEBSOCKET, TLS_ON],
        Use::EveryKind,
    ),
    from_old(
        "websocket, TLS off",
        ANY,
        &[],
        &[WEBSOCKET, TLS_OFF],
        Use::EveryKind,
    ),
    from_old("quic", QUIC_SINCE, &[QUIC_PORT], &[QUIC], Use::EveryKind),
    from_old("wss straight to frps", WSS_SINCE, &[], &[WSS], Use::Tcp),
    from_old("frps TLS-only", ANY, &[TLS_ONLY], &[], Use::Tcp),
    from_old("token", ANY, &[TOKEN], &[TOKEN], Use::Tcp),
    from_old(
        "token, both scopes, interval 1",
        ANY,
        &[TOKEN, SCOPES],
        &[TOKEN, SCOPES, PING],
        Use::Stay,
    ),
    from_old("wrong token", ANY, &[TOKEN], &[WRONG_TOKEN], Use::Tcp),
    from_old("frps tcpMux off, frpc on", ANY, &[MUX_OFF], &[], Use::Tcp),
    from_old(
        "Ping as by default, frps timeout 3 s",
        ANY,
        &[SHORT_TIMEOUT],
        &[],
        Use::Stay,
    ),
    from_old(
        "Ping each second, frps timeout 3 s",
        ANY,
        &[SHORT_TIMEOUT],
        &[PING],
        Use::Stay,
    ),
    from_old("wireProtocol v2", V2_SINCE, &[], &[V2], Use::EveryKind),
    from_old("stcp visitor, no user", ANY, &[], &[], visit(false, false)),
    from_old("stcp visitor, user set", ANY, &[], &[], visit(true, false)),
    from_old(
        "stcp visitor, user set, allowUsers *",
        ANY,
        &[],
        &[],
        visit(true, true),
    ),
];

const fn visit(user: bool, allow_all: bool) -> Use {
    Use::Visit { user, allow_all }
}

const fn to_old(
    name: &'static str,
    since: Version,
    server: &'static [Line],
    client: &'static [Line],
    usage: Use,
) -> Case {
    Case {
        name,
        direction: Direction::OldServer,
        since,
        server,
        client,
        usage,
    }
}

const fn from_old(
    name: &'static str,
    since: Version,
    server: &'static [Line],
    client: &'static [Line],
    usage: Use,
) -> Case {
    Case {
        direction: Direction::OldClient,
        ..to_old(name, since, server, client, usage)
    }
}
