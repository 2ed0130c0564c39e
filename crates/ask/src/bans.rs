//! `frps ban`: who is banned, and bans that come and go.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use frp_config::cli::AdminCall;
use hyper::Method;
use serde_json::Value;

use crate::call::{CallError, send};
use crate::command::{escaped, number, read, text};
use crate::table::table;
use crate::units;

/// The list as a table.
pub(crate) fn shown(items: &[Value]) -> String {
    if items.is_empty() {
        return "nobody is banned".to_owned();
    }
    let header = ["Network", "Cause", "Left", "Proxy", "Only for", "Reason"];
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_millis() as i64);
    let mut rows = vec![header.map(str::to_owned)];
    rows.extend(items.iter().map(|item| {
        [
            text(item, "network"),
            text(item, "cause"),
            left(item, now),
            text(item, "proxy"),
            text(item, "only"),
            text(item, "reason"),
        ]
    }));
    table(&rows).trim_end().to_owned()
}

pub(crate) async fn add(
    call: &AdminCall,
    network: &str,
    time: Option<Duration>,
    reason: &str,
) -> Result<String, CallError> {
    // A part of a second is one.
    let seconds = time.map_or(0, |time| time.as_millis().div_ceil(1000));
    let path = format!(
        "/api/live/bans?network={}&seconds={seconds}&reason={}",
        escaped(network),
        escaped(reason)
    );
    let body = send(call, Method::POST, &path).await?;
    let answer: Value = read(&body)?;
    Ok(match call.json {
        true => body.trim_end().to_owned(),
        false => added(&answer, time.map(|_| seconds)),
    })
}

pub(crate) fn added(answer: &Value, seconds: Option<u128>) -> String {
    let network = frp_log::visible(&text(answer, "network"));
    match seconds {
        None => format!("{network} is banned until that is removed"),
        Some(seconds) => format!("{network} is banned for {seconds} s"),
    }
}

pub(crate) async fn remove(call: &AdminCall, network: &str) -> Result<String, CallError> {
    let path = format!("/api/live/bans/{}", escaped(network));
    let body = send(call, Method::DELETE, &path).await?;
    let removed: Value = read(&body)?;
    Ok(match (call.json, number(&removed, "removed")) {
        (true, _) => body.trim_end().to_owned(),
        (false, 1) => format!("{network} may come again"),
        (false, count) => format!("{network} may come again: {count} bans removed"),
    })
}

fn left(item: &Value, now: i64) -> String {
    match item["until"].as_i64() {
        None => "until removed".to_owned(),
        Some(until) => units::time(u64::try_from(until.saturating_sub(now)).unwrap_or(0)),
    }
}
