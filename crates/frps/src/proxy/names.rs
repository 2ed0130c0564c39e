//! The proxy names in use, over all clients and kinds.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Names {
    taken: Mutex<HashSet<Arc<str>>>,
}

/// The name is another's; frp's text.
#[derive(Debug, thiserror::Error)]
#[error("proxy [{0}] already exists")]
pub(crate) struct NameTaken(String);

/// A name in use, given back on drop.
#[derive(Debug)]
pub(crate) struct NameGuard {
    name: Arc<str>,
    names: Arc<Names>,
}

impl Names {
    pub(crate) fn take(self: &Arc<Self>, name: &Arc<str>) -> Result<NameGuard, NameTaken> {
        if !self.lock().insert(name.clone()) {
            return Err(NameTaken(name.to_string()));
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
