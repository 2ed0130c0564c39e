//! `includes`: which files a pattern names (frp `pkg/config/load.go`).

use std::path::{Path, PathBuf};

use crate::glob;
use crate::problem::io_text;
use crate::texts::is_kept_aside;

/// The files that a pattern names, in the order of their names. Only the last part of the pattern
/// may hold wildcards; directories are left out, and not searched, and so is what frpc itself keeps beside a
/// file.
///
/// # Errors
/// A text for the user when the directory cannot be read.
pub(crate) fn files(pattern: &str) -> Result<Vec<PathBuf>, String> {
    let (dir, name) = match pattern.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((dir, name)) => (dir, name),
        None => (".", pattern),
    };
    let unread = |error: std::io::Error| {
        let absolute = std::path::absolute(dir).unwrap_or_else(|_| PathBuf::from(dir));
        let path = absolute.display();
        if error.kind() == std::io::ErrorKind::NotFound {
            format!(
                "include: directory of {pattern} not exist: stat {path}: {}",
                io_text(&error)
            )
        } else {
            format!("include: open {path}: {}", io_text(&error))
        }
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(unread)? {
        let entry = entry.map_err(unread)?;
        let is_dir = entry.file_type().map_err(unread)?.is_dir();
        let fits = entry
            .file_name()
            .to_str()
            .is_some_and(|file| glob::matches(name, file) && !is_kept_aside(file));
        if !is_dir && fits {
            files.push(Path::new(dir).join(entry.file_name()));
        }
    }
    files.sort();
    Ok(files)
}
