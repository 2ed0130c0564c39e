//! User and password by HTTP's Basic scheme (RFC 7617): shown, demanded and refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use frp_net::limits::WRONG_PASSWORD;
use frp_proto::auth::UserPassword;
use hyper::header::HeaderValue;

/// The scheme, a space behind it (frp `pkg/util/http/http.go`: ParseBasicAuth).
const SCHEME: &[u8] = b"Basic ";

/// The challenge of whoever demands them, as frp words it.
pub const REALM: HeaderValue = HeaderValue::from_static("Basic realm=\"Restricted\"");

/// What somebody says who it is.
pub struct Basic {
    both: Vec<u8>,
    /// Where the first colon is.
    colon: usize,
}

/// What requests have to show; nothing where both are empty.
#[derive(Debug, Clone, Default)]
pub struct Login(UserPassword);

impl Basic {
    /// Reads the value of `Authorization` or `Proxy-Authorization`. `None` where it is of another
    /// scheme or malformed.
    pub fn parse(header: &HeaderValue) -> Option<Self> {
        let (scheme, encoded) = header.as_bytes().split_at_checked(SCHEME.len())?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return None;
        }
        let both = STANDARD.decode(encoded).ok()?;
        let colon = both.iter().position(|byte| *byte == b':')?;
        Some(Self { both, colon })
    }

    /// The user; empty where it is not UTF-8.
    pub fn user(&self) -> &str {
        std::str::from_utf8(self.split().0).unwrap_or_default()
    }

    fn split(&self) -> (&[u8], &[u8]) {
        (
            self.both.get(..self.colon).unwrap_or_default(),
            self.both.get(self.colon + 1..).unwrap_or_default(),
        )
    }
}

impl Login {
    /// User and password of the settings.
    pub fn new(user: &str, password: &str) -> Self {
        Self(UserPassword {
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }

    /// Whether anybody may come in.
    pub fn is_open(&self) -> bool {
        self.0.is_open()
    }

    /// Whether `shown` is right, or none is demanded.
    pub fn admits(&self, shown: Option<&Basic>) -> bool {
        let right = |shown: &Basic| {
            let (user, password) = shown.split();
            self.0.accepts(user, password)
        };
        self.is_open() || shown.is_some_and(right)
    }

    /// As [`admits`](Self::admits), of the value of `Authorization` or `Proxy-Authorization`.
    pub fn admits_header(&self, header: Option<&HeaderValue>) -> bool {
        self.admits(header.and_then(Basic::parse).as_ref())
    }

    /// The same, so that guessing takes its time: what is wrong is answered after [`WRONG_PASSWORD`];
    /// none at all, with which clients begin, at once.
    pub async fn admits_late(&self, header: Option<&HeaderValue>) -> bool {
        let admitted = self.admits_header(header);
        if !admitted && header.is_some() {
            tokio::time::sleep(WRONG_PASSWORD).await;
        }
        admitted
    }

    /// The value of `Authorization` that shows them; `None` where there is nothing to show.
    pub fn shown(&self) -> Option<HeaderValue> {
        if self.is_open() {
            return None;
        }
        let both = STANDARD.encode(format!("{}:{}", self.0.user, self.0.password));
        let mut value = HeaderValue::try_from(format!("Basic {both}")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(user: &str, password: &str, header: Option<&str>) -> bool {
        let login = Login::new(user, password);
        let header = header.and_then(|text| HeaderValue::from_str(text).ok());
        login.admits_header(header.as_ref())
    }

    fn basic(both: &str) -> String {
        format!("Basic {}", STANDARD.encode(both))
    }

    #[test]
    fn passwords() {
        assert!(allowed("", "", None));
        assert!(allowed("a", "b:c", Some(&basic("a:b:c"))));
        assert!(allowed(
            "a",
            "b",
            Some(&basic("a:b").replace("Basic", "bASIC"))
        ));
        assert!(allowed("", "b", Some(&basic(":b"))));
        for header in [
            None,
            Some(""),
            Some("Basic"),
            Some("Basic !!!"),
            Some("Bearer YTpi"),
            Some("Basic YTpi="),
            Some("Basic a"),
            Some(basic("ab").as_str()),
            Some(basic("a:").as_str()),
            Some(basic("a:bb").as_str()),
            Some(basic("b:b").as_str()),
        ] {
            assert!(!allowed("a", "b", header), "{header:?}");
        }
    }
}
