//! What shall run: the settings of the file with the entries of the store over them, and how both change
//! while the client runs (frp `client/config_manager.go`, `pkg/config/source/aggregator.go`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use frp_config::{
    ClientConfig, Definitions, EntryKind, LoadError, LoadOptions, Problem, Store, StoreEntry,
    StoreError, Texts, load_client,
};
use frp_log::{Log, error, info, warn};
use frp_net::tls::look_at_certificates;
use frp_process::file::unfit_to_reread;
use tokio::sync::watch;

use crate::confirm;
use crate::store::{ChangeError, Found, OpenError, ReadError, StoreFile};

/// Where a client's settings came from, to be read again from there.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    /// The file.
    pub path: PathBuf,
    /// How it was read.
    pub options: LoadOptions,
    /// Its proxies and visitors as the admin API shows them.
    pub definitions: Arc<Definitions>,
    /// Its texts, for a reload that may have to be undone.
    pub texts: Arc<Texts>,
}

/// The settings of a client.
#[derive(Debug)]
pub(crate) struct Settings {
    file: Option<ConfigFile>,
    /// What the client goes by outside its proxies and visitors.
    started: Arc<ClientConfig>,
    /// Held while files are read and written, so that one change follows the other; nobody who only looks
    /// waits for it.
    changing: Mutex<Option<StoreFile>>,
    now: Mutex<Now>,
    /// What the session compares its proxies and visitors with.
    merged: watch::Sender<Arc<ClientConfig>>,
}

/// What is in force.
#[derive(Debug)]
struct Now {
    /// How many there were of the next.
    trials: u64,
    /// What was tried last, if it waits to be confirmed.
    trial: Option<(Trial, Former)>,
    texts: Arc<Texts>,
    /// As the file has them.
    file: Arc<ClientConfig>,
    definitions: Arc<Definitions>,
    store: Option<Arc<Store>>,
}

/// Settings that are tried, and undone if nobody confirms them.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    /// Grows with each.
    pub(crate) number: u64,
    pub(crate) until: Instant,
    pub(crate) until_unix_ms: u64,
}

/// What comes back then. The store goes on as it is.
#[derive(Debug, Clone)]
struct Former {
    file: Arc<ClientConfig>,
    definitions: Arc<Definitions>,
    texts: Arc<Texts>,
}

/// What a reload has come to.
#[derive(Debug)]
pub(crate) struct Reloaded {
    /// Keys that differ from those that the client was started with, and stay so.
    pub(crate) restart: Vec<String>,
    /// What waits to be confirmed.
    pub(crate) trial: Option<Trial>,
}

/// Why nothing was confirmed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfirmError {
    #[error("nothing waits to be confirmed")]
    Nothing,
    #[error("the former settings cannot be removed, and will come back: {0}")]
    Kept(io::Error),
}

/// Why the store cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreRefusal {
    /// There is none. The words are frp's.
    #[error("store disabled: store API is disabled")]
    Disabled,
    #[error("{0}")]
    Change(#[from] ChangeError),
}

/// Why nothing was reloaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    /// The words are frp's.
    #[error("frpc has no config file path")]
    NoFile,
    /// The file cannot be read twice, or is being written.
    #[error("{}: {why}", path.display())]
    Unfit { path: PathBuf, why: &'static str },
    #[error("{0}")]
    File(#[from] LoadError),
    #[error("{0}")]
    Store(#[from] ReadError),
    #[error("the former settings cannot be kept beside {}, so that nothing was changed: {source}", path.display())]
    Keep { path: PathBuf, source: io::Error },
}

impl Settings {
    /// Settings that were loaded, from `file`. Reads the store that they name.
    pub(crate) fn new(cfg: ClientConfig, file: Option<ConfigFile>) -> Result<Self, OpenError> {
        let mut store_file = None;
        let mut store = None;
        if let (Some(path), Some(file)) = (&cfg.store_path, &file) {
            let path = file
                .path
                .parent()
                .map_or_else(|| path.clone(), |folder| folder.join(path));
            let (opened, found) = StoreFile::open(path, file.options.clone())?;
            let found = found.map(|found| {
                tell(&found.warnings);
                found.store
            });
            store_file = Some(opened);
            store = Some(Arc::new(found.unwrap_or_default()));
        }
        let definitions = file.as_ref().map(|file| file.definitions.clone());
        let texts = file.as_ref().map(|file| file.texts.clone());
        let now = Now {
            trials: 0,
            trial: None,
            texts: texts.unwrap_or_default(),
            file: Arc::new(cfg),
            definitions: definitions.unwrap_or_default(),
            store,
        };
        Ok(Self {
            started: now.file.clone(),
            file,
            changing: Mutex::new(store_file),
            merged: watch::Sender::new(now.merged()),
            now: Mutex::new(now),
        })
    }

    /// What runs, now and whenever it changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<ClientConfig>> {
        self.merged.subscribe()
    }

    /// What runs.
    pub(crate) fn merged(&self) -> Arc<ClientConfig> {
        self.merged.borrow().clone()
    }

    /// Where the settings came from.
    pub(crate) fn file(&self) -> Option<&ConfigFile> {
        self.file.as_ref()
    }

    /// The store, where there is one.
    pub(crate) fn store(&self) -> Option<Arc<Store>> {
        self.now().store.clone()
    }

    /// A proxy or visitor that runs, or is in the store, as JSON.
    pub(crate) fn running(&self, kind: EntryKind, name: &str) -> Option<String> {
        let (file, definitions, store) = {
            let now = self.now();
            (now.file.clone(), now.definitions.clone(), now.store.clone())
        };
        store
            .unwrap_or_default()
            .running((kind, name), &file, &definitions)
    }

    /// When the former settings come back, if a reload waits to be confirmed, in Unix milliseconds.
    pub(crate) fn confirm_until(&self) -> Option<u64> {
        let now = self.now();
        let (trial, _) = now.trial.as_ref()?;
        Some(trial.until_unix_ms)
    }

    /// As [`reload`](Self::reload), with the options that the file was read with; the log tells of errors.
    pub(crate) fn reload_as_before(&self) {
        let strict = self.file().is_some_and(|file| file.options.strict);
        if let Err(e) = self.reload(strict, None) {
            for line in e.to_string().lines() {
                error!(Log::root(), "reload refused, nothing has changed: {line}");
            }
        }
    }

    /// Reads the file again, and certificates, and what was changed in the store by hand. Where something is
    /// wrong, nothing changes. With `confirm`, [`undo`](Self::undo) is to be called after that time; one that
    /// waits already goes on waiting, and what comes back is what was confirmed last. Blocks.
    pub(crate) fn reload(
        &self,
        strict: bool,
        confirm: Option<Duration>,
    ) -> Result<Reloaded, ReloadError> {
        let ConfigFile { path, options, .. } = self.file().ok_or(ReloadError::NoFile)?;
        let options = LoadOptions {
            strict,
            ..options.clone()
        };
        let mut changing = self.changing();
        if let Some(why) = unfit_to_reread(path) {
            let path = path.clone();
            return Err(ReloadError::Unfit { path, why });
        }
        let loaded = load_client(path, &options)?;
        let news = match &*changing {
            Some(file) => file.read_news()?,
            None => None,
        };
        if let Some(time) = confirm {
            self.begin_trial(path, time)?;
        }
        look_at_certificates();
        tell(&loaded.warnings);
        let restart = self.started.differing_from(&loaded.settings);
        self.set(|now| {
            now.file = Arc::new(loaded.settings);
            now.definitions = Arc::new(loaded.definitions);
            now.texts = Arc::new(loaded.texts);
            if let (Some(file), Some(news)) = (&mut *changing, news) {
                now.store = Some(take_in(file, news));
            }
        });
        info!(Log::root(), "success reload conf");
        if !restart.is_empty() {
            warn!(
                Log::root(),
                "{} cannot change while frpc runs and stay as they were; restart it",
                restart.join(", ")
            );
        }
        let trial = self.now().trial.as_ref().map(|(trial, _)| trial.clone());
        if let Some(trial) = &trial {
            let left = trial.until.saturating_duration_since(Instant::now());
            info!(
                Log::root(),
                "the former settings come back in {} s, unless the reload is confirmed before (frpc confirm)",
                left.as_secs_f32().round()
            );
        }
        Ok(Reloaded { restart, trial })
    }

    /// Keeps what is in force, for it may have to come back.
    fn begin_trial(&self, path: &Path, time: Duration) -> Result<(), ReloadError> {
        let before = self.now().trial.clone();
        let (number, former) = match before {
            Some((trial, former)) => (trial.number + 1, former),
            None => {
                let former = self.now().former();
                let kept = confirm::keep(path, &former.texts);
                kept.map_err(|source| ReloadError::Keep {
                    path: path.to_owned(),
                    source,
                })?;
                (self.now().trials + 1, former)
            }
        };
        let until = SystemTime::now() + time;
        let since_epoch = until.duration_since(UNIX_EPOCH).unwrap_or_default();
        let trial = Trial {
            number,
            until: Instant::now() + time,
            until_unix_ms: u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX),
        };
        let mut now = self.now();
        now.trials = number;
        now.trial = Some((trial, former));
        Ok(())
    }

    /// What waits to be confirmed stays. Blocks.
    pub(crate) fn confirm(&self) -> Result<(), ConfirmError> {
        let _changing = self.changing();
        let (Some(file), true) = (self.file(), self.now().trial.is_some()) else {
            return Err(ConfirmError::Nothing);
        };
        confirm::forget(&file.path).map_err(ConfirmError::Kept)?;
        self.now().trial = None;
        info!(Log::root(), "the reload is confirmed");
        Ok(())
    }

    /// Brings the former settings back, and the former file, if the trial of this number still waits. Blocks.
    pub(crate) fn undo(&self, number: u64) {
        let _changing = self.changing();
        let waits = |now: &Now| {
            now.trial
                .as_ref()
                .is_some_and(|(one, _)| one.number == number)
        };
        if !waits(&self.now()) {
            return;
        }
        self.set(|now| {
            if let Some((_, former)) = now.trial.take() {
                now.file = former.file;
                now.definitions = former.definitions;
                now.texts = former.texts;
            }
        });
        warn!(
            Log::root(),
            "the reload was not confirmed in time: the former settings are back"
        );
        let Some(file) = self.file() else { return };
        let path = file.path.display();
        match confirm::restore(&file.path) {
            Ok(Some(tried)) => info!(
                Log::root(),
                "{path} is as before{}",
                confirm::where_tried(&tried)
            ),
            Ok(None) => {}
            Err(e) => error!(
                Log::root(),
                "{path} cannot be put back, which the next start will try again: {e}"
            ),
        }
    }

    /// Adds an entry to the store, which runs from then on. Gives it as it is stored, JSON. Blocks.
    pub(crate) fn add(&self, kind: EntryKind, entry: StoreEntry) -> Result<String, StoreRefusal> {
        let name = entry.name().to_owned();
        let json = self.change(|store| {
            store.add(entry)?;
            Ok(store.json(kind, &name).unwrap_or_default())
        })?;
        info!(Log::root(), "store: created {kind} {name:?}");
        Ok(json)
    }

    /// The same for an entry that takes the place of one.
    pub(crate) fn replace(
        &self,
        kind: EntryKind,
        entry: StoreEntry,
    ) -> Result<String, StoreRefusal> {
        let name = entry.name().to_owned();
        let json = self.change(|store| {
            store.replace(entry)?;
            Ok(store.json(kind, &name).unwrap_or_default())
        })?;
        info!(Log::root(), "store: updated {kind} {name:?}");
        Ok(json)
    }

    /// Removes an entry of the store, whose place one of the file may take. Blocks.
    pub(crate) fn remove(&self, kind: EntryKind, name: &str) -> Result<(), StoreRefusal> {
        self.change(|store| store.remove(kind, name))?;
        info!(Log::root(), "store: deleted {kind} {name:?}");
        Ok(())
    }

    /// Changes the store, its file first.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreRefusal> {
        let mut changing = self.changing();
        let (Some(file), Some(store)) = (&mut *changing, self.store()) else {
            return Err(StoreRefusal::Disabled);
        };
        let news = file.read_news().map_err(ChangeError::ByHand)?;
        let news = news.map(|news| take_in(file, news));
        if let Some(news) = &news {
            // Whatever becomes of the request.
            self.set(|now| now.store = Some(news.clone()));
        }
        let mut next = Store::clone(&news.unwrap_or(store));
        let done = change(&mut next).map_err(ChangeError::from)?;
        file.write(&next)?;
        self.set(|now| now.store = Some(Arc::new(next)));
        Ok(done)
    }

    fn set(&self, set: impl FnOnce(&mut Now)) {
        let merged = {
            let mut now = self.now();
            set(&mut now);
            now.merged()
        };
        self.merged.send_replace(merged);
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changing(&self) -> MutexGuard<'_, Option<StoreFile>> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Now {
    fn former(&self) -> Former {
        Former {
            file: self.file.clone(),
            definitions: self.definitions.clone(),
            texts: self.texts.clone(),
        }
    }

    fn merged(&self) -> Arc<ClientConfig> {
        match &self.store {
            Some(store) => Arc::new(store.over(&self.file)),
            None => self.file.clone(),
        }
    }
}

/// What was written into the store by hand.
fn take_in(file: &mut StoreFile, found: Found) -> Arc<Store> {
    file.taken(&found);
    info!(Log::root(), "store: changed by hand, and read again");
    tell(&found.warnings);
    Arc::new(found.store)
}

fn tell(warnings: &[Problem]) {
    for warning in warnings {
        warn!(Log::root(), "{warning}");
    }
}
