//! What is written is read back as it was, in every format.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::keys::{CLIENT, PLUGIN, PROXY, Rule, SERVER, Tagged, VISITOR, walk};
use crate::{LoadOptions, Purpose, parse_client, parse_server};

/// Keys whose values depend on other keys; the corpus has them.
const LEFT_OUT: [&str; 16] = [
    "auth.tokens",
    "transport.realIP",
    "sshd.log",
    "transport.tls.keyStore",
    "transport.tls.knownServers",
    "transport.tls.pin",
    "transport.tls.trust",
    "auth.tokenSource",
    "auth.oidc",
    "auth.method",
    "webServer.tls",
    "virtualNet",
    "featureGates",
    "transport.heartbeat",
    "annotations",
    "healthCheck",
];

/// A value that the key takes.
fn value(key: &'static Key) -> Option<BoxedStrategy<Value>> {
    let text = || {
        prop_oneof![
            any::<String>(),
            "[ -~]{0,12}",
            Just("{{ .Envs.A }}".to_owned()),
            Just("yes".to_owned()),
            Just("010".to_owned()),
            Just("a\u{2028}b\u{85}\u{feff}\u{7f}\r\n\t\"'\\".to_owned()),
        ]
        .prop_map(Value::Text)
    };
    let node = |value| Node { at: 0, value };
    let one_of = |values: &'static [&'static str]| {
        proptest::sample::select(values).prop_map(|text| Value::Text(text.to_owned()))
    };
    Some(match (key.kind, key.rule) {
        (Kind::Bool, _) => any::<bool>().prop_map(Value::Bool).boxed(),
        (Kind::Int, _) => (0..60_000_i64).prop_map(Value::Int).boxed(),
        (Kind::Text, Rule::OneOf { values, .. }) => one_of(values).boxed(),
        (Kind::Text, Rule::Bandwidth) => (1..9_u8)
            .prop_map(|n| Value::Text(format!("{n}MB")))
            .boxed(),
        (Kind::Text, Rule::Host(_)) => Just(Value::Text("a.example".to_owned())).boxed(),
        (Kind::Text, Rule::Ip | Rule::DnsServer) => Just(Value::Text("::1".to_owned())).boxed(),
        (_, Rule::Expiry) => Just(Value::Text("2027-01-31T18:00:00Z".to_owned())).boxed(),
        (_, Rule::VirtualAddress) => Just(Value::Text("fd00::1/64".to_owned())).boxed(),
        (_, Rule::ProxyUrl) => Just(Value::Text("ntlm://a:b@c".to_owned())).boxed(),
        (Kind::Text | Kind::Secret, _) => text().boxed(),
        (Kind::Texts, Rule::OneOf { values, .. }) => prop::collection::vec(one_of(values), 0..3)
            .prop_map(move |items| Value::List(items.into_iter().map(node).collect()))
            .boxed(),
        (Kind::Texts, Rule::Networks) => {
            prop::collection::vec(one_of(&["::1", "10.0.0.0/8"]), 0..3)
                .prop_map(move |items| Value::List(items.into_iter().map(node).collect()))
                .boxed()
        }
        (Kind::Texts, Rule::Fingerprints) => {
            let one = format!("SHA256:{}", "A".repeat(43));
            Just(Value::List(vec![node(Value::Text(one))])).boxed()
        }
        (Kind::Texts, Rule::Ways) => prop::collection::vec(one_of(&["tcp", "wss:443"]), 0..3)
            .prop_map(move |items| Value::List(items.into_iter().map(node).collect()))
            .boxed(),
        (Kind::Texts, _) => prop::collection::vec(text(), 0..3)
            .prop_map(move |items| Value::List(items.into_iter().map(node).collect()))
            .boxed(),
        (Kind::TextMap, _) => prop::collection::btree_map(any::<String>(), text(), 0..3)
            .prop_map(move |map| {
                let entry = |(key, value)| Entry {
                    key,
                    at: 0,
                    node: node(value),
                };
                Value::Table(map.into_iter().map(entry).collect())
            })
            .boxed(),
        _ => return None,
    })
}

/// A table with the header of a request.
fn header() -> impl Strategy<Value = Value> {
    ("[A-Z][a-z]{0,8}-[a-z]{1,4}", "[ -~]{0,12}").prop_map(|(name, value)| {
        let text = Node {
            at: 0,
            value: Value::Text(value),
        };
        Value::Table(vec![Entry {
            key: name,
            at: 0,
            node: text,
        }])
    })
}

/// Some keys of the list, as dotted paths.
fn some_of(keys: &'static [Key]) -> BoxedStrategy<Vec<(String, Value)>> {
    let mut all: Vec<BoxedStrategy<Option<(String, Value)>>> = Vec::new();
    walk(keys, "", &mut |path, key| {
        let left_out = LEFT_OUT.iter().any(|prefix| path.starts_with(prefix))
            || ["name", "type", "start", "includes"].contains(&path)
            // Not beside each other, nor without TLS.
            || ["transport.tls.pin", "transport.tls.trust", "transport.tls.keyStore"]
                .contains(&path);
        let value = match path {
            // What a request can carry.
            "transport.websocket.path" => Some(Just(Value::Text("/a%20b".to_owned())).boxed()),
            "transport.websocket.headers" => Some(header().boxed()),
            _ => value(key),
        };
        if let Some(value) = value.filter(|_| !left_out) {
            let path = path.to_owned();
            let given = value.prop_map(move |value| (path.clone(), value));
            all.push(prop::option::weighted(0.3, given).boxed());
        }
        false
    });
    all.prop_map(|all| all.into_iter().flatten().collect())
        .boxed()
}

/// Nested tables from dotted paths.
fn put(entries: &mut Vec<Entry>, path: &str, value: Value) {
    let Some((table, rest)) = path.split_once('.') else {
        entries.push(Entry {
            key: path.to_owned(),
            at: 0,
            node: Node { at: 0, value },
        });
        return;
    };
    let index = match entries.iter().position(|entry| entry.key == table) {
        Some(index) => index,
        None => {
            put(entries, table, Value::Table(Vec::new()));
            entries.len() - 1
        }
    };
    if let Value::Table(inner) = &mut entries[index].node.value {
        put(inner, rest, value);
    }
}

fn nested(pairs: Vec<(String, Value)>) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (path, value) in pairs {
        put(&mut entries, &path, value);
    }
    entries
}

/// An entry of a tagged list with what its type requires.
fn item(tagged: &'static Tagged, index: usize) -> BoxedStrategy<Vec<Entry>> {
    proptest::sample::select(tagged.types.iter().collect::<Vec<_>>())
        .prop_flat_map(move |tag| {
            (some_of(tagged.base), some_of(tag.keys)).prop_map(move |(base, own)| {
                let mut pairs: Vec<_> = base.into_iter().chain(own).collect();
                let required = [
                    ("name", Value::Text(format!("n{index}"))),
                    ("type", Value::Text(tag.name.to_owned())),
                ];
                let more = match (tagged.what, tag.name) {
                    ("proxy", "http" | "https" | "tcpmux") => {
                        vec![("subdomain", Value::Text("s".to_owned()))]
                    }
                    ("visitor", _) => vec![
                        ("serverName", Value::Text("s".to_owned())),
                        ("bindPort", Value::Int(1)),
                    ],
                    _ => Vec::new(),
                };
                let mux = (tag.name == "tcpmux")
                    .then(|| ("multiplexer", Value::Text("httpconnect".to_owned())));
                for (key, value) in required.into_iter().chain(more).chain(mux) {
                    pairs.retain(|(path, _)| path != key);
                    pairs.push((key.to_owned(), value));
                }
                nested(pairs)
            })
        })
        .boxed()
}

fn plugin() -> BoxedStrategy<Vec<Entry>> {
    proptest::sample::select(PLUGIN.types.iter().collect::<Vec<_>>())
        .prop_flat_map(|tag| {
            some_of(tag.keys).prop_map(move |mut pairs| {
                for key in tag.keys {
                    if ["localAddr", "localPath", "unixPath"].contains(&key.name) {
                        pairs.retain(|(path, _)| path != key.name);
                        pairs.push((key.name.to_owned(), Value::Text("x:1".to_owned())));
                    }
                }
                pairs.push(("type".to_owned(), Value::Text(tag.name.to_owned())));
                nested(pairs)
            })
        })
        .boxed()
}

fn list(items: Vec<Vec<Entry>>) -> Value {
    let node = |entries| Node {
        at: 0,
        value: Value::Table(entries),
    };
    Value::List(items.into_iter().map(node).collect())
}

fn document(entries: Vec<Entry>) -> Document {
    Document { entries }
}

fn options() -> LoadOptions {
    LoadOptions::new(Purpose::Verify)
}

/// Writes, reads, and compares what the formats mean and what is written then.
fn check<T: fmt::Debug + PartialEq>(
    entries: Vec<Entry>,
    load: impl Fn(&str) -> Result<(T, Document), crate::LoadError>,
) -> Result<(), TestCaseError> {
    let document = document(entries);
    let mut first: Option<(T, String)> = None;
    for format in [Format::Toml, Format::Yaml, Format::Json] {
        let text = document.write(format);
        let (settings, again) = match load(&text) {
            Ok(loaded) => loaded,
            Err(error) => return Err(TestCaseError::fail(format!("{format:?}: {error}\n{text}"))),
        };
        let canonical = again.write(Format::Toml);
        match &first {
            None => first = Some((settings, canonical)),
            Some((known, text)) => {
                prop_assert_eq!(&settings, known, "{:?}", format);
                prop_assert_eq!(&canonical, text, "{:?}", format);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn settings_of_frpc(
        root in some_of(CLIENT),
        mut one in item(&PROXY, 0),
        two in item(&PROXY, 1),
        plugin in plugin(),
        visitor in item(&VISITOR, 0),
    ) {
        put(&mut one, "plugin", list(vec![plugin]));
        if let Some(entry) = one.iter_mut().find(|entry| entry.key == "plugin")
            && let Value::List(items) = &mut entry.node.value
        {
            entry.node.value = items.remove(0).value;
        }
        let mut entries = nested(root);
        put(&mut entries, "proxies", list(vec![one, two]));
        put(&mut entries, "visitors", list(vec![visitor]));
        check(entries, |text| {
            parse_client(text, "f", &options()).map(|l| (l.settings, l.document))
        })?;
    }

    #[test]
    fn settings_of_frps(root in some_of(SERVER), ports in prop::collection::vec(1..9_i64, 0..3)) {
        let range = |port| nested(vec![("single".to_owned(), Value::Int(port))]);
        let mut entries = nested(root);
        put(&mut entries, "allowPorts", list(ports.into_iter().map(range).collect()));
        check(entries, |text| {
            parse_server(text, "f", &options()).map(|l| (l.settings, l.document))
        })?;
    }
}
