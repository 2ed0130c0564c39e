//! The names that visitors may ask for, and whose they are
//! (frp `server/visitor/visitor.go`).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use frp_proto::crypto::cfb;

use crate::proxy::Proxy;
use crate::proxy::spec::Access;

/// Every name that visitors may ask for.
#[derive(Debug, Default)]
pub(crate) struct Visitors {
    by_name: Mutex<HashMap<Arc<str>, Arc<Visited>>>,
}

/// A proxy that only visitors reach.
#[derive(Debug)]
pub(crate) struct Visited {
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) carries: Carries,
    /// Of the visitors' cipher; the proxy's own leg has another key.
    pub(crate) key: cfb::Key,
}

/// What is done with the connection of an admitted visitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carries {
    /// Its bytes go to a work connection.
    Bytes,
    /// As above, but messages are translated where the two speak different wire protocols.
    Messages,
}

/// A name in the table, until dropped.
pub(crate) struct VisitedGuard {
    name: Arc<str>,
    visitors: Arc<Visitors>,
}

/// The name is taken; frp's text.
#[derive(Debug, thiserror::Error)]
#[error("custom listener for [{0}] is repeated")]
pub(crate) struct Repeated(String);

impl Visited {
    pub(crate) fn new(proxy: &Arc<Proxy>, access: &Access, carries: Carries) -> Self {
        Self {
            proxy: proxy.clone(),
            carries,
            key: cfb::Key::derive(access.secret.expose().as_bytes()),
        }
    }
}

impl Visitors {
    /// Visitors may ask for the name of the proxy of `visited` until the guard is dropped.
    pub(crate) fn list(self: &Arc<Self>, visited: Visited) -> Result<VisitedGuard, Repeated> {
        let name = visited.proxy.name.clone();
        let mut by_name = self.lock();
        if by_name.contains_key(&name) {
            return Err(Repeated(name.to_string()));
        }
        by_name.insert(name.clone(), Arc::new(visited));
        drop(by_name);
        Ok(VisitedGuard {
            name,
            visitors: self.clone(),
        })
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Visited>> {
        self.lock().get(name).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Visited>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for VisitedGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VisitedGuard").field(&self.name).finish()
    }
}

impl Drop for VisitedGuard {
    fn drop(&mut self) {
        self.visitors.lock().remove(&self.name);
    }
}
