//! Standard output that cannot hold up the program: a reader that stops reading costs lines, not
//! connections.

use std::fs::File;
use std::io::{self, Write as _};

use frp_config::LogLevel as Level;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::line::{self, Event, Style};

/// Standard output, or a stand-in for it.
pub(crate) struct Console {
    out: Option<File>,
    /// Whether a write may block for long: everything but a regular file.
    may_block: bool,
    /// Lines dropped since the reader stopped reading.
    dropped: u64,
    /// The last line was cut in its middle.
    torn: bool,
    /// Of what is said here.
    style: Style,
}

impl Console {
    /// A duplicate of the process's standard output. Lines vanish if there is none.
    pub(crate) fn stdout(style: Style) -> Self {
        Self::new(duplicate_stdout().ok(), style)
    }

    fn new(out: Option<File>, style: Style) -> Self {
        let may_block = out
            .as_ref()
            .and_then(|f| f.metadata().ok())
            .is_none_or(|meta| !meta.is_file());
        Self {
            out,
            may_block,
            dropped: 0,
            torn: false,
            style,
        }
    }

    /// Writes one rendered line, or drops it: never an error, never a panic, and at most
    /// [`PATIENCE_MS`] of waiting when the reader stops reading, then none until it reads again.
    pub(crate) fn write(&mut self, line: &[u8], now: Timestamp, zone: &TimeZone) {
        let Some(out) = &self.out else { return };
        if self.dropped > 0 {
            if !writable(out, 0) {
                self.dropped += 1;
                return;
            }
            self.report_loss(now, zone);
        }
        self.put(line);
    }

    fn report_loss(&mut self, now: Timestamp, zone: &TimeZone) {
        if self.torn {
            self.put(b"\n");
            self.torn = false;
        }
        let text = format!(
            "{} log lines were dropped: standard output was not read",
            self.dropped
        );
        self.dropped = 0;
        let event = Event {
            level: Level::Warn,
            prefix: "",
            file: file!(),
            line: line!(),
            text: &text,
        };
        line::with_rendered(&event, now, zone, self.style, |notice| self.put(notice));
    }

    fn put(&mut self, line: &[u8]) {
        let Some(mut out) = self.out.as_ref() else {
            return;
        };
        let mut rest = line;
        while !rest.is_empty() {
            if self.may_block && !writable(out, PATIENCE_MS) {
                self.dropped += 1;
                self.torn |= rest.len() < line.len();
                return;
            }
            // A pipe that polls writable takes this much at once without blocking.
            let chunk = if self.may_block {
                rest.get(..PIPE_CHUNK).unwrap_or(rest)
            } else {
                rest
            };
            match out.write(chunk) {
                Ok(n) => rest = rest.get(n..).unwrap_or_default(),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // Closed, or out of space: there is nobody to tell.
                Err(_) => return,
            }
        }
    }
}

#[cfg(unix)]
fn duplicate_stdout() -> io::Result<File> {
    use std::os::fd::AsFd;
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

#[cfg(windows)]
fn duplicate_stdout() -> io::Result<File> {
    use std::os::windows::io::AsHandle;
    Ok(io::stdout().as_handle().try_clone_to_owned()?.into())
}

/// Whether `out` takes a write within `wait_ms` milliseconds. An error or a hang-up counts as yes:
/// the write then reports it at once.
#[cfg(unix)]
fn writable(out: &File, wait_ms: i64) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let wait = Timespec {
        tv_sec: 0,
        tv_nsec: wait_ms * 1_000_000,
    };
    !matches!(
        poll(&mut [PollFd::new(out, PollFlags::OUT)], Some(&wait)),
        Ok(0)
    )
}

#[cfg(windows)]
fn writable(_: &File, _: i64) -> bool {
    true
}

/// How long, in milliseconds, a line waits for a reader that fell behind. Long enough for a busy
/// log collector, short enough that a dead one is not felt by connections.
const PATIENCE_MS: i64 = 50;

/// Bytes per write: PIPE_BUF of Linux, and one page.
const PIPE_CHUNK: usize = 4096;

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;

    use super::*;

    fn pipe() -> (io::PipeReader, Console) {
        let (reader, writer) = io::pipe().unwrap();
        (
            reader,
            Console::new(Some(OwnedFd::from(writer).into()), Style::Plain),
        )
    }

    #[test]
    fn lines_reach_the_reader_whole() {
        let (mut reader, mut console) = pipe();
        let long = format!("{}\n", "x".repeat(3 * PIPE_CHUNK));
        console.write(b"first\n", Timestamp::UNIX_EPOCH, &TimeZone::UTC);
        console.write(long.as_bytes(), Timestamp::UNIX_EPOCH, &TimeZone::UTC);
        drop(console);
        let mut got = String::new();
        reader.read_to_string(&mut got).unwrap();
        assert_eq!(got, format!("first\n{long}"));
    }

    #[test]
    fn a_reader_that_stops_costs_lines_and_is_told_how_many() {
        let (mut reader, mut console) = pipe();
        let line = [b'x'; 1023]
            .iter()
            .chain(b"\n")
            .copied()
            .collect::<Vec<u8>>();
        for _ in 0..2000 {
            console.write(&line, Timestamp::UNIX_EPOCH, &TimeZone::UTC);
        }
        let lost = console.dropped;
        assert!(lost > 0, "the pipe took everything");

        let mut drained = vec![0; (2000 - lost as usize) * line.len()];
        reader.read_exact(&mut drained).unwrap();
        console.write(b"back\n", Timestamp::UNIX_EPOCH, &TimeZone::UTC);
        drop(console);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert!(
            rest.contains(&format!("{lost} log lines were dropped")),
            "{rest}"
        );
        assert!(rest.ends_with("\nback\n"), "{rest}");
    }

    #[test]
    fn a_closed_reader_is_survived() {
        let (reader, mut console) = pipe();
        drop(reader);
        console.write(b"into the void\n", Timestamp::UNIX_EPOCH, &TimeZone::UTC);
        Console::new(None, Style::Plain).write(b"nowhere\n", Timestamp::UNIX_EPOCH, &TimeZone::UTC);
    }
}
