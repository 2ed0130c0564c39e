//! What a certificate says of itself, for people to read: who it is for, who vouches for it, from when until when
//! (RFC 5280, section 4.1). Nothing is checked here.

use std::time::Duration;

use rustls::pki_types::CertificateDer;

use super::validity::{self, next, value};

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
/// 2.5.4.3 and 2.5.4.10: the common name and the organisation.
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const ORGANISATION: &[u8] = &[0x55, 4, 10];

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Who vouches for it; empty where it names nobody. As text that may steer a terminal.
    pub issuer: String,
    /// Who it is for; the same.
    pub subject: String,
    /// It names itself as who vouches for it, or nobody, as those do that frps makes.
    pub by_itself: bool,
    /// Both ends of its time, behind 1970.
    pub validity: Option<(Duration, Duration)>,
}

/// Reads a certificate; `None`: it is none.
#[must_use]
pub fn shown(der: &[u8]) -> Option<Shown> {
    let mut cert = der;
    let mut whole = value(&mut cert, SEQUENCE)?;
    let mut signed = value(&mut whole, SEQUENCE)?;
    if signed.first() == Some(&VERSION) {
        next(&mut signed)?;
    }
    // The serial number and the algorithm.
    next(&mut signed)?;
    next(&mut signed)?;
    let issuer = value(&mut signed, SEQUENCE)?;
    next(&mut signed)?;
    let subject = value(&mut signed, SEQUENCE)?;
    let ends = validity::ends(&CertificateDer::from(der));
    Some(Shown {
        by_itself: issuer == subject || issuer.is_empty(),
        issuer: name(issuer),
        subject: name(subject),
        validity: ends.map(|(from, until)| (Duration::from_secs(from), Duration::from_secs(until))),
    })
}

/// The common name, and the organisation where it says more.
fn name(mut parts: &[u8]) -> String {
    let (mut common, mut organisation) = (None, None);
    while let Some(mut set) = value(&mut parts, SET) {
        while let Some(mut pair) = value(&mut set, SEQUENCE) {
            let (Some((_, kind)), Some((_, text))) = (next(&mut pair), next(&mut pair)) else {
                break;
            };
            let text = String::from_utf8_lossy(text).into_owned();
            match kind {
                COMMON_NAME => common = Some(text),
                ORGANISATION => organisation = Some(text),
                _ => {}
            }
        }
    }
    match (common, organisation) {
        (Some(common), Some(organisation)) if common != organisation => {
            format!("{common} ({organisation})")
        }
        (common, organisation) => common.or(organisation).unwrap_or_default(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    #[test]
    fn a_certificate_says_who_vouches_for_it() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "Inspection CA");
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Example");
        let cert = params.self_signed(&key).unwrap();
        let found = shown(cert.der()).unwrap();
        assert_eq!(found.issuer, "Inspection CA (Example)");
        assert!(found.by_itself && found.validity.is_some());
        for end in 0..cert.der().len() {
            assert_eq!(shown(&cert.der()[..end]), None);
        }
    }
}
