//! The admin API, where the build lacks it.

#![allow(clippy::unused_async, reason = "awaited like what it stands in for")]

use std::sync::Arc;

use frp_config::{Feature, Lacking, WebServer};
use tokio_util::sync::CancellationToken;

use crate::BUILD;
use crate::client::Client;

/// There is none.
#[derive(Debug)]
pub(crate) enum Web {}

/// Nobody is let in.
#[derive(Debug)]
pub(crate) enum Access {}

/// That there is none.
#[derive(Debug, thiserror::Error)]
#[error("webServer.port: {0}")]
pub struct WebError(Lacking);

/// The program refuses settings that ask for it; this is for who uses the library.
pub(crate) fn bind(_: &WebServer) -> Result<(Web, Arc<Access>), WebError> {
    Err(WebError(BUILD.lacking(Feature::Pages)))
}

/// Shows nothing.
#[derive(Debug)]
pub(crate) struct Admin;

impl Admin {
    pub(crate) fn new(_: Arc<Access>, _: &Client, _: CancellationToken) -> Self {
        Self
    }

    pub(crate) async fn run(self, web: Web, _: String) {
        match web {}
    }
}
