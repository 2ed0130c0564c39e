//! Patterns for file names, as Go's `filepath.Match` reads them: `*`, `?`, `[a-z]`, `[^a]`, `\`; and for other names.

/// A pattern that something can fit. `*` is any characters, dots and slashes among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// `None` where the pattern is empty or malformed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let chars: Vec<char> = text.chars().collect();
        (!chars.is_empty() && is_well_formed(&chars)).then(|| Self(text.to_owned()))
    }

    /// Whether the whole name fits it.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        matches(&self.0, name)
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_well_formed(pattern: &[char]) -> bool {
    let mut p = 0;
    while let Some(c) = pattern.get(p) {
        let end = match c {
            '\\' => pattern.get(p + 1).map(|_| p + 2),
            '[' => class(pattern, p, '\0').map(|(_, end)| end),
            _ => Some(p + 1),
        };
        match end {
            Some(end) => p = end,
            None => return false,
        }
    }
    true
}

/// Whether the whole name fits the pattern; a pattern that is malformed fits nothing.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    // Where to go on when the last star takes one character more.
    let mut star = None;
    loop {
        match (pattern.get(p), name.get(n)) {
            (None, None) => return true,
            (Some('*'), _) => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            (Some(_), Some(c)) => {
                if let Some(next) = one(&pattern, p, *c) {
                    p = next;
                    n += 1;
                    continue;
                }
            }
            _ => {}
        }
        match star {
            Some((at, taken)) if taken < name.len() => {
                star = Some((at, taken + 1));
                p = at + 1;
                n = taken + 1;
            }
            _ => return false,
        }
    }
}

/// The place behind the part of the pattern at `p`, if that fits the character.
fn one(pattern: &[char], p: usize, c: char) -> Option<usize> {
    match pattern.get(p)? {
        '?' => Some(p + 1),
        '\\' => (*pattern.get(p + 1)? == c).then_some(p + 2),
        '[' => class(pattern, p, c).and_then(|(fits, end)| fits.then_some(end)),
        other => (*other == c).then_some(p + 1),
    }
}

/// Whether `c` is in the class that begins at `p`, and the place behind it; `None` where that is none.
fn class(pattern: &[char], p: usize, c: char) -> Option<(bool, usize)> {
    let mut at = p + 1;
    let negated = pattern.get(at) == Some(&'^');
    at += usize::from(negated);
    let (mut found, mut any) = (false, false);
    loop {
        if pattern.get(at) == Some(&']') && any {
            return Some((found != negated, at + 1));
        }
        let low = single(pattern, &mut at)?;
        let high = if pattern.get(at) == Some(&'-') {
            at += 1;
            single(pattern, &mut at)?
        } else {
            low
        };
        found |= (low..=high).contains(&c);
        any = true;
    }
}

/// A character of a class, which a backslash may precede.
fn single(pattern: &[char], at: &mut usize) -> Option<char> {
    let mut c = *pattern.get(*at)?;
    if c == '-' || c == ']' {
        return None;
    }
    if c == '\\' {
        *at += 1;
        c = *pattern.get(*at)?;
    }
    *at += 1;
    Some(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_go() {
        for (pattern, name) in [
            ("*.toml", "a.toml"),
            ("*", ""),
            ("a*b*c", "a1b2b3c"),
            ("?.x", "ä.x"),
            ("[a-c]x", "bx"),
            ("[^a]x", "bx"),
            ("\\*", "*"),
            ("[\\]]", "]"),
            ("a", "a"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.toml", "a.toml~"),
            ("a?", "a"),
            ("[a-c]", "d"),
            ("[", "["),
            ("[]a]", "]"),
            ("", "a"),
            ("{a,b}", "a"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        for malformed in ["", "[", "[a", "[]", "[^]", "a\\", "[a-]", "x[b"] {
            assert_eq!(Pattern::parse(malformed), None, "{malformed}");
        }
        for fine in ["*", "web-?", "[a-c]*", "\\[", "*.x.y"] {
            assert!(Pattern::parse(fine).is_some(), "{fine}");
        }
        let long = "a".repeat(2000);
        assert!(!matches(&"*a".repeat(50).replace("a", "ab"), &long));
    }
}
