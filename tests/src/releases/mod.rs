//! What works between releases: the cases, the programs that play in them, and what came of it.
//!
//! A release reads the configuration that it knows: INI files before 0.52, TOML from there on.

mod case;
mod config;
mod play;

pub use case::{CASES, Case, Direction, Use};
pub use play::{Outcome, play};

use std::fmt;
use std::path::{Path, PathBuf};

use crate::program::{Side, version_of};

/// The release whose place ours take.
pub const STANDARD: Version = Version(0, 70, 1);

/// A release's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u16, pub u16, pub u16);

impl Version {
    /// Reads `0.28.2`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('.').map(str::parse);
        let mut next = || parts.next()?.ok();
        let version = Self(next()?, next()?, next()?);
        parts.next().is_none().then_some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// A pair of programs and what they are.
#[derive(Clone, Debug)]
pub struct Release {
    /// Its own word for it; of ours, the release whose place they take.
    pub version: Version,
    /// The programs.
    pub side: Side,
}

impl Release {
    /// Those of this repository.
    #[must_use]
    pub fn ours() -> Self {
        Self {
            version: STANDARD,
            side: Side::Ours,
        }
    }

    /// The Go pairs in `dir` and in the folders of `dir`, oldest first.
    #[must_use]
    pub fn found(dir: &Path) -> Vec<Self> {
        let folders = std::fs::read_dir(dir).into_iter().flatten();
        let folders = folders.filter_map(|entry| Some(entry.ok()?.path()));
        let mut all: Vec<_> = std::iter::once(dir.to_owned())
            .chain(folders)
            .filter_map(Self::at)
            .collect();
        all.sort_by_key(|release| release.version);
        all.dedup_by_key(|release| release.version);
        all
    }

    fn at(dir: PathBuf) -> Option<Self> {
        let version = version_of(&dir.join("frps"))?;
        let client = version_of(&dir.join("frpc"))?;
        (version == client).then_some(Self {
            version: Version::parse(&version)?,
            side: Side::Go(dir),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn releases_are_ordered_by_number() {
        assert_eq!(Version::parse("0.28.2\n"), Some(Version(0, 28, 2)));
        assert!(Version::parse("0.9.3") < Version::parse("0.28.2"));
        for not in ["", "0.28", "0.28.2.1", "v0.28.2", "0.28.x"] {
            assert_eq!(Version::parse(not), None, "{not}");
        }
    }
}
