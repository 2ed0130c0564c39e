//! Which users the addresses of 127.0.0.0/8 stand for (`/api/live/who`).

use std::net::{IpAddr, Ipv4Addr};

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

/// Those that are connected.
pub(super) fn connected(live: &Live, query: &Query) -> Result<Bytes, ApiError> {
    let paging = Paging::of(query)?;
    let users = live.real_ip.loopback.connected();
    Ok(json(&paging.page(users.into_iter().map(item).collect())))
}

/// Who has an address, or had it lately.
pub(super) fn has(live: &Live, address: &str) -> Result<Bytes, ApiError> {
    let known = address.parse().ok();
    let known = known.and_then(|address| live.real_ip.loopback.who(address));
    let known = known.ok_or_else(|| {
        ApiError::not_found(format!(
            "no user has had the address {address} since frpc was started, or it is long ago"
        ))
    })?;
    Ok(json(&item(known)))
}

fn item(who: Who) -> Item {
    let conns = who.conns.into_iter().map(|conn| Conn {
        proxy: conn.proxy,
        user: conn.from.to_string(),
        local_port: conn.port,
        started_at: millis(conn.since),
    });
    Item {
        address: who.local,
        user: who.ip,
        proxies: who.proxies,
        came: who.came,
        seen_at: millis(who.seen),
        now: millis(unix_time()),
        connections: conns.collect(),
    }
}
