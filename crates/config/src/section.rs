//! The keys that a file gives, checked for name and kind and found by their paths.

use std::collections::BTreeMap;

use crate::keys::{Fallback, Key, Kind, Support};
use crate::value::Value;

/// A table of the file: the whole file, or one entry of a list such as `proxies`.
#[derive(Debug)]
pub(crate) struct Section {
    /// Byte offset of its beginning.
    pub(crate) at: usize,
    /// The definitions that apply.
    pub(crate) keys: Vec<&'static [Key]>,
    /// Given values by the path of their key.
    pub(crate) fields: BTreeMap<String, Field>,
    /// Given lists of tables by the path of their key.
    pub(crate) lists: BTreeMap<String, List>,
    /// Where tables that are given begin, by path: some mean something even when empty.
    pub(crate) tables: BTreeMap<String, usize>,
}

/// A value of a key.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) key: &'static Key,
    /// The name as the file has it.
    pub(crate) written: String,
    /// Byte offset of the key.
    pub(crate) at: usize,
    /// Byte offset of the value.
    pub(crate) value_at: usize,
    pub(crate) value: Value,
    /// Support of the key and of the tables around it.
    pub(crate) support: Support,
}

/// A list of tables.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) at: usize,
    pub(crate) written: String,
    pub(crate) items: Vec<Section>,
    pub(crate) support: Support,
}

impl Section {
    pub(crate) fn new(at: usize, keys: Vec<&'static [Key]>) -> Self {
        Self {
            at,
            keys,
            fields: BTreeMap::new(),
            lists: BTreeMap::new(),
            tables: BTreeMap::new(),
        }
    }

    pub(crate) fn items(&self, path: &str) -> &[Self] {
        self.lists.get(path).map_or(&[], |list| &list.items)
    }

    pub(crate) fn bool(&self, path: &str) -> bool {
        match self.value(path) {
            Some(Value::Bool(value)) => *value,
            _ => matches!(self.fallback(path), Fallback::True),
        }
    }

    /// The number in force; 0 where the default depends on other settings.
    pub(crate) fn int(&self, path: &str) -> i64 {
        match self.value(path) {
            Some(Value::Int(value)) if *value != 0 => *value,
            _ => match self.fallback(path) {
                Fallback::Int(value) => value,
                _ => 0,
            },
        }
    }

    pub(crate) fn text(&self, path: &str) -> String {
        self.some_text(path)
            .unwrap_or_else(|| match self.fallback(path) {
                Fallback::Text(value) => value.to_owned(),
                _ => String::new(),
            })
    }

    /// The text that the file gives, if it is not empty.
    pub(crate) fn some_text(&self, path: &str) -> Option<String> {
        match self.value(path) {
            Some(Value::Text(value)) if !value.is_empty() => Some(value.clone()),
            _ => None,
        }
    }

    pub(crate) fn texts(&self, path: &str) -> Vec<String> {
        let Some(Value::List(items)) = self.value(path) else {
            return Vec::new();
        };
        let texts = items.iter().filter_map(|item| match &item.value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        });
        texts.collect()
    }

    /// The switches of a map of booleans.
    pub(crate) fn switches(&self, path: &str) -> BTreeMap<String, bool> {
        let Some(Value::Table(entries)) = self.value(path) else {
            return BTreeMap::new();
        };
        let pairs = entries.iter().filter_map(|entry| match entry.node.value {
            Value::Bool(on) => Some((entry.key.clone(), on)),
            _ => None,
        });
        pairs.collect()
    }

    /// Offset of the value of a key, else of the section.
    pub(crate) fn value_at(&self, path: &str) -> usize {
        self.fields
            .get(path)
            .map_or(self.at, |field| field.value_at)
    }

    pub(crate) fn map(&self, path: &str) -> BTreeMap<String, String> {
        let Some(Value::Table(entries)) = self.value(path) else {
            return BTreeMap::new();
        };
        let pairs = entries.iter().filter_map(|entry| match &entry.node.value {
            Value::Text(text) => Some((entry.key.clone(), text.clone())),
            _ => None,
        });
        pairs.collect()
    }

    fn value(&self, path: &str) -> Option<&Value> {
        self.fields.get(path).map(|field| &field.value)
    }

    fn fallback(&self, path: &str) -> Fallback {
        let key = find(&self.keys, path);
        debug_assert!(key.is_some(), "no definition of {path}");
        key.map_or(Fallback::Zero, |key| key.default)
    }
}

/// The definition at `path`, in any case.
pub(crate) fn find(keys: &[&'static [Key]], path: &str) -> Option<&'static Key> {
    let (name, rest) = match path.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (path, None),
    };
    let key = keys
        .iter()
        .flat_map(|keys| keys.iter())
        .find(|key| key.name.eq_ignore_ascii_case(name))?;
    match (rest, key.kind) {
        (None, _) => Some(key),
        (Some(rest), Kind::Table(below)) => find(&[below], rest),
        _ => None,
    }
}
