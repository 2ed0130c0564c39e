//! Whom does the ssh server behind a proxy refuse, as its own log says (`sshd.log`)?
//!
//! [`mod@line`] says what a line means, [`tail`] and [`journal`] where lines come from. Whose a line is follows from the
//! address that the user's connection has at the server, which is that from which it was dialled: so it is the same
//! with `transport.realIP`. What is found out is told to frps, which knows what to do about it.

pub(crate) mod journal;
pub(crate) mod line;
pub(crate) mod tail;
mod users;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use frp_config::ProxySshd;
use frp_log::{Log, info, warn};
use frp_proto::msg::UserReport;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::journal::Journal;
use self::line::Line;
use self::tail::Tail;
use self::users::{Found, Users};
use crate::limits::{LOOK_AT_LOG, LOOK_AT_QUIET_LOG, MAX_USER_REPORTS};
use crate::tasks::Tasks;

/// The logs that are followed, and what they have told.
#[derive(Debug, Default)]
pub(crate) struct Sshd {
    logs: Mutex<HashMap<String, Weak<Followed>>>,
    reports: Arc<Reports>,
}

/// What frps is to be told.
#[derive(Debug, Default)]
struct Reports {
    waiting: Mutex<VecDeque<UserReport>>,
    some: Notify,
}

/// A log, as long as a proxy wants it.
#[derive(Debug)]
struct Followed {
    users: Mutex<Users>,
    /// A user has come, whose lines are waited for.
    came: Notify,
    reports: Arc<Reports>,
    log: Log,
    _stop: DropGuard,
}

/// The log of the server behind a proxy.
#[derive(Debug)]
pub(crate) struct Watch {
    followed: Arc<Followed>,
    /// What frps calls the proxy.
    proxy: Arc<str>,
}

/// A user's connection to the server, until dropped.
#[derive(Debug)]
pub(crate) struct Dialled {
    id: u64,
    followed: Arc<Followed>,
}

/// Why a log cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SshdError {
    #[error(
        "sshd.log: read {path}: {error}. This frpc must be allowed to read it (on Debian and Ubuntu: the group adm); or \
         set sshd.log = \"journal\""
    )]
    File { path: String, error: io::Error },
    #[error(
        "sshd.log: start journalctl: {0}. Where there is no journal of systemd, set sshd.log to the file that the ssh \
         server logs into"
    )]
    Journal(io::Error),
}

impl Sshd {
    /// Follows `log` (see [`ProxySshd`]) for the proxy that frps calls `proxy`. Blocks as long as a file takes to open.
    pub(crate) fn watch(
        &self,
        log: &str,
        proxy: &str,
        tasks: &Tasks,
        says: &Log,
    ) -> Result<Watch, SshdError> {
        let proxy = proxy.into();
        let mut logs = lock(&self.logs);
        logs.retain(|_, followed| followed.strong_count() > 0);
        if let Some(followed) = logs.get(log).and_then(Weak::upgrade) {
            return Ok(Watch { followed, proxy });
        }
        let source = Source::open(log)?;
        let stop = tasks.stop.child_token();
        let followed = Arc::new(Followed {
            users: Mutex::default(),
            came: Notify::new(),
            reports: self.reports.clone(),
            log: says.clone(),
            _stop: stop.clone().drop_guard(),
        });
        let following = follow(source, Arc::downgrade(&followed), stop, says.clone());
        tasks.tracker.spawn(following);
        logs.insert(log.to_owned(), Arc::downgrade(&followed));
        Ok(Watch { followed, proxy })
    }

    /// What frps is to be told next.
    pub(crate) async fn report(&self) -> UserReport {
        loop {
            let next = lock(&self.reports.waiting).pop_front();
            match next {
                Some(report) => return report,
                None => self.reports.some.notified().await,
            }
        }
    }

    /// What has not been told is of no use: frps has forgotten those whom it is about.
    pub(crate) fn forget(&self) {
        lock(&self.reports.waiting).clear();
    }
}

impl Watch {
    /// The user at `from` is connected to the server from `local`.
    pub(crate) fn dialled(&self, local: SocketAddr, from: SocketAddr) -> Dialled {
        let id = lock(&self.followed.users).enter(local, self.proxy.clone(), from);
        self.followed.came.notify_one();
        Dialled {
            id,
            followed: self.followed.clone(),
        }
    }
}

impl Drop for Dialled {
    fn drop(&mut self) {
        lock(&self.followed.users).leave(self.id);
    }
}

impl Followed {
    /// Process `process` of the server has said this.
    fn take(&self, process: u32, line: Line) {
        let found = lock(&self.users).take(process, line);
        let Some(Found {
            proxy,
            from,
            failures,
            accepted,
            ended,
        }) = found
        else {
            return;
        };
        let report = |failures, accepted| {
            self.reports.add(UserReport {
                proxy_name: proxy.to_string(),
                src_addr: from.ip().to_string(),
                src_port: from.port(),
                failures: u16::try_from(failures).unwrap_or(u16::MAX),
                accepted,
            });
        };
        let log = self.log.of_user(from.ip());
        if failures > 0 {
            info!(log, "the ssh server refused a password of user [{from}]");
            report(failures, false);
        }
        if accepted {
            info!(log, "the ssh server let in user [{from}]");
            report(0, true);
        }
        if ended {
            report(0, false);
        }
    }
}

impl Reports {
    fn add(&self, report: UserReport) {
        let mut waiting = lock(&self.waiting);
        if waiting.len() >= MAX_USER_REPORTS {
            waiting.pop_front();
        }
        waiting.push_back(report);
        drop(waiting);
        self.some.notify_one();
    }
}

/// Where lines come from.
enum Source {
    File(Tail, PathBuf),
    Journal(Journal),
}

impl Source {
    fn open(log: &str) -> Result<Self, SshdError> {
        if log == ProxySshd::JOURNAL {
            let journal = Journal::open().map_err(SshdError::Journal)?;
            return Ok(Self::Journal(journal));
        }
        let path = PathBuf::from(log);
        match Tail::new(path.clone()) {
            Ok(tail) => Ok(Self::File(tail, path)),
            Err(error) => Err(SshdError::File {
                path: log.to_owned(),
                error,
            }),
        }
    }
}

/// Until nobody wants it any more, which `stop` says.
async fn follow(source: Source, followed: Weak<Followed>, stop: CancellationToken, log: Log) {
    let following = async {
        match source {
            Source::File(tail, path) => follow_file(tail, path, &followed, &log).await,
            Source::Journal(journal) => {
                let take = |process, line| {
                    if let Some(followed) = followed.upgrade() {
                        followed.take(process, line);
                    }
                };
                journal.follow(take, &log).await;
            }
        }
    };
    tokio::select! {
        () = following => {}
        () = stop.cancelled() => {}
    }
}

async fn follow_file(mut tail: Tail, path: PathBuf, followed: &Weak<Followed>, log: &Log) {
    let mut trouble = Trouble::default();
    if !tail.is_there() {
        trouble.say(
            log,
            format_args!("{}: there is no such file yet", path.display()),
        );
    }
    loop {
        let reading = spawn_blocking(move || {
            let mut lines = Vec::new();
            let read = tail.read(&mut lines);
            (tail, lines, read)
        });
        // It ends early only with the runtime.
        let Ok((back, lines, read)) = reading.await else {
            return;
        };
        tail = back;
        let Some(followed) = followed.upgrade() else {
            return;
        };
        for (process, line) in lines.iter().filter_map(|line| line::of_file(line)) {
            followed.take(process, line);
        }
        match read {
            Ok(true) => continue,
            Ok(false) if tail.is_there() => trouble = Trouble::default(),
            Ok(false) => {}
            Err(e) => trouble.say(log, format_args!("{}: {e}", path.display())),
        }
        // A line that somebody waits for is read soon, as others that guess wait for it, too.
        let are_awaited = lock(&followed.users).are_awaited();
        match are_awaited {
            true => sleep(LOOK_AT_LOG).await,
            false => tokio::select! {
                () = sleep(LOOK_AT_QUIET_LOG) => {}
                () = followed.came.notified() => {}
            },
        }
    }
}

/// What is wrong with a log, said once.
#[derive(Debug, Default)]
struct Trouble(bool);

impl Trouble {
    fn say(&mut self, log: &Log, what: impl fmt::Display) {
        if !self.0 {
            self.0 = true;
            warn!(
                log,
                "sshd.log: {what}; until that changes nobody is banned for passwords that the ssh server refuses"
            );
        }
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
