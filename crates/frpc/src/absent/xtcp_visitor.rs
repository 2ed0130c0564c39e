//! xtcp visitors, where the build lacks them. The program refuses settings with one; this is for who uses the
//! library.

#![allow(clippy::unused_async, reason = "awaited like what it stands in for")]

use std::sync::Arc;

use frp_config::{Feature, Lacking, XtcpVisitor};
use frp_relay::layers::Carried;

use super::visitor::{VisitError, Visitor};
use crate::BUILD;

/// There is none.
#[derive(Debug, Default)]
pub(super) struct Direct;

/// Always.
pub(super) type NoPath = Lacking;

impl Direct {
    pub(super) async fn open(
        &self,
        _: &Visitor,
        _: &XtcpVisitor,
        _: usize,
    ) -> Result<Carried, VisitError> {
        Err(BUILD.lacking(Feature::Xtcp).into())
    }

    pub(super) fn why(&self) -> Option<String> {
        None
    }
}

/// Keeps nothing.
pub(super) async fn keep(_: Arc<Visitor>) {}
