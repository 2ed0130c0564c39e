//! A log file as it grows, over rotations: renamed and made anew, or cut and begun again. Blocks.

use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

/// Bytes that are read at once: what is behind them waits for the next time.
const PIECE: usize = 256 * 1024;

/// Bytes of a line; sshd's have 1 KiB at most. Longer ones are passed over.
const LONGEST_LINE: usize = 8 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Tail {
    path: PathBuf,
    file: Option<File>,
    at: u64,
    cut: Cut,
}

/// Cuts what comes in pieces into lines.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    /// The beginning of a line that has no end yet.
    begun: Vec<u8>,
    /// It was too long, and its end is passed over.
    too_long: bool,
}

impl Tail {
    /// From the end of what is there.
    pub(crate) fn new(path: PathBuf) -> io::Result<Self> {
        let mut tail = Self {
            path,
            file: None,
            at: 0,
            cut: Cut::default(),
        };
        match tail.open() {
            Ok(meta) => tail.at = meta.len(),
            // It may come.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        Ok(tail)
    }

    /// The lines that are new, as far as they have come; `true`: there are more at once.
    pub(crate) fn read(&mut self, lines: &mut Vec<String>) -> io::Result<bool> {
        if self.file.is_none() {
            match self.open() {
                Ok(_) => self.at = 0,
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        let Some(file) = &mut self.file else {
            return Ok(false);
        };
        if file.metadata()?.len() < self.at {
            // Cut by copytruncate.
            self.at = 0;
            self.cut = Cut::default();
        }
        file.seek(SeekFrom::Start(self.at))?;
        let mut piece = Vec::new();
        file.take(PIECE as u64).read_to_end(&mut piece)?;
        self.at += piece.len() as u64;
        let full = piece.len() == PIECE;
        self.cut.take(&piece, lines);
        if piece.is_empty() && self.is_replaced() {
            // Its last line had no end; the next file begins with a line.
            self.cut = Cut::default();
            self.file = None;
            return Ok(true);
        }
        Ok(full || (!piece.is_empty() && self.is_replaced()))
    }

    /// Whether there is such a file, or was at the last look.
    pub(crate) fn is_there(&self) -> bool {
        self.file.is_some()
    }

    fn open(&mut self) -> io::Result<Metadata> {
        // Opening a pipe would wait for its other end.
        if !std::fs::metadata(&self.path)?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        let file = File::open(&self.path)?;
        let meta = file.metadata()?;
        self.file = Some(file);
        Ok(meta)
    }

    /// Whether another file has the name now.
    fn is_replaced(&self) -> bool {
        let ours = self.file.as_ref().and_then(|file| file.metadata().ok());
        match (ours, std::fs::metadata(&self.path)) {
            (Some(ours), Ok(theirs)) => !is_same(&ours, &theirs),
            _ => false,
        }
    }
}

impl Cut {
    /// Adds the lines that `piece` ends.
    pub(crate) fn take(&mut self, piece: &[u8], lines: &mut Vec<String>) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let ends = part.last() == Some(&b'\n');
            if !self.too_long {
                self.begun.extend_from_slice(part);
                self.too_long = self.begun.len() > LONGEST_LINE;
            }
            if ends {
                if !self.too_long {
                    lines.push(String::from_utf8_lossy(&self.begun).into_owned());
                }
                self.begun.clear();
                self.too_long = false;
            }
        }
    }
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    one.created().ok() == other.created().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write as _;

    use super::*;

    #[test]
    fn lines_are_read_once_over_every_kind_of_rotation() {
        let name = format!("frpc-tail-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let old = path.with_extension("1");
        std::fs::write(&path, "before\n").unwrap();
        let mut tail = Tail::new(path.clone()).unwrap();
        let add = |text: &str| {
            let mut options = OpenOptions::new();
            let file = options.append(true).create(true).open(&path);
            file.unwrap().write_all(text.as_bytes()).unwrap();
        };
        let mut read = || {
            let mut lines = Vec::new();
            while tail.read(&mut lines).unwrap() {}
            lines.concat()
        };
        assert_eq!(read(), "");
        add("one\ntw");
        assert_eq!(read(), "one\n");
        add("o\n");
        assert_eq!(read(), "two\n");
        // Renamed; what is written to the old one meanwhile counts.
        add("three\n");
        std::fs::rename(&path, &old).unwrap();
        add("four\n");
        assert_eq!(read(), "three\nfour\n");
        // Cut.
        std::fs::write(&path, "").unwrap();
        add("5\n");
        assert_eq!(read(), "5\n");
        add(&format!("{}\nsix\n", "x".repeat(LONGEST_LINE)));
        assert_eq!(read(), "six\n");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read(), "");
        add("seven\n");
        assert_eq!(read(), "seven\n");
        std::fs::remove_file(&path).unwrap();
        std::fs::remove_file(&old).unwrap();
    }
}
