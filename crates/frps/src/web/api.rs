//! The first version of the API (frp `server/http/controller.go`), and the shapes that the second
//! one shares.

use std::collections::BTreeMap;

use frp_proto::VERSION;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::Site;
use crate::policy::{Bound, Policy};
use crate::proxy::spec::{HTTP_CONNECT, Hosts, Kind, ProxySpec};
use crate::stats::Stats;
use crate::stats::clients::Client;
use crate::stats::metrics::{ProxyStats, Published, Totals};
use frp_http::web::answer::ApiError;
use frp_http::web::path::Query;

pub(super) const NO_PROXY: &str = "no proxy info found";

/// `/api/serverinfo`
#[derive(Debug, Serialize)]
pub(super) struct ServerInfo {
    version: &'static str,
    #[serde(flatten)]
    config: ServerSettings,
    #[serde(rename = "allowPortsStr", skip_serializing_if = "String::is_empty")]
    allow_ports: String,
    #[serde(rename = "tlsForce", skip_serializing_if = "is_false")]
    tls_force: bool,
    #[serde(flatten)]
    counts: ServerCounts,
}

/// Settings that a dashboard shows; a port is 0 where nothing listens.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServerSettings {
    bind_port: u16,
    #[serde(rename = "vhostHTTPPort")]
    vhost_http_port: u16,
    #[serde(rename = "vhostHTTPSPort")]
    vhost_https_port: u16,
    #[serde(rename = "tcpmuxHTTPConnectPort")]
    tcpmux_http_connect_port: u16,
    kcp_bind_port: u16,
    quic_bind_port: u16,
    subdomain_host: String,
    max_pool_count: i64,
    max_ports_per_client: u64,
    /// Seconds; -1 for none.
    heartbeat_timeout: i64,
}

/// Bytes are those of today.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServerCounts {
    total_traffic_in: u64,
    total_traffic_out: u64,
    cur_conns: u64,
    client_counts: usize,
    proxy_type_count: BTreeMap<&'static str, u64>,
}

/// Times are Unix seconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClientInfo {
    pub(super) key: String,
    pub(super) user: String,
    #[serde(rename = "clientID")]
    pub(super) client_id: String,
    #[serde(rename = "runID")]
    pub(super) run_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) version: String,
    pub(super) wire_protocol: &'static str,
    pub(super) hostname: String,
    #[serde(rename = "clientIP")]
    pub(super) client_ip: String,
    /// Of `auth.tokens`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) token_name: String,
    first_connected_at: i64,
    last_connected_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    disconnected_at: Option<i64>,
    pub(super) online: bool,
}

/// `/api/proxy/{type}`
#[derive(Debug, Serialize)]
pub(super) struct Proxies {
    proxies: Vec<ProxyInfo>,
}

/// Bytes are those of today; times are local, `MM-DD HH:MM:SS`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProxyInfo {
    name: String,
    conf: Option<ProxyConf>,
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
    #[serde(rename = "clientID", skip_serializing_if = "String::is_empty")]
    client_id: String,
    today_traffic_in: u64,
    today_traffic_out: u64,
    cur_conns: u64,
    last_start_time: String,
    last_close_time: String,
    status: &'static str,
}

/// The proxy's configuration as far as frps knows it; what only frpc knows has the value that frp
/// puts there.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProxyConf {
    name: String,
    r#type: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    transport: ProxyTransport,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadatas: BTreeMap<String, String>,
    load_balancer: LoadBalancer,
    health_check: HealthCheck,
    #[serde(rename = "localIP")]
    local_ip: &'static str,
    plugin: Option<()>,
    #[serde(flatten)]
    own: OwnConf,
}

/// What one type of proxy has and others have not. frp leaves some out where they are empty, and
/// shows an absent list as null.
#[derive(Debug, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum OwnConf {
    Port {
        remote_port: u16,
    },
    Http {
        #[serde(flatten)]
        domains: Domains,
        locations: Option<Vec<String>>,
        host_header_rewrite: String,
    },
    Https {
        #[serde(flatten)]
        domains: Domains,
    },
    TcpMux {
        #[serde(flatten)]
        domains: Domains,
        multiplexer: &'static str,
        #[serde(rename = "routeByHTTPUser")]
        route_by_http_user: String,
    },
    /// frp shows a sudp proxy's `bandwidthLimit` as `{}`, whatever it is, and an object as its
    /// plugin; here they are as with the other types.
    Secret {},
}

/// The host names of a proxy.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Domains {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    custom_domains: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    subdomain: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProxyTransport {
    #[serde(skip_serializing_if = "is_false")]
    use_encryption: bool,
    #[serde(skip_serializing_if = "is_false")]
    use_compression: bool,
    bandwidth_limit: String,
    bandwidth_limit_mode: String,
}

/// Without the group's key, which frp shows.
#[derive(Debug, Serialize)]
pub(super) struct LoadBalancer {
    pub(super) group: String,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct HealthCheck {
    r#type: &'static str,
    interval_seconds: u64,
}

/// `/api/traffic/{name}`: bytes, today first.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Traffic {
    name: String,
    traffic_in: Vec<u64>,
    traffic_out: Vec<u64>,
}

/// The answer to a request that only does something.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Done {
    code: u16,
    msg: &'static str,
}

pub(super) fn server_info(site: &Site) -> ServerInfo {
    let policy = site.shared.policy();
    ServerInfo {
        version: VERSION,
        config: ServerSettings::of(&site.shared.bound, &policy),
        allow_ports: policy.allow_ports.to_string(),
        tls_force: policy.tls_force,
        counts: ServerCounts::of(&site.stats),
    }
}

/// `/api/clients`; a status that is none shows all, as in frp.
pub(super) fn clients(stats: &Stats, query: &Query) -> Vec<ClientInfo> {
    let status = query.value("status").to_lowercase();
    let wanted = |name: &str, value: &str| {
        let given = query.value(name);
        given.is_empty() || given == value
    };
    let mut clients = stats.clients.all();
    clients.retain(|client| {
        wanted("user", &client.user)
            && wanted("clientId", client.id())
            && wanted("runId", &client.run_id)
            && has_status(&status, client.is_online())
    });
    clients.into_iter().map(ClientInfo::from).collect()
}

/// `/api/clients/{key}`
pub(super) fn client(stats: &Stats, key: &str) -> Result<ClientInfo, ApiError> {
    let client = stats.clients.by_key(key);
    let client = client.ok_or_else(|| ApiError::not_found(format!("client {key} not found")))?;
    Ok(client.into())
}

/// `/api/proxy/{type}`
pub(super) fn proxies(stats: &Stats, kind: &str) -> Proxies {
    let mut proxies = stats.metrics.all();
    proxies.retain(|proxy| proxy.kind.as_str() == kind);
    Proxies {
        proxies: proxies.into_iter().map(ProxyInfo::from).collect(),
    }
}

/// `/api/proxy/{type}/{name}` and `/api/proxies/{name}`
pub(super) fn proxy(stats: &Stats, kind: Option<&str>, name: &str) -> Result<ProxyInfo, ApiError> {
    let proxy = stats.metrics.by_name(name);
    let proxy = proxy.filter(|proxy| kind.is_none_or(|kind| proxy.kind.as_str() == kind));
    Ok(proxy.ok_or_else(|| ApiError::not_found(NO_PROXY))?.into())
}

/// `/api/traffic/{name}`
pub(super) fn traffic(stats: &Stats, name: &str) -> Result<Traffic, ApiError> {
    let proxy = stats.metrics.by_name(name);
    let proxy = proxy.ok_or_else(|| ApiError::not_found(NO_PROXY))?;
    Ok(Traffic {
        name: proxy.name.to_string(),
        traffic_in: proxy.days.iter().map(|day| day.inward).collect(),
        traffic_out: proxy.days.iter().map(|day| day.outward).collect(),
    })
}

/// `DELETE /api/proxies?status=offline`
pub(super) fn clear(stats: &Stats, query: &Query) -> Result<Done, ApiError> {
    if query.value("status") != "offline" {
        return Err(ApiError::bad("status only support offline"));
    }
    stats.metrics.prune();
    Ok(Done {
        code: 200,
        msg: "success",
    })
}

/// Whether something online or not is asked for by `status`, which is in lower case.
pub(super) fn has_status(status: &str, online: bool) -> bool {
    match status {
        "online" => online,
        "offline" => !online,
        _ => true,
    }
}

impl ServerSettings {
    pub(super) fn of(bound: &Bound, policy: &Policy) -> Self {
        let heartbeat = policy.heartbeat_timeout;
        let heartbeat = heartbeat.and_then(|limit| i64::try_from(limit.as_secs()).ok());
        Self {
            bind_port: bound.bind_port,
            vhost_http_port: bound.vhost_http_port.unwrap_or(0),
            vhost_https_port: bound.vhost_https_port.unwrap_or(0),
            tcpmux_http_connect_port: bound.tcpmux_port.unwrap_or(0),
            kcp_bind_port: bound.kcp_port.unwrap_or(0),
            quic_bind_port: bound.quic_port.unwrap_or(0),
            subdomain_host: policy.sub_domain_host.clone(),
            max_pool_count: policy.max_pool_count,
            max_ports_per_client: policy.max_ports_per_client,
            heartbeat_timeout: heartbeat.unwrap_or(-1),
        }
    }
}

impl ServerCounts {
    pub(super) fn of(stats: &Stats) -> Self {
        let Totals {
            today,
            connections,
            types,
            ..
        } = stats.metrics.totals();
        Self {
            total_traffic_in: today.inward,
            total_traffic_out: today.outward,
            cur_conns: connections,
            client_counts: stats.clients.online(),
            proxy_type_count: types,
        }
    }
}

impl From<Client> for ClientInfo {
    fn from(client: Client) -> Self {
        Self {
            client_id: client.id().to_owned(),
            online: client.is_online(),
            key: client.key.to_string(),
            user: client.user,
            run_id: client.run_id,
            version: client.version,
            wire_protocol: client.wire_protocol.as_str(),
            hostname: client.hostname,
            client_ip: client.from.address.ip().to_string(),
            token_name: client.token.to_string(),
            first_connected_at: client.first_connected.as_second(),
            last_connected_at: client.last_connected.as_second(),
            disconnected_at: client.disconnected.map(Timestamp::as_second),
        }
    }
}

impl From<ProxyStats> for ProxyInfo {
    fn from(proxy: ProxyStats) -> Self {
        Self {
            conf: proxy.running.as_ref().map(ProxyConf::of),
            status: phase(proxy.running.is_some()),
            name: proxy.name.to_string(),
            user: proxy.user.to_string(),
            client_id: proxy.client_id.to_string(),
            today_traffic_in: proxy.days[0].inward,
            today_traffic_out: proxy.days[0].outward,
            cur_conns: proxy.connections,
            last_start_time: local_time(proxy.started),
            last_close_time: proxy.closed.map(local_time).unwrap_or_default(),
        }
    }
}

impl ProxyConf {
    fn of(published: &Published) -> Self {
        let spec = &*published.spec;
        Self {
            name: spec.name.to_string(),
            r#type: spec.proxy_type().as_str(),
            annotations: spec.annotations.clone(),
            transport: ProxyTransport {
                use_encryption: spec.transport.encryption,
                use_compression: spec.transport.compression,
                bandwidth_limit: spec.transport.bandwidth_limit.clone(),
                bandwidth_limit_mode: spec.transport.bandwidth_limit_mode.clone(),
            },
            metadatas: spec.metas.clone(),
            load_balancer: LoadBalancer::of(spec),
            health_check: HealthCheck::default(),
            local_ip: "127.0.0.1",
            plugin: None,
            own: OwnConf::of(published),
        }
    }
}

impl OwnConf {
    fn of(Published { spec, port }: &Published) -> Self {
        match &spec.kind {
            Kind::Tcp { remote_port } | Kind::Udp { remote_port } => Self::Port {
                remote_port: port.unwrap_or(*remote_port),
            },
            Kind::Http(http) => Self::Http {
                domains: Domains::of(&http.hosts),
                locations: Some(http.locations.clone()).filter(|list| !list.is_empty()),
                host_header_rewrite: http.host_header_rewrite.clone(),
            },
            Kind::Https(hosts) => Self::Https {
                domains: Domains::of(hosts),
            },
            Kind::Tcpmux(tcpmux) => Self::TcpMux {
                domains: Domains::of(&tcpmux.hosts),
                multiplexer: HTTP_CONNECT,
                route_by_http_user: tcpmux.route_by_http_user.clone(),
            },
            Kind::Stcp(_) | Kind::Sudp(_) | Kind::Xtcp(_) => Self::Secret {},
        }
    }
}

impl Domains {
    pub(super) fn of(hosts: &Hosts) -> Self {
        Self {
            custom_domains: hosts.custom_domains.clone(),
            subdomain: hosts.subdomain.clone(),
        }
    }
}

impl LoadBalancer {
    pub(super) fn of(spec: &ProxySpec) -> Self {
        Self {
            group: spec.group.name.clone(),
        }
    }
}

pub(super) fn phase(online: bool) -> &'static str {
    if online { "online" } else { "offline" }
}

fn local_time(at: Timestamp) -> String {
    let local = TimeZone::system().to_datetime(at);
    local.strftime("%m-%d %H:%M:%S").to_string()
}

// The signature is serde's.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !*value
}
