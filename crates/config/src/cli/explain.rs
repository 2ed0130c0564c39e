//! `--explain KEY`: what a key means, and what it is set to in a file.

use std::fmt::Write as _;
use std::path::Path;

use crate::keys::scopes::{Placed, placed};
use crate::keys::{At, ClientConfig, Key, Kind, ProxyConfig, by_ini_name, walk};
use crate::load::{self, Opened};
use crate::section::{Field, Section};
use crate::source::Sources;
use crate::suggest::{Program, nearest};
use crate::value::Value;
use crate::{LoadOptions, write};

/// The text about `wanted`: a path such as `transport.tls.enable` or `proxies[].localPort`, a name
/// alone, or the name in a legacy INI file; in any case.
///
/// # Errors
/// With the text when there is no such key, or the file cannot be read.
pub(crate) fn explain(
    program: Program,
    wanted: &str,
    file: Option<&Path>,
    options: &LoadOptions,
) -> Result<String, String> {
    let all = placed(program);
    let found = find(&all, wanted);
    if found.is_empty() {
        return Err(unknown(program, &all, wanted));
    }
    // What keeps a file from running does not keep its values from being shown.
    let options = LoadOptions {
        strict: false,
        ..options.verify()
    };
    let open = |file: &Path| load::open(program, file, &options).map_err(|e| e.to_string());
    let opened = file.map(open).transpose()?;
    let mut text = String::new();
    for (index, placed) in found.into_iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        describe(&mut text, placed);
        if let Some((opened, sources)) = &opened {
            in_force(&mut text, placed, opened, sources);
        }
    }
    Ok(text)
}

/// The key at exactly that path, else every key that is called so.
fn find<'a>(all: &'a [Placed], wanted: &str) -> Vec<&'a Placed> {
    let plain = |path: &str| path.replace("[]", "").to_ascii_lowercase();
    let wanted = plain(wanted);
    let at_path: Vec<&Placed> = all.iter().filter(|p| plain(&p.path) == wanted).collect();
    if !at_path.is_empty() {
        return at_path;
    }
    let end = format!(".{wanted}");
    let by_end: Vec<&Placed> = all
        .iter()
        .filter(|p| plain(&p.path).ends_with(&end))
        .collect();
    if !by_end.is_empty() {
        return by_end;
    }
    let called = |p: &&Placed| {
        by_ini_name(std::slice::from_ref(p.key), &wanted)
            .is_some_and(|(_, key)| std::ptr::eq(key, p.key))
    };
    all.iter().filter(called).collect()
}

fn unknown(program: Program, all: &[Placed], wanted: &str) -> String {
    let name = program.name();
    let other = match program {
        Program::Frpc => Program::Frps,
        Program::Frps => Program::Frpc,
    };
    if !find(&placed(other), wanted).is_empty() {
        let other = other.name();
        return format!(
            "{wanted} is a key of {other}, not of {name}; see {other} --explain {wanted}"
        );
    }
    let lower = wanted.to_ascii_lowercase();
    let holds = all
        .iter()
        .filter(|p| lower.len() > 2 && p.path.to_ascii_lowercase().contains(&lower));
    let mut near: Vec<String> = holds.map(|p| p.path.clone()).collect();
    for scope in crate::keys::scopes::scopes(program) {
        near.extend(nearest(wanted, &[scope.keys]).map(|path| format!("{}{path}", scope.prefix)));
    }
    near.sort();
    near.dedup();
    near.truncate(8);
    if near.is_empty() {
        return format!("{name} has no key {wanted}; docs/configuration.md lists them all");
    }
    format!(
        "{name} has no key {wanted}; did you mean {}?",
        near.join(", ")
    )
}

fn describe(text: &mut String, placed: &Placed) {
    let key = placed.key;
    let _ = writeln!(text, "{}", placed.path);
    let _ = writeln!(text, "  {}", key.doc);
    if !placed.kinds.is_empty() {
        line(text, "For", &format!("type {}", placed.kinds.join(", ")));
    }
    line(text, "Type", &key.type_text());
    if let Some(unit) = key.unit() {
        line(text, "Unit", &unit.to_lowercase());
    }
    match key.kind {
        Kind::Table(below) => keys_of(text, below),
        _ => line(text, "Default", &key.default_text()),
    }
    if let Some(ini) = key.ini_text() {
        line(text, "In INI", &ini);
    }
}

fn line(text: &mut String, what: &str, value: &str) {
    let _ = writeln!(text, "  {:9} {value}", format!("{what}:"));
}

fn keys_of(text: &mut String, below: &[Key]) {
    let names: Vec<&str> = below.iter().map(|key| key.name).collect();
    line(text, "Keys", &names.join(", "));
}

/// The values that the file gives, each with its place.
fn in_force(text: &mut String, placed: &Placed, opened: &Opened, sources: &Sources) {
    let (lists, path) = match placed.path.rsplit_once("[].") {
        Some((lists, path)) => (Some(lists), path),
        None => (None, placed.path.as_str()),
    };
    let sections: Vec<&Section> = match lists {
        None => vec![&opened.root],
        Some(list) if list == ClientConfig::proxies.path() => opened.proxies.iter().collect(),
        Some(list) if list == ClientConfig::visitors.path() => opened.visitors.iter().collect(),
        Some(list) => {
            let list = opened.root.lists.get(list);
            list.map_or_else(Vec::new, |list| list.items.iter().collect())
        }
    };
    let mut any = false;
    for section in sections {
        // A plugin is a section of its own.
        let plugin = ProxyConfig::plugin.path();
        let (section, path) = match path.split_once('.') {
            Some((table, path)) if table == plugin => {
                match section.lists.get(table).and_then(|list| list.items.first()) {
                    Some(plugin) => (plugin, path),
                    None => continue,
                }
            }
            _ => (section, path),
        };
        if crate::section::find(&section.keys, path).is_none() {
            continue;
        }
        let name = At::<ProxyConfig>::root(section).of(ProxyConfig::name);
        let of = match name.field() {
            Some(_) if lists.is_some() => format!("{:?} ", name.text()),
            _ => String::new(),
        };
        any = true;
        given(text, section, (path, placed.key, &of), sources);
    }
    if !any {
        line(text, "In force", "nothing: there is no such entry");
    }
}

fn given(
    text: &mut String,
    section: &Section,
    (path, key, of): (&str, &'static Key, &str),
    sources: &Sources,
) {
    let place = |at: usize| {
        let (origin, (line, _)) = sources.position(at);
        format!("{origin}:{line}")
    };
    if let Kind::Table(below) = key.kind {
        walk(below, path, &mut |path, key| {
            if let Some(field) = section.fields.get(path) {
                let value = shown(key, field);
                line(
                    text,
                    "In force",
                    &format!("{of}{path} = {value} ({})", place(field.at)),
                );
            }
            false
        });
        return;
    }
    let value = match (section.fields.get(path), section.lists.get(path)) {
        (Some(field), _) if !field.value.is_zero() || matches!(field.value, Value::Bool(_)) => {
            format!("{} ({})", shown(key, field), place(field.at))
        }
        (Some(field), _) => format!(
            "{} (the default; {} gives none by {})",
            key.default_text(),
            place(field.at),
            shown(key, field)
        ),
        (_, Some(list)) => format!("{} entries ({})", list.items.len(), place(list.at)),
        _ => format!("{} (the default)", key.default_text()),
    };
    line(text, "In force", &format!("{of}{value}"));
}

/// A value as a file may write it; secrets are not shown.
fn shown(key: &Key, field: &Field) -> String {
    if matches!(key.kind, Kind::Secret) {
        return "(secret, not shown)".to_owned();
    }
    write::toml_text(&field.value)
}
