//! The journal of systemd as it grows, by its own `journalctl` (journalctl(1), systemd.journal-fields(7)).
//!
//! What a line says of itself anybody can write; that it was written by root, as a ssh server that lets users in is,
//! the journal knows from the kernel.

use std::io;
use std::process::Stdio;

use frp_log::Log;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::Trouble;
use super::line::{Line, PROGRAMS, of_message};
use super::tail::Cut;
use crate::limits::{JOURNAL_AGAIN, JOURNAL_AGAIN_MAX};

/// Bytes of what it complains about that are shown.
const MAX_COMPLAINT: u64 = 500;

/// A `journalctl` that runs, as long as this is there.
#[derive(Debug)]
pub(super) struct Journal(Child);

impl Journal {
    pub(super) fn open() -> io::Result<Self> {
        let mut command = Command::new("journalctl");
        command
            .args(["--follow", "--lines=0", "--quiet", "--output=json"])
            .arg("--output-fields=MESSAGE,SYSLOG_IDENTIFIER,_PID,SYSLOG_PID")
            .arg("_UID=0")
            .args(PROGRAMS.map(|program| format!("SYSLOG_IDENTIFIER={program}")))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Ok(Self(command.spawn()?))
    }

    /// Has `take` have what sshd says, for ever: a `journalctl` that ends is started again.
    pub(super) async fn follow(self, mut take: impl FnMut(u32, Line), log: &Log) {
        let mut trouble = Trouble::default();
        let mut running = Some(self);
        let mut wait = JOURNAL_AGAIN;
        loop {
            let begun = Instant::now();
            let opened = running.take().map_or_else(Self::open, Ok);
            match opened {
                Ok(journal) => {
                    let why = journal.read(&mut take).await;
                    if begun.elapsed() > JOURNAL_AGAIN_MAX {
                        trouble = Trouble::default();
                        wait = JOURNAL_AGAIN;
                    }
                    trouble.say(log, format_args!("journalctl has ended: {why}"));
                }
                Err(e) => trouble.say(log, format_args!("start journalctl: {e}")),
            }
            sleep(wait).await;
            wait = (wait * 2).min(JOURNAL_AGAIN_MAX);
        }
    }

    /// Until it ends, and why it did, in its own words.
    async fn read(mut self, take: &mut impl FnMut(u32, Line)) -> String {
        let (Some(mut out), Some(err)) = (self.0.stdout.take(), self.0.stderr.take()) else {
            return "it has no output".to_owned();
        };
        let lines = async {
            let (mut cut, mut lines, mut piece) = (Cut::default(), Vec::new(), [0; 8192]);
            while let Ok(n @ 1..) = out.read(&mut piece).await {
                cut.take(piece.get(..n).unwrap_or_default(), &mut lines);
                for line in lines.drain(..) {
                    if let Some((process, line)) = entry(&line) {
                        take(process, line);
                    }
                }
            }
        };
        let ((), complaint) = tokio::join!(lines, complaint(err));
        let status = match self.0.wait().await {
            Ok(status) => status.to_string(),
            Err(e) => e.to_string(),
        };
        match complaint.lines().next_back() {
            Some(last) => format!("{last} ({status})"),
            None => status,
        }
    }
}

/// The beginning of what it complains about; all of it is read, so that it never waits for that.
async fn complaint(mut err: impl AsyncRead + Unpin) -> String {
    let mut said = Vec::new();
    let _ = (&mut err).take(MAX_COMPLAINT).read_to_end(&mut said).await;
    let _ = tokio::io::copy(&mut err, &mut tokio::io::sink()).await;
    let said = String::from_utf8_lossy(&said);
    said.chars()
        .map(|c| if c == '\n' || !c.is_control() { c } else { ' ' })
        .collect()
}

/// What an entry says, and which process has said it.
pub(crate) fn entry(text: &str) -> Option<(u32, Line)> {
    let entry: Value = serde_json::from_str(text).ok()?;
    let number = |key: &str| entry[key].as_str()?.parse().ok();
    let process = number("SYSLOG_PID").or_else(|| number("_PID"));
    let program = entry["SYSLOG_IDENTIFIER"].as_str()?;
    if !super::line::is_sshd(program) {
        return None;
    }
    let message = match &entry["MESSAGE"] {
        Value::String(text) => text.clone(),
        // Where it is no text; see "Journal JSON Format".
        Value::Array(bytes) => {
            let bytes = bytes.iter().map(|byte| u8::try_from(byte.as_u64()?).ok());
            String::from_utf8_lossy(&bytes.collect::<Option<Vec<u8>>>()?).into_owned()
        }
        _ => return None,
    };
    Some((process.unwrap_or(0), of_message(&message)?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::super::line::Said;
    use super::*;

    #[test]
    fn entries_are_read() {
        let text = "Failed password for root from 192.0.2.7 port 22 ssh2";
        let bytes = format!("{:?}", text.as_bytes());
        for message in [format!("{text:?}"), bytes] {
            let json = format!(
                "{{\"__CURSOR\":\"s=1\",\"SYSLOG_IDENTIFIER\":\"sshd-session\",\"_PID\":\"12\",\"MESSAGE\":{message}}}"
            );
            let (process, line) = entry(&json).unwrap();
            assert_eq!((process, line.said), (12, Said::WrongPassword));
            assert!(entry(&json.replace("sshd-session", "su")).is_none());
        }
        assert!(entry("{\"SYSLOG_IDENTIFIER\":\"sshd\",\"MESSAGE\":null}").is_none());
        assert!(entry("-- No entries --").is_none());
    }

    proptest! {
        #[test]
        fn anything_may_be_an_entry(text: String) {
            let _ = entry(&text);
            let _ = entry(&format!("{{\"SYSLOG_IDENTIFIER\":\"sshd\",\"MESSAGE\":{text}}}"));
        }
    }
}
