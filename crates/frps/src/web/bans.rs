//! Who is banned (`/api/live/bans`): the list, and an operator's bans. Times are Unix milliseconds.

use std::time::Duration;

use bytes::Bytes;
use frp_http::web::answer::{ApiError, json};
use frp_http::web::paging::{Paging, Search};
use frp_http::web::path::Query;
use frp_proto::network::Network;
use serde::Serialize;

use super::Site;
use crate::bans::{Ban, millis};
use crate::limits::MAX_BAN_REASON;

#[derive(Debug, Serialize)]
pub(super) struct BanItem {
    network: String,
    cause: &'static str,
    since: u64,
    /// None: until it is taken back.
    until: Option<u64>,
    proxy: String,
    /// Whose proxies alone it is kept from; empty for all.
    only: String,
    reason: String,
    /// Which one it is of this source.
    count: u32,
}

#[derive(Debug, Serialize)]
struct Removed {
    removed: usize,
}

pub(super) fn list(site: &Site, query: &Query) -> Result<Bytes, ApiError> {
    let paging = Paging::of(query)?;
    let search = Search::of(query);
    let mut bans = site.shared.bans.all();
    bans.retain(|ban| {
        let network = ban.network.to_string();
        let only = ban.whose.as_deref().unwrap_or_default();
        search.finds(&[&network, ban.kind.as_str(), &ban.proxy, only, &ban.reason])
    });
    Ok(json(&paging.page(bans).map(BanItem::from)))
}

/// `network`, `seconds` (0 or none: until it is taken back) and `reason`.
pub(super) fn add(site: &Site, query: &Query) -> Result<Bytes, ApiError> {
    let network = network(query.value("network"))?;
    let seconds = match query.value("seconds") {
        "" => 0,
        text => text
            .parse::<u64>()
            .map_err(|_| ApiError::bad("seconds must be a number"))?,
    };
    let reason = query.value("reason");
    if reason.len() > MAX_BAN_REASON {
        let text = format!("reason is longer than {MAX_BAN_REASON} bytes");
        return Err(ApiError::bad(text));
    }
    let length = (seconds > 0).then(|| Duration::from_secs(seconds));
    let added = site.shared.bans.add(network, length, reason);
    let ban = added.map_err(|e| ApiError::bad(e.to_string()))?;
    Ok(json(&BanItem::from(ban)))
}

pub(super) fn remove(site: &Site, text: &str) -> Result<Bytes, ApiError> {
    let network = network(text)?;
    match site.shared.bans.remove(network) {
        0 => Err(ApiError::not_found(format!("no ban of {network} is there"))),
        removed => Ok(json(&Removed { removed })),
    }
}

fn network(text: &str) -> Result<Network, ApiError> {
    let parsed = text.trim().parse::<Network>();
    parsed.map_err(|why| ApiError::bad(format!("network {text:?} is {why}")))
}

impl From<Ban> for BanItem {
    fn from(ban: Ban) -> Self {
        Self {
            network: ban.network.to_string(),
            cause: ban.kind.as_str(),
            since: millis(ban.since),
            until: ban.until.map(millis),
            proxy: ban.proxy,
            only: ban.whose.map(|whose| whose.to_string()).unwrap_or_default(),
            reason: ban.reason,
            count: ban.strikes,
        }
    }
}
