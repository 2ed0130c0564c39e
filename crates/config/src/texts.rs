//! The texts that settings were made of, for who may have to bring them back.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::include;

/// Ends the name of what stands beside a configuration file while a reload waits to be confirmed: the former text.
pub const FORMER: &str = ".former";

/// Ends the name of what was tried and never confirmed.
pub const UNCONFIRMED: &str = ".unconfirmed";

/// Whether a file of that name is kept beside another, and none that settings are read from.
pub(crate) fn is_kept_aside(name: &str) -> bool {
    name.ends_with(FORMER) || name.ends_with(UNCONFIRMED)
}

/// The text of frpc's file, and of those that it includes. They hold secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Texts {
    /// Of the file itself.
    pub own: Arc<str>,
    /// Of the others.
    pub included: IncludedTexts,
}

/// The texts of the files that `includes` names.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct IncludedTexts {
    pub(crate) patterns: Vec<String>,
    pub(crate) files: Vec<(PathBuf, String)>,
}

impl IncludedTexts {
    /// Whether nothing is included.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Each file and its text.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &str)> {
        let files = self.files.iter();
        files.map(|(path, text)| (path.as_path(), text.as_str()))
    }

    /// Files that are included by now and were not.
    #[must_use]
    pub fn newcomers(&self) -> Vec<PathBuf> {
        let found = self.patterns.iter().flat_map(|pattern| {
            // A directory that is gone has none.
            include::files(pattern).unwrap_or_default()
        });
        let mut found: Vec<_> = found
            .filter(|path| self.files.iter().all(|(known, _)| known != path))
            .collect();
        found.sort();
        found.dedup();
        found
    }

    /// As they are kept on the disk: each part behind a line with what it is and its bytes.
    #[must_use]
    pub fn kept(&self) -> String {
        let mut kept = String::new();
        let mut part = |what: &str, text: &str| {
            let _ = write!(kept, "{what} {}\n{text}\n", text.len());
        };
        self.patterns.iter().for_each(|text| part(PATTERN, text));
        for (path, text) in self.files() {
            // Patterns are text, and so is what they match.
            part(FILE, &path.to_string_lossy());
            part(TEXT, text);
        }
        kept
    }

    /// What [`kept`](Self::kept) gave; `None` for anything else.
    #[must_use]
    pub fn of_kept(mut kept: &str) -> Option<Self> {
        let mut found = Self::default();
        let mut path = None;
        while !kept.is_empty() {
            let (line, rest) = kept.split_once('\n')?;
            let (what, len) = line.split_once(' ')?;
            let (text, rest) = rest.split_at_checked(len.parse().ok()?)?;
            kept = rest.strip_prefix('\n')?;
            match what {
                PATTERN => found.patterns.push(text.to_owned()),
                FILE => path = Some(text.into()),
                TEXT => found.files.push((path.take()?, text.to_owned())),
                _ => return None,
            }
        }
        Some(found)
    }
}

const PATTERN: &str = "includes";
const FILE: &str = "file";
const TEXT: &str = "text";

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = self.included.files().map(|(path, _)| path);
        f.write_str("Texts ")?;
        f.debug_list().entries(files).finish()
    }
}

impl fmt::Debug for IncludedTexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.patterns).finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_kept_as_they_are() {
        let files = [("a b", "x\ntext 3\n"), ("é\n", ""), ("c", "\n")];
        let texts = IncludedTexts {
            patterns: vec!["./more/*.toml".to_owned(), String::new()],
            files: files
                .map(|(path, text)| (path.into(), text.to_owned()))
                .into(),
        };
        let kept = texts.kept();
        assert_eq!(IncludedTexts::of_kept(&kept), Some(texts));
        for broken in [
            "x",
            "text 1\na\n",
            "file 9\na\n",
            "file 1\nab",
            "what 1\na\n",
        ] {
            assert_eq!(IncludedTexts::of_kept(broken), None, "{broken:?}");
        }
        assert_eq!(IncludedTexts::of_kept(&kept[..kept.len() - 1]), None);
    }
}
