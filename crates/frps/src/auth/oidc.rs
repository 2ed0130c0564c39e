//! Tokens of an OpenID Connect issuer (frp `pkg/auth/oidc.go`, with go-oidc's rules).
//!
//! frp keeps the subjects of all logins in one list, which every client's later tokens are held
//! against and which only grows. Here a session has the subject of its own login.

use crate::limits::{ISSUER_REVALIDATE, ISSUER_WAIT};
use frp_config::ServerOidc;
use frp_process::clock::now;
use frp_proto::jwt::{ClaimError, Claims, Malformed, Rules, SignedToken};
use tokio::time::{Instant, timeout, timeout_at};

pub(crate) use super::issuer::Keeper;
use super::issuer::{self, Issuer, Known};
use super::{BadCredentials, Subject};

/// Checks tokens.
#[derive(Debug)]
pub(super) struct OidcAuth {
    issuer: Issuer,
    rules: Rules,
}

/// Why a token is not accepted. The texts are go-oidc's, where it has any.
#[derive(Debug, thiserror::Error)]
enum VerifyError {
    #[error("oidc: malformed jwt: {0}")]
    Malformed(#[from] Malformed),
    #[error("failed to verify signature: failed to verify id token signature")]
    Signature,
    #[error("{0}")]
    Claims(#[from] ClaimError),
    /// Strangers read this: why is for the log.
    #[error("frps has not reached its issuer yet and cannot check any token; its log says why")]
    NoIssuer,
}

impl OidcAuth {
    /// Also gives what keeps track of the issuer, where that is not the one of `former`.
    pub(super) fn new(cfg: &ServerOidc, former: Option<&Self>) -> (Self, Option<Keeper>) {
        let (issuer, keeper) = match former {
            Some(former) if former.issuer.url() == cfg.issuer => (former.issuer.clone(), None),
            _ => {
                let (issuer, keeper) = issuer::follow(&cfg.issuer);
                (issuer, Some(keeper))
            }
        };
        let rules = Rules {
            issuer: (!cfg.skip_issuer_check).then(|| cfg.issuer.clone()),
            audience: Some(cfg.audience.clone()).filter(|audience| !audience.is_empty()),
            any_time: cfg.skip_expiry_check,
        };
        (Self { issuer, rules }, keeper)
    }

    /// The subject of a login's token.
    pub(super) async fn login(&self, token: &str) -> Result<String, BadCredentials> {
        let verified = self.verify(token).await;
        let claims = verified
            .map_err(|e| BadCredentials::new(format!("invalid OIDC token in login: {e}")))?;
        Ok(claims.subject)
    }

    /// A token that comes later must be one of `from`, who has logged in. frp says `ping` for work
    /// connections, too.
    pub(super) async fn later(&self, token: &str, from: &Subject) -> Result<(), BadCredentials> {
        let verified = self.verify(token).await;
        let claims = verified
            .map_err(|e| BadCredentials::new(format!("invalid OIDC token in ping: {e}")))?;
        if from.0.as_ref() != Some(&claims.subject) {
            return Err(BadCredentials::new(format!(
                "received different OIDC subject in login and ping. new subject: {}",
                claims.subject
            )));
        }
        Ok(())
    }

    async fn verify(&self, token: &str) -> Result<Claims, VerifyError> {
        let limit = Instant::now() + ISSUER_WAIT;
        let mut known = self.issuer.known();
        if let Some(age) = known.age() {
            if age.is_old && age.may_be_renewed {
                // Keys that are gone from the issuer must go here, too, but an issuer that hangs
                // must not end anything.
                let newer = timeout(ISSUER_REVALIDATE, self.issuer.newer_than(known.generation));
                known = newer.await.unwrap_or(known);
            } else if age.is_old {
                self.issuer.ask_for_newer_than(known.generation);
            }
        }
        if let Some(claims) = self.verify_with(&known, token)? {
            return Ok(claims);
        }
        // Perhaps signed with a key that the issuer has but we have not, as after a rotation.
        let newer = timeout_at(limit, self.issuer.newer_than(known.generation)).await;
        let known = newer.unwrap_or(known);
        match self.verify_with(&known, token)? {
            Some(claims) => Ok(claims),
            None if known.keys.is_none() => Err(VerifyError::NoIssuer),
            None => Err(VerifyError::Signature),
        }
    }

    /// `None`: not with these keys.
    fn verify_with(&self, known: &Known, token: &str) -> Result<Option<Claims>, VerifyError> {
        let Some(keys) = &known.keys else {
            return Ok(None);
        };
        let token = SignedToken::parse(token, &keys.algorithms)?;
        if !keys.set.verifies(&token) {
            return Ok(None);
        }
        let claims = token.claims()?;
        claims.check(&self.rules, now())?;
        Ok(Some(claims))
    }
}
