//! The functions that templates may call; texts of errors are Go's and frp's.

use std::cmp::Ordering;

use super::parse::Operand;
use super::printf::printf;
use super::value::Value;
use crate::numbers::parse_range_numbers;

/// Whether an argument is of a type that the function takes.
pub(super) fn takes(name: &str, _index: usize, value: &Value<'_>) -> Result<(), String> {
    match (name, value) {
        ("parseNumberRange" | "parseNumberRangePair", Value::Text(_)) => Ok(()),
        ("parseNumberRange" | "parseNumberRangePair", other) => {
            Err(format!("expected string; found {}", other.print()))
        }
        _ => Ok(()),
    }
}

pub(super) fn call<'e>(name: &str, values: &[Value<'e>]) -> Result<Value<'e>, String> {
    let calling = |text: String| format!("error calling {name}: {text}");
    match name {
        "not" => one(name, values).map(|value| Value::Bool(!value.is_true())),
        "len" => len(one(name, values)?).map_err(calling),
        "index" => index(values).map_err(calling),
        "eq" => eq(values).map(Value::Bool).map_err(calling),
        "ne" => two(name, values)
            .and_then(|(a, b)| equal(a, b).map_err(calling))
            .map(|equal| Value::Bool(!equal)),
        "lt" | "le" | "gt" | "ge" => {
            let (a, b) = two(name, values)?;
            let order = compare(a, b).map_err(calling)?;
            Ok(Value::Bool(match name {
                "lt" => order == Some(Ordering::Less),
                "le" => matches!(order, Some(Ordering::Less | Ordering::Equal)),
                "gt" => order == Some(Ordering::Greater),
                _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            }))
        }
        "print" => Ok(text(print(values))),
        "println" => {
            let parts: Vec<String> = values.iter().map(shown).collect();
            Ok(text(parts.join(" ") + "\n"))
        }
        "printf" => match values.split_first() {
            Some((Value::Text(format), rest)) => Ok(text(printf(format, rest))),
            Some((other, _)) => Err(format!("expected string; found {}", other.print())),
            None => Err("wrong number of args for printf: want at least 1 got 0".to_owned()),
        },
        "parseNumberRange" => {
            let numbers = numbers(one(name, values)?).map_err(calling)?;
            Ok(list(numbers.into_iter().map(Value::Int).collect()))
        }
        "parseNumberRangePair" => {
            let (a, b) = two(name, values)?;
            let (a, b) = (numbers(a).map_err(calling)?, numbers(b).map_err(calling)?);
            if a.len() != b.len() {
                return Err(calling(
                    "first and second range numbers are not in pairs".to_owned(),
                ));
            }
            let pairs = a.into_iter().zip(b);
            Ok(list(pairs.map(|(a, b)| Value::Pair(a, b)).collect()))
        }
        _ => Err(format!("function {name:?} not defined")),
    }
}

/// A function's name cannot be followed by fields.
pub(super) fn only_field<'e>(value: Value<'e>, first: &Operand) -> Result<Value<'e>, String> {
    match first.fields.first() {
        None => Ok(value),
        Some((_, field)) => Err(format!("unexpected field {field} of a function")),
    }
}

fn text<'e>(text: String) -> Value<'e> {
    Value::Text(text.into())
}

fn list(items: Vec<Value<'_>>) -> Value<'_> {
    Value::List(items.into())
}

fn one<'v, 'e>(name: &str, values: &'v [Value<'e>]) -> Result<&'v Value<'e>, String> {
    match values {
        [value] => Ok(value),
        _ => Err(count(name, 1, values.len())),
    }
}

fn two<'v, 'e>(
    name: &str,
    values: &'v [Value<'e>],
) -> Result<(&'v Value<'e>, &'v Value<'e>), String> {
    match values {
        [a, b] => Ok((a, b)),
        _ => Err(count(name, 2, values.len())),
    }
}

fn count(name: &str, want: usize, got: usize) -> String {
    format!("wrong number of args for {name}: want {want} got {got}")
}

fn numbers(value: &Value<'_>) -> Result<Vec<i64>, String> {
    match value {
        Value::Text(text) => parse_range_numbers(text),
        other => Err(format!("expected string; found {}", other.print())),
    }
}

fn len<'e>(value: &Value<'e>) -> Result<Value<'e>, String> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Envs(map) => map.len(),
        Value::Missing | Value::Nil => return Err("len of nil pointer".to_owned()),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn index<'e>(values: &[Value<'e>]) -> Result<Value<'e>, String> {
    let Some((item, keys)) = values.split_first() else {
        return Err("index of untyped nil".to_owned());
    };
    let mut item = item.clone();
    for key in keys {
        item = match (&item, key) {
            (Value::Envs(map), Value::Text(key)) => map
                .get(&**key)
                .map_or_else(|| text(String::new()), |value| text(value.clone())),
            (Value::Envs(_), other) => {
                return Err(format!(
                    "value has type {}; should be string",
                    other.type_name()
                ));
            }
            (Value::List(items), Value::Int(at)) => {
                let found = usize::try_from(*at).ok().and_then(|at| items.get(at));
                found
                    .cloned()
                    .ok_or_else(|| format!("index out of range: {at}"))?
            }
            (Value::Text(text), Value::Int(at)) => {
                let found = usize::try_from(*at).ok();
                let found = found.and_then(|at| text.as_bytes().get(at));
                let byte = found.ok_or_else(|| format!("index out of range: {at}"))?;
                Value::Int(i64::from(*byte))
            }
            (Value::List(_) | Value::Text(_), other) => {
                return Err(format!(
                    "cannot index slice/array with type {}",
                    other.type_name()
                ));
            }
            (Value::Missing | Value::Nil, _) => return Err("index of untyped nil".to_owned()),
            (other, _) => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(item)
}

fn eq(values: &[Value<'_>]) -> Result<bool, String> {
    let Some((first, rest)) = values.split_first().filter(|(_, rest)| !rest.is_empty()) else {
        return Err("missing argument for comparison".to_owned());
    };
    for other in rest {
        if equal(first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal(a: &Value<'_>, b: &Value<'_>) -> Result<bool, String> {
    let nothing = |value: &Value<'_>| matches!(value, Value::Missing | Value::Nil);
    match (a, b) {
        (a, b) if nothing(a) || nothing(b) => Ok(nothing(a) && nothing(b)),
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Text(a), Value::Text(b)) => Ok(a == b),
        (Value::Int(a), Value::Int(b)) => Ok(a == b),
        #[allow(clippy::float_cmp)] // as Go does
        (Value::Float(a), Value::Float(b)) => Ok(a == b),
        (Value::Pair(a, b), Value::Pair(c, d)) => Ok((a, b) == (c, d)),
        (a, b) => Err(incompatible(a, b)),
    }
}

fn compare(a: &Value<'_>, b: &Value<'_>) -> Result<Option<Ordering>, String> {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => Ok(Some(a.cmp(b))),
        (Value::Int(a), Value::Int(b)) => Ok(Some(a.cmp(b))),
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
        (Value::Bool(_), Value::Bool(_)) => Err("invalid type for comparison".to_owned()),
        (a, b) => Err(incompatible(a, b)),
    }
}

fn incompatible(a: &Value<'_>, b: &Value<'_>) -> String {
    format!(
        "incompatible types for comparison: {} and {}",
        a.type_name(),
        b.type_name()
    )
}

/// As an argument, a key that a map does not have is nil.
fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Missing => "<nil>".to_owned(),
        other => other.print(),
    }
}

/// Go's Sprint: spaces between operands when neither is a text.
fn print(values: &[Value<'_>]) -> String {
    let mut out = String::new();
    let mut before_is_text = true;
    for value in values {
        let is_text = matches!(value, Value::Text(_));
        if !is_text && !before_is_text {
            out.push(' ');
        }
        before_is_text = is_text;
        out.push_str(&shown(value));
    }
    out
}
