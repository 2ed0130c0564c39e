//! The generated files are current, and hold every key of frp's inventory once.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{is_current, page, schema};
use crate::suggest::Program;

/// Every key of frp 0.70.1: scope, path, type and legacy name.
const INVENTORY: &str = include_str!("../../tests/keys.tsv");

/// Keys that frp does not have.
const OWN: [&str; 27] = [
    "auth.tokens",
    "auth.challenge",
    "auth.maxClockSkew",
    "auth.strictUsers",
    "transport.tls.pin",
    "transport.tls.trust",
    "transport.tls.knownServers",
    "transport.tls.keyStore",
    "log.access",
    "log.format",
    "log.access",
    ".backendTrustedCaFile",
    ".backendServerName",
    "webServer.allowedHosts",
    "transport.websocket.path",
    "transport.websocket.headers",
    "transport.order",
    "store.path",
    "natTraversal.portMapping",
    "acceptProxyProtocol",
    "acceptProxyProtocolPorts",
    "acceptProxyProtocolPorts[].start",
    "acceptProxyProtocolPorts[].end",
    "acceptProxyProtocolPorts[].single",
    "transport.realIP",
    "sshd",
    "sshd.log",
];

/// Scope, path and type of the keys of the inventory.
fn inventory() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let rows = INVENTORY.lines().skip(1);
    rows.filter(|row| !row.contains("ini only")).map(|row| {
        let fields: Vec<&str> = row.split('\t').collect();
        (fields[0], fields[1], fields[2])
    })
}

#[test]
fn the_reference_page_is_current() {
    is_current("configuration.md", &page::page());
}

#[test]
fn the_schemas_are_current() {
    is_current("frpc.schema.json", &schema::schema(Program::Frpc));
    is_current("frps.schema.json", &schema::schema(Program::Frps));
}

/// The heading that the keys of a scope of the inventory stand under.
fn heading(scope: &str) -> String {
    match scope.split_once(':') {
        None => format!("{scope}: the file"),
        Some((what, kind)) => {
            let table = match what {
                "proxy" => "proxies[]",
                "client-plugin" => "proxies[].plugin",
                "visitor" => "visitors[]",
                _ => "visitors[].plugin",
            };
            match kind {
                "*" => format!("frpc: {table}"),
                kind => format!("frpc: {table} of type {kind}"),
            }
        }
    }
}

#[test]
fn the_reference_page_has_every_key_of_frp_once() {
    let page = page::page();
    let mut rows: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut under = String::new();
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            heading.clone_into(&mut under);
        } else if let Some(path) = line.strip_prefix("| `") {
            let path = path.split('`').next().unwrap().to_owned();
            *rows.entry((under.clone(), path)).or_default() += 1;
        }
    }
    let again: Vec<_> = rows.iter().filter(|(_, count)| **count > 1).collect();
    assert!(again.is_empty(), "documented twice: {again:?}");

    let mut wanted = Vec::new();
    for (scope, path, kind) in inventory() {
        let mut under = heading(scope);
        let path = path.to_owned();
        let plugin = scope.contains("plugin:");
        if plugin && path.ends_with("plugin.type") {
            // `type` is a key of every plugin.
            under = under.split(" of type").next().unwrap().to_owned();
        }
        if let Some((list, _)) = path.rsplit_once("[].")
            && !["proxies", "visitors"].contains(&list)
        {
            let program = under.split(':').next().unwrap();
            let kind = under.split(" of type ").nth(1);
            under = match kind {
                Some(kind) => format!("{program}: {list}[] of type {kind}"),
                None => format!("{program}: {list}[]"),
            };
        }
        if kind.starts_with("table") && !kind.contains('<') && !kind.contains("tagged") {
            continue; // only its keys have lines
        }
        wanted.push((under, path));
    }
    wanted.sort();
    wanted.dedup();
    let found: Vec<(String, String)> = rows.into_keys().collect();
    let missing: Vec<_> = wanted.iter().filter(|key| !found.contains(key)).collect();
    let tables = ["auth.tokens[].", "guard."];
    let is_own = |path: &str| {
        OWN.iter().any(|own| path.ends_with(own)) || tables.iter().any(|own| path.contains(own))
    };
    let unknown: Vec<_> = found
        .iter()
        .filter(|key| !wanted.contains(key) && !is_own(&key.1))
        .collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "missing: {missing:#?}\nnot frp's: {unknown:#?}"
    );
}

#[test]
fn the_schemas_have_every_key_of_frp() {
    let client: Value = serde_json::from_str(&schema::schema(Program::Frpc)).unwrap();
    let server: Value = serde_json::from_str(&schema::schema(Program::Frps)).unwrap();
    let of_type = |list: &Value, kind: &str| -> Vec<Value> {
        let all = list["oneOf"].as_array().unwrap();
        let is_it = |one: &&Value| kind == "*" || one["properties"]["type"]["const"] == *kind;
        all.iter().filter(is_it).cloned().collect()
    };
    let proxies = &client["properties"]["proxies"]["items"];
    let visitors = &client["properties"]["visitors"]["items"];
    let plugin = |what: &str| &client["definitions"][what];
    let mut checked = 0;
    for (scope, path, _) in inventory() {
        let roots = match scope.split_once(':') {
            None if scope == "frps" => vec![server.clone()],
            None => vec![client.clone()],
            Some(("proxy", kind)) => of_type(proxies, kind),
            Some(("visitor", kind)) => of_type(visitors, kind),
            Some(("client-plugin", kind)) => of_type(plugin("plugin"), kind),
            Some((_, kind)) => of_type(plugin("visitor_plugin"), kind),
        };
        let path = path
            .trim_start_matches("proxies[].")
            .trim_start_matches("visitors[].");
        let path = match scope.contains("plugin:") {
            true => path.strip_prefix("plugin.").unwrap(),
            false => path,
        };
        assert!(!roots.is_empty(), "{scope} {path}");
        for root in roots {
            let mut here = &root;
            for part in path.split('.') {
                let (name, is_list) = match part.strip_suffix("[]") {
                    Some(name) => (name, true),
                    None => (part, false),
                };
                here = &here["properties"][name];
                if is_list {
                    here = &here["items"];
                }
            }
            assert!(here["description"].is_string(), "{scope} {path}: {here}");
            checked += 1;
        }
    }
    assert!(checked > 300, "{checked}");
}
