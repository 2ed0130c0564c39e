//! By which key do clients know this server? By one that it makes once and keeps (`transport.tls.keyStore`), by that of
//! its certificate, or by one that is gone at its end.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use frp_config::ServerTls;
use frp_log::{Log, info};
use frp_net::go_text::go_text;
use frp_net::tls::{self, TlsFiles, TlsSetupError};
use frp_process::file;
use frp_proto::fingerprint::Fingerprint;

use crate::policy::Policy;

/// Why the key of `transport.tls.keyStore` cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyStoreError {
    /// The file cannot be looked at.
    #[error("{}: {}; let the user that frps runs as read it", path.display(), go_text(source))]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It is a directory, or something else.
    #[error("{}: not a regular file; name a file, which frps makes where there is none", path.display())]
    NoFile {
        /// What is there.
        path: PathBuf,
    },
    /// Others may read the key, or replace it.
    #[error(
        "{path}: others than its owner may use it (mode {mode:04o}), and who has this key can pose as this frps; \
         chmod 600 {path}, and if somebody may have read it, remove it for a new one",
        path = path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// What is in it is no key with its certificate.
    #[error(
        "{source}; bring back a copy of the file, or remove it for a new key, which clients that remember the old one \
         will refuse"
    )]
    Damaged {
        /// What is wrong with it.
        source: TlsSetupError,
    },
    /// There is none, and none can be made.
    #[error(
        "write {}: {}; name a file that frps may write, which is kept where frps runs anew", path.display(),
        go_text(source)
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// No key can be made.
    #[error("{0}")]
    Make(TlsSetupError),
}

/// Why a fingerprint cannot be told without the running frps.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoFingerprint {
    #[error(
        "the key of this frps is in its memory only: it changes with each start, and the running frps wrote its \
         fingerprint to its log; set transport.tls.keyStore = \"FILE\" to keep one"
    )]
    Fleeting,
    #[error("{}: there is no key yet; frps makes it at its next start", path.display())]
    NotYet { path: PathBuf },
    #[error("transport.tls.keyStore: {0}")]
    Store(#[from] KeyStoreError),
    #[error("transport.tls.certFile: {0}")]
    File(#[from] TlsSetupError),
}

/// TLS with the key of that file, which is made where there is none.
pub(crate) fn open(
    path: &Path,
    trusted_ca: Option<PathBuf>,
) -> Result<(Arc<rustls::ServerConfig>, Fingerprint), KeyStoreError> {
    if !is_there(path)? {
        let made = tls::make_identity().map_err(KeyStoreError::Make)?;
        file::write_private(path, &made).map_err(|source| KeyStoreError::Write {
            path: path.to_owned(),
            source,
        })?;
    }
    tls::server(&TlsFiles {
        cert: Some(path.to_owned()),
        key: Some(path.to_owned()),
        trusted_ca,
    })
    .map_err(|source| KeyStoreError::Damaged { source })
}

/// The log tells by which key clients know this server.
pub(crate) fn tell(policy: &Policy) {
    let fingerprint = policy.fingerprint;
    match policy.key_is_fleeting {
        false => info!(Log::root(), "frps key fingerprint: {fingerprint}"),
        true => info!(
            Log::root(),
            "frps key fingerprint: {fingerprint} (in memory only, it changes with each start; set \
             transport.tls.keyStore to keep the key)"
        ),
    }
}

/// The fingerprint of the key that frps has with these settings, as far as files tell it.
pub(crate) fn fingerprint(settings: &ServerTls) -> Result<Fingerprint, NoFingerprint> {
    if let Some(path) = &settings.key_store {
        if !is_there(path)? {
            let path = path.clone();
            return Err(NoFingerprint::NotYet { path });
        }
        let found = tls::key_in_file(path);
        return Ok(found.map_err(|source| KeyStoreError::Damaged { source })?);
    }
    match (&settings.cert_file, &settings.key_file) {
        (Some(cert), Some(_)) => Ok(tls::key_in_file(cert)?),
        _ => Err(NoFingerprint::Fleeting),
    }
}

/// Whether the file is there; then nobody but its owner can use it.
fn is_there(path: &Path) -> Result<bool, KeyStoreError> {
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => {
            let path = path.to_owned();
            return Err(KeyStoreError::Read { path, source });
        }
    };
    let path = || path.to_owned();
    if !meta.is_file() {
        return Err(KeyStoreError::NoFile { path: path() });
    }
    match open_to_others(&meta) {
        Some(mode) => Err(KeyStoreError::Open { path: path(), mode }),
        None => Ok(true),
    }
}

/// The permissions, if they give others anything.
#[cfg(unix)]
fn open_to_others(meta: &Metadata) -> Option<u32> {
    let mode = std::os::unix::fs::MetadataExt::mode(meta) & 0o7777;
    (mode & 0o077 != 0).then_some(mode)
}

#[cfg(not(unix))]
fn open_to_others(_: &Metadata) -> Option<u32> {
    None
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_and_what_is_wrong_with_it_is_said() {
        let folder = std::env::temp_dir().join(format!("frps-key-store-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("key");
        let settings = |key_store: &Path| ServerTls {
            force: false,
            cert_file: None,
            key_file: None,
            key_store: Some(key_store.to_owned()),
            trusted_ca_file: None,
        };
        let said = |path: &Path| open(path, None).unwrap_err().to_string();
        let told = fingerprint(&settings(&path)).unwrap_err().to_string();
        assert!(told.ends_with("frps makes it at its next start"), "{told}");
        let (_, made) = open(&path, None).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(open(&path, None).unwrap().1, made);
        assert_eq!(fingerprint(&settings(&path)).unwrap(), made);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let wrong = said(&path);
        assert!(
            wrong.contains("(mode 0644)") && wrong.contains("chmod 600"),
            "{wrong}"
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        for damaged in [
            "",
            "no key",
            &text[..text.len() / 3],
            &text[..text.len() - 40],
        ] {
            fs::write(&path, damaged).unwrap();
            let wrong = said(&path);
            assert!(wrong.contains("bring back a copy"), "{damaged:?}: {wrong}");
        }
        assert!(said(&folder).contains("not a regular file"));
        assert!(said(&folder.join("key/below")).contains("key/below"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
