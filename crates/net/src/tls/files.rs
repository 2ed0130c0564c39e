//! Files of certificates and keys: what they hold, or what is wrong with them and what helps.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, InconsistentKeys};

use super::TlsSetupError;
use super::validity::{self, SEQUENCE, next, value};
use crate::go_text::go_text;

/// Bits of the shortest RSA key that can be used (aws-lc's least for signatures).
const SHORTEST_RSA: usize = 2048;

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT: u8 = 0x06;

/// 1.2.840.113549.1.1.1, rsaEncryption (RFC 8017, appendix A.1).
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// What is wrong with a file that could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It has no bytes, or white space only.
    Empty,
    /// Its text has two bytes a character.
    Utf16,
    /// A certificate, or a key, as bare bytes.
    Der(&'static str),
    /// A key store with a password.
    Pkcs12,
    /// A key that only a password opens.
    Encrypted,
    /// A PEM block of that label, and none that is wanted.
    Other(String),
    /// Text or bytes without a PEM block.
    NoPem,
    /// A PEM block that is cut or garbled.
    Garbled,
    /// An RSA key of so many bits.
    Short(usize),
    /// A key of another kind.
    UnknownKey,
}

/// What a file is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// One or more.
    Certificate,
    /// One.
    Key,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate",
            Self::Key => "private key",
        })
    }
}

/// The fault with the command that mends it, where one does.
pub(super) fn explained(path: &Path, wanted: Wanted, fault: &Fault) -> String {
    let shown = path.display();
    match fault {
        Fault::Empty => format!("no valid PEM {wanted} found: the file is empty"),
        Fault::Utf16 => format!(
            "no valid PEM {wanted} found: the file is UTF-16 text; save it as UTF-8 or ASCII"
        ),
        Fault::Der(what) => {
            let command = if *what == "certificate" {
                "x509"
            } else {
                "pkey"
            };
            format!(
                "no valid PEM {wanted} found: this is a {what} as DER; convert it: openssl {command} \
                 -inform DER -in {shown} -out {shown}.pem"
            )
        }
        Fault::Pkcs12 => format!(
            "no valid PEM {wanted} found: this is a PKCS#12 store; take it apart: openssl pkcs12 -in \
             {shown} -nodes -out {shown}.pem (the one file serves as certificate and as key)"
        ),
        Fault::Encrypted => format!(
            "the private key is encrypted, and there is nobody to ask for its password; decrypt it: \
             openssl pkey -in {shown} -out {shown}.plain"
        ),
        Fault::Other(label) => {
            let advice = match (label.as_str(), wanted) {
                ("CERTIFICATE", Wanted::Key) => {
                    "name the file of its private key here; the two may have been exchanged"
                }
                ("PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY", _) => {
                    "name the file of its certificate here; the two may have been exchanged"
                }
                ("CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST", _) => {
                    "this only asks a CA for a certificate; name the one that the CA gave"
                }
                ("OPENSSH PRIVATE KEY", Wanted::Key) => {
                    "convert a copy of it: ssh-keygen -p -m PKCS8 -N \"\" -f COPY"
                }
                ("TRUSTED CERTIFICATE", _) => "convert it: openssl x509 -in FILE -out FILE.pem",
                ("PKCS7", _) => "convert it: openssl pkcs7 -print_certs -in FILE -out FILE.pem",
                _ => "name a file that has one",
            };
            format!(
                "no valid PEM {wanted} found, but -----BEGIN {label}-----; {}",
                advice.replace("FILE", &shown.to_string())
            )
        }
        Fault::NoPem => format!(
            "no valid PEM {wanted} found: no line begins with -----BEGIN; is it the right file?"
        ),
        Fault::Garbled => format!(
            "no valid PEM {wanted} found: the block is cut off or garbled; copy the whole file again, \
             from -----BEGIN to the line with -----END"
        ),
        Fault::Short(bits) => format!(
            "the RSA key is too short: {bits} bits, and {SHORTEST_RSA} are the least; make a new key \
             and certificate, such as: openssl req -x509 -newkey rsa:2048 -nodes -days 365 -keyout \
             {shown}.new -out CERTIFICATE"
        ),
        Fault::UnknownKey => {
            "the private key is of a kind that cannot be used; RSA of 2048 bits or \
             more, ECDSA on P-256, P-384 or P-521, and Ed25519 can"
                .to_owned()
        }
    }
}

/// The certificate and key of this end. Warns where the certificate's time is over or yet to come.
pub(super) fn identity(
    cert: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsSetupError> {
    let private = private_key(key, provider)?;
    let chain = certificates(cert)?;
    let pair = match CertifiedKey::from_der(chain, private, provider) {
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            return Err(TlsSetupError::Pair {
                cert: cert.to_owned(),
                key: key.to_owned(),
            });
        }
        Err(error) => {
            return Err(TlsSetupError::Certificate {
                path: cert.to_owned(),
                why: error.to_string(),
            });
        }
        Ok(pair) => pair,
    };
    if let Some(own) = pair.cert.first() {
        warn_if_out_of_time(cert, "the certificate", own);
    }
    Ok(pair)
}

/// All certificates of the file.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsSetupError> {
    let bytes = read(path)?;
    let text = without_bom(&bytes);
    let found: Vec<_> = CertificateDer::pem_slice_iter(text)
        .filter_map(Result::ok)
        .collect();
    if found.is_empty() {
        return Err(faulty(path, Wanted::Certificate, fault(text)));
    }
    Ok(found)
}

/// Tells when the time of a certificate is over, ends soon or has yet to come, which those who check it
/// see; whether there was something to tell. `what` is the certificate in words.
pub(super) fn warn_if_out_of_time(path: &Path, what: &str, cert: &CertificateDer<'_>) -> bool {
    const DAY: u64 = 24 * 60 * 60;
    let (path, now) = (path.display(), UnixTime::now());
    match validity::check(cert, now) {
        Err(CertificateError::ExpiredContext { not_after, .. }) => {
            let days = now.as_secs().saturating_sub(not_after.as_secs()) / DAY;
            tracing::warn!(
                "{path}: {what} expired {days} days ago, and whoever checks it refuses it; renew it"
            );
        }
        Err(CertificateError::NotValidYetContext { .. }) => tracing::warn!(
            "{path}: the time of {what} has yet to come, and whoever checks it refuses it; check the \
             clock of this machine"
        ),
        Err(_) => return false,
        Ok(()) => match validity::ends_soon(cert, now) {
            Some(left) => {
                let days = left / DAY;
                tracing::warn!("{path}: {what} expires in {days} days; renew it");
            }
            None => return false,
        },
    }
    true
}

fn private_key(
    path: &Path,
    provider: &CryptoProvider,
) -> Result<PrivateKeyDer<'static>, TlsSetupError> {
    let bytes = read(path)?;
    let text = without_bom(&bytes);
    let wrong = |fault| faulty(path, Wanted::Key, fault);
    // The older form says so in a header, and is garbage without the password.
    if has(text, b"Proc-Type: 4,ENCRYPTED") {
        return Err(wrong(Fault::Encrypted));
    }
    let key = PrivateKeyDer::from_pem_slice(text).map_err(|_| wrong(fault(text)))?;
    match provider.key_provider.load_private_key(key.clone_key()) {
        Ok(_) => Ok(key),
        Err(_) => Err(wrong(match rsa_bits(&key) {
            Some(bits) if bits < SHORTEST_RSA => Fault::Short(bits),
            _ => Fault::UnknownKey,
        })),
    }
}

fn faulty(path: &Path, wanted: Wanted, fault: Fault) -> TlsSetupError {
    TlsSetupError::File {
        path: path.to_owned(),
        wanted,
        fault,
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsSetupError> {
    let read = fs::read(path);
    read.map_err(|source| TlsSetupError::Read {
        path: path.to_owned(),
        source,
    })
}

/// The remedy of a file that could not be read.
pub(super) fn unread(path: &Path, source: &io::Error) -> String {
    let advice = match source.kind() {
        io::ErrorKind::NotFound if path.is_relative() => {
            "; a relative path begins where the program was started"
        }
        io::ErrorKind::PermissionDenied => "; let the user that the program runs as read it",
        _ => "",
    };
    format!("open {}: {}{advice}", path.display(), go_text(source))
}

/// Why a file without what is wanted has none.
fn fault(text: &[u8]) -> Fault {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Fault::Empty;
    }
    let label = text
        .split(|&byte| byte == b'\n' || byte == b'\r')
        .filter_map(|line| line.strip_prefix(b"-----BEGIN "))
        .filter_map(|line| line.trim_ascii_end().strip_suffix(b"-----"))
        .filter(|label| !label.ends_with(b" PARAMETERS"))
        .map(|label| {
            String::from_utf8_lossy(label)
                .chars()
                .take(40)
                .collect::<String>()
        })
        .next();
    let labels_are = |label: &str| has(text, format!("-----BEGIN {label}-----").as_bytes());
    match label {
        Some(_) if labels_are("ENCRYPTED PRIVATE KEY") => Fault::Encrypted,
        Some(label) if ends(text, &label) => Fault::Other(label),
        Some(_) => Fault::Garbled,
        None if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") => Fault::Utf16,
        None if has(text, b"-----BEGIN ") => Fault::Garbled,
        None => der(text).unwrap_or(Fault::NoPem),
    }
}

/// Whether the block is whole: then it is another than the wanted one.
fn ends(text: &[u8], label: &str) -> bool {
    let begin = format!("-----BEGIN {label}-----");
    let whole = has(text, format!("-----END {label}-----").as_bytes());
    let decodes = match label {
        "CERTIFICATE" => CertificateDer::from_pem_slice(text).is_ok(),
        "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => {
            PrivateKeyDer::from_pem_slice(text).is_ok()
        }
        _ => true,
    };
    has(text, begin.as_bytes()) && whole && decodes
}

/// What bare bytes are: a certificate begins with a sequence in a sequence, a key with its version 0 or
/// 1, a PKCS#12 store with its version 3 (RFC 5280, 5958, 8017, 7292).
fn der(bytes: &[u8]) -> Option<Fault> {
    let mut rest = bytes;
    let mut whole = value(&mut rest, SEQUENCE)?;
    match next(&mut whole)? {
        (SEQUENCE, _) => Some(Fault::Der("certificate")),
        (INTEGER, [0 | 1]) => Some(Fault::Der("private key")),
        (INTEGER, [3]) => Some(Fault::Pkcs12),
        _ => None,
    }
}

/// The bits of an RSA key; `None`: it is none.
fn rsa_bits(key: &PrivateKeyDer<'_>) -> Option<usize> {
    let mut pkcs1 = match key {
        PrivateKeyDer::Pkcs1(key) => key.secret_pkcs1_der(),
        PrivateKeyDer::Pkcs8(key) => {
            let mut rest = key.secret_pkcs8_der();
            let mut whole = value(&mut rest, SEQUENCE)?;
            value(&mut whole, INTEGER)?;
            let mut algorithm = value(&mut whole, SEQUENCE)?;
            if value(&mut algorithm, OBJECT)? != RSA {
                return None;
            }
            value(&mut whole, OCTET_STRING)?
        }
        _ => return None,
    };
    let mut whole = value(&mut pkcs1, SEQUENCE)?;
    value(&mut whole, INTEGER)?;
    let modulus = value(&mut whole, INTEGER)?;
    let zeros = modulus.iter().take_while(|&&byte| byte == 0).count();
    let (_, digits) = modulus.split_at_checked(zeros)?;
    let first = digits.first()?;
    Some(digits.len() * 8 - first.leading_zeros() as usize)
}

fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

fn has(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
