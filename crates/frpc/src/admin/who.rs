//! Which users the addresses of 127.0.0.0/8 stand for (`/api/live/who`).

use std::net::{IpAddr, Ipv4Addr};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use frp_http::web::answer::{ApiError, json};
use frp_http::web::paging::Paging;
use frp_http::web::path::Query;
use serde::Serialize;

use super::live::millis;
use crate::live::{Live, unix_time};
use crate::real_ip::loopback::Who;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    /// What the local service sees.
    address: Ipv4Addr,
    user: IpAddr,
    /// The proxies that the user came to last.
    proxies: Vec<String>,
    /// Connections, those that have ended included.
    came: u64,
    seen_at: u64,
    now: u64,
    connections: Vec<Conn>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Conn {
    proxy: String,
    user: String,
    local_port: u16,
    started_at: u64,
}

/// Those that are connected; where `address` names one, who has that or had it lately.
pub(super) fn who(live: &Live, query: &Query) -> Result<Bytes, ApiError> {
    let paging = Paging::of(query)?;
    let loopback = &live.real_ip.loopback;
    let users = match query.value("address") {
        "" => loopback.connected(),
        address => {
            let known = address.parse().ok();
            let known = known.and_then(|address| loopback.who(address));
            known.into_iter().collect()
        }
    };
    Ok(json(&paging.page(users.into_iter().map(item).collect())))
}

fn unix_millis(time: SystemTime) -> u64 {
    millis(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn item(who: Who) -> Item {
    let conns = who.conns.into_iter().map(|conn| Conn {
        proxy: conn.proxy,
        user: conn.from.to_string(),
        local_port: conn.port,
        started_at: unix_millis(conn.since),
    });
    Item {
        address: who.local,
        user: who.ip,
        proxies: who.proxies,
        came: who.came,
        seen_at: unix_millis(who.seen),
        now: millis(unix_time()),
        connections: conns.collect(),
    }
}
