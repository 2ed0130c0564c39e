//! frp's log: the line format, the prefixes, and where lines go (stdout or a daily rotated file).
//!
//! A line is `2006-01-02 15:04:05.000 [I] [dir/file.rs:12] [prefix] [prefix] text`, in local time,
//! as frp prints it (frp `pkg/util/xlog`, golib `log`). With `log.format = "json"` it is an object with the
//! same in fields.
//!
//! Two ways lead to it:
//! - the programs hold a [`Log`], which carries the prefixes, and use [`info!`] and its siblings.
//!   A clone is a reference count, a disabled level is one relaxed load, and an enabled one renders
//!   into a buffer kept per thread and makes one write call: no allocation, no span bookkeeping.
//! - `tracing` events, for the crates that know nothing of sessions. Those of this workspace
//!   (targets beginning with `frp`) follow the configured level, those of others show from warn up. Where
//!   they concern a session they have the span of its [`Log`] as parent, and so its prefixes.
//!
//! Control characters in a line are escaped (`\n`, `\u{1b}`, `\u{202e}`): names and host names come from
//! peers, and must not be able to forge lines or drive a terminal.
//!
//! Nor can a peer fill the disk: of each kind of line a source has a burst, then a rate, and the rest
//! is counted (see `limit.rs`). The source is whom a line's prefixes name, or the network of a
//! stranger ([`Log::by`]). Lines of level debug have fifty times as much, those of level trace no bound.

pub mod access;
mod bridge;
mod console;
mod cut;
mod file;
mod limit;
mod line;
mod zone;

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Instant;

pub use frp_config::LogLevel as Level;
use frp_config::{LogConfig, LogFormat, LogTarget};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::console::Console;
pub use crate::cut::{shown, shown_error, shown_name};
pub use crate::file::InitError;
use crate::file::RotatingFile;
use crate::limit::{Budget, Kind, Limiter, Net, Source, Verdict};
pub use crate::line::visible;
use crate::line::{Event, Style};

/// Starts logging for the whole process, and catches `tracing` events.
///
/// Until the first call nothing is printed. A later call replaces target and level (the last one
/// wins, as in frp when one process runs several configuration files). If the process already has
/// another `tracing` subscriber, that one keeps the `tracing` events; the macros of this crate are
/// not affected.
///
/// # Errors
/// The log file cannot be opened; the former target then stays.
pub fn init(cfg: &LogConfig) -> Result<(), InitError> {
    let zone = TIME_ZONE.get_or_init(zone::local);
    let style = style_of(cfg);
    if let Err(source) = access::init(cfg.access.as_deref()) {
        let path = cfg.access.clone().unwrap_or_default();
        return Err(InitError::Access { path, source });
    }
    let sink = match &cfg.to {
        LogTarget::Console => Sink::Console(Console::stdout(style)),
        LogTarget::File(path) => {
            let now = Timestamp::now();
            Sink::File(RotatingFile::open(path, cfg.max_days, zone.clone(), now)?)
        }
    };
    *SINK.lock().unwrap_or_else(PoisonError::into_inner) = Some(sink);
    STYLE.store(style as u8, Ordering::Relaxed);
    set_level(cfg.level);
    Ok(())
}

/// Colours are for people who look at a terminal and have not said that they want none
/// (<https://no-color.org>). frp sends them wherever the console leads.
fn style_of(cfg: &LogConfig) -> Style {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    match cfg.format {
        LogFormat::Json => Style::Json,
        LogFormat::Text if cfg.disable_print_color || unwanted => Style::Plain,
        LogFormat::Text if cfg.to == LogTarget::Console && io::stdout().is_terminal() => {
            Style::Coloured
        }
        LogFormat::Text => Style::Plain,
    }
}

/// Has lines go where `cfg` says, where `former` says otherwise, and those of its level. Without effect
/// but for the level where [`init`] was not called: the lines are then another program's affair.
///
/// # Errors
/// The log file cannot be opened; target and level then stay.
pub fn replace(former: &LogConfig, cfg: &LogConfig) -> Result<(), InitError> {
    let is_ours = SINK
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .is_some();
    let level = cfg.level;
    let same = cfg
        == &LogConfig {
            level,
            ..former.clone()
        };
    if is_ours && !same {
        return init(cfg);
    }
    set_level(level);
    Ok(())
}

/// Goes on in the file that is at `log.to` now, after another program has renamed the old one away.
/// Without effect on the console and before [`init`]. Makes system calls on a file: from async code,
/// call it where blocking is allowed.
///
/// # Errors
/// The file cannot be opened. The open one is kept, and every line still goes there.
pub fn reopen() -> Result<(), InitError> {
    match SINK.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        Some(Sink::File(file)) => file.reopen(),
        Some(Sink::Console(_)) | None => Ok(()),
    }
}

/// Prints lines from `level` on, from now on.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
    bridge::install();
}

/// Whether a line of this level is printed.
#[inline]
#[must_use]
pub fn enabled(level: Level) -> bool {
    level as u8 >= LEVEL.load(Ordering::Relaxed)
}

/// A handle that puts its prefixes before each line: the run id, then the proxy or visitor name. It also
/// says who causes the lines, so that nobody causes too many.
///
/// Cheap to clone; made once per session and per proxy, not per connection.
#[derive(Clone, Default)]
pub struct Log {
    /// Its values, escaped once ([`line::push_prefix`]).
    prefix: Option<Arc<str>>,
    /// The first of the prefixes, which is the session's.
    session: Option<Arc<str>>,
    net: Option<Net>,
    budget: Budget,
}

impl Log {
    /// A handle without prefixes.
    #[must_use]
    pub const fn root() -> Self {
        Self {
            prefix: None,
            session: None,
            net: None,
            budget: Budget::Events,
        }
    }

    /// This handle's prefixes followed by `[value]`, which is cut where it is longer than any honest
    /// name. Its lines are counted by the prefixes, or as this handle's if a peer causes those.
    #[must_use]
    pub fn with(&self, value: &str) -> Self {
        let mut prefix = self.prefix().to_owned();
        line::push_prefix(&mut prefix, &cut::cut(value, cut::NAME));
        let prefix: Arc<str> = prefix.into();
        Self {
            session: Some(self.session.as_ref().unwrap_or(&prefix).clone()),
            prefix: Some(prefix),
            net: self.net,
            budget: self.budget,
        }
    }

    /// Lines that a stranger at `ip` causes: counted by its network, whatever the prefixes are.
    #[must_use]
    pub fn by(&self, ip: IpAddr) -> Self {
        Self {
            net: Some(ip.into()),
            ..self.clone()
        }
    }

    /// Lines of a peer that has shown who it is: counted by the prefixes again.
    #[must_use]
    pub fn known(&self) -> Self {
        Self {
            net: None,
            ..self.clone()
        }
    }

    /// The line that each user, at `ip`, causes: many of them are honest.
    #[must_use]
    pub fn of_user(&self, ip: IpAddr) -> Self {
        Self {
            budget: Budget::Users,
            ..self.by(ip)
        }
    }

    /// The lines of requests to a web server of the program itself.
    #[must_use]
    pub fn of_visits(&self) -> Self {
        Self {
            budget: Budget::Users,
            ..self.clone()
        }
    }

    /// The lines of what a session registers, together: it may be thousands of proxies at once.
    #[must_use]
    pub fn of_session(&self) -> Self {
        Self {
            budget: Budget::Registrations,
            ..self.clone()
        }
    }

    /// A span whose `tracing` events are lines with this handle's prefixes. It is a handle, too: an event
    /// names it as its parent, and nobody enters it.
    #[must_use]
    pub fn span(&self) -> tracing::Span {
        tracing::error_span!(target: bridge::SPANS, "log", prefix = self.prefix())
    }

    fn prefix(&self) -> &str {
        self.prefix.as_deref().unwrap_or_default()
    }

    fn source(&self) -> Source {
        let named = match self.budget {
            Budget::Registrations => &self.session,
            Budget::Events | Budget::Users => &self.prefix,
        };
        match (self.net, named) {
            (Some(net), _) => Source::Net(net),
            (None, Some(prefix)) => Source::Prefix(prefix.clone()),
            (None, None) => Source::Any,
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Log")
            .field(&line::prefix_text(self.prefix()).trim_end())
            .finish()
    }
}

/// Prints one line at the given [`Level`]: `event!(Level::Info, log, "text {}", x)`. The arguments
/// are not evaluated when the level is off.
#[macro_export]
macro_rules! event {
    ($level:expr, $log:expr, $($arg:tt)+) => {{
        let level: $crate::Level = $level;
        if $crate::enabled(level) {
            $crate::write_event(level, &$log, file!(), line!(), format_args!($($arg)+));
        }
    }};
}

/// Prints one line at trace level: `trace!(log, "text {}", x)`.
#[macro_export]
macro_rules! trace {
    ($log:expr, $($arg:tt)+) => { $crate::event!($crate::Level::Trace, $log, $($arg)+) };
}

/// Prints one line at debug level: `debug!(log, "text {}", x)`.
#[macro_export]
macro_rules! debug {
    ($log:expr, $($arg:tt)+) => { $crate::event!($crate::Level::Debug, $log, $($arg)+) };
}

/// Prints one line at info level: `info!(log, "text {}", x)`.
#[macro_export]
macro_rules! info {
    ($log:expr, $($arg:tt)+) => { $crate::event!($crate::Level::Info, $log, $($arg)+) };
}

/// Prints one line at warn level: `warn!(log, "text {}", x)`.
#[macro_export]
macro_rules! warn {
    ($log:expr, $($arg:tt)+) => { $crate::event!($crate::Level::Warn, $log, $($arg)+) };
}

/// Prints one line at error level: `error!(log, "text {}", x)`.
#[macro_export]
macro_rules! error {
    ($log:expr, $($arg:tt)+) => { $crate::event!($crate::Level::Error, $log, $($arg)+) };
}

/// What the macros call; not for direct use.
#[doc(hidden)]
#[cold]
pub fn write_event(
    level: Level,
    log: &Log,
    file: &'static str,
    line: u32,
    text: fmt::Arguments<'_>,
) {
    let kind = Kind {
        file,
        line,
        level,
        budget: log.budget,
    };
    write_within_limits(kind, log.source(), log.prefix(), &text);
}

/// Prints the line, or counts it.
fn write_within_limits(kind: Kind, source: Source, prefix: &str, text: &dyn fmt::Display) {
    let verdict = limiter().admit(kind, source, Instant::now());
    match verdict {
        Verdict::Print => emit(&Event {
            level: kind.level,
            prefix,
            file: kind.file,
            line: kind.line,
            text,
        }),
        Verdict::LeaveOut => {}
        Verdict::LeaveOutAndShow => {
            // Rendered outside the lock.
            let text = text.to_string();
            limiter().example(&kind, &text);
            start_reporter();
        }
    }
}

/// Says at once how many lines were left out that were not yet counted in the log; for the end of the
/// program.
pub fn flush() {
    access::flush();
    report(true);
}

fn report(all: bool) {
    let reports = limiter().reports(Instant::now(), all);
    for report in &reports {
        emit(&Event {
            level: report.kind.level,
            prefix: report.prefix.as_deref().unwrap_or_default(),
            file: report.kind.file,
            line: report.kind.line,
            text: &report.text,
        });
    }
}

/// A thread that says what was left out. It ends when there is no more.
fn start_reporter() {
    if REPORTING.swap(true, Ordering::AcqRel) {
        return;
    }
    let reporter = || {
        loop {
            let due = {
                let limiter = limiter();
                let due = limiter.next_due();
                if due.is_none() {
                    // Under the lock: whoever leaves a line out from now on starts another thread.
                    REPORTING.store(false, Ordering::Release);
                }
                due
            };
            let Some(due) = due else { return };
            thread::park_timeout(due.saturating_duration_since(Instant::now()));
            report(false);
        }
    };
    let thread = thread::Builder::new()
        .name("log".to_owned())
        .stack_size(REPORTER_STACK);
    if thread.spawn(reporter).is_err() {
        // The next line that begins to be left out tries again.
        REPORTING.store(false, Ordering::Release);
    }
}

fn limiter() -> MutexGuard<'static, Limiter> {
    LIMITER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Renders outside the lock, so that a `Display` that logs cannot deadlock.
fn emit(event: &Event<'_>) {
    let Some(zone) = TIME_ZONE.get() else { return };
    let now = Timestamp::now();
    line::with_rendered(
        event,
        now,
        zone,
        Style::of(STYLE.load(Ordering::Relaxed)),
        |bytes| match SINK.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            None => {}
            Some(Sink::Console(console)) => console.write(bytes, now, zone),
            Some(Sink::File(file)) => file.write(bytes, now),
        },
    );
}

enum Sink {
    Console(Console),
    File(RotatingFile),
}

static SINK: Mutex<Option<Sink>> = Mutex::new(None);
static LIMITER: LazyLock<Mutex<Limiter>> = LazyLock::new(Mutex::default);
/// Whether there is a thread that says what was left out.
static REPORTING: AtomicBool = AtomicBool::new(false);
static TIME_ZONE: OnceLock<TimeZone> = OnceLock::new();
static LEVEL: AtomicU8 = AtomicU8::new(OFF);
static STYLE: AtomicU8 = AtomicU8::new(Style::Plain as u8);

/// Above every level: nothing is printed.
const OFF: u8 = u8::MAX;

/// Bytes for the stack of the thread that formats a line now and then.
const REPORTER_STACK: usize = 128 * 1024;

/// What both programs print before they start with an INI file.
pub const INI_DEPRECATED: &str = "WARNING: ini format is deprecated and the support will be removed in the future, please use yaml/json/toml format instead!";

/// Prints a line for the user, outside the log, on standard output as frp does, and passes `code`
/// on. A reader that went away is no reason to fail.
pub fn print_line(text: impl fmt::Display, code: ExitCode) -> ExitCode {
    let _ = writeln!(io::stdout(), "{text}");
    code
}
