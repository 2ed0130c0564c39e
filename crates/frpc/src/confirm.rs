//! A reload that waits to be confirmed, on the disk: the former texts of the configuration file and of those
//! that it includes stand beside it until then, so that whatever ends frpc meanwhile, it starts with the
//! former settings. All of it blocks.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use frp_config::{FORMER, IncludedTexts, Texts, UNCONFIRMED};
use frp_process::file;

/// Ends the name of the file with the texts of included ones.
const FORMER_INCLUDED: &str = ".included.former";

/// Puts the former texts aside.
pub(crate) fn keep(path: &Path, former: &Texts) -> io::Result<()> {
    let included = beside(path, FORMER_INCLUDED);
    match former.included.is_empty() {
        true => file::remove(&included)?,
        false => file::write_private(&included, &former.included.kept())?,
    }
    // The last, for where it stands, a reload waits.
    file::write_private(&beside(path, FORMER), &former.own)
}

/// Lets them go: the files count from now on.
pub(crate) fn forget(path: &Path) -> io::Result<()> {
    file::remove(&beside(path, FORMER))?;
    file::remove(&beside(path, FORMER_INCLUDED))
}

/// Puts them back, if a reload waited, and gives where what was tried is kept instead. May be interrupted at
/// any point, and begun again.
pub(crate) fn restore(path: &Path) -> io::Result<Option<Vec<PathBuf>>> {
    let Some(former) = read(&beside(path, FORMER))? else {
        return Ok(None);
    };
    let mut tried = Vec::new();
    if let Some(included) = read(&beside(path, FORMER_INCLUDED))? {
        let included = std::str::from_utf8(&included).ok();
        let included = included.and_then(IncludedTexts::of_kept);
        let included = included.ok_or(io::ErrorKind::InvalidData)?;
        for (path, former) in included.files() {
            tried.extend(put_back(path, former.as_bytes())?);
        }
        for newcomer in included.newcomers() {
            let aside = beside(&newcomer, UNCONFIRMED);
            std::fs::rename(&newcomer, &aside)?;
            tried.push(aside);
        }
    }
    tried.extend(put_back(path, &former)?);
    forget(path)?;
    Ok(Some(tried))
}

/// Ends a sentence by where it is.
pub(crate) fn where_tried(tried: &[PathBuf]) -> String {
    let tried: Vec<_> = tried
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    match tried.is_empty() {
        true => String::new(),
        false => format!("; what was tried is in {}", tried.join(", ")),
    }
}

/// Has the file say what it said; where what it says now is kept, if that is something else.
fn put_back(path: &Path, former: &[u8]) -> io::Result<Option<PathBuf>> {
    let current = file::read(path).ok();
    if current.as_deref() == Some(former) {
        return Ok(None);
    }
    let tried = match current {
        Some(current) => {
            let aside = beside(path, UNCONFIRMED);
            file::write_private(&aside, &String::from_utf8_lossy(&current))?;
            Some(aside)
        }
        None => None,
    };
    file::write(path, &String::from_utf8_lossy(former))?;
    Ok(tried)
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match file::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if is_absent(e.kind()) => Ok(None),
        Err(e) => Err(e),
    }
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

    fn texts(own: &str) -> Texts {
        Texts {
            own: own.into(),
            ..Texts::default()
        }
    }

    #[test]
    fn the_former_text_comes_back_wherever_it_was_interrupted() {
        let folder = std::env::temp_dir().join(format!("frpc-confirm-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("frpc.toml");
        let read = |ending: &str| std::fs::read_to_string(beside(&path, ending)).ok();
        std::fs::write(&path, "new").unwrap();
        assert_eq!(restore(&path).unwrap(), None);
        keep(&path, &texts("old")).unwrap();
        let tried = vec![beside(&path, UNCONFIRMED)];
        assert_eq!(restore(&path).unwrap(), Some(tried));
        assert_eq!(read(""), Some("old".to_owned()));
        assert_eq!(read(UNCONFIRMED), Some("new".to_owned()));
        assert_eq!(read(FORMER), None);
        // Interrupted behind the file: what was tried is not lost to what came back.
        keep(&path, &texts("old")).unwrap();
        assert_eq!(restore(&path).unwrap(), Some(Vec::new()));
        assert_eq!(read(UNCONFIRMED), Some("new".to_owned()));
        // A file that is gone comes back, too.
        keep(&path, &texts("old")).unwrap();
        std::fs::remove_file(&path).unwrap();
        restore(&path).unwrap();
        assert_eq!(read(""), Some("old".to_owned()));
        keep(&path, &texts("old")).unwrap();
        std::fs::write(&path, "newer").unwrap();
        forget(&path).unwrap();
        assert_eq!(restore(&path).unwrap(), None);
        assert_eq!(read(""), Some("newer".to_owned()));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
