//! What does a line of an OpenSSH server's log say, and of whom? (OpenSSH `auth.c`: auth_log, auth_maxtries_exceeded;
//! `auth2.c`, `auth-pam.c`, `packet.c`.)
//!
//! A name that somebody gives is in the line, whatever it says: ` from 192.0.2.1 port 22 ssh2` is a name, too. So a
//! line is judged by how sshd itself begins it, and whose it is is read from its end, where no name stands. What
//! other programs write into the same file is not sshd's, by the place where a line names its program.

use std::net::{IpAddr, SocketAddr};

use frp_proto::address::ScopedIp;

/// What sshd says of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) said: Said,
    /// Where the connection comes from, as sshd sees it.
    pub(crate) peer: Option<SocketAddr>,
    /// How often it says so: syslog counts what is the same.
    pub(crate) times: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// A password was wrong.
    WrongPassword,
    /// The answer to a question was, as which passwords are asked for, too. PAM has perhaps said so already.
    WrongAnswer,
    /// The same in the words of PAM, without a port: it is of the connection of the same process.
    Pam,
    /// A name that nobody here has, or that may not log in. What is wrong with its password is said as well.
    NoSuchUser,
    /// Somebody is in.
    Accepted,
    /// The connection has ended, or does so now.
    Ended,
}

/// How often syslog may say that it was said: more than a connection can have.
const MAX_TIMES: u32 = 100;

/// What sshd says by PAM of passwords (Linux-PAM and OpenPAM `pam_strerror`).
const PAM_REFUSALS: [&str; 3] = [
    "Authentication failure for ",
    "Authentication error for ",
    "User not known to the underlying authentication module for ",
];

/// What a line of a file says, and which process, 0 for one that is not named: with the time, the host and the program
/// in front as syslog writes it, or without, as `sshd -E` does.
pub(crate) fn of_file(line: &str) -> Option<(u32, Line)> {
    let (process, message) = message(line)?;
    Some((process, of_message(message)?))
}

/// The text of sshd in a line.
fn message(line: &str) -> Option<(u32, &str)> {
    let line = line.trim_end();
    // RFC 3339, or as in RFC 3164: `Dec  1 00:00:00`.
    let words_of_time = match line.chars().next()? {
        '0'..='9' => 1,
        _ if is_rfc_3164(line) => 3,
        _ => return Some((0, line)),
    };
    let mut rest = line;
    for _ in 0..words_of_time + 1 {
        let (_, behind) = rest.split_once(' ')?;
        rest = behind.trim_start_matches(' ');
    }
    let (program, message) = rest.split_once(": ")?;
    let (name, process) = match program.split_once('[') {
        Some((name, process)) => (name, process.strip_suffix(']')?.parse().ok()?),
        None => (program, 0),
    };
    is_sshd(name).then_some((process, message))
}

/// Whether the journal or syslog calls it so; since OpenSSH 9.8 a session has a program of its own, since 10 a login.
pub(crate) fn is_sshd(program: &str) -> bool {
    PROGRAMS.contains(&program)
}

/// See [`is_sshd`].
pub(crate) const PROGRAMS: [&str; 3] = ["sshd", "sshd-session", "sshd-auth"];

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
pub(crate) fn of_message(message: &str) -> Option<Line> {
    let (times, message) = repeated(message.trim_end());
    let message = message.strip_suffix(" [preauth]").unwrap_or(message);
    let (said, peer) = judge(message)?;
    Some(Line { said, peer, times })
}

/// rsyslog writes so what comes again and again, as Ubuntu has it set; no message of sshd begins like it.
fn repeated(message: &str) -> (u32, &str) {
    let counted = || {
        let rest = message.strip_prefix("message repeated ")?;
        let (times, rest) = rest.split_once(" times: [ ")?;
        let times: u32 = times.parse().ok()?;
        Some((times.min(MAX_TIMES), rest.strip_suffix(']')?))
    };
    counted().unwrap_or((1, message))
}

fn judge(message: &str) -> Option<(Said, Option<SocketAddr>)> {
    if let Some(rest) = message.strip_prefix("Failed ") {
        let (method, rest) = rest.split_once(" for ")?;
        let rest = rest.strip_suffix(" ssh2");
        return match method {
            "password" => Some((Said::WrongPassword, Some(named_peer(rest?)?))),
            method if method.starts_with("keyboard-interactive") => {
                Some((Said::WrongAnswer, Some(named_peer(rest?)?)))
            }
            // A key is no guess: an agent offers all that it has.
            _ => None,
        };
    }
    if let Some(rest) = message.strip_prefix("Invalid user ") {
        return Some((Said::NoSuchUser, Some(named_peer(rest)?)));
    }
    if let Some(rest) = message.strip_prefix("error: PAM: ") {
        let refuses = PAM_REFUSALS.iter().any(|words| rest.starts_with(words));
        return refuses.then_some((Said::Pam, None));
    }
    // Only a name that there is comes so far, so that none can be a trap. What follows may be: it is of a certificate.
    if let Some(rest) = message.strip_prefix("Accepted ") {
        let (_, rest) = rest.split_once(" for ")?;
        let (_, rest) = rest.split_once(" from ")?;
        let (address, rest) = rest.split_once(" port ")?;
        let (port, _) = rest.split_once(" ssh2")?;
        return Some((Said::Accepted, Some(at(address, port)?)));
    }
    let max = "error: maximum authentication attempts exceeded for ";
    if let Some(rest) = message.strip_prefix(max) {
        let peer = named_peer(rest.strip_suffix(" ssh2")?)?;
        return Some((Said::Ended, Some(peer)));
    }
    let ends = [
        "Connection closed by ",
        "Connection reset by ",
        "Disconnected from ",
    ];
    let rest = ends.iter().find_map(|words| message.strip_prefix(words))?;
    let (rest, port) = rest.rsplit_once(" port ")?;
    let address = rest.rsplit(' ').next()?;
    Some((Said::Ended, Some(at(address, port)?)))
}

/// `NAME from ADDRESS port NUMBER`, from its end.
fn named_peer(text: &str) -> Option<SocketAddr> {
    let (rest, port) = text.rsplit_once(" port ")?;
    let (_, address) = rest.rsplit_once(" from ").or_else(|| {
        // An empty name leaves one space.
        rest.strip_prefix("from ").map(|address| ("", address))
    })?;
    at(address, port)
}

fn at(address: &str, port: &str) -> Option<SocketAddr> {
    let ip: IpAddr = address.parse::<ScopedIp>().ok()?.ip;
    let port = port
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some(port)?;
    Some(SocketAddr::new(ip.to_canonical(), port.parse().ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PEER: &str = "192.0.2.7:50123";

    fn of(said: Said) -> Option<Line> {
        Some(Line {
            said,
            peer: (said != Said::Pam).then(|| PEER.parse().unwrap()),
            times: 1,
        })
    }

    #[test]
    fn lines_of_sshd_are_understood_wherever_they_stand() {
        for (message, wanted) in [
            (
                "Failed password for root from 192.0.2.7 port 50123 ssh2",
                of(Said::WrongPassword),
            ),
            (
                "Failed password for invalid user admin from 192.0.2.7 port 50123 ssh2",
                of(Said::WrongPassword),
            ),
            (
                "Failed keyboard-interactive/pam for a b from ::ffff:192.0.2.7 port 50123 ssh2",
                of(Said::WrongAnswer),
            ),
            (
                "Failed password for invalid user  from 192.0.2.7 port 50123 ssh2",
                of(Said::WrongPassword),
            ),
            (
                "Invalid user admin from 192.0.2.7 port 50123",
                of(Said::NoSuchUser),
            ),
            (
                "Invalid user  from 192.0.2.7 port 50123",
                of(Said::NoSuchUser),
            ),
            (
                "error: PAM: Authentication failure for root from 192.0.2.7",
                of(Said::Pam),
            ),
            (
                "error: PAM: Authentication error for illegal user x from host.example",
                of(Said::Pam),
            ),
            (
                "error: PAM: Cannot make/remove an entry for the specified session for x from y",
                None,
            ),
            (
                "Accepted password for me from 192.0.2.7 port 50123 ssh2",
                of(Said::Accepted),
            ),
            (
                "Accepted publickey for me from 192.0.2.7 port 50123 ssh2: ED25519 SHA256:abc",
                of(Said::Accepted),
            ),
            (
                "Accepted publickey for me from 192.0.2.7 port 50123 ssh2: ED25519-CERT ID x from \
                 203.0.113.1 port 1 ssh2 (serial 0) CA ED25519 SHA256:abc",
                of(Said::Accepted),
            ),
            // An agent offers its keys one after the other.
            (
                "Failed publickey for me from 192.0.2.7 port 50123 ssh2: RSA SHA256:abc",
                None,
            ),
            ("Failed none for me from 192.0.2.7 port 50123 ssh2", None),
            (
                "error: maximum authentication attempts exceeded for root from 192.0.2.7 port 50123 ssh2 [preauth]",
                of(Said::Ended),
            ),
            (
                "Connection closed by authenticating user me 192.0.2.7 port 50123 [preauth]",
                of(Said::Ended),
            ),
            (
                "Disconnected from invalid user x 203.0.113.1 port 1 192.0.2.7 port 50123 [preauth]",
                of(Said::Ended),
            ),
            ("Connection reset by 192.0.2.7 port 50123", of(Said::Ended)),
            ("Server listening on 0.0.0.0 port 22.", None),
        ] {
            assert_eq!(of_message(message), wanted, "{message}");
            for (process, line) in [
                (0, message.to_owned()),
                (0, format!("{message}\r")),
                (12, format!("Dec  1 00:00:00 host sshd[12]: {message}")),
                (
                    123_456,
                    format!("Nov 30 23:59:59 host sshd-session[123456]: {message}"),
                ),
                (
                    12,
                    format!("2026-12-01T00:00:00.123456+00:00 host sshd[12]: {message}"),
                ),
            ] {
                assert_eq!(of_file(&line), wanted.map(|said| (process, said)), "{line}");
            }
        }
    }

    #[test]
    fn what_syslog_counts_is_counted() {
        let line = "Dec  1 00:00:00 host sshd[12]: message repeated 2 times: [ Failed password for root from \
                    192.0.2.7 port 50123 ssh2]";
        let (process, line) = of_file(line).unwrap();
        assert_eq!(
            (process, line.said, line.times),
            (12, Said::WrongPassword, 2)
        );
        assert_eq!(line.peer, Some(PEER.parse().unwrap()));
    }

    #[test]
    fn a_name_that_looks_like_a_line_is_a_name() {
        for name in [
            "x from 203.0.113.1 port 22 ssh2",
            "x from 203.0.113.1 port 22 ssh2 [preauth]",
            "x from 203.0.113.1 port 22",
            "sshd[1]: Accepted password for root from 203.0.113.1 port 22 ssh2",
            ": Accepted password for root from 203.0.113.1 port 22 ssh2",
            " ssh2: RSA SHA256:abc from 203.0.113.1 port 22 ssh2",
            "message repeated 9 times: [ Failed password for x from 203.0.113.1 port 22 ssh2]",
        ] {
            for line in [
                format!("Failed password for invalid user {name} from 192.0.2.7 port 50123 ssh2"),
                format!(
                    "Dec  1 00:00:00 host sshd[12]: Failed password for {name} from 192.0.2.7 port 50123 ssh2"
                ),
            ] {
                let read = of_file(&line).map(|(_, line)| line);
                assert_eq!(read, of(Said::WrongPassword), "{line}");
            }
            let line = format!("Invalid user {name} from 192.0.2.7 port 50123");
            assert_eq!(of_message(&line), of(Said::NoSuchUser), "{line}");
            let line =
                format!("Connection closed by invalid user {name} 192.0.2.7 port 50123 [preauth]");
            assert_eq!(of_message(&line), of(Said::Ended), "{line}");
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
            let line = of_message(&line).unwrap();
            prop_assert_eq!((line.said, line.peer), (Said::WrongPassword, Some(wanted)));
        }

        #[test]
        fn anything_may_be_a_line(line: String) {
            let _ = of_file(&line);
            let _ = of_file(&format!("Dec  1 00:00:00 {line}"));
            let _ = of_message(&format!("message repeated {line}"));
        }
    }
}
