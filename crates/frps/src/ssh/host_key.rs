//! By which key do ssh clients know this server?
//!
//! frp makes an RSA key of 2048 bits in PKCS#1 and reads whatever `golang.org/x/crypto/ssh` does. Here it is an
//! Ed25519 key in OpenSSH's own format: Go reads that, too, so that a user may go back, every client of the last ten
//! years knows it, and it is made and used in a thousandth of the time. A file that frp made stays as it is.

use std::io;
use std::path::Path;

use frp_net::go_text::go_text;
use frp_process::file;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::{PrivateKey, decode_secret_key};

use crate::bind_error::BindError;
use crate::policy::SshGateway;
use crate::random::random_bytes;

/// The key of `privateKeyFile`, or else that of `autoGenPrivateKeyPath`, which is made where it is not there.
pub(super) fn load(settings: &SshGateway) -> Result<PrivateKey, BindError> {
    match &settings.key_file {
        Some(path) => read(path).map_err(|why| problem(path, &why)),
        None => {
            let path = &settings.made_key_file;
            read_or_make(path).map_err(|why| problem(path, &why))
        }
    }
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
enum KeyError {
    #[error("open: {}", go_text(.0))]
    Read(io::Error),
    #[error("write: {}; name a file that frps may write by autoGenPrivateKeyPath", go_text(.0))]
    Write(io::Error),
    #[error("it has a passphrase; give a key without one (ssh-keygen -p -f FILE)")]
    Encrypted,
    #[error(
        "{0}; give a private key in the format of OpenSSH, PKCS#1 or PKCS#8 (ssh-keygen -t ed25519 -f FILE)"
    )]
    Parse(String),
}

fn problem(path: &Path, why: &KeyError) -> BindError {
    BindError::SshKey {
        path: path.to_owned(),
        why: why.to_string(),
    }
}

fn read_or_make(path: &Path) -> Result<PrivateKey, KeyError> {
    match read(path) {
        Err(KeyError::Read(e)) if e.kind() == io::ErrorKind::NotFound => make(path),
        // As in frp, an empty file is one where a key shall be.
        Err(KeyError::Parse(_)) if std::fs::metadata(path).is_ok_and(|meta| meta.len() == 0) => {
            make(path)
        }
        read => read,
    }
}

fn read(path: &Path) -> Result<PrivateKey, KeyError> {
    let content = file::read(path).map_err(KeyError::Read)?;
    let text = String::from_utf8(content).map_err(|_| KeyError::Parse("it is no text".into()))?;
    let key = decode_secret_key(&text, None).map_err(|e| match e {
        russh::keys::Error::KeyIsEncrypted => KeyError::Encrypted,
        e => KeyError::Parse(e.to_string()),
    })?;
    match key.is_encrypted() {
        true => Err(KeyError::Encrypted),
        false => Ok(key),
    }
}

fn make(path: &Path) -> Result<PrivateKey, KeyError> {
    let key = PrivateKey::from(Ed25519Keypair::from_seed(&random_bytes()));
    let text = key.to_openssh(LineEnding::LF);
    let text = text.map_err(|e| KeyError::Parse(e.to_string()))?;
    file::write_private(path, &text).map_err(KeyError::Write)?;
    Ok(key)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn settings(directory: &Path) -> SshGateway {
        SshGateway {
            port: 1,
            key_file: None,
            made_key_file: directory.join("key"),
        }
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_only() {
        let directory = std::env::temp_dir().join(format!("frps-host-key-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let settings = settings(&directory);
        let made = load(&settings).unwrap();
        let mode = std::fs::metadata(&settings.made_key_file)
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(load(&settings).unwrap(), made);
        // frp overwrites an empty file, too.
        std::fs::write(&settings.made_key_file, "").unwrap();
        assert_ne!(load(&settings).unwrap(), made);

        std::fs::write(&settings.made_key_file, "no key").unwrap();
        let error = load(&settings).unwrap_err().to_string();
        assert!(error.contains("ssh-keygen"), "{error}");
        let error = load(&SshGateway {
            key_file: Some(directory.join("missing")),
            ..settings
        });
        let error = error.unwrap_err().to_string();
        assert!(
            error.ends_with("missing: open: no such file or directory"),
            "{error}"
        );
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
