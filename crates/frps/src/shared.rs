//! What every connection of the server may need: the [`Base`], and the tables of who is logged in and
//! of what users reach.

use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;

use frp_net::strangers::Strangers;

use crate::base::Base;
use crate::client::registry::Registry;
use crate::group::Groups;
use crate::nathole::table::Nathole;
use crate::proof::Challenges;
use crate::vhost::tables::Vhosts;
use crate::visitors::Visitors;

/// See the module.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) base: Arc<Base>,
    pub(crate) registry: Registry,
    pub(crate) challenges: Challenges,
    pub(crate) groups: Arc<Groups>,
    pub(crate) visitors: Arc<Visitors>,
    pub(crate) nathole: Arc<Nathole>,
    pub(crate) vhosts: Vhosts,
    pub(crate) strangers: Strangers,
}

impl Shared {
    /// Ends what those have of whom `is_banned` says yes: their connections as users, and as clients their sessions.
    pub(crate) fn end_banned(&self, is_banned: impl Fn(IpAddr) -> bool) {
        let from = |from: SocketAddr| is_banned(from.ip());
        self.conns.end_banned(|conn| conn.from.is_some_and(from));
        for session in self.registry.at(&is_banned) {
            session.ended.cancel();
        }
    }
}

/// Whoever has the tables has the base.
impl Deref for Shared {
    type Target = Base;

    fn deref(&self) -> &Base {
        &self.base
    }
}
