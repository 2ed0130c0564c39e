//! What routes lead to.

use std::sync::Arc;

use super::http::auth::Credentials;
use super::http::head::Policy;
use crate::proxy::members::Members;

/// What the routes of an http proxy, or of a group of them, lead to.
#[derive(Debug)]
pub(crate) struct HttpTarget {
    pub(crate) members: Arc<Members>,
    /// Of the first member, as in frp.
    pub(crate) policy: Policy,
}

/// What a route of tcpmux leads to.
#[derive(Debug)]
pub(crate) struct ConnectTarget {
    pub(crate) members: Arc<Members>,
    pub(crate) credentials: Option<Credentials>,
}
