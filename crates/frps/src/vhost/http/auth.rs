//! User and password of HTTP's Basic scheme.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use frp_config::Secret;
use hyper::header::HeaderValue;

/// The scheme, a space behind it (frp `pkg/util/http/http.go`: ParseBasicAuth).
const SCHEME: &[u8] = b"Basic ";

/// What a user says who it is.
pub(crate) struct Basic {
    both: Vec<u8>,
    /// Where the first colon is.
    colon: usize,
}

/// What a proxy demands of its users (`httpUser`, `httpPassword`).
#[derive(Debug)]
pub(crate) struct Credentials {
    user: String,
    password: Secret,
}

impl Basic {
    /// Reads the value of `Authorization` or `Proxy-Authorization`. `None` where it is of another
    /// scheme or malformed.
    pub(crate) fn parse(header: &HeaderValue) -> Option<Self> {
        let (scheme, encoded) = header.as_bytes().split_at_checked(SCHEME.len())?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return None;
        }
        let both = STANDARD.decode(encoded).ok()?;
        let colon = both.iter().position(|byte| *byte == b':')?;
        Some(Self { both, colon })
    }

    /// The user, for routing; empty where it is not UTF-8.
    pub(crate) fn user(&self) -> &str {
        let user = self.both.get(..self.colon).unwrap_or_default();
        std::str::from_utf8(user).unwrap_or_default()
    }

    fn split(&self) -> (&[u8], &[u8]) {
        (
            self.both.get(..self.colon).unwrap_or_default(),
            self.both.get(self.colon + 1..).unwrap_or_default(),
        )
    }
}

impl Credentials {
    /// `None` where neither is set: everybody may come.
    pub(crate) fn of(user: &str, password: &str) -> Option<Self> {
        let demanded = !user.is_empty() || !password.is_empty();
        demanded.then(|| Self {
            user: user.to_owned(),
            password: password.into(),
        })
    }

    /// Whether `given` is the one, in a time that does not tell how much of it was right.
    pub(crate) fn admit(&self, given: Option<&Basic>) -> bool {
        let Some(given) = given else { return false };
        let (user, password) = given.split();
        // Both are compared, whatever the first one says.
        let same_user = verify_slices_are_equal(user, self.user.as_bytes()).is_ok();
        let same_password =
            verify_slices_are_equal(password, self.password.expose().as_bytes()).is_ok();
        same_user & same_password
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn basic(user_and_password: &str) -> Option<Basic> {
        let value = format!("bAsIc {}", STANDARD.encode(user_and_password));
        Basic::parse(&HeaderValue::from_str(&value).unwrap())
    }

    #[test]
    fn only_both_are_admitted() {
        let credentials = Credentials::of("ann", "pass:word").unwrap();
        assert!(credentials.admit(basic("ann:pass:word").as_ref()));
        for wrong in ["ann:pass", "ann:", "ben:pass:word", ":", "ann"] {
            assert!(!credentials.admit(basic(wrong).as_ref()), "{wrong}");
        }
        assert!(!credentials.admit(None));
        assert!(Credentials::of("", "").is_none());
        assert!(Credentials::of("", "only").is_some());
    }

    #[test]
    fn other_schemes_and_rubbish_are_nobody() {
        for value in [
            "",
            "Basic",
            "Basic ",
            "Bearer YTpi",
            "Basic a",
            "Basic YTpi=",
        ] {
            assert!(
                Basic::parse(&HeaderValue::from_static(value)).is_none(),
                "{value}"
            );
        }
        assert_eq!(basic("ann:x").unwrap().user(), "ann");
    }
}
