//! Keys of frpc outside `proxies` and `visitors`.

use super::shared::{
    HEARTBEAT_TIMEOUT, LOG, METHOD, QUIC, SCOPES, TCP_MUX, TCP_MUX_KEEPALIVE, TOKEN, TOKEN_SOURCE,
    UDP_PACKET_SIZE, VERSION, WEBSOCKET_PATH,
};
use super::{Ini, Key, Kind, PROXY, Rule, VISITOR, key};

/// The root of frpc's file.
pub(crate) const CLIENT: &[Key] = &[
    VERSION,
    key("auth", Kind::Table(AUTH), "Authentication."),
    key(
        "user",
        Kind::Text,
        "Prefix of the proxy names at frps, as in `user.name`.",
    )
    .ini("user"),
    key(
        "clientID",
        Kind::Text,
        "A stable name of this client at frps.",
    ),
    key("serverAddr", Kind::Text, "Host name or address of frps.")
        .text("0.0.0.0")
        .ini("server_addr")
        .rule(Rule::Host(Some("serverPort"))),
    key("serverPort", Kind::Int, "Port of frps (its bindPort).")
        .int(7000)
        .ini("server_port")
        .rule(Rule::UnheededPort),
    key("natHoleStunServer", Kind::Text, "STUN server, for xtcp.")
        .text("stun.easyvoip.com:3478")
        .ini("nat_hole_stun_server")
        .inert(),
    key(
        "dnsServer",
        Kind::Text,
        "DNS server that resolves all names of this program instead of the system; its port is 53 \
         where none is given.",
    )
    .ini("dns_server")
    .rule(Rule::DnsServer),
    key(
        "loginFailExit",
        Kind::Bool,
        "End when the first login fails, instead of trying again.",
    )
    .on()
    .ini("login_fail_exit"),
    key(
        "start",
        Kind::Texts,
        "Names of the proxies to run; empty for all.",
    )
    .ini("start"),
    LOG,
    key("webServer", Kind::Table(WEB_SERVER), "The admin interface."),
    key("transport", Kind::Table(TRANSPORT), "How frps is reached."),
    key(
        "virtualNet",
        Kind::Table(&[key(
            "address",
            Kind::Text,
            "Address of the virtual network, CIDR.",
        )
        .later()]),
        "Virtual network.",
    ),
    key(
        "featureGates",
        Kind::BoolMap,
        "Switches for features on trial.",
    ),
    UDP_PACKET_SIZE,
    key(
        "metadatas",
        Kind::TextMap,
        "Sent with the login, for plugins of frps.",
    )
    .ini_form(Ini::Prefix("meta_")),
    key(
        "includes",
        Kind::Texts,
        "More files with proxies and visitors.",
    )
    .ini("includes"),
    key(
        "store",
        Kind::Table(&[key("path", Kind::Text, "File of the entries made at run time.").later()]),
        "Entries made at run time.",
    ),
    key("proxies", Kind::TaggedList(&PROXY), "What is published."),
    key("visitors", Kind::TaggedList(&VISITOR), "What is visited."),
];

const AUTH: &[Key] = &[
    METHOD,
    SCOPES,
    TOKEN,
    key(
        "tokenSource",
        Kind::Table(TOKEN_SOURCE),
        "Where the token is read from.",
    ),
    key("oidc", Kind::Table(OIDC), "For auth.method oidc."),
];

const OIDC: &[Key] = &[
    key(
        "clientID",
        Kind::Text,
        "The id by which the issuer knows this frpc (client credentials grant).",
    )
    .ini("oidc_client_id"),
    key(
        "clientSecret",
        Kind::Secret,
        "The secret that goes with it. Sent as user and password of HTTP, or, where the issuer \
         refuses that, as parameters.",
    )
    .ini("oidc_client_secret"),
    key(
        "audience",
        Kind::Text,
        "The audience that the token is for, sent as parameter audience; empty sends none. frps \
         has the same in auth.oidc.audience.",
    )
    .ini("oidc_audience"),
    key(
        "scope",
        Kind::Text,
        "The scope that is asked for; sent even when empty.",
    )
    .ini("oidc_scope"),
    key(
        "tokenEndpointURL",
        Kind::Text,
        "The http or https URL where tokens are asked for: token_endpoint in the issuer's \
         /.well-known/openid-configuration.",
    )
    .ini("oidc_token_endpoint_url"),
    key(
        "additionalEndpointParams",
        Kind::TextMap,
        "More parameters of the request for a token.",
    )
    .ini_form(Ini::Prefix("oidc_additional_")),
    key(
        "trustedCaFile",
        Kind::Text,
        "CAs of the token endpoint, PEM; without it those that the system trusts.",
    ),
    key(
        "insecureSkipVerify",
        Kind::Bool,
        "Believe any certificate of the token endpoint.",
    ),
    key(
        "proxyURL",
        Kind::Secret,
        "Proxy to the token endpoint: http, https, socks5, socks5h or ntlm. Without it and without \
         trustedCaFile and insecureSkipVerify the environment decides (HTTP_PROXY, HTTPS_PROXY, \
         NO_PROXY).",
    )
    .rule(Rule::ProxyUrl),
    key(
        "tokenSource",
        Kind::Table(TOKEN_SOURCE),
        "Where the token is read from, anew each time that one is sent, instead of asking an \
         issuer for it; excludes the other keys.",
    ),
];

const WEB_SERVER: &[Key] = &[
    key("addr", Kind::Text, "Address to listen on.")
        .text("127.0.0.1")
        .ini("admin_addr")
        .rule(Rule::Host(Some("webServer.port"))),
    key("port", Kind::Int, "Port to listen on; 0 for none.")
        .ini("admin_port")
        .rule(Rule::Port),
    key("user", Kind::Text, "User name.").ini("admin_user"),
    key("password", Kind::Secret, "Password.").ini("admin_pwd"),
    key(
        "allowedHosts",
        Kind::Texts,
        "Names under which the web server answers without a password, beside addresses, \
         localhost, names without a dot, *.local, *.internal, *.lan, *.home.arpa and \
         webServer.addr; *.example.com is all below example.com, * any name. frp does not have \
         it and answers to any.",
    ),
    // Refused in `resolve`, and only where there is an admin interface.
    key("assetsDir", Kind::Text, "Directory of the pages.")
        .ini("assets_dir")
        .inert(),
    key(
        "pprofEnable",
        Kind::Bool,
        "Counts of what is alive at /debug/pprof/goroutine.",
    )
    .ini("pprof_enable"),
    key("tls", Kind::Table(WEB_TLS), "TLS for the admin interface."),
];

const WEB_TLS: &[Key] = &[
    key("certFile", Kind::Text, "Certificate, PEM."),
    key("keyFile", Kind::Text, "Key, PEM."),
    key("trustedCaFile", Kind::Text, "No effect.").inert(),
    key("serverName", Kind::Text, "No effect.").inert(),
];

const TRANSPORT: &[Key] = &[
    key(
        "protocol",
        Kind::Text,
        "Transport to frps; wss is websocket within TLS. auto, which frp does not have, tries those \
         of transport.order and keeps the first that carries a login.",
    )
    .text("tcp")
    .ini("protocol")
    .rule(Rule::OneOf {
        values: &["tcp", "kcp", "quic", "websocket", "wss", "auto"],
        ready: &["tcp", "kcp", "quic", "websocket", "wss", "auto"],
        refusal: "invalid transport.protocol, optional values are [tcp kcp quic websocket wss]",
    }),
    key(
        "order",
        Kind::Texts,
        "For transport.protocol auto: what to try, best first: tcp (with TLS), quic, wss, kcp, \
         websocket, tcp-plain (without TLS); each may have a port of its own, as in wss:443. \
         frp-rs's own.",
    )
    .depends("tcp, quic, wss, kcp; then tcp-plain, where transport.tls.enable is false")
    .rule(Rule::Ways),
    key(
        "wireProtocol",
        Kind::Text,
        "frp's wire protocol; v2 needs frps 0.69.",
    )
    .text("v1")
    .rule(Rule::OneOf {
        values: &["v1", "v2"],
        ready: &["v1", "v2"],
        refusal: "invalid transport.wireProtocol, optional values are [v1 v2]",
    }),
    key(
        "dialServerTimeout",
        Kind::Int,
        "Seconds until dialing frps, or the proxy to it, fails.",
    )
    .int(10)
    .ini("dial_server_timeout")
    .rule(Rule::NotNegative),
    key(
        "dialServerKeepalive",
        Kind::Int,
        "Seconds between TCP keep-alive probes; negative for none.",
    )
    .int(7200)
    .ini("dial_server_keepalive"),
    key(
        "connectServerLocalIP",
        Kind::Text,
        "Local address to dial from.",
    )
    .ini("connect_server_local_ip")
    .rule(Rule::Ip),
    key(
        "proxyURL",
        Kind::Secret,
        "Proxy to dial frps through, scheme://user:password@host:port: http or https (CONNECT), \
         socks5 or ntlm; not for kcp and quic.",
    )
    .depends("the environment variable http_proxy")
    .ini("http_proxy")
    .rule(Rule::ProxyUrl),
    key("poolCount", Kind::Int, "Work connections kept ready.")
        .int(1)
        .ini("pool_count"),
    TCP_MUX,
    TCP_MUX_KEEPALIVE,
    QUIC,
    key(
        "websocket",
        Kind::Table(WEBSOCKET),
        "Only for websocket and wss. frp does not have it.",
    ),
    Key {
        default: super::shared::HEARTBEAT_30,
        ..key(
            "heartbeatInterval",
            Kind::Int,
            "Seconds between heartbeats; negative for none.",
        )
        .ini("heartbeat_interval")
    },
    Key {
        default: super::shared::HEARTBEAT_90,
        ..HEARTBEAT_TIMEOUT
    },
    key("tls", Kind::Table(TLS), "TLS to frps."),
];

const WEBSOCKET: &[Key] = &[
    key(
        "path",
        Kind::Text,
        "Path of the request, perhaps with a query. frp-rs's own: frps of frp takes only the default.",
    )
    .text(WEBSOCKET_PATH),
    key(
        "headers",
        Kind::TextMap,
        "Headers of the request beside those of the protocol; Host and Origin take the place of \
         frp's, which name serverAddr. frp-rs's own.",
    ),
];

const TLS: &[Key] = &[
    key("enable", Kind::Bool, "Use TLS.").on().ini("tls_enable"),
    key(
        "disableCustomTLSFirstByte",
        Kind::Bool,
        "Begin with the TLS hello itself; false sends the byte 0x17 first.",
    )
    .on()
    .ini("disable_custom_tls_first_byte"),
    key("certFile", Kind::Text, "Certificate of this client, PEM.").ini("tls_cert_file"),
    key("keyFile", Kind::Text, "Its key, PEM.").ini("tls_key_file"),
    key(
        "trustedCaFile",
        Kind::Text,
        "CA that frps is verified against, PEM; without it frps is not verified.",
    )
    .ini("tls_trusted_ca_file"),
    key(
        "serverName",
        Kind::Text,
        "Name that the certificate of frps must have.",
    )
    .depends("serverAddr")
    .ini("tls_server_name"),
];
