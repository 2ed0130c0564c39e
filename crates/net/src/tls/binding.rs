//! What is a TLS connection known by to both of its ends, so that a proof made for it is good on no other? And does
//! the other end know that, too?
//!
//! The first is RFC 9266's `tls-exporter`. rustls has it for its buffered connections and for QUIC only; of ours the
//! exporter's secret is had as the handshake logs it, and what follows from it is RFC 8446, section 7.5. There is
//! none with TLS 1.2.
//!
//! The second is said by a mark in the place of the certificate's stapled status: encrypted, seen before anything else
//! is said, and passed over by Go. It is an OCSP response (RFC 6960) of a type of our own.

use std::any::Any;
use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::{digest, hkdf};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, KeyLog, ServerConfig,
    SignatureScheme,
};

use crate::limits::MAX_MARKED;

/// What a TLS connection is known by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    /// To both of its ends, and to nobody else.
    pub key: [u8; 32],
    /// The server's certificate came with the mark: it is a frps of ours that knows `key`, or somebody who passes for
    /// one.
    pub is_marked: bool,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Channel");
        shown.field("is_marked", &self.is_marked);
        shown.finish_non_exhaustive()
    }
}

/// RFC 9266, section 2.
pub(crate) const LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// `OCSPResponse { successful, { 2.25.<a UUID of ours>, "frps" } }`
const MARK: &[u8] = &[
    0x30, 0x23, 0x0a, 0x01, 0x00, 0xa0, 0x1e, 0x30, 0x1c, 0x06, 0x14, 0x69, 0x83, 0xc7, 0xd5, 0xa1,
    0xf9, 0xc6, 0xb4, 0xe2, 0x95, 0xb3, 0xd8, 0xa7, 0xe1, 0xf4, 0xc9, 0x92, 0x8d, 0x86, 0x5b, 0x04,
    0x04, 0x66, 0x72, 0x70, 0x73,
];

/// The same TLS for a server that knows what its connections are known by, and says so by the mark.
#[must_use]
pub fn marked(config: &ServerConfig) -> Arc<ServerConfig> {
    let mut config = config.clone();
    config.cert_resolver = Arc::new(Marking(config.cert_resolver));
    config.key_log = Arc::new(Exporter);
    Arc::new(config)
}

#[derive(Debug)]
struct Marking(Arc<dyn ResolvesServerCert>);

impl ResolvesServerCert for Marking {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut key = CertifiedKey::clone(&*self.0.resolve(hello)?);
        key.ocsp = Some(MARK.to_vec());
        Some(Arc::new(key))
    }

    fn only_raw_public_keys(&self) -> bool {
        self.0.only_raw_public_keys()
    }
}

/// Has a client see the mark, and know what its connections are known by.
pub(super) fn watch(config: &mut ClientConfig, verifier: Arc<dyn ServerCertVerifier>) {
    let verifier = Arc::new(Watching(verifier));
    config.dangerous().set_certificate_verifier(verifier);
    config.key_log = Arc::new(Exporter);
}

/// Certificates that came with the mark when they were verified last, by hash: a session that is resumed has the
/// certificate of the one before, and nothing is verified. The oldest goes.
static MARKED: Mutex<VecDeque<[u8; 32]>> = Mutex::new(VecDeque::new());

fn remember(certificate: &CertificateDer<'_>, is_marked: bool) {
    let hash = hash(certificate);
    let mut marked = MARKED.lock().unwrap_or_else(PoisonError::into_inner);
    marked.retain(|other| *other != hash);
    if is_marked {
        marked.truncate(MAX_MARKED - 1);
        marked.push_front(hash);
    }
}

/// Whether who has shown these has shown the mark with them.
pub(super) fn is_marked(certificates: Option<&[CertificateDer<'_>]>) -> bool {
    let Some([first, ..]) = certificates else {
        return false;
    };
    let marked = MARKED.lock().unwrap_or_else(PoisonError::into_inner);
    marked.contains(&hash(first))
}

/// The same of what quinn has for an identity.
pub(crate) fn is_marked_identity(identity: Option<Box<dyn Any>>) -> bool {
    let certificates = identity.and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    certificates.is_some_and(|certificates| is_marked(Some(&certificates)))
}

fn hash(certificate: &CertificateDer<'_>) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, certificate).as_ref());
    out
}

#[derive(Debug)]
struct Watching(Arc<dyn ServerCertVerifier>);

impl ServerCertVerifier for Watching {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        remember(end_entity, ocsp_response == MARK);
        self.0
            .verify_server_cert(end_entity, intermediates, server_name, &[], now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.0.requires_raw_public_keys()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.0.root_hint_subjects()
    }
}

thread_local! {
    /// Of the handshake that this thread has just taken a step of.
    static EXPORTED: Cell<Option<[u8; 32]>> = const { Cell::new(None) };
}

/// What the step of a handshake, which has just been taken on this thread, has given; before one it is to be
/// forgotten by this, too.
pub(super) fn exported() -> Option<[u8; 32]> {
    EXPORTED.take()
}

/// Sees the secret of a handshake that nothing else tells.
#[derive(Debug)]
struct Exporter;

impl KeyLog for Exporter {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        if self.will_log(label) {
            EXPORTED.set(export(secret));
        }
    }

    fn will_log(&self, label: &str) -> bool {
        label == "EXPORTER_SECRET"
    }
}

/// RFC 8446, section 7.5, for an empty context; `None` for a hash that no cipher suite of TLS 1.3 has.
fn export(secret: &[u8]) -> Option<[u8; 32]> {
    let (algorithm, hashed) = match secret.len() {
        32 => (hkdf::HKDF_SHA256, &digest::SHA256),
        48 => (hkdf::HKDF_SHA384, &digest::SHA384),
        _ => return None,
    };
    let nothing = digest::digest(hashed, b"");
    let nothing = nothing.as_ref();
    let mut derived = [0; 48];
    let derived = derived.get_mut(..secret.len())?;
    expand(algorithm, secret, LABEL, nothing, derived)?;
    let mut key = [0; 32];
    expand(algorithm, derived, b"exporter", nothing, &mut key)?;
    Some(key)
}

/// `HKDF-Expand-Label` of RFC 8446, section 7.1.
fn expand(
    algorithm: hkdf::Algorithm,
    secret: &[u8],
    label: &[u8],
    context: &[u8],
    out: &mut [u8],
) -> Option<()> {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let label = [b"tls13 ", label].concat();
    let info: [&[u8]; 5] = [
        &u16::try_from(out.len()).ok()?.to_be_bytes(),
        &[u8::try_from(label.len()).ok()?],
        &label,
        &[u8::try_from(context.len()).ok()?],
        context,
    ];
    let secret = hkdf::Prk::new_less_safe(algorithm, secret);
    let expanded = secret.expand(&info, Length(out.len())).ok()?;
    expanded.fill(out).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::tls::{TlsFiles, client_config, server_config};

    /// rustls's own exporter, of a buffered connection, is the judge.
    #[test]
    fn what_a_connection_is_known_by_is_what_rustls_exports() {
        let files = TlsFiles::default();
        let server = marked(&server_config(&files).unwrap());
        let client = client_config(&files).unwrap();
        let mut ends = (
            rustls::ClientConnection::new(client, "frps".try_into().unwrap()).unwrap(),
            rustls::ServerConnection::new(server).unwrap(),
        );
        let mut known = (None, None);
        let mut wire = Vec::new();
        for _ in 0..4 {
            while ends.0.wants_write() {
                ends.0.write_tls(&mut wire).unwrap();
            }
            let mut read = wire.as_slice();
            while !read.is_empty() {
                ends.1.read_tls(&mut read).unwrap();
            }
            exported();
            ends.1.process_new_packets().unwrap();
            known.1 = known.1.or_else(exported);
            wire.clear();
            while ends.1.wants_write() {
                ends.1.write_tls(&mut wire).unwrap();
            }
            let mut read = wire.as_slice();
            while !read.is_empty() {
                ends.0.read_tls(&mut read).unwrap();
            }
            exported();
            ends.0.process_new_packets().unwrap();
            known.0 = known.0.or_else(exported);
            wire.clear();
        }
        let judge = ends.0.export_keying_material([0; 32], LABEL, Some(b""));
        assert_eq!(known.0, Some(judge.unwrap()));
        assert_eq!(known.1, known.0);
        assert!(is_marked(ends.0.peer_certificates()));
    }

    #[test]
    fn a_server_that_does_not_say_so_is_not_marked() {
        let one = CertificateDer::from(vec![1, 2, 3]);
        remember(&one, true);
        assert!(is_marked(Some(std::slice::from_ref(&one))));
        remember(&one, false);
        assert!(!is_marked(Some(std::slice::from_ref(&one))));
        assert!(!is_marked(None));
    }
}
