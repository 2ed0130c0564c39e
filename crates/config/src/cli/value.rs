//! Values of flags, as Go's pflag reads them.

use std::time::Duration;

use super::command::Takes;
use crate::bandwidth::parse_bandwidth;
use crate::ini;
use crate::numbers::number_ranges;

/// The value of a flag.
pub(crate) enum Given {
    Bool(bool),
    Int(i64),
    Text(String),
    Texts(Vec<String>),
    Pairs(Vec<(String, String)>),
    Duration(Duration),
    /// First and last port of each range.
    Ports(Vec<(i64, i64)>),
}

/// Reads the text of a value.
///
/// # Errors
/// With the words of Go, as scripts may know them.
pub(crate) fn read(takes: Takes, text: &str) -> Result<Given, String> {
    Ok(match takes {
        Takes::Bool => Given::Bool(boolean(text)?),
        Takes::Int => Given::Int(integer(text)?),
        Takes::Text => Given::Text(text.to_owned()),
        Takes::Texts if text.is_empty() => Given::Texts(Vec::new()),
        Takes::Texts => Given::Texts(csv(text)?),
        Takes::Pairs => Given::Pairs(pairs(text)?),
        Takes::Duration => Given::Duration(duration(text)?),
        Takes::Ports => Given::Ports(number_ranges(text)?),
        Takes::Bandwidth => {
            parse_bandwidth(text).map_err(|error| error.to_string())?;
            Given::Text(text.to_owned())
        }
    })
}

/// A flag that is given again: lists grow, other values are replaced.
pub(crate) fn merge(old: Given, new: Given) -> Given {
    match (old, new) {
        (Given::Texts(mut old), Given::Texts(new)) => {
            old.extend(new);
            Given::Texts(old)
        }
        (Given::Pairs(mut old), Given::Pairs(new)) => {
            old.extend(new);
            Given::Pairs(old)
        }
        (_, new) => new,
    }
}

fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!(
            "strconv.ParseBool: parsing {text:?}: invalid syntax"
        )),
    }
}

fn integer(text: &str) -> Result<i64, String> {
    ini::integer(text).ok_or_else(|| {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let too_long = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        // Octal digits that are none are the other way for digits alone to be no number.
        let why = if too_long && !digits.starts_with('0') {
            "value out of range"
        } else {
            "invalid syntax"
        };
        format!("strconv.ParseInt: parsing {text:?}: {why}")
    })
}

fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let items = match text.matches('=').count() {
        0 => return Err(format!("{text} must be formatted as key=value")),
        // One pair is taken as it stands, commas and quotes included.
        1 => vec![text.trim_matches('"').to_owned()],
        _ => csv(text)?,
    };
    let pair = |item: String| match item.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(format!("{item} must be formatted as key=value")),
    };
    items.into_iter().map(pair).collect()
}

/// One line of comma-separated values; an item with commas stands in quotes.
fn csv(text: &str) -> Result<Vec<String>, String> {
    let error = |at: usize, what: &str| {
        let column = text.get(..at).map_or(at, str::len) + 1;
        format!("parse error on line 1, column {column}: {what}")
    };
    let line = text.split(['\n', '\r']).next().unwrap_or_default();
    let mut items = Vec::new();
    let mut at = 0;
    loop {
        let rest = line.get(at..).unwrap_or_default();
        let Some(inner) = rest.strip_prefix('"') else {
            let end = rest.find(',').unwrap_or(rest.len());
            let item = rest.get(..end).unwrap_or_default();
            if let Some(quote) = item.find('"') {
                return Err(error(at + quote, "bare \" in non-quoted-field"));
            }
            items.push(item.to_owned());
            at += end;
            if at == line.len() {
                return Ok(items);
            }
            at += 1;
            continue;
        };
        let (item, length) = quoted(inner)
            .ok_or_else(|| error(line.len(), "extraneous or missing \" in quoted-field"))?;
        items.push(item);
        at += 1 + length;
        match line.as_bytes().get(at) {
            None => return Ok(items),
            Some(b',') => at += 1,
            Some(_) => return Err(error(at - 1, "extraneous or missing \" in quoted-field")),
        }
    }
}

/// An item behind its first quote, and how long it is with its last.
fn quoted(inner: &str) -> Option<(String, usize)> {
    let mut item = String::new();
    let mut chars = inner.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != '"' {
            item.push(c);
        } else if chars.next_if(|(_, next)| *next == '"').is_some() {
            item.push('"');
        } else {
            return Some((item, at + 1));
        }
    }
    None
}

/// Go's `time.ParseDuration`; negative durations are taken for none.
fn duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, behind) = rest.split_at(end);
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let end = behind
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(behind.len());
        let (unit, next) = behind.split_at(end);
        let scale = match unit {
            "" => return Err(format!("time: missing unit in duration {text:?}")),
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(format!("time: unknown unit {unit:?} in duration {text:?}")),
        };
        seconds += number * scale;
        rest = next;
    }
    if negative {
        return Ok(Duration::ZERO);
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lists_are_csv() {
        for (text, items) in [
            ("a", vec!["a"]),
            ("a,b,", vec!["a", "b", ""]),
            ("\"a,b\",c", vec!["a,b", "c"]),
            ("\"a\"\"b\"", vec!["a\"b"]),
        ] {
            assert_eq!(csv(text).unwrap(), items, "{text}");
        }
        for (text, error) in [
            (
                "\"a",
                "parse error on line 1, column 3: extraneous or missing \" in quoted-field",
            ),
            (
                "a\"b",
                "parse error on line 1, column 2: bare \" in non-quoted-field",
            ),
        ] {
            assert_eq!(csv(text).unwrap_err(), error);
        }
    }

    #[test]
    fn pairs_are_as_pflag_reads_them() {
        let read = |text: &str| pairs(text).unwrap();
        let owned = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        assert_eq!(read("a=b,c"), [owned("a", "b,c")]);
        assert_eq!(read("a=b,c=d"), [owned("a", "b"), owned("c", "d")]);
        assert_eq!(pairs("a").unwrap_err(), "a must be formatted as key=value");
        assert_eq!(
            pairs("a=b=c,d").unwrap_err(),
            "d must be formatted as key=value"
        );
    }

    #[test]
    fn durations_are_go_s() {
        for (text, millis) in [
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("250ms", 250),
            ("0", 0),
            ("-5s", 0),
        ] {
            assert_eq!(
                duration(text).unwrap(),
                Duration::from_millis(millis),
                "{text}"
            );
        }
        for (text, error) in [
            ("30", "time: missing unit in duration \"30\""),
            ("x", "time: invalid duration \"x\""),
            ("", "time: invalid duration \"\""),
            ("3d", "time: unknown unit \"d\" in duration \"3d\""),
        ] {
            assert_eq!(duration(text).unwrap_err(), error);
        }
    }

    #[test]
    fn numbers_and_booleans_are_go_s() {
        assert_eq!(integer("0x10").unwrap(), 16);
        assert_eq!(
            integer("99999999999999999999").unwrap_err(),
            "strconv.ParseInt: parsing \"99999999999999999999\": value out of range"
        );
        assert_eq!(
            integer("a").unwrap_err(),
            "strconv.ParseInt: parsing \"a\": invalid syntax"
        );
        assert!(boolean("T").unwrap());
        assert!(boolean("yes").is_err());
    }
}
