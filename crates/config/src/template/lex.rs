//! Template text to pieces: text, and actions as lists of tokens.

use super::rendered::TemplateError;

/// A piece of a template.
#[derive(Debug)]
pub(super) enum Piece {
    /// Text to copy: begin and end in the template.
    Text(usize, usize),
    Action {
        /// Offset of its first token, or of its end if it has none.
        at: usize,
        tokens: Vec<Token>,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) at: usize,
    pub(super) end: usize,
    /// White space stands before it.
    pub(super) spaced: bool,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// Keyword, function, `true`, `false` or `nil`.
    Word(String),
    /// `.name`
    Field(String),
    /// `$name`, with the `$`.
    Variable(String),
    Dot,
    Text(String),
    Int(i64),
    Float(f64),
    Pipe,
    Open,
    Close,
    Declare,
    Assign,
    Comma,
}

const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// Splits the template.
pub(super) fn split(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut at = 0;
    let mut trim_next = false;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let open = rest.find("{{");
        let (mut begin, mut end) = (at, at + open.unwrap_or(rest.len()));
        let piece = text.get(begin..end).unwrap_or_default();
        if trim_next {
            begin = end - piece.trim_start_matches(SPACE).len();
        }
        let Some(_) = open else {
            push_text(&mut pieces, begin, end);
            return Ok(pieces);
        };
        let mut inner = end + 2;
        let body = text.get(inner..).unwrap_or_default();
        if body.starts_with('-') && body.get(1..).is_some_and(|rest| rest.starts_with(SPACE)) {
            let piece = text.get(begin..end).unwrap_or_default();
            end = begin + piece.trim_end_matches(SPACE).len();
            inner += 2;
        }
        push_text(&mut pieces, begin, end);
        let body = text.get(inner..).unwrap_or_default();
        if body.starts_with("/*") {
            (at, trim_next) = comment(text, inner)?;
            continue;
        }
        let mut lexer = Lexer { text, at: inner };
        let (tokens, trim) = lexer.action()?;
        let first = tokens.first().map_or(inner, |token| token.at);
        pieces.push(Piece::Action { at: first, tokens });
        at = lexer.at;
        trim_next = trim;
    }
}

fn push_text(pieces: &mut Vec<Piece>, begin: usize, end: usize) {
    if begin < end {
        pieces.push(Piece::Text(begin, end));
    }
}

/// Where a comment action ends, and whether the space behind it goes.
fn comment(text: &str, at: usize) -> Result<(usize, bool), TemplateError> {
    let body = text.get(at..).unwrap_or_default();
    let close = body
        .find("*/")
        .ok_or_else(|| TemplateError::new(at, "unclosed comment"))?;
    let behind = at + close + 2;
    let rest = text.get(behind..).unwrap_or_default();
    if rest.starts_with("}}") {
        return Ok((behind + 2, false));
    }
    if rest.starts_with(SPACE) && rest.get(1..).is_some_and(|rest| rest.starts_with("-}}")) {
        return Ok((behind + 4, true));
    }
    Err(TemplateError::new(
        at,
        "comment ends before closing delimiter",
    ))
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The tokens up to `}}`, and whether `-}}` ended them.
    fn action(&mut self) -> Result<(Vec<Token>, bool), TemplateError> {
        let mut tokens = Vec::new();
        let mut depth = 0_usize;
        loop {
            let before = self.at;
            let blank = self.rest().len() - self.rest().trim_start_matches(SPACE).len();
            self.at += blank;
            let spaced = blank > 0;
            if self.rest().starts_with("}}") || spaced && self.rest().starts_with("-}}") {
                if depth > 0 {
                    return Err(TemplateError::new(before, "unclosed left paren"));
                }
                let trim = self.rest().starts_with('-');
                self.at += if trim { 3 } else { 2 };
                return Ok((tokens, trim));
            }
            let at = self.at;
            let kind = self.token()?;
            match kind {
                Kind::Open => depth += 1,
                Kind::Close if depth == 0 => {
                    return Err(TemplateError::new(at, "unexpected right paren"));
                }
                Kind::Close => depth -= 1,
                _ => {}
            }
            tokens.push(Token {
                at,
                end: self.at,
                spaced,
                kind,
            });
        }
    }

    fn token(&mut self) -> Result<Kind, TemplateError> {
        let at = self.at;
        let rest = self.text.get(at..).unwrap_or_default();
        let mut chars = rest.chars();
        let first = chars
            .next()
            .ok_or_else(|| TemplateError::new(at, "unclosed action"))?;
        let second = chars.next().unwrap_or(' ');
        let (length, kind) = match first {
            '|' => (1, Kind::Pipe),
            '(' => (1, Kind::Open),
            ')' => (1, Kind::Close),
            ',' => (1, Kind::Comma),
            '=' => (1, Kind::Assign),
            ':' if second == '=' => (2, Kind::Declare),
            ':' => return Err(TemplateError::new(at, "expected :=")),
            '"' | '`' | '\'' => return self.quoted(first),
            '.' if !second.is_ascii_digit() => {
                let name = word(rest.get(1..).unwrap_or_default());
                if name.is_empty() {
                    (1, Kind::Dot)
                } else {
                    (1 + name.len(), Kind::Field(name.to_owned()))
                }
            }
            '$' => {
                let name = word(rest.get(1..).unwrap_or_default());
                (1 + name.len(), Kind::Variable(format!("${name}")))
            }
            '+' | '-' | '.' | '0'..='9' => return self.number(),
            _ => {
                let name = word(rest);
                if name.is_empty() {
                    let shown = first.escape_debug();
                    return Err(TemplateError::new(
                        at,
                        format!("unrecognized character in action: '{shown}'"),
                    ));
                }
                (name.len(), Kind::Word(name.to_owned()))
            }
        };
        self.at += length;
        self.terminated(at, &kind)?;
        Ok(kind)
    }

    /// Names end before what may follow them.
    fn terminated(&self, at: usize, kind: &Kind) -> Result<(), TemplateError> {
        let named = matches!(kind, Kind::Word(_) | Kind::Field(_) | Kind::Variable(_));
        match self.rest().chars().next() {
            Some(c) if named && !SPACE.contains(&c) && !".,|:()}=".contains(c) => {
                Err(TemplateError::new(
                    at,
                    format!("bad character {:?}", c.escape_debug().to_string()),
                ))
            }
            _ => Ok(()),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<Kind, TemplateError> {
        let at = self.at;
        let mut escaped = false;
        let inner = self.text.get(at + 1..).unwrap_or_default();
        for (index, c) in inner.char_indices() {
            match c {
                '\n' if quote != '`' => break,
                '\\' if quote != '`' && !escaped => {
                    escaped = true;
                    continue;
                }
                c if c == quote && !escaped => {
                    self.at = at + 1 + index + 1;
                    let body = inner.get(..index).unwrap_or_default();
                    return literal(quote, body).ok_or_else(|| {
                        TemplateError::new(at, "invalid syntax in a quoted string")
                    });
                }
                _ => {}
            }
            escaped = false;
        }
        Err(TemplateError::new(
            at,
            match quote {
                '"' => "unterminated quoted string",
                '`' => "unterminated raw quoted string",
                _ => "unterminated character constant",
            },
        ))
    }

    fn number(&mut self) -> Result<Kind, TemplateError> {
        let at = self.at;
        let rest = self.rest();
        let sign = usize::from(rest.starts_with(['+', '-']));
        let body = rest.get(sign..).unwrap_or_default();
        let mut length = 0;
        let mut before = ' ';
        for c in body.chars() {
            let exponent = matches!(before, 'e' | 'E') && matches!(c, '+' | '-');
            if !(c.is_ascii_alphanumeric() || c == '.' || c == '_' || exponent) {
                break;
            }
            before = c;
            length += c.len_utf8();
        }
        let text = rest.get(..sign + length).unwrap_or_default();
        let number = crate::ini::integer(text)
            .map(Kind::Int)
            .or_else(|| float(text).map(Kind::Float));
        let wrong = format!("bad number syntax: {text:?}");
        let number = number.ok_or_else(|| TemplateError::new(at, wrong))?;
        self.at += sign + length;
        Ok(number)
    }
}

fn float(text: &str) -> Option<f64> {
    let plain = text
        .chars()
        .all(|c| c.is_ascii_digit() || ".eE+-".contains(c));
    text.parse().ok().filter(|_| plain)
}

fn word(text: &str) -> &str {
    let end = text
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// The value of a quoted literal; characters are numbers.
fn literal(quote: char, body: &str) -> Option<Kind> {
    let text = if quote == '`' {
        body.to_owned()
    } else {
        unescape(body, quote)?
    };
    if quote != '\'' {
        return Some(Kind::Text(text));
    }
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) => Some(Kind::Int(i64::from(u32::from(c)))),
        _ => None,
    }
}

fn unescape(body: &str, quote: char) -> Option<String> {
    let mut out = String::new();
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let c = match chars.next()? {
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            '\\' => '\\',
            'x' => hex(&mut chars, 2)?,
            'u' => hex(&mut chars, 4)?,
            'U' => hex(&mut chars, 8)?,
            c if c == quote => c,
            _ => return None,
        };
        out.push(c);
    }
    Some(out)
}

fn hex(chars: &mut std::str::Chars<'_>, count: usize) -> Option<char> {
    let digits: String = chars.take(count).collect();
    let whole = digits.len() == count && digits.chars().all(|c| c.is_ascii_hexdigit());
    let number = u32::from_str_radix(&digits, 16).ok().filter(|_| whole)?;
    char::from_u32(number)
}
