//! `frpc nathole discover`, where the build lacks direct paths.

#![allow(clippy::unused_async, reason = "awaited like what it stands in for")]

use frp_config::cli::Discover;
use frp_config::{Feature, Lacking};

use crate::BUILD;

/// # Errors
/// Always.
pub(crate) async fn run(_: &Discover) -> Result<String, Lacking> {
    Err(BUILD.lacking(Feature::Xtcp))
}
