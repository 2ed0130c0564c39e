//! What routes lead to.

use std::sync::Arc;

use frp_http::basic::Login;

use super::http::head::RouteConfig;
use crate::proxy::members::Members;

/// What the routes of an http proxy, or of a group of them, lead to.
#[derive(Debug)]
pub(crate) struct HttpTarget {
    pub(crate) members: Arc<Members>,
    /// Of the first member, as in frp.
    pub(crate) config: RouteConfig,
}

/// What a route of tcpmux leads to.
#[derive(Debug)]
pub(crate) struct ConnectTarget {
    pub(crate) members: Arc<Members>,
    pub(crate) login: Login,
}
