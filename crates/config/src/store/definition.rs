//! An entry of `proxies` or `visitors` as the API of frp shows it (frp `client/http/model`): the values
//! that are given, in the order and with the empty values of frp's Go structs.

use std::fmt;

use super::go_json::compact;
use crate::keys::{At, Fallback, Key, Kind, Listed, Shown, Tagged};
use crate::section::Section;
use crate::value::{Entry, Node, Value};
use crate::write::below;
use crate::{ProxyConfig, VisitorConfig};

/// An entry with the values that are given, under frp's names of their keys.
#[derive(Clone)]
pub(super) struct Definition {
    name: String,
    kind: &'static str,
    keys: [&'static [Key]; 2],
    given: Vec<Entry>,
}

impl Definition {
    /// `None` for a type that does not exist, which has been reported.
    pub(super) fn of<E: Listed>(section: &Section) -> Option<Self> {
        let at = At::<E>::root(section);
        let tag = E::TAGGED.tag(&at.of(E::TYPE).text())?;
        Some(Self {
            name: at.of(E::NAME).text(),
            kind: tag.name,
            keys: [E::TAGGED.base, tag.keys],
            given: below(section, &section.keys, ""),
        })
    }

    /// What frp writes into its store.
    pub(super) fn stored(&self) -> Value {
        Value::Table(table(&self.keys, &self.given, false))
    }

    /// What the API of frp answers: with the defaults of an entry that runs, or as it is stored.
    pub(super) fn json(&self, runs: bool) -> String {
        let block = Value::Table(table(&self.keys, &self.given, runs));
        compact(&Value::Table(vec![
            entry("name", Value::Text(self.name.clone())),
            entry("type", Value::Text(self.kind.to_owned())),
            entry(self.kind, block),
        ]))
    }
}

impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Definition({:?}, {})", self.name, self.kind)
    }
}

/// How the API shows the proxies and visitors of a configuration file, if they run: as JSON, by name.
/// Holds secrets; `Debug` shows nothing.
#[derive(Clone, Default)]
pub struct Definitions {
    proxies: Vec<(String, Box<str>)>,
    visitors: Vec<(String, Box<str>)>,
}

impl Definitions {
    pub(crate) fn of(proxies: &[Section], visitors: &[Section]) -> Self {
        Self {
            proxies: all::<ProxyConfig>(proxies),
            visitors: all::<VisitorConfig>(visitors),
        }
    }

    pub(super) fn get(&self, kind: super::EntryKind, name: &str) -> Option<&str> {
        let list = match kind {
            super::EntryKind::Proxy => &self.proxies,
            super::EntryKind::Visitor => &self.visitors,
        };
        let at = list.binary_search_by(|(known, _)| known.as_str().cmp(name));
        list.get(at.ok()?).map(|(_, json)| &**json)
    }
}

impl fmt::Debug for Definitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (proxies, visitors) = (self.proxies.len(), self.visitors.len());
        write!(f, "Definitions({proxies} proxies, {visitors} visitors)")
    }
}

fn all<E: Listed>(sections: &[Section]) -> Vec<(String, Box<str>)> {
    let definitions = sections.iter().filter_map(Definition::of::<E>);
    let mut all: Vec<_> = definitions
        .map(|definition| {
            let json = definition.json(true).into();
            (definition.name, json)
        })
        .collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all
}

/// A table as frp shows it; with the defaults that frp fills in before it runs the entry, or without.
fn table(keys: &[&'static [Key]], given: &[Entry], filled: bool) -> Vec<Entry> {
    let keys = keys.iter().copied().flatten();
    keys.filter_map(|key| {
        let here = given.iter().find(|entry| entry.key == key.name);
        let value = here.map(|entry| &entry.node.value);
        Some(entry(key.name, shown(key, value, filled)?))
    })
    .collect()
}

fn shown(key: &Key, given: Option<&Value>, filled: bool) -> Option<Value> {
    match (key.kind, given) {
        (Kind::Table(_), None) if key.shown == Shown::Given => None,
        (Kind::Table(keys), given) => Some(Value::Table(table(&[keys], entries(given), filled))),
        (Kind::Tagged(tagged), Some(given)) => Some(plugin(tagged, entries(Some(given)), filled)),
        (Kind::Tagged(_), None) => Some(Value::Null),
        (Kind::Tables(keys), Some(Value::List(items))) if !items.is_empty() => {
            let item = |node: &Node| {
                let table = table(&[keys], entries(Some(&node.value)), filled);
                Node {
                    at: 0,
                    value: Value::Table(table),
                }
            };
            Some(Value::List(items.iter().map(item).collect()))
        }
        (Kind::TextMap | Kind::BoolMap, Some(Value::Table(map))) if !map.is_empty() => {
            let mut map = map.clone();
            map.sort_by(|a, b| a.key.cmp(&b.key));
            Some(Value::Table(map))
        }
        (_, given) => scalar(key, given, filled),
    }
}

/// A value that is not empty, or what stands for it.
fn scalar(key: &Key, given: Option<&Value>, filled: bool) -> Option<Value> {
    // frp tells false from none where the default is true.
    let says = |value: &&Value| !value.is_zero() || matches!(key.default, Fallback::True);
    if let Some(given) = given.filter(says) {
        return Some(given.clone());
    }
    match (key.shown, key.default, key.kind) {
        (Shown::Always, _, Kind::Int) => Some(Value::Int(0)),
        (Shown::Always, _, _) => Some(Value::Text(String::new())),
        (Shown::Filled, Fallback::Text(text), _) if filled => Some(Value::Text(text.to_owned())),
        (Shown::Filled, Fallback::Int(int), _) if filled => Some(Value::Int(int)),
        (Shown::Filled, Fallback::True, _) if filled => Some(Value::Bool(true)),
        _ => None,
    }
}

fn plugin(tagged: &'static Tagged, given: &[Entry], filled: bool) -> Value {
    let kind = given.iter().find_map(|entry| match &entry.node.value {
        Value::Text(text) if entry.key == "type" => tagged.tag(text),
        _ => None,
    });
    let keys = kind.map_or(&[][..], |tag| tag.keys);
    Value::Table(table(&[tagged.base, keys], given, filled))
}

fn entries(value: Option<&Value>) -> &[Entry] {
    match value {
        Some(Value::Table(entries)) => entries,
        _ => &[],
    }
}

pub(super) fn entry(key: &str, value: Value) -> Entry {
    Entry {
        key: key.to_owned(),
        at: 0,
        node: Node { at: 0, value },
    }
}
