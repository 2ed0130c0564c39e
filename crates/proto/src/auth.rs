//! Token digests: what `privilege_key` and `sign_key` hold (frp `pkg/util/util/util.go`); a name and a
//! password that are asked for.

use std::fmt::{self, Write as _};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use md5::{Digest as _, Md5};

/// Lower-case hexadecimal MD5 of `token` followed by `timestamp` (Unix seconds) in decimal.
///
/// Used with the auth token for logins, work connections and heartbeats, and with a proxy's
/// `secretKey` for visitors.
pub fn token_key(token: &str, timestamp: i64) -> String {
    let mut hash = Md5::new();
    hash.update(token.as_bytes());
    hash.update(timestamp.to_string().as_bytes());
    let mut hex = String::with_capacity(32);
    for byte in hash.finalize() {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// A client of ours that does not know yet whose server it logs in to shows both frp's digest, in case it is frp's,
/// and that it proves the token by a challenge. The digest's time is this much later than the clock then, which frp
/// does not mind, and which no server of ours takes without that proof: so nobody who has seen the login can
/// repeat it there as one of frp's.
pub const OURS_FROM: i64 = 1 << 40;

/// Whether `presented` is [`token_key`] of `token` and `timestamp`. The comparison takes the same
/// time wherever the first difference is.
pub fn verify_token_key(token: &str, timestamp: i64, presented: &str) -> bool {
    verify_slices_are_equal(token_key(token, timestamp).as_bytes(), presented.as_bytes()).is_ok()
}

/// User name and password that are asked for; nothing where both are empty.
#[derive(Clone, Default)]
pub struct UserPassword {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl UserPassword {
    /// Whether anybody may come in.
    pub fn is_open(&self) -> bool {
        self.user.is_empty() && self.password.is_empty()
    }

    /// Whether these are the ones, in a time that does not tell how much of them was right.
    pub fn accepts(&self, user: &[u8], password: &[u8]) -> bool {
        let same_user = verify_slices_are_equal(user, self.user.as_bytes()).is_ok();
        let same_password = verify_slices_are_equal(password, self.password.as_bytes()).is_ok();
        same_user & same_password
    }
}

/// Neither is shown.
impl fmt::Debug for UserPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserPassword")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_digest_is_accepted() {
        let key = token_key("12345678", 1);
        assert_eq!(key, "feb8dc0697a2e0a947c6e20dc4ec3ebc");
        assert!(verify_token_key("12345678", 1, &key));
        assert!(!verify_token_key("12345678", 2, &key));
        assert!(!verify_token_key("12345679", 1, &key));
        assert!(!verify_token_key("12345678", 1, &key.to_uppercase()));
        assert!(!verify_token_key("12345678", 1, &key[..31]));
        assert!(!verify_token_key("12345678", 1, ""));
    }
}
