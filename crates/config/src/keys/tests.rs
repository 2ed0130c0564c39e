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

/// Keys that frp does not have.
const OWN: [&str; 27] = [
    "auth.strictUsers",
    "auth.maxClockSkew",
    "auth.challenge",
    "frps auth.maxClockSkew",
    "frps auth.tokens",
    "frps auth.strictUsers",
    "transport.tls.pin",
    "transport.tls.trust",
    "transport.tls.knownServers",
    "transport.tls.keyStore",
    "frps store",
    "frps store.path",
    "log.format",
    "log.access",
    "plugin.backendTrustedCaFile",
    "plugin.backendServerName",
    "webServer.allowedHosts",
    "transport.websocket",
    "transport.websocket.path",
    "transport.websocket.headers",
    "transport.order",
    "natTraversal.portMapping",
    "acceptProxyProtocol",
    "acceptProxyProtocolPorts",
    "transport.realIP",
    "sshd",
    "sshd.log",
];

#[test]
fn every_definition_is_a_key_of_frp_or_named_as_our_own() {
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
            let ours = OWN.contains(&path.as_str())
                || path.starts_with("guard")
                || path.starts_with("auth.tokens")
                || OWN.contains(&format!("{scope} {path}").as_str());
            let frps = known.contains(&format!("{scope} {path}"));
            assert!(ours != frps, "{scope} {path}");
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

/// A value of a key that is not its default.
fn sample(key: &Key) -> Option<String> {
    let text = |text: &str| Some(format!("'{text}'"));
    match (key.kind, key.rule) {
        (Kind::Bool, _) => Some((!matches!(key.default, Fallback::True)).to_string()),
        (Kind::Int, _) => Some("12".to_owned()),
        (Kind::Text, Rule::OneOf { values, .. }) => {
            let default = match key.default {
                Fallback::Text(default) => default,
                _ => "",
            };
            values
                .iter()
                .find(|value| **value != default)
                .and_then(|value| text(value))
        }
        (Kind::Text, Rule::Ip) => text("127.0.0.2"),
        (_, Rule::DnsServer) => text("127.0.0.2:5353"),
        (_, Rule::Expiry) => text("2027-01-31T18:00:00Z"),
        (_, Rule::VirtualAddress) => text("100.86.0.1/24"),
        (_, Rule::ProxyUrl) => text("socks5://a.b"),
        (Kind::Text, Rule::Bandwidth) => text("3MB"),
        (Kind::Text, _) if key.name == "path" => text("/sample"),
        (Kind::Text | Kind::Secret, _) => text("sample"),
        (Kind::Texts, Rule::OneOf { values, .. }) => Some(format!("['{}']", values[0])),
        (Kind::Texts, Rule::Networks) => Some("['10.0.0.0/8']".to_owned()),
        (Kind::Texts, Rule::Fingerprints) => text(&format!("SHA256:{}", "A".repeat(43))),
        (Kind::Texts, Rule::Ways) => Some("['wss:443']".to_owned()),
        (Kind::Texts, _) => Some("['sample']".to_owned()),
        (Kind::TextMap, _) => Some("{ a = 'b' }".to_owned()),
        (Kind::BoolMap, _) => Some("{ VirtualNet = true }".to_owned()),
        _ => None,
    }
}

/// By content: a constant may have several addresses.
fn is_server(keys: &[Key]) -> bool {
    keys.iter().any(|key| key.name == "bindPort")
}

/// What must stand in the file for a key to mean something.
fn needs(path: &str) -> &'static str {
    match path {
        "auth.method" => "auth.oidc.clientID = 'c'\nauth.oidc.tokenEndpointURL = 'http://a'",
        "webServer.tls.certFile" => "webServer.port = 1\nwebServer.tls.keyFile = 'k'",
        "webServer.tls.keyFile" => "webServer.port = 1\nwebServer.tls.certFile = 'c'",
        "transport.order" => "transport.protocol = 'auto'",
        "transport.tls.knownServers" => "transport.tls.trust = 'first-use'",
        "virtualNet.address" => "featureGates.VirtualNet = true",
        "sshTunnelGateway.bindPort" | "webServer.port" => "",
        "healthCheck.type" => "healthCheck.path = '/'",
        "loadBalancer.groupKey" => "loadBalancer.group = 'g'",
        path if path.starts_with("webServer.") => "webServer.port = 1",
        path if path.starts_with("sshTunnelGateway.") => "sshTunnelGateway.bindPort = 1",
        "healthCheck.path" => "healthCheck.type = 'http'",
        path if path.starts_with("healthCheck.") => {
            "healthCheck.type = 'http'\nhealthCheck.path = '/'"
        }
        _ => "",
    }
}

#[test]
fn every_key_changes_the_settings() {
    let options = crate::LoadOptions::new(crate::Purpose::Verify);
    let client = |text: &str| {
        let loaded = crate::parse_client(text, "f", &options);
        format!(
            "{:?}",
            loaded.unwrap_or_else(|e| panic!("{text}: {e}")).settings
        )
    };
    let server = |text: &str| {
        let loaded = crate::parse_server(text, "f", &options);
        format!(
            "{:?}",
            loaded.unwrap_or_else(|e| panic!("{text}: {e}")).settings
        )
    };
    let mut tried = 0;
    let mut check = |keys: &'static [Key], head: &str, load: &dyn Fn(&str) -> String| {
        walk(keys, "", &mut |path, key| {
            let without_effect = [
                "version",
                "webServer.tls.trustedCaFile",
                "webServer.tls.serverName",
            ];
            // Sources are tested as a whole; frps has no use for a server name.
            let skipped = ["name", "type"].contains(&path)
                || path.contains("okenSource.")
                || without_effect.contains(&path)
                || (path == "transport.realIP" && !head.contains("'tcp'"))
                // Its value has rules of its own.
                || path == "sshd.log"
                || (path == "transport.tls.serverName" && is_server(keys));
            if let Some(value) = sample(key).filter(|_| !skipped) {
                tried += 1;
                let needs = if is_server(keys) && path == "auth.method" {
                    "auth.oidc.issuer = 'http://a'"
                } else {
                    needs(path)
                };
                let base = match path {
                    "webServer.tls.certFile" | "webServer.tls.keyFile" => "webServer.port = 1",
                    "healthCheck.path" => "",
                    _ => needs,
                };
                let without = load(&format!("{head}{base}\n"));
                let with = load(&format!("{head}{needs}\n{path} = {value}\n"));
                // Secrets look alike in Debug unless they are empty.
                assert_ne!(with, without, "{path}");
            }
            false
        });
    };
    check(CLIENT, "", &client);
    check(SERVER, "", &server);
    for tag in PROXY.types {
        let head = format!(
            "[[proxies]]\nname = 'p'\ntype = '{}'\n{}",
            tag.name,
            match tag.name {
                "http" | "https" => "customDomains = ['a.b']\n",
                "tcpmux" => "customDomains = ['a.b']\nmultiplexer = 'httpconnect'\n",
                _ => "",
            }
        );
        let given = |path: &str| head.contains(&format!("{path} = "));
        check(PROXY.base, &head, &client);
        let own: Vec<&Key> = tag.keys.iter().filter(|key| !given(key.name)).collect();
        for key in own {
            check(std::slice::from_ref(key), &head, &client);
        }
    }
    for tag in PLUGIN.types {
        for key in tag.keys {
            let required = ["localAddr", "localPath", "unixPath"];
            let others: String = tag
                .keys
                .iter()
                .filter(|other| required.contains(&other.name) && other.name != key.name)
                .map(|other| format!("{} = 'r'\n", other.name))
                .collect();
            let head = format!(
                "[[proxies]]\nname = 'p'\ntype = 'tcp'\n[proxies.plugin]\ntype = '{}'\n{others}",
                tag.name
            );
            if !required.contains(&key.name) {
                check(std::slice::from_ref(key), &head, &client);
            }
        }
    }
    for tag in VISITOR.types {
        let head = format!("[[visitors]]\nname = 'v'\ntype = '{}'\n", tag.name);
        let full = format!("{head}serverName = 's'\nbindPort = 7\n");
        for key in VISITOR.base.iter().chain(tag.keys) {
            if !["serverName", "bindPort"].contains(&key.name) {
                check(std::slice::from_ref(key), &full, &client);
            }
        }
    }
    assert!(tried > 200, "{tried}");
}
