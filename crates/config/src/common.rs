//! Settings that both programs share: authentication and log.

use std::path::PathBuf;

use crate::Secret;

/// How the two programs prove to each other that they belong together (`auth.*`).
///
/// The only method so far is `token`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Auth {
    /// `auth.token`: the shared secret; empty is a valid choice.
    pub token: Secret,
    /// `auth.additionalScopes` holds `HeartBeats`: every Ping carries the token's digest.
    pub scope_heartbeats: bool,
    /// `auth.additionalScopes` holds `NewWorkConns`: every work connection carries it too.
    pub scope_new_work_conns: bool,
}

/// Where log lines go and which of them (`log.*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// `log.to`
    pub to: LogTarget,
    /// `log.level`: the least important level that is written.
    pub level: LogLevel,
    /// `log.maxDays`: rotated files older than this many days are removed.
    pub max_days: i64,
    /// `log.disablePrintColor`: no colour escapes on the console.
    pub disable_print_color: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            to: LogTarget::Console,
            level: LogLevel::Info,
            max_days: 3,
            disable_print_color: false,
        }
    }
}

/// The place that log lines are written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Console,
    /// A file, rotated daily.
    File(PathBuf),
}

/// Importance of a log line, least important first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Every step.
    Trace,
    /// For finding faults.
    Debug,
    /// What an operator wants to know.
    Info,
    /// Something is off, the program copes.
    Warn,
    /// Something failed.
    Error,
}

/// An inclusive range of TCP ports (`allowPorts`); `start <= end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    /// First port.
    pub start: u16,
    /// Last port.
    pub end: u16,
}

impl PortRange {
    /// Whether `port` lies in the range.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        (self.start..=self.end).contains(&port)
    }
}
