//! The plugins that speak HTTP with users, where the build lacks them.

#![allow(clippy::unused_async, reason = "awaited like what it stands in for")]

use frp_config::{ClientPlugin, Feature};
use frp_relay::layers::Carried;

use super::error::PluginError;
use crate::BUILD;
use crate::tasks::Tasks;
use crate::user::User;

/// There is none.
#[derive(Debug)]
pub(crate) enum Http {}

impl Http {
    /// The program refuses settings that ask for one; this is for who uses the library.
    pub(super) fn new(_: &ClientPlugin, _: &Tasks) -> Result<Self, PluginError> {
        Err(PluginError::Lacking(BUILD.lacking(Feature::Http)))
    }

    pub(super) async fn serve(&self, _: Carried, _: &User) {
        match *self {}
    }

    pub(super) fn name(&self) -> &'static str {
        match *self {}
    }
}
