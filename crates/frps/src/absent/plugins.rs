//! Server plugins, where the build cannot ask them: there are none, a file with some is refused.

#![allow(clippy::unused_async, reason = "awaited like what it stands in for")]

use frp_config::{Feature, HttpPlugin, Lacking};
use frp_proto::plugin::{Content, PluginOp};

use crate::BUILD;
use crate::counts::CallCounts;

#[derive(Debug, Default)]
pub(crate) struct Plugins;

/// There are some.
pub type PluginSetupError = Lacking;

/// There is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PluginError {}

impl Plugins {
    pub(crate) fn new(
        settings: Vec<HttpPlugin>,
        _: Option<&Self>,
    ) -> Result<Self, PluginSetupError> {
        match settings.is_empty() {
            true => Ok(Self),
            false => Err(BUILD.lacking(Feature::Http)),
        }
    }

    pub(crate) fn counts(&self) -> impl Iterator<Item = (&str, PluginOp, &CallCounts)> {
        std::iter::empty()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    pub(crate) fn want(&self, _: PluginOp) -> bool {
        false
    }

    pub(crate) async fn decide<C: Content>(&self, _: &mut C) -> Result<bool, PluginError> {
        Ok(false)
    }

    pub(crate) async fn tell<C: Content>(&self, _: &C) -> Vec<PluginError> {
        Vec::new()
    }
}

impl PluginError {
    pub(crate) fn for_peer(&self) -> String {
        match *self {}
    }
}
