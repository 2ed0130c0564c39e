//! YAML text to the neutral tree, as Go's YAML 1.1 library reads it (`goyaml.v2` below
//! `sigs.k8s.io/yaml`): `yes` and `on` are true, `010` is eight, `<<` merges, only the first
//! document counts, and keys that are no text become text.

use std::collections::{BTreeSet, HashMap};

use granit_parser::{Event, Options, Parser, ScalarStyle, Span};

use crate::value::{Entry, Node, Parsed, Value};

/// Values that aliases may stand for altogether; more is a bomb.
const NODE_LIMIT: usize = 100_000;
/// How deep values may stand in each other.
const DEPTH_LIMIT: usize = 100;

/// Reads the first document.
///
/// # Errors
/// At the first thing that is no YAML.
pub(crate) fn parse(text: &str) -> Result<Parsed, Vec<(usize, String)>> {
    let mut options = Options::default();
    options.strict_indentation = false;
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| {
            let at = error.marker().byte_offset().unwrap_or(0);
            vec![(at, format!("yaml: {}", error.info()))]
        })?;
        if matches!(event, Event::DocumentEnd) {
            break;
        }
        builder.take(event, &span).map_err(|error| vec![error])?;
    }
    let root = builder.root.unwrap_or(Node {
        at: 0,
        value: Value::Null,
    });
    Ok(Parsed {
        root,
        warnings: builder.warnings,
    })
}

/// Collections that are open, and nodes that can be referred to.
#[derive(Default)]
struct Builder {
    root: Option<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    warnings: Vec<(usize, String)>,
}

struct Open {
    at: usize,
    anchor: usize,
    kind: OpenKind,
    /// Values in it.
    size: usize,
}

enum OpenKind {
    List(Vec<Node>),
    Table {
        entries: Vec<Entry>,
        /// Keys that it gives itself, not by `<<`.
        own: BTreeSet<String>,
        key: Option<(usize, String, bool)>,
    },
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), (usize, String)> {
        let at = span.start.byte_offset().unwrap_or(0);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let tag = tag.as_ref().map(|tag| tag.core_suffix().unwrap_or("other"));
                let value = match tag {
                    Some("int" | "float" | "bool" | "null") => resolve(&text),
                    None if plain => resolve(&text),
                    _ => Value::Text(text.into_owned()),
                };
                let is_merge = plain && matches!(&value, Value::Text(text) if text == "<<");
                self.put(Node { at, value }, anchor, 1, is_merge)
            }
            Event::SequenceStart(_, anchor, _) => self.open(at, anchor, OpenKind::List(Vec::new())),
            Event::MappingStart(_, anchor, _) => {
                let kind = OpenKind::Table {
                    entries: Vec::new(),
                    own: BTreeSet::new(),
                    key: None,
                };
                self.open(at, anchor, kind)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else {
                    return Ok(());
                };
                let value = match open.kind {
                    OpenKind::List(items) => Value::List(items),
                    OpenKind::Table { entries, .. } => Value::Table(entries),
                };
                let node = Node { at: open.at, value };
                self.put(node, open.anchor, open.size + 1, false)
            }
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                    let inside = "yaml: an anchor contains itself".to_owned();
                    return Err((at, inside));
                };
                self.put(Node { at, ..node }, 0, size, false)
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, at: usize, anchor: usize, kind: OpenKind) -> Result<(), (usize, String)> {
        if self.open.len() >= DEPTH_LIMIT {
            return Err((at, "yaml: exceeded max depth".to_owned()));
        }
        self.open.push(Open {
            at,
            anchor,
            kind,
            size: 0,
        });
        Ok(())
    }

    fn put(
        &mut self,
        node: Node,
        anchor: usize,
        size: usize,
        is_merge: bool,
    ) -> Result<(), (usize, String)> {
        let at = node.at;
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        self.nodes += size;
        if self.nodes > NODE_LIMIT {
            let message = "yaml: document contains excessive aliasing".to_owned();
            return Err((at, message));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.size += size;
        match &mut open.kind {
            OpenKind::List(items) => items.push(node),
            OpenKind::Table { entries, own, key } => match key.take() {
                None => *key = Some((at, key_text(&node)?, is_merge)),
                Some((_, _, true)) => merge(entries, node)?,
                Some((at, name, false)) => {
                    if !own.insert(name.clone()) {
                        let message =
                            format!("the key {name} is given again; only the last counts");
                        self.warnings.push((at, message));
                    }
                    set(entries, name, at, node);
                }
            },
        }
        Ok(())
    }
}

/// Puts an entry in the place of one of the same name.
fn set(entries: &mut Vec<Entry>, key: String, at: usize, node: Node) {
    entries.retain(|entry| entry.key != key);
    entries.push(Entry { key, at, node });
}

/// Adds what `<<` brings. As in Go's library it replaces what stands above it, and gives way to
/// what stands below; of several sources the first that has a key wins.
fn merge(entries: &mut Vec<Entry>, node: Node) -> Result<(), (usize, String)> {
    match node.value {
        Value::Table(merged) => {
            for Entry { key, at, node } in merged {
                set(entries, key, at, node);
            }
            Ok(())
        }
        Value::List(items) if items.iter().all(|i| matches!(i.value, Value::Table(_))) => items
            .into_iter()
            .rev()
            .try_for_each(|item| merge(entries, item)),
        _ => {
            let message = "yaml: map merge requires map or sequence of maps as the value";
            Err((node.at, message.to_owned()))
        }
    }
}

fn key_text(node: &Node) -> Result<String, (usize, String)> {
    match &node.value {
        Value::Text(text) | Value::Number(text) => Ok(text.clone()),
        Value::Bool(bool) => Ok(bool.to_string()),
        Value::Int(int) => Ok(int.to_string()),
        Value::Float(float) => Ok(float.to_string()),
        Value::Null => Ok("null".to_owned()),
        _ => Err((node.at, "yaml: invalid map key".to_owned())),
    }
}

/// What a plain scalar means in YAML 1.1, as Go reads it.
pub(crate) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "true" | "True" | "TRUE" => {
            return Value::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "false" | "False" | "FALSE" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    let unsigned = text.trim_start_matches(['+', '-']).to_ascii_lowercase();
    if unsigned == ".inf" || text.eq_ignore_ascii_case(".nan") {
        return Value::Odd("a number that is not finite");
    }
    let numeric = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    if !numeric {
        return Value::Text(text.to_owned());
    }
    let digits = text.replace('_', "");
    if let Some(int) = crate::ini::integer(&digits) {
        return Value::Int(int);
    }
    let is_float = digits.contains(|c: char| c.is_ascii_digit())
        && digits
            .chars()
            .all(|c| c.is_ascii_digit() || "+-.eE".contains(c));
    match digits.parse::<f64>() {
        Ok(float) if is_float && float.is_finite() => Value::Float(float),
        _ => Value::Text(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn table(text: &str) -> Vec<Entry> {
        match parse(text).unwrap().root.value {
            Value::Table(entries) => entries,
            other => panic!("{other:?}"),
        }
    }

    fn scalar(text: &str) -> Value {
        parse(text).unwrap().root.value
    }

    #[test]
    fn scalars_are_those_of_yaml_1_1() {
        for (text, value) in [
            ("yes", Value::Bool(true)),
            ("Off", Value::Bool(false)),
            ("010", Value::Int(8)),
            ("0x1F", Value::Int(31)),
            ("1_000", Value::Int(1000)),
            ("7e3", Value::Float(7000.0)),
            ("~", Value::Null),
            ("'yes'", Value::Text("yes".into())),
            ("!!str 5", Value::Text("5".into())),
            ("1.2.3.4", Value::Text("1.2.3.4".into())),
            ("2020-01-01", Value::Text("2020-01-01".into())),
            ("60:30", Value::Text("60:30".into())),
            (".inf", Value::Odd("a number that is not finite")),
            ("!!int '5'", Value::Int(5)),
            ("!other 5", Value::Text("5".into())),
            ("|\n  a\n  b\n", Value::Text("a\nb\n".into())),
        ] {
            assert_eq!(scalar(text), value, "{text}");
        }
    }

    #[test]
    fn anchors_and_merge_keys() {
        let entries = table(".b: &b {x: 1, z: 2}\nc:\n  <<: *b\n  z: 3\nd: {x: 5, <<: *b}\n");
        let Value::Table(c) = &entries[1].node.value else {
            panic!("{entries:?}")
        };
        let shown: Vec<_> = c.iter().map(|e| (e.key.as_str(), &e.node.value)).collect();
        assert_eq!(shown, [("x", &Value::Int(1)), ("z", &Value::Int(3))]);
        let Value::Table(d) = &entries[2].node.value else {
            panic!("{entries:?}")
        };
        assert_eq!(d[0].node.value, Value::Int(1), "the merge stands below");
    }

    #[test]
    fn every_part_knows_its_place() {
        let entries = table("a: 1\nb:\n  - 'x'\n");
        assert_eq!((entries[1].at, entries[0].node.at), (5, 3));
        let Value::List(items) = &entries[1].node.value else {
            panic!("{entries:?}")
        };
        assert_eq!(items[0].at, 12);
    }

    #[test]
    fn keys_are_text_and_the_last_of_a_name_counts() {
        let parsed = parse("1: a\nyes: b\nx: 1\nx: 2\n---\nother: 1\n").unwrap();
        let Value::Table(entries) = parsed.root.value else {
            panic!("no table")
        };
        let keys: Vec<_> = entries.iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(keys, ["1", "true", "x"]);
        assert_eq!(entries[2].node.value, Value::Int(2));
        assert_eq!(parsed.warnings.len(), 1);
    }

    #[test]
    fn errors_have_places_and_bombs_do_not_go_off() {
        assert_eq!(parse("a: b: c\n").unwrap_err()[0].0, 4);
        assert!(parse("a: &a [*a]\n").is_err());
        let mut bomb = "a0: &a0 [x]\n".to_owned();
        for index in 1..40 {
            let before = index - 1;
            bomb.push_str(&format!("a{index}: &a{index} [*a{before}, *a{before}]\n"));
        }
        assert!(parse(&bomb).is_err());
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse(&"- ".repeat(100_000)).is_err());
    }
}
