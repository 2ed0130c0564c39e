//! The INI dialect of frp's legacy files, as Go's ini.v1 reads it: `=` or `:`, `#` and `;` only at
//! the start of a line, quotes, back-quotes and `"""`, a backslash at the end continues a line,
//! `%(name)s` stands for another key, `[a.b]` inherits from `[a]`.

use std::collections::HashMap;

/// A parsed file; sections of the same name are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ini {
    pub(crate) sections: Vec<Section>,
    pub(crate) comments: Vec<Comment>,
    index: HashMap<String, usize>,
}

/// A section. Keys before the first header are in the section [`DEFAULT`].
#[derive(Debug, Clone)]
pub(crate) struct Section {
    pub(crate) name: String,
    /// Byte offset of its first header.
    pub(crate) at: usize,
    /// Byte offsets of its further headers.
    pub(crate) again: Vec<usize>,
    pub(crate) keys: Vec<Key>,
}

/// A key; a later one of the same name replaces the value.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) value: String,
    /// Byte offset of the name.
    pub(crate) at: usize,
    /// Byte offset of the value.
    pub(crate) value_at: usize,
}

/// A line that is a comment.
#[derive(Debug, Clone)]
pub(crate) struct Comment {
    /// Byte offset of its sign.
    pub(crate) at: usize,
    /// The line with `#` for a sign.
    pub(crate) text: String,
}

/// Why a text is not INI. Does not quote the text, which may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IniError {
    pub(crate) at: usize,
    pub(crate) message: &'static str,
}

/// Name of the section before the first header.
pub(crate) const DEFAULT: &str = "DEFAULT";

/// How often `%(name)s` is replaced in one value.
const EXPANSION_DEPTH: usize = 99;
/// Longest result of that; more is not meant.
const EXPANSION_LIMIT: usize = 64 * 1024;

/// Reads INI text.
///
/// # Errors
/// At the first line that is none.
pub(crate) fn parse(text: &str) -> Result<Ini, IniError> {
    let mut lines = Lines { text, at: 0 };
    let mut ini = Ini::default();
    let mut current = ini.section(DEFAULT, 0);
    while let Some((line_at, line)) = lines.next() {
        let trimmed = line.trim_start();
        let at = line_at + (line.len() - trimmed.len());
        match trimmed.chars().next() {
            None => {}
            Some(sign @ ('#' | ';')) => {
                let text = trimmed.get(sign.len_utf8()..).unwrap_or_default();
                ini.comments.push(Comment {
                    at,
                    text: format!("#{}", text.trim_end()),
                });
            }
            Some('[') => {
                let close = trimmed.rfind(']').ok_or(IniError {
                    at,
                    message: "the section header has no closing bracket",
                })?;
                let name = trimmed.get(1..close).unwrap_or_default();
                if name.is_empty() {
                    return Err(IniError {
                        at,
                        message: "the section has no name",
                    });
                }
                current = ini.section(name, at);
            }
            Some(_) => {
                let (name, offset) =
                    key_name(trimmed).map_err(|message| IniError { at, message })?;
                let rest = trimmed.get(offset..).unwrap_or_default();
                let value_at = at + offset + (rest.len() - rest.trim_start().len());
                let value = value(rest, &mut lines).map_err(|message| IniError { at, message })?;
                let key = Key {
                    name,
                    value,
                    at,
                    value_at,
                };
                if let Some(section) = ini.sections.get_mut(current) {
                    section.put(key);
                }
            }
        }
    }
    Ok(ini)
}

impl Ini {
    /// Moves its places into the common row of offsets.
    pub(crate) fn shift(&mut self, base: usize) {
        for section in &mut self.sections {
            section.at += base;
            section.again.iter_mut().for_each(|at| *at += base);
            for key in &mut section.keys {
                key.at += base;
                key.value_at += base;
            }
        }
        for comment in &mut self.comments {
            comment.at += base;
        }
    }

    /// The section of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&Section> {
        self.sections.get(*self.index.get(name)?)
    }

    /// A key of the section, or of the section that it inherits from.
    pub(crate) fn key<'a>(&'a self, section: &'a Section, name: &str) -> Option<&'a Key> {
        let mut section = section;
        loop {
            if let Some(key) = section.get(name) {
                return Some(key);
            }
            section = self.parent(section)?;
        }
    }

    /// The nearest section that exists among `a.b` and `a` for `a.b.c`.
    pub(crate) fn parent(&self, section: &Section) -> Option<&Section> {
        let mut name = section.name.as_str();
        while let Some((outer, _)) = name.rsplit_once('.') {
            if let Some(parent) = self.get(outer) {
                return Some(parent);
            }
            name = outer;
        }
        None
    }

    /// The value with every `%(name)s` replaced.
    pub(crate) fn expand(&self, section: &Section, key: &Key) -> String {
        let mut value = key.value.clone();
        for _ in 0..EXPANSION_DEPTH {
            let Some((whole, name)) = reference(&value) else {
                break;
            };
            let inner = self
                .key(section, name)
                .filter(|found| found.name != key.name);
            let inner = inner.or_else(|| self.get(DEFAULT).and_then(|default| default.get(name)));
            let Some(inner) = inner else { break };
            let next = value.replace(whole, &inner.value);
            if next.len() > EXPANSION_LIMIT {
                break;
            }
            value = next;
        }
        value
    }

    /// The index of the section `name`, which is added when there is none.
    pub(crate) fn section(&mut self, name: &str, at: usize) -> usize {
        if let Some(&index) = self.index.get(name) {
            if let Some(section) = self.sections.get_mut(index) {
                section.again.push(at);
            }
            return index;
        }
        self.index.insert(name.to_owned(), self.sections.len());
        self.sections.push(Section {
            name: name.to_owned(),
            at,
            again: Vec::new(),
            keys: Vec::new(),
        });
        self.sections.len() - 1
    }
}

impl Section {
    pub(crate) fn get(&self, name: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    pub(crate) fn put(&mut self, key: Key) {
        match self.keys.iter_mut().find(|known| known.name == key.name) {
            Some(known) => *known = key,
            None => self.keys.push(key),
        }
    }
}

struct Lines<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, &'a str);

    /// The next line with its line feed, and its offset.
    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let line = rest.split_inclusive('\n').next().unwrap_or(rest);
        let at = self.at;
        self.at += line.len();
        Some((at, line))
    }
}

/// The name before `=` or `:`, and the offset behind that.
fn key_name(line: &str) -> Result<(String, usize), &'static str> {
    let quote = if line.len() > 6 && line.starts_with("\"\"\"") {
        "\"\"\""
    } else if line.starts_with('"') {
        "\""
    } else if line.starts_with('`') {
        "`"
    } else {
        ""
    };
    let no_delimiter = "the line is neither a section, a comment nor key = value";
    let start = quote.len();
    let end_of_name = if quote.is_empty() {
        line.find(['=', ':']).ok_or(no_delimiter)?
    } else {
        let inner = line.get(start..).unwrap_or_default();
        start + inner.find(quote).ok_or("the key has no closing quote")?
    };
    let name = line.get(start..end_of_name).unwrap_or_default().trim();
    if name.is_empty() {
        return Err("there is no key before the equals sign");
    }
    let behind = end_of_name + start;
    let delimiter = line.get(behind..).unwrap_or_default().find(['=', ':']);
    let delimiter = delimiter.ok_or(no_delimiter)?;
    Ok((name.to_owned(), behind + delimiter + 1))
}

fn value(rest: &str, lines: &mut Lines<'_>) -> Result<String, &'static str> {
    let line = rest.trim_start();
    if line.is_empty() {
        return Ok(String::new());
    }
    let quote = if line.len() > 3 && line.starts_with("\"\"\"") {
        "\"\"\""
    } else if line.starts_with('`') {
        "`"
    } else {
        ""
    };
    if !quote.is_empty() {
        let inner = line.get(quote.len()..).unwrap_or_default();
        return match inner.rfind(quote) {
            Some(end) => Ok(inner.get(..end).unwrap_or_default().to_owned()),
            None => until_quote(inner, quote, lines),
        };
    }
    let line = line.trim_end();
    if let Some(begun) = line.strip_suffix('\\') {
        return Ok(continued(begun, lines));
    }
    for quote in ['\'', '"'] {
        let inner = line.strip_prefix(quote).and_then(|l| l.strip_suffix(quote));
        if let Some(inner) = inner.filter(|inner| !inner.contains(quote)) {
            return Ok(inner.to_owned());
        }
    }
    Ok(line.to_owned())
}

fn until_quote(begun: &str, quote: &str, lines: &mut Lines<'_>) -> Result<String, &'static str> {
    let mut value = begun.to_owned();
    for (_, line) in lines {
        match line.rfind(quote) {
            Some(end) => {
                value.push_str(line.get(..end).unwrap_or_default());
                return Ok(value);
            }
            None => value.push_str(line),
        }
    }
    Err("the value has no closing quote")
}

fn continued(begun: &str, lines: &mut Lines<'_>) -> String {
    let mut value = begun.to_owned();
    for (_, line) in lines {
        let line = line.trim();
        if line.is_empty() {
            break;
        }
        match line.strip_suffix('\\') {
            Some(part) => value.push_str(part),
            None => {
                value.push_str(line);
                break;
            }
        }
    }
    value
}

/// The first `%(name)s` and its name.
fn reference(value: &str) -> Option<(&str, &str)> {
    let mut from = 0;
    loop {
        let start = from + value.get(from..)?.find("%(")?;
        let inner = value.get(start + 2..)?;
        let close = inner.find(')')?;
        let end = start + 2 + close + 2;
        let is_one = close > 0 && inner.get(close + 1..)?.starts_with('s');
        if is_one {
            return Some((value.get(start..end)?, inner.get(..close)?));
        }
        from = start + 2;
    }
}

/// A comma list with blanks around items dropped; `\,` is a comma of an item.
pub(crate) fn list(value: &str) -> Vec<String> {
    let mut items = Vec::new();
    let mut item = String::new();
    let mut escaped = false;
    for c in value.chars() {
        match c {
            '\\' if !escaped => escaped = true,
            ',' if !escaped => items.push(std::mem::take(&mut item).trim().to_owned()),
            _ => {
                if escaped && c != '\\' && c != ',' {
                    item.push('\\');
                }
                escaped = false;
                item.push(c);
            }
        }
    }
    if !item.is_empty() {
        items.push(item.trim().to_owned());
    }
    items
}

/// A boolean as ini.v1 spells it.
pub(crate) fn boolean(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" | "YES" | "yes" | "Yes" | "y" | "ON" | "on"
        | "On" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" | "NO" | "no" | "No" | "n" | "OFF"
        | "off" | "Off" => Some(false),
        _ => None,
    }
}

/// An integer as Go's ParseInt with base 0 reads it: `0x1F`, `0o17`, `017`, `0b1`, `1_000`.
pub(crate) fn integer(value: &str) -> Option<i64> {
    let (negative, digits) = match value.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, value.strip_prefix('+').unwrap_or(value)),
    };
    let lower = digits.to_ascii_lowercase();
    let prefixes = [("0x", 16), ("0o", 8), ("0b", 2)];
    let prefixed = prefixes
        .iter()
        .find_map(|(prefix, radix)| lower.strip_prefix(prefix).map(|rest| (rest, *radix)));
    let (digits, radix) = match prefixed {
        Some(found) => found,
        None if lower.len() > 1 && lower.starts_with('0') => (lower.as_str(), 8),
        None => (lower.as_str(), 10),
    };
    let well_formed = digits.starts_with(|c: char| c.is_digit(radix))
        && digits.ends_with(|c: char| c.is_digit(radix))
        && !digits.contains("__");
    if !well_formed {
        return None;
    }
    let digits = digits.replace('_', "");
    let sign = if negative { "-" } else { "" };
    i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn get(text: &str, section: &str, name: &str) -> Option<String> {
        let ini = parse(text).unwrap();
        let section = ini.get(section)?;
        ini.key(section, name).map(|key| ini.expand(section, key))
    }

    #[test]
    fn values_are_read_as_ini_v1_reads_them() {
        for (line, value) in [
            ("k = v", "v"),
            ("k: v", "v"),
            ("k = a # b ; c", "a # b ; c"),
            ("k = \"a b\"", "a b"),
            ("k = 'a'", "a"),
            ("k = \"a\" \"b\"", "\"a\" \"b\""),
            ("k = `a'\"`", "a'\""),
            ("k = \"\"\"a\nb\"\"\"", "a\nb"),
            ("k = a\\\n  b", "ab"),
            ("k =", ""),
            ("k = \"\"", ""),
            ("\"k\" = v", "v"),
            ("k = a=b", "a=b"),
            ("k = 1\r", "1"),
            ("k = %(l)s-%(m)s\nl = x", "x-%(m)s"),
            ("l = %(k)s\nk = %(l)s", "%(k)s"),
        ] {
            let text = format!("[s]\n{line}\n");
            assert_eq!(get(&text, "s", "k").as_deref(), Some(value), "{line}");
        }
    }

    #[test]
    fn sections_merge_and_inherit() {
        let text = "x = 0\n[a]\nk = 1\n[a.b]\nl = 2\n[a]\nk = 3\n";
        assert_eq!(get(text, "a", "k").as_deref(), Some("3"));
        assert_eq!(get(text, "a.b", "k").as_deref(), Some("3"));
        assert_eq!(get(text, "a.b", "l").as_deref(), Some("2"));
        assert_eq!(get(text, "a", "x"), None);
    }

    #[test]
    fn what_is_not_ini_is_refused() {
        for text in ["[s", "[]", "foo", "= 1", "\"k = 1", "k = `a"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("[a]\nfoo\n").unwrap_err().at, 4);
    }

    #[test]
    fn lists_numbers_and_booleans() {
        assert_eq!(list("a, b ,,c\\,d"), ["a", "b", "", "c,d"]);
        assert!(list("").is_empty());
        assert_eq!(integer("0x1F"), Some(31));
        assert_eq!(integer("017"), Some(15));
        assert_eq!(integer("-1_000"), Some(-1000));
        assert_eq!(integer("0"), Some(0));
        for bad in [
            "",
            "x",
            "7000.0",
            "1__0",
            "_1",
            "9223372036854775808",
            "08",
            "--1",
        ] {
            assert_eq!(integer(bad), None, "{bad}");
        }
        assert_eq!(boolean("On"), Some(true));
        assert_eq!(boolean("maybe"), None);
    }
}
