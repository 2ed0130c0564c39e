//! Which traffic survives the end of frps? That of the last days, in the file of `store.path`: read before
//! frps serves, written as a whole every while and at the end. All of it blocks but [`TrafficFile::run`].

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use frp_log::{Log, error, info};
use frp_process::file;
use frp_proto::names::{Named as _, ProxyType};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Stats;
use super::metrics::{Amount, DAYS, Kept, KeptProxy};
use crate::limits::{MAX_KEPT_PROXIES, MAX_KEPT_TEXT, SAVE_TRAFFIC};

/// What the file says it is.
const VERSION: u32 = 1;

/// The file of `store.path`.
#[derive(Debug)]
pub(crate) struct TrafficFile {
    path: PathBuf,
    stats: Arc<Stats>,
    last: Mutex<Last>,
}

/// What was written, and whether it could be.
#[derive(Debug, Default)]
struct Last {
    content: Option<u64>,
    failed: bool,
}

/// The first line of the file, as it were: everything but the proxies.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    version: u32,
    /// Unix milliseconds.
    saved_at: i64,
    /// The first of each `days`.
    today: String,
    /// Bytes in and out of all proxies, today first.
    days: [[u64; 2]; DAYS],
    #[serde(default)]
    proxies: Vec<StoredProxy>,
}

/// Times are Unix milliseconds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredProxy {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    user: String,
    #[serde(default, rename = "clientID", skip_serializing_if = "String::is_empty")]
    client_id: String,
    days: [[u64; 2]; DAYS],
    started_at: i64,
    /// None: it ran when the file was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    closed_at: Option<i64>,
}

impl TrafficFile {
    /// Gives `stats` what is in the file, and makes sure that it can be written. What is no such file is
    /// set aside.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub(crate) fn open(path: &Path, stats: &Arc<Stats>) -> io::Result<Self> {
        let this = Self {
            path: path.to_owned(),
            stats: stats.clone(),
            last: Mutex::default(),
        };
        match file::read(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) if e.kind() == io::ErrorKind::FileTooLarge => this.set_aside(&e)?,
            Err(e) => return Err(e),
            Ok(content) => match parse(&content) {
                Ok(kept) => stats.metrics.restore(kept),
                Err(e) => this.set_aside(&e)?,
            },
        }
        this.save()?;
        Ok(this)
    }

    /// Writes it every [`SAVE_TRAFFIC`] until `stop`. A failure is told once.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut turns = interval(SAVE_TRAFFIC);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = turns.tick() => self.clone().save_and_tell().await,
                () = stop.cancelled() => return,
            }
        }
    }

    /// Writes it, where there is something new.
    pub(crate) async fn save_and_tell(self: Arc<Self>) {
        let _ = spawn_blocking(move || self.tell(&self.save())).await;
    }

    fn tell(&self, saved: &io::Result<()>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.path.display();
        match saved {
            Err(e) if !last.failed => error!(
                Log::root(),
                "store.path: write {path}: {e}; the traffic of the last days survives no restart until it \
                 can be written, which is tried again"
            ),
            Ok(()) if last.failed => info!(Log::root(), "store.path: {path} is written again"),
            _ => {}
        }
        last.failed = saved.is_err();
    }

    fn save(&self) -> io::Result<()> {
        let kept = self.stats.metrics.kept();
        let proxies = lines(&kept);
        let mut hasher = DefaultHasher::new();
        (kept.today.to_string(), &proxies).hash(&mut hasher);
        let content = hasher.finish();
        let last = || self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last().content == Some(content) {
            return Ok(());
        }
        file::write_private(&self.path, &text(&kept, &proxies)?)?;
        last().content = Some(content);
        Ok(())
    }

    fn set_aside(&self, why: &dyn std::error::Error) -> io::Result<()> {
        let mut broken = self.path.clone().into_os_string();
        broken.push(".broken");
        std::fs::rename(&self.path, &broken)?;
        error!(
            Log::root(),
            "store.path: {} holds no traffic that can be read ({why}); it is now {}, and the traffic of \
             the last days begins anew",
            self.path.display(),
            Path::new(&broken).display()
        );
        Ok(())
    }
}

/// What is wrong with a file's content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("version {0}, this frps reads version {VERSION}")]
    Version(u32),
    #[error("today: {0}")]
    Day(#[from] jiff::Error),
}

pub(crate) fn parse(content: &[u8]) -> Result<Kept, Unreadable> {
    let stored: Stored = serde_json::from_slice(content)?;
    if stored.version != VERSION {
        return Err(Unreadable::Version(stored.version));
    }
    let saved = Timestamp::from_millisecond(stored.saved_at)?;
    let mut proxies = Vec::new();
    for proxy in stored.proxies.into_iter().take(MAX_KEPT_PROXIES) {
        // One of a type that a later frps knows.
        let Some(kind) = ProxyType::named(&proxy.kind) else {
            continue;
        };
        let closed = proxy.closed_at.map(Timestamp::from_millisecond);
        proxies.push(KeptProxy {
            name: proxy.name.into(),
            kind,
            user: proxy.user.into(),
            client_id: proxy.client_id.into(),
            days: amounts(proxy.days),
            started: Timestamp::from_millisecond(proxy.started_at)?,
            closed: closed.transpose()?,
        });
    }
    Ok(Kept {
        today: stored.today.parse::<Date>()?,
        saved,
        days: amounts(stored.days),
        proxies,
    })
}

/// A line for each proxy, those that run first and then the last closed, as many as have room.
pub(crate) fn lines(kept: &Kept) -> String {
    let mut order: Vec<&KeptProxy> = kept.proxies.iter().collect();
    order.sort_by_key(|proxy| std::cmp::Reverse(proxy.closed.unwrap_or(Timestamp::MAX)));
    let mut lines = String::new();
    for proxy in order.into_iter().take(MAX_KEPT_PROXIES) {
        let stored = StoredProxy {
            name: proxy.name.to_string(),
            kind: proxy.kind.as_str().to_owned(),
            user: proxy.user.to_string(),
            client_id: proxy.client_id.to_string(),
            days: numbers(&proxy.days),
            started_at: proxy.started.as_millisecond(),
            closed_at: proxy.closed.map(Timestamp::as_millisecond),
        };
        // Texts and numbers: nothing in them can fail.
        let line = serde_json::to_string(&stored).unwrap_or_default();
        if lines.len() + line.len() + 2 > MAX_KEPT_TEXT {
            break;
        }
        if !lines.is_empty() {
            lines.push_str(",\n");
        }
        lines.push_str(&line);
    }
    lines
}

/// The whole file.
pub(crate) fn text(kept: &Kept, proxies: &str) -> io::Result<String> {
    let head = serde_json::to_string(&Stored {
        version: VERSION,
        saved_at: kept.saved.as_millisecond(),
        today: kept.today.to_string(),
        days: numbers(&kept.days),
        proxies: Vec::new(),
    })?;
    let head = head.strip_suffix("]}").unwrap_or(&head);
    Ok(format!("{head}\n{proxies}\n]}}\n"))
}

fn numbers(days: &[Amount; DAYS]) -> [[u64; 2]; DAYS] {
    days.map(|day| [day.inward, day.outward])
}

fn amounts(days: [[u64; 2]; DAYS]) -> [Amount; DAYS] {
    days.map(|[inward, outward]| Amount { inward, outward })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept(proxies: usize) -> Kept {
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        let days = std::array::from_fn(|day| Amount {
            inward: day as u64,
            outward: u64::MAX / 2,
        });
        let proxy = |n: usize| KeptProxy {
            name: format!("p\"{n}\n").into(),
            kind: ProxyType::Udp,
            user: "u".into(),
            client_id: "".into(),
            days,
            started: at,
            closed: n.is_multiple_of(2).then_some(at),
        };
        Kept {
            today: "2026-11-30".parse().unwrap(),
            saved: at,
            days,
            proxies: (0..proxies).map(proxy).collect(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for count in [0, 1, 3] {
            let kept = kept(count);
            let text = text(&kept, &lines(&kept)).unwrap();
            let mut read = parse(text.as_bytes()).unwrap();
            let mut wanted = kept;
            let name = |proxy: &KeptProxy| proxy.name.clone();
            read.proxies.sort_by_key(name);
            wanted.proxies.sort_by_key(name);
            assert_eq!(read, wanted, "{text}");
        }
    }

    /// The file has a largest size, which is less than what is read; those that run come first.
    #[test]
    fn the_file_is_bounded() {
        let mut kept = kept(0);
        let at = kept.saved;
        for n in 0..MAX_KEPT_PROXIES + 10 {
            kept.proxies.push(KeptProxy {
                name: format!("{n:0>400}").into(),
                kind: ProxyType::Tcp,
                user: "".into(),
                client_id: "".into(),
                days: Default::default(),
                started: at,
                closed: (n < MAX_KEPT_PROXIES).then_some(at),
            });
        }
        let text = text(&kept, &lines(&kept)).unwrap();
        assert!(text.len() as u64 <= frp_process::limits::MAX_FILE);
        let read = parse(text.as_bytes()).unwrap().proxies;
        assert!(read.len() > 10_000, "{}", read.len());
        assert_eq!(read.iter().filter(|p| p.closed.is_none()).count(), 10);
    }

    #[test]
    fn what_is_no_such_file_is_told() {
        let kept = kept(1);
        let good = text(&kept, &lines(&kept)).unwrap();
        for (bad, why) in [
            (String::new(), "EOF"),
            (good[..good.len() / 2].to_owned(), "EOF"),
            (good.replace("\"version\":1", "\"version\":2"), "version 2"),
            (good.replace("2026-11-30", "2026-11-31"), "today: "),
        ] {
            let error = parse(bad.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        let later = good.replace("\"udp\"", "\"later\"");
        assert!(parse(later.as_bytes()).unwrap().proxies.is_empty());
    }

    proptest! {
        #[test]
        fn no_content_is_trouble(content in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&content);
        }

        #[test]
        fn no_cut_and_no_flip_is_trouble(at in 0usize..2000, byte in any::<u8>()) {
            let kept = kept(3);
            let mut text = text(&kept, &lines(&kept)).unwrap().into_bytes();
            let at = at % (text.len() - 1);
            text[at] = byte;
            let _ = parse(&text);
            text.truncate(at);
            prop_assert!(parse(&text).is_err());
        }
    }
}
