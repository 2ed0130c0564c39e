//! TOML text to the neutral tree.

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use crate::value::{Entry, Node, Parsed, Value};

/// Reads TOML.
///
/// # Errors
/// All syntax errors that were found, with their byte offsets.
pub(crate) fn parse(text: &str) -> Result<Parsed, Vec<(usize, String)>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let root = Node {
            at: 0,
            value: Value::Table(entries(table.into_inner())),
        };
        return Ok(Parsed {
            root,
            warnings: Vec::new(),
        });
    }
    let place = |error: &Error| {
        let at = error.span().map_or(0, |span| span.start);
        (at, error.message().replace('\n', ", "))
    };
    Err(errors.iter().map(place).collect())
}

fn entries(table: DeTable<'_>) -> Vec<Entry> {
    let entry = |(key, value): (Spanned<_>, Spanned<DeValue<'_>>)| {
        let at = key.span().start;
        let key: std::borrow::Cow<'_, str> = key.into_inner();
        Entry {
            at,
            key: key.into_owned(),
            node: node(value),
        }
    };
    table.into_iter().map(entry).collect()
}

fn node(value: Spanned<DeValue<'_>>) -> Node {
    let at = value.span().start;
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(int) => i64::from_str_radix(int.as_str(), int.radix())
            .map_or(Value::Odd("a number beyond 64 bits"), Value::Int),
        DeValue::Float(float) => float
            .as_str()
            .parse()
            .map_or(Value::Odd("a number out of range"), Value::Float),
        DeValue::Boolean(bool) => Value::Bool(bool),
        // As frp, which takes a date for its text.
        DeValue::Datetime(date) => Value::Text(date.to_string()),
        DeValue::Array(array) => Value::List(array.into_iter().map(node).collect()),
        DeValue::Table(table) => Value::Table(entries(table)),
    };
    Node { at, value }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_part_knows_its_place() {
        let text = "a.b = 7_000\n[[c]]\nd = 'x'\n";
        let Value::Table(mut tree) = parse(text).unwrap().root.value else {
            panic!("no table")
        };
        tree.sort_by_key(|entry| entry.at);
        let [a, c] = &tree[..] else {
            panic!("{tree:?}")
        };
        assert_eq!((a.at, c.at), (0, 14));
        let Value::Table(b) = &a.node.value else {
            panic!("{a:?}")
        };
        assert_eq!((b[0].at, b[0].node.at), (2, 6));
        assert_eq!(b[0].node.value, Value::Int(7000));
    }

    #[test]
    fn all_syntax_errors_are_found() {
        let errors = parse("a = x\nb = 1\nc = [\n").unwrap_err();
        assert!(errors.len() >= 2, "{errors:?}");
    }
}
