//! The five levels of frp.

use std::fmt;
use std::str::FromStr;

/// How much a line matters; a later variant matters more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Level {
    /// Details of the protocol.
    Trace = 1,
    /// Details of a session.
    Debug = 2,
    /// What a user wants to see; frp's default.
    #[default]
    Info = 3,
    /// Something went wrong and was dealt with.
    Warn = 4,
    /// Something went wrong that needs attention.
    Error = 5,
}

/// Above every level: nothing is printed.
pub(crate) const OFF: u8 = u8::MAX;

impl Level {
    pub(crate) const fn tag(self) -> &'static str {
        match self {
            Self::Trace => " [T] ",
            Self::Debug => " [D] ",
            Self::Info => " [I] ",
            Self::Warn => " [W] ",
            Self::Error => " [E] ",
        }
    }

    /// The code that golib puts before a coloured line (`log/output_console.go`).
    pub(crate) const fn color(self) -> Option<&'static str> {
        match self {
            Self::Trace => None,
            Self::Debug => Some("\x1b[1;36m"),
            Self::Info => Some("\x1b[1;34m"),
            Self::Warn => Some("\x1b[1;33m"),
            Self::Error => Some("\x1b[1;31m"),
        }
    }
}

impl FromStr for Level {
    type Err = ParseLevelError;

    /// Reads frp's `log.level`, in any case; the empty string is info (golib `log/level.go`).
    fn from_str(text: &str) -> Result<Self, ParseLevelError> {
        let names = [
            ("trace", Self::Trace),
            ("debug", Self::Debug),
            ("info", Self::Info),
            ("", Self::Info),
            ("warn", Self::Warn),
            ("error", Self::Error),
        ];
        names
            .into_iter()
            .find(|(name, _)| text.eq_ignore_ascii_case(name))
            .map(|(_, level)| level)
            .ok_or_else(|| ParseLevelError(text.to_owned()))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        })
    }
}

/// A text that names no level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unrecognized level: {0:?} (want trace, debug, info, warn or error)")]
pub struct ParseLevelError(String);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn levels_parse_as_in_golib() {
        assert_eq!("trace".parse(), Ok(Level::Trace));
        assert_eq!("WARN".parse(), Ok(Level::Warn));
        assert_eq!("".parse(), Ok(Level::Info));
        assert_eq!(
            "verbose".parse::<Level>().unwrap_err().to_string(),
            "unrecognized level: \"verbose\" (want trace, debug, info, warn or error)"
        );
    }

    #[test]
    fn levels_are_ordered_by_weight() {
        assert!(Level::Trace < Level::Debug && Level::Debug < Level::Info);
        assert!(Level::Info < Level::Warn && Level::Warn < Level::Error);
    }
}
