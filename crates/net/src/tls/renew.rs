//! Do the files still say what was read from them? Certificates are renewed in place, by cron jobs and by
//! orchestrators, so files are read again every few seconds, and what is new in them holds for the handshakes
//! from then on; connections keep what they began with. What cannot be used, such as a certificate whose key
//! is not there yet, is not taken: the old one stays until the files are right.

use std::fmt;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::thread;

use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::TlsSetupError;
use crate::limits::{CERTIFICATE_LOOK, CERTIFICATE_SETTLE, MAX_CERTIFICATE_FILE};

/// What files say, now.
pub struct Renewed<T>(Arc<Kept<T>>);

type Load<T> = Box<dyn Fn() -> Result<T, TlsSetupError> + Send + Sync>;

struct Kept<T> {
    files: Vec<PathBuf>,
    load: Load<T>,
    now: RwLock<Arc<T>>,
    state: Mutex<State>,
    renewals: AtomicU64,
}

/// What is known of the files, by fingerprints of their contents.
#[derive(Debug)]
struct State {
    loaded: u64,
    /// What could not be used, and was told.
    refused: Option<u64>,
    /// What is new, and may be half of what is to come.
    news: u64,
}

impl<T: Send + Sync + 'static> Renewed<T> {
    /// What `load` makes of `files`, now and whenever they have changed.
    pub(super) fn load(
        files: Vec<PathBuf>,
        load: impl Fn() -> Result<T, TlsSetupError> + Send + Sync + 'static,
    ) -> Result<Self, TlsSetupError> {
        let loaded = fingerprint(&files);
        let now = Arc::new(load()?);
        let kept = Arc::new(Kept {
            load: Box::new(load),
            now: RwLock::new(now),
            state: Mutex::new(State {
                loaded,
                refused: None,
                news: loaded,
            }),
            renewals: AtomicU64::new(0),
            files,
        });
        if !kept.files.is_empty() {
            let watched: Weak<Kept<T>> = Arc::downgrade(&kept);
            watch(watched);
        }
        Ok(Self(kept))
    }

    /// For a handshake that begins now.
    pub fn now(&self) -> Arc<T> {
        let now = self.0.now.read().unwrap_or_else(PoisonError::into_inner);
        now.clone()
    }

    /// What is watched for it.
    pub(super) fn watched(&self) -> Arc<dyn Watched> {
        self.0.clone()
    }
}

impl<T> fmt::Debug for Renewed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Renewed").field(&self.0.files).finish()
    }
}

/// Something that was read from files.
pub(super) trait Watched: Send + Sync {
    /// Whether the files say what was not seen before.
    fn has_news(&self) -> bool;

    /// Takes that, if it is still what they say and can be used.
    fn renew(&self);

    /// How often that was.
    fn renewals(&self) -> u64;
}

impl<T: Send + Sync> Watched for Kept<T> {
    fn has_news(&self) -> bool {
        let found = fingerprint(&self.files);
        let mut state = self.state();
        if found == state.loaded {
            state.refused = None;
        }
        let is_news = found != state.loaded && state.refused != Some(found);
        if is_news {
            state.news = found;
        }
        is_news
    }

    fn renew(&self) {
        let found = fingerprint(&self.files);
        if found != self.state().news {
            return;
        }
        let files: Vec<_> = self
            .files
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        let files = files.join(", ");
        match (self.load)() {
            Ok(loaded) => {
                let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
                *now = Arc::new(loaded);
                drop(now);
                self.renewals.fetch_add(1, Ordering::Release);
                let mut state = self.state();
                state.loaded = found;
                state.refused = None;
                tracing::info!("{files}: renewed; new connections go by it");
            }
            Err(error) => {
                self.state().refused = Some(found);
                tracing::warn!(
                    "{files}: changed, and cannot be used, so that what was read before stays: {error}"
                );
            }
        }
    }

    fn renewals(&self) -> u64 {
        self.renewals.load(Ordering::Acquire)
    }
}

impl<T> Kept<T> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads all files again at once, where somebody says that they have changed. Blocks.
pub fn look_at_certificates() {
    let all = register().alive();
    all.iter()
        .filter(|one| one.has_news())
        .for_each(|one| one.renew());
}

/// What is watched by the one thread of the process that does so.
struct Register {
    all: Vec<Weak<dyn Watched>>,
    /// Whether the thread runs; it ends with the last one.
    runs: bool,
}

static REGISTER: Mutex<Register> = Mutex::new(Register {
    all: Vec::new(),
    runs: false,
});

fn register() -> MutexGuard<'static, Register> {
    REGISTER.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Register {
    fn alive(&mut self) -> Vec<Arc<dyn Watched>> {
        self.all.retain(|one| one.strong_count() > 0);
        self.all.iter().filter_map(Weak::upgrade).collect()
    }
}

fn watch(one: Weak<dyn Watched>) {
    let mut register = register();
    register.all.push(one);
    if !register.runs {
        let thread = thread::Builder::new().name("certificates".to_owned());
        register.runs = match thread.spawn(run) {
            Ok(_) => true,
            Err(e) => {
                tracing::warn!("renewed certificates will only be taken up by a restart: {e}");
                false
            }
        };
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "a thread of its own, and no worker of a runtime"
)]
fn run() {
    loop {
        thread::sleep(CERTIFICATE_LOOK);
        let all = {
            let mut register = register();
            let all = register.alive();
            register.runs = !all.is_empty();
            all
        };
        if all.is_empty() {
            return;
        }
        let news: Vec<_> = all.into_iter().filter(|one| one.has_news()).collect();
        if !news.is_empty() {
            // Whoever writes them may be at it.
            thread::sleep(CERTIFICATE_SETTLE);
            news.iter().for_each(|one| one.renew());
        }
    }
}

/// Tells contents apart; nobody gains by two that look alike.
fn fingerprint(files: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in files {
        match content(file) {
            Ok(content) => content.hash(&mut hasher),
            Err(error) => error.kind().hash(&mut hasher),
        }
    }
    hasher.finish()
}

fn content(file: &Path) -> io::Result<Vec<u8>> {
    // Looked at first: opening a pipe would wait for its other end.
    if !fs::metadata(file)?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut content = Vec::new();
    File::open(file)?
        .take(MAX_CERTIFICATE_FILE)
        .read_to_end(&mut content)?;
    Ok(content)
}

/// The own certificate of either end.
#[derive(Debug)]
pub(super) struct OwnCertificate(pub(super) Renewed<CertifiedKey>);

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.now())
    }
}

impl ResolvesClientCert for OwnCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.now())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Tickets for sessions to resume. They are void once the certificate is renewed, or the CAs that the peer
/// was checked by: whoever resumes is not checked again.
pub(super) struct Tickets {
    of: Vec<Arc<dyn Watched>>,
    now: RwLock<(u64, Arc<dyn ProducesTickets>)>,
}

impl Tickets {
    pub(super) fn new(of: Vec<Arc<dyn Watched>>) -> Result<Self, rustls::Error> {
        let first = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        let now = RwLock::new((renewals(&of), first));
        Ok(Self { of, now })
    }

    fn now(&self) -> Option<Arc<dyn ProducesTickets>> {
        let renewals = renewals(&self.of);
        {
            let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
            if now.0 == renewals {
                return Some(now.1.clone());
            }
        }
        // Without, there are no tickets for now.
        let next = rustls::crypto::aws_lc_rs::Ticketer::new().ok()?;
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        if now.0 != renewals {
            *now = (renewals, next);
        }
        Some(now.1.clone())
    }
}

fn renewals(of: &[Arc<dyn Watched>]) -> u64 {
    of.iter().map(|one| one.renewals()).sum()
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        now.1.lifetime()
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.now()?.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.now()?.decrypt(cipher)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::tls::{TlsFiles, own_identity};

    /// PEM of a new certificate and its key.
    fn made() -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default()
            .self_signed(&key)
            .unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn what_cannot_be_used_is_not_taken() {
        let name = format!("frp-renew-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let (cert, key) = (folder.join("cert"), folder.join("key"));
        let write = |made: (&str, &str)| {
            fs::write(&cert, made.0).unwrap();
            fs::write(&key, made.1).unwrap();
        };
        let (old, new) = (made(), made());
        write((&old.0, &old.1));
        let files = TlsFiles {
            cert: Some(cert.clone()),
            key: Some(key.clone()),
            trusted_ca: None,
        };
        let identity = own_identity(&files).unwrap().unwrap();
        let watched = identity.watched();
        // Not the register's look, which others share.
        let look = || {
            let news = watched.has_news();
            watched.renew();
            (news, watched.renewals())
        };
        let first = identity.now();
        assert!(!watched.has_news());
        // A pair that does not go together, a half, and nothing at all: each is tried once.
        write((&new.0, &old.1));
        assert_eq!(look(), (true, 0));
        assert!(!watched.has_news());
        write((&new.0[..new.0.len() / 2], &new.1));
        assert_eq!(look(), (true, 0));
        fs::remove_file(&cert).unwrap();
        assert_eq!(look(), (true, 0));
        assert!(!watched.has_news());
        assert_eq!(identity.now().cert, first.cert);
        write((&new.0, &new.1));
        assert_eq!(look(), (true, 1));
        assert_ne!(identity.now().cert, first.cert);
        assert!(!watched.has_news());
        // What changes between the two looks is left for the next.
        fs::write(&cert, &old.0).unwrap();
        assert!(watched.has_news());
        fs::write(&key, &old.1).unwrap();
        watched.renew();
        assert_eq!(watched.renewals(), 1);
        assert_eq!(look(), (true, 2));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_ticket_is_void_once_the_files_are_renewed() {
        struct Counted(AtomicU64);
        impl Watched for Counted {
            fn has_news(&self) -> bool {
                false
            }
            fn renew(&self) {}
            fn renewals(&self) -> u64 {
                self.0.load(Ordering::Relaxed)
            }
        }
        let counted = Arc::new(Counted(AtomicU64::new(0)));
        let tickets = Tickets::new(vec![counted.clone()]).unwrap();
        let ticket = tickets.encrypt(b"session").unwrap();
        assert_eq!(tickets.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        counted.0.store(1, Ordering::Relaxed);
        assert_eq!(tickets.decrypt(&ticket), None);
        let ticket = tickets.encrypt(b"session").unwrap();
        assert!(tickets.decrypt(&ticket).is_some());
    }
}
