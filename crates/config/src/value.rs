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
    Text(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
    /// A value that no key takes, such as a date; the text tells which.
    Odd(&'static str),
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
            Self::Int(_) | Self::Float(_) => "number",
            Self::Text(_) | Self::Odd(_) => "string",
            Self::List(_) => "array",
            Self::Table(_) => "object",
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
            Self::Odd(_) => false,
        }
    }
}
