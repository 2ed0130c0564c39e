//! Keys of `[[visitors]]`.

use super::proxy::{NAT_TRAVERSAL, tag};
use super::{Key, Kind, Rule, Support, Tagged, key};

/// One entry of `visitors`.
pub(crate) const VISITOR: Tagged = Tagged {
    what: "visitor",
    base: &[
        key(
            "name",
            Kind::Text,
            "Name of the visitor; unique in the file.",
        ),
        key("type", Kind::Text, "Type of the proxy that is visited.").ini("type"),
        key("enabled", Kind::Bool, "false skips the visitor.").on(),
        key(
            "transport",
            Kind::Table(&[
                key("useEncryption", Kind::Bool, "Encrypt to the proxy.").ini("use_encryption"),
                key("useCompression", Kind::Bool, "Compress to the proxy.").ini("use_compression"),
            ]),
            "How the bytes travel.",
        ),
        key("secretKey", Kind::Secret, "Shared with the proxy.").ini("sk"),
        key(
            "serverUser",
            Kind::Text,
            "User of the proxy; empty for one's own.",
        )
        .ini("server_user"),
        key("serverName", Kind::Text, "Name of the proxy.").ini("server_name"),
        key("bindAddr", Kind::Text, "Address to listen on.")
            .text("127.0.0.1")
            .ini("bind_addr")
            .rule(Rule::Host(Some("bindPort"))),
        key(
            "bindPort",
            Kind::Int,
            "Port to listen on; negative for none.",
        )
        .ini("bind_port")
        .rule(Rule::PortOrNone),
        key(
            "plugin",
            Kind::Tagged(&VISITOR_PLUGIN),
            "Replaces the listener.",
        )
        .later(),
    ],
    types: &[
        tag("stcp", &[], Support::Ready),
        tag("sudp", &[], Support::Ready),
        tag("xtcp", XTCP, Support::Later),
    ],
};

const XTCP: &[Key] = &[
    key("protocol", Kind::Text, "Protocol of the direct connection.")
        .text("quic")
        .ini("protocol")
        .rule(Rule::OneOf {
            values: &["quic", "kcp"],
            ready: &["quic", "kcp"],
            refusal: "protocol should be kcp or quic",
        }),
    key("keepTunnelOpen", Kind::Bool, "Keep the direct connection.").ini("keep_tunnel_open"),
    key(
        "maxRetriesAnHour",
        Kind::Int,
        "Attempts per hour to keep it.",
    )
    .int(8)
    .ini("max_retries_an_hour"),
    key("minRetryInterval", Kind::Int, "Seconds between attempts.")
        .int(90)
        .ini("min_retry_interval"),
    key("fallbackTo", Kind::Text, "Visitor that takes over.").ini("fallback_to"),
    key(
        "fallbackTimeoutMs",
        Kind::Int,
        "Milliseconds until it does.",
    )
    .int(1000)
    .ini("fallback_timeout_ms"),
    NAT_TRAVERSAL,
];

const VISITOR_PLUGIN: Tagged = Tagged {
    what: "visitor plugin",
    base: &[key("type", Kind::Text, "Which plugin.")],
    types: &[tag(
        "virtual_net",
        &[key("destinationIP", Kind::Text, "Address that is reached.").rule(Rule::Ip)],
        Support::Later,
    )],
};
