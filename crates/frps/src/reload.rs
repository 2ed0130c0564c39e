//! Who replaces the policy of a running server? Whoever has it in a program ([`PolicyWriter`]), and
//! whoever asks to read the configuration file again ([`Reloader`]).

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use frp_config::{LoadError, LoadOptions, ServerConfig, TokenSourceError, load_server};
use frp_log::{Log, error, info, warn};
use frp_process::file::unfit_to_reread;
use serde::Serialize;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval};

use crate::base::Base;
use crate::key_store;
use crate::limits::LOOK_AT_LISTS;
use crate::policy::{Former, PolicyError, divide, keep_bound};

/// Replaces the policy of a server: the only one who does.
#[derive(Debug, Clone)]
pub struct PolicyWriter {
    base: Arc<Base>,
}

/// What new settings have changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Replaced {
    /// The keys that count by now.
    pub applied: Vec<String>,
    /// Those that are left as they were, until the server is started anew.
    pub restart: Vec<&'static str>,
}

impl PolicyWriter {
    pub(crate) fn of(base: &Arc<Base>) -> Self {
        let base = base.clone();
        Self { base }
    }

    /// Has every decision from now on go by `cfg`, as far as it can change while the server runs, or,
    /// where there is an error, by nothing of it. What is there stays as it was decided, until it ends by
    /// itself.
    ///
    /// Reads the files that `cfg` names, and needs the runtime of the server: in async code, call it by
    /// `spawn_blocking`.
    ///
    /// # Errors
    /// See [`PolicyError`]; the former policy stays in force.
    pub fn replace(&self, mut cfg: ServerConfig) -> Result<Replaced, PolicyError> {
        let Base {
            in_force,
            tasks,
            stop,
            ..
        } = &*self.base;
        let settings = in_force.settings.lock();
        let mut settings = settings.unwrap_or_else(PoisonError::into_inner);
        let restart = keep_bound(&mut cfg, &settings);
        let former = Former {
            settings: settings.clone(),
            policy: in_force.snapshot(),
        };
        let (_, policy, keeper) = divide(cfg.clone(), Some(&former))?;
        // The last that may fail.
        frp_log::replace(&settings.log, &cfg.log)?;
        if let Some(keeper) = keeper {
            tasks.spawn(keeper.run(stop.clone()));
        }
        self.base.bans.follow(policy.guards.bans.clone());
        let applied = settings.differing_from(&cfg);
        if policy.fingerprint != former.policy.fingerprint {
            key_store::tell(&policy);
        }
        in_force.policy.send_replace(Arc::new(policy));
        *settings = cfg;
        Ok(Replaced { applied, restart })
    }
}

/// Where settings come from.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    /// The file.
    pub path: PathBuf,
    /// How it is read.
    pub options: LoadOptions,
}

/// Reads the configuration file of a server again.
#[derive(Debug, Clone)]
pub struct Reloader {
    policy: PolicyWriter,
}

/// Why it could not be read again; nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The settings do not come from a file.
    #[error(
        "frps was started by flags, without a configuration file: there is none to read again; \
         start it with -c"
    )]
    NoFile,
    /// The file cannot be read twice, or is being written.
    #[error("{}: {why}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is the matter, and what to do.
        why: &'static str,
    },
    /// The file cannot be read, or is wrong.
    #[error("{0}")]
    Load(#[from] LoadError),
    /// The token cannot be read.
    #[error("{0}")]
    Token(#[from] TokenSourceError),
    /// The settings cannot be gone by.
    #[error("{0}")]
    Policy(#[from] PolicyError),
    /// The program is at its end.
    #[error("{0}")]
    Ended(#[from] JoinError),
}

impl Reloader {
    pub(crate) fn of(base: &Arc<Base>) -> Self {
        let policy = PolicyWriter::of(base);
        Self { policy }
    }

    /// Reads the file and has every decision from now on go by it; see [`PolicyWriter::replace`]. The log
    /// tells what has changed. One after the other, in the order of the calls.
    ///
    /// # Errors
    /// See [`ReloadError`].
    pub async fn reload(&self) -> Result<Replaced, ReloadError> {
        let turn = self.policy.base.in_force.reading.clone().lock_owned().await;
        let policy = self.policy.clone();
        // Goes on where nobody waits for it any more, and so keeps its turn.
        let reading = spawn_blocking(move || {
            let read = read(&policy);
            policy.base.counts.reloads.count(read.is_ok());
            tell(&policy, &read);
            drop(turn);
            read
        });
        reading.await?
    }
}

/// Reads the files of addresses anew that have changed, until the server stops.
pub(crate) async fn watch_lists(base: Arc<Base>) {
    let mut turns = interval(LOOK_AT_LISTS);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = turns.tick() => {}
            () = base.stop.cancelled() => return,
        }
        let policy = base.policy();
        if policy.guards.files().next().is_none() {
            continue;
        }
        let looking = spawn_blocking(move || {
            for file in policy.guards.files() {
                file.look();
            }
        });
        // It has no result, and a panic in it is told by the runtime.
        let _ = looking.await;
    }
}

fn read(policy: &PolicyWriter) -> Result<Replaced, ReloadError> {
    let file = policy.base.file.as_ref().ok_or(ReloadError::NoFile)?;
    let ConfigFile { path, options } = file;
    if let Some(why) = unfit_to_reread(path) {
        let path = path.clone();
        return Err(ReloadError::Unfit { path, why });
    }
    let loaded = load_server(path, options)?;
    for warning in &loaded.warnings {
        warn!(Log::root(), "{warning}");
    }
    let cfg = loaded.settings.resolve()?;
    Ok(policy.replace(cfg)?)
}

fn tell(policy: &PolicyWriter, read: &Result<Replaced, ReloadError>) {
    let log = Log::root();
    match read {
        Ok(Replaced { applied, restart }) => {
            let path = policy.base.file.as_ref().map(|file| file.path.display());
            let path = path.map(|path| path.to_string()).unwrap_or_default();
            match applied.is_empty() {
                true => info!(log, "reloaded {path}: no setting has changed"),
                false => info!(log, "reloaded {path}: {} applied", applied.join(", ")),
            }
            if !restart.is_empty() {
                let keys = restart.join(", ");
                warn!(
                    log,
                    "{keys} cannot change while frps runs and stay as they were; restart it"
                );
            }
        }
        Err(e) => {
            for line in e.to_string().lines() {
                error!(log, "reload refused, nothing has changed: {line}");
            }
        }
    }
}
