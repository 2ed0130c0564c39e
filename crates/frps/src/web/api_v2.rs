//! The second version of the API (frp `server/http/controller_v2.go`): pages, and filters that
//! refuse what they do not know.

use std::collections::BTreeMap;

use frp_proto::VERSION;
use frp_proto::names::{Named as _, ProxyType};
use jiff::{Span, Timestamp, ZonedDateTime};
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::Site;
use super::api::{
    ClientInfo, Domains, LoadBalancer, NO_PROXY, ServerCounts, ServerSettings, has_status, phase,
};
use super::route::V2;
use crate::proxy::spec::{HTTP_CONNECT, Kind};
use crate::stats::Stats;
use crate::stats::metrics::{DAYS, ProxyStats, Pruned, Published};
use frp_http::web::answer::ApiError;
use frp_http::web::paging::{Page, Paging, Search, status};
use frp_http::web::path::Query;

#[derive(Debug, Serialize)]
struct SystemInfo {
    version: &'static str,
    config: SystemConfig,
    status: ServerCounts,
}

/// Nothing is left out here, unlike in the first version.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SystemConfig {
    #[serde(flatten)]
    settings: ServerSettings,
    #[serde(rename = "allowPortsStr")]
    allow_ports: String,
    tls_force: bool,
}

#[derive(Debug, Serialize)]
struct Cleared {
    r#type: &'static str,
    #[serde(flatten)]
    pruned: Pruned,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct User {
    user: String,
    client_count: usize,
    proxy_count: usize,
}

#[derive(Debug, Serialize)]
struct ClientDetail {
    #[serde(flatten)]
    info: ClientInfo,
    status: ClientStatus,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClientStatus {
    phase: &'static str,
    cur_conns: u64,
    proxy_count: usize,
}

#[derive(Debug, Serialize)]
struct Proxy {
    name: String,
    user: String,
    #[serde(rename = "clientID")]
    client_id: String,
    spec: Spec,
    status: ProxyStatus,
}

/// `{"type":"tcp","tcp":{...}}`: the block is called as the type.
#[derive(Debug)]
struct Spec {
    kind: ProxyType,
    block: Block,
}

/// Empty while the proxy is closed.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Block {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadatas: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transport: Option<Transport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    load_balancer: Option<LoadBalancer>,
    #[serde(flatten)]
    own: Option<OwnSpec>,
}

/// What one type of proxy has and others have not.
#[derive(Debug, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum OwnSpec {
    Port {
        remote_port: u16,
    },
    Http {
        #[serde(flatten)]
        domains: Domains,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        locations: Vec<String>,
        #[serde(skip_serializing_if = "String::is_empty")]
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
        #[serde(rename = "routeByHTTPUser", skip_serializing_if = "String::is_empty")]
        route_by_http_user: String,
    },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Transport {
    use_encryption: bool,
    use_compression: bool,
    bandwidth_limit: String,
    bandwidth_limit_mode: String,
}

/// Bytes are those of today, times are Unix seconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProxyStatus {
    phase: &'static str,
    today_traffic_in: u64,
    today_traffic_out: u64,
    cur_conns: u64,
    last_start_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_close_at: Option<i64>,
}

/// Oldest day first.
#[derive(Debug, Serialize)]
struct Traffic {
    name: String,
    unit: &'static str,
    granularity: &'static str,
    history: Vec<TrafficOfDay>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TrafficOfDay {
    date: String,
    traffic_in: u64,
    traffic_out: u64,
}

/// The data that a request is answered with.
pub(super) fn answer(site: &Site, route: V2, query: &Query) -> Result<Box<RawValue>, ApiError> {
    let stats = &*site.stats;
    match route {
        V2::Users => users(stats, query).map(data),
        V2::SystemInfo => Ok(data(system_info(site))),
        V2::Prune => prune(stats, query).map(data),
        V2::Clients => clients(stats, query).map(data),
        V2::Client(key) => client(stats, &key).map(data),
        V2::Proxies => proxies(stats, query).map(data),
        V2::Proxy(name) => Ok(data(Proxy::from(proxy(stats, &name)?))),
        V2::Traffic(name) => Ok(data(traffic(proxy(stats, &name)?))),
    }
}

fn data(value: impl Serialize) -> Box<RawValue> {
    // Numbers, texts and maps with text keys only: nothing in them can fail.
    to_raw_value(&value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

fn system_info(site: &Site) -> SystemInfo {
    let policy = site.shared.policy();
    SystemInfo {
        version: VERSION,
        config: SystemConfig {
            settings: ServerSettings::of(&site.shared.bound, &policy),
            allow_ports: policy.allow_ports.to_string(),
            tls_force: policy.tls_force,
        },
        status: ServerCounts::of(&site.stats),
    }
}

fn prune(stats: &Stats, query: &Query) -> Result<Cleared, ApiError> {
    match query.value("type").to_lowercase().as_str() {
        "" => Err(ApiError::bad("type is required")),
        "offline_proxies" => Ok(Cleared {
            r#type: "offline_proxies",
            pruned: stats.metrics.prune(),
        }),
        _ => Err(ApiError::bad("type must be one of offline_proxies")),
    }
}

fn users(stats: &Stats, query: &Query) -> Result<Page<User>, ApiError> {
    let paging = Paging::of(query)?;
    let mut users: BTreeMap<String, User> = BTreeMap::new();
    let mut count = |user: String, clients: usize, proxies: usize| {
        let entry = users.entry(user.clone()).or_default();
        entry.user = user;
        entry.client_count += clients;
        entry.proxy_count += proxies;
    };
    for client in stats.clients.all() {
        count(client.user, 1, 0);
    }
    for proxy in stats.metrics.all() {
        count(proxy.user.to_string(), 0, 1);
    }
    let search = Search::of(query);
    let found = users.into_values();
    Ok(paging.page(found.filter(|user| search.finds(&[&user.user])).collect()))
}

fn clients(stats: &Stats, query: &Query) -> Result<Page<ClientInfo>, ApiError> {
    let paging = Paging::of(query)?;
    let status = status(query)?;
    let (id, run_id) = (query.value("clientID"), query.value("runID"));
    let search = Search::of(query);
    let clients = stats.clients.all().into_iter();
    let found = clients.map(ClientInfo::from).filter(|client| {
        query.given("user").is_none_or(|user| user == client.user)
            && (id.is_empty() || id == client.client_id)
            && (run_id.is_empty() || run_id == client.run_id)
            && has_status(&status, client.online)
            && search.finds(&[
                &client.key,
                &client.user,
                &client.client_id,
                &client.run_id,
                &client.version,
                client.wire_protocol,
                &client.hostname,
                &client.client_ip,
            ])
    });
    Ok(paging.page(found.collect()))
}

fn client(stats: &Stats, key: &str) -> Result<ClientDetail, ApiError> {
    let client = stats.clients.by_key(key);
    let client = client.ok_or_else(|| ApiError::not_found(format!("client {key} not found")))?;
    let mut proxies = stats.metrics.all();
    proxies.retain(|p| *p.user == *client.user && *p.client_id == *client.id());
    let status = ClientStatus {
        phase: phase(client.is_online()),
        cur_conns: proxies.iter().map(|proxy| proxy.connections).sum(),
        proxy_count: proxies.len(),
    };
    Ok(ClientDetail {
        info: client.into(),
        status,
    })
}

fn proxies(stats: &Stats, query: &Query) -> Result<Page<Proxy>, ApiError> {
    let paging = Paging::of(query)?;
    let status = status(query)?;
    let kind = query.value("type").to_lowercase();
    let wanted = match kind.as_str() {
        "" => None,
        kind => Some(kind.parse().map_err(|_| unknown_type())?),
    };
    let id = query.value("clientID");
    let search = Search::of(query);
    let mut found = stats.metrics.all();
    found.retain(|proxy| {
        let online = proxy.running.is_some();
        let places = proxy.running.as_ref().map(places).unwrap_or_default();
        let places: Vec<&str> = places.iter().map(String::as_str).collect();
        query.given("user").is_none_or(|user| *user == *proxy.user)
            && wanted.is_none_or(|kind: ProxyType| kind == proxy.kind)
            && (id.is_empty() || *id == *proxy.client_id)
            && has_status(&status, online)
            && (search.finds(&places)
                || search.finds(&[
                    &proxy.name,
                    proxy.kind.as_str(),
                    &proxy.user,
                    &proxy.client_id,
                    phase(online),
                ]))
    });
    found.sort_by(|a, b| (a.kind.as_str(), &a.name).cmp(&(b.kind.as_str(), &b.name)));
    Ok(paging.page(found).map(Proxy::from))
}

pub(super) fn unknown_type() -> ApiError {
    let mut types = ProxyType::ALL.to_vec();
    // In frp's text it is the last one.
    types.sort_by_key(|known| *known == ProxyType::Sudp);
    let names: Vec<&str> = types.iter().map(|known| known.as_str()).collect();
    ApiError::bad(format!("type must be one of {}", names.join(", ")))
}

fn proxy(stats: &Stats, name: &str) -> Result<ProxyStats, ApiError> {
    let proxy = stats.metrics.by_name(name);
    proxy.ok_or_else(|| ApiError::not_found(NO_PROXY))
}

fn traffic(proxy: ProxyStats) -> Traffic {
    let today = ZonedDateTime::now().date();
    let day = |(age, amount): (i64, &crate::stats::metrics::Amount)| TrafficOfDay {
        date: today.saturating_sub(Span::new().days(age)).to_string(),
        traffic_in: amount.inward,
        traffic_out: amount.outward,
    };
    let mut history: Vec<TrafficOfDay> = (0..).zip(&proxy.days).map(day).collect();
    history.reverse();
    debug_assert_eq!(history.len(), DAYS);
    Traffic {
        name: proxy.name.to_string(),
        unit: "bytes",
        granularity: "day",
        history,
    }
}

impl From<ProxyStats> for Proxy {
    fn from(proxy: ProxyStats) -> Self {
        Self {
            spec: Spec {
                kind: proxy.kind,
                block: proxy.running.as_ref().map(Block::of).unwrap_or_default(),
            },
            status: ProxyStatus {
                phase: phase(proxy.running.is_some()),
                today_traffic_in: proxy.days[0].inward,
                today_traffic_out: proxy.days[0].outward,
                cur_conns: proxy.connections,
                last_start_at: proxy.started.as_second(),
                last_close_at: proxy.closed.map(Timestamp::as_second),
            },
            name: proxy.name.to_string(),
            user: proxy.user.to_string(),
            client_id: proxy.client_id.to_string(),
        }
    }
}

impl Block {
    fn of(published: &Published) -> Self {
        let spec = &*published.spec;
        Self {
            annotations: spec.annotations.clone(),
            metadatas: spec.metas.clone(),
            transport: Some(Transport {
                use_encryption: spec.transport.encryption,
                use_compression: spec.transport.compression,
                bandwidth_limit: spec.transport.bandwidth_limit.clone(),
                bandwidth_limit_mode: spec.transport.bandwidth_limit_mode.clone(),
            }),
            load_balancer: Some(LoadBalancer::of(spec)),
            own: OwnSpec::of(published),
        }
    }
}

impl OwnSpec {
    fn of(Published { spec, port }: &Published) -> Option<Self> {
        match &spec.kind {
            Kind::Tcp { remote_port } | Kind::Udp { remote_port } => Some(Self::Port {
                remote_port: port.unwrap_or(*remote_port),
            }),
            Kind::Http(http) => Some(Self::Http {
                domains: Domains::of(&http.hosts),
                locations: http.locations.clone(),
                host_header_rewrite: http.host_header_rewrite.clone(),
            }),
            Kind::Https(hosts) => Some(Self::Https {
                domains: Domains::of(hosts),
            }),
            Kind::Tcpmux(tcpmux) => Some(Self::TcpMux {
                domains: Domains::of(&tcpmux.hosts),
                multiplexer: HTTP_CONNECT,
                route_by_http_user: tcpmux.route_by_http_user.clone(),
            }),
            Kind::Stcp(_) | Kind::Sudp(_) | Kind::Xtcp(_) => None,
        }
    }
}

/// Where users reach a proxy of its type: the port, or the host names.
pub(super) fn places(Published { spec, port }: &Published) -> Vec<String> {
    let port = port.or(spec.kind.remote_port());
    let (hosts, _) = spec.kind.hosts().unzip();
    let names = hosts.into_iter().flat_map(|hosts| {
        let custom = hosts.custom_domains.iter();
        custom.chain([&hosts.subdomain]).cloned()
    });
    port.map(|port| port.to_string())
        .into_iter()
        .chain(names)
        .collect()
}

impl Serialize for Spec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(Some(2))?;
        let kind = self.kind.as_str();
        map.serialize_entry("type", kind)?;
        map.serialize_entry(kind, &self.block)?;
        map.end()
    }
}
