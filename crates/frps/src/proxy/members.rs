//! Who serves the users of a port or a route: one proxy, or the members of a group in turn.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::Proxy;

/// See the module. Empty once the last member has left.
#[derive(Debug, Default)]
pub(crate) struct Members {
    list: RwLock<Vec<Arc<Proxy>>>,
    next: AtomicUsize,
}

/// A proxy among the members, until dropped.
#[derive(Debug)]
pub(crate) struct Membership {
    proxy: Arc<Proxy>,
    members: Arc<Members>,
}

impl Members {
    /// Adds `proxy`.
    pub(crate) fn join(self: &Arc<Self>, proxy: &Arc<Proxy>) -> Membership {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.push(proxy.clone());
        Membership {
            proxy: proxy.clone(),
            members: self.clone(),
        }
    }

    /// Whose turn it is.
    pub(crate) fn next(&self) -> Option<Arc<Proxy>> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let nth = turn.checked_rem(list.len())?;
        list.get(nth).cloned()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let members = &self.members.list;
        let mut list = members.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = list.iter().position(|p| Arc::ptr_eq(p, &self.proxy)) {
            list.remove(at);
        }
    }
}
