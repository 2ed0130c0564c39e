//! The definitions against frp's inventory, against the settings, and against each other.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use super::*;
use crate::section::find;

/// Every key of frp 0.70.1: scope, path, type and legacy name.
const INVENTORY: &str = include_str!("../../tests/keys.tsv");

/// The definitions that a scope of the inventory is about.
fn definitions(scope: &str) -> Vec<&'static [Key]> {
    let tagged = |tagged: &Tagged, name: &str| {
        let own = tagged.tag(name).map(|tag| tag.keys);
        std::iter::once(tagged.base).chain(own).collect()
    };
    match scope.split_once(':') {
        None if scope == "frpc" => vec![CLIENT],
        None => vec![SERVER],
        Some(("proxy", name)) => tagged(&PROXY, name),
        Some(("client-plugin", name)) => tagged(&PLUGIN, name),
        Some(("visitor", name)) => tagged(&VISITOR, name),
        Some(("visitor-plugin", name)) => {
            let key = VISITOR
                .base
                .iter()
                .find(|key| key.name == "plugin")
                .unwrap();
            let Kind::Tagged(plugin) = key.kind else {
                panic!("{key:?}")
            };
            tagged(plugin, name)
        }
        Some(other) => panic!("{other:?}"),
    }
}

/// A path of the inventory below the table that its scope is about.
fn relative(path: &str) -> &str {
    let path = path.strip_prefix("proxies[].").unwrap_or(path);
    path.strip_prefix("visitors[].").unwrap_or(path)
}

fn lookup(scope: &str, path: &str) -> Option<&'static Key> {
    let mut keys = definitions(scope);
    let path = relative(path);
    let path = match scope {
        "client-plugin" | "visitor-plugin" => path,
        _ if scope.contains("plugin:") => path.strip_prefix("plugin.").unwrap_or(path),
        _ => path,
    };
    let mut parts = path.split("[].").peekable();
    loop {
        let key = find(&keys, parts.next()?)?;
        if parts.peek().is_none() {
            return Some(key);
        }
        let Kind::Tables(below) = key.kind else {
            return None;
        };
        keys = vec![below];
    }
}

#[test]
fn every_key_of_frp_is_defined_with_its_type_and_legacy_name() {
    let mut wrong = Vec::new();
    for row in INVENTORY
        .lines()
        .skip(1)
        .filter(|row| !row.contains("ini only"))
    {
        let fields: Vec<&str> = row.split('\t').collect();
        let [scope, path, kind, ini] = fields[..] else {
            panic!("{row}")
        };
        let Some(key) = lookup(scope, path) else {
            wrong.push(format!("{scope} {path} is not defined"));
            continue;
        };
        let expected = match key.kind {
            Kind::Bool => "boolean",
            Kind::Int => "integer",
            Kind::Text | Kind::Secret => "string",
            Kind::Texts => "array<string>",
            Kind::TextMap => "table<string,string>",
            Kind::BoolMap => "table<string,boolean>",
            Kind::Table(_) => "table",
            Kind::Tables(_) => "array<table>",
            Kind::Tagged(_) => "table (tagged by type)",
            Kind::TaggedList(_) => "array<table> (tagged by type)",
        };
        if kind != expected && kind.strip_suffix(" (nullable)") != Some(expected) {
            wrong.push(format!("{scope} {path} is {kind}, not {expected}"));
        }
        let name = match key.ini {
            Ini::None => String::new(),
            Ini::Name(name) => name.to_owned(),
            Ini::Prefix(prefix) => format!("{prefix}NAME"),
            Ini::Flags(_) => continue,
            Ini::Ports(name) => name.to_owned(),
        };
        let ini = ini.split(" (").next().unwrap_or(ini);
        let special = ini.contains("section") || ini.contains('+') || ini == "dashboard_tls_mode";
        // Only frps has the legacy names of the dashboard's TLS; the definition is shared.
        let shared = scope == "frpc" && path.starts_with("webServer.tls");
        if name != ini && !special && !shared && !scope.starts_with("client-plugin") {
            wrong.push(format!(
                "{scope} {path} is called {ini:?} in INI, not {name:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_definition_is_a_key_of_frp() {
    let known: BTreeSet<String> = INVENTORY
        .lines()
        .skip(1)
        .map(|row| {
            let mut fields = row.split('\t');
            let scope = fields.next().unwrap();
            format!("{scope} {}", relative(fields.next().unwrap()))
        })
        .collect();
    let check = |scope: &str, keys: &'static [Key]| {
        walk(keys, "", &mut |path, _| {
            let path = if scope.contains("plugin:") {
                format!("plugin.{path}")
            } else {
                path.to_owned()
            };
            assert!(known.contains(&format!("{scope} {path}")), "{scope} {path}");
            false
        });
    };
    check("frpc", CLIENT);
    check("frps", SERVER);
    check("proxy:*", PROXY.base);
    check("visitor:*", VISITOR.base);
    for (scope, tagged) in [
        ("proxy", &PROXY),
        ("visitor", &VISITOR),
        ("client-plugin", &PLUGIN),
    ] {
        for tag in tagged.types {
            check(&format!("{scope}:{}", tag.name), tag.keys);
        }
    }
}

#[test]
fn every_definition_says_what_the_key_means() {
    for keys in [CLIENT, SERVER, PROXY.base, VISITOR.base] {
        walk(keys, "", &mut |path, key| {
            assert!(
                key.doc.ends_with('.') && key.doc.len() > 4,
                "{path}: {}",
                key.doc
            );
            if let Fallback::Depends(how) = key.default {
                assert!(!how.is_empty(), "{path}");
            }
            false
        });
    }
}

/// A value of a ready key that is not its default.
fn sample(key: &Key) -> Option<String> {
    let text = |text: &str| Some(format!("'{text}'"));
    match (key.kind, key.rule) {
        (Kind::Bool, _) => Some((!matches!(key.default, Fallback::True)).to_string()),
        (Kind::Int, _) => Some("12".to_owned()),
        (Kind::Text, Rule::OneOf { ready, .. }) => {
            let default = match key.default {
                Fallback::Text(default) => default,
                _ => "",
            };
            ready
                .iter()
                .find(|value| **value != default)
                .and_then(|value| text(value))
        }
        (Kind::Text, Rule::Ip) => text("127.0.0.2"),
        (Kind::Text, Rule::Bandwidth) => text("3MB"),
        (Kind::Text | Kind::Secret, _) => text("sample"),
        (Kind::Texts, Rule::OneOf { ready, .. }) => Some(format!("['{}']", ready[0])),
        (Kind::TextMap, _) => Some("{ a = 'b' }".to_owned()),
        _ => None,
    }
}

/// Keys of a part that is off by default, with what turns it on.
const NEEDS: [(&str, &str); 4] = [
    ("webServer.addr", "webServer.port = 1\n"),
    ("webServer.user", "webServer.port = 1\n"),
    ("webServer.password", "webServer.port = 1\n"),
    ("webServer.pprofEnable", "webServer.port = 1\n"),
];

#[test]
fn every_ready_key_changes_the_settings() {
    let options = crate::LoadOptions::new(crate::Purpose::Verify);
    let client = |text: &str| {
        format!(
            "{:?}",
            crate::parse_client(text, "f", &options).unwrap().settings
        )
    };
    let server = |text: &str| {
        format!(
            "{:?}",
            crate::parse_server(text, "f", &options).unwrap().settings
        )
    };
    let proxy = |text: &str| client(&format!("[[proxies]]\nname = 'p'\ntype = 'tcp'\n{text}\n"));
    let mut tried = 0;
    let mut check = |keys: &'static [Key], load: &dyn Fn(&str) -> String| {
        let without = load("");
        walk(keys, "", &mut |path, key| {
            if key.support == Support::Ready
                && !["name", "type"].contains(&path)
                && !path.contains("okenSource.")
                && !path.starts_with("webServer.tls.")
                && let Some(value) = sample(key)
            {
                tried += 1;
                let given = format!("{path} = {value}");
                match NEEDS.iter().find(|(key, _)| *key == path) {
                    None => assert_ne!(load(&given), without, "{path}"),
                    Some((_, with)) => {
                        assert_ne!(load(&format!("{with}{given}")), load(with), "{path}");
                    }
                }
            }
            false
        });
    };
    check(CLIENT, &client);
    check(SERVER, &server);
    check(PROXY.base, &proxy);
    check(PROXY.tag("tcp").unwrap().keys, &proxy);
    assert!(tried > 50, "{tried}");
}
