//! What is a server's key called, for people and in files? As ssh writes it: `SHA256:` and the base64 of the
//! SHA-256 of the public key, here of the SubjectPublicKeyInfo of a certificate (RFC 7469, section 2.4), so that
//! a renewed certificate of the same key keeps its name.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

const PREFIX: &str = "SHA256:";
const LEN: usize = 32;

/// The fingerprint of a public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; LEN]);

/// A text that is no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no fingerprint of a key: it is SHA256: and 43 characters of base64, as `frps fingerprint` prints it"
)]
pub struct NoFingerprint;

impl Fingerprint {
    /// That of a key, whose SubjectPublicKeyInfo (DER) this is.
    #[must_use]
    pub fn of_key(spki: &[u8]) -> Self {
        let mut of = [0; LEN];
        for (to, from) in of.iter_mut().zip(digest(&SHA256, spki).as_ref()) {
            *to = *from;
        }
        Self(of)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", STANDARD_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = NoFingerprint;

    fn from_str(text: &str) -> Result<Self, NoFingerprint> {
        let digits = text.strip_prefix(PREFIX).ok_or(NoFingerprint)?;
        // openssl and others pad it.
        let digits = digits.strip_suffix('=').unwrap_or(digits);
        let bytes = STANDARD_NO_PAD.decode(digits).map_err(|_| NoFingerprint)?;
        Ok(Self(bytes.try_into().map_err(|_| NoFingerprint)?))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_written_as_ssh_writes_it() {
        // `printf abc | openssl dgst -sha256 -binary | base64`, without the padding.
        let text = "SHA256:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0";
        let of = Fingerprint::of_key(b"abc");
        assert_eq!(of.to_string(), text);
        assert_eq!(text.parse(), Ok(of));
        assert_eq!(format!("{text}=").parse(), Ok(of));
        for wrong in [
            "",
            "SHA256:",
            "sha256:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0",
            "SHA256:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa",
            "SHA256:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0A",
            "SHA256:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0 ",
            "MD5:90:01:50:98",
        ] {
            assert_eq!(wrong.parse::<Fingerprint>(), Err(NoFingerprint), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn it_reads_back(key: Vec<u8>, text: String) {
            let of = Fingerprint::of_key(&key);
            prop_assert_eq!(of.to_string().parse(), Ok(of));
            let _ = text.parse::<Fingerprint>();
            let _ = format!("SHA256:{text}").parse::<Fingerprint>();
        }
    }
}
