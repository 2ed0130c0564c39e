//! The store's file: entries that are made at run time, kept where the file says and nowhere else. Whoever
//! edits it meanwhile loses nothing: it is read again before it is written. All of it blocks.

use std::io;
use std::path::PathBuf;

use aws_lc_rs::digest::{SHA256, digest};
use frp_config::{LoadError, LoadOptions, Problem, Store, StoreError};
use frp_process::file;

/// The file, and what of it is known.
#[derive(Debug)]
pub(crate) struct StoreFile {
    path: PathBuf,
    options: LoadOptions,
    /// Of what was read or written last; `None` where there was no file.
    seen: Option<Fingerprint>,
}

type Fingerprint = [u8; 32];

/// Why the store cannot be opened. The first words are frp's.
#[derive(Debug, thiserror::Error)]
#[error("failed to create store source: failed to load existing data: {0}")]
pub struct OpenError(ReadError);

/// Why the file cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Content(LoadError),
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    /// What was asked for cannot be.
    #[error("{0}")]
    Refused(#[from] StoreError),
    /// The file was changed meanwhile, and not to something that can be read.
    #[error("the store was changed by hand and cannot be read, so that nothing was written: {0}")]
    ByHand(ReadError),
    /// What would be written could not be read again.
    #[error("the store would be longer than {0} bytes")]
    TooLong(u64),
    /// The disk does not take it. The words are frp's.
    #[error("failed to persist: {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// What stood in the file that nobody here had read.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) store: Store,
    /// What is doubtful in it.
    pub(crate) warnings: Vec<Problem>,
    fingerprint: Fingerprint,
}

impl StoreFile {
    /// Reads the file; without one the store is empty.
    pub(crate) fn open(
        path: PathBuf,
        options: LoadOptions,
    ) -> Result<(Self, Option<Found>), OpenError> {
        let mut file = Self {
            path,
            options,
            seen: None,
        };
        let found = file.read_news().map_err(OpenError)?;
        if let Some(found) = &found {
            file.taken(found);
        }
        Ok((file, found))
    }

    /// What stands in the file, if that is neither what was [`taken`](Self::taken) last nor what was written. A
    /// file that is gone says nothing: what it held is kept until it is written again.
    pub(crate) fn read_news(&self) -> Result<Option<Found>, ReadError> {
        let failed = |source| ReadError::Io {
            path: self.path.clone(),
            source,
        };
        let content = match file::read(&self.path) {
            Ok(content) => content,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed(e)),
        };
        let fingerprint = fingerprint(&content);
        if self.seen == Some(fingerprint) {
            return Ok(None);
        }
        let origin = self.path.display().to_string();
        let not_text = |_| {
            failed(io::Error::new(
                io::ErrorKind::InvalidData,
                "it is not UTF-8",
            ))
        };
        let text = String::from_utf8(content).map_err(not_text)?;
        let (store, warnings) =
            Store::parse(&text, &origin, &self.options).map_err(ReadError::Content)?;
        Ok(Some(Found {
            store,
            warnings,
            fingerprint,
        }))
    }

    /// What was found is in force, and may be written over.
    pub(crate) fn taken(&mut self, found: &Found) {
        self.seen = Some(found.fingerprint);
    }

    /// Writes the file: as a whole or, where an error is returned, not at all.
    pub(crate) fn write(&mut self, store: &Store) -> Result<(), ChangeError> {
        let text = store.text();
        if text.len() as u64 > frp_process::limits::MAX_FILE {
            return Err(ChangeError::TooLong(frp_process::limits::MAX_FILE));
        }
        let failed = |source| ChangeError::Write {
            path: self.path.clone(),
            source,
        };
        file::write_private(&self.path, &text).map_err(failed)?;
        self.seen = Some(fingerprint(text.as_bytes()));
        Ok(())
    }
}

fn fingerprint(content: &[u8]) -> Fingerprint {
    let mut of = Fingerprint::default();
    for (to, from) in of.iter_mut().zip(digest(&SHA256, content).as_ref()) {
        *to = *from;
    }
    of
}
