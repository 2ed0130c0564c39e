//! OpenID Connect, where the build lacks it: no token is good.

#![allow(clippy::unused_async, reason = "awaited like what it stands in for")]

use frp_config::{Feature, ServerOidc};
use tokio_util::sync::CancellationToken;

use super::{BadCredentials, Subject};
use crate::BUILD;

/// Refuses everybody.
#[derive(Debug)]
pub(super) struct OidcAuth;

/// There is none.
#[derive(Debug)]
pub(crate) enum Keeper {}

impl OidcAuth {
    pub(super) fn new(_: &ServerOidc, _: Option<&Self>) -> (Self, Option<Keeper>) {
        (Self, None)
    }

    pub(super) async fn login(&self, _: &str) -> Result<String, BadCredentials> {
        Err(refusal())
    }

    pub(super) async fn later(&self, _: &str, _: &Subject) -> Result<(), BadCredentials> {
        Err(refusal())
    }
}

fn refusal() -> BadCredentials {
    BadCredentials::new(BUILD.lacking(Feature::Oidc).to_string())
}

impl Keeper {
    pub(crate) async fn run(self, _: CancellationToken) {
        match self {}
    }
}
