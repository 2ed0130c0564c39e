//! The keys that a file gives, checked for name and kind and found by their paths.

use std::collections::BTreeMap;

use crate::keys::key::{Key, Kind};
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
}

/// A list of tables.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) at: usize,
    pub(crate) written: String,
    pub(crate) items: Vec<Section>,
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
