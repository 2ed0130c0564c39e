//! The tables of keys that one program's file consists of, for whatever walks over all of them.

use super::key::{Key, Kind, Tagged, join, walk};
use crate::suggest::Program;

/// Keys that stand in the same tables.
#[derive(Debug)]
pub(crate) struct Scope {
    /// What the path of a key begins with: nothing, `proxies[].`, `proxies[].plugin.` ...
    pub(crate) prefix: String,
    /// The type that the keys are for; empty for all of them.
    pub(crate) kind: &'static str,
    pub(crate) keys: &'static [Key],
}

/// A key with its place.
#[derive(Debug)]
pub(crate) struct Placed {
    /// `proxies[].transport.useEncryption`
    pub(crate) path: String,
    /// The types of table that have it; empty for all.
    pub(crate) kinds: Vec<&'static str>,
    pub(crate) key: &'static Key,
}

/// The scopes of a program's file, outer ones first.
pub(crate) fn scopes(program: Program) -> Vec<Scope> {
    let mut scopes = Vec::new();
    add(&mut scopes, String::new(), "", program.keys());
    scopes
}

fn add(scopes: &mut Vec<Scope>, prefix: String, kind: &'static str, keys: &'static [Key]) {
    scopes.push(Scope {
        prefix: prefix.clone(),
        kind,
        keys,
    });
    walk(keys, "", &mut |path, key| {
        let below = format!("{prefix}{path}");
        match key.kind {
            Kind::Tables(keys) => add(scopes, format!("{below}[]."), kind, keys),
            Kind::Tagged(tagged) => add_tagged(scopes, &format!("{below}."), tagged),
            Kind::TaggedList(tagged) => add_tagged(scopes, &format!("{below}[]."), tagged),
            _ => {}
        }
        false
    });
}

fn add_tagged(scopes: &mut Vec<Scope>, prefix: &str, tagged: &'static Tagged) {
    add(scopes, prefix.to_owned(), "", tagged.base);
    for tag in tagged.types {
        add(scopes, prefix.to_owned(), tag.name, tag.keys);
    }
}

/// Every key of a program's file. Keys of several types that are defined alike are one.
pub(crate) fn placed(program: Program) -> Vec<Placed> {
    let mut all: Vec<Placed> = Vec::new();
    for scope in scopes(program) {
        walk(scope.keys, "", &mut |path, key| {
            let path = join("", &format!("{}{path}", scope.prefix));
            let same = all
                .iter_mut()
                .find(|known| known.path == path && known.key.doc == key.doc);
            match same {
                Some(known) => known.kinds.push(scope.kind),
                None => all.push(Placed {
                    path,
                    kinds: Vec::from_iter((!scope.kind.is_empty()).then_some(scope.kind)),
                    key,
                }),
            }
            false
        });
    }
    all
}
