//! The proxy names in use, over all clients and kinds.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// And what has whoever holds it asked whether it is there.
    taken: Mutex<HashMap<Arc<str>, Arc<Notify>>>,
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
    /// Takes the name for whom `doubted` wakes when another one wants it.
    pub(crate) fn take(
        self: &Arc<Self>,
        name: &Arc<str>,
        doubted: &Arc<Notify>,
    ) -> Result<NameGuard, NameTaken> {
        match self.lock().entry(name.clone()) {
            Entry::Vacant(free) => free.insert(doubted.clone()),
            Entry::Occupied(taken) => {
                taken.get().notify_one();
                return Err(NameTaken(name.to_string()));
            }
        };
        Ok(NameGuard {
            name: name.clone(),
            names: self.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Notify>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for NameGuard {
    fn drop(&mut self) {
        self.names.lock().remove(&self.name);
    }
}
