//! What is there now (`/api/live`), for pages and scripts: clients, proxies, users' connections, failed logins.
//! Ours alone. Times are Unix milliseconds.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use frp_http::web::answer::{ApiError, json};
use frp_http::web::events;
use frp_http::web::paging::{Paging, Search, status};
use frp_http::web::path::Query;
use frp_process::process::{descriptors, resident};
use frp_proto::VERSION;
use frp_proto::names::ProxyType;
use jiff::Timestamp;
use serde::Serialize;

use super::Site;
use super::api::has_status;
use super::api_v2::{places, unknown_type};
use super::bans;
use super::route::Live;
use crate::client::handle::key_of;
use crate::stats::clients::Client;
use crate::stats::conns::Conn;
use crate::stats::logins::Failed;
use crate::stats::metrics::ProxyStats;

/// The server at one moment: counters only, so that it may be asked for all the time.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Overview {
    version: &'static str,
    started_at: i64,
    now: i64,
    clients: ClientCounts,
    proxies: ProxyCounts,
    connections: usize,
    /// Bytes since the start.
    traffic_in: u64,
    traffic_out: u64,
    today_in: u64,
    today_out: u64,
    strangers: usize,
    login_failures: u64,
    descriptors: OpenFiles,
    /// Bytes.
    memory: Option<u64>,
    revisions: Revisions,
}

#[derive(Debug, Serialize)]
struct ClientCounts {
    online: usize,
    offline: usize,
}

#[derive(Debug, Serialize)]
struct ProxyCounts {
    online: BTreeMap<&'static str, u64>,
    offline: usize,
}

#[derive(Debug, Default, Serialize)]
struct OpenFiles {
    used: Option<u64>,
    limit: Option<u64>,
}

/// Each grows whenever its list changes.
#[derive(Debug, Serialize)]
struct Revisions {
    clients: u64,
    proxies: u64,
    logins: u64,
    bans: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClientItem {
    key: String,
    user: String,
    #[serde(rename = "clientID")]
    client_id: String,
    #[serde(rename = "runID")]
    run_id: String,
    version: String,
    os: String,
    arch: String,
    hostname: String,
    /// The name of its token, of `auth.tokens`.
    token: String,
    address: String,
    transport: &'static str,
    tls: bool,
    mux: bool,
    wire_protocol: &'static str,
    first_connected_at: i64,
    last_connected_at: i64,
    disconnected_at: Option<i64>,
    online: bool,
    round_trip_ms: Option<f64>,
    proxies: u64,
    connections: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProxyItem {
    name: String,
    r#type: &'static str,
    client: String,
    user: String,
    online: bool,
    remote: String,
    connections: u64,
    today_in: u64,
    today_out: u64,
    last_start_at: i64,
    last_close_at: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ConnItem {
    id: String,
    proxy: String,
    r#type: &'static str,
    client: String,
    user: String,
    started_at: u64,
    r#in: u64,
    out: u64,
}

#[derive(Debug, Serialize)]
struct LoginItem {
    at: i64,
    address: String,
    user: String,
    version: String,
    transport: &'static str,
    /// What was wrong.
    cause: String,
    /// The same for programs.
    code: &'static str,
    cure: Option<&'static str>,
    count: u64,
}

#[derive(Debug, Serialize)]
struct Cleared {
    cleared: usize,
}

#[derive(Debug, Serialize)]
struct Done {}

/// The answer to a request.
pub(super) fn answer(site: &Site, route: Live, query: &Query) -> Result<Bytes, ApiError> {
    match route {
        Live::Overview | Live::Events => Ok(json(&overview(site))),
        Live::Clients => clients(site, query),
        Live::ForgetClients => forget_clients(site, query),
        Live::Client(key) => client(site, &key).map(|client| json(&ClientItem::of(&client))),
        Live::EndClient(key) => end_client(site, &key),
        Live::Proxies => proxies(site, query),
        Live::Connections => connections(site, query),
        Live::EndConnection(id) => end_connection(site, &id),
        Live::Logins => logins(site, query),
        Live::Bans => bans::list(site, query),
        Live::AddBan => bans::add(site, query),
        Live::RemoveBan(network) => bans::remove(site, &network),
    }
}

/// The event that tells listeners the overview.
pub(super) fn event(site: &Site) -> Bytes {
    events::event("overview", &json(&overview(site)))
}

fn overview(site: &Site) -> Overview {
    let stats = &*site.stats;
    let (clients, totals) = (stats.clients.counts(), stats.metrics.totals());
    let carried = totals.all_carried();
    let login_failures = stats.logins.counts().map(|(_, count)| count).sum();
    Overview {
        version: VERSION,
        started_at: stats.started.as_millisecond(),
        now: Timestamp::now().as_millisecond(),
        clients: ClientCounts {
            online: clients.online,
            offline: clients.offline,
        },
        proxies: ProxyCounts {
            online: totals.types,
            offline: totals.closed,
        },
        connections: site.shared.conns.open(),
        traffic_in: carried.inward,
        traffic_out: carried.outward,
        today_in: totals.today.inward,
        today_out: totals.today.outward,
        strangers: site.shared.strangers.waiting(),
        login_failures,
        descriptors: descriptors()
            .map(|files| OpenFiles {
                used: Some(files.used),
                limit: files.limit,
            })
            .unwrap_or_default(),
        memory: resident(),
        revisions: Revisions {
            clients: clients.revision,
            proxies: totals.revision,
            logins: login_failures,
            bans: site.shared.bans.revision(),
        },
    }
}

fn clients(site: &Site, query: &Query) -> Result<Bytes, ApiError> {
    let paging = Paging::of(query)?;
    let status = status(query)?;
    let search = Search::of(query);
    let mut found = site.stats.clients.all();
    found.retain(|client| {
        let address = client.from.address.to_string();
        has_status(&status, client.is_online())
            && search.finds(&[
                &client.key,
                &client.run_id,
                &client.version,
                &client.os,
                &client.arch,
                &client.hostname,
                client.from.transport.as_str(),
                &address,
            ])
    });
    let sort: fn(&Client, &Client) -> Ordering = match query.value("sort") {
        "" | "user" => |a, b| (&a.user, a.id()).cmp(&(&b.user, b.id())),
        "version" => |a, b| by_number(&a.version, &b.version),
        "address" => |a, b| a.from.address.cmp(&b.from.address),
        "since" => |a, b| a.last_connected.cmp(&b.last_connected),
        "connections" => |a, b| conns_of(a).cmp(&conns_of(b)),
        // Each is looked up once.
        "roundTrip" => {
            let mut keyed: Vec<_> = found.into_iter().map(|c| (round_trip(&c), c)).collect();
            // What is not known is last in either order.
            let backwards = backwards(query)?;
            keyed.sort_by(|(a, _), (b, _)| match (a, b) {
                (Some(a), Some(b)) if backwards => b.cmp(a),
                (Some(a), Some(b)) => a.cmp(b),
                (a, b) => b.is_some().cmp(&a.is_some()),
            });
            let found = keyed.into_iter().map(|(_, client)| client).collect();
            return Ok(json(
                &paging.page(found).map(|client| ClientItem::of(&client)),
            ));
        }
        _ => {
            let text = "sort must be one of user, version, address, since, roundTrip, connections";
            return Err(ApiError::bad(text));
        }
    };
    arrange(&mut found, sort, query)?;
    Ok(json(
        &paging.page(found).map(|client| ClientItem::of(&client)),
    ))
}

fn client(site: &Site, key: &str) -> Result<Client, ApiError> {
    let client = site.stats.clients.by_key(key);
    client.ok_or_else(|| ApiError::not_found(format!("client {key} not found")))
}

fn end_client(site: &Site, key: &str) -> Result<Bytes, ApiError> {
    match client(site, key)?.session {
        Some(session) => session.ended.cancel(),
        // It may have come back just now.
        None => drop(site.stats.clients.forget(key)),
    }
    Ok(json(&Done {}))
}

fn forget_clients(site: &Site, query: &Query) -> Result<Bytes, ApiError> {
    if query.value("status") != "offline" {
        return Err(ApiError::bad("status only support offline"));
    }
    let clients = &site.stats.clients;
    let offline = clients.all().into_iter().filter(|c| !c.is_online());
    let cleared = offline.filter(|client| clients.forget(&client.key)).count();
    Ok(json(&Cleared { cleared }))
}

fn proxies(site: &Site, query: &Query) -> Result<Bytes, ApiError> {
    let paging = Paging::of(query)?;
    let status = status(query)?;
    let wanted: Option<ProxyType> = match query.value("type").to_lowercase().as_str() {
        "" => None,
        kind => Some(kind.parse().map_err(|_| unknown_type())?),
    };
    let owner = query.value("client");
    let search = Search::of(query);
    let mut found = site.stats.metrics.all();
    found.retain(|proxy| {
        wanted.is_none_or(|kind| kind == proxy.kind)
            && has_status(&status, proxy.running.is_some())
            && (owner.is_empty() || is_of(proxy, owner))
            && (search.finds(&[&proxy.name, &proxy.user, &proxy.client_id])
                || search.finds(&[&remote(proxy)]))
    });
    let sort: fn(&ProxyStats, &ProxyStats) -> Ordering = match query.value("sort") {
        // As they are.
        "" | "name" => |_, _| Ordering::Equal,
        "type" => |a, b| a.kind.as_str().cmp(b.kind.as_str()),
        "client" => |a, b| (&a.user, &a.client_id).cmp(&(&b.user, &b.client_id)),
        "connections" => |a, b| a.users.cmp(&b.users),
        "in" => |a, b| a.days[0].inward.cmp(&b.days[0].inward),
        "out" => |a, b| a.days[0].outward.cmp(&b.days[0].outward),
        _ => {
            let text = "sort must be one of name, type, client, connections, in, out";
            return Err(ApiError::bad(text));
        }
    };
    if backwards(query)? && matches!(query.value("sort"), "" | "name") {
        found.reverse();
    } else {
        arrange(&mut found, sort, query)?;
    }
    Ok(json(&paging.page(found).map(ProxyItem::from)))
}

fn connections(site: &Site, query: &Query) -> Result<Bytes, ApiError> {
    let paging = Paging::of(query)?;
    let (proxy, owner) = (query.value("proxy"), query.value("client"));
    let search = Search::of(query);
    let conns = &site.shared.conns;
    let found = conns.find(|conn| {
        let spec = &conn.owner.spec;
        (proxy.is_empty() || *spec.name == *proxy)
            && (owner.is_empty() || conn.owner.client.key() == owner)
            && (search.finds(&[&spec.name]) || search.finds(&[&user_of(conn)]))
    });
    let item = |conn: std::sync::Arc<Conn>| {
        let spec = &conn.owner.spec;
        ConnItem {
            id: conn.id(),
            proxy: spec.name.to_string(),
            r#type: spec.proxy_type().as_str(),
            client: conn.owner.client.key(),
            user: user_of(&conn),
            started_at: conns.started(&conn).as_millis() as u64,
            r#in: conn.traffic.near_to_far(),
            out: conn.traffic.far_to_near(),
        }
    };
    Ok(json(&paging.page(found).map(item)))
}

fn end_connection(site: &Site, id: &str) -> Result<Bytes, ApiError> {
    let conn = site.shared.conns.by_id(id);
    let conn = conn.ok_or_else(|| ApiError::not_found(format!("connection {id} not found")))?;
    site.shared.conns.end(&conn);
    Ok(json(&Done {}))
}

fn logins(site: &Site, query: &Query) -> Result<Bytes, ApiError> {
    let paging = Paging::of(query)?;
    let search = Search::of(query);
    let mut recent = site.stats.logins.recent();
    recent.retain(|failed| {
        let address = failed.address.to_string();
        search.finds(&[&address, &failed.user, &failed.version, &failed.text])
    });
    Ok(json(&paging.page(recent).map(LoginItem::from)))
}

/// Sorts as the query wants it; what is equal stays as it is.
fn arrange<T>(
    found: &mut [T],
    order: impl Fn(&T, &T) -> Ordering,
    query: &Query,
) -> Result<(), ApiError> {
    match backwards(query)? {
        true => found.sort_by(|a, b| order(b, a)),
        false => found.sort_by(order),
    }
    Ok(())
}

/// `order`
fn backwards(query: &Query) -> Result<bool, ApiError> {
    match query.value("order") {
        "" | "asc" => Ok(false),
        "desc" => Ok(true),
        _ => Err(ApiError::bad("order must be one of asc, desc")),
    }
}

/// As versions are: 0.9 before 0.10.
fn by_number(a: &str, b: &str) -> Ordering {
    let parts = |version: &str| -> Vec<u64> {
        let parts = version.split(|c: char| !c.is_ascii_digit());
        parts.map(|part| part.parse().unwrap_or(0)).collect()
    };
    parts(a).cmp(&parts(b)).then_with(|| a.cmp(b))
}

fn conns_of(client: &Client) -> u64 {
    let session = client.session.as_ref();
    session.map_or(0, |session| session.conns.load(Relaxed))
}

fn round_trip(client: &Client) -> Option<Duration> {
    client.session.as_ref()?.round_trip()
}

/// Where a user comes from; empty where that is not known.
fn user_of(conn: &Conn) -> String {
    conn.from.map(|from| from.to_string()).unwrap_or_default()
}

/// Where users reach a proxy, as text.
fn remote(proxy: &ProxyStats) -> String {
    let places = proxy.running.as_ref().map(places).unwrap_or_default();
    let places: Vec<&str> = places.iter().map(String::as_str).collect();
    let mut text = String::new();
    for place in places.into_iter().filter(|place| !place.is_empty()) {
        if !text.is_empty() {
            text += ", ";
        }
        text += place;
    }
    text
}

fn is_of(proxy: &ProxyStats, key: &str) -> bool {
    match &*proxy.user {
        "" => *proxy.client_id == *key,
        user => {
            let id = key
                .strip_prefix(user)
                .and_then(|rest| rest.strip_prefix('.'));
            id == Some(&*proxy.client_id)
        }
    }
}

impl ClientItem {
    fn of(client: &Client) -> Self {
        let session = client.session.as_ref();
        let millis = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e3;
        Self {
            key: client.key.to_string(),
            user: client.user.clone(),
            client_id: client.id().to_owned(),
            run_id: client.run_id.clone(),
            version: client.version.clone(),
            os: client.os.clone(),
            arch: client.arch.clone(),
            hostname: client.hostname.clone(),
            token: client.token.to_string(),
            address: client.from.address.to_string(),
            transport: client.from.transport.as_str(),
            tls: client.from.tls,
            mux: client.from.mux,
            wire_protocol: client.wire_protocol.as_str(),
            first_connected_at: client.first_connected.as_millisecond(),
            last_connected_at: client.last_connected.as_millisecond(),
            disconnected_at: client.disconnected.map(Timestamp::as_millisecond),
            online: client.is_online(),
            round_trip_ms: round_trip(client).map(millis),
            proxies: session.map_or(0, |session| session.proxies.load(Relaxed)),
            connections: conns_of(client),
        }
    }
}

impl From<ProxyStats> for ProxyItem {
    fn from(proxy: ProxyStats) -> Self {
        Self {
            remote: remote(&proxy),
            client: key_of(&proxy.user, &proxy.client_id),
            name: proxy.name.to_string(),
            r#type: proxy.kind.as_str(),
            user: proxy.user.to_string(),
            online: proxy.running.is_some(),
            connections: proxy.users,
            today_in: proxy.days[0].inward,
            today_out: proxy.days[0].outward,
            last_start_at: proxy.started.as_millisecond(),
            last_close_at: proxy.closed.map(Timestamp::as_millisecond),
        }
    }
}

impl From<Failed> for LoginItem {
    fn from(failed: Failed) -> Self {
        Self {
            at: failed.at.as_millisecond(),
            address: failed.address.to_string(),
            user: failed.user,
            version: failed.version,
            transport: failed.transport.as_str(),
            cause: failed.text,
            code: failed.cause.code(),
            cure: failed.cause.cure(),
            count: failed.count,
        }
    }
}
