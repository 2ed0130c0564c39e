//! The proxy names in use, over all clients and kinds.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ProxyError;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Names {
    taken: Mutex<HashSet<String>>,
}

/// A name in use, given back on drop.
#[derive(Debug)]
pub(crate) struct NameGuard {
    name: String,
    names: Arc<Names>,
}

impl Names {
    pub(super) fn take(self: &Arc<Self>, name: &str) -> Result<NameGuard, ProxyError> {
        if !self.lock().insert(name.to_owned()) {
            return Err(ProxyError::Exists(name.to_owned()));
        }
        Ok(NameGuard {
            name: name.to_owned(),
            names: self.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for NameGuard {
    fn drop(&mut self) {
        self.names.lock().remove(&self.name);
    }
}
