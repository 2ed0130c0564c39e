//! Keys that both programs have.

use super::{Fallback, Ini, Key, Kind, Rule, key};

pub(super) const METHOD: Key = key("method", Kind::Text, "How the programs authenticate.")
    .text("token")
    .ini("authentication_method")
    .rule(Rule::OneOf {
        values: &["token", "oidc"],
        ready: &["token"],
        refusal: "invalid auth method, optional values are [token oidc]",
    });

pub(super) const SCOPES: Key = key(
    "additionalScopes",
    Kind::Texts,
    "Messages beyond the login that carry authentication, too.",
)
.ini_form(Ini::Flags(&[
    ("authenticate_heartbeats", "HeartBeats"),
    ("authenticate_new_work_conns", "NewWorkConns"),
]))
.rule(Rule::OneOf {
    values: &["HeartBeats", "NewWorkConns"],
    ready: &["HeartBeats", "NewWorkConns"],
    refusal: "invalid auth additional scopes, optional values are [HeartBeats NewWorkConns]",
});

pub(super) const TOKEN: Key = key(
    "token",
    Kind::Secret,
    "The shared secret; must be the same on both sides.",
)
.ini("token");

pub(super) const TOKEN_SOURCE: &[Key] = &[
    key(
        "type",
        Kind::Text,
        "Where the token comes from: file or exec.",
    ),
    key(
        "file",
        Kind::Table(&[key(
            "path",
            Kind::Text,
            "The file; white space at its ends is dropped.",
        )]),
        "A file that holds the token.",
    ),
    key(
        "exec",
        Kind::Table(&[
            key("command", Kind::Text, "The program that prints the token."),
            key("args", Kind::Texts, "Its arguments."),
            key(
                "env",
                Kind::Tables(&[
                    key("name", Kind::Text, "Name of the variable."),
                    key("value", Kind::Secret, "Its value."),
                ]),
                "Environment variables added for it.",
            ),
        ]),
        "A program that prints the token.",
    ),
];

pub(super) const LOG: Key = key(
    "log",
    Kind::Table(&[
        key("to", Kind::Text, "`console`, or the path of a file.")
            .text("console")
            .ini("log_file"),
        key(
            "level",
            Kind::Text,
            "Least important lines that are written.",
        )
        .text("info")
        .ini("log_level")
        .rule(Rule::OneOf {
            values: &["trace", "debug", "info", "warn", "error"],
            ready: &["trace", "debug", "info", "warn", "error"],
            refusal: "invalid log level, optional values are [trace debug info warn error]",
        }),
        key("maxDays", Kind::Int, "Days that rotated files are kept.")
            .int(3)
            .ini("log_max_days"),
        key(
            "disablePrintColor",
            Kind::Bool,
            "No colours on the console.",
        )
        .ini("disable_log_color"),
    ]),
    "Log lines.",
);

pub(super) const QUIC: Key = key(
    "quic",
    Kind::Table(&[
        key(
            "keepalivePeriod",
            Kind::Int,
            "Seconds between keep-alives of a silent connection; negative for none. At most half of \
             maxIdleTimeout.",
        )
        .int(10)
        .ini("quic_keepalive_period"),
        key(
            "maxIdleTimeout",
            Kind::Int,
            "Seconds without a packet from the peer until a connection is given up; the lower of \
             both sides' counts.",
        )
        .int(30)
        .ini("quic_max_idle_timeout")
        .rule(Rule::NotNegative),
        key(
            "maxIncomingStreams",
            Kind::Int,
            "Streams, which are users, that one frpc may have open at a time. Only frps heeds it: \
             it opens none itself.",
        )
        .int(100_000)
        .ini("quic_max_incoming_streams")
        .rule(Rule::NotNegative),
    ]),
    "Only for QUIC.",
);

pub(super) const WEBSOCKET_PATH: &str = "/~!frp";

pub(super) const TCP_MUX: Key = key(
    "tcpMux",
    Kind::Bool,
    "All streams over one connection; must be the same on both sides.",
)
.on()
.ini("tcp_mux");

pub(super) const TCP_MUX_KEEPALIVE: Key = key(
    "tcpMuxKeepaliveInterval",
    Kind::Int,
    "Seconds between keep-alives of the shared connection.",
)
.int(30)
.ini("tcp_mux_keepalive_interval")
.rule(Rule::NotNegative);

pub(super) const HEARTBEAT_TIMEOUT: Key = key(
    "heartbeatTimeout",
    Kind::Int,
    "Seconds without a heartbeat until the session ends; negative for never.",
)
.ini("heartbeat_timeout");

pub(super) const VERSION: Key = key("version", Kind::Text, "Accepted, no effect.").inert();

pub(super) const UDP_PACKET_SIZE: Key = key(
    "udpPacketSize",
    Kind::Int,
    "Bytes of the largest datagram; must be the same on both sides.",
)
.int(1500)
.ini("udp_packet_size");

/// The default of a heartbeat key: off with `tcpMux`, as the mux has its own keep-alive.
pub(super) const HEARTBEAT_30: Fallback = Fallback::Depends("off with tcpMux, else 30");
/// See [`HEARTBEAT_30`].
pub(super) const HEARTBEAT_90: Fallback = Fallback::Depends("off with tcpMux, else 90");
