//! What the client does now (`/api/live`), for pages and scripts: its session, proxies, visitors, users'
//! connections. Ours alone. Times are Unix milliseconds.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use frp_config::EntryKind;
use frp_http::web::answer::{ApiError, json};
use frp_http::web::events;
use frp_http::web::paging::{Paging, Search};
use frp_http::web::path::Query;
use frp_net::go_text::join_host_port;
use frp_proto::VERSION;
use serde::Serialize;

use super::cure::cure;
use super::route::Live;
use super::{Admin, who};
use crate::live::{State, unix_time};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Overview {
    version: &'static str,
    started_at: u64,
    now: u64,
    server: String,
    session: Session,
    proxies: Proxies,
    visitors: usize,
    connections: usize,
    /// Bytes since the start: from users to services.
    traffic_in: u64,
    traffic_out: u64,
    config: Config,
    revisions: Numbers,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Session {
    state: &'static str,
    since: u64,
    #[serde(rename = "runID")]
    run_id: String,
    transport: &'static str,
    tls: bool,
    mux: bool,
    why: String,
    round_trip_ms: Option<f64>,
    error: Option<String>,
    cure: Option<String>,
    retry_at: Option<u64>,
}

#[derive(Debug, Default, Serialize)]
struct Proxies {
    running: usize,
    failed: usize,
    waiting: usize,
    closed: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    path: Option<String>,
    store: bool,
    confirm_until: Option<u64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProxyItem {
    name: String,
    r#type: &'static str,
    status: String,
    err: String,
    cure: Option<&'static str>,
    local_addr: String,
    plugin: &'static str,
    remote_addr: String,
    source: &'static str,
    connections: u64,
    r#in: u64,
    out: u64,
}

#[derive(Debug, Serialize)]
struct VisitorItem {
    name: String,
    r#type: &'static str,
    bind: String,
    server: String,
    status: &'static str,
    err: String,
    source: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ConnItem {
    id: String,
    proxy: String,
    r#type: &'static str,
    user: String,
    started_at: u64,
    r#in: u64,
    out: u64,
}

#[derive(Debug, Serialize)]
struct Done {}

/// How often each list was seen to be another than before.
#[derive(Debug, Default)]
pub(super) struct Revisions {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Of what each list had at the last look.
    hashes: [u64; 3],
    numbers: Numbers,
}

#[derive(Debug, Default, Clone, Copy, Serialize)]
struct Numbers {
    proxies: u64,
    visitors: u64,
    session: u64,
}

impl Revisions {
    fn look(&self, proxies: u64, visitors: u64, session: u64) -> Numbers {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Seen { hashes, numbers } = &mut *seen;
        let lists = [
            (&mut numbers.proxies, proxies),
            (&mut numbers.visitors, visitors),
            (&mut numbers.session, session),
        ];
        for (before, (number, now)) in hashes.iter_mut().zip(lists) {
            *number += u64::from(*before != now);
            *before = now;
        }
        *numbers
    }
}

impl Admin {
    /// The answer to a request.
    pub(super) fn live(&self, route: Live, query: &Query) -> Result<Bytes, ApiError> {
        match route {
            Live::Overview | Live::Events => Ok(json(&self.overview())),
            Live::Proxies => self.proxies(query),
            Live::Visitors => self.visitors(query),
            Live::Connections => self.connections(query),
            Live::EndConnection(id) => self.end_connection(&id),
            Live::Who => who::who(&self.live, query),
        }
    }

    /// The event that tells listeners the overview.
    pub(super) fn event(&self) -> Bytes {
        events::event("overview", &json(&self.overview()))
    }

    fn overview(&self) -> Overview {
        let settings = self.settings.merged();
        let now = self.live.session();
        let (proxies, of_proxies) = self.count_proxies();
        let of_visitors = hash(|hasher| {
            for item in self.all_visitors() {
                (item.name, item.status, item.err).hash(hasher);
            }
        });
        let of_session = hash(|hasher| {
            (now.state, now.since, &now.error, now.retry_at).hash(hasher);
        });
        let (traffic_in, traffic_out) = self.live.carried();
        let file = self.settings.file();
        Overview {
            version: VERSION,
            started_at: millis(self.live.started),
            now: millis(unix_time()),
            server: join_host_port(&settings.server_addr, settings.server_port),
            session: Session {
                state: now.state.as_str(),
                since: millis(now.since),
                round_trip_ms: now
                    .round_trip()
                    .map(|time| (time.as_secs_f64() * 1e6).round() / 1e3),
                run_id: now.run_id,
                transport: now.transport,
                tls: now.tls,
                mux: now.mux,
                why: now.why,
                error: now.error,
                cure: now.cure,
                retry_at: now.retry_at.map(millis),
            },
            proxies,
            visitors: settings.visitors.len(),
            connections: self.live.conns.open(),
            traffic_in,
            traffic_out,
            config: Config {
                path: file.map(|file| file.path.display().to_string()),
                store: self.settings.store().is_some(),
                confirm_until: self.settings.confirm_until(),
            },
            revisions: self.revisions.look(of_proxies, of_visitors, of_session),
        }
    }

    fn count_proxies(&self) -> (Proxies, u64) {
        let mut counts = Proxies::default();
        let registrations = &self.registrations;
        let registrations = registrations.lock().unwrap_or_else(PoisonError::into_inner);
        let mut there = 0;
        let seen = hash(|hasher| {
            for registration in registrations.all() {
                there += 1;
                match registration.runs() {
                    Some(true) => counts.running += 1,
                    Some(false) => counts.failed += 1,
                    None => counts.waiting += 1,
                }
                registration.proxy().cfg.name.hash(hasher);
                registration.runs().hash(hasher);
                (registration.error(), registration.unreachable()).hash(hasher);
            }
        });
        drop(registrations);
        counts.closed = self.settings.merged().proxies.len().saturating_sub(there);
        (counts, seen)
    }

    /// Those of the settings, with what the session says of them.
    fn proxies(&self, query: &Query) -> Result<Bytes, ApiError> {
        let paging = Paging::of(query)?;
        let search = Search::of(query);
        let mut statuses: std::collections::BTreeMap<_, _> = self
            .status()
            .into_values()
            .flatten()
            .map(|status| (status.name.clone(), status))
            .collect();
        let settings = self.settings.merged();
        let mut items = Vec::new();
        for cfg in &settings.proxies {
            let kind = cfg.kind.as_str();
            let known = statuses.remove(&cfg.name);
            let (status, err, remote_addr) = match known {
                Some(known) => (known.status, known.err, known.remote_addr),
                None => ("closed".to_owned(), String::new(), String::new()),
            };
            if !search.finds(&[&cfg.name, kind, &status, &err, &remote_addr]) {
                continue;
            }
            let served = self.live.served(&cfg.name, kind);
            let (r#in, out) = served.bytes();
            items.push(ProxyItem {
                name: cfg.name.clone(),
                r#type: kind,
                cure: cure(&status, &err),
                status,
                err,
                local_addr: match cfg.local_port {
                    0 => String::new(),
                    port => join_host_port(&cfg.local_ip, port),
                },
                plugin: cfg.plugin.as_ref().map_or("", |plugin| plugin.as_str()),
                remote_addr,
                source: self.source(EntryKind::Proxy, &cfg.name),
                connections: served.users(),
                r#in,
                out,
            });
        }
        Ok(json(&paging.page(items)))
    }

    fn visitors(&self, query: &Query) -> Result<Bytes, ApiError> {
        let paging = Paging::of(query)?;
        let search = Search::of(query);
        let mut items = self.all_visitors();
        items.retain(|item| search.finds(&[&item.name, item.r#type, &item.server, &item.err]));
        Ok(json(&paging.page(items)))
    }

    fn all_visitors(&self) -> Vec<VisitorItem> {
        let connected = self.live.session().state == State::Connected;
        let settings = self.settings.merged();
        let item = |cfg: &frp_config::VisitorConfig| {
            let visits = self.live.visits(&cfg.name);
            let listens = visits.as_ref().is_some_and(|visits| visits.listens);
            VisitorItem {
                name: cfg.name.clone(),
                r#type: cfg.kind.as_str(),
                bind: match cfg.bind_port {
                    Some(port) => join_host_port(&cfg.bind_addr, port),
                    None => String::new(),
                },
                server: match cfg.server_user.as_str() {
                    "" => cfg.server_name.clone(),
                    user => format!("{user}.{}", cfg.server_name),
                },
                status: match (connected, listens) {
                    (true, true) => "running",
                    (true, false) if visits.is_some() => "start error",
                    (true, false) => "new",
                    (false, _) => "closed",
                },
                err: visits.and_then(|visits| visits.error).unwrap_or_default(),
                source: self.source(EntryKind::Visitor, &cfg.name),
            }
        };
        settings.visitors.iter().map(item).collect()
    }

    fn connections(&self, query: &Query) -> Result<Bytes, ApiError> {
        let paging = Paging::of(query)?;
        let proxy = query.value("proxy");
        let search = Search::of(query);
        let conns = &self.live.conns;
        let user = |from: Option<std::net::SocketAddr>| {
            from.map(|from| from.to_string()).unwrap_or_default()
        };
        let found = conns.find(|conn| {
            let name = &conn.owner.name;
            (proxy.is_empty() || name == proxy) && search.finds(&[name, &user(conn.from)])
        });
        let page = paging.page(found).map(|conn| ConnItem {
            id: conn.id(),
            proxy: conn.owner.name.clone(),
            r#type: conn.owner.kind,
            user: user(conn.from),
            started_at: millis(conns.started(&conn)),
            // The tunnel is the far side.
            r#in: conn.traffic.far_to_near(),
            out: conn.traffic.near_to_far(),
        });
        Ok(json(&page))
    }

    fn end_connection(&self, id: &str) -> Result<Bytes, ApiError> {
        let conn = self.live.conns.by_id(id);
        let conn = conn.ok_or_else(|| ApiError::not_found(format!("connection {id} not found")))?;
        self.live.conns.end(&conn);
        Ok(json(&Done {}))
    }

    fn source(&self, kind: EntryKind, name: &str) -> &'static str {
        let store = self.settings.store();
        match store.is_some_and(|store| store.enables(kind, name)) {
            true => "store",
            false => "file",
        }
    }
}

fn hash(add: impl FnOnce(&mut DefaultHasher)) -> u64 {
    let mut hasher = DefaultHasher::new();
    add(&mut hasher);
    hasher.finish()
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
