//! User and password of a web server.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;

/// What requests have to show; nothing where both are empty.
#[derive(Clone)]
pub struct WebLogin {
    user: String,
    password: String,
}

impl WebLogin {
    /// `webServer.user` and `webServer.password`.
    pub fn new(user: &str, password: &str) -> Self {
        Self {
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    /// Whether an `Authorization` header shows user and password, or none are set.
    pub fn admits(&self, header: Option<&HeaderValue>) -> bool {
        let (user, password) = (self.user.as_bytes(), self.password.as_bytes());
        if user.is_empty() && password.is_empty() {
            return true;
        }
        let Some((given_user, given_password)) = header.and_then(basic_auth) else {
            return false;
        };
        // Both are compared, whatever the first one says.
        let same_user = verify_slices_are_equal(&given_user, user).is_ok();
        let same_password = verify_slices_are_equal(&given_password, password).is_ok();
        same_user & same_password
    }
}

/// Neither is shown.
impl fmt::Debug for WebLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebLogin")
    }
}

/// User and password of an `Authorization` header.
fn basic_auth(header: &HeaderValue) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, encoded) = header.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let both = STANDARD.decode(encoded).ok()?;
    let colon = both.iter().position(|byte| *byte == b':')?;
    let (user, password) = both.split_at_checked(colon)?;
    Some((user.to_owned(), password.get(1..)?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(user: &str, password: &str, header: Option<&str>) -> bool {
        let login = WebLogin::new(user, password);
        let header = header.and_then(|text| HeaderValue::from_str(text).ok());
        login.admits(header.as_ref())
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
            Some(basic("ab").as_str()),
            Some(basic("a:").as_str()),
            Some(basic("a:bb").as_str()),
            Some(basic("b:b").as_str()),
        ] {
            assert!(!allowed("a", "b", header), "{header:?}");
        }
    }
}
