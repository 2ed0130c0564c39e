//! Is the token still good by which the client has logged in? One of `auth.tokens` may expire, or be taken away, while
//! its sessions run.

use std::sync::Arc;

use frp_config::Expiry;
use jiff::Timestamp;
use tokio::time::sleep;

use crate::auth::tokens::Identity;
use crate::limits::EXPIRY_LOOK;
use crate::shared::Shared;

/// Why it is not; the client is told.
#[derive(Debug, thiserror::Error)]
pub(super) enum Withdrawn {
    #[error("token [{token}] has expired at {at}")]
    Expired { token: Arc<str>, at: Expiry },
    #[error("token [{0}] has been revoked")]
    Revoked(Arc<str>),
}

/// Completes when it is no longer good.
pub(super) async fn withdrawn(shared: &Shared, identity: &Identity) -> Withdrawn {
    let entry = identity.entry();
    let token = || entry.name().clone();
    let mut policies = shared.in_force.policy.subscribe();
    loop {
        let current = policies.borrow_and_update().auth.tokens.current(entry);
        let Some(current) = current else {
            return Withdrawn::Revoked(token());
        };
        let expired = async {
            match current.expires() {
                Some(at) => until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            at = expired => return Withdrawn::Expired { token: token(), at },
            changed = policies.changed() => {
                // The server ends, and the session with it.
                if changed.is_err() {
                    return std::future::pending().await;
                }
            }
        }
    }
}

/// By the clock on the wall, which may be set, or stand still with the machine.
async fn until(at: Expiry) -> Expiry {
    loop {
        let left = at.0.duration_since(Timestamp::now());
        if !left.is_positive() {
            return at;
        }
        sleep(left.unsigned_abs().min(EXPIRY_LOOK)).await;
    }
}
