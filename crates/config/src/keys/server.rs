//! Keys of frps.

use super::shared::{
    HEARTBEAT_TIMEOUT, LOG, METHOD, QUIC, SCOPES, TCP_MUX, TCP_MUX_KEEPALIVE, TOKEN, TOKEN_SOURCE,
    UDP_PACKET_SIZE, VERSION, WEBSOCKET_PATH,
};
use super::{Ini, Key, Kind, Rule, key};

/// The root of frps' file.
pub(crate) const SERVER: &[Key] = &[
    VERSION,
    key("auth", Kind::Table(AUTH), "Authentication."),
    key("bindAddr", Kind::Text, "Address to accept frpc on.")
        .text("0.0.0.0")
        .ini("bind_addr")
        .rule(Rule::Host(Some("bindPort"))),
    key("bindPort", Kind::Int, "Port to accept frpc on.")
        .int(7000)
        .ini("bind_port")
        .rule(Rule::Port),
    key(
        "kcpBindPort",
        Kind::Int,
        "UDP port to accept frpc on by kcp; it may have the number of bindPort. 0 for none.",
    )
    .ini("kcp_bind_port")
    .rule(Rule::Port),
    key("quicBindPort", Kind::Int, "UDP port for QUIC; 0 for none.")
        .ini("quic_bind_port")
        .rule(Rule::Port),
    key(
        "proxyBindAddr",
        Kind::Text,
        "Address that proxies listen on.",
    )
    .depends("bindAddr")
    .ini("proxy_bind_addr")
    .rule(Rule::Host(None)),
    key(
        "vhostHTTPPort",
        Kind::Int,
        "Port for http proxies; 0 for none.",
    )
    .ini("vhost_http_port")
    .rule(Rule::Port),
    key(
        "vhostHTTPTimeout",
        Kind::Int,
        "Seconds until a backend must answer.",
    )
    .int(60)
    .ini("vhost_http_timeout"),
    key(
        "vhostHTTPSPort",
        Kind::Int,
        "Port for https proxies; 0 for none.",
    )
    .ini("vhost_https_port")
    .rule(Rule::Port),
    key(
        "tcpmuxHTTPConnectPort",
        Kind::Int,
        "Port for tcpmux proxies; 0 for none.",
    )
    .ini("tcpmux_httpconnect_port")
    .rule(Rule::Port),
    key(
        "tcpmuxPassthrough",
        Kind::Bool,
        "Pass the CONNECT request on.",
    )
    .ini("tcpmux_passthrough"),
    key(
        "subDomainHost",
        Kind::Text,
        "Domain that subdomains are below.",
    )
    .ini("subdomain_host"),
    key(
        "custom404Page",
        Kind::Text,
        "File shown when no proxy matches.",
    )
    .ini("custom_404_page"),
    key(
        "sshTunnelGateway",
        Kind::Table(SSH_GATEWAY),
        "Tunnels by a plain ssh client.",
    ),
    key("webServer", Kind::Table(WEB_SERVER), "The dashboard."),
    key(
        "enablePrometheus",
        Kind::Bool,
        "Metrics at /metrics of the dashboard.",
    )
    .ini("enable_prometheus"),
    LOG,
    key(
        "transport",
        Kind::Table(TRANSPORT),
        "How frpc is talked to.",
    ),
    key(
        "detailedErrorsToClient",
        Kind::Bool,
        "Tell frpc the reason of an error.",
    )
    .on()
    .ini("detailed_errors_to_client"),
    key(
        "maxPortsPerClient",
        Kind::Int,
        "Ports that one client may have; 0 for any number.",
    )
    .ini("max_ports_per_client"),
    key(
        "userConnTimeout",
        Kind::Int,
        "Seconds that a user waits for a work connection.",
    )
    .int(10)
    .ini("user_conn_timeout")
    .rule(Rule::NotNegative),
    UDP_PACKET_SIZE,
    key(
        "natholeAnalysisDataReserveHours",
        Kind::Int,
        "Hours that xtcp remembers.",
    )
    .int(168)
    .ini("nat_hole_analysis_data_reserve_hours")
    .inert(),
    key(
        "allowPorts",
        Kind::Tables(ALLOW_PORTS),
        "Ports that clients may ask for; empty for all.",
    )
    .ini_form(Ini::Ports("allow_ports")),
    key(
        "httpPlugins",
        Kind::Tables(HTTP_PLUGINS),
        "Plugins asked over HTTP.",
    )
    .later(),
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
        "issuer",
        Kind::Text,
        "The http or https URL of the issuer whose tokens are accepted, as the issuer itself \
         writes it.",
    )
    .ini("oidc_issuer"),
    key(
        "audience",
        Kind::Text,
        "The audience that tokens must be for; empty accepts any.",
    )
    .ini("oidc_audience"),
    key("skipExpiryCheck", Kind::Bool, "Accept expired tokens.").ini("oidc_skip_expiry_check"),
    key(
        "skipIssuerCheck",
        Kind::Bool,
        "Accept tokens that name another issuer. They must be signed with a key of this one all \
         the same.",
    )
    .ini("oidc_skip_issuer_check"),
];

const SSH_GATEWAY: &[Key] = &[
    key(
        "bindPort",
        Kind::Int,
        "Port to accept ssh clients on; 0 for none.",
    )
    .rule(Rule::UnheededPort)
    .later(),
    key("privateKeyFile", Kind::Text, "Host key.").inert(),
    key(
        "autoGenPrivateKeyPath",
        Kind::Text,
        "Where a host key is made.",
    )
    .text("./.autogen_ssh_key")
    .inert(),
    key("authorizedKeysFile", Kind::Text, "Keys that may log in.").inert(),
];

const WEB_SERVER: &[Key] = &[
    key("addr", Kind::Text, "Address to listen on.")
        .text("127.0.0.1")
        .ini("dashboard_addr")
        .rule(Rule::Host(Some("webServer.port"))),
    key("port", Kind::Int, "Port to listen on; 0 for none.")
        .ini("dashboard_port")
        .rule(Rule::Port),
    key("user", Kind::Text, "User name.").ini("dashboard_user"),
    key("password", Kind::Secret, "Password.").ini("dashboard_pwd"),
    key(
        "allowedHosts",
        Kind::Texts,
        "Names under which the web server answers without a password, beside addresses, \
         localhost, names without a dot, *.local, *.internal, *.lan, *.home.arpa and \
         webServer.addr; *.example.com is all below example.com, * any name. frp does not have \
         it and answers to any.",
    ),
    // Refused in `resolve`, and only where there is a dashboard.
    key("assetsDir", Kind::Text, "Directory of the pages.")
        .ini("assets_dir")
        .inert(),
    key(
        "pprofEnable",
        Kind::Bool,
        "Counts of what is alive at /debug/pprof/goroutine.",
    )
    .ini("pprof_enable"),
    key("tls", Kind::Table(WEB_TLS), "TLS for the dashboard."),
];

const WEB_TLS: &[Key] = &[
    key("certFile", Kind::Text, "Certificate, PEM.").ini("dashboard_tls_cert_file"),
    key("keyFile", Kind::Text, "Its key, PEM.").ini("dashboard_tls_key_file"),
    key("trustedCaFile", Kind::Text, "No effect.").inert(),
    key("serverName", Kind::Text, "No effect.").inert(),
];

const TRANSPORT: &[Key] = &[
    TCP_MUX,
    TCP_MUX_KEEPALIVE,
    key(
        "tcpKeepalive",
        Kind::Int,
        "Seconds between TCP keep-alive probes; negative for none.",
    )
    .int(7200)
    .ini("tcp_keepalive"),
    key(
        "maxPoolCount",
        Kind::Int,
        "Ceiling of a client's poolCount.",
    )
    .int(5)
    .ini("max_pool_count"),
    Key {
        default: super::shared::HEARTBEAT_90,
        ..HEARTBEAT_TIMEOUT
    },
    QUIC,
    key(
        "websocket",
        Kind::Table(WEBSOCKET),
        "Websockets at bindPort. frp does not have it.",
    ),
    key("tls", Kind::Table(TLS), "TLS to frpc."),
];

const WEBSOCKET: &[Key] = &[
    key(
        "path",
        Kind::Text,
        "Path of the requests that are taken. frp-rs's own: frpc of frp sends only the default.",
    )
    .text(WEBSOCKET_PATH),
    key(
        "headers",
        Kind::TextMap,
        "Headers that a request must have with just these values, such as a secret that a CDN adds; \
         others are answered with 403. frp-rs's own.",
    ),
];

const TLS: &[Key] = &[
    key(
        "force",
        Kind::Bool,
        "Refuse connections without TLS; always so with trustedCaFile.",
    )
    .ini("tls_only"),
    key(
        "certFile",
        Kind::Text,
        "Certificate, PEM; without it or its key a self-signed one is made.",
    )
    .ini("tls_cert_file"),
    key("keyFile", Kind::Text, "Its key, PEM.").ini("tls_key_file"),
    key(
        "trustedCaFile",
        Kind::Text,
        "CA of the certificates that clients must then show, PEM.",
    )
    .ini("tls_trusted_ca_file"),
    key("serverName", Kind::Text, "No effect on frps.").inert(),
];

const ALLOW_PORTS: &[Key] = &[
    key("start", Kind::Int, "First port of a range.").rule(Rule::UnheededPort),
    key("end", Kind::Int, "Last port of the range.").rule(Rule::UnheededPort),
    key("single", Kind::Int, "One port, instead of a range.").rule(Rule::UnheededPort),
];

const OPS: &[&str] = &[
    "Login",
    "NewProxy",
    "CloseProxy",
    "Ping",
    "NewWorkConn",
    "NewUserConn",
];

const HTTP_PLUGINS: &[Key] = &[
    key("name", Kind::Text, "Name, for the log."),
    key("addr", Kind::Text, "host:port or URL of the plugin.").ini("addr"),
    key("path", Kind::Text, "Path of the request.").ini("path"),
    key("ops", Kind::Texts, "Operations that it is asked about.")
        .ini("ops")
        .rule(Rule::OneOf {
            values: OPS,
            ready: OPS,
            refusal: "invalid http plugin ops, optional values are [Login NewProxy CloseProxy Ping \
                      NewWorkConn NewUserConn]",
        }),
    key("tlsVerify", Kind::Bool, "Verify its certificate.").ini("tlsVerify"),
];
