//! The SSH gateway, where the build lacks it.

#![allow(clippy::unused_async, reason = "awaited like what it stands in for")]

use std::sync::Arc;

use frp_config::Feature;

use crate::BUILD;
use crate::bind_error::BindError;
use crate::policy::SshGateway;
use crate::shared::Shared;

/// There is none.
#[derive(Debug)]
pub(crate) enum Gateway {}

impl Gateway {
    /// The programs refuse settings that ask for it; this is for who uses the library.
    pub(crate) fn bind(_: &str, _: &SshGateway) -> Result<Self, BindError> {
        Err(BindError::Lacking(BUILD.lacking(Feature::Ssh)))
    }

    pub(crate) fn port(&self) -> u16 {
        match *self {}
    }

    pub(crate) async fn run(self, _: Arc<Shared>) {
        match self {}
    }
}
