//! A file of the user's, configuration or store: read, and replaced as a whole. Both block.

use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::limits::MAX_FILE;

/// The content of a regular file.
///
/// # Errors
/// The system's; it is no regular file, or longer than [`MAX_FILE`].
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Looked at first: opening a pipe would wait for its other end.
    let size = regular(&std::fs::metadata(path)?)?.len();
    let mut content = Vec::with_capacity(usize::try_from(size.min(MAX_FILE)).unwrap_or(0));
    let mut file = File::open(path)?.take(MAX_FILE + 1);
    file.read_to_end(&mut content)?;
    if content.len() as u64 > MAX_FILE {
        let text = format!("the file is longer than {MAX_FILE} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(content)
}

/// Why the file should not be read again, if that can be seen before: a pipe has been read, and would seem
/// to be a file without a setting; so does a file that somebody is about to write.
pub fn unfit_to_reread(path: &Path) -> Option<&'static str> {
    match std::fs::metadata(path) {
        Ok(meta) if !meta.is_file() => Some("not a regular file: it cannot be read again"),
        Ok(meta) if meta.len() == 0 => Some("the file is empty; write it, and reload again"),
        // What is not there is told by who reads it.
        _ => None,
    }
}

/// Writes the file: as a whole or, where an error is returned, not at all. A new one can only be
/// read by its owner, an old one keeps owner and mode.
///
/// # Errors
/// The system's, or it is no regular file.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let (path, old) = resolve(path)?;
    if old.as_ref().is_some_and(has_other_names) {
        return write_in_place(&path, text);
    }
    match replace(&path, old.as_ref(), Mode::Kept, text) {
        Err(e) if is_about_directory(&e) => write_in_place(&path, text),
        written => written,
    }
}

/// As [`write()`], but never in place, whatever stands in the way, so that nothing can leave half of it;
/// and only its owner can read it, whatever was there. Makes the folders above it.
///
/// # Errors
/// The system's, or it is no regular file.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let (path, old) = resolve(path)?;
    replace(&path, old.as_ref(), Mode::Private, text)
}

/// Removes the file, if it is there.
///
/// # Errors
/// The system's.
pub fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Ok(()) => sync_folder_of(path),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    Ok(())
}

/// Has a name be as lasting as the content, where the system can do that.
fn sync_folder_of(path: &Path) {
    if let Some(folder) = path.parent().and_then(|folder| File::open(folder).ok()) {
        let _ = folder.sync_all();
    }
}

/// The file that a path leads to, and what is there.
fn resolve(path: &Path) -> io::Result<(PathBuf, Option<Metadata>)> {
    let old = match std::fs::metadata(path) {
        Ok(old) => Some(old),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(e),
    };
    if let Some(old) = &old {
        regular(old)?;
    }
    // What a link points to, not the link.
    let path = match old {
        Some(_) => path.canonicalize()?,
        None => path.to_owned(),
    };
    Ok((path, old))
}

fn regular(meta: &Metadata) -> io::Result<&Metadata> {
    match meta.is_file() {
        true => Ok(meta),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        )),
    }
}

/// Whether the directory, not the disk, is in the way: it is not ours to write, or the file is
/// mounted on its own, as in a container.
fn is_about_directory(e: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    matches!(
        e.kind(),
        PermissionDenied | ResourceBusy | ReadOnlyFilesystem | CrossesDevices
    )
}

/// Who may read what replaces a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Who could read the old one.
    Kept,
    /// Its owner.
    Private,
}

/// Writes beside `path` and renames over it.
fn replace(path: &Path, old: Option<&Metadata>, mode: Mode, text: &str) -> io::Result<()> {
    let (mut file, beside) = create_beside(path)?;
    let done = fill(&mut file, old, mode, text).and_then(|()| std::fs::rename(&beside, path));
    if done.is_err() {
        let _ = std::fs::remove_file(&beside);
        return done;
    }
    sync_folder_of(path);
    Ok(())
}

fn create_beside(path: &Path) -> io::Result<(File, PathBuf)> {
    for n in 0_u8.. {
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{}-{n}.tmp", std::process::id()));
        let beside = path.with_file_name(name);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        private(&mut options);
        match options.open(&beside) {
            Ok(file) => return Ok((file, beside)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && n < u8::MAX => {}
            Err(e) => return Err(e),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn fill(file: &mut File, old: Option<&Metadata>, mode: Mode, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    if let Some(old) = old {
        keep_owner(file, old)?;
        if mode == Mode::Kept {
            file.set_permissions(old.permissions())?;
        }
    }
    file.sync_all()
}

/// For a file that is all of its directory that we may write. What was there comes back if the
/// new text does not fit.
fn write_in_place(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    private(&mut options);
    let mut file = options.open(path)?;
    // Who may write a file and not read it has nothing to put back.
    let old = read(path).ok();
    let done = overwrite(&mut file, text.as_bytes());
    if let (Err(_), Some(old)) = (&done, old) {
        overwrite(&mut file, &old)?;
    }
    done
}

fn overwrite(file: &mut File, content: &[u8]) -> io::Result<()> {
    file.rewind()?;
    file.write_all(content)?;
    file.set_len(content.len() as u64)?;
    file.sync_all()
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
}

#[cfg(unix)]
fn has_other_names(meta: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(meta) > 1
}

#[cfg(unix)]
fn keep_owner(file: &File, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let new = file.metadata()?;
    if (new.uid(), new.gid()) == (old.uid(), old.gid()) {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, Some(old.uid()), Some(old.gid()))
}

#[cfg(not(unix))]
fn private(_: &mut OpenOptions) {}

#[cfg(not(unix))]
fn has_other_names(_: &Metadata) -> bool {
    false
}

#[cfg(not(unix))]
fn keep_owner(_: &File, _: &Metadata) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Dir(PathBuf);

    impl Dir {
        fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let n = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("frpc-admin-{}-{n}", std::process::id()));
            std::fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> usize {
            std::fs::read_dir(&self.0).unwrap().count()
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let dir = Dir::new();
        let (file, link) = (dir.0.join("frpc.toml"), dir.0.join("link"));
        write(&file, "new").unwrap();
        assert_eq!(mode(&file), 0o600);
        std::fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        symlink("frpc.toml", &link).unwrap();
        let mut before = File::open(&file).unwrap();
        write(&link, "another").unwrap();
        assert_eq!(read(&file).unwrap(), b"another");
        assert_eq!(mode(&file), 0o640);
        assert!(link.is_symlink());
        // Whoever reads the old one reads all of it.
        let mut text = String::new();
        before.read_to_string(&mut text).unwrap();
        assert_eq!(text, "new");
        assert_eq!(dir.names(), 2);
    }

    #[test]
    fn a_file_with_two_names_keeps_both() {
        let dir = Dir::new();
        let (file, other) = (dir.0.join("a"), dir.0.join("b"));
        write(&file, "a longer text").unwrap();
        std::fs::hard_link(&file, &other).unwrap();
        write(&file, "short").unwrap();
        assert_eq!(read(&other).unwrap(), b"short");
    }

    #[test]
    fn what_cannot_be_written_stays() {
        let dir = Dir::new();
        let file = dir.0.join("a");
        write(&file, "old").unwrap();
        // No room for it.
        let mut full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        assert!(fill(&mut full, None, Mode::Kept, "x").is_err());
        assert!(
            replace(&dir.0, None, Mode::Kept, "x").is_err(),
            "a directory"
        );
        assert_eq!(dir.names(), 1);
        assert_eq!(read(&file).unwrap(), b"old");
    }

    #[test]
    fn only_files_of_a_sane_size_are_read() {
        let dir = Dir::new();
        let file = dir.0.join("a");
        File::create(&file).unwrap().set_len(MAX_FILE + 1).unwrap();
        assert!(read(&file).is_err());
        File::create(&file).unwrap().set_len(MAX_FILE).unwrap();
        assert!(read(&file).is_ok());
        for odd in [Path::new("/dev/zero"), &dir.0] {
            assert_eq!(read(odd).unwrap_err().to_string(), "not a regular file");
            assert!(write(odd, "x").is_err());
        }
    }
}
