//! `proxies`: entries to settings.

use std::path::PathBuf;

use frp_proto::proxy_protocol::Version;

use super::{is_active, port, seconds};
use crate::bandwidth::parse_bandwidth;
use crate::check::{judge, judge_decoding, not_supported};
use crate::keys::{PLUGIN, PROXY, Support};
use crate::report::Report;
use crate::section::Section;
use crate::{
    BackendTls, BandwidthLimitMode, ClientPlugin, Domains, ForwardPlugin, HealthCheck,
    HealthCheckKind, HttpProxy, HttpsForwardPlugin, LoadBalancer, PluginLogin, PluginTls,
    ProxyConfig, ProxyKind, ProxyTransport, Secret, SecretAccess, TcpmuxProxy,
};

/// The proxies that are to run; only those must be free of unsupported and invalid values.
pub(super) fn proxies(
    entries: &[Section],
    start: &[String],
    legacy: bool,
    report: &mut Report<'_>,
) -> Vec<ProxyConfig> {
    let mut proxies = Vec::new();
    for entry in entries {
        let name = entry.text("name");
        let prefix = format!("proxy {name}: ");
        judge_decoding(entry, &prefix, report);
        if !is_active(entry, start) {
            continue;
        }
        if name.is_empty() {
            report.error(
                entry.at,
                format!("{prefix}name should not be empty"),
                "add name = \"...\"",
            );
        }
        let kind = entry.text("type");
        let tag = PROXY.tag(&kind);
        if tag.is_some_and(|tag| tag.support != Support::Ready) {
            let at = entry.value_at("type");
            not_supported(&prefix, &format!("type = {kind:?}"), at, report);
        }
        judge(entry, &prefix, legacy, report);
        check(entry, &kind, &prefix, report);
        proxies.push(proxy(entry, name, &kind, &prefix, report));
    }
    proxies.sort_by(|a, b| a.name.cmp(&b.name));
    proxies
}

/// Rules that concern several keys.
fn check(entry: &Section, kind: &str, prefix: &str, report: &mut Report<'_>) {
    let at = entry.value_at("type");
    if matches!(kind, "http" | "https" | "tcpmux")
        && entry.text("subdomain").is_empty()
        && entry.texts("customDomains").is_empty()
    {
        report.error(
            at,
            format!("{prefix}subdomain and custom domains should not be both empty"),
            "add customDomains = [\"...\"] or subdomain",
        );
    }
    if kind == "tcpmux" && entry.text("multiplexer").is_empty() {
        report.error(
            at,
            format!("{prefix}not support multiplexer: "),
            "add multiplexer = \"httpconnect\"",
        );
    }
    if entry.text("healthCheck.type") == "http" && entry.text("healthCheck.path").is_empty() {
        report.error(
            entry.value_at("healthCheck.type"),
            format!("{prefix}health check path should not be empty"),
            "add healthCheck.path, such as \"/\"",
        );
    }
}

fn proxy(
    entry: &Section,
    name: String,
    kind: &str,
    prefix: &str,
    report: &mut Report<'_>,
) -> ProxyConfig {
    ProxyConfig {
        name,
        annotations: entry.map("annotations"),
        metadatas: entry.map("metadatas"),
        transport: ProxyTransport {
            use_encryption: entry.bool("transport.useEncryption"),
            use_compression: entry.bool("transport.useCompression"),
            bandwidth_limit: parse_bandwidth(&entry.text("transport.bandwidthLimit"))
                .unwrap_or_default(),
            bandwidth_limit_mode: match entry.text("transport.bandwidthLimitMode").as_str() {
                "server" => BandwidthLimitMode::Server,
                _ => BandwidthLimitMode::Client,
            },
            proxy_protocol: match entry.text("transport.proxyProtocolVersion").as_str() {
                "v1" => Some(Version::V1),
                "v2" => Some(Version::V2),
                _ => None,
            },
        },
        load_balancer: entry
            .some_text("loadBalancer.group")
            .map(|group| LoadBalancer {
                group,
                group_key: Secret::from(entry.text("loadBalancer.groupKey")),
            }),
        health_check: health_check(entry),
        plugin: plugin(entry, prefix, report),
        local_ip: entry.text("localIP"),
        local_port: port(entry, "localPort"),
        kind: proxy_kind(entry, kind),
    }
}

fn health_check(entry: &Section) -> Option<HealthCheck> {
    let headers = || {
        let headers = entry.items("healthCheck.httpHeaders").iter();
        headers.map(|h| (h.text("name"), h.text("value"))).collect()
    };
    let kind = match entry.text("healthCheck.type").as_str() {
        "tcp" => HealthCheckKind::Tcp,
        "http" => HealthCheckKind::Http {
            path: entry.text("healthCheck.path"),
            headers: headers(),
        },
        _ => return None,
    };
    // Not only zero, but negative numbers, too, mean the default here.
    let positive = |key: &str, default: i64| match entry.int(key) {
        given if given > 0 => given,
        _ => default,
    };
    Some(HealthCheck {
        kind,
        timeout: seconds(positive("healthCheck.timeoutSeconds", 3)),
        max_failed: positive("healthCheck.maxFailed", 1).unsigned_abs(),
        interval: seconds(positive("healthCheck.intervalSeconds", 10)),
    })
}

fn proxy_kind(entry: &Section, kind: &str) -> ProxyKind {
    let domains = || Domains {
        custom_domains: entry.texts("customDomains"),
        subdomain: entry.text("subdomain"),
    };
    let access = || SecretAccess {
        secret_key: Secret::from(entry.text("secretKey")),
        allow_users: entry.texts("allowUsers"),
    };
    let remote_port = || port(entry, "remotePort");
    match kind {
        "udp" => ProxyKind::Udp {
            remote_port: remote_port(),
        },
        "http" => ProxyKind::Http(HttpProxy {
            domains: domains(),
            locations: entry.texts("locations"),
            http_user: entry.text("httpUser"),
            http_password: Secret::from(entry.text("httpPassword")),
            host_header_rewrite: entry.text("hostHeaderRewrite"),
            request_headers: entry.map("requestHeaders.set"),
            response_headers: entry.map("responseHeaders.set"),
            route_by_http_user: entry.text("routeByHTTPUser"),
        }),
        "https" => ProxyKind::Https(domains()),
        "tcpmux" => ProxyKind::Tcpmux(TcpmuxProxy {
            domains: domains(),
            http_user: entry.text("httpUser"),
            http_password: Secret::from(entry.text("httpPassword")),
            route_by_http_user: entry.text("routeByHTTPUser"),
        }),
        "stcp" => ProxyKind::Stcp(access()),
        "sudp" => ProxyKind::Sudp(access()),
        "xtcp" => ProxyKind::Xtcp {
            access: access(),
            disable_assisted_addrs: entry.bool("natTraversal.disableAssistedAddrs"),
        },
        _ => ProxyKind::Tcp {
            remote_port: remote_port(),
        },
    }
}

fn plugin(entry: &Section, prefix: &str, report: &mut Report<'_>) -> Option<ClientPlugin> {
    let table = entry.items("plugin").first()?;
    let kind = table.text("type");
    if PLUGIN
        .tag(&kind)
        .is_some_and(|tag| tag.support != Support::Ready)
    {
        let at = table.value_at("type");
        not_supported(prefix, &format!("plugin.type = {kind:?}"), at, report);
    }
    let required = match kind.as_str() {
        "http2https" | "https2http" | "https2https" | "tls2raw" => Some("localAddr"),
        "static_file" => Some("localPath"),
        "unix_domain_socket" => Some("unixPath"),
        _ => None,
    };
    if let Some(key) = required.filter(|key| table.text(key).is_empty()) {
        report.error(
            table.at,
            format!("{prefix}plugin {kind}: {key} is required"),
            &format!("add plugin.{key}"),
        );
    }
    let some_path = |key: &str| table.some_text(key).map(PathBuf::from);
    let forward = || ForwardPlugin {
        local_addr: table.text("localAddr"),
        host_header_rewrite: table.text("hostHeaderRewrite"),
        request_headers: table.map("requestHeaders.set"),
        backend_tls: BackendTls {
            trusted_ca_file: some_path("backendTrustedCaFile"),
            server_name: table.some_text("backendServerName"),
        },
    };
    let tls = || PluginTls {
        crt_path: some_path("crtPath"),
        key_path: some_path("keyPath"),
    };
    let https = || HttpsForwardPlugin {
        forward: forward(),
        enable_http2: table.bool("enableHTTP2"),
        tls: tls(),
    };
    let login = |user: &str, password: &str| PluginLogin {
        user: table.text(user),
        password: Secret::from(table.text(password)),
    };
    Some(match kind.as_str() {
        "http2https" => ClientPlugin::Http2Https(forward()),
        "http_proxy" => ClientPlugin::HttpProxy(login("httpUser", "httpPassword")),
        "https2http" => ClientPlugin::Https2Http(https()),
        "https2https" => ClientPlugin::Https2Https(https()),
        "http2http" => ClientPlugin::Http2Http(forward()),
        "socks5" => ClientPlugin::Socks5(login("username", "password")),
        "static_file" => ClientPlugin::StaticFile {
            local_path: PathBuf::from(table.text("localPath")),
            strip_prefix: table.text("stripPrefix"),
            login: login("httpUser", "httpPassword"),
        },
        "unix_domain_socket" => ClientPlugin::UnixDomainSocket {
            unix_path: PathBuf::from(table.text("unixPath")),
        },
        "tls2raw" => ClientPlugin::Tls2Raw {
            local_addr: table.text("localAddr"),
            tls: tls(),
        },
        "virtual_net" => ClientPlugin::VirtualNet,
        _ => return None,
    })
}
