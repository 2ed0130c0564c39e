//! The proxies that visitors may reach directly, and what is known of their networks.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::scores::Scores;
use crate::proxy::Proxy;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Nathole {
    by_name: Mutex<HashMap<Arc<str>, Arc<Proxy>>>,
    scores: Mutex<Scores>,
}

/// A name in the table, until dropped.
pub(crate) struct Listed {
    name: Arc<str>,
    nathole: Arc<Nathole>,
}

impl Nathole {
    /// Visitors may ask for `proxy`, whose name is its own, until the guard is dropped.
    pub(crate) fn list(self: &Arc<Self>, proxy: &Arc<Proxy>) -> Listed {
        self.table().insert(proxy.name.clone(), proxy.clone());
        Listed {
            name: proxy.name.clone(),
            nathole: self.clone(),
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<Arc<Proxy>> {
        self.table().get(name).cloned()
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Proxy>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn scores(&self) -> MutexGuard<'_, Scores> {
        self.scores.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listed").field(&self.name).finish()
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.nathole.table().remove(&self.name);
    }
}
