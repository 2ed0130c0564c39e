//! Settings of frpc outside `proxies` and `visitors`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use frp_proto::fingerprint::Fingerprint;
use frp_proto::named;
use frp_proto::proxy_url::ProxyUrl;
use frp_proto::wire::WireProtocol;

use super::common::{
    Auth, DnsServer, LogConfig, QuicOptions, VirtualAddress, WEBSOCKET_REQUEST, WebServer,
    WebsocketOptions,
};
use super::key::{Ini, Rule};
use super::proxy::{PROXY, ProxyConfig};
use super::server::{ServerConfig, ServerTransport};
use super::setting::{Both, Setting};
use super::visitor::{VISITOR, VisitorConfig};
use crate::way::{Transport, TransportProtocol, Way};
use crate::{Feature, Secret, ValueSource};

settings! {
    /// Everything that frpc needs to know, checked and with defaults filled in.
    #[derive(Debug, Clone, PartialEq)]
    pub struct ClientConfig {
        key version: String = "version" "Accepted, no effect." .inert();
        table "auth" "Authentication." {
            /// `auth`
            flat auth: Auth;
            oidc: ClientOidc = "oidc" "For auth.method oidc.";
        }
        /// Empty for no prefix.
        user: String = "user" "Prefix of the proxy names at frps, as in `user.name`."
            .ini("user") .short_flag("user", 'u');
        /// Empty for none.
        client_id: String = "clientID" "A stable name of this client at frps." .flag("client-id");
        server_addr: String = "serverAddr" "Host name or address of frps."
            .text("0.0.0.0") .ini("server_addr") .rule(Rule::Host(Some(Self::server_port.key)))
            .any_flag("server-addr", Some('s'), Some("127.0.0.1"));
        server_port: u16 = "serverPort" "Port of frps (its bindPort)."
            .int(7000) .ini("server_port") .rule(Rule::UnheededPort)
            .short_flag("server-port", 'P');
        nat_hole_stun_server: String = "natHoleStunServer" "STUN server, for xtcp; one that has two addresses."
            .text("stun.easyvoip.com:3478") .ini("nat_hole_stun_server");
        /// By the whole process.
        dns_server: Option<DnsServer> = "dnsServer"
            "DNS server that resolves all names of this program instead of the system; its port is 53 \
             where none is given."
            .ini("dns_server") .flag("dns-server");
        login_fail_exit: bool = "loginFailExit"
            "End when the first login fails, instead of trying again."
            .on() .ini("login_fail_exit");
        /// Applied already to `proxies` and `visitors`.
        start: Vec<String> = "start" "Names of the proxies to run; empty for all." .ini("start");
        log: LogConfig = "log" "Log lines.";
        /// `None` when its port is 0.
        web_server: Option<WebServer> = "webServer" "The admin interface.";
        transport: ClientTransport = "transport" "How frps is reached.";
        table "virtualNet" "Virtual network." {
            virtual_net_address: Option<VirtualAddress> = "address"
                "Address of this machine in the virtual network, CIDR." .needs(Feature::Vnet);
        }
        feature_gates: BTreeMap<String, bool> = "featureGates" "Switches for features on trial.";
        udp_packet_size: i64 = like ServerConfig::udp_packet_size;
        metadatas: BTreeMap<String, String> = "metadatas"
            "Sent with the login, for plugins of frps."
            .ini_form(Ini::Prefix("meta_"));
        /// Their proxies and visitors are among those here.
        includes: Vec<String> = "includes" "More files with proxies and visitors." .ini("includes");
        table "store" "Proxies and visitors made at run time." {
            /// As written: relative to the directory of the file.
            store_path: Option<PathBuf> = "path"
                "File of the entries made at run time, by the API; relative paths begin where the \
                 configuration file is.";
        }
        /// Those that run: after the filters `start` and `enabled`, sorted by name.
        proxies: Vec<ProxyConfig> = "proxies" "What is published." .tagged(&PROXY);
        /// Those that run: after the filters `start` and `enabled`, sorted by name.
        visitors: Vec<VisitorConfig> = "visitors" "What is visited." .tagged(&VISITOR);
    }
}

impl ClientConfig {
    /// The keys outside `proxies` and `visitors`, and those that say which of these run, in which the two
    /// differ, in the order of their definitions. A table that only one of them has is named as a whole.
    #[must_use]
    pub fn differing_from(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        Self::differing(&mut Both {
            one: self,
            other,
            path: String::new(),
            found: &mut found,
        });
        let entries = [
            Self::start.key,
            Self::includes.key,
            Self::proxies.key,
            Self::visitors.key,
        ];
        found.retain(|path| entries.iter().all(|key| key.name != path));
        found
    }

    /// The same client on this way only. It has no proxies and no visitors, which do not depend on
    /// the way.
    #[must_use]
    pub fn by(&self, way: Way) -> Self {
        let mut cfg = self.clone();
        cfg.proxies = Vec::new();
        cfg.visitors = Vec::new();
        cfg.server_port = way.port.unwrap_or(self.server_port);
        cfg.transport.protocol = Transport::One(way.protocol);
        cfg.transport.tls.enable = !way.plain;
        cfg
    }
}

settings! {
    /// `auth.oidc.*` of frpc.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ClientOidc {
        client_id: String = "clientID"
            "The id by which the issuer knows this frpc (client credentials grant)."
            .ini("oidc_client_id");
        client_secret: Secret = "clientSecret"
            "The secret that goes with it. Sent as user and password of HTTP, or, where the issuer \
             refuses that, as parameters."
            .ini("oidc_client_secret");
        audience: String = "audience"
            "The audience that the token is for, sent as parameter audience; empty sends none. frps \
             has the same in auth.oidc.audience."
            .ini("oidc_audience");
        scope: String = "scope" "The scope that is asked for; sent even when empty."
            .ini("oidc_scope");
        token_endpoint_url: String = "tokenEndpointURL"
            "The http or https URL where tokens are asked for: token_endpoint in the issuer's \
             /.well-known/openid-configuration."
            .ini("oidc_token_endpoint_url");
        additional_endpoint_params: BTreeMap<String, Secret> = "additionalEndpointParams"
            "More parameters of the request for a token."
            .ini_form(Ini::Prefix("oidc_additional_"));
        trusted_ca_file: Option<PathBuf> = "trustedCaFile"
            "CAs of the token endpoint, PEM; without it those that the system trusts.";
        insecure_skip_verify: bool = "insecureSkipVerify"
            "Believe any certificate of the token endpoint.";
        proxy_url: Option<Secret> = "proxyURL"
            "Proxy to the token endpoint: http, https, socks5, socks5h or ntlm. Without it and without \
             trustedCaFile and insecureSkipVerify the environment decides (HTTP_PROXY, HTTPS_PROXY, \
             NO_PROXY)."
            .rule(Rule::ProxyUrl);
        token_source: Option<ValueSource> = "tokenSource"
            "Where the token is read from, anew each time that one is sent, instead of asking an \
             issuer for it; excludes the other keys.";
    }
}

settings! {
    /// How frpc reaches frps (`transport.*`).
    #[derive(Debug, Clone, PartialEq)]
    pub struct ClientTransport {
        protocol: Transport = "protocol"
            "Transport to frps; wss is websocket within TLS. auto, which frp does not have, tries those \
             of transport.order and keeps the first that carries a login."
            .text("tcp") .ini("protocol") .short_flag("protocol", 'p')
            .refusal("invalid transport.protocol, optional values are [tcp kcp quic websocket wss]")
            .some_need(TransportProtocol::NEED);
        key order: Vec<Way> = "order"
            "For transport.protocol auto: what to try, best first: tcp (with TLS), quic, wss, kcp, \
             websocket, tcp-plain (without TLS); each may have a port of its own, as in wss:443. \
             frp-rs's own."
            .depends("tcp, quic, wss, kcp; then tcp-plain, where transport.tls.enable is false")
            .some_need(TransportProtocol::NEED);
        wire_protocol: WireProtocol = "wireProtocol" "frp's wire protocol; v2 needs frps 0.69."
            .text("v1")
            .refusal("invalid transport.wireProtocol, optional values are [v1 v2]");
        dial_server_timeout: Duration = "dialServerTimeout"
            "Seconds until dialing frps, or the proxy to it, fails."
            .int(10) .ini("dial_server_timeout") .rule(Rule::NotNegative);
        dial_server_keepalive: Option<Duration> = "dialServerKeepalive"
            "Seconds between TCP keep-alive probes; negative for none."
            .int(7200) .ini("dial_server_keepalive");
        connect_server_local_ip: Option<IpAddr> = "connectServerLocalIP"
            "Local address to dial from."
            .ini("connect_server_local_ip");
        proxy_url: Option<ProxyUrl> = "proxyURL"
            "Proxy to dial frps through, scheme://user:password@host:port: http or https (CONNECT), \
             socks5 or ntlm; not for kcp and quic."
            .depends("the environment variable http_proxy") .ini("http_proxy");
        /// Whether `proxy_url` is from the environment.
        derived proxy_from_environment: bool;
        /// The sign is passed on as frp does.
        pool_count: i64 = "poolCount" "Work connections kept ready." .int(1) .ini("pool_count");
        tcp_mux: bool = like ServerTransport::tcp_mux;
        tcp_mux_keepalive_interval: Duration = like ServerTransport::tcp_mux_keepalive_interval;
        quic: QuicOptions = "quic" "Only for QUIC.";
        websocket: WebsocketOptions = "websocket"
            "Only for websocket and wss. frp does not have it."
            .keys(WEBSOCKET_REQUEST);
        /// `None` for no Pings. Off with `tcpMux`, as the mux has its own keep-alive.
        heartbeat_interval: Option<Duration> = "heartbeatInterval"
            "Seconds between heartbeats; negative for none."
            .depends("off with tcpMux, else 30") .ini("heartbeat_interval");
        heartbeat_timeout: Option<Duration> = like ServerTransport::heartbeat_timeout;
        tls: ClientTls = "tls" "TLS to frps.";
    }
}

settings! {
    /// TLS towards frps (`transport.tls.*`). Files are read when the connection is set up.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ClientTls {
        enable: bool = "enable" "Use TLS." .on() .ini("tls_enable") .flag("tls-enable");
        disable_custom_first_byte: bool = "disableCustomTLSFirstByte"
            "Begin with the TLS hello itself; false sends the byte 0x17 first."
            .on() .ini("disable_custom_tls_first_byte");
        cert_file: Option<PathBuf> = "certFile" "Certificate of this client, PEM."
            .ini("tls_cert_file");
        key_file: Option<PathBuf> = "keyFile" "Its key, PEM." .ini("tls_key_file");
        trusted_ca_file: Option<PathBuf> = "trustedCaFile"
            "CA that frps is verified against, PEM; without it frps is not verified."
            .ini("tls_trusted_ca_file");
        server_name: Option<String> = "serverName" "Name that the certificate of frps must have."
            .depends("serverAddr") .ini("tls_server_name") .flag("tls-server-name");
        pins: Vec<Fingerprint> = "pin"
            "Fingerprint of the key that frps must have, as `frps fingerprint` prints it: SHA256:...; of several \
             one will do. Checked beside trustedCaFile and trust = \"system\". frp-rs's own.";
        trust: Option<ServerTrust> = "trust"
            "Whose certificate frps may have: first-use remembers the key of the first login in knownServers and \
             refuses another one from then on; system takes what the CAs of this machine vouch for, with the name \
             serverName. Without it, pin and trustedCaFile any is taken, as in frp. frp-rs's own.";
        known_servers: Option<PathBuf> = "knownServers"
            "For trust first-use: the file that remembers keys, as lines of host:port and fingerprint. A relative \
             path begins at the configuration file. frp-rs's own."
            .depends("known_servers beside store.path, else in the folder that systemd gives (StateDirectory), else \
                      beside the configuration file");
    }
}

/// What `transport.tls.knownServers` is called where it has no name.
pub const KNOWN_SERVERS: &str = "known_servers";

named! {
    /// Who says that a key is that of frps.
    pub enum ServerTrust {
        /// The first login.
        FirstUse = "first-use",
        /// The CAs of this machine.
        System = "system",
    }
}

choices!(ServerTrust);

impl ClientTls {
    /// Whether the identity of frps is checked.
    #[must_use]
    pub fn checks_server(&self) -> bool {
        self.trusted_ca_file.is_some() || self.trust.is_some() || !self.pins.is_empty()
    }
}
