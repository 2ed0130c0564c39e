//! A string that never shows in logs, errors or `Debug` output.

use std::fmt;
use std::hint::black_box;

/// A secret value such as `auth.token`. `Debug` and `Display` print `***`, or nothing when empty.
/// How long `==` takes tells at most whether the lengths are the same.
#[derive(Clone, Default, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn mask(&self) -> &'static str {
        if self.0.is_empty() { "" } else { "***" }
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        if self.0.len() != other.0.len() {
            return false;
        }
        // The compiler must not see that one difference is enough.
        let differ = |sum: u8, (a, b): (u8, u8)| black_box(sum | (a ^ b));
        self.0.bytes().zip(other.0.bytes()).fold(0, differ) == 0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.mask())
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.mask())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_prints_its_text() {
        let secret = Secret::from("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "*** Secret(***)");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn only_the_same_text_is_equal() {
        let secret = Secret::from("hunter2");
        assert!(secret == Secret::from("hunter2".to_owned()));
        for other in ["", "hunter", "hunter3", "Hunter2", "hunter22"] {
            assert!(secret != Secret::from(other), "{other}");
        }
        assert!(Secret::default() == Secret::from(""));
    }
}
