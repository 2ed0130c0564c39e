//! Whose logins failed lately, and why.
//!
//! Strangers fill this: what they say is cut, and failures of one source for one reason are one entry with a
//! count, so that one that fails a million times pushes nobody else out.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use frp_log::{shown, shown_error};
use frp_net::stream::Transport;
use frp_proto::msg::Login;
use jiff::Timestamp;

use crate::limits::MAX_FAILED_LOGINS;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Logins {
    recent: Mutex<Recent>,
    /// By [`Cause`].
    counts: [AtomicU64; Cause::ALL.len()],
}

#[derive(Debug, Default)]
struct Recent {
    /// The longest ago first.
    by_turn: BTreeMap<u64, Failed>,
    turns: HashMap<(IpAddr, Cause), u64>,
    next: u64,
}

/// Failures of one source for one reason: how many, and the last of them.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    pub(crate) at: Timestamp,
    pub(crate) address: SocketAddr,
    pub(crate) user: String,
    pub(crate) version: String,
    pub(crate) transport: Transport,
    pub(crate) cause: Cause,
    /// What was wrong, as the log has it.
    pub(crate) text: String,
    pub(crate) count: u64,
}

/// What a stranger says about itself, as much as is shown of it.
#[derive(Debug, Default)]
pub(crate) struct Who {
    user: String,
    version: String,
}

/// Why a login failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Cause {
    /// The token is another.
    Token,
    /// The issuer's token is not accepted.
    Oidc,
    /// A check that the operator has added refuses it.
    Plugin,
    /// It is more than a client may have.
    Limits,
    /// Too many from its address have failed, or an operator has banned it.
    Banned,
    /// Another client has its run id or its `clientID`.
    Taken,
    /// It says something that no login has.
    Protocol,
    /// It came without TLS.
    TlsRequired,
    /// The handshake of TLS failed.
    Tls,
}

impl Cause {
    pub(crate) const ALL: [Self; 9] = [
        Self::Token,
        Self::Oidc,
        Self::Plugin,
        Self::Limits,
        Self::Banned,
        Self::Taken,
        Self::Protocol,
        Self::TlsRequired,
        Self::Tls,
    ];

    /// For programs.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Oidc => "oidc",
            Self::Plugin => "plugin",
            Self::Limits => "limits",
            Self::Banned => "banned",
            Self::Taken => "taken",
            Self::Protocol => "protocol",
            Self::TlsRequired => "tlsRequired",
            Self::Tls => "tls",
        }
    }

    /// What to do about it, where that is known.
    pub(crate) const fn cure(self) -> Option<&'static str> {
        Some(match self {
            Self::Token => {
                "set auth.token of this client to that of frps; if they are the same, compare auth.method"
            }
            Self::Oidc => {
                "compare auth.oidc of both ends: issuer, audience and the clocks; the text says what was refused"
            }
            Self::Plugin => "ask the plugin that refused it; httpPlugins names its address",
            Self::Banned => {
                "`frps ban list` shows why; `frps ban remove` lets the address in at once, and guard.ban.exceptIPs always"
            }
            Self::Limits => "use shorter names and fewer metadatas; docs/limits.md has the numbers",
            Self::Taken => {
                "give this client a clientID of its own, or stop the other one that has it"
            }
            Self::Protocol => {
                "use a client of the same version, or set its transport.wireProtocol = \"v1\""
            }
            Self::TlsRequired => {
                "set transport.tls.enable = true for this client, or transport.tls.force = false here"
            }
            Self::Tls => {
                "compare transport.tls of both ends: with trustedCaFile frps wants a certificate that this CA has signed"
            }
        })
    }
}

impl Who {
    pub(crate) fn of(login: &Login) -> Self {
        Self {
            user: shown(&login.user).into_owned(),
            version: shown(&login.version).into_owned(),
        }
    }
}

impl Logins {
    /// A login from `address` came to nothing; `text` is for the operator.
    pub(crate) fn failed(
        &self,
        cause: Cause,
        text: &str,
        who: Who,
        (address, transport): (SocketAddr, Transport),
    ) {
        if let Some(count) = self.counts.get(cause as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let failed = Failed {
            at: Timestamp::now(),
            address,
            user: who.user,
            version: who.version,
            transport,
            cause,
            text: shown_error(text).into_owned(),
            count: 1,
        };
        self.lock().add(failed);
    }

    /// The latest first.
    pub(crate) fn recent(&self) -> Vec<Failed> {
        self.lock().by_turn.values().rev().cloned().collect()
    }

    /// How many have failed since the start, by cause.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (Cause, u64)> {
        let counts = self
            .counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        Cause::ALL.into_iter().zip(counts)
    }

    fn lock(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    fn add(&mut self, mut failed: Failed) {
        let source = (network(failed.address.ip()), failed.cause);
        let before = self.turns.insert(source, self.next);
        if let Some(before) = before.and_then(|turn| self.by_turn.remove(&turn)) {
            failed.count += before.count;
        }
        self.by_turn.insert(self.next, failed);
        self.next += 1;
        if self.by_turn.len() > MAX_FAILED_LOGINS
            && let Some((_, oldest)) = self.by_turn.pop_first()
        {
            let source = (network(oldest.address.ip()), oldest.cause);
            self.turns.remove(&source);
        }
    }
}

/// What is one source: of IPv6 the network, in which anybody has all addresses.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn fail(logins: &Logins, from: &str, cause: Cause) {
        let from = (from.parse().unwrap(), Transport::Tcp);
        logins.failed(cause, "no", Who::default(), from);
    }

    #[test]
    fn one_that_fails_often_pushes_nobody_out() {
        let logins = Logins::default();
        fail(&logins, "192.0.2.1:1", Cause::Token);
        for port in 1..60_000 {
            fail(&logins, &format!("192.0.2.2:{port}"), Cause::Token);
            fail(&logins, &format!("[2001:db8::{port:x}]:1"), Cause::Tls);
        }
        fail(&logins, "192.0.2.2:1", Cause::Oidc);
        let recent = logins.recent();
        let counts: Vec<_> = recent.iter().map(|f| (f.cause, f.count)).collect();
        let expected = [
            (Cause::Oidc, 1),
            (Cause::Tls, 59_999),
            (Cause::Token, 59_999),
            (Cause::Token, 1),
        ];
        assert_eq!(counts, expected);
        let tokens = logins.counts().find(|(cause, _)| *cause == Cause::Token);
        assert_eq!(tokens, Some((Cause::Token, 60_000)));
    }

    #[test]
    fn the_longest_ago_go() {
        let logins = Logins::default();
        for n in 0..MAX_FAILED_LOGINS + 50 {
            let from = format!("10.0.{}.{}:1", n / 256, n % 256);
            fail(&logins, &from, Cause::Token);
        }
        let recent = logins.recent();
        assert_eq!(recent.len(), MAX_FAILED_LOGINS);
        assert_eq!(logins.lock().turns.len(), MAX_FAILED_LOGINS);
        assert_eq!(recent.last().unwrap().address.to_string(), "10.0.0.50:1");
    }

    #[test]
    fn what_a_stranger_says_is_cut() {
        let logins = Logins::default();
        let long = "x".repeat(60_000);
        let login = Login {
            user: long.clone(),
            version: long.clone(),
            ..Login::default()
        };
        let from = ("192.0.2.1:1".parse().unwrap(), Transport::Tcp);
        logins.failed(Cause::Token, &long, Who::of(&login), from);
        let recent = logins.recent();
        assert!(recent[0].user.len() < 100 && recent[0].version.len() < 100);
        assert!(recent[0].text.len() < 600);
    }
}
