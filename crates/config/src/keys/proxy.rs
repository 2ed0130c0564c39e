//! Settings of one proxy of frpc.

use std::collections::BTreeMap;
use std::time::Duration;

use frp_proto::named;
use frp_proto::names::ProxyType;
use frp_proto::proxy_protocol::Version;

use super::guard::ProxyGuard;
use super::key::{Ini, Kind, Rule, Tagged};
use super::plugin::ClientPlugin;
use super::setting::{At, Listed, Of, Optional, Setting, Table};
use crate::features::Feature;
use crate::{BandwidthLimit, Secret};

/// One entry of `proxies`.
pub(crate) const PROXY: Tagged = Tagged {
    what: "proxy",
    base: ProxyConfig::KEYS,
    types: ProxyKind::TAGS,
};

settings! {
    /// One entry of `proxies`, checked and with defaults filled in.
    ///
    /// Two equal values mean that a reload leaves the running proxy alone.
    #[derive(Debug, Clone, PartialEq)]
    pub struct ProxyConfig {
        /// Without the `user` prefix.
        name: String = "name" "Name of the proxy; unique in the file."
            .short_flag("proxy-name", 'n') .always();
        key kind: String = "type" "What is published, and how." .ini("type") .always();
        key enabled: bool = "enabled" "false skips the proxy." .on() .as_given();
        annotations: BTreeMap<String, String> = "annotations" "Shown by frps." .flag("annotations");
        transport: ProxyTransport = "transport" "How the bytes travel.";
        metadatas: BTreeMap<String, String> = "metadatas" "For plugins of frps."
            .ini_form(Ini::Prefix("meta_")) .flag("metadatas");
        load_balancer: Option<LoadBalancer> = "loadBalancer" "Sharing with other proxies.";
        health_check: Option<HealthCheck> = "healthCheck" "Watching the local service.";
        guard: ProxyGuard = "guard"
            "Who may come to the proxy, and how often, beside what frps has set (docs/guards.md). It takes a frps of \
             frp-rs: with another one the proxy is not started.".as_given();
        sshd: ProxySshd = "sshd" "Of an OpenSSH server, which the proxy leads to.".as_given();
        local_ip: String = "localIP" "Host name or address of the local service."
            .text("127.0.0.1") .ini("local_ip") .rule(Rule::Host(Some(Self::local_port.key)))
            .short_flag("local-ip", 'i');
        local_port: u16 = "localPort" "Port of the local service."
            .ini("local_port") .rule(Rule::PortCalled("localPort: localPort"))
            .short_flag("local-port", 'l');
        plugin: Option<ClientPlugin> = "plugin" "A built-in service instead of a local one.";
        /// `type` and the keys that only this type has.
        tagged kind: ProxyKind;
    }
}

impl Listed for ProxyConfig {
    const TAGGED: &'static Tagged = &PROXY;
    const NAME: Of<Self, String> = Self::name;
    const TYPE: Of<Self, String> = Self::kind;
    const ENABLED: Of<Self, bool> = Self::enabled;
}

settings! {
    /// How the bytes of a proxy travel (`proxies[].transport.*`).
    #[derive(Debug, Clone, PartialEq)]
    pub struct ProxyTransport {
        use_encryption: bool = "useEncryption" "Encrypt between frpc and frps."
            .ini("use_encryption") .flag("ue");
        use_compression: bool = "useCompression" "Compress between frpc and frps (Snappy)."
            .ini("use_compression") .flag("uc");
        bandwidth_limit: Option<BandwidthLimit> = "bandwidthLimit"
            "Bytes per second of the whole proxy, such as `1MB` or `500KB` (1024-based)."
            .ini("bandwidth_limit") .flag("bandwidth-limit") .always();
        bandwidth_limit_mode: BandwidthLimitMode = "bandwidthLimitMode"
            "Which program holds the bytes back."
            .text("client") .ini("bandwidth_limit_mode") .flag("bandwidth-limit-mode")
            .refusal("bandwidth limit mode should be client or server");
        proxy_protocol: Option<Version> = "proxyProtocolVersion"
            "Header that tells the local service the user's address."
            .ini("proxy_protocol_version")
            .refusal("not support proxy protocol version: {}");
        real_ip: Option<RealIpMode> = "realIP"
            "Has the local service see who its user is, without a header: transparent dials from the user's own \
             address (Linux, CAP_NET_ADMIN), loopback from an address of 127.0.0.0/8 that stands for the user \
             (docs/real-ip.md). frp does not have it."
            .as_given();
    }
}

named! {
    /// From which address a local service is dialled.
    pub enum RealIpMode {
        /// The user's own.
        Transparent = "transparent",
        /// One of 127.0.0.0/8 that stands for the user.
        Loopback = "loopback",
    }
}

named! {
    /// Which program holds the bytes back.
    pub enum BandwidthLimitMode {
        /// frpc
        Client = "client",
        /// frps
        Server = "server",
    }
}

choices!(BandwidthLimitMode, HealthCheckType, Multiplexer, RealIpMode);

settings! {
    /// Proxies of one group share what they publish (`loadBalancer.*`).
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct LoadBalancer {
        /// Not empty.
        group: String = "group" "Proxies of one group share a port."
            .ini("group") .always();
        group_key: Secret = "groupKey" "Must be the same in the whole group." .ini("group_key");
    }
}

impl Optional for LoadBalancer {
    fn is_there(&self, _: &At<'_, Option<Self>>) -> bool {
        !self.group.is_empty()
    }
}

settings! {
    /// `sshd.*`
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct ProxySshd {
        /// Empty for none.
        log: String = "log"
            "Its log, \"journal\" or the path of a file: frpc follows it, and tells frps whose passwords it refuses, \
             so that guesses are banned by the user's true address (docs/guards.md). It takes a frps of frp-rs.";
    }
}

impl ProxySshd {
    /// What [`ProxySshd::log`] says where it is not the path of a file.
    pub const JOURNAL: &str = "journal";
}

/// `healthCheck.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// `type`
    pub kind: HealthCheckKind,
    /// `timeoutSeconds`
    pub timeout: Duration,
    /// `maxFailed`: failures in a row until the proxy is withdrawn.
    pub max_failed: u64,
    /// `intervalSeconds`
    pub interval: Duration,
}

/// What is asked of the local service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthCheckKind {
    /// That it accepts connections.
    Tcp,
    /// That it answers an HTTP request with success.
    Http {
        /// `path`
        path: String,
        /// `httpHeaders`
        headers: Vec<(String, String)>,
    },
}

named! {
    /// How a service is watched.
    pub(crate) enum HealthCheckType {
        Tcp = "tcp",
        Http = "http",
    }
}

settings! {
    /// What a [`HealthCheck`] is made of.
    #[derive(PartialEq)]
    pub(crate) struct HealthCheckKeys {
        kind: Option<HealthCheckType> = "type" "tcp or http."
            .ini("health_check_type") .refusal("not support health check type: {}")
            .some_need(&[("http", Feature::Http)]) .always();
        timeout: Duration = "timeoutSeconds" "Seconds until a check fails."
            .int(3) .ini("health_check_timeout_s") .rule(Rule::NegativeIsDefault) .as_given();
        max_failed: u64 = "maxFailed" "Failures in a row until the proxy is withdrawn."
            .int(1) .ini("health_check_max_failed") .rule(Rule::NegativeIsDefault) .as_given();
        interval: Duration = "intervalSeconds" "Seconds between checks."
            .int(10) .ini("health_check_interval_s") .rule(Rule::NegativeIsDefault) .always();
        path: String = "path" "Path of the http request." .ini("health_check_url");
        headers: Vec<HealthCheckHeader> = "httpHeaders" "Headers of the http request.";
    }
}

settings! {
    /// A header of the request.
    #[derive(PartialEq)]
    pub(crate) struct HealthCheckHeader {
        name: String = "name" "Name of the header." .always();
        value: String = "value" "Its value." .always();
    }
}

impl Setting for Option<HealthCheck> {
    const KIND: Kind = Kind::Table(HealthCheckKeys::KEYS);

    fn read(at: &At<'_, Self>) -> Self {
        let HealthCheckKeys {
            kind,
            timeout,
            max_failed,
            interval,
            path,
            headers,
        } = at.cast().read();
        Some(HealthCheck {
            kind: match kind? {
                HealthCheckType::Tcp => HealthCheckKind::Tcp,
                HealthCheckType::Http => HealthCheckKind::Http {
                    path,
                    headers: headers.into_iter().map(|h| (h.name, h.value)).collect(),
                },
            },
            timeout,
            max_failed,
            interval,
        })
    }
}

tagged! {
    /// The kind of a proxy with the keys of that kind.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum ProxyKind {
        /// A TCP port of frps leads to the local service.
        Tcp(PortProxy) = ProxyType::Tcp.as_str();
        /// A UDP port of frps leads to the local service.
        Udp(PortProxy) = ProxyType::Udp.as_str();
        /// HTTP requests for certain hosts.
        Http(HttpProxy) = ProxyType::Http.as_str(), needs(Http);
        /// TLS connections for certain hosts, passed on as they are.
        Https(Domains) = ProxyType::Https.as_str(), needs(Http);
        /// Streams asked for by HTTP CONNECT.
        Tcpmux(TcpmuxProxy) = ProxyType::Tcpmux.as_str(), needs(Http);
        /// TCP, only for visitors.
        Stcp(SecretAccess) = ProxyType::Stcp.as_str();
        /// UDP, only for visitors.
        Sudp(SecretAccess) = ProxyType::Sudp.as_str();
        /// TCP, only for visitors, which are reached directly.
        Xtcp(XtcpProxy) = ProxyType::Xtcp.as_str(), needs(Xtcp);
    }
}

settings! {
    /// Keys of types tcp and udp.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct PortProxy {
        remote_port: u16 = "remotePort" "Port of frps; 0 lets frps pick one."
            .ini("remote_port") .rule(Rule::UnheededPort) .short_flag("remote-port", 'r');
    }
}

settings! {
    /// Which hosts a proxy is for; at least one is given.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Domains {
        /// `*.` stands for anything below.
        custom_domains: Vec<String> = "customDomains" "Domains of the proxy."
            .ini("custom_domains") .short_flag("custom-domain", 'd');
        /// Empty for none.
        subdomain: String = "subdomain" "Name below subDomainHost of frps."
            .ini("subdomain") .flag("sd");
    }
}

settings! {
    /// Keys of type http.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct HttpProxy {
        /// `customDomains`, `subdomain`
        flat domains: Domains;
        /// Empty for all.
        locations: Vec<String> = "locations" "Path prefixes." .ini("locations") .flag("locations");
        http_user: String = "httpUser" "User name asked for." .ini("http_user") .flag("http-user");
        http_password: Secret = "httpPassword" "Password asked for."
            .ini("http_pwd") .flag("http-pwd");
        host_header_rewrite: String = "hostHeaderRewrite" "Host header for the local service."
            .ini("host_header_rewrite") .flag("host-header-rewrite");
        table "requestHeaders" "Headers of requests." {
            request_headers: BTreeMap<String, String> = "set" "Headers set on requests."
                .ini_form(Ini::Prefix("header_"));
        }
        table "responseHeaders" "Headers of answers." {
            response_headers: BTreeMap<String, String> = "set" "Headers set on answers.";
        }
        route_by_http_user: String = "routeByHTTPUser" "Only requests of this user."
            .ini("route_by_http_user");
    }
}

settings! {
    /// Keys of type tcpmux.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct TcpmuxProxy {
        /// `customDomains`, `subdomain`
        flat domains: Domains;
        http_user: String = like HttpProxy::http_user;
        http_password: Secret = like HttpProxy::http_password;
        route_by_http_user: String = like HttpProxy::route_by_http_user;
        multiplexer: Multiplexer = "multiplexer" "httpconnect."
            .ini("multiplexer") .flag("mux") .refusal("not support multiplexer: {}");
    }
}

named! {
    /// How a stream is asked for.
    pub enum Multiplexer {
        /// By HTTP CONNECT.
        HttpConnect = "httpconnect",
    }
}

settings! {
    /// Who may visit a proxy of type stcp, sudp or xtcp.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct SecretAccess {
        secret_key: Secret = "secretKey" "Shared with the visitor." .ini("sk") .flag("sk");
        /// Empty for the own user only.
        allow_users: Vec<String> = "allowUsers" "Users that may visit; * for all."
            .ini("allow_users") .flag("allow-users");
    }
}

settings! {
    /// Keys of type xtcp.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct XtcpProxy {
        /// Who may visit.
        flat access: SecretAccess;
        nat_traversal: NatTraversal = "natTraversal" "NAT traversal." .as_given();
    }
}

settings! {
    /// `natTraversal.*`
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct NatTraversal {
        disable_assisted_addrs: bool = "disableAssistedAddrs" "Do not offer local addresses.";
        port_mapping: bool = "portMapping"
            "Where there is a NAT, ask the router for a port that leads to the socket of the direct \
             connection (PCP, NAT-PMP or UPnP), and give it back afterwards. frp-rs's own."
            .on();
    }
}
