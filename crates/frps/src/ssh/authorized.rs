//! Which keys may log in, and as whom? A file as OpenSSH's `authorized_keys`, read for each key that is shown, as in
//! frp: what its owner writes counts at once.
//!
//! The comment of a key is the user. Options in front of a key are looked at by neither: a line for a key that may do
//! less elsewhere lets it in here. A line that is no key is no reason to refuse the others; in frp one behind the
//! last key, even an empty one, refuses all.

use std::path::Path;

use frp_log::{Log, error, warn};
use frp_net::go_text::go_text;
use frp_process::file;
use russh::keys::PublicKey;
use tokio::task::spawn_blocking;

/// As whom the owner of `key` comes; `None` where the file has no such key.
pub(super) async fn user_of(file: &Path, key: &PublicKey, log: &Log) -> Option<String> {
    let path = file.to_owned();
    let text = match spawn_blocking(move || file::read(&path)).await {
        Ok(Ok(text)) => text,
        Ok(Err(e)) => {
            error!(
                log,
                "load authorized keys file error: open {}: {}",
                file.display(),
                go_text(&e)
            );
            return None;
        }
        Err(_) => return None,
    };
    let text = String::from_utf8_lossy(&text);
    let mut found = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match key_of(line) {
            // Of several the last one counts, as in frp.
            Some((known, user)) if known.key_data() == key.key_data() => {
                found = Some(user.to_owned())
            }
            Some(_) => {}
            None => warn!(log, "{}:{number}: no public key, left out", file.display()),
        }
    }
    found
}

/// Key and comment of a line, behind its options.
pub(crate) fn key_of(line: &str) -> Option<(PublicKey, &str)> {
    parse(line).or_else(|| parse(behind_options(line)?))
}

fn parse(line: &str) -> Option<(PublicKey, &str)> {
    let (kind, rest) = line.split_once([' ', '\t'])?;
    let rest = rest.trim_start();
    let (data, comment) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    let key = PublicKey::from_openssh(&format!("{kind} {data}")).ok()?;
    Some((key, comment.trim()))
}

/// What stands behind the first space that is in no quotes.
fn behind_options(line: &str) -> Option<&str> {
    let (mut quoted, mut escaped) = (false, false);
    let end = line.find(|c: char| {
        match c {
            '"' if !escaped => quoted = !quoted,
            ' ' | '\t' if !quoted => return true,
            _ => {}
        }
        escaped = c == '\\';
        false
    })?;
    Some(line.get(end..)?.trim_start())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn user(line: &str) -> Option<String> {
        key_of(line).map(|(_, user)| user.to_owned())
    }

    #[test]
    fn the_comment_is_the_user_whatever_stands_in_front() {
        assert_eq!(user(KEY).unwrap(), "");
        assert_eq!(user(&format!("{KEY} alice")).unwrap(), "alice");
        assert_eq!(
            user(&format!("{KEY}\talice of  office ")).unwrap(),
            "alice of  office"
        );
        assert_eq!(user(&format!("restrict,pty {KEY} bob")).unwrap(), "bob");
        let options = r#"command="a \"b\" c",no-pty"#;
        assert_eq!(user(&format!("{options} \t{KEY} carol")).unwrap(), "carol");
    }

    #[test]
    fn what_is_no_key_is_none() {
        for line in [
            "x",
            "ssh-ed25519",
            "ssh-ed25519 AAAA",
            "a b c",
            "\"a b c",
            "ssh-rsa!",
        ] {
            assert_eq!(user(line), None, "{line}");
        }
    }
}
