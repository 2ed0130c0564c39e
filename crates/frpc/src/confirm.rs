//! A reload that waits to be confirmed, on the disk: the former text of the configuration file stands beside
//! it until then, so that whatever ends frpc meanwhile, it starts with the former settings. All of it blocks.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use frp_config::cli::{FORMER, UNCONFIRMED};
use frp_process::file;

/// Puts the former text aside.
pub(crate) fn keep(path: &Path, former: &str) -> io::Result<()> {
    file::write_private(&beside(path, FORMER), former)
}

/// Lets it go: the file counts from now on.
pub(crate) fn forget(path: &Path) -> io::Result<()> {
    file::remove(&beside(path, FORMER))
}

/// Puts it back, if there is one, and gives where what was tried is kept instead; `None`: nothing waited. May
/// be interrupted at any point, and begun again.
pub(crate) fn restore(path: &Path) -> io::Result<Option<PathBuf>> {
    let kept = beside(path, FORMER);
    let former = match file::read(&kept) {
        Ok(former) => former,
        Err(e) if is_absent(e.kind()) => return Ok(None),
        Err(e) => return Err(e),
    };
    let tried = beside(path, UNCONFIRMED);
    let current = file::read(path).ok();
    if current.as_ref() != Some(&former) {
        if let Some(current) = current {
            file::write_private(&tried, &String::from_utf8_lossy(&current))?;
        }
        file::write(path, &String::from_utf8_lossy(&former))?;
    }
    file::remove(&kept)?;
    Ok(Some(tried))
}

fn is_absent(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_former_text_comes_back_wherever_it_was_interrupted() {
        let folder = std::env::temp_dir().join(format!("frpc-confirm-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("frpc.toml");
        let read = |ending: &str| std::fs::read_to_string(beside(&path, ending)).ok();
        std::fs::write(&path, "new").unwrap();
        assert_eq!(restore(&path).unwrap(), None);
        keep(&path, "old").unwrap();
        assert_eq!(restore(&path).unwrap(), Some(beside(&path, UNCONFIRMED)));
        assert_eq!(read(""), Some("old".to_owned()));
        assert_eq!(read(UNCONFIRMED), Some("new".to_owned()));
        assert_eq!(read(FORMER), None);
        // Interrupted behind the file: what was tried is not lost to what came back.
        keep(&path, "old").unwrap();
        restore(&path).unwrap();
        assert_eq!(read(UNCONFIRMED), Some("new".to_owned()));
        // A file that is gone comes back, too.
        keep(&path, "old").unwrap();
        std::fs::remove_file(&path).unwrap();
        restore(&path).unwrap();
        assert_eq!(read(""), Some("old".to_owned()));
        keep(&path, "old").unwrap();
        std::fs::write(&path, "newer").unwrap();
        forget(&path).unwrap();
        assert_eq!(restore(&path).unwrap(), None);
        assert_eq!(read(""), Some("newer".to_owned()));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
