//! Asking a running frps, where the build lacks it. The command line refuses the commands before.

#![allow(clippy::unused_async, reason = "awaited like what it stands in for")]

use frp_config::cli::AdminCall;
use frp_config::{Feature, Lacking};

use crate::BUILD;

/// # Errors
/// Always.
pub(crate) async fn run(_: &AdminCall) -> Result<String, Lacking> {
    Err(BUILD.lacking(Feature::Pages))
}

/// # Errors
/// Always.
pub(crate) async fn watch(_: &AdminCall) -> Result<(), Lacking> {
    Err(BUILD.lacking(Feature::Top))
}
