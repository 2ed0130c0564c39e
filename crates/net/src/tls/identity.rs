//! Who is the server? Its key, by fingerprint; what a client asks of it; and a key with a certificate for a server
//! that has none.

use std::fmt;
use std::sync::Arc;

use frp_proto::fingerprint::Fingerprint;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, CommonState, DigitallySignedStruct, Error, SignatureScheme};

use super::validity;

/// Says whether a key is that of the server: the client's own knowledge, which no certificate has.
pub trait JudgesKeys: fmt::Debug + Send + Sync {
    /// Called within the handshake, so it must not block. After a no the handshake has failed.
    fn is_servers(&self, key: Fingerprint) -> bool;
}

/// What a client asks of a server beside what a CA file says.
#[derive(Debug, Clone, Default)]
pub struct Checks {
    /// The CAs of this machine must vouch for it, with the name.
    pub by_system: bool,
    /// Its key must please this one, too.
    pub judge: Option<Arc<dyn JudgesKeys>>,
}

/// The key of a certificate; `None` where it is none.
#[must_use]
pub fn key_of(cert: &CertificateDer<'_>) -> Option<Fingerprint> {
    validity::public_key(cert).map(Fingerprint::of_key)
}

/// The key of the end of a connection that `state` belongs to, which shows a certificate.
pub(super) fn key_of_peer(state: &CommonState) -> Option<Fingerprint> {
    key_of(state.peer_certificates()?.first()?)
}

/// A new key and a certificate that it signs itself, which has no end.
pub(super) fn made() -> Result<(rcgen::KeyPair, rcgen::Certificate), rcgen::Error> {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
    let cert = rcgen::CertificateParams::default().self_signed(&key)?;
    Ok((key, cert))
}

/// Asks the judge, after those whom certificates are checked by, if any.
#[derive(Debug)]
pub(super) struct Judged {
    judge: Arc<dyn JudgesKeys>,
    before: Option<Arc<dyn ServerCertVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl Judged {
    pub(super) fn new(
        judge: Arc<dyn JudgesKeys>,
        before: Option<Arc<dyn ServerCertVerifier>>,
        provider: Arc<CryptoProvider>,
    ) -> Self {
        Self {
            judge,
            before,
            provider,
        }
    }
}

impl ServerCertVerifier for Judged {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(before) = &self.before {
            before.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            )?;
        }
        let key = key_of(end_entity).ok_or(CertificateError::BadEncoding)?;
        match self.judge.is_servers(key) {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    // A certificate is public: only this shows that its key is there.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let known = &self.provider.signature_verification_algorithms;
        known.supported_schemes()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};

    use super::*;

    #[test]
    fn a_renewed_certificate_of_the_same_key_keeps_its_fingerprint() {
        let key = KeyPair::generate().unwrap();
        let of_key = Fingerprint::of_key(&key.subject_public_key_info());
        for name in ["frps.example", "other.example"] {
            let cert = CertificateParams::new([name.to_owned()]).unwrap();
            let cert = cert.self_signed(&key).unwrap();
            assert_eq!(key_of(cert.der()), Some(of_key));
        }
        let (other, cert) = made().unwrap();
        let of_other = Fingerprint::of_key(&other.subject_public_key_info());
        assert_eq!(key_of(cert.der()), Some(of_other));
        assert_ne!(of_other, of_key);
        for cut in 0..cert.der().len() {
            let _ = key_of(&CertificateDer::from(cert.der()[..cut].to_vec()));
        }
    }
}
