//! From when until when a certificate is good (RFC 5280, sections 4.1.2.5 and 4.1). webpki looks only
//! at certificates that somebody else has signed.

use std::time::Duration;

use rustls::CertificateError;
use rustls::pki_types::{CertificateDer, UnixTime};

pub(super) const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// Of `[0] EXPLICIT`, which a certificate of version 1 has not.
const VERSION: u8 = 0xa0;

/// # Errors
/// When `cert` is good no more, or not yet, at `now`, or is none.
pub(crate) fn check(cert: &CertificateDer<'_>, now: UnixTime) -> Result<(), CertificateError> {
    let (from, until) = validity(cert).ok_or(CertificateError::BadEncoding)?;
    if now.as_secs() < from {
        return Err(CertificateError::NotValidYetContext {
            time: now,
            not_before: at(from),
        });
    }
    if now.as_secs() > until {
        return Err(CertificateError::ExpiredContext {
            time: now,
            not_after: at(until),
        });
    }
    Ok(())
}

/// The seconds that are left of a good certificate, where it should have been renewed by now: certbot and
/// its like do so when a third of its time is left, at the latest 30 days before the end.
pub(crate) fn ends_soon(cert: &CertificateDer<'_>, now: UnixTime) -> Option<u64> {
    const LATEST: u64 = 14 * 24 * 60 * 60;
    let (from, until) = validity(cert)?;
    let left = until.checked_sub(now.as_secs())?;
    (left < LATEST && left < until.saturating_sub(from) / 4).then_some(left)
}

/// Both ends of its time, in Unix seconds.
pub(super) fn ends(cert: &CertificateDer<'_>) -> Option<(u64, u64)> {
    validity(cert)
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

/// Both ends in Unix seconds.
fn validity(cert: &[u8]) -> Option<(u64, u64)> {
    let mut cert = cert;
    let mut whole = value(&mut cert, SEQUENCE)?;
    let mut signed = value(&mut whole, SEQUENCE)?;
    if signed.first() == Some(&VERSION) {
        next(&mut signed)?;
    }
    // The serial number, the algorithm and the issuer.
    for _ in 0..3 {
        next(&mut signed)?;
    }
    let mut times = value(&mut signed, SEQUENCE)?;
    Some((time(&mut times)?, time(&mut times)?))
}

/// The SubjectPublicKeyInfo, as it stands in the certificate (RFC 5280, section 4.1).
pub(super) fn public_key(cert: &[u8]) -> Option<&[u8]> {
    let mut cert = cert;
    let mut whole = value(&mut cert, SEQUENCE)?;
    let mut signed = value(&mut whole, SEQUENCE)?;
    if signed.first() == Some(&VERSION) {
        next(&mut signed)?;
    }
    // The serial number, the algorithm, the issuer, the times and the subject.
    for _ in 0..5 {
        next(&mut signed)?;
    }
    let from_here = signed;
    value(&mut signed, SEQUENCE)?;
    let length = from_here.len().checked_sub(signed.len())?;
    from_here.get(..length)
}

/// The tag and the value of the next element of DER, which is taken off `rest`.
pub(super) fn next<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&[tag, first], mut left) = rest.split_first_chunk()?;
    let length = match first {
        0..=0x7f => usize::from(first),
        0x81..=0x83 => {
            let (digits, behind) = left.split_at_checked(usize::from(first - 0x80))?;
            left = behind;
            digits
                .iter()
                .fold(0, |n, &digit| n << 8 | usize::from(digit))
        }
        _ => return None,
    };
    let (value, behind) = left.split_at_checked(length)?;
    *rest = behind;
    Some((tag, value))
}

/// The value of the next element, if that has the tag.
pub(super) fn value<'a>(rest: &mut &'a [u8], wanted: u8) -> Option<&'a [u8]> {
    let (tag, value) = next(rest)?;
    (tag == wanted).then_some(value)
}

/// `YYMMDDhhmmssZ`, or with four digits for the year. A time before 1970 is 1970.
fn time(rest: &mut &[u8]) -> Option<u64> {
    let (tag, text) = next(rest)?;
    let digits = text.strip_suffix(b"Z")?;
    let (year, digits) = match tag {
        UTC_TIME => {
            let (year, digits) = digits.split_at_checked(2)?;
            // Section 4.1.2.5.1.
            match number(year)? {
                year @ 50.. => (1900 + year, digits),
                year => (2000 + year, digits),
            }
        }
        GENERALIZED_TIME => {
            let (year, digits) = digits.split_at_checked(4)?;
            (number(year)?, digits)
        }
        _ => return None,
    };
    let pairs: Vec<i64> = digits.chunks(2).map(number).collect::<Option<_>>()?;
    let &[month @ 1..=12, day, hour, minute, second] = pairs.as_slice() else {
        return None;
    };
    // Days since 1970, in years that begin in March, so that a leap day is the last.
    let year = if month < 3 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    Some(u64::try_from(seconds).unwrap_or(0))
}

fn number(digits: &[u8]) -> Option<i64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls::pki_types::ServerName;
    use rustls::server::danger::ClientCertVerifier as _;

    use super::super::{CaFileOfClients, CaFileOfServer};
    use super::*;

    /// 2026-07-01.
    const NOW: u64 = 1_782_864_000;
    const DAY: u64 = 24 * 60 * 60;

    /// A certificate for `frps.example` that is good in these years, PEM and DER.
    fn certificate(from: i32, until: i32) -> (String, CertificateDer<'static>) {
        let mut params = CertificateParams::new(["frps.example".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 12, 31);
        let cert = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        (cert.pem(), cert.der().clone())
    }

    #[test]
    fn both_ends_are_read() {
        // The second is written with four digits for the year.
        for (from, until, wanted) in [
            (2020, 2026, (1_577_836_800, 1_798_675_200)),
            (1950, 2050, (0, 2_556_057_600)),
            (2000, 2024, (946_684_800, 1_735_603_200)),
        ] {
            let (_, der) = certificate(from, until);
            assert_eq!(validity(&der), Some(wanted), "{from} {until}");
        }
    }

    /// Go's `x509.Certificate.Verify` looks at the time of a certificate that is itself a root, too.
    #[test]
    fn a_listed_certificate_counts_only_in_its_time() {
        let verdicts = |from, until| {
            let (pem, der) = certificate(from, until);
            let file = format!("frp-net-{}-{from}-{until}.pem", std::process::id());
            let file = std::env::temp_dir().join(file);
            std::fs::write(&file, pem).unwrap();
            let server = CaFileOfServer::load(&file).unwrap();
            let client = CaFileOfClients::load(&file).unwrap();
            std::fs::remove_file(&file).unwrap();
            let name = ServerName::try_from("frps.example").unwrap();
            let now = at(NOW);
            (
                server.verify_server_cert(&der, &[], &name, &[], now).err(),
                client.verify_client_cert(&der, &[], now).err(),
            )
        };
        assert_eq!(verdicts(2026, 2026), (None, None));
        let expired = CertificateError::ExpiredContext {
            time: at(NOW),
            not_after: at(NOW - 182 * DAY),
        };
        let expired = Some(rustls::Error::from(expired));
        assert_eq!(verdicts(2020, 2025), (expired.clone(), expired));
        let early = CertificateError::NotValidYetContext {
            time: at(NOW),
            not_before: at(NOW + 184 * DAY),
        };
        let early = Some(rustls::Error::from(early));
        assert_eq!(verdicts(2027, 2030), (early.clone(), early));
    }

    #[test]
    fn the_end_of_a_certificate_is_seen_two_weeks_ahead() {
        let (_, der) = certificate(2020, 2026);
        let end = validity(&der).unwrap().1;
        let left = |before_the_end| ends_soon(&der, at(end - before_the_end));
        assert_eq!(left(15 * DAY), None);
        assert_eq!(left(13 * DAY), Some(13 * DAY));
        assert_eq!(ends_soon(&der, at(end + 1)), None, "that is told otherwise");
        // One that is good for a few days is renewed a few days before.
        let mut params = CertificateParams::new(["frps.example".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2026, 7, 1);
        params.not_after = date_time_ymd(2026, 7, 7);
        let short = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(ends_soon(short.der(), at(NOW + 4 * DAY)), None);
        assert_eq!(ends_soon(short.der(), at(NOW + 5 * DAY)), Some(DAY));
    }

    proptest! {
        #[test]
        fn anything_can_be_a_certificate(at in 0usize..400, bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            let _ = validity(&bytes);
            let (_, der) = certificate(2020, 2030);
            let mut changed = der.to_vec();
            changed.truncate(at);
            changed.extend(&bytes);
            let _ = validity(&changed);
            changed.extend(der.get(at + bytes.len()..).unwrap_or_default());
            let _ = validity(&changed);
        }
    }
}
