//! JSON as Go's encoder writes it, so that frp's programs and ours write the same.

use std::fmt::Write as _;

use crate::value::{Entry, Value};

/// On one line.
pub(super) fn compact(value: &Value) -> String {
    let mut out = String::new();
    write(value, None, &mut out);
    out
}

/// Indented by two.
pub(super) fn pretty(value: &Value) -> String {
    let mut out = String::new();
    write(value, Some(0), &mut out);
    out
}

/// `depth` is `None` where everything stands on one line.
fn write(value: &Value, depth: Option<usize>, out: &mut String) {
    match value {
        Value::Table(entries) => {
            let item = |entry: &Entry, out: &mut String| {
                quote(&entry.key, out);
                out.push_str(if depth.is_some() { ": " } else { ":" });
                write(&entry.node.value, depth.map(|depth| depth + 1), out);
            };
            items(entries, ['{', '}'], depth, out, item);
        }
        Value::List(nodes) => {
            items(nodes, ['[', ']'], depth, out, |node, out| {
                write(&node.value, depth.map(|depth| depth + 1), out);
            });
        }
        Value::Bool(value) => {
            let _ = write!(out, "{value}");
        }
        Value::Int(value) => {
            let _ = write!(out, "{value}");
        }
        // Only other formats than JSON have it.
        Value::Float(value) => {
            let _ = write!(out, "{value}");
        }
        Value::Number(text) => out.push_str(text),
        Value::Text(text) => quote(text, out),
        Value::Null | Value::Odd(_) => out.push_str("null"),
    }
}

fn items<T>(
    items: &[T],
    [open, close]: [char; 2],
    depth: Option<usize>,
    out: &mut String,
    item: impl Fn(&T, &mut String),
) {
    out.push(open);
    for (index, one) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        line(depth.map(|depth| depth + 1), out);
        item(one, out);
    }
    if !items.is_empty() {
        line(depth, out);
    }
    out.push(close);
}

fn line(depth: Option<usize>, out: &mut String) {
    if let Some(depth) = depth {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    }
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
