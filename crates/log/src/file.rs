//! A log file, rotated every day at local midnight (golib `log/output_rotatefile.go`).
//!
//! The day's end is noticed by the first line after it, so no thread waits for midnight; the backup
//! bears the midnight that ended it, which is the name that frp would have given.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ZonedDateTime};

/// Why the log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The path names no file (it is empty, ends in `..`, or is not UTF-8).
    #[error("log file {path:?} is not a file name: set log.to to a file or to \"console\"")]
    NotAFile {
        /// The configured path.
        path: PathBuf,
    },
    /// The directory of the log file is missing and could not be made.
    #[error(
        "create directory {dir:?} for the log file: {source}: check log.to and its permissions"
    )]
    CreateDir {
        /// The directory.
        dir: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// The file of `log.access` could not be opened for appending.
    #[error("open access log {path:?}: {source}: check log.access and its permissions")]
    Access {
        /// The configured path.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// The log file could not be opened for appending.
    #[error("open log file {path:?}: {source}: check log.to and its permissions")]
    Open {
        /// The configured path.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
}

/// The current log file and its backups.
pub(crate) struct RotatingFile {
    path: PathBuf,
    /// The file name before its extension, and the extension with its dot.
    stem: String,
    extension: String,
    max_days: i64,
    zone: TimeZone,
    /// None after a failed rotation; the next line tries again.
    file: Option<File>,
    /// The end of the day that `file` belongs to.
    day_end: Timestamp,
}

impl RotatingFile {
    /// Opens `path` for appending, with its directories, and removes outdated backups.
    pub(crate) fn open(
        path: &Path,
        max_days: i64,
        zone: TimeZone,
        now: Timestamp,
    ) -> Result<Self, InitError> {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(InitError::NotAFile {
                path: path.to_owned(),
            });
        };
        let (stem, extension) = name.split_at(name.rfind('.').unwrap_or(name.len()));
        let dir = directory(path);
        fs::create_dir_all(dir).map_err(|source| InitError::CreateDir {
            dir: dir.to_owned(),
            source,
        })?;
        let file = append(path, NEW_FILE_MODE).map_err(|source| InitError::Open {
            path: path.to_owned(),
            source,
        })?;
        let log = Self {
            path: path.to_owned(),
            stem: stem.to_owned(),
            extension: extension.to_owned(),
            max_days,
            day_end: end_of_day(now, &zone),
            zone,
            file: Some(file),
        };
        log.remove_outdated(now);
        Ok(log)
    }

    /// Appends one rendered line; rotates first if its day is over. A line that cannot be written
    /// is lost: there is nobody to tell.
    pub(crate) fn write(&mut self, line: &[u8], now: Timestamp) {
        if now >= self.day_end {
            self.rotate(now);
        }
        if self.file.is_none() {
            self.file = append(&self.path, NEW_FILE_MODE).ok();
        }
        if let Some(file) = &mut self.file {
            let _ = file.write_all(line);
        }
    }

    /// Goes on in the file that is at the path now, a new one if there is none: what was there has
    /// been renamed away (logrotate). Its permission bits are those of the one before. Where that
    /// fails, the open file stays.
    pub(crate) fn reopen(&mut self) -> Result<(), InitError> {
        let meta = self.file.as_ref().and_then(|file| file.metadata().ok());
        let mode = meta.as_ref().map_or(NEW_FILE_MODE, mode);
        let file = append(&self.path, mode).map_err(|source| InitError::Open {
            path: self.path.clone(),
            source,
        })?;
        self.file = Some(file);
        Ok(())
    }

    fn rotate(&mut self, now: Timestamp) {
        let ended = std::mem::replace(&mut self.day_end, end_of_day(now, &self.zone));
        let meta = self.file.as_ref().and_then(|file| file.metadata().ok());
        // A device or a pipe cannot be renamed away; an empty file is not worth a backup.
        if let Some(meta) = meta.filter(|meta| meta.is_file() && meta.len() > 0)
            && fs::rename(&self.path, self.free_backup_path(ended)).is_ok()
        {
            self.file = append(&self.path, mode(&meta)).ok();
        }
        self.remove_outdated(now);
    }

    /// The backup's path for the day that ended at `ended`; later seconds if that one is taken.
    fn free_backup_path(&self, ended: Timestamp) -> PathBuf {
        let at = |second: i64| {
            let t = self
                .zone
                .to_datetime(ended + SignedDuration::from_secs(second));
            let Self {
                stem, extension, ..
            } = self;
            self.path
                .with_file_name(format!("{stem}.{}{extension}", t.strftime(BACKUP_TIME)))
        };
        (0..60)
            .map(at)
            .find(|path| !path.exists())
            .unwrap_or_else(|| at(60))
    }

    fn remove_outdated(&self, now: Timestamp) {
        if self.max_days <= 0 {
            return;
        }
        let age = SignedDuration::from_hours(self.max_days.saturating_mul(24).min(MAX_AGE_HOURS));
        let Ok(oldest_kept) = now.checked_sub(age) else {
            return;
        };
        let Ok(entries) = fs::read_dir(directory(&self.path)) else {
            return;
        };
        for entry in entries.flatten() {
            let outdated = entry
                .file_name()
                .to_str()
                .and_then(|name| self.backup_time(name))
                .is_some_and(|time| time < oldest_kept);
            if outdated && entry.file_type().is_ok_and(|kind| !kind.is_dir()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// The time in a backup's name; None if the name is not that of one of our backups.
    fn backup_time(&self, name: &str) -> Option<Timestamp> {
        let time = name
            .strip_prefix(&self.stem)?
            .strip_prefix('.')?
            .strip_suffix(&self.extension)
            .filter(|time| time.len() == "20060102-150405".len())?;
        let local = DateTime::strptime(BACKUP_TIME, time).ok()?;
        self.zone.to_ambiguous_timestamp(local).compatible().ok()
    }
}

fn directory(path: &Path) -> &Path {
    path.parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."))
}

fn end_of_day(now: Timestamp, zone: &TimeZone) -> Timestamp {
    let today = ZonedDateTime::new(now, zone.clone()).start_of_day();
    today
        .and_then(|today| today.tomorrow())
        .and_then(|tomorrow| tomorrow.start_of_day())
        .map_or(Timestamp::MAX, |tomorrow| tomorrow.timestamp())
}

#[cfg(unix)]
fn append(path: &Path, mode: u32) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(mode)
        .open(path)
}

#[cfg(not(unix))]
fn append(path: &Path, _: u32) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// The permission bits that the next day's file takes over.
#[cfg(unix)]
fn mode(meta: &fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    meta.permissions().mode() & 0o777
}

#[cfg(not(unix))]
fn mode(_: &fs::Metadata) -> u32 {
    NEW_FILE_MODE
}

/// Logs name users and addresses: for the owner only.
const NEW_FILE_MODE: u32 = 0o600;

const BACKUP_TIME: &str = "%Y%m%d-%H%M%S";

/// A hundred years, in hours: keeps an absurd `maxDays` out of the range of dates.
const MAX_AGE_HOURS: i64 = 100 * 366 * 24;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A directory of its own for each test, removed at its end.
    struct Dir(PathBuf);

    impl Dir {
        fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let name = format!(
                "frp-log-{}-{}",
                std::process::id(),
                NEXT.fetch_add(1, Ordering::Relaxed)
            );
            let dir = std::env::temp_dir().join(name);
            fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }

        fn log(&self) -> PathBuf {
            self.0.join("frps.log")
        }

        fn names(&self) -> Vec<String> {
            let mut names = fs::read_dir(&self.0)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect::<Vec<_>>();
            names.sort();
            names
        }

        fn read(&self, name: &str) -> String {
            fs::read_to_string(self.0.join(name)).unwrap()
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Berlin, with its summer time, whatever the machine knows of time zones.
    fn zone() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn local(time: &str) -> Timestamp {
        let local = time.parse::<DateTime>().unwrap();
        zone().to_ambiguous_timestamp(local).unambiguous().unwrap()
    }

    fn open(dir: &Dir, max_days: i64, now: &str) -> RotatingFile {
        RotatingFile::open(&dir.log(), max_days, zone(), local(now)).unwrap()
    }

    #[test]
    fn rotates_at_local_midnight_and_names_the_backup_after_it() {
        let dir = Dir::new();
        let mut log = open(&dir, 3, "2024-03-30T12:00:00");
        log.write(b"saturday\n", local("2024-03-30T23:59:59"));
        log.write(b"sunday\n", local("2024-03-31T00:00:00"));
        // A day of 23 hours: summer time begins.
        log.write(b"late sunday\n", local("2024-03-31T23:59:59"));
        log.write(b"monday\n", local("2024-04-01T08:00:00"));

        let names = [
            "frps.20240331-000000.log",
            "frps.20240401-000000.log",
            "frps.log",
        ];
        assert_eq!(dir.names(), names);
        let contents = names.map(|name| dir.read(name));
        assert_eq!(
            contents,
            ["saturday\n", "sunday\nlate sunday\n", "monday\n"]
        );
    }

    #[test]
    fn a_restart_appends() {
        let dir = Dir::new();
        open(&dir, 3, "2024-01-01T12:00:00").write(b"one\n", local("2024-01-01T12:00:00"));
        open(&dir, 3, "2024-01-01T13:00:00").write(b"two\n", local("2024-01-01T13:00:00"));
        assert_eq!(dir.names(), ["frps.log"]);
        assert_eq!(dir.read("frps.log"), "one\ntwo\n");
    }

    #[test]
    fn what_was_renamed_away_is_left_at_a_reopening() {
        let dir = Dir::new();
        let noon = local("2024-01-01T12:00:00");
        let mut log = open(&dir, 3, "2024-01-01T12:00:00");
        log.write(b"one\n", noon);
        fs::rename(dir.log(), dir.0.join("frps.log.1")).unwrap();
        log.write(b"two\n", noon);
        log.reopen().unwrap();
        log.write(b"three\n", noon);
        assert_eq!(dir.read("frps.log.1"), "one\ntwo\n");
        assert_eq!(dir.read("frps.log"), "three\n");
        log.reopen().unwrap();
        log.write(b"four\n", noon);
        assert_eq!(dir.read("frps.log"), "three\nfour\n", "nothing was renamed");

        fs::rename(dir.log(), dir.0.join("frps.log.2")).unwrap();
        fs::create_dir(dir.log()).unwrap();
        log.reopen().unwrap_err();
        log.write(b"five\n", noon);
        assert_eq!(
            dir.read("frps.log.2"),
            "three\nfour\nfive\n",
            "no line is lost"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_reopened_file_has_the_mode_of_the_one_before() {
        use std::os::unix::fs::PermissionsExt;
        let dir = Dir::new();
        let mut log = open(&dir, 3, "2024-01-01T12:00:00");
        fs::set_permissions(dir.log(), fs::Permissions::from_mode(0o640)).unwrap();
        fs::rename(dir.log(), dir.0.join("frps.log.1")).unwrap();
        log.reopen().unwrap();
        let mode = fs::metadata(dir.log()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
    }

    #[test]
    fn a_backup_is_never_overwritten() {
        let dir = Dir::new();
        fs::write(dir.0.join("frps.20240102-000000.log"), "older").unwrap();
        let mut log = open(&dir, 3, "2024-01-01T12:00:00");
        log.write(b"one\n", local("2024-01-01T12:00:00"));
        log.write(b"two\n", local("2024-01-02T00:00:01"));
        assert_eq!(dir.read("frps.20240102-000000.log"), "older");
        assert_eq!(dir.read("frps.20240102-000001.log"), "one\n");
    }

    #[test]
    fn outdated_backups_go_and_everything_else_stays() {
        let dir = Dir::new();
        let kept = [
            "frpc.20240101-000000.log",
            "frps.20240108-000000.log",
            "frps.20240101-000000.txt",
            "frps.2024.log",
            "frps.backup-of-2024.log",
        ];
        for name in kept
            .into_iter()
            .chain(["frps.20240107-000000.log", "frps.20231231-000000.log"])
        {
            fs::write(dir.0.join(name), "x").unwrap();
        }
        let mut log = open(&dir, 0, "2024-01-10T12:00:00");
        assert_eq!(dir.names().len(), kept.len() + 3, "0 days keep everything");

        log.max_days = 3;
        log.write(b"x\n", local("2024-01-10T12:00:00"));
        log.write(b"x\n", local("2024-01-11T00:00:00"));
        let mut want = kept.map(str::to_owned).to_vec();
        want.extend(["frps.20240111-000000.log".to_owned(), "frps.log".to_owned()]);
        want.sort();
        assert_eq!(dir.names(), want);

        drop(open(&dir, 1, "2024-01-12T12:00:00"));
        assert!(
            !dir.names().contains(&"frps.20240108-000000.log".to_owned()),
            "also at start"
        );
    }

    #[test]
    fn a_name_without_extension_rotates_too() {
        let dir = Dir::new();
        let path = dir.0.join("made/on/demand/frps");
        let mut log = RotatingFile::open(&path, 3, zone(), local("2024-01-01T12:00:00")).unwrap();
        log.write(b"one\n", local("2024-01-01T12:00:00"));
        log.write(b"two\n", local("2024-01-02T12:00:00"));
        assert_eq!(
            fs::read_to_string(path.with_file_name("frps.20240102-000000")).unwrap(),
            "one\n"
        );
    }

    #[cfg(unix)]
    #[test]
    fn new_files_are_the_owners_and_a_chosen_mode_is_kept() {
        use std::os::unix::fs::PermissionsExt;
        let dir = Dir::new();
        let mut log = open(&dir, 3, "2024-01-01T12:00:00");
        log.write(b"one\n", local("2024-01-01T12:00:00"));
        let bits = || fs::metadata(dir.log()).unwrap().permissions().mode() & 0o777;
        assert_eq!(bits(), 0o600);

        fs::set_permissions(dir.log(), fs::Permissions::from_mode(0o640)).unwrap();
        log.write(b"two\n", local("2024-01-02T12:00:00"));
        assert_eq!(dir.read("frps.log"), "two\n");
        assert_eq!(bits(), 0o640);
    }

    #[test]
    fn what_cannot_be_opened_says_why() {
        let dir = Dir::new();
        let at = |path: &Path| {
            let opened = RotatingFile::open(path, 3, zone(), local("2024-01-01T12:00:00"));
            opened.err().unwrap()
        };
        assert!(matches!(at(Path::new("")), InitError::NotAFile { .. }));
        assert!(matches!(at(&dir.0), InitError::Open { .. }));
        fs::write(dir.log(), "").unwrap();
        let error = at(&dir.log().join("x.log"));
        assert!(matches!(error, InitError::CreateDir { .. }));
        assert!(error.to_string().contains("check log.to"), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_is_not_rotated() {
        let path = Path::new("/dev/null");
        let mut log = RotatingFile::open(path, 0, zone(), local("2024-01-01T12:00:00")).unwrap();
        log.write(b"one\n", local("2024-01-02T12:00:00"));
        assert!(path.exists());
    }
}
