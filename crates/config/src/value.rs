//! The format-neutral tree that a file is read into; every part knows its place in the text.

/// A value with the byte offset at which it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) at: usize,
    pub(crate) value: Value,
}

/// What a format can express.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Bool(bool),
    Int(i64),
    Float(f64),
    /// A number of JSON that is not written as an integer, which is what every number is.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
    /// `null`: as if the key were not there.
    Null,
    /// A value that no key takes, such as a number beyond 64 bits; the text tells which.
    Odd(&'static str),
}

/// A text that could be parsed.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) root: Node,
    /// Doubtful places.
    pub(crate) warnings: Vec<(usize, String)>,
}

/// Moves the places of a tree into the common row of offsets.
pub(crate) fn shift(node: &mut Node, base: usize) {
    node.at += base;
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| shift(item, base)),
        Value::Table(entries) => {
            for entry in entries {
                entry.at += base;
                shift(&mut entry.node, base);
            }
        }
        _ => {}
    }
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// Byte offset of the key.
    pub(crate) at: usize,
    pub(crate) node: Node,
}

impl Value {
    /// The word that frp (Go's JSON) has for this kind of value.
    pub(crate) fn go_name(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::Int(_) | Self::Float(_) | Self::Number(_) => "number",
            Self::Text(_) | Self::Odd(_) => "string",
            Self::List(_) => "array",
            Self::Table(_) => "object",
            Self::Null => "null",
        }
    }

    /// Whether frp takes this value for "not given".
    pub(crate) fn is_zero(&self) -> bool {
        match self {
            Self::Bool(value) => !value,
            Self::Int(value) => *value == 0,
            Self::Float(value) => *value == 0.0,
            Self::Text(value) => value.is_empty(),
            Self::List(value) => value.is_empty(),
            Self::Table(value) => value.is_empty(),
            Self::Null => true,
            Self::Number(_) | Self::Odd(_) => false,
        }
    }
}
