//! What shall run: the settings of the file with the entries of the store over them, and how both change
//! while the client runs (frp `client/config_manager.go`, `pkg/config/source/aggregator.go`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use frp_config::{
    ClientConfig, Definitions, EntryKind, LoadError, LoadOptions, Problem, Store, StoreEntry,
    StoreError, load_client,
};
use frp_log::{Log, info, warn};
use tokio::sync::watch;

use crate::service::ConfigFile;
use crate::store::{ChangeError, Found, OpenError, ReadError, StoreFile};

/// The settings of a client.
#[derive(Debug)]
pub(crate) struct Settings {
    file: Option<ConfigFile>,
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
    /// As the file has them.
    file: Arc<ClientConfig>,
    definitions: Arc<Definitions>,
    store: Option<Arc<Store>>,
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
    #[error("{0}")]
    File(#[from] LoadError),
    #[error("{0}")]
    Store(#[from] ReadError),
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
                .map_or(path.clone(), |folder| folder.join(path));
            let (opened, found) = StoreFile::open(path, file.options.clone())?;
            tell(&found.warnings);
            store_file = Some(opened);
            store = Some(Arc::new(found.store));
        }
        let definitions = file.as_ref().map(|file| file.definitions.clone());
        let now = Now {
            file: Arc::new(cfg),
            definitions: definitions.unwrap_or_default(),
            store,
        };
        Ok(Self {
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

    /// Reads the file again, and what was changed in the store by hand. Where either is wrong, nothing
    /// changes. Blocks.
    pub(crate) fn reload(&self, strict: bool) -> Result<(), ReloadError> {
        let ConfigFile { path, options, .. } = self.file().ok_or(ReloadError::NoFile)?;
        let options = LoadOptions {
            strict,
            ..options.clone()
        };
        let mut changing = self.changing();
        let loaded = load_client(path, &options)?;
        let news = match &mut *changing {
            Some(file) => file.read_news()?,
            None => None,
        };
        tell(&loaded.warnings);
        self.set(|now| {
            now.file = Arc::new(loaded.settings);
            now.definitions = Arc::new(loaded.definitions);
            if let Some(news) = take_in(news) {
                now.store = Some(news);
            }
        });
        info!(Log::root(), "success reload conf");
        Ok(())
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
        let news = take_in(news);
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
    fn merged(&self) -> Arc<ClientConfig> {
        match &self.store {
            Some(store) => Arc::new(store.over(&self.file)),
            None => self.file.clone(),
        }
    }
}

/// What was written into the store by hand.
fn take_in(found: Option<Found>) -> Option<Arc<Store>> {
    let Found { store, warnings } = found?;
    info!(Log::root(), "store: changed by hand, and read again");
    tell(&warnings);
    Some(Arc::new(store))
}

fn tell(warnings: &[Problem]) {
    for warning in warnings {
        warn!(Log::root(), "{warning}");
    }
}
