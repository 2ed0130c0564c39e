#![allow(clippy::unwrap_used)]
use super::*;
use crate::{Purpose, parse_client};

fn options() -> LoadOptions {
    LoadOptions::new(Purpose::Run)
}

fn parse(text: &str) -> Result<(Store, Vec<Problem>), String> {
    Store::parse(text, "s.json", &options()).map_err(|e| e.to_string())
}

fn asked(body: &str) -> Result<StoreEntry, EntryError> {
    StoreEntry::parse(EntryKind::Proxy, body, None, &options()).map(|(entry, _)| entry)
}

fn tcp(name: &str, port: u16) -> StoreEntry {
    asked(&format!(
        r#"{{"name":{name:?},"type":"tcp","tcp":{{"localPort":{port}}}}}"#
    ))
    .unwrap()
}

#[test]
fn what_is_written_is_read_again_and_is_what_frp_writes() {
    let mut store = Store::default();
    assert_eq!(store.text(), "{}");
    store.add(tcp("a", 80)).unwrap();
    let text = "{\n  \"proxies\": [\n    {\n      \"name\": \"a\",\n      \"type\": \"tcp\",\n      \
                \"transport\": {\n        \"bandwidthLimit\": \"\"\n      },\n      \
                \"loadBalancer\": {\n        \"group\": \"\"\n      },\n      \
                \"healthCheck\": {\n        \"type\": \"\",\n        \"intervalSeconds\": 0\n      \
                },\n      \"localPort\": 80,\n      \"plugin\": null\n    }\n  ]\n}";
    assert_eq!(store.text(), text);
    let (again, warnings) = parse(text).unwrap();
    assert!(warnings.is_empty());
    assert_eq!(again.text(), text);
    assert_eq!(again.list(EntryKind::Proxy), store.list(EntryKind::Proxy));
}

#[test]
fn what_nobody_knows_stays_in_the_file() {
    let text = "{\n  \"proxies\": [\n    {\n      \"name\": \"a\",\n      \"type\": \"tcp\",\n      \
                \"new\": [\n        1.50,\n        null\n      ],\n      \"localPort\": 80\n    }\n  \
                ],\n  \"other\": {\n    \"x\": true\n  }\n}";
    let (mut store, warnings) = parse(text).unwrap();
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].starts_with("s.json:6:7: proxy a: json: unknown field \"new\""));
    assert!(warnings[1].starts_with("s.json:13:3: the store has no key \"other\""));
    assert_eq!(store.text(), text);
    store.add(tcp("b", 1)).unwrap();
    assert!(store.text().contains("1.50"));
    let refused = store.replace(tcp("a", 2)).unwrap_err().to_string();
    assert!(
        refused.contains("s.json:6:7: proxy a: json: unknown field \"new\""),
        "{refused}"
    );
    store.remove(EntryKind::Proxy, "b").unwrap();
    assert_eq!(store.text(), text);
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    for (text, error) in [
        ("", "s.json:1:1: json: unexpected end of JSON input"),
        (
            "{\"proxies\":[}",
            "s.json:1:13: json: invalid character '}' looking for",
        ),
        ("{} x", "s.json:1:4: json: the file goes on"),
        (
            "[]",
            "s.json:1:1: json: cannot unmarshal array into a store",
        ),
        (
            "{\"proxies\":{}}",
            "s.json:1:12: json: cannot unmarshal object into a list",
        ),
        (
            "{\"proxies\":[],\n\"Proxies\":[]}",
            "s.json:2:1: json: \"Proxies\" is given twice",
        ),
        (
            "{\"proxies\":[\n{\"name\":\"a\"}]}",
            "s.json:2:1: decode proxy at index 0: unknown proxy type: ",
        ),
        (
            "{\"proxies\":[\n{\"type\":\"tcp\"}]}",
            "s.json:2:1: proxy name cannot be empty",
        ),
        (
            "{\"proxies\":[{\"name\":\"a\",\"type\":\"tcp\",\n\"localPort\":\"x\"}]}",
            "s.json:2:13: proxy a: field \"localPort\": cannot unmarshal string",
        ),
        (
            "{\"proxies\":[{\"name\":\"a\",\"type\":\"tcp\",\n\"localPort\":70000}]}",
            "s.json:2:13: proxy a: localPort: localPort: port number 70000 must be",
        ),
        (
            "{\"proxies\":[{\"name\":\"a\",\"type\":\"tcp\"},\n{\"name\":\"a\",\"type\":\"tcp\"}]}",
            "s.json:2:9: proxy name [a] is duplicated",
        ),
        (
            "{\"visitors\":[\n{\"name\":\"a\",\"type\":\"stcp\",\"bindPort\":1}]}",
            "s.json:2:1: visitor a: server name is required",
        ),
    ] {
        let found = parse(text).unwrap_err();
        assert!(found.starts_with(error), "{text}: {found}");
    }
    for fine in ["null", " {} ", "{\"proxies\":null}"] {
        assert!(parse(fine).is_ok(), "{fine}");
    }
    // What does not run may lack something.
    assert!(parse("{\"visitors\":[{\"name\":\"a\",\"type\":\"stcp\",\"enabled\":false}]}").is_ok());
}

#[test]
fn the_store_is_laid_over_the_file() {
    let file = "start = [\"a\", \"b\", \"c\"]\n\
                [[proxies]]\nname = \"a\"\ntype = \"tcp\"\nlocalPort = 1\n\
                [[proxies]]\nname = \"c\"\ntype = \"tcp\"\nlocalPort = 1\n";
    let file = parse_client(file, "f", &options()).unwrap().settings;
    let text = r#"{"proxies":[
        {"name":"c","type":"tcp","localPort":3},
        {"name":"b","type":"tcp","localPort":3},
        {"name":"a","type":"tcp","localPort":3,"enabled":false},
        {"name":"not","type":"tcp","localPort":3}]}"#;
    let (store, _) = parse(text).unwrap();
    let over = store.over(&file);
    let found: Vec<_> = over
        .proxies
        .iter()
        .map(|p| (p.name.as_str(), p.local_port))
        .collect();
    assert_eq!(found, [("a", 1), ("b", 3), ("c", 3)]);
    assert!(!store.enables(EntryKind::Proxy, "a") && store.enables(EntryKind::Proxy, "c"));
}

#[test]
fn names_are_taken_or_there() {
    let mut store = Store::default();
    store.add(tcp("a", 1)).unwrap();
    let taken = store.add(tcp("a", 2)).unwrap_err();
    assert_eq!(taken.to_string(), "already exists: proxy \"a\"");
    store.replace(tcp("a", 2)).unwrap();
    let gone = store.replace(tcp("b", 2)).unwrap_err();
    assert_eq!(gone.to_string(), "not found: proxy \"b\"");
    let gone = store.remove(EntryKind::Visitor, "a").unwrap_err();
    assert_eq!(gone.to_string(), "not found: visitor \"a\"");
}

#[test]
fn secrets_are_not_shown() {
    let body = r#"{"name":"a","type":"stcp","stcp":{"localPort":1,"secretKey":"hush"}}"#;
    let entry = asked(body).unwrap();
    assert!(!format!("{entry:?}").contains("hush"));
    let mut store = Store::default();
    store.add(entry).unwrap();
    assert!(!format!("{store:?}").contains("hush"));
    let wrong = body.replace("\"hush\"", "7");
    assert!(!asked(&wrong).unwrap_err().to_string().contains('7'));
}
