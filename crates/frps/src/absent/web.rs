//! The HTTP API, where the build lacks it.

#![allow(clippy::unused_async, reason = "awaited like what it stands in for")]

use std::sync::Arc;

use frp_config::{Feature, Lacking};

use crate::BUILD;
use crate::shared::Shared;
use crate::stats::Stats;

/// There is none.
#[derive(Debug)]
pub(crate) enum Web {}

/// That there is none.
#[derive(Debug, thiserror::Error)]
#[error("webServer.port: {0}")]
pub struct WebError(Lacking);

/// The programs refuse settings that ask for it; this is for who uses the library.
pub(crate) fn bind(_: &(String, u16)) -> Result<Web, WebError> {
    Err(WebError(BUILD.lacking(Feature::Pages)))
}

pub(crate) async fn run(web: Web, _: (String, u16), _: Arc<Shared>, _: Arc<Stats>) {
    match web {}
}
