//! Tokens of an OpenID Connect issuer, where the build lacks them.

#![allow(clippy::unused_async, reason = "awaited like what it stands in for")]

use frp_config::{ClientOidc, Feature, Lacking, Secret};

use crate::BUILD;

/// There is none.
#[derive(Debug)]
pub(super) enum Oidc {}

/// That there are none.
#[derive(Debug, thiserror::Error)]
#[error("auth.method = \"oidc\": {0}")]
pub struct EndpointSetupError(Lacking);

/// Never.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialError {}

impl Oidc {
    /// The program refuses settings that ask for it; this is for who uses the library.
    pub(super) fn new(_: &ClientOidc) -> Result<Self, EndpointSetupError> {
        Err(EndpointSetupError(BUILD.lacking(Feature::Oidc)))
    }

    pub(super) async fn token(&self) -> Result<Secret, CredentialError> {
        match *self {}
    }

    pub(super) fn forget(&self) {
        match *self {}
    }
}
