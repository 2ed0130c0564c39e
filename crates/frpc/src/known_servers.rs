//! Which servers are known, by which keys? A file of lines `host:port SHA256:...`, as ssh's known_hosts: a server may
//! have several, of which each will do. The word [`PROVES`] behind says that it proves that it knows the token
//! ([`crate::proof`]). Lines are only ever added, under a lock, so that several frpc may share the file; what cannot be
//! read stays as it is. All of it blocks but [`KnownServers::check`] and [`KnownServers::proves`].

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use frp_config::{ClientConfig, KNOWN_SERVERS, ServerTrust};
use frp_log::{Log, warn};
use frp_net::go_text::go_text;
use frp_process::file;
use frp_process::limits::MAX_FILE;
use frp_proto::fingerprint::Fingerprint;

use crate::identity::Refusal;

/// The file, and what was read there last.
#[derive(Debug)]
pub(crate) struct KnownServers {
    path: PathBuf,
    book: Mutex<Result<Book, String>>,
}

/// Why keys cannot be remembered.
#[derive(Debug, thiserror::Error)]
#[error(
    "transport.tls.trust = \"first-use\" remembers keys in {}: {}; name a file that frpc may write by \
     transport.tls.knownServers, or give the key itself by transport.tls.pin", path.display(), go_text(source)
)]
pub struct KnownServersError {
    path: PathBuf,
    source: io::Error,
}

/// Whom a key was shown by.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// `host:port`
    pub(crate) name: String,
    /// Other ways to the same server: where one of them is known, this one has the same key.
    pub(crate) beside: Vec<String>,
}

/// Behind the key of a server that proves that it knows the token.
pub(crate) const PROVES: &str = "proof";

/// Where it stands that a server does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownToProve {
    pub(crate) file: PathBuf,
    /// From 1; 0 where it was added by ourselves.
    line: usize,
    server: String,
}

/// What was added to the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    Nothing,
    /// A server, and what else is known of it.
    Key,
    /// That a known one proves the token.
    Proof,
}

/// What a file says.
#[derive(Debug, Default)]
pub(crate) struct Book {
    known: Vec<Line>,
    damaged: Vec<Damaged>,
}

#[derive(Debug)]
struct Line {
    /// From 1.
    number: usize,
    server: String,
    key: Fingerprint,
    proves: bool,
}

#[derive(Debug)]
struct Damaged {
    number: usize,
    text: String,
}

/// The settings with the file that keys are remembered in, where they are: which can be read and written. Damaged
/// lines are told.
pub(crate) fn settle(
    cfg: Arc<ClientConfig>,
    config_file: Option<&Path>,
) -> Result<Arc<ClientConfig>, KnownServersError> {
    if cfg.transport.tls.trust != Some(ServerTrust::FirstUse) {
        return Ok(cfg);
    }
    let folder = config_file.and_then(Path::parent);
    let state = std::env::var_os("STATE_DIRECTORY");
    let path = place(&cfg, folder, state.as_deref());
    let failed = |source| KnownServersError {
        path: path.clone(),
        source,
    };
    let book = read(&path).map_err(failed)?;
    probe(&path).map_err(failed)?;
    for Damaged { number, text } in &book.damaged {
        warn!(
            Log::root(),
            "{}: line {number} is no host:port with a fingerprint, and is left as it is: {text:?}",
            path.display()
        );
    }
    let mut settled = (*cfg).clone();
    settled.transport.tls.known_servers = Some(path);
    Ok(Arc::new(settled))
}

/// Where keys are remembered: beside what frpc keeps otherwise, or else beside its configuration.
fn place(cfg: &ClientConfig, folder: Option<&Path>, state: Option<&std::ffi::OsStr>) -> PathBuf {
    let from_folder = |path: &Path| folder.map_or_else(|| path.to_owned(), |to| to.join(path));
    if let Some(path) = &cfg.transport.tls.known_servers {
        return from_folder(path);
    }
    if let Some(store) = &cfg.store_path {
        return from_folder(store).with_file_name(KNOWN_SERVERS);
    }
    // systemd gives several, with colons between them.
    let given = state.and_then(|state| std::env::split_paths(state).next());
    match given.filter(|state| state.is_absolute()) {
        Some(state) => state.join(KNOWN_SERVERS),
        None => from_folder(Path::new(KNOWN_SERVERS)),
    }
}

/// Whether lines could be added: nothing is left behind.
fn probe(path: &Path) -> io::Result<()> {
    if path.exists() {
        return OpenOptions::new().append(true).open(path).map(drop);
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    File::create(&beside)?;
    std::fs::remove_file(&beside)
}

impl KnownServers {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            book: Mutex::new(Ok(Book::default())),
        }
    }

    /// Reads the file again.
    pub(crate) fn look_again(&self) {
        let read = read(&self.path).map_err(|e| go_text(&e).to_string());
        *self.book() = read;
    }

    /// Whether `server` may have `key`, by what was read last: it has it, or nobody knows it.
    pub(crate) fn check(&self, server: &Server, key: Fingerprint) -> Result<(), Box<Refusal>> {
        match &*self.book() {
            Ok(book) => book.check(server, key, &self.path).map(drop),
            Err(why) => Err(Box::new(Refusal::Unread {
                file: self.path.clone(),
                why: why.clone(),
            })),
        }
    }

    /// Whether it is known, by what was read last, that `server` with `key` proves the token, on this way or another.
    pub(crate) fn proves(&self, server: &Server, key: Fingerprint) -> Option<KnownToProve> {
        let book = self.book();
        let line = book.as_ref().ok()?.line_of_proof(server, key)?;
        Some(KnownToProve {
            file: self.path.clone(),
            line: line.number,
            server: line.server.clone(),
        })
    }

    /// Adds what was not known of this: that `server` has `key`, and proves the token.
    pub(crate) fn remember(
        &self,
        server: &Server,
        key: Fingerprint,
        proves: bool,
    ) -> Result<io::Result<News>, Box<Refusal>> {
        let mut file = match open_to_add(&self.path) {
            Ok(file) => file,
            Err(e) => return Ok(Err(e)),
        };
        let content = match read_all(&mut file) {
            Ok(content) => content,
            Err(e) => return Ok(Err(e)),
        };
        // Another frpc may have added it, and may have seen another key.
        let book = Book::parse(&content);
        let is_known = book.check(server, key, &self.path)?;
        let is_news = proves && book.line_of_proof(server, key).is_none();
        let news = match (is_known, is_news) {
            (true, false) => return Ok(Ok(News::Nothing)),
            (true, true) => News::Proof,
            (false, _) => News::Key,
        };
        let torn = content.last().is_some_and(|last| *last != b'\n');
        let torn = if torn { "\n" } else { "" };
        let proof = match is_news {
            true => format!(" {PROVES}"),
            false => String::new(),
        };
        let line = format!("{torn}{} {key}{proof}\n", server.name);
        let written = file
            .write_all(line.as_bytes())
            .and_then(|()| file.sync_all());
        if let Ok(book) = &mut *self.book() {
            book.add(server, key, proves);
        }
        Ok(written.map(|()| news))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn book(&self) -> MutexGuard<'_, Result<Book, String>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the file says; one that is not there says nothing.
fn read(path: &Path) -> io::Result<Book> {
    match file::read(path) {
        Ok(content) => Ok(Book::parse(&content)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Book::default()),
        Err(e) => Err(e),
    }
}

/// Locked against others who add, until it is closed.
fn open_to_add(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    match file.lock() {
        // Some file systems of networks have no locks.
        Err(e) if e.kind() != io::ErrorKind::Unsupported => Err(e),
        _ => Ok(file),
    }
}

fn read_all(file: &mut File) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut content)?;
    match content.len() as u64 > MAX_FILE {
        true => Err(io::ErrorKind::FileTooLarge.into()),
        false => Ok(content),
    }
}

impl Book {
    /// Servers and keys, for who tries what is read.
    pub(crate) fn known(&self) -> impl Iterator<Item = (&str, Fingerprint)> {
        self.known
            .iter()
            .map(|line| (line.server.as_str(), line.key))
    }

    pub(crate) fn parse(content: &[u8]) -> Self {
        let mut book = Self::default();
        for (at, line) in content.split(|byte| *byte == b'\n').enumerate() {
            let number = at + 1;
            let text = String::from_utf8_lossy(line);
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let mut words = text.split_whitespace();
            let server = words.next().unwrap_or_default().to_ascii_lowercase();
            let key = words.next().and_then(|word| word.parse().ok());
            let is_remark = |word: &str| word.starts_with('#');
            let mut next = words.next();
            let proves = next == Some(PROVES);
            if proves {
                next = words.next();
            }
            match key.filter(|_| next.is_none_or(is_remark)) {
                Some(key) => book.known.push(Line {
                    number,
                    server,
                    key,
                    proves,
                }),
                None => book.damaged.push(Damaged {
                    number,
                    text: text.to_owned(),
                }),
            }
        }
        book
    }

    /// Whether `server` has `key`, or is not known at all.
    pub(crate) fn check(
        &self,
        server: &Server,
        key: Fingerprint,
        file: &Path,
    ) -> Result<bool, Box<Refusal>> {
        let of = |name: &str| -> Vec<(usize, Fingerprint)> {
            let lines = self.known.iter().filter(|line| line.server == name);
            lines.map(|line| (line.number, line.key)).collect()
        };
        let known = of(&server.name);
        if known.iter().any(|(_, known)| *known == key) {
            return Ok(true);
        }
        let (shown, file, name) = (key, file.to_owned(), server.name.clone());
        if !known.is_empty() {
            return Err(Box::new(Refusal::Changed {
                server: name,
                known,
                shown,
                file,
            }));
        }
        // Perhaps the key that would refuse this one.
        let is_ours = |line: &&Damaged| {
            let text = line.text.to_ascii_lowercase();
            let rest = text.strip_prefix(server.name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
        };
        if let Some(Damaged { number, .. }) = self.damaged.iter().find(is_ours) {
            return Err(Box::new(Refusal::Damaged {
                server: name,
                line: *number,
                shown,
                file,
            }));
        }
        let beside: Vec<_> = server.beside.iter().map(|name| (name, of(name))).collect();
        let mut others = beside
            .iter()
            .flat_map(|(name, of)| of.iter().map(move |(_, key)| (*name, key)));
        let Some((as_name, known)) = others.next() else {
            return Ok(false);
        };
        if *known == key || others.any(|(_, known)| *known == key) {
            return Ok(false);
        }
        Err(Box::new(Refusal::OtherWay {
            server: name,
            known_as: as_name.clone(),
            known: *known,
            shown,
            file,
        }))
    }

    fn line_of_proof(&self, server: &Server, key: Fingerprint) -> Option<&Line> {
        let is_server = |name: &String| *name == server.name || server.beside.contains(name);
        let mut lines = self.known.iter();
        lines.find(|line| line.proves && line.key == key && is_server(&line.server))
    }

    fn add(&mut self, server: &Server, key: Fingerprint, proves: bool) {
        self.known.push(Line {
            number: 0,
            server: server.name.clone(),
            key,
            proves,
        });
    }
}

impl fmt::Display for KnownToProve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, server } = self;
        let file = file.display();
        write!(f, "{file} ")?;
        if *line > 0 {
            write!(f, "line {line} ")?;
        }
        write!(f, "says that {server} proves that it knows the token")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key(text: &str) -> Fingerprint {
        Fingerprint::of_key(text.as_bytes())
    }

    fn server(name: &str) -> Server {
        Server {
            name: name.to_owned(),
            beside: vec![
                "frps.example:7000".to_owned(),
                "frps.example:443".to_owned(),
            ],
        }
    }

    fn scene() -> (PathBuf, KnownServers) {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("frpc-known-{}-{n}", std::process::id());
        let path = std::env::temp_dir().join(name);
        (path.clone(), KnownServers::new(path))
    }

    #[test]
    fn a_server_keeps_its_key_and_a_changed_one_is_named_by_its_line() {
        let (path, known) = scene();
        let (frps, other) = (server("frps.example:7000"), server("other.example:7000"));
        known.check(&frps, key("a")).unwrap();
        assert!(!path.exists(), "nothing is remembered before");
        let remember =
            |server, name: &str| known.remember(server, key(name), false).unwrap().unwrap();
        assert_eq!(remember(&other, "b"), News::Key);
        assert_eq!(remember(&frps, "a"), News::Key);
        assert_eq!(remember(&frps, "a"), News::Nothing);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = format!(
            "other.example:7000 {}\nfrps.example:7000 {}\n",
            key("b"),
            key("a")
        );
        assert_eq!(text, lines);
        let fresh = KnownServers::new(path.clone());
        fresh.look_again();
        fresh.check(&frps, key("a")).unwrap();
        for refused in [
            fresh.check(&frps, key("c")).unwrap_err(),
            fresh.remember(&frps, key("c"), false).unwrap_err(),
        ] {
            let Refusal::Changed { known, .. } = *refused else {
                panic!("another refusal");
            };
            assert_eq!(known, [(2, key("a"))]);
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn another_way_to_a_known_server_has_the_same_key() {
        let (path, known) = scene();
        let (tcp, wss) = (server("frps.example:7000"), server("frps.example:443"));
        known.remember(&tcp, key("a"), false).unwrap().unwrap();
        known.look_again();
        known.check(&wss, key("a")).unwrap();
        let refused = known.check(&wss, key("b")).map_err(|why| *why);
        assert!(
            matches!(refused, Err(Refusal::OtherWay { .. })),
            "{refused:?}"
        );
        // A proxy before it may have one of its own.
        let text = std::fs::read_to_string(&path).unwrap();
        let allowed = format!("{text}frps.example:443 {} # nginx\n", key("b"));
        std::fs::write(&path, allowed).unwrap();
        known.look_again();
        known.check(&wss, key("b")).unwrap();
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn who_has_proven_the_token_is_known_by_that_on_each_way() {
        let (path, known) = scene();
        let (tcp, wss) = (server("frps.example:7000"), server("frps.example:443"));
        let remember = |server, proves| known.remember(server, key("a"), proves).unwrap().unwrap();
        assert_eq!(remember(&tcp, false), News::Key);
        assert_eq!(known.proves(&tcp, key("a")), None);
        assert_eq!(remember(&tcp, true), News::Proof);
        assert_eq!(remember(&tcp, true), News::Nothing);
        let fresh = KnownServers::new(path.clone());
        fresh.look_again();
        let place = fresh.proves(&wss, key("a")).unwrap();
        assert_eq!(
            place.to_string(),
            format!(
                "{} line 2 says that frps.example:7000 proves that it knows the token",
                path.display()
            )
        );
        assert_eq!(fresh.proves(&tcp, key("b")), None);
        let other = Server {
            name: "other.example:7000".to_owned(),
            beside: Vec::new(),
        };
        assert_eq!(fresh.proves(&other, key("a")), None);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_is_damaged_stays_and_is_no_first_use() {
        let (path, known) = scene();
        let damaged = "# remark\nfrps.example:7000 SHA256:cut\n\u{fffd}\nx.example:1";
        std::fs::write(&path, damaged).unwrap();
        known.look_again();
        let refused = known.check(&server("frps.example:7000"), key("a"));
        let refused = refused.map_err(|why| *why);
        let Err(Refusal::Damaged { line: 2, .. }) = refused else {
            panic!("{refused:?}");
        };
        let other = server("other.example:7000");
        known.remember(&other, key("b"), false).unwrap().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            format!("{damaged}\nother.example:7000 {}\n", key("b"))
        );
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        known.look_again();
        let refused = known.check(&other, key("b")).map_err(|why| *why);
        assert!(
            matches!(refused, Err(Refusal::Unread { .. })),
            "{refused:?}"
        );
        std::fs::remove_dir(path).unwrap();
    }

    #[test]
    fn many_at_once_lose_nothing() {
        let (path, _) = scene();
        let adding = |n: usize| {
            let path = path.clone();
            std::thread::spawn(move || {
                let known = KnownServers::new(path);
                for i in 0..20 {
                    let server = Server {
                        name: format!("s{n}-{i}.example:7000"),
                        beside: Vec::new(),
                    };
                    let news = known.remember(&server, key("a"), false);
                    assert_eq!(news.unwrap().unwrap(), News::Key);
                }
            })
        };
        let adding: Vec<_> = (0..8).map(adding).collect();
        adding.into_iter().for_each(|one| one.join().unwrap());
        let book = read(&path).unwrap();
        assert_eq!((book.known.len(), book.damaged.len()), (160, 0));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn keys_are_remembered_beside_what_is_kept_otherwise() {
        let at = |lines: &str, state: Option<&str>| {
            let text = format!("serverAddr = \"frps.example\"\n{lines}");
            let options = frp_config::LoadOptions::new(frp_config::Purpose::Run);
            let cfg = frp_config::parse_client(&text, "frpc", &options).unwrap();
            let folder = Some(Path::new("/etc/frp"));
            place(&cfg.settings, folder, state.map(std::ffi::OsStr::new))
        };
        let is = |lines, state, path: &str| assert_eq!(at(lines, state), Path::new(path));
        let state = Some("/var/lib/frpc:/var/lib/other");
        is("", None, "/etc/frp/known_servers");
        is("", state, "/var/lib/frpc/known_servers");
        is(
            "store.path = \"/srv/s/db.json\"\n",
            state,
            "/srv/s/known_servers",
        );
        let own = "transport.tls.trust = \"first-use\"\ntransport.tls.knownServers = \"keys\"\n";
        is(own, state, "/etc/frp/keys");
    }
}
