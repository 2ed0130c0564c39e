//! `log.access`: a line of JSON for each user's connection that has ended (ours alone).
//!
//! A thread of its own writes them, out of a bounded queue: whoever ends never waits for a disk. What finds the
//! queue full, or the disk, is lost, counted, and said in a line of its own (`{"time":"…","lost":3}`). The
//! file is opened for appending, and again when another is at its path, looked for once a second: so both ways
//! of logrotate work without a signal.

#![expect(
    clippy::disallowed_types,
    reason = "what receives is a thread of its own"
)]

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::TIME_ZONE;
use crate::zone;

/// Lines that may wait for the disk.
const QUEUE: usize = 8192;

/// Between two looks at what is at the path.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long the end of the program waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

static WANTED: AtomicBool = AtomicBool::new(false);
static LOST: AtomicU64 = AtomicU64::new(0);
static QUEUED: Mutex<Option<Queue>> = Mutex::new(None);

struct Queue {
    path: PathBuf,
    lines: SyncSender<Item>,
}

enum Item {
    Line(String),
    /// Everything before it is written once this is dropped.
    Mark(SyncSender<()>),
}

/// A user's connection that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Connection<'a> {
    /// The same in both programs, where frps has told frpc.
    pub id: u64,
    /// As the program calls it.
    pub proxy: &'a str,
    /// Its type.
    pub kind: &'a str,
    /// Whose it is; in frpc empty.
    pub client: &'a str,
    /// Where the user came from, where that is known.
    pub user: Option<SocketAddr>,
    /// How long it was there.
    pub lasted: Duration,
    /// Bytes from the user to the service, and the other way.
    pub bytes: (u64, u64),
    /// Why it ended.
    pub end: &'a str,
}

/// Writes lines to `path` from now on, or none.
///
/// # Errors
/// The file cannot be opened. Then the former goes on.
pub(crate) fn init(path: Option<&Path>) -> io::Result<()> {
    let mut queued = QUEUED.lock().unwrap_or_else(PoisonError::into_inner);
    if queued.as_ref().map(|queue| queue.path.as_path()) == path {
        return Ok(());
    }
    let Some(path) = path else {
        *queued = None;
        WANTED.store(false, Ordering::Relaxed);
        return Ok(());
    };
    let file = append(path)?;
    let (lines, receiver) = sync_channel(QUEUE);
    let writer = Writer {
        path: path.to_owned(),
        file: Some(file),
        looked: Instant::now(),
    };
    thread::Builder::new()
        .name("access log".to_owned())
        .spawn(move || writer.run(&receiver))?;
    *queued = Some(Queue {
        path: path.to_owned(),
        lines,
    });
    WANTED.store(true, Ordering::Relaxed);
    Ok(())
}

/// Whether `log.access` is set.
pub fn is_wanted() -> bool {
    WANTED.load(Ordering::Relaxed)
}

/// Writes a line about it, where `log.access` is set. Never waits.
pub fn ended(conn: &Connection<'_>) {
    if !is_wanted() {
        return;
    }
    let line = render(conn, Timestamp::now());
    let queued = QUEUED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(queue) = &*queued
        && queue.lines.try_send(Item::Line(line)).is_err()
    {
        LOST.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits for what is queued, for a moment at most.
pub(crate) fn flush() {
    let queue = QUEUED.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(lines) = queue.as_ref().map(|queue| queue.lines.clone()) else {
        return;
    };
    drop(queue);
    let (mark, written) = sync_channel(0);
    if lines.try_send(Item::Mark(mark)).is_ok() {
        // Ends by the drop of the other side.
        let _ = written.recv_timeout(LAST_LINES);
    }
}

fn render(conn: &Connection<'_>, now: Timestamp) -> String {
    let mut line = time(now);
    let _ = write!(line, ",\"id\":\"{:016x}\"", conn.id);
    push(&mut line, "proxy", conn.proxy);
    push(&mut line, "type", conn.kind);
    if !conn.client.is_empty() {
        push(&mut line, "client", conn.client);
    }
    if let Some(user) = conn.user {
        let _ = write!(line, ",\"user\":\"{user}\"");
    }
    let (seconds, (bytes_in, bytes_out)) = (conn.lasted.as_secs_f64(), conn.bytes);
    let _ = write!(
        line,
        ",\"duration\":{seconds:.3},\"in\":{bytes_in},\"out\":{bytes_out}"
    );
    push(&mut line, "end", conn.end);
    line.push_str("}\n");
    line
}

/// The beginning of a line: RFC 3339 with the zone's offset.
fn time(now: Timestamp) -> String {
    let offset = TIME_ZONE.get_or_init(zone::local).to_offset(now);
    format!("{{\"time\":\"{:.3}\"", now.display_with_offset(offset))
}

/// `,"name":"value"`, with what JSON escapes, and what is not seen or turns text around.
fn push(line: &mut String, name: &str, value: &str) {
    let _ = write!(line, ",\"{name}\":\"");
    for c in value.chars() {
        match c {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            c if c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                let _ = write!(line, "\\u{:04x}", u32::from(c));
            }
            c => line.push(c),
        }
    }
    line.push('"');
}

struct Writer {
    path: PathBuf,
    file: Option<File>,
    looked: Instant,
}

impl Writer {
    fn run(mut self, lines: &Receiver<Item>) {
        loop {
            let mark = match lines.recv_timeout(LOOK_EVERY) {
                Ok(Item::Line(line)) => {
                    self.write(&line);
                    None
                }
                Ok(Item::Mark(mark)) => Some(mark),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let lost = LOST.swap(0, Ordering::Relaxed);
            if lost > 0
                && !self.write_whole(&format!("{},\"lost\":{lost}}}\n", time(Timestamp::now())))
            {
                LOST.fetch_add(lost, Ordering::Relaxed);
            }
            drop(mark);
        }
    }

    fn write(&mut self, line: &str) {
        if !self.write_whole(line) {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn write_whole(&mut self, line: &str) -> bool {
        if self.looked.elapsed() >= LOOK_EVERY {
            self.looked = Instant::now();
            if !self.is_at_path() {
                self.file = append(&self.path).ok().or_else(|| self.file.take());
            }
        }
        let written = self
            .file
            .as_mut()
            .map(|file| file.write_all(line.as_bytes()));
        matches!(written, Some(Ok(())))
    }

    /// Whether the file that is open is the one at the path.
    fn is_at_path(&self) -> bool {
        let (Some(file), Ok(there)) = (&self.file, fs::metadata(&self.path)) else {
            return false;
        };
        file.metadata().is_ok_and(|open| is_same(&open, &there))
    }
}

#[cfg(unix)]
fn is_same(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Who moves a file that is open cannot do it there.
#[cfg(not(unix))]
fn is_same(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}

fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        // It tells who has come from where.
        options.mode(0o640);
    }
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json_whatever_the_name_is() {
        let conn = Connection {
            id: 0xa,
            proxy: "a\"\\\n\u{202e}<b>",
            kind: "tcp",
            client: "",
            user: "192.0.2.1:5".parse().ok(),
            lasted: Duration::from_millis(1500),
            bytes: (3, 4),
            end: "user closed",
        };
        let line = render(&conn, Timestamp::UNIX_EPOCH);
        let rest = line.split_once("\",\"id\"").map(|(_, rest)| rest);
        let expected = ":\"000000000000000a\",\"proxy\":\"a\\\"\\\\\\u000a\\u202e<b>\",\"type\":\"tcp\",\
                        \"user\":\"192.0.2.1:5\",\"duration\":1.500,\"in\":3,\"out\":4,\
                        \"end\":\"user closed\"}\n";
        assert_eq!(rest, Some(expected));
    }
}
