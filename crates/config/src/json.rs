//! JSON text to the neutral tree. Own, because the places of keys and values are needed; it takes
//! what Go's decoder takes.

use crate::value::{Entry, Node, Parsed, Value};

/// How deep values may stand in each other.
const DEPTH_LIMIT: usize = 100;

/// Reads one JSON value. Go's decoder stops behind it, so what follows is only worth a warning.
///
/// # Errors
/// At the first byte that does not fit.
pub(crate) fn parse(text: &str) -> Result<Parsed, Vec<(usize, String)>> {
    let mut parser = Parser { text, at: 0 };
    let root = parser.value(0).map_err(|error| vec![error])?;
    parser.blank();
    let mut warnings = Vec::new();
    if parser.at < text.len() {
        let message = "json: what stands behind the first value is not read".to_owned();
        warnings.push((parser.at, message));
    }
    Ok(Parsed { root, warnings })
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

type Result1<T> = Result<T, (usize, String)>;

impl Parser<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn blank(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn unexpected<T>(&self, looking: &str) -> Result1<T> {
        let message = match self.rest().chars().next() {
            Some(c) => format!("json: invalid character {c:?} {looking}"),
            None => "json: unexpected end of JSON input".to_owned(),
        };
        Err((self.at, message))
    }

    fn value(&mut self, depth: usize) -> Result1<Node> {
        self.blank();
        let at = self.at;
        if depth > DEPTH_LIMIT {
            return Err((at, "json: exceeded max depth".to_owned()));
        }
        let value = match self.rest().chars().next() {
            Some('{') => self.object(depth)?,
            Some('[') => self.array(depth)?,
            Some('"') => Value::Text(self.text()?),
            Some('-' | '0'..='9') => self.number()?,
            _ => self.word()?,
        };
        Ok(Node { at, value })
    }

    fn word(&mut self) -> Result1<Value> {
        let words = [
            ("true", Value::Bool(true)),
            ("false", Value::Bool(false)),
            ("null", Value::Null),
        ];
        for (word, value) in words {
            if self.rest().starts_with(word) {
                self.at += word.len();
                return Ok(value);
            }
        }
        self.unexpected("looking for beginning of value")
    }

    fn take(&mut self, c: char) -> bool {
        self.blank();
        let found = self.rest().starts_with(c);
        self.at += usize::from(found);
        found
    }

    fn object(&mut self, depth: usize) -> Result1<Value> {
        self.at += 1;
        let mut entries = Vec::new();
        if self.take('}') {
            return Ok(Value::Table(entries));
        }
        loop {
            self.blank();
            let at = self.at;
            if !self.rest().starts_with('"') {
                return self.unexpected("looking for beginning of object key string");
            }
            let key = self.text()?;
            if !self.take(':') {
                return self.unexpected("after object key");
            }
            let node = self.value(depth + 1)?;
            entries.push(Entry { key, at, node });
            if self.take('}') {
                return Ok(Value::Table(entries));
            }
            if !self.take(',') {
                return self.unexpected("after object key:value pair");
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result1<Value> {
        self.at += 1;
        let mut items = Vec::new();
        if self.take(']') {
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.take(']') {
                return Ok(Value::List(items));
            }
            if !self.take(',') {
                return self.unexpected("after array element");
            }
        }
    }

    fn number(&mut self) -> Result1<Value> {
        let is_part = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
        let rest = self.rest();
        let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let text = rest.get(..length).unwrap_or_default().to_owned();
        let digits = text.strip_prefix('-').unwrap_or(&text);
        let whole: String = digits.chars().take_while(char::is_ascii_digit).collect();
        let leading = whole.len() > 1 && whole.starts_with('0');
        if whole.is_empty() || leading || text.parse::<f64>().is_err() || text.ends_with('.') {
            return Err((self.at, "json: invalid number".to_owned()));
        }
        self.at += length;
        // Go does not take 7000.0 or 7e3 for an integer here.
        Ok(text
            .parse()
            .map_or_else(|_| Value::Number(text), Value::Int))
    }

    /// A string, from its opening quote.
    fn text(&mut self) -> Result1<String> {
        let begin = self.at;
        self.at += 1;
        let mut out = String::new();
        loop {
            let Some(c) = self.rest().chars().next() else {
                return Err((begin, "json: the text has no closing quote".to_owned()));
            };
            match c {
                '"' => {
                    self.at += 1;
                    return Ok(out);
                }
                '\\' => out.push(self.escape()?),
                c if c < ' ' => return self.unexpected("in string literal"),
                c => {
                    self.at += c.len_utf8();
                    out.push(c);
                }
            }
        }
    }

    fn escape(&mut self) -> Result1<char> {
        self.at += 1;
        let c = match self.rest().chars().next() {
            Some('b') => '\x08',
            Some('f') => '\x0c',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('u') => return self.unicode(),
            _ => return self.unexpected("in string escape code"),
        };
        self.at += 1;
        Ok(c)
    }

    fn unicode(&mut self) -> Result1<char> {
        let Some(first) = self.hex(self.at + 1) else {
            return self.unexpected("in \\u hexadecimal character escape");
        };
        self.at += 5;
        let low = self
            .rest()
            .starts_with("\\u")
            .then(|| self.hex(self.at + 2));
        if let (0xD800..=0xDBFF, Some(Some(low @ 0xDC00..=0xDFFF))) = (first, low) {
            self.at += 6;
            let code = 0x10000 + ((first - 0xD800) << 10) + (low - 0xDC00);
            return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex(&self, at: usize) -> Option<u32> {
        let digits = self.text.get(at..at + 4)?;
        let plain = digits.chars().all(|c| c.is_ascii_hexdigit());
        plain
            .then(|| u32::from_str_radix(digits, 16).ok())
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn value(text: &str) -> Value {
        parse(text).unwrap().root.value
    }

    #[test]
    fn values_are_read() {
        assert_eq!(value(" null "), Value::Null);
        assert_eq!(value("-7"), Value::Int(-7));
        assert_eq!(value("7.0"), Value::Number("7.0".into()));
        let escapes = r#""a\"\\\/\n\u00e4\ud83d\ude00\ud83dx""#;
        assert_eq!(value(escapes), Value::Text("a\"\\/\nä😀\u{fffd}x".into()));
        let Value::Table(entries) = value("{\"a\": [1, {\"b\": true}]}") else {
            panic!("no table")
        };
        assert_eq!((entries[0].at, entries[0].node.at), (1, 6));
    }

    #[test]
    fn errors_stand_where_the_text_stops_making_sense() {
        for (text, at) in [
            ("{\"a\":1,}", 7),
            ("{a:1}", 1),
            ("[1 2]", 3),
            ("\"a", 0),
            ("{\"a\" 1}", 5),
            ("01", 0),
            ("\"\\x\"", 2),
            ("", 0),
            ("nul", 0),
            ("\"\t\"", 1),
        ] {
            assert_eq!(parse(text).unwrap_err()[0].0, at, "{text}");
        }
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert_eq!(parse("1 x").unwrap().warnings.len(), 1);
    }
}
