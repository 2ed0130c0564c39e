//! Who replaces the policy of a running server?

use std::sync::{Arc, PoisonError};

use frp_config::ServerConfig;

use crate::base::Base;
use crate::policy::{PolicyError, divide};

/// Replaces the policy of a server: the only one who does.
#[derive(Debug, Clone)]
pub struct PolicyWriter {
    base: Arc<Base>,
}

impl PolicyWriter {
    pub(crate) fn of(base: &Arc<Base>) -> Self {
        let base = base.clone();
        Self { base }
    }

    /// Has every decision from now on go by `cfg`, whole or, where there is an error, not at all. What
    /// is there stays as it was decided, until it ends by itself.
    ///
    /// Reads the files that `cfg` names, and needs the runtime of the server: in async code, call it by
    /// `spawn_blocking`.
    ///
    /// # Errors
    /// See [`PolicyError`]; the former policy stays in force.
    pub fn replace(&self, cfg: ServerConfig) -> Result<(), PolicyError> {
        let Base {
            bound,
            in_force,
            tasks,
            stop,
            ..
        } = &*self.base;
        let writing = in_force.writing.lock();
        let _one_at_a_time = writing.unwrap_or_else(PoisonError::into_inner);
        let (new_bound, policy, keeper) = divide(cfg, Some(&in_force.snapshot()))?;
        let differing = bound.differing_from(&new_bound);
        if !differing.is_empty() {
            return Err(PolicyError::Bound(differing));
        }
        if let Some(keeper) = keeper {
            tasks.spawn(keeper.run(stop.clone()));
        }
        frp_log::set_level(policy.log_level);
        in_force.policy.send_replace(Arc::new(policy));
        Ok(())
    }
}
