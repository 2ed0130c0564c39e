//! `docs/frpc.schema.json` and `docs/frps.schema.json`: JSON Schema, draft 7, which is what editors
//! know best.

use serde_json::{Map, Value, json};

use crate::keys::{Fallback, Key, Kind, Rule, Tagged};
use crate::suggest::Program;
use crate::way::Way;

/// The schema of a program's file.
pub(super) fn schema(program: Program) -> String {
    let mut shared = Map::new();
    let mut schema = table(&[program.keys()], &mut shared);
    let root = schema.as_object_mut().unwrap();
    if !shared.is_empty() {
        root.insert("definitions".to_owned(), Value::Object(shared));
    }
    root.insert(
        "$schema".to_owned(),
        json!("http://json-schema.org/draft-07/schema#"),
    );
    let title = format!("Configuration of {}", program.name());
    root.insert("title".to_owned(), json!(title));
    let mut text = serde_json::to_string_pretty(&schema).unwrap();
    text.push('\n');
    text
}

/// An object with these keys; `shared` are definitions for `$ref`.
fn table(lists: &[&'static [Key]], shared: &mut Map<String, Value>) -> Value {
    let keys = lists.iter().copied().flatten();
    let properties: Map<String, Value> = keys
        .map(|key| (key.name.to_owned(), property(key, shared)))
        .collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn property(key: &Key, shared: &mut Map<String, Value>) -> Value {
    let mut schema = match key.kind {
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Int => json!({ "type": "integer" }),
        Kind::Text | Kind::Secret => json!({ "type": "string" }),
        Kind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::TextMap => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Kind::BoolMap => json!({ "type": "object", "additionalProperties": { "type": "boolean" } }),
        Kind::Table(keys) => table(&[keys], shared),
        Kind::Tables(keys) => json!({ "type": "array", "items": table(&[keys], shared) }),
        Kind::Tagged(tagged) => {
            // All types of proxy have it; once is enough.
            let name = tagged.what.replace(' ', "_");
            if !shared.contains_key(&name) {
                let types = any_of(tagged, shared);
                shared.insert(name.clone(), types);
            }
            json!({ "allOf": [{ "$ref": format!("#/definitions/{name}") }] })
        }
        Kind::TaggedList(tagged) => json!({ "type": "array", "items": any_of(tagged, shared) }),
    };
    schema["description"] = json!(key.doc);
    match key.default {
        Fallback::True => schema["default"] = json!(true),
        Fallback::Int(value) => schema["default"] = json!(value),
        Fallback::Text(text) => schema["default"] = json!(text),
        Fallback::Zero | Fallback::Depends(_) => {}
    }
    match key.rule {
        Rule::Port | Rule::PortCalled(_) => {
            schema["minimum"] = json!(0);
            schema["maximum"] = json!(65535);
        }
        Rule::NotNegative => schema["minimum"] = json!(0),
        Rule::Ways => {
            let names: Vec<&str> = Way::names().collect();
            schema["items"]["pattern"] = json!(format!("^({})(:[0-9]+)?$", names.join("|")));
        }
        Rule::Fingerprints => {
            let one = json!({ "type": "string", "pattern": "^SHA256:[A-Za-z0-9+/]{43}=?$" });
            schema = json!({
                "anyOf": [one, { "type": "array", "items": one }],
                "description": key.doc,
            });
        }
        Rule::OneOf { values, .. } => match key.kind {
            Kind::Texts => schema["items"]["enum"] = json!(values),
            // Empty means the default.
            _ => schema["enum"] = Value::from_iter(values.iter().copied().chain([""])),
        },
        _ => {}
    }
    schema
}

/// One of the types; each has its own keys beside those of all.
fn any_of(tagged: &Tagged, shared: &mut Map<String, Value>) -> Value {
    let types: Vec<Value> = tagged
        .types
        .iter()
        .map(|tag| {
            let mut schema = table(&[tagged.base, tag.keys], shared);
            schema["title"] = json!(format!("{} of type {}", tagged.what, tag.name));
            schema["properties"]["type"]["const"] = json!(tag.name);
            let named = tagged.base.iter().any(|key| key.name == "name");
            schema["required"] = if named {
                json!(["name", "type"])
            } else {
                json!(["type"])
            };
            schema
        })
        .collect();
    json!({ "oneOf": types })
}
