//! Tokens of an OpenID Connect issuer: who gives them to us?

use std::sync::Arc;

use frp_config::{ClientOidc, Secret};

use super::endpoint::Endpoint;
pub(crate) use super::endpoint::{EndpointSetupError, TokenError};
use super::grant::Grants;
use super::source::{Source, SourceError};

/// Where tokens are from.
#[derive(Debug)]
pub(super) enum Oidc {
    /// The issuer gives them for client id and secret.
    Grants(Grants),
    /// Somebody else has got them; read anew each time.
    Source(Source),
}

/// Why there are no credentials. The texts before the colon are frp's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialError {
    #[error("couldn't generate OIDC token for login: {0}")]
    Grant(Arc<TokenError>),
    #[error("couldn't acquire OIDC token for login: {0}")]
    Source(#[from] SourceError),
}

impl Oidc {
    pub(super) fn new(cfg: &ClientOidc) -> Result<Self, EndpointSetupError> {
        Ok(match &cfg.token_source {
            Some(source) => Self::Source(Source::new(source.clone())),
            None => Self::Grants(Grants::new(Endpoint::new(cfg)?)),
        })
    }

    pub(super) async fn token(&self) -> Result<Secret, CredentialError> {
        match self {
            Self::Grants(grants) => grants.token().await.map_err(CredentialError::Grant),
            Self::Source(source) => Ok(source.read().await?),
        }
    }

    /// A token that is kept is good no longer.
    pub(super) fn forget(&self) {
        if let Self::Grants(grants) = self {
            grants.forget();
        }
    }
}
