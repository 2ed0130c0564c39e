//! What do the fuzz targets try of this crate that nobody else may call? A finding is a panic.

use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};

use crate::resolve::files;
use crate::tls::validity;

/// The machine's files about names: `/etc/hosts` and `/etc/resolv.conf`.
pub fn name_files(text: &str) {
    let _ = files::hosts_in(text, "frps.example");
    let names = files::SearchList::parse(text).names("frps");
    assert!(names.iter().any(|name| name == "frps"));
}

/// A certificate, in DER.
pub fn certificate(der: &[u8]) {
    let cert = CertificateDer::from(der);
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_700_000_000));
    let left = validity::ends_soon(&cert, now);
    assert!(
        left.is_none()
            || validity::check(&cert, UnixTime::since_unix_epoch(Duration::MAX)).is_err()
    );
    let _ = validity::check(&cert, now);
}
