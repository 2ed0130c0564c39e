//! The routes of proxies, alone or in groups (frp `server/group`).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use frp_config::Secret;

use super::router::{RouteConflict, RouteGuards, RouteKey, Router};
use crate::proxy::members::{Members, Membership};
use crate::proxy::{Proxy, spec};

/// The routes of one kind of vhost and the groups that share some. `T` is what a route leads to;
/// `P` is what else must be the same in a group.
#[derive(Debug)]
pub(crate) struct VhostGroups<T, P> {
    pub(crate) router: Arc<Router<T>>,
    groups: Mutex<HashMap<String, Group<T, P>>>,
}

/// Why a proxy got no routes; the texts are frp's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GroupError {
    #[error("group auth failed")]
    Auth,
    #[error("group params invalid")]
    Params,
    #[error("group proxy repeated")]
    Repeated,
    #[error(transparent)]
    Conflict(#[from] RouteConflict),
}

/// The routes of a proxy, until dropped; those of a group stay until its last member has left.
pub(crate) struct Routes<T, P> {
    membership: Option<Membership>,
    held: HeldRoutes<T, P>,
}

enum HeldRoutes<T, P> {
    Own {
        _guards: RouteGuards<T>,
    },
    Group {
        name: String,
        groups: Arc<VhostGroups<T, P>>,
    },
}

#[derive(Debug)]
struct Group<T, P> {
    key: Secret,
    /// Sorted.
    routes: Vec<RouteKey>,
    params: P,
    members: Arc<Members>,
    _guards: RouteGuards<T>,
}

impl<T, P> Default for VhostGroups<T, P> {
    fn default() -> Self {
        Self {
            router: Arc::default(),
            groups: Mutex::default(),
        }
    }
}

impl<T: Clone, P: Eq> VhostGroups<T, P> {
    /// Leads `routes` to `proxy`, or, where that has a group, has it serve them in turn with the
    /// other members of the group. Those must have the same key, `params` and set of routes: in frp
    /// a proxy with two domains or locations could not join any group.
    ///
    /// `target` makes what the routes lead to, unless the group has it already.
    pub(crate) fn add(
        self: &Arc<Self>,
        params: P,
        mut routes: Vec<RouteKey>,
        proxy: &Arc<Proxy>,
        target: impl FnOnce(Arc<Members>) -> T,
    ) -> Result<Routes<T, P>, GroupError> {
        let spec::Group { name, key } = &proxy.spec.group;
        if name.is_empty() {
            let members = Arc::new(Members::default());
            let membership = members.join(proxy);
            return Ok(Routes {
                membership: Some(membership),
                held: HeldRoutes::Own {
                    _guards: self.router.add(routes, &target(members))?,
                },
            });
        }
        routes.sort();
        if routes
            .windows(2)
            .any(|pair| matches!(pair, [a, b] if a == b))
        {
            return Err(GroupError::Repeated);
        }
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let membership = match groups.get(name) {
            Some(group) => {
                let (known, given) = (group.key.expose().as_bytes(), key.expose().as_bytes());
                verify_slices_are_equal(known, given).map_err(|_| GroupError::Auth)?;
                if group.routes != routes || group.params != params {
                    return Err(GroupError::Params);
                }
                group.members.join(proxy)
            }
            None => {
                let members = Arc::new(Members::default());
                let membership = members.join(proxy);
                let new = Group {
                    key: key.clone(),
                    params,
                    _guards: self.router.add(routes.clone(), &target(members.clone()))?,
                    routes,
                    members,
                };
                groups.insert(name.clone(), new);
                membership
            }
        };
        drop(groups);
        Ok(Routes {
            membership: Some(membership),
            held: HeldRoutes::Group {
                name: name.clone(),
                groups: self.clone(),
            },
        })
    }
}

impl<T, P> fmt::Debug for Routes<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Routes")
    }
}

impl<T, P> Drop for Routes<T, P> {
    fn drop(&mut self) {
        let HeldRoutes::Group { name, groups } = &self.held else {
            return;
        };
        // Under the lock: nobody may join a group that is about to end.
        let mut groups = groups.groups.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.membership.take());
        if groups
            .get(name)
            .is_some_and(|group| group.members.is_empty())
        {
            groups.remove(name);
        }
    }
}
