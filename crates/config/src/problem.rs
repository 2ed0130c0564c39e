//! What is wrong with a file, and where.

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that is wrong, or doubtful, in a configuration file.
///
/// Displayed as `file:line:col: what and why; what to do`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file as the user named it.
    pub file: String,
    /// Line and column, both from 1; columns count characters. `None` concerns the whole file.
    pub position: Option<(usize, usize)>,
    /// What is wrong and why; holds frp's own text where frp has one.
    pub message: String,
    /// What to do about it.
    pub advice: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(advice) = &self.advice {
            write!(f, "; {advice}")?;
        }
        Ok(())
    }
}

/// Why a configuration could not be loaded. Displays every problem, one per line.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be read.
    #[error("{}", open_text(path, source))]
    Read {
        /// The file as the user named it.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file was read and is wrong; the list is not empty.
    #[error("{}", Lines(.0))]
    Invalid(Vec<Problem>),
}

/// As frp tells that a file could not be opened or read.
pub(crate) fn open_text(path: &Path, error: &std::io::Error) -> String {
    let verb = match error.kind() {
        std::io::ErrorKind::IsADirectory => "read",
        _ => "open",
    };
    format!("{verb} {}: {}", path.display(), io_text(error))
}

/// The words that frp (Go) prints for the errors that users meet.
pub(crate) fn io_text(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        std::io::ErrorKind::IsADirectory => "is a directory".into(),
        _ => error.to_string(),
    }
}

struct Lines<'a>(&'a [Problem]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}
