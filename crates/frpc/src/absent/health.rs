//! The http check, where the build lacks it.

#![allow(clippy::unused_async, reason = "awaited like what it stands in for")]

use std::time::Duration;

use frp_config::{Feature, Lacking};

use crate::BUILD;

/// That there is none.
pub(crate) type HttpError = Lacking;

/// The program refuses settings that ask for it; this is for who uses the library.
pub(super) async fn check(
    _: (&str, u16),
    _: &str,
    _: &[(String, String)],
    _: Duration,
) -> Result<(), HttpError> {
    Err(BUILD.lacking(Feature::Http))
}
