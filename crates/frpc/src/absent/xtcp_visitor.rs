//! xtcp visitors, where the build lacks them. The program refuses settings with one; this is for who uses the
//! library.

#![allow(clippy::unused_async, reason = "awaited like what it stands in for")]

use std::sync::Arc;

use frp_config::Feature;
use frp_log::warn;

use super::visitor::{User, Visitor};
use crate::BUILD;

/// There is none.
#[derive(Debug, Default)]
pub(super) struct Direct;

/// Carries nobody.
pub(super) async fn carry(visitor: Arc<Visitor>, user: User) {
    let from = &user.from;
    let lacking = BUILD.lacking(Feature::Xtcp);
    warn!(visitor.log, "user connection [{from}] closed: {lacking}");
}

/// Keeps nothing.
pub(super) async fn keep(_: Arc<Visitor>) {}
