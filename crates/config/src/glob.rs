//! Patterns for file names, as Go's `filepath.Match` reads them: `*`, `?`, `[a-z]`, `[^a]`, `\`.

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
        '[' => {
            let mut at = p + 1;
            let negated = pattern.get(at) == Some(&'^');
            at += usize::from(negated);
            let (mut found, mut any) = (false, false);
            loop {
                if pattern.get(at) == Some(&']') && any {
                    return (found != negated).then_some(at + 1);
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
        other => (*other == c).then_some(p + 1),
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
        let long = "a".repeat(2000);
        assert!(!matches(&"*a".repeat(50).replace("a", "ab"), &long));
    }
}
