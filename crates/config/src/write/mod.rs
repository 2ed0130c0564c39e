//! What a file says, in frp's spelling of the keys, to text in any of the current formats.

use std::fmt;

use crate::keys::{ClientConfig, Key, Kind, ServerConfig, join};
use crate::section::Section;
use crate::value::{Entry, Node, Value};

/// The keys that a file gives, checked and in order, with the values as given: no defaults, no
/// environment but what templates put in, no entries of other files. Holds secrets; `Debug` shows
/// nothing.
#[derive(Clone)]
pub struct Document {
    entries: Vec<Entry>,
}

/// A format that files are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// frp's own choice.
    Toml,
    /// Every text in double quotes.
    Yaml,
    /// Indented by two.
    Json,
}

/// Lists that are written as `[[name]]` at the end of a TOML file.
const ENTRIES: [&Key; 3] = [
    ClientConfig::proxies.key,
    ClientConfig::visitors.key,
    ServerConfig::http_plugins.key,
];

impl Document {
    pub(crate) fn new(root: &Section, proxies: &[&Section], visitors: &[&Section]) -> Self {
        let mut entries = below(root, &root.keys, "");
        for (key, sections) in [
            (ClientConfig::proxies.path(), proxies),
            (ClientConfig::visitors.path(), visitors),
        ] {
            if let Some(first) = sections.first() {
                let items = sections.iter().map(|section| table(section)).collect();
                entries.push(Entry {
                    key,
                    at: first.at,
                    node: Node {
                        at: first.at,
                        value: Value::List(items),
                    },
                });
            }
        }
        Self { entries }
    }

    /// The text of a file that means the same.
    #[must_use]
    pub fn write(&self, format: Format) -> String {
        match format {
            Format::Toml => self.to_toml(),
            Format::Yaml => {
                let mut out = String::new();
                yaml_table(&self.entries, 0, &mut out);
                if out.is_empty() {
                    "{}\n".to_owned()
                } else {
                    out
                }
            }
            Format::Json => {
                let mut out = String::new();
                json_table(&self.entries, 0, &mut out);
                out.push('\n');
                out
            }
        }
    }

    fn to_toml(&self) -> String {
        let mut writer = Toml::default();
        let is_list = |entry: &&Entry| ENTRIES.iter().any(|key| key.name == entry.key);
        for entry in self.entries.iter().filter(|entry| !is_list(entry)) {
            writer.entry("", entry);
        }
        for entry in self.entries.iter().filter(is_list) {
            let Value::List(items) = &entry.node.value else {
                continue;
            };
            if items.is_empty() {
                writer.entry("", entry);
            }
        }
        for entry in self.entries.iter().filter(is_list) {
            let Value::List(items) = &entry.node.value else {
                continue;
            };
            for item in items {
                if !writer.out.is_empty() {
                    writer.out.push('\n');
                }
                writer.out.push_str(&format!("[[{}]]\n", entry.key));
                if let Value::Table(entries) = &item.value {
                    entries.iter().for_each(|entry| writer.entry("", entry));
                }
            }
        }
        writer.out
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({} keys)", self.entries.len())
    }
}

fn table(section: &Section) -> Node {
    Node {
        at: section.at,
        value: Value::Table(below(section, &section.keys, "")),
    }
}

/// What a section gives below `prefix`, in the order of the definitions.
pub(crate) fn below(section: &Section, keys: &[&'static [Key]], prefix: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    for key in keys.iter().flat_map(|keys| keys.iter()) {
        let path = join(prefix, key.name);
        let mut push = |at, node| {
            entries.push(Entry {
                key: key.name.to_owned(),
                at,
                node,
            });
        };
        match key.kind {
            Kind::Table(inner) => {
                let inner = below(section, &[inner], &path);
                let given = section.tables.get(&path).copied();
                let first = inner.iter().map(|entry| entry.at).min();
                if let Some(at) = given.or(first) {
                    let value = Value::Table(inner);
                    push(at, Node { at, value });
                }
            }
            Kind::Tables(_) | Kind::Tagged(_) | Kind::TaggedList(_) => {
                let Some(list) = section.lists.get(&path) else {
                    continue;
                };
                let mut items: Vec<Node> = list.items.iter().map(table).collect();
                let (at, value) = (list.at, &mut items);
                match key.kind {
                    Kind::Tagged(_) => {
                        if let Some(node) = value.pop() {
                            push(at, node);
                        }
                    }
                    _ => {
                        let value = Value::List(items);
                        push(at, Node { at, value });
                    }
                }
            }
            _ => {
                if let Some(field) = section.fields.get(&path) {
                    let node = Node {
                        at: field.value_at,
                        value: field.value.clone(),
                    };
                    push(field.at, node);
                }
            }
        }
    }
    entries
}

#[derive(Default)]
struct Toml {
    out: String,
}

impl Toml {
    /// `a.b = value`, one line for each value.
    fn entry(&mut self, prefix: &str, entry: &Entry) {
        let key = join(prefix, &toml_key(&entry.key));
        match &entry.node.value {
            Value::Table(entries) if !entries.is_empty() => {
                entries.iter().for_each(|entry| self.entry(&key, entry));
            }
            value => {
                self.out.push_str(&key);
                self.out.push_str(" = ");
                toml_value(value, &mut self.out);
                self.out.push('\n');
            }
        }
    }
}

/// A value as a TOML file has it.
pub(crate) fn toml_text(value: &Value) -> String {
    let mut out = String::new();
    toml_value(value, &mut out);
    out
}

/// One part of the path of a key.
pub(crate) fn toml_key(key: &str) -> String {
    if is_bare(key) {
        key.to_owned()
    } else {
        quoted(key)
    }
}

fn is_bare(key: &str) -> bool {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    !key.is_empty() && key.chars().all(bare)
}

fn toml_value(value: &Value, out: &mut String) {
    match value {
        Value::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                toml_value(&item.value, out);
            }
            out.push(']');
        }
        Value::Table(entries) if entries.is_empty() => out.push_str("{}"),
        Value::Table(entries) => {
            out.push_str("{ ");
            for (index, entry) in entries.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                out.push_str(&toml_key(&entry.key));
                out.push_str(" = ");
                toml_value(&entry.node.value, out);
            }
            out.push_str(" }");
        }
        value => out.push_str(&scalar(value)),
    }
}

/// A scalar in the form that all three formats share.
fn scalar(value: &Value) -> String {
    match value {
        Value::Bool(bool) => bool.to_string(),
        Value::Int(int) => int.to_string(),
        Value::Text(text) => quoted(text),
        // No checked key has such a value.
        _ => "\"\"".to_owned(),
    }
}

/// In double quotes, with escapes that TOML, YAML and JSON read alike. Braces are written so that
/// no template action can be seen in them.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    let mut before = ' ';
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '{' if before == '{' => out.push_str("\\u007B"),
            c if c.is_control() || is_invisible(c) => {
                out.push_str(&format!("\\u{:04X}", u32::from(c)));
            }
            c => out.push(c),
        }
        before = c;
    }
    out.push('"');
    out
}

/// Characters that some reader takes for a line end, a mark or no character.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
    )
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", depth));
}

fn yaml_table(entries: &[Entry], depth: usize, out: &mut String) {
    for (index, entry) in entries.iter().enumerate() {
        // The first key of a list's item stands behind the dash.
        if index > 0 || !out.ends_with("- ") {
            indent(depth, out);
        }
        let plain = is_bare(&entry.key)
            && matches!(crate::yaml::resolve(&entry.key), Value::Text(_))
            && entry.key.starts_with(|c: char| c.is_ascii_alphabetic());
        if plain {
            out.push_str(&entry.key);
        } else {
            out.push_str(&quoted(&entry.key));
        }
        out.push(':');
        match &entry.node.value {
            Value::Table(inner) if !inner.is_empty() => {
                out.push('\n');
                yaml_table(inner, depth + 1, out);
            }
            Value::List(items) if !items.is_empty() => {
                out.push('\n');
                for item in items {
                    indent(depth + 1, out);
                    out.push_str("- ");
                    match &item.value {
                        Value::Table(inner) if !inner.is_empty() => {
                            yaml_table(inner, depth + 2, out);
                        }
                        value => yaml_flat(value, out),
                    }
                }
            }
            value => {
                out.push(' ');
                yaml_flat(value, out);
            }
        }
    }
}

fn yaml_flat(value: &Value, out: &mut String) {
    match value {
        Value::Table(_) => out.push_str("{}"),
        Value::List(_) => out.push_str("[]"),
        value => out.push_str(&scalar(value)),
    }
    out.push('\n');
}

fn json_table(entries: &[Entry], depth: usize, out: &mut String) {
    if entries.is_empty() {
        return out.push_str("{}");
    }
    out.push_str("{\n");
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            out.push_str(",\n");
        }
        indent(depth + 1, out);
        out.push_str(&quoted(&entry.key));
        out.push_str(": ");
        json_value(&entry.node.value, depth + 1, out);
    }
    out.push('\n');
    indent(depth, out);
    out.push('}');
}

fn json_value(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Table(entries) => json_table(entries, depth, out),
        Value::List(items) if items.is_empty() => out.push_str("[]"),
        Value::List(items) => {
            out.push_str("[\n");
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(",\n");
                }
                indent(depth + 1, out);
                json_value(&item.value, depth + 1, out);
            }
            out.push('\n');
            indent(depth, out);
            out.push(']');
        }
        value => out.push_str(&scalar(value)),
    }
}

#[cfg(test)]
mod tests;
