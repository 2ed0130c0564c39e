//! The proxy names in use, over all clients and kinds.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ProxyError;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Names {
    taken: Mutex<HashSet<Arc<str>>>,
}

/// A name in use, given back on drop.
#[derive(Debug)]
pub(crate) struct NameGuard {
    name: Arc<str>,
    names: Arc<Names>,
}

impl Names {
    pub(super) fn take(self: &Arc<Self>, name: &Arc<str>) -> Result<NameGuard, ProxyError> {
        if !self.lock().insert(name.clone()) {
            return Err(ProxyError::Exists(name.to_string()));
        }
        Ok(NameGuard {
            name: name.clone(),
            names: self.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<Arc<str>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for NameGuard {
    fn drop(&mut self) {
        self.names.lock().remove(&self.name);
    }
}
