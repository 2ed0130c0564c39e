//! The commands: what each asks, and how the answer is shown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use frp_config::cli::{AdminCall, AdminRequest};
use hyper::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::bans;
use crate::call::{CallError, send};
use crate::table::table;
use crate::units;

/// Types of proxies in the order that frp shows them in.
const TYPES: [&str; 8] = [
    "tcp", "udp", "tcpmux", "http", "https", "stcp", "sudp", "xtcp",
];

/// Items that are asked for at a time, which is the most that there may be.
const PAGE: u64 = 200;

/// Sends the request and gives the lines to show.
///
/// # Errors
/// See [`CallError`].
pub async fn run(call: &AdminCall) -> Result<String, CallError> {
    let is_server = call.program == "frps";
    let body = match &call.request {
        AdminRequest::Reload { .. } if is_server => {
            let body = send(call, Method::POST, "/api/reload").await?;
            return Ok(match call.json {
                true => body.trim_end().to_owned(),
                false => reloaded(&read(&body)?),
            });
        }
        AdminRequest::Reload {
            strict,
            confirm: Some(time),
        } => {
            let seconds = time.as_secs();
            let path = format!("/api/reload?strictConfig={strict}&confirm={seconds}");
            send(call, Method::POST, &path).await?;
            return Ok(format!(
                "reload success; the former settings come back in {seconds} s, unless frpc confirm is run \
                 before"
            ));
        }
        AdminRequest::Confirm => {
            send(call, Method::POST, "/api/confirm").await?;
            return Ok("confirm success".to_owned());
        }
        AdminRequest::Reload {
            strict,
            confirm: None,
        } => {
            let query = if *strict { "?strictConfig=true" } else { "" };
            send(call, Method::GET, &format!("/api/reload{query}")).await?;
            return Ok("reload success".to_owned());
        }
        AdminRequest::Stop => {
            send(call, Method::POST, "/api/stop").await?;
            return Ok("stop success".to_owned());
        }
        AdminRequest::Status if is_server => send(call, Method::GET, "/api/live/overview").await?,
        AdminRequest::Status => send(call, Method::GET, "/api/status").await?,
        AdminRequest::Clients => {
            let items = list(call, "/api/live/clients?").await?;
            return Ok(match call.json {
                true => Value::Array(items).to_string(),
                false => clients(&items),
            });
        }
        AdminRequest::Proxies => {
            let items = list(call, "/api/live/proxies?").await?;
            return Ok(match call.json {
                true => Value::Array(items).to_string(),
                false => proxies(&items),
            });
        }
        AdminRequest::Bans => {
            let items = list(call, "/api/live/bans?").await?;
            return Ok(match call.json {
                true => Value::Array(items).to_string(),
                false => bans::shown(&items),
            });
        }
        AdminRequest::Ban {
            network,
            time,
            reason,
        } => return bans::add(call, network, *time, reason).await,
        AdminRequest::Unban(network) => return bans::remove(call, network).await,
        AdminRequest::Kick(client) => return kick(call, client).await,
        AdminRequest::Who(address) => {
            let of = address.map(|address| format!("address={address}&"));
            let path = format!("/api/live/who?{}", of.unwrap_or_default());
            let items = list(call, &path).await?;
            if let (Some(address), true) = (address, items.is_empty()) {
                return Err(CallError::Unknown(format!(
                    "no user has had the address {address} since frpc was started, or it is long ago"
                )));
            }
            return Ok(match (call.json, address) {
                (true, Some(_)) => items.into_iter().next().unwrap_or_default().to_string(),
                (true, None) => Value::Array(items).to_string(),
                (false, _) => who(&items),
            });
        }
    };
    if call.json {
        return Ok(body.trim_end().to_owned());
    }
    Ok(match is_server {
        true => overview(&read(&body)?),
        false => tables(&read(&body)?),
    })
}

pub(crate) fn read<T: DeserializeOwned>(body: &str) -> Result<T, CallError> {
    serde_json::from_str(body).map_err(|_| CallError::Json(frp_log::visible(body.trim())))
}

/// All items of a list. One that changes meanwhile may lack some, and has none twice in a row.
async fn list(call: &AdminCall, path: &str) -> Result<Vec<Value>, CallError> {
    #[derive(Deserialize)]
    struct List {
        total: usize,
        items: Vec<Value>,
    }
    let mut all = Vec::new();
    for page in 1.. {
        let path = format!("{path}page={page}&pageSize={PAGE}");
        let List { total, items } = read(&send(call, Method::GET, &path).await?)?;
        let is_last = items.is_empty();
        all.extend(items);
        if is_last || all.len() >= total {
            break;
        }
    }
    Ok(all)
}

/// Ends the session of the client that is called so: by its key, its id or its run id.
async fn kick(call: &AdminCall, name: &str) -> Result<String, CallError> {
    let path = format!("/api/live/clients?status=online&q={}&", escaped(name));
    let online = list(call, &path).await?;
    let is_it = |item: &&Value| {
        ["key", "clientID", "runID"]
            .iter()
            .any(|key| item[*key] == name)
    };
    let found: Vec<&Value> = online.iter().filter(is_it).collect();
    let key = match found[..] {
        [one] => text(one, "key"),
        [] => {
            let why = format!(
                "no client {} is online; `frps clients` lists them",
                frp_log::visible(name)
            );
            return Err(CallError::Unknown(why));
        }
        _ => {
            let keys: Vec<String> = found.iter().map(|item| text(item, "key")).collect();
            let why = format!(
                "several clients are called so: kick one of {}",
                frp_log::visible(&keys.join(", "))
            );
            return Err(CallError::Unknown(why));
        }
    };
    let path = format!("/api/live/clients/{}", escaped(&key));
    send(call, Method::DELETE, &path).await?;
    Ok(match call.json {
        true => json!({"key": key}).to_string(),
        false => format!("the session of {} has ended", frp_log::visible(&key)),
    })
}

/// A part of a path, or a value of a query.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(byte.into())
            }
            byte => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

pub(crate) fn text(of: &Value, key: &str) -> String {
    match &of[key] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

pub(crate) fn number(of: &Value, key: &str) -> u64 {
    of[key].as_u64().unwrap_or(0)
}

pub(crate) fn reloaded(answer: &Value) -> String {
    let keys = |of: &str| -> Vec<String> {
        let list = answer[of].as_array().cloned().unwrap_or_default();
        list.iter()
            .filter_map(|key| key.as_str().map(frp_log::visible))
            .collect()
    };
    let mut said = "reload success".to_owned();
    let (applied, restart) = (keys("applied"), keys("restart"));
    match applied.is_empty() {
        true => said.push_str("; nothing has changed"),
        false => {
            let _ = write!(said, "; applied: {}", applied.join(", "));
        }
    }
    if !restart.is_empty() {
        let _ = write!(
            said,
            "\nleft until frps is started anew: {}",
            restart.join(", ")
        );
    }
    said
}

/// How many proxies of each type, the rare types last.
pub(crate) fn by_type(online: &Value) -> (u64, String) {
    let mut types: Vec<(&String, u64)> = online
        .as_object()
        .map(|types| {
            types
                .iter()
                .map(|(name, n)| (name, n.as_u64().unwrap_or(0)))
                .collect()
        })
        .unwrap_or_default();
    types.retain(|(_, n)| *n > 0);
    types.sort_by_key(|(name, n)| (std::cmp::Reverse(*n), (*name).clone()));
    let total = types
        .iter()
        .fold(0, |all: u64, (_, n)| all.saturating_add(*n));
    let each: Vec<String> = types
        .iter()
        .map(|(name, n)| format!("{name} {n}"))
        .collect();
    (total, frp_log::visible(&each.join(", ")))
}

pub(crate) fn overview(of: &Value) -> String {
    let (online, types) = by_type(&of["proxies"]["online"]);
    let bytes = |key| units::bytes(number(of, key));
    let running = number(of, "now").saturating_sub(number(of, "startedAt"));
    let mut text = format!(
        "frps {}, running for {}\n\
         clients      {} online, {} offline\n\
         proxies      {online} online, {} offline",
        frp_log::visible(&text(of, "version")),
        units::time(running),
        number(&of["clients"], "online"),
        number(&of["clients"], "offline"),
        number(&of["proxies"], "offline"),
    );
    if !types.is_empty() {
        let _ = write!(text, " ({types})");
    }
    let _ = write!(
        text,
        "\nconnections  {}\ntraffic      in {}, out {}; today in {}, out {}\n\
         logins       {} failed, {} strangers wait",
        number(of, "connections"),
        bytes("trafficIn"),
        bytes("trafficOut"),
        bytes("todayIn"),
        bytes("todayOut"),
        number(of, "loginFailures"),
        number(of, "strangers"),
    );
    if let Some(memory) = of["memory"].as_u64() {
        let _ = write!(text, "\nmemory       {}", units::bytes(memory));
    }
    let files = &of["descriptors"];
    if let (Some(used), Some(limit)) = (files["used"].as_u64(), files["limit"].as_u64()) {
        let _ = write!(text, "\ndescriptors  {used} of {limit}");
    }
    text
}

pub(crate) fn clients(items: &[Value]) -> String {
    let mut rows = vec![
        [
            "Client",
            "User",
            "Status",
            "Address",
            "Version",
            "Transport",
            "RoundTrip",
            "Proxies",
            "Connections",
        ]
        .map(str::to_owned),
    ];
    rows.extend(items.iter().map(|item| {
        [
            text(item, "key"),
            text(item, "user"),
            status(item),
            text(item, "address"),
            text(item, "version"),
            transport(item),
            round_trip(item),
            text(item, "proxies"),
            text(item, "connections"),
        ]
    }));
    table(&rows).trim_end().to_owned()
}

/// A line for each connection, and one for who has none now.
pub(crate) fn who(items: &[Value]) -> String {
    let mut rows = vec![
        [
            "Address",
            "User",
            "Proxy",
            "LocalPort",
            "For",
            "Connections",
        ]
        .map(str::to_owned),
    ];
    for item in items {
        let ago = |since: u64| units::time(number(item, "now").saturating_sub(since));
        let conns = item["connections"].as_array().cloned().unwrap_or_default();
        let names = item["proxies"].as_array().cloned().unwrap_or_default();
        let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
        let line = |user: String, proxy: String, port: String, time: String| {
            let came = text(item, "came");
            [text(item, "address"), user, proxy, port, time, came]
        };
        if conns.is_empty() {
            let time = format!("left {} ago", ago(number(item, "seenAt")));
            let proxies = names.join(", ");
            rows.push(line(text(item, "user"), proxies, String::new(), time));
        }
        rows.extend(conns.iter().map(|conn| {
            let time = ago(number(conn, "startedAt"));
            let port = text(conn, "localPort");
            line(text(conn, "user"), text(conn, "proxy"), port, time)
        }));
    }
    table(&rows).trim_end().to_owned()
}

pub(crate) fn status(item: &Value) -> String {
    match item["online"].as_bool() {
        Some(true) => "online",
        _ => "offline",
    }
    .to_owned()
}

pub(crate) fn transport(item: &Value) -> String {
    let tls = match item["tls"].as_bool() {
        Some(true) => "+tls",
        _ => "",
    };
    format!("{}{tls}", text(item, "transport"))
}

pub(crate) fn round_trip(item: &Value) -> String {
    match item["roundTripMs"].as_f64() {
        Some(millis) => format!("{millis:.1} ms"),
        None => String::new(),
    }
}

pub(crate) fn proxies(items: &[Value]) -> String {
    let mut rows = vec![
        [
            "Proxy",
            "Type",
            "Status",
            "Remote",
            "Client",
            "Connections",
            "TodayIn",
            "TodayOut",
        ]
        .map(str::to_owned),
    ];
    rows.extend(items.iter().map(|item| {
        [
            text(item, "name"),
            text(item, "type"),
            status(item),
            text(item, "remote"),
            text(item, "client"),
            text(item, "connections"),
            units::bytes(number(item, "todayIn")),
            units::bytes(number(item, "todayOut")),
        ]
    }));
    table(&rows).trim_end().to_owned()
}

/// A proxy as `/api/status` describes it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Proxy {
    name: String,
    status: String,
    err: String,
    local_addr: String,
    plugin: String,
    remote_addr: String,
}

/// `/api/status`: proxies by their types.
pub(crate) type Status = BTreeMap<String, Vec<Proxy>>;

/// As frp's `frpc status`.
pub(crate) fn tables(status: &Status) -> String {
    let mut text = "Proxy Status...\n".to_owned();
    for kind in TYPES {
        let Some(proxies) = status.get(kind).filter(|proxies| !proxies.is_empty()) else {
            continue;
        };
        let _ = write!(text, "\n{}\n", kind.to_uppercase());
        let header = [
            "Name",
            "Status",
            "LocalAddr",
            "Plugin",
            "RemoteAddr",
            "Error",
        ];
        let mut rows = vec![header.map(str::to_owned)];
        rows.extend(proxies.iter().map(|proxy| {
            [
                &proxy.name,
                &proxy.status,
                &proxy.local_addr,
                &proxy.plugin,
                &proxy.remote_addr,
                &proxy.err,
            ]
            .map(String::clone)
        }));
        text.push_str(&table(&rows));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overview_is_a_few_lines() {
        let of = json!({
            "version": "0.70.1", "startedAt": 1000, "now": 3_661_000,
            "clients": {"online": 2, "offline": 1},
            "proxies": {"online": {"tcp": 3, "http": 1, "udp": 0}, "offline": 0},
            "connections": 4, "trafficIn": 2048, "trafficOut": 0, "todayIn": 1, "todayOut": 0,
            "strangers": 0, "loginFailures": 7, "memory": 1024,
            "descriptors": {"used": 9, "limit": 1024},
        });
        assert_eq!(
            overview(&of),
            "frps 0.70.1, running for 1h 1m\nclients      2 online, 1 offline\n\
             proxies      4 online, 0 offline (tcp 3, http 1)\nconnections  4\n\
             traffic      in 2.0 KB, out 0 B; today in 1 B, out 0 B\n\
             logins       7 failed, 0 strangers wait\nmemory       1.0 KB\n\
             descriptors  9 of 1024"
        );
        // Of a server that says less, too.
        assert!(overview(&json!({})).starts_with("frps , running for 0s"));
    }

    #[test]
    fn a_name_is_one_part_of_a_path() {
        assert_eq!(escaped("a/b c?é%"), "a%2Fb%20c%3F%C3%A9%25");
    }

    #[test]
    fn a_reload_says_what_it_has_done() {
        let answer = json!({"applied": ["log.level"], "restart": ["bindPort"]});
        assert_eq!(
            reloaded(&answer),
            "reload success; applied: log.level\nleft until frps is started anew: bindPort"
        );
        let nothing = json!({"applied": [], "restart": []});
        assert_eq!(reloaded(&nothing), "reload success; nothing has changed");
    }
}
