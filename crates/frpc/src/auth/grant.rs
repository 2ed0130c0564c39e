//! Tokens by the client credentials grant: when is one asked for? A token is used until ten seconds
//! before it expires; one that does not say when it does, once (frp `pkg/auth/oidc.go`). Those who
//! need one at the same time share one request.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

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

    fn kept_or_asking(&self) -> Result<Secret, Shared<Asking>> {
        let mut state = self.0.state();
        if let Some(kept) = &state.kept
            && SystemTime::now() < kept.until
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
        state.kept = grant.expires_in.map(|left| Kept {
            token: grant.token.clone(),
            until: SystemTime::now() + left.saturating_sub(EARLY),
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
