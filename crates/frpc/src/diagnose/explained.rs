//! What is told of a failed login: what was seen, why, what to do.

use std::fmt;

use frp_config::ClientConfig;
use frp_net::go_text::join_host_port;
use frp_net::resolve::LookupError;

/// A failed login, explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Explained {
    /// What was seen, in frp's words where frp has some.
    what: String,
    /// Why, as far as known.
    why: String,
    /// What to do.
    advice: String,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, why, advice } = self;
        write!(f, "{what}: {why}")?;
        if advice.is_empty() {
            Ok(())
        } else {
            write!(f, "; {advice}")
        }
    }
}

impl Explained {
    /// Something that needs no explanation.
    pub(crate) fn bare(what: String) -> Self {
        Self {
            what,
            why: "nothing answers".to_owned(),
            advice: "check serverAddr and serverPort, and that frps runs".to_owned(),
        }
    }

    /// What was seen, and why.
    pub(crate) fn error(&self) -> String {
        format!("{}: {}", self.what, self.why)
    }

    /// What was seen.
    #[cfg(feature = "doctor")]
    pub(crate) fn seen(&self) -> &str {
        &self.what
    }

    /// Why, as far as known.
    #[cfg(feature = "doctor")]
    pub(crate) fn why(&self) -> &str {
        &self.why
    }

    /// What to do about it.
    pub(crate) fn cure(&self) -> Option<String> {
        Some(self.advice.clone()).filter(|advice| !advice.is_empty())
    }

    /// As one of several failures, which `all` tells; this one is of `name`.
    pub(crate) fn one_of(mut self, all: String, name: &str) -> Self {
        self.what = all;
        self.why = format!("as to {name}, {}", self.why);
        self
    }

    /// Adds what a TLS handshake with the same port came to.
    pub(crate) fn with_tls_probe(mut self, answered: bool) -> Self {
        self.why.push_str(if answered {
            ", while TLS to the same port is answered"
        } else {
            ", and TLS to the same port is not answered either"
        });
        self
    }
}

pub(super) fn explained(
    what: impl fmt::Display,
    why: impl Into<String>,
    advice: impl Into<String>,
) -> Explained {
    Explained {
        what: what.to_string(),
        why: why.into(),
        advice: advice.into(),
    }
}

/// Control characters are shown as text: whatever the server says, it must not steer the terminal.
pub(super) fn visible(c: char) -> impl Iterator<Item = char> {
    let (plain, escaped) = if c.is_control() {
        (None, Some(c.escape_default()))
    } else {
        (Some(c), None)
    };
    plain.into_iter().chain(escaped.into_iter().flatten())
}

/// Whom the login was for.
pub(super) fn server(cfg: &ClientConfig) -> String {
    join_host_port(&cfg.server_addr, cfg.server_port)
}

pub(super) fn explain_lookup(error: &LookupError) -> Explained {
    explained(
        error,
        format!("the name {} could not be resolved", error.host),
        match error.server {
            None => "check serverAddr and the DNS of this machine",
            Some(_) => "check serverAddr, and that dnsServer is a DNS server and answers",
        },
    )
}
