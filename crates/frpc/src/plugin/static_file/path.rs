//! From the path of a URL to a path on the disk, and back.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};

/// The bytes that a URL's path stands for. `None`: a `%` without two digits behind it.
pub(crate) fn decode(path: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
                high << 4 | low
            }
            byte => byte,
        });
    }
    Some(decoded)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16)?.try_into().ok()
}

/// A URL's path without `.`, `..` and empty parts; a `/` at the end stays.
pub(crate) fn clean(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let mut clean = vec![b'/'];
    clean.extend(parts.join(&b'/'));
    if path.ends_with(b"/") && clean != b"/" {
        clean.push(b'/');
    }
    clean
}

/// Escapes what a path may not show, as Go's `net/url` does.
pub(crate) fn encode(path: &[u8]) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path {
        if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(byte) {
            encoded.push(char::from(*byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The last part of a path, whether or not a `/` follows it.
pub(crate) fn last(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// Where the clean relative path `below` lies under `root`. `None` if a part of it is no plain
/// name here: `..`, a NUL, or a drive or a backslash where those mean something.
pub(crate) fn local(root: &Path, below: &[u8]) -> Option<PathBuf> {
    let mut local = root.to_owned();
    let parts = below.split(|byte| *byte == b'/');
    for part in parts.filter(|part| !part.is_empty()) {
        let name = os_str(part)?;
        let mut components = Path::new(name).components();
        let plain = components.next() == Some(Component::Normal(name));
        if !plain || components.next().is_some() || part.contains(&0) {
            return None;
        }
        local.push(name);
    }
    Some(local)
}

#[cfg(unix)]
#[allow(clippy::unnecessary_wraps)] // other systems' names are not just bytes
fn os_str(name: &[u8]) -> Option<&OsStr> {
    use std::os::unix::ffi::OsStrExt as _;
    Some(OsStr::from_bytes(name))
}

#[cfg(not(unix))]
fn os_str(name: &[u8]) -> Option<&OsStr> {
    std::str::from_utf8(name).ok().map(OsStr::new)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_decoded() {
        assert_eq!(decode("/a%20b%2fc%FF").unwrap(), b"/a b/c\xff");
        for bad in ["/%", "/%2", "/%zz", "/a%+1"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn paths_are_cleaned() {
        for (path, expected) in [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/a", "/a"),
            ("/a/", "/a/"),
            ("//evil.example/", "/evil.example/"),
            ("/a/./b//c/../d/", "/a/b/d/"),
            ("/../../etc/passwd", "/etc/passwd"),
            ("/a/..", "/"),
            ("/a/../", "/"),
            ("/..", "/"),
            ("/...", "/..."),
        ] {
            assert_eq!(clean(path.as_bytes()), expected.as_bytes(), "{path}");
        }
    }

    #[test]
    fn paths_are_encoded() {
        assert_eq!(encode("/a b?#%é".as_bytes()), "/a%20b%3F%23%25%C3%A9");
        assert_eq!(
            encode(b"$&+,/:;=@-_.~'()*!"),
            "$&+,/:;=@-_.~%27%28%29%2A%21"
        );
    }

    #[test]
    fn nothing_leads_out_of_the_root() {
        let root = Path::new("/srv");
        assert_eq!(local(root, b"").unwrap(), Path::new("/srv"));
        assert_eq!(local(root, b"a/b/").unwrap(), Path::new("/srv/a/b"));
        for bad in [&b".."[..], b"a/../../b", b".", b"a\0b"] {
            assert_eq!(local(root, bad), None);
        }
    }

    #[test]
    fn the_last_part_is_found() {
        assert_eq!(last(b"a/b/"), b"b");
        assert_eq!(last(b"a/b"), b"b");
        assert_eq!(last(b"b"), b"b");
    }
}
