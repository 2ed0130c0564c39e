//! What does frps know of its issuer: which keys does it sign with, and in which way (OpenID Connect
//! Discovery 1.0, RFC 7517)?
//!
//! One task, the [`Keeper`], asks the issuer: at the start, whenever a token needs newer keys than
//! those that are known, and again after a failure. Everybody else looks at what it knows. So there is
//! never more than one request, however many tokens wait for it, and never more than one in some
//! seconds, whatever strangers send.
//!
//! frp asks once, before it listens, and crashes where that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::limits::{
    ISSUER_FIRST_RETRY, ISSUER_KEYS_LIFE, ISSUER_KEYS_LIFE_MAX, ISSUER_KEYS_LIFE_MIN,
    ISSUER_LAST_RETRY, ISSUER_PAUSE,
};
use frp_http::client::{EnvProxies, HttpClient, HttpError, Outgoing, Trust, UrlError, Via};
use frp_log::{Log, info, warn};
use frp_net::or_never::or_never;
use frp_proto::jwt::{Algorithm, KeySet, KeySetError};
use hyper::header::CACHE_CONTROL;
use hyper::{HeaderMap, StatusCode};
use serde::Deserialize;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// What others see of the issuer.
#[derive(Debug, Clone)]
pub(super) struct Issuer {
    url: Arc<str>,
    known: watch::Receiver<Known>,
    asked: Arc<Asked>,
}

/// What is known after an attempt to know more.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// The number of attempts so far.
    pub(super) generation: u64,
    /// Those of the last attempt that succeeded.
    pub(super) keys: Option<Arc<Keys>>,
    /// Whether the last attempt failed.
    failed: bool,
}

/// The keys of an issuer.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) set: KeySet,
    /// The ways in which it signs.
    pub(super) algorithms: Vec<Algorithm>,
    good_until: Instant,
}

/// How old keys are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Age {
    /// The issuer wants to be asked again.
    pub(super) is_old: bool,
    /// It answered when it was asked last.
    pub(super) may_be_renewed: bool,
}

/// Which attempt did not know enough.
#[derive(Debug, Default)]
struct Asked {
    /// One more than its generation.
    beyond: AtomicU64,
    changed: Notify,
}

/// The task that keeps track of the issuer.
#[derive(Debug)]
pub(crate) struct Keeper {
    issuer: String,
    known: watch::Sender<Known>,
    asked: Arc<Asked>,
    metadata: Option<Metadata>,
    waits: Duration,
}

/// Of the issuer's discovery document.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Metadata {
    issuer: String,
    jwks_uri: String,
    #[serde(default)]
    id_token_signing_alg_values_supported: Vec<String>,
}

/// Why the keys could not be had.
#[derive(Debug, thiserror::Error)]
enum IssuerError {
    #[error("{0}")]
    Setup(String),
    #[error("auth.oidc.issuer {0:?}: {1}; set it to the URL of the issuer")]
    Issuer(String, UrlError),
    #[error("the issuer's jwks_uri {0:?}: {1}")]
    KeysUrl(String, UrlError),
    #[error("{0}")]
    Http(#[from] HttpError),
    #[error("{url}: {status}: {body}; check auth.oidc.issuer")]
    Status {
        url: String,
        status: StatusCode,
        body: String,
    },
    #[error("oidc: failed to decode provider discovery object: {0}; check auth.oidc.issuer")]
    Metadata(#[from] serde_json::Error),
    #[error(
        "oidc: issuer URL provided to client ({configured:?}) did not match the issuer URL returned \
         by provider ({said:?}); set auth.oidc.issuer to the latter, if that is right"
    )]
    Mismatch { configured: String, said: String },
    #[error("oidc: failed to decode keys: {0}")]
    Keys(#[from] KeySetError),
}

/// Both ends of what is known of `issuer`.
pub(super) fn follow(issuer: &str) -> (Issuer, Keeper) {
    let (sender, receiver) = watch::channel(Known::default());
    let asked = Arc::new(Asked::default());
    let keeper = Keeper {
        issuer: issuer.to_owned(),
        known: sender,
        asked: asked.clone(),
        metadata: None,
        waits: ISSUER_FIRST_RETRY,
    };
    let issuer = Issuer {
        url: issuer.into(),
        known: receiver,
        asked,
    };
    (issuer, keeper)
}

impl Issuer {
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn known(&self) -> Known {
        self.known.borrow().clone()
    }

    /// Has the issuer asked, if nobody has since `generation`.
    pub(super) fn ask_for_newer_than(&self, generation: u64) {
        let beyond = generation.saturating_add(1);
        self.asked.beyond.fetch_max(beyond, Ordering::AcqRel);
        self.asked.changed.notify_one();
    }

    /// What is known after the next attempt, which may know no more than `generation`.
    pub(super) async fn newer_than(&self, generation: u64) -> Known {
        self.ask_for_newer_than(generation);
        let mut known = self.known.clone();
        let newer = known.wait_for(|known| known.generation > generation).await;
        let newer = newer.ok().map(|newer| newer.clone());
        match newer {
            Some(newer) => newer,
            // The server stops, and who asks with it.
            None => std::future::pending().await,
        }
    }
}

impl Known {
    /// `None` without keys.
    pub(super) fn age(&self) -> Option<Age> {
        let keys = self.keys.as_ref()?;
        Some(Age {
            is_old: keys.good_until <= Instant::now(),
            may_be_renewed: !self.failed,
        })
    }
}

impl Keeper {
    /// Keeps track until `stop`, or until nobody goes by this issuer any more.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let known = self.known.clone();
        tokio::select! {
            () = self.keep() => {}
            () = known.closed() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn keep(mut self) {
        // The server's own connections: by the proxies and the CAs of the system, as Go's default
        // client, which frp uses here.
        let via = Via::Environment(EnvProxies::of_process());
        let client = HttpClient::new(Trust::System, via);
        loop {
            let tried = match &client {
                Ok(client) => self.ask(client).await,
                Err(e) => Err(IssuerError::Setup(e.to_string())),
            };
            let ended = Instant::now();
            let (pause, retry) = self.publish(tried);
            let retry = retry.map(|wait| ended + wait);
            tokio::select! {
                () = self.asked_for_more() => sleep_until(ended + pause).await,
                () = or_never(retry.map(sleep_until)) => {}
            }
        }
    }

    /// Says what came of an attempt. Gives the pause that follows at least, and when to try again by
    /// ourselves.
    fn publish(&mut self, tried: Result<Keys, IssuerError>) -> (Duration, Option<Duration>) {
        let log = Log::root();
        let issuer = &self.issuer;
        let (had_keys, had_failed) = {
            let known = self.known.borrow();
            (known.keys.is_some(), known.failed)
        };
        let failed = tried.is_err();
        let paused = match &tried {
            Ok(keys) => {
                self.waits = ISSUER_FIRST_RETRY;
                if !had_keys || had_failed {
                    info!(
                        log,
                        "OIDC issuer {issuer} answers, it has {} keys",
                        keys.set.len()
                    );
                }
                (ISSUER_PAUSE, None)
            }
            Err(e) => {
                let wait = self.waits;
                self.waits = (wait * 2).min(ISSUER_LAST_RETRY);
                let meanwhile = if had_keys {
                    "tokens are checked with the keys known so far"
                } else {
                    "logins are refused until it answers"
                };
                let seconds = wait.as_secs();
                warn!(
                    log,
                    "OIDC issuer {issuer}: {e}; {meanwhile}, next attempt within {seconds} s"
                );
                // Next time everything anew: the issuer may have moved its keys.
                self.metadata = None;
                (ISSUER_FIRST_RETRY, Some(wait))
            }
        };
        self.known.send_modify(|known| {
            known.generation += 1;
            known.failed = failed;
            if let Ok(keys) = tried {
                known.keys = Some(Arc::new(keys));
            }
        });
        paused
    }

    /// Waits until somebody needs more than is known now.
    async fn asked_for_more(&self) {
        let generation = self.known.borrow().generation;
        while self.asked.beyond.load(Ordering::Acquire) <= generation {
            self.asked.changed.notified().await;
        }
    }

    async fn ask(&mut self, client: &HttpClient) -> Result<Keys, IssuerError> {
        let metadata = match self.metadata.clone() {
            Some(metadata) => metadata,
            None => self.discover(client).await?,
        };
        self.metadata = Some(metadata.clone());
        let url = &metadata.jwks_uri;
        let request = Outgoing::get(url).map_err(|e| IssuerError::KeysUrl(url.clone(), e))?;
        let (headers, body) = get(client, request, url).await?;
        let named = metadata.id_token_signing_alg_values_supported.iter();
        Ok(Keys {
            set: KeySet::parse(&body)?,
            algorithms: Algorithm::allowed(named.map(String::as_str)),
            good_until: Instant::now() + life(&headers),
        })
    }

    async fn discover(&self, client: &HttpClient) -> Result<Metadata, IssuerError> {
        let issuer = &self.issuer;
        let base = issuer.strip_suffix('/').unwrap_or(issuer);
        let url = format!("{base}/.well-known/openid-configuration");
        let request = Outgoing::get(&url).map_err(|e| IssuerError::Issuer(issuer.clone(), e))?;
        let (_, body) = get(client, request, &url).await?;
        let metadata: Metadata = serde_json::from_slice(&body)?;
        if metadata.issuer != *issuer {
            return Err(IssuerError::Mismatch {
                configured: issuer.clone(),
                said: metadata.issuer,
            });
        }
        Ok(metadata)
    }
}

async fn get(
    client: &HttpClient,
    request: Outgoing,
    url: &str,
) -> Result<(HeaderMap, bytes::Bytes), IssuerError> {
    let answer = client.send(request).await?;
    if answer.status != StatusCode::OK {
        let body = String::from_utf8_lossy(&answer.body);
        let body = body.chars().filter(|c| !c.is_control()).take(MAX_SHOWN);
        return Err(IssuerError::Status {
            url: url.to_owned(),
            status: answer.status,
            body: body.collect(),
        });
    }
    Ok((answer.headers, answer.body))
}

/// Characters of an issuer's answer that the log shows.
const MAX_SHOWN: usize = 256;

/// How long keys may be used before the issuer is asked again (RFC 9111 section 5.2.2).
pub(crate) fn life(headers: &HeaderMap) -> Duration {
    let values = headers.get_all(CACHE_CONTROL).iter();
    let directives: Vec<_> = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|directive| directive.trim().to_ascii_lowercase())
        .collect();
    if directives
        .iter()
        .any(|it| it == "no-store" || it == "no-cache")
    {
        return ISSUER_KEYS_LIFE_MIN;
    }
    let seconds = directives.iter().find_map(|it| {
        let seconds = it.strip_prefix("max-age=")?.trim_matches('"');
        seconds.parse().ok()
    });
    seconds.map_or(ISSUER_KEYS_LIFE, |seconds| {
        Duration::from_secs(seconds).clamp(ISSUER_KEYS_LIFE_MIN, ISSUER_KEYS_LIFE_MAX)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn life_of(values: &[&str]) -> u64 {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CACHE_CONTROL, value.parse().unwrap());
        }
        life(&headers).as_secs()
    }

    #[test]
    fn keys_live_as_long_as_the_issuer_says_within_reason() {
        assert_eq!(life_of(&["public, Max-Age=600"]), 600);
        assert_eq!(life_of(&["public", "max-age=600"]), 600);
        assert_eq!(life_of(&[]), ISSUER_KEYS_LIFE.as_secs());
        assert_eq!(life_of(&["max-age=soon"]), ISSUER_KEYS_LIFE.as_secs());
        assert_eq!(life_of(&["max-age=0"]), ISSUER_KEYS_LIFE_MIN.as_secs());
        assert_eq!(
            life_of(&["max-age=600, no-cache"]),
            ISSUER_KEYS_LIFE_MIN.as_secs()
        );
        assert_eq!(
            life_of(&["max-age=99999999999"]),
            ISSUER_KEYS_LIFE_MAX.as_secs()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_needs_newer_keys_waits_for_one_attempt_more() {
        let (issuer, mut keeper) = follow("http://x");
        let newer = issuer.newer_than(0);
        tokio::pin!(newer);
        let soon = Duration::from_millis(1);
        assert!(tokio::time::timeout(soon, &mut newer).await.is_err());
        keeper.asked_for_more().await;
        let error = || IssuerError::Issuer("x".to_owned(), UrlError);
        let (_, retry) = keeper.publish(Err(error()));
        assert_eq!(retry, Some(ISSUER_FIRST_RETRY));
        assert_eq!(newer.await.generation, 1);
        // Asked for already, so nobody asks again for those who came before.
        assert!(
            tokio::time::timeout(soon, keeper.asked_for_more())
                .await
                .is_err()
        );
        issuer.ask_for_newer_than(0);
        assert!(
            tokio::time::timeout(soon, keeper.asked_for_more())
                .await
                .is_err()
        );
        issuer.ask_for_newer_than(1);
        keeper.asked_for_more().await;
        let waits = (0..9).map(|_| keeper.publish(Err(error())).1.unwrap().as_secs());
        assert_eq!(waits.collect::<Vec<_>>(), [2, 4, 8, 16, 32, 60, 60, 60, 60]);
    }
}
