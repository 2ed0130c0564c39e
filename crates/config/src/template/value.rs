//! The values that templates work with, and how Go prints them.

use std::collections::BTreeMap;
use std::rc::Rc;

#[derive(Debug, Clone)]
pub(super) enum Value<'e> {
    /// The data of frp: a structure with the field `Envs`.
    Root(&'e BTreeMap<String, String>),
    /// `.Envs`
    Envs(&'e BTreeMap<String, String>),
    Text(Rc<str>),
    Int(i64),
    Float(f64),
    Bool(bool),
    List(Rc<Vec<Self>>),
    /// An element of `parseNumberRangePair`.
    Pair(i64, i64),
    /// What a map gives for a key that it does not have.
    Missing,
    Nil,
}

impl Value<'_> {
    /// Go's name of the type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Root(_) => "*config.Values",
            Self::Envs(_) => "map[string]string",
            Self::Text(_) => "string",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Bool(_) => "bool",
            Self::List(items) => match items.first() {
                Some(Self::Pair(..)) => "[]config.NumberPair",
                _ => "[]int64",
            },
            Self::Pair(..) => "config.NumberPair",
            Self::Missing | Self::Nil => "interface {}",
        }
    }

    /// Whether `if` takes it for true: not zero, not empty.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Root(_) | Self::Pair(..) => true,
            Self::Envs(map) => !map.is_empty(),
            Self::Text(text) => !text.is_empty(),
            Self::Int(int) => *int != 0,
            Self::Float(float) => *float != 0.0,
            Self::Bool(bool) => *bool,
            Self::List(items) => !items.is_empty(),
            Self::Missing | Self::Nil => false,
        }
    }

    /// As Go prints it (`%v`).
    pub(super) fn print(&self) -> String {
        match self {
            Self::Root(map) => format!("&{{{}}}", Self::Envs(map).print()),
            Self::Envs(map) => {
                let pairs: Vec<String> = map.iter().map(|(k, v)| format!("{k}:{v}")).collect();
                format!("map[{}]", pairs.join(" "))
            }
            Self::Text(text) => text.to_string(),
            Self::Int(int) => int.to_string(),
            Self::Float(float) => shortest(*float),
            Self::Bool(bool) => bool.to_string(),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(Self::print).collect();
                format!("[{}]", items.join(" "))
            }
            Self::Pair(first, second) => format!("{{{first} {second}}}"),
            Self::Missing => "<no value>".to_owned(),
            Self::Nil => "<nil>".to_owned(),
        }
    }
}

/// The shortest form that reads back equal, as Go's `%v` chooses it.
pub(super) fn shortest(float: f64) -> String {
    let magnitude = float.abs();
    if magnitude != 0.0 && !(1e-4..1e21).contains(&magnitude) {
        return exponent(&format!("{float:e}"));
    }
    float.to_string()
}

/// Go writes at least two digits of the exponent, and its sign.
pub(super) fn exponent(text: &str) -> String {
    let Some((mantissa, exponent)) = text.split_once('e') else {
        return text.to_owned();
    };
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}
