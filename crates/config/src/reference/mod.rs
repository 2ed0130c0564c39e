//! What is generated from the definitions of the keys: the reference page and the schemas for
//! editors. The files are committed; a test tells when they are out of date.
#![allow(clippy::unwrap_used)]

mod page;
mod schema;
mod tests;

use std::path::{Path, PathBuf};

/// The file in `docs/` of the repository.
fn committed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(name)
}

/// Compares the file with what it should hold, or writes it where `FRP_REGENERATE` is set.
fn is_current(name: &str, text: &str) {
    let path = committed(name);
    if std::env::var_os("FRP_REGENERATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let line = found.lines().zip(text.lines()).position(|(a, b)| a != b);
    assert!(
        found == text,
        "docs/{name} is out of date (line {}); to write it anew: \
         FRP_REGENERATE=1 cargo test -p frp-config reference",
        line.map_or_else(|| found.lines().count(), |line| line + 1)
    );
}
