//! Token digests: what `privilege_key` and `sign_key` hold (frp `pkg/util/util/util.go`).

use std::fmt::Write as _;

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

/// Whether `presented` is [`token_key`] of `token` and `timestamp`. The comparison takes the same
/// time wherever the first difference is.
pub fn verify_token_key(token: &str, timestamp: i64, presented: &str) -> bool {
    verify_slices_are_equal(token_key(token, timestamp).as_bytes(), presented.as_bytes()).is_ok()
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
