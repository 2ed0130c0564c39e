//! Keys of `[[proxies]]` and of their plugins.

use super::{Ini, Key, Kind, Rule, Support, Tag, Tagged, key};

/// One entry of `proxies`.
pub(crate) const PROXY: Tagged = Tagged {
    what: "proxy",
    base: BASE,
    types: &[
        tag("tcp", &[REMOTE_PORT], Support::Ready),
        tag("udp", &[REMOTE_PORT], Support::Ready),
        tag("http", HTTP, Support::Ready),
        tag("https", &[CUSTOM_DOMAINS, SUBDOMAIN], Support::Ready),
        tag("tcpmux", TCPMUX, Support::Ready),
        tag("stcp", &[SECRET_KEY, ALLOW_USERS], Support::Ready),
        tag("sudp", &[SECRET_KEY, ALLOW_USERS], Support::Ready),
        tag(
            "xtcp",
            &[SECRET_KEY, ALLOW_USERS, NAT_TRAVERSAL],
            Support::Later,
        ),
    ],
};

pub(super) const fn tag(name: &'static str, keys: &'static [Key], support: Support) -> Tag {
    Tag {
        name,
        keys,
        support,
    }
}

const BASE: &[Key] = &[
    key("name", Kind::Text, "Name of the proxy; unique in the file."),
    key("type", Kind::Text, "What is published, and how.").ini("type"),
    key("enabled", Kind::Bool, "false skips the proxy.").on(),
    key("annotations", Kind::TextMap, "Shown by frps."),
    key("transport", Kind::Table(TRANSPORT), "How the bytes travel."),
    key("metadatas", Kind::TextMap, "For plugins of frps.").ini_form(Ini::Prefix("meta_")),
    key(
        "loadBalancer",
        Kind::Table(LOAD_BALANCER),
        "Sharing with other proxies.",
    ),
    key(
        "healthCheck",
        Kind::Table(HEALTH_CHECK),
        "Watching the local service.",
    ),
    key(
        "localIP",
        Kind::Text,
        "Host name or address of the local service.",
    )
    .text("127.0.0.1")
    .ini("local_ip")
    .rule(Rule::Host(Some("localPort"))),
    key("localPort", Kind::Int, "Port of the local service.")
        .ini("local_port")
        .rule(Rule::Port),
    key(
        "plugin",
        Kind::Tagged(&PLUGIN),
        "A built-in service instead of a local one.",
    ),
];

const TRANSPORT: &[Key] = &[
    key(
        "useEncryption",
        Kind::Bool,
        "Encrypt between frpc and frps.",
    )
    .ini("use_encryption"),
    key(
        "useCompression",
        Kind::Bool,
        "Compress between frpc and frps (Snappy).",
    )
    .ini("use_compression"),
    key(
        "bandwidthLimit",
        Kind::Text,
        "Bytes per second of the whole proxy, such as `1MB` or `500KB` (1024-based).",
    )
    .ini("bandwidth_limit")
    .rule(Rule::Bandwidth),
    key(
        "bandwidthLimitMode",
        Kind::Text,
        "Which program holds the bytes back.",
    )
    .text("client")
    .ini("bandwidth_limit_mode")
    .rule(Rule::OneOf {
        values: &["client", "server"],
        ready: &["client", "server"],
        refusal: "bandwidth limit mode should be client or server",
    }),
    key(
        "proxyProtocolVersion",
        Kind::Text,
        "Header that tells the local service the user's address.",
    )
    .ini("proxy_protocol_version")
    .rule(Rule::OneOf {
        values: &["v1", "v2"],
        ready: &["v1", "v2"],
        refusal: "not support proxy protocol version: {}",
    }),
];

const LOAD_BALANCER: &[Key] = &[
    key("group", Kind::Text, "Proxies of one group share a port.").ini("group"),
    key(
        "groupKey",
        Kind::Secret,
        "Must be the same in the whole group.",
    )
    .ini("group_key"),
];

const HEALTH_CHECK: &[Key] = &[
    key("type", Kind::Text, "tcp or http.")
        .ini("health_check_type")
        .rule(Rule::OneOf {
            values: &["tcp", "http"],
            ready: &["tcp", "http"],
            refusal: "not support health check type: {}",
        }),
    key("timeoutSeconds", Kind::Int, "Seconds until a check fails.")
        .int(3)
        .ini("health_check_timeout_s"),
    key(
        "maxFailed",
        Kind::Int,
        "Failures in a row until the proxy is withdrawn.",
    )
    .int(1)
    .ini("health_check_max_failed"),
    key("intervalSeconds", Kind::Int, "Seconds between checks.")
        .int(10)
        .ini("health_check_interval_s"),
    key("path", Kind::Text, "Path of the http request.").ini("health_check_url"),
    key(
        "httpHeaders",
        Kind::Tables(&[
            key("name", Kind::Text, "Name of the header."),
            key("value", Kind::Text, "Its value."),
        ]),
        "Headers of the http request.",
    ),
];

const REMOTE_PORT: Key = key(
    "remotePort",
    Kind::Int,
    "Port of frps; 0 lets frps pick one.",
)
.ini("remote_port")
.rule(Rule::UnheededPort);

const CUSTOM_DOMAINS: Key =
    key("customDomains", Kind::Texts, "Domains of the proxy.").ini("custom_domains");
const SUBDOMAIN: Key =
    key("subdomain", Kind::Text, "Name below subDomainHost of frps.").ini("subdomain");
const HTTP_USER: Key = key("httpUser", Kind::Text, "User name asked for.").ini("http_user");
const HTTP_PASSWORD: Key = key("httpPassword", Kind::Secret, "Password asked for.").ini("http_pwd");
const ROUTE_BY_USER: Key =
    key("routeByHTTPUser", Kind::Text, "Only requests of this user.").ini("route_by_http_user");
const SECRET_KEY: Key = key("secretKey", Kind::Secret, "Shared with the visitor.").ini("sk");
const ALLOW_USERS: Key = key(
    "allowUsers",
    Kind::Texts,
    "Users that may visit; * for all.",
)
.ini("allow_users");
pub(super) const NAT_TRAVERSAL: Key = key(
    "natTraversal",
    Kind::Table(&[key(
        "disableAssistedAddrs",
        Kind::Bool,
        "Do not offer local addresses.",
    )]),
    "NAT traversal.",
);

const HTTP: &[Key] = &[
    CUSTOM_DOMAINS,
    SUBDOMAIN,
    key("locations", Kind::Texts, "Path prefixes.").ini("locations"),
    HTTP_USER,
    HTTP_PASSWORD,
    key(
        "hostHeaderRewrite",
        Kind::Text,
        "Host header for the local service.",
    )
    .ini("host_header_rewrite"),
    key(
        "requestHeaders",
        Kind::Table(&[
            key("set", Kind::TextMap, "Headers set on requests.").ini_form(Ini::Prefix("header_"))
        ]),
        "Headers of requests.",
    ),
    key(
        "responseHeaders",
        Kind::Table(&[key("set", Kind::TextMap, "Headers set on answers.")]),
        "Headers of answers.",
    ),
    ROUTE_BY_USER,
];

const TCPMUX: &[Key] = &[
    CUSTOM_DOMAINS,
    SUBDOMAIN,
    HTTP_USER,
    HTTP_PASSWORD,
    ROUTE_BY_USER,
    key("multiplexer", Kind::Text, "httpconnect.")
        .ini("multiplexer")
        .rule(Rule::OneOf {
            values: &["httpconnect"],
            ready: &["httpconnect"],
            refusal: "not support multiplexer: {}",
        }),
];

/// `proxies[].plugin`
pub(crate) const PLUGIN: Tagged = Tagged {
    what: "plugin",
    base: &[key("type", Kind::Text, "Which plugin.").ini("plugin")],
    types: &[
        tag(
            "http2https",
            &[
                LOCAL_ADDR,
                HOST_REWRITE,
                SET_HEADERS,
                BACKEND_CA,
                BACKEND_NAME,
            ],
            Support::Ready,
        ),
        tag(
            "http_proxy",
            &[PLUGIN_USER, PLUGIN_PASSWORD],
            Support::Ready,
        ),
        tag("https2http", HTTPS_TO, Support::Ready),
        tag("https2https", HTTPS_TO_HTTPS, Support::Ready),
        tag(
            "http2http",
            &[LOCAL_ADDR, HOST_REWRITE, SET_HEADERS],
            Support::Ready,
        ),
        tag(
            "socks5",
            &[
                key("username", Kind::Text, "User name asked for.").ini("plugin_user"),
                key("password", Kind::Secret, "Password asked for.").ini("plugin_passwd"),
            ],
            Support::Ready,
        ),
        tag(
            "static_file",
            &[
                key("localPath", Kind::Text, "The directory.").ini("plugin_local_path"),
                key(
                    "stripPrefix",
                    Kind::Text,
                    "Begin of the path of requests, for those below /stripPrefix/ only.",
                )
                .ini("plugin_strip_prefix"),
                PLUGIN_USER,
                PLUGIN_PASSWORD,
            ],
            Support::Ready,
        ),
        tag(
            "unix_domain_socket",
            &[key("unixPath", Kind::Text, "The socket.").ini("plugin_unix_path")],
            Support::Ready,
        ),
        tag("tls2raw", &[LOCAL_ADDR, CRT_PATH, KEY_PATH], Support::Ready),
        tag("virtual_net", &[], Support::Later),
    ],
};

const HTTPS_TO: &[Key] = &[
    LOCAL_ADDR,
    HOST_REWRITE,
    SET_HEADERS,
    ENABLE_HTTP2,
    CRT_PATH,
    KEY_PATH,
];
const HTTPS_TO_HTTPS: &[Key] = &[
    LOCAL_ADDR,
    HOST_REWRITE,
    SET_HEADERS,
    ENABLE_HTTP2,
    CRT_PATH,
    KEY_PATH,
    BACKEND_CA,
    BACKEND_NAME,
];

const ENABLE_HTTP2: Key = key("enableHTTP2", Kind::Bool, "Offer HTTP/2 to users.").on();
/// frp has neither of these two: it never checks who a plugin's local service is.
const BACKEND_CA: Key = key(
    "backendTrustedCaFile",
    Kind::Text,
    "Certificates that the local service's must be, or come from, PEM; without it anybody is \
     trusted, as in frp.",
);
const BACKEND_NAME: Key = key(
    "backendServerName",
    Kind::Text,
    "Name sent to the local service and looked for in its certificate; without it the host of \
     localAddr.",
);

const LOCAL_ADDR: Key =
    key("localAddr", Kind::Text, "host:port of the local service.").ini("plugin_local_addr");
const HOST_REWRITE: Key =
    key("hostHeaderRewrite", Kind::Text, "Host header for it.").ini("plugin_host_header_rewrite");
const SET_HEADERS: Key = key(
    "requestHeaders",
    Kind::Table(&[key("set", Kind::TextMap, "Headers set on requests.")
        .ini_form(Ini::Prefix("plugin_header_"))]),
    "Headers of requests.",
);
const CRT_PATH: Key = key("crtPath", Kind::Text, "Certificate, PEM.").ini("plugin_crt_path");
const KEY_PATH: Key = key("keyPath", Kind::Text, "Its key, PEM.").ini("plugin_key_path");
const PLUGIN_USER: Key =
    key("httpUser", Kind::Text, "User name asked for.").ini("plugin_http_user");
const PLUGIN_PASSWORD: Key =
    key("httpPassword", Kind::Secret, "Password asked for.").ini("plugin_http_passwd");
