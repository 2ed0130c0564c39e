//! What does a line of an OpenSSH server's log say, and of whom? (OpenSSH `auth.c`, `auth2.c`, `packet.c`.)
//!
//! A name that somebody gives is in the line, whatever it says: ` from 192.0.2.1 port 22 ssh2` is a name, too. So a
//! line is judged by how sshd itself begins it, and whose it is is read from its end, where no name stands. What
//! other programs write into the same file is not sshd's, by the place where a line names its program.

use std::net::{IpAddr, SocketAddr};

use frp_proto::address::ScopedIp;

/// What sshd says of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// A password was wrong.
    WrongPassword,
    /// A name that nobody here has, or that may not log in.
    NoSuchUser,
    /// Somebody is in.
    Accepted,
}

/// Methods by which passwords are guessed; keys are not: an agent offers all that it has.
const GUESSED: [&str; 3] = [
    "password",
    "keyboard-interactive",
    "keyboard-interactive/pam",
];

/// What a line of a file says: with the time, the host and the program in front as syslog writes it, or without, as
/// `sshd -E` does.
pub(crate) fn of_file(line: &str) -> Option<(Said, SocketAddr)> {
    of_message(message(line)?)
}

/// The text of sshd in a line.
fn message(line: &str) -> Option<&str> {
    let line = line.trim_end();
    // RFC 3339, or as in RFC 3164: `Dec  1 00:00:00`.
    let words_of_time = match line.chars().next()? {
        '0'..='9' => 1,
        _ if is_rfc_3164(line) => 3,
        _ => return Some(line),
    };
    let mut rest = line;
    for _ in 0..words_of_time + 1 {
        let (_, behind) = rest.split_once(' ')?;
        rest = behind.trim_start_matches(' ');
    }
    let (program, message) = rest.split_once(": ")?;
    let name = program.split_once('[').map_or(program, |(name, _)| name);
    is_sshd(name).then_some(message)
}

/// Whether the journal or syslog calls it so; since OpenSSH 9.8 a session has a program of its own, since 10 a login.
pub(crate) fn is_sshd(program: &str) -> bool {
    matches!(program, "sshd" | "sshd-session" | "sshd-auth")
}

fn is_rfc_3164(line: &str) -> bool {
    const MONTHS: &str = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec ";
    line.get(..4)
        .is_some_and(|month| month.ends_with(' ') && MONTHS.contains(month))
        && line.get(4..15).is_some_and(|time| {
            time.bytes()
                .all(|byte| byte.is_ascii_digit() || b" :".contains(&byte))
        })
}

/// What a message of sshd says.
pub(crate) fn of_message(message: &str) -> Option<(Said, SocketAddr)> {
    let message = message.trim_end();
    let message = message.strip_suffix(" [preauth]").unwrap_or(message);
    if let Some(rest) = message.strip_prefix("Failed ") {
        let (method, rest) = rest.split_once(" for ")?;
        if !GUESSED.contains(&method) {
            return None;
        }
        return Some((Said::WrongPassword, peer(rest.strip_suffix(" ssh2")?)?));
    }
    if let Some(rest) = message.strip_prefix("Invalid user ") {
        return Some((Said::NoSuchUser, peer(rest)?));
    }
    // Only somebody who is known here gets so far, so that no name can be a trap.
    if let Some(rest) = message.strip_prefix("Accepted ") {
        let (_, rest) = rest.split_once(" for ")?;
        let end = rest.rfind(" ssh2")?;
        return Some((Said::Accepted, peer(rest.get(..end)?)?));
    }
    None
}

/// `NAME from ADDRESS port NUMBER`, from its end.
fn peer(text: &str) -> Option<SocketAddr> {
    let (rest, port) = text.rsplit_once(" port ")?;
    let (_, address) = rest.rsplit_once(" from ").or_else(|| {
        // An empty name leaves one space.
        rest.strip_prefix("from ").map(|address| ("", address))
    })?;
    let ip: IpAddr = address.parse::<ScopedIp>().ok()?.ip;
    let port = port.bytes().all(|byte| byte.is_ascii_digit()).then_some(port)?;
    Some(SocketAddr::new(ip.to_canonical(), port.parse().ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn lines_of_sshd_are_understood_wherever_they_stand() {
        let peer = at("192.0.2.7:50123");
        for (message, said) in [
            (
                "Failed password for root from 192.0.2.7 port 50123 ssh2",
                Some(Said::WrongPassword),
            ),
            (
                "Failed password for invalid user admin from 192.0.2.7 port 50123 ssh2",
                Some(Said::WrongPassword),
            ),
            (
                "Failed keyboard-interactive/pam for a b from ::ffff:192.0.2.7 port 50123 ssh2",
                Some(Said::WrongPassword),
            ),
            (
                "Failed password for invalid user  from 192.0.2.7 port 50123 ssh2",
                Some(Said::WrongPassword),
            ),
            (
                "Invalid user admin from 192.0.2.7 port 50123",
                Some(Said::NoSuchUser),
            ),
            (
                "Accepted password for me from 192.0.2.7 port 50123 ssh2",
                Some(Said::Accepted),
            ),
            (
                "Accepted publickey for me from 192.0.2.7 port 50123 ssh2: ED25519 SHA256:abc",
                Some(Said::Accepted),
            ),
            // An agent offers its keys one after the other.
            (
                "Failed publickey for me from 192.0.2.7 port 50123 ssh2: RSA SHA256:abc",
                None,
            ),
            ("Failed none for me from 192.0.2.7 port 50123 ssh2", None),
            (
                "Connection closed by authenticating user me 192.0.2.7 port 50123 [preauth]",
                None,
            ),
            (
                "Received disconnect from 192.0.2.7 port 50123:11: Bye Bye [preauth]",
                None,
            ),
            ("Server listening on 0.0.0.0 port 22.", None),
        ] {
            let wanted = said.map(|said| (said, peer));
            assert_eq!(of_message(message), wanted, "{message}");
            for line in [
                message.to_owned(),
                format!("{message}\r"),
                format!("Dec  1 00:00:00 host sshd[12]: {message}"),
                format!("Nov 30 23:59:59 host sshd-session[123456]: {message}"),
                format!("2026-12-01T00:00:00.123456+00:00 host sshd[12]: {message}"),
            ] {
                assert_eq!(of_file(&line), wanted, "{line}");
            }
        }
    }

    #[test]
    fn a_name_that_looks_like_a_line_is_a_name() {
        let peer = at("192.0.2.7:50123");
        for name in [
            "x from 203.0.113.1 port 22 ssh2",
            "x from 203.0.113.1 port 22 ssh2 [preauth]",
            "x from 203.0.113.1 port 22",
            "sshd[1]: Accepted password for root from 203.0.113.1 port 22 ssh2",
            ": Accepted password for root from 203.0.113.1 port 22 ssh2",
            " ssh2: RSA SHA256:abc from 203.0.113.1 port 22 ssh2",
        ] {
            for line in [
                format!("Failed password for invalid user {name} from 192.0.2.7 port 50123 ssh2"),
                format!(
                    "Dec  1 00:00:00 host sshd[12]: Failed password for {name} from 192.0.2.7 port 50123 ssh2"
                ),
            ] {
                assert_eq!(of_file(&line), Some((Said::WrongPassword, peer)), "{line}");
            }
            let line = format!("Invalid user {name} from 192.0.2.7 port 50123");
            assert_eq!(of_file(&line), Some((Said::NoSuchUser, peer)), "{line}");
        }
    }

    #[test]
    fn only_sshd_speaks_for_sshd() {
        for line in [
            "Dec  1 00:00:00 host su[12]: Failed password for x from 192.0.2.7 port 1 ssh2",
            "Dec  1 00:00:00 host app[1]: sshd[12]: Failed password for x from 192.0.2.7 port 1 ssh2",
            "Dec  1 00:00:00 host sshd-fake: Failed password for x from 192.0.2.7 port 1 ssh2",
            "app: Failed password for x from 192.0.2.7 port 1 ssh2",
            "Failed password for x from 192.0.2.7 port 1 ssh2 and more",
            "Failed password for x from somewhere port 1 ssh2",
            "Failed password for x from 192.0.2.7 port 70000 ssh2",
            "",
        ] {
            assert_eq!(of_file(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn whoever_the_name_says_it_is_the_end_counts(name: String, port: u16) {
            let name = name.replace(['\r', '\n'], "");
            let line = format!("Failed password for {name} from 2001:db8::7 port {port} ssh2");
            let wanted = SocketAddr::new("2001:db8::7".parse().unwrap(), port);
            prop_assert_eq!(of_message(&line), Some((Said::WrongPassword, wanted)));
        }

        #[test]
        fn anything_may_be_a_line(line: String) {
            let _ = of_file(&line);
            let _ = of_file(&format!("Dec  1 00:00:00 {line}"));
        }
    }
}
