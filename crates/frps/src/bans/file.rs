//! Which bans survive the end of frps? Those in force, in a file beside that of `store.path`: read before frps
//! serves, and written whenever one comes or goes. All of it blocks but [`BansFile::run`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use frp_log::{Log, error};
use frp_process::file;
use frp_proto::names::Named as _;
use frp_proto::network::Network;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Ban, Bans, Kind};
use crate::limits::SAVE_BANS;

/// What the file says it is.
const VERSION: u32 = 1;

/// See the module.
#[derive(Debug)]
pub(crate) struct BansFile {
    path: PathBuf,
    bans: Arc<Bans>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    version: u32,
    bans: Vec<StoredBan>,
}

/// Times are Unix milliseconds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredBan {
    network: String,
    cause: String,
    since: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    proxy: String,
    /// See [`Ban::whose`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    whose: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(default)]
    strikes: u32,
}

impl BansFile {
    /// Has the bans in force that are in the file of `store`, which is `store.path`, and makes sure that it can be
    /// written. What is no such file is set aside.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub(crate) fn open(store: &Path, bans: &Arc<Bans>) -> io::Result<Self> {
        let mut path = store.as_os_str().to_owned();
        path.push(".bans");
        let this = Self {
            path: path.into(),
            bans: bans.clone(),
        };
        match file::read(&this.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
            Ok(content) => match parse(&content) {
                Ok(kept) => bans.restore(kept),
                Err(e) => this.set_aside(&e)?,
            },
        }
        this.save()?;
        Ok(this)
    }

    /// Writes it whenever a ban comes or goes, until `stop`. A failure is told once.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let this = Arc::new(self);
        let mut failed = false;
        loop {
            tokio::select! {
                () = this.bans.changed() => {}
                // One that came last is written, too.
                () = stop.cancelled() => {}
            }
            let saving = this.clone();
            let saved = spawn_blocking(move || saving.save()).await;
            match saved {
                Ok(Err(e)) if !failed => {
                    failed = true;
                    error!(
                        Log::root(),
                        "store.path: write {}: {e}; bans survive no restart until it can be written",
                        this.path.display()
                    );
                }
                Ok(Ok(())) => failed = false,
                Ok(Err(_)) | Err(_) => {}
            }
            if stop.is_cancelled() {
                return;
            }
            sleep(SAVE_BANS).await;
        }
    }

    fn save(&self) -> io::Result<()> {
        file::write_private(&self.path, &text(self.bans.all())?)
    }

    fn set_aside(&self, why: &serde_json::Error) -> io::Result<()> {
        let mut broken = self.path.clone().into_os_string();
        broken.push(".broken");
        std::fs::rename(&self.path, &broken)?;
        error!(
            Log::root(),
            "store.path: {} holds no bans that can be read ({why}); it is now {}",
            self.path.display(),
            Path::new(&broken).display()
        );
        Ok(())
    }
}

/// The whole file.
pub(crate) fn text(bans: Vec<Ban>) -> serde_json::Result<String> {
    let bans = bans.into_iter().map(StoredBan::from).collect();
    let version = VERSION;
    Ok(serde_json::to_string(&Stored { version, bans })? + "\n")
}

/// What a later frps has in it that is not known here is left out.
pub(crate) fn parse(content: &[u8]) -> serde_json::Result<Vec<Ban>> {
    let stored: Stored = serde_json::from_slice(content)?;
    Ok(stored
        .bans
        .into_iter()
        .filter_map(StoredBan::read)
        .collect())
}

impl From<Ban> for StoredBan {
    fn from(ban: Ban) -> Self {
        Self {
            network: ban.network.to_string(),
            cause: ban.kind.as_str().to_owned(),
            since: millis(ban.since),
            until: ban.until.map(millis),
            proxy: ban.proxy,
            whose: ban.whose.map(|whose| whose.to_string()),
            reason: ban.reason,
            strikes: ban.strikes,
        }
    }
}

impl StoredBan {
    fn read(self) -> Option<Ban> {
        let network: Network = self.network.parse().ok()?;
        let until = match self.until {
            None => None,
            Some(until) => Some(at(until)?),
        };
        Some(Ban {
            network,
            kind: Kind::named(&self.cause)?,
            since: at(self.since)?,
            until,
            proxy: self.proxy,
            whose: self.whose.map(Into::into),
            reason: self.reason,
            strikes: self.strikes,
        })
    }
}

/// Unix milliseconds.
pub(crate) fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn at(millis: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let ban = Ban {
            network: "2001:db8::/64".parse().unwrap(),
            kind: Kind::Password,
            since: at(1_700_000_000_000).unwrap(),
            until: at(1_900_000_000_000),
            whose: Some("client a".into()),
            proxy: "a\"\n".to_owned(),
            reason: String::new(),
            strikes: 3,
        };
        let text = text(vec![ban.clone()]).unwrap();
        let read = parse(text.as_bytes()).unwrap();
        assert_eq!(format!("{read:?}"), format!("{:?}", [ban]));
        let later = text.replace("password", "later");
        assert!(parse(later.as_bytes()).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn no_content_is_trouble(content in proptest::collection::vec(any::<u8>(), 0..200), n in any::<u64>()) {
            let _ = parse(&content);
            let odd = format!(r#"{{"version":1,"bans":[{{"network":"::/0","cause":"login","since":{n},"until":{n}}}]}}"#);
            let _ = parse(odd.as_bytes());
        }
    }
}
