//! Tokens by the client credentials grant: when is one asked for? A token is used until ten seconds
//! before it expires; one that does not say when it does, once (frp `pkg/auth/oidc.go`). Those who
//! need one at the same time share one request.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use frp_config::Secret;
use futures_util::FutureExt as _;
use futures_util::future::{Shared, WeakShared};

use super::endpoint::{Endpoint, Style, TokenError};

/// A token is not used any more so long before it expires (golang.org/x/oauth2: defaultExpiryDelta).
const EARLY: Duration = Duration::from_secs(10);

/// The tokens of one client at one endpoint.
#[derive(Debug)]
pub(super) struct Grants(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    endpoint: Endpoint,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    kept: Option<Kept>,
    /// The request under way. Those who wait for it hold it; when all have gone, it ends.
    asking: Option<WeakShared<Asking>>,
    /// How the endpoint takes id and secret, once that is known.
    style: Option<Style>,
}

#[derive(Debug)]
struct Kept {
    token: Secret,
    /// By the clock on the wall, as in Go: it goes on while a machine sleeps.
    until: SystemTime,
    /// By a clock that nobody sets: the other may have been ahead when the token came.
    at_most_until: Instant,
}

impl Kept {
    fn is_good(&self) -> bool {
        SystemTime::now() < self.until && Instant::now() < self.at_most_until
    }
}

type Asked = Result<Secret, Arc<TokenError>>;
type Asking = Pin<Box<dyn Future<Output = Asked> + Send>>;

impl Grants {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self(Arc::new(Inner {
            endpoint,
            state: Mutex::default(),
        }))
    }

    /// A token that can be used now.
    pub(super) async fn token(&self) -> Asked {
        let asking = match self.kept_or_asking() {
            Ok(token) => return Ok(token),
            Err(asking) => asking,
        };
        asking.await
    }

    /// The next one is asked for, however long the kept one is said to be good.
    pub(super) fn forget(&self) {
        self.0.state().kept = None;
    }

    fn kept_or_asking(&self) -> Result<Secret, Shared<Asking>> {
        let mut state = self.0.state();
        if let Some(kept) = &state.kept
            && kept.is_good()
        {
            return Ok(kept.token.clone());
        }
        if let Some(asking) = state.asking.as_ref().and_then(WeakShared::upgrade) {
            return Err(asking);
        }
        let inner = self.0.clone();
        let asking: Asking = Box::pin(async move { inner.ask().await });
        let asking = asking.shared();
        state.asking = asking.downgrade();
        Err(asking)
    }
}

impl Inner {
    async fn ask(&self) -> Asked {
        let style = self.state().style;
        let asked = self.ask_in(style).await;
        let mut state = self.state();
        state.asking = None;
        let (style, grant) = asked.map_err(Arc::new)?;
        state.style = Some(style);
        state.kept = grant.expires_in.map(|left| {
            let left = left.saturating_sub(EARLY);
            Kept {
                token: grant.token.clone(),
                until: SystemTime::now() + left,
                at_most_until: Instant::now() + left,
            }
        });
        Ok(grant.token)
    }

    /// Asks in the style that has worked before, else in both: first as RFC 6749 section 2.3.1 wants
    /// it, then, where that was refused, as some issuers do.
    async fn ask_in(
        &self,
        known: Option<Style>,
    ) -> Result<(Style, super::endpoint::Grant), TokenError> {
        let style = known.unwrap_or(Style::Header);
        match self.endpoint.ask(style).await {
            Err(error) if known.is_none() && error.was_answered() => {
                let grant = self.endpoint.ask(Style::Form).await?;
                Ok((Style::Form, grant))
            }
            asked => Ok((style, asked?)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding the lock; if something did, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Poll;

    use frp_config::ClientOidc;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::sync::Semaphore;

    use super::*;

    /// Grants of an endpoint that answers with `body` whenever there is a permit, and how often it
    /// was asked.
    async fn grants(body: &'static str) -> (Grants, Arc<Semaphore>, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let (permits, count) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let (given, counted) = (permits.clone(), count.clone());
        tokio::spawn(async move {
            while let Ok((mut conn, _)) = listener.accept().await {
                let mut head = [0; 4096];
                let _ = conn.read(&mut head).await;
                counted.fetch_add(1, Ordering::SeqCst);
                given.acquire().await.unwrap().forget();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                let _ = conn.write_all(answer.as_bytes()).await;
            }
        });
        let cfg = ClientOidc {
            client_id: "me".to_owned(),
            client_secret: Secret::from("s"),
            audience: String::new(),
            scope: String::new(),
            token_endpoint_url: url,
            additional_endpoint_params: std::collections::BTreeMap::new(),
            trusted_ca_file: None,
            insecure_skip_verify: false,
            proxy_url: None,
            token_source: None,
        };
        (Grants::new(Endpoint::new(&cfg).unwrap()), permits, count)
    }

    #[tokio::test]
    async fn who_needs_a_token_at_the_same_time_shares_the_request() {
        let (grants, permits, count) = grants(r#"{"access_token":"t"}"#).await;
        permits.add_permits(1);
        let all = futures_util::future::join_all((0..20).map(|_| grants.token())).await;
        assert!(
            all.iter()
                .all(|token| token.as_ref().unwrap().expose() == "t")
        );
        assert_eq!(count.load(Ordering::SeqCst), 1);
        permits.add_permits(1);
        grants.token().await.unwrap();
        assert_eq!(
            count.load(Ordering::SeqCst),
            2,
            "without a time it is used once"
        );
    }

    #[tokio::test]
    async fn a_request_that_nobody_waits_for_any_more_is_dropped_and_others_go_on() {
        let (grants, permits, count) = grants(r#"{"access_token":"t","expires_in":60}"#).await;
        let soon = Duration::from_millis(200);
        assert!(tokio::time::timeout(soon, grants.token()).await.is_err());
        permits.add_permits(2);
        grants.token().await.unwrap();
        grants.token().await.unwrap();
        assert_eq!(
            count.load(Ordering::SeqCst),
            2,
            "one was dropped, one is kept"
        );

        grants.forget();
        let (mut impatient, mut patient) = (Box::pin(grants.token()), Box::pin(grants.token()));
        for waiting in [&mut impatient, &mut patient] {
            let begun = std::future::poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx))).await;
            assert!(begun.is_pending());
        }
        drop(impatient);
        permits.add_permits(1);
        assert_eq!(patient.await.unwrap().expose(), "t");
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_token_whose_time_is_over_by_either_clock_is_not_used() {
        let (grants, permits, count) = grants(r#"{"access_token":"t","expires_in":60}"#).await;
        permits.add_permits(9);
        grants.token().await.unwrap();
        let change = |change: fn(&mut Kept)| change(grants.0.state().kept.as_mut().unwrap());
        // The clock on the wall was an hour ahead then, and has been set since.
        change(|kept| {
            kept.until += HOUR;
            kept.at_most_until = Instant::now();
        });
        grants.token().await.unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 2);
        // The machine slept, and only that clock went on.
        change(|kept| {
            kept.until -= HOUR;
            kept.at_most_until += HOUR;
        });
        grants.token().await.unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 3);
    }
}
