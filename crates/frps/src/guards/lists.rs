//! Addresses in lists: those of the settings, and those in files, one a line.

use std::fmt::Write as _;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use frp_log::{Log, error, info, shown, warn};
use frp_process::file;
use frp_proto::network::Network;

use crate::limits::MAX_WRONG_LINES_TOLD;
use crate::networks::Networks;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct List {
    inline: Networks,
    files: Vec<Arc<ListFile>>,
}

/// A file of addresses, and what it says.
#[derive(Debug)]
pub(crate) struct ListFile {
    key: &'static str,
    path: PathBuf,
    networks: RwLock<Arc<Networks>>,
    seen: Mutex<Seen>,
}

/// By what a change is noticed.
#[derive(Debug, Default)]
struct Seen {
    /// Of what is in force.
    read: Option<Stamp>,
    /// At the last look: a file that is being written is read once it has come to rest.
    last: Option<Stamp>,
    /// It is known that it cannot be read.
    told: bool,
}

type Stamp = (u64, SystemTime);

/// A file of addresses cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("guard.{key}: read {}: {source}", path.display())]
pub struct ListError {
    key: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl List {
    /// `key` is that of the files.
    pub(super) fn new(
        key: &'static str,
        inline: Vec<Network>,
        files: &[String],
    ) -> Result<Self, ListError> {
        let files = files.iter().map(|path| ListFile::open(key, path.into()));
        Ok(Self {
            inline: inline.into_iter().collect(),
            files: files.collect::<Result<_, _>>()?,
        })
    }

    /// Whether there is one at all, be it empty.
    pub(super) fn is_given(&self) -> bool {
        !self.inline.is_empty() || !self.files.is_empty()
    }

    pub(super) fn has(&self, ip: IpAddr) -> bool {
        self.inline.contain(ip) || self.files.iter().any(|file| file.has(ip))
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &Arc<ListFile>> {
        self.files.iter()
    }
}

impl ListFile {
    fn open(key: &'static str, path: PathBuf) -> Result<Arc<Self>, ListError> {
        let stamp = stamp(&path);
        match read(&path) {
            Ok(networks) => Ok(Arc::new(Self {
                key,
                path,
                networks: RwLock::new(Arc::new(networks)),
                seen: Mutex::new(Seen {
                    read: stamp,
                    last: stamp,
                    told: false,
                }),
            })),
            Err(source) => Err(ListError { key, path, source }),
        }
    }

    fn has(&self, ip: IpAddr) -> bool {
        let networks = self.networks.read().unwrap_or_else(PoisonError::into_inner);
        networks.contain(ip)
    }

    /// Reads it anew where it has changed and come to rest. Blocks. What cannot be read stays in force as it was.
    pub(crate) fn look(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = stamp(&self.path);
        let at_rest = seen.last == now;
        seen.last = now;
        if !at_rest || seen.read == now && !seen.told {
            return;
        }
        let path = self.path.display();
        match read(&self.path) {
            Ok(networks) => {
                let networks = Arc::new(networks);
                let mut place = self
                    .networks
                    .write()
                    .unwrap_or_else(PoisonError::into_inner);
                *place = networks;
                drop(place);
                seen.read = now;
                seen.told = false;
                info!(
                    Log::root(),
                    "guard.{}: {path} has changed and was read again", self.key
                );
            }
            Err(e) if !seen.told => {
                seen.told = true;
                error!(
                    Log::root(),
                    "guard.{}: read {path}: {e}; the addresses that were in it stay in force",
                    self.key
                );
            }
            Err(_) => {}
        }
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let about = std::fs::metadata(path).ok()?;
    Some((about.len(), about.modified().ok()?))
}

/// The addresses in a file. Lines that hold none are told, and the others count.
fn read(path: &Path) -> io::Result<Networks> {
    let content = file::read(path)?;
    let content = String::from_utf8_lossy(&content);
    let (networks, wrong) = parse(&content);
    if !wrong.is_empty() {
        let mut told = String::new();
        for (line, text) in wrong.iter().take(MAX_WRONG_LINES_TOLD) {
            // Writing to a `String` cannot fail.
            let _ = write!(told, "; line {line}: {:?}", shown(text));
        }
        warn!(
            Log::root(),
            "{}: {} lines are neither an address nor a network and are left out{told}",
            path.display(),
            wrong.len()
        );
    }
    Ok(networks.into_iter().collect())
}

/// One in a line; what follows it, or `#` or `;`, is a comment. Also the numbers and texts of other lines.
pub(crate) fn parse(content: &str) -> (Vec<Network>, Vec<(usize, &str)>) {
    let mut networks = Vec::new();
    let mut wrong = Vec::new();
    for (line, text) in content.trim_start_matches('\u{feff}').lines().enumerate() {
        let said = text.split(['#', ';']).next().unwrap_or_default().trim();
        if said.is_empty() {
            continue;
        }
        match said.parse() {
            Ok(network) => networks.push(network),
            Err(_) => wrong.push((line + 1, said)),
        }
    }
    (networks, wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_line_is_named_and_the_others_count() {
        let content = "\u{feff}# drop\n10.0.0.0/8 ; SBL1\r\n\n  2001:db8::/32  \nnonsense\n10.0.0.0/99 # x\n\
             192.0.2.1\n10.0.0.1 10.0.0.2\n";
        let (networks, wrong) = parse(content);
        let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
        assert_eq!(networks, ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1/32"]);
        let expected = [
            (5, "nonsense"),
            (6, "10.0.0.0/99"),
            (8, "10.0.0.1 10.0.0.2"),
        ];
        assert_eq!(wrong, expected);
    }
}
