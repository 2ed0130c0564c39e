//! Is that the server? By its key, which is pinned, or remembered from the first login (`transport.tls.pin`,
//! `transport.tls.trust`). Certificates are checked by `frp_net::tls`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use frp_config::{ClientConfig, ServerTrust, Transport, TransportProtocol};
use frp_log::{Log, error, info, warn};
use frp_net::go_text::{go_text, join_host_port};
use frp_net::tls::{Checks, JudgesKeys};
use frp_proto::fingerprint::Fingerprint;

use crate::known_servers::{KnownServers, KnownToProve, News, Server};

/// How the server is known on one way.
#[derive(Debug)]
pub(crate) struct Identity {
    known_by: KnownBy,
    /// The last one, until somebody tells it.
    refusal: Mutex<Option<Box<Refusal>>>,
}

#[derive(Debug)]
enum KnownBy {
    /// Whatever the certificate is checked by.
    Nothing,
    Pins(Vec<Fingerprint>),
    FirstUse(KnownServers, Server),
}

/// Why a key is not that of the server. What it means and what to do is [`crate::diagnose`]'s.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "the server shows the key {shown}, and transport.tls.pin has {}",
        list(pins)
    )]
    Pin {
        shown: Fingerprint,
        pins: Vec<Fingerprint>,
    },
    #[error(
        "THE KEY OF {server} HAS CHANGED: {} line {} has {}, and the server shows {shown}",
        file.display(),
        known.first().map_or(0, |(line, _)| *line),
        list(&known.iter().map(|(_, key)| *key).collect::<Vec<_>>())
    )]
    Changed {
        server: String,
        /// With the numbers of their lines.
        known: Vec<(usize, Fingerprint)>,
        shown: Fingerprint,
        file: PathBuf,
    },
    #[error(
        "{server} shows the key {shown}, and the same server is known as {known_as} by {known} ({})",
        file.display()
    )]
    OtherWay {
        server: String,
        known_as: String,
        known: Fingerprint,
        shown: Fingerprint,
        file: PathBuf,
    },
    #[error(
        "{server} shows the key {shown}, and line {line} of {}, which is about it, cannot be read",
        file.display()
    )]
    Damaged {
        server: String,
        line: usize,
        shown: Fingerprint,
        file: PathBuf,
    },
    #[error("read {}: {why}", file.display())]
    Unread { file: PathBuf, why: String },
}

fn list(keys: &[Fingerprint]) -> String {
    let texts: Vec<String> = keys.iter().map(Fingerprint::to_string).collect();
    texts.join(" and ")
}

impl Identity {
    /// By the settings of a way. `beside`: the names of others to the same server.
    pub(crate) fn new(cfg: &ClientConfig, beside: &[String]) -> Self {
        let tls = &cfg.transport.tls;
        let known_by = match (&tls.trust, &tls.known_servers) {
            _ if !tls.pins.is_empty() => KnownBy::Pins(tls.pins.clone()),
            (Some(ServerTrust::FirstUse), Some(path)) => {
                let name = server_name(cfg);
                let beside = beside.iter().filter(|other| **other != name);
                let beside = beside.cloned().collect();
                KnownBy::FirstUse(KnownServers::new(path.clone()), Server { name, beside })
            }
            _ => KnownBy::Nothing,
        };
        Self {
            known_by,
            refusal: Mutex::default(),
        }
    }

    /// Whoever it is.
    #[cfg(feature = "doctor")]
    pub(crate) fn of_anybody() -> Self {
        Self {
            known_by: KnownBy::Nothing,
            refusal: Mutex::default(),
        }
    }

    /// What TLS is to ask for.
    pub(crate) fn checks(self: &Arc<Self>, cfg: &ClientConfig) -> Checks {
        let judge = match self.known_by {
            KnownBy::Nothing => None,
            _ => Some(self.clone() as Arc<dyn JudgesKeys>),
        };
        Checks {
            by_system: cfg.transport.tls.trust == Some(ServerTrust::System),
            judge,
        }
    }

    /// Before a connection: its file may have been changed.
    pub(crate) async fn look_again(self: &Arc<Self>) {
        self.take_refusal();
        if let KnownBy::FirstUse(..) = self.known_by {
            let this = self.clone();
            let looking = tokio::task::spawn_blocking(move || {
                if let KnownBy::FirstUse(known, _) = &this.known_by {
                    known.look_again();
                }
            });
            // It does not panic.
            let _ = looking.await;
        }
    }

    /// Why the last connection was refused, if it was.
    pub(crate) fn take_refusal(&self) -> Option<Box<Refusal>> {
        let mut refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        refusal.take()
    }

    /// Where it stands that the server with this key proves that it knows the token: then it is to do so.
    pub(crate) fn must_prove(&self, key: Option<Fingerprint>) -> Option<KnownToProve> {
        match (&self.known_by, key) {
            (KnownBy::FirstUse(known, server), Some(key)) => known.proves(server, key),
            _ => None,
        }
    }

    /// The server with this key has taken our login, and has proven the token, if `has_token`: that is remembered,
    /// where it is to be.
    ///
    /// # Errors
    /// Another one was remembered meanwhile.
    pub(crate) async fn proven(
        self: &Arc<Self>,
        key: Option<Fingerprint>,
        has_token: bool,
    ) -> Result<(), Box<Refusal>> {
        let (KnownBy::FirstUse(..), Some(key)) = (&self.known_by, key) else {
            return Ok(());
        };
        let this = self.clone();
        let remembering = tokio::task::spawn_blocking(move || match &this.known_by {
            KnownBy::FirstUse(known, server) => remember(known, server, key, has_token),
            _ => Ok(()),
        });
        // It does not panic.
        remembering.await.unwrap_or(Ok(()))
    }
}

fn remember(
    known: &KnownServers,
    server: &Server,
    key: Fingerprint,
    has_token: bool,
) -> Result<(), Box<Refusal>> {
    let (name, file) = (&server.name, known.path().display());
    match known.remember(server, key, has_token)? {
        Ok(News::Key) => info!(
            Log::root(),
            "frps at {name} is known from now on by its key {key} ({file})"
        ),
        Ok(News::Proof) => info!(
            Log::root(),
            "frps at {name} is known from now on to prove that it knows the token ({file})"
        ),
        Ok(News::Nothing) => {}
        Err(e) => error!(
            Log::root(),
            "the key of frps at {name} cannot be remembered, so that the next start takes any again: write {file}: \
             {}; it is {key}",
            go_text(&e)
        ),
    }
    Ok(())
}

/// As it stands in `known_servers`.
pub(crate) fn server_name(cfg: &ClientConfig) -> String {
    join_host_port(&cfg.server_addr.to_ascii_lowercase(), cfg.server_port)
}

/// Says that nobody looks who the server is, where there is TLS to tell.
pub(crate) fn warn_if_unchecked(cfg: &ClientConfig) {
    let tls = &cfg.transport.tls;
    let has_tls = match &cfg.transport.protocol {
        Transport::One(TransportProtocol::Quic | TransportProtocol::Wss) | Transport::Auto(_) => {
            true
        }
        Transport::One(_) => tls.enable,
    };
    if has_tls && !tls.checks_server() {
        warn!(
            Log::root(),
            "the identity of frps is not checked, so that whoever is on the path can pose as it: set \
             transport.tls.trust = \"first-use\", or transport.tls.pin to what `frps fingerprint` prints"
        );
    }
}

impl JudgesKeys for Identity {
    fn is_servers(&self, key: Fingerprint) -> bool {
        let judged = match &self.known_by {
            KnownBy::Nothing => Ok(()),
            KnownBy::Pins(pins) if pins.contains(&key) => Ok(()),
            KnownBy::Pins(pins) => Err(Box::new(Refusal::Pin {
                shown: key,
                pins: pins.clone(),
            })),
            KnownBy::FirstUse(known, server) => known.check(server, key),
        };
        let Err(refusal) = judged else { return true };
        let mut last = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(refusal);
        false
    }
}
