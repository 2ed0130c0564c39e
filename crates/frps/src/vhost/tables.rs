//! Who has which host names, at which ports.

use std::sync::Arc;

use frp_net::sniff::Users;
use frp_net::strangers::Strangers;

use super::groups::VhostGroups;
use super::target::{ConnectTarget, HttpTarget};
use crate::policy::Bound;
use crate::proxy::members::Members;
use crate::proxy::spec::HttpLogin;

/// Who has which host names.
#[derive(Debug)]
pub(crate) struct Vhosts {
    /// Which of the ports below are bindPort itself.
    pub(crate) at_bind_port: Users,
    pub(crate) https: Arc<VhostGroups<Arc<Members>, ()>>,
    /// `httpUser` and `httpPassword` of the first member hold for a whole group, so a member with
    /// others must not join it. In an http group of frp, its own are ignored.
    pub(crate) http: Arc<VhostGroups<Arc<HttpTarget>, HttpLogin>>,
    pub(crate) connect: Arc<VhostGroups<Arc<ConnectTarget>, HttpLogin>>,
    /// Users that have not said yet whom they are for.
    pub(super) strangers: Strangers,
}

impl Vhosts {
    pub(crate) fn new(bound: &Bound) -> Self {
        let same = |port| bound.bind_addr == bound.proxy_bind_addr && port == Some(bound.bind_port);
        Self {
            at_bind_port: Users {
                http: same(bound.vhost_http_port),
                https: same(bound.vhost_https_port),
            },
            https: Arc::default(),
            http: Arc::default(),
            connect: Arc::default(),
            strangers: Strangers::default(),
        }
    }
}
