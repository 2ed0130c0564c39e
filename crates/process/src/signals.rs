//! What signals do to a program: what the Go runtime has them do to frp, except that SIGUSR1 is for
//! the log. The handlers are set without a runtime, so nothing that hangs in one holds them up.
//!
//! As process 1, which a program is in a container, the kernel drops every signal without a handler.

use std::ffi::c_int;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::IntoRawFd as _;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::limits::LAST_WORDS;

/// A process ends by these wherever it is; the system's action does it, except for process 1.
const ENDING: [c_int; 3] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP];

/// The same; the system's action writes a core file.
const ABORTING: [c_int; 6] = [
    libc::SIGQUIT,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGABRT,
    libc::SIGFPE,
    libc::SIGSYS,
];

/// The system's action is to end the process, Go's is none.
const IGNORED: [c_int; 7] = [
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGXCPU,
    libc::SIGXFSZ,
    libc::SIGVTALRM,
    libc::SIGPROF,
];

/// The same where there are such signals. The real-time signals below 35 belong to the C library.
#[cfg(target_os = "linux")]
fn ignored_here() -> impl Iterator<Item = c_int> {
    [libc::SIGIO, libc::SIGPWR]
        .into_iter()
        .chain(35..=libc::SIGRTMAX())
}

#[cfg(not(target_os = "linux"))]
fn ignored_here() -> impl Iterator<Item = c_int> {
    [libc::SIGIO].into_iter()
}

/// Exit status of a Go program that ends by a signal as process 1.
const STATUS_AS_INIT: c_int = 2;

/// Somebody ends the program after SIGTERM or SIGINT, and may take so many seconds; 0: nobody does.
static WITHIN: AtomicU32 = AtomicU32::new(0);

/// The signal that asked for it; 0: none has.
static ASKED: AtomicI32 = AtomicI32::new(0);

/// The process ends by that signal in any case, not with a status of its own.
static BY_SIGNAL: AtomicBool = AtomicBool::new(false);

/// Where the number of an ending signal is written to, for whoever has something to do before; -1: nobody.
static TOLD: AtomicI32 = AtomicI32::new(-1);

/// The signal that ends the process; 0: none yet.
static ENDED_BY: AtomicI32 = AtomicI32::new(0);

/// Bytes for the stack of the thread that writes the last lines.
const LAST_WORDS_STACK: usize = 128 * 1024;

/// Sets what signals do. For the beginning of `main`.
pub fn install() {
    for number in IGNORED.into_iter().chain(ignored_here()) {
        handle(number, ignore);
    }
    if std::process::id() == 1 {
        for number in ENDING.into_iter().chain(ABORTING) {
            handle(number, end);
        }
    }
}

/// Has `last` called before SIGTERM, SIGINT or SIGHUP ends the process. On a thread of its own: nothing
/// that hangs elsewhere holds the end up, and where `last` hangs the process ends after [`LAST_WORDS`] all
/// the same. Once a process, before [`EndSignals`] are taken.
///
/// # Errors
/// The system's; the signals then end the process as before.
pub fn before_end(last: fn()) -> io::Result<()> {
    let (listens, tells) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let mut listens = File::from(listens);
    let says = move || {
        let mut number = [0];
        if listens.read_exact(&mut number).is_ok() {
            last();
            end_by(number[0].into());
        }
    };
    let thread = thread::Builder::new().name("end".to_owned());
    thread.stack_size(LAST_WORDS_STACK).spawn(says)?;
    TOLD.store(tells.into_raw_fd(), Ordering::Release);
    for number in ENDING {
        handle(number, end);
    }
    Ok(())
}

/// Has the log file opened anew whenever SIGUSR1 comes, as logrotate's `postrotate` asks for. A failure
/// is logged.
pub async fn reopen_log_at_user_signal<E>(reopen: fn() -> Result<(), E>)
where
    E: fmt::Display + Send + 'static,
{
    let Ok(mut signals) = signal(SignalKind::user_defined1()) else {
        return;
    };
    while signals.recv().await.is_some() {
        // The file may be on a disk that does not answer.
        if let Ok(Err(error)) = tokio::task::spawn_blocking(reopen).await {
            tracing::error!("SIGUSR1: {error}; lines still go to the former file");
        }
    }
}

/// SIGHUP from now on, which then ends nothing, but asks to read the configuration again. Also where the
/// process was started to ignore it (`nohup`): whoever sends one then means this.
#[derive(Debug)]
pub struct HangUps(tokio::signal::unix::Signal);

impl HangUps {
    /// Needs a runtime.
    ///
    /// # Errors
    /// The system's; the signal then does what it did.
    pub fn take() -> io::Result<Self> {
        // Process 1 has a handler, which would be called, too.
        handle(libc::SIGHUP, ignore);
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// Ready at the next one; several at a time may be one.
    pub async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending().await
        }
    }
}

/// SIGTERM and SIGINT from now on, which then do not end the process by themselves: whoever has this
/// does.
#[derive(Debug)]
pub struct EndSignals {
    terminate: tokio::signal::unix::Signal,
    interrupt: Option<tokio::signal::unix::Signal>,
}

/// How a process ends that whoever has the signals has not ended in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overdue {
    /// With status 0, as a Go program that takes the signals.
    Success,
    /// By the signal, as a Go program that does not: a SIGINT that the process was started to ignore is
    /// left alone, too.
    BySignal,
}

impl EndSignals {
    /// The process ends about `within` (of which whole seconds count) after the first of them whatever
    /// hangs, and a second after any other. Needs a runtime.
    ///
    /// # Errors
    /// The system's; the signals then end the process as before.
    pub fn take(within: Duration, overdue: Overdue) -> io::Result<Self> {
        let by_signal = overdue == Overdue::BySignal;
        let leaves_interrupt = by_signal && is_ignored(libc::SIGINT);
        for number in [libc::SIGTERM, libc::SIGINT] {
            handle(number, end);
        }
        let interrupt = (!leaves_interrupt).then(|| signal(SignalKind::interrupt()));
        let taken = Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: interrupt.transpose()?,
        };
        BY_SIGNAL.store(by_signal, Ordering::Relaxed);
        let seconds = u32::try_from(within.as_secs()).unwrap_or(u32::MAX);
        WITHIN.store(seconds.max(1), Ordering::Relaxed);
        Ok(taken)
    }

    /// Ready at the next one.
    pub async fn next(&mut self) {
        let interrupted = async {
            match &mut self.interrupt {
                Some(interrupt) => interrupt.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = interrupted => {}
        }
    }
}

/// Ends the process as the first signal that was taken would have, had nobody taken it.
pub fn end_by_signal() -> ! {
    end_by(ASKED.load(Ordering::Relaxed));
    // A signal that is blocked.
    exit(STATUS_AS_INIT)
}

extern "C" fn ignore(_: c_int) {}

/// Ends the process, or has it ended a while later where somebody else does it.
extern "C" fn end(number: c_int) {
    let within = match number {
        libc::SIGTERM | libc::SIGINT => WITHIN.load(Ordering::Relaxed),
        _ => 0,
    };
    if within == 0 {
        if ENDED_BY.swap(number, Ordering::Relaxed) != 0 || !tell(number) {
            end_by(number);
        }
        return;
    }
    let asked = ASKED.compare_exchange(0, number, Ordering::Relaxed, Ordering::Relaxed);
    handle(libc::SIGALRM, give_up);
    // SAFETY: alarm takes a number, and signal-safety(7) lists it.
    #[allow(unsafe_code)]
    unsafe {
        libc::alarm(if asked.is_ok() { within } else { 1 });
    }
}

/// Whether somebody was told, who ends the process before long.
fn tell(number: c_int) -> bool {
    let told = TOLD.load(Ordering::Acquire);
    let Ok(byte) = u8::try_from(number) else {
        return false;
    };
    if told < 0 || !ENDING.contains(&number) {
        return false;
    }
    handle(libc::SIGALRM, end_late);
    // SAFETY: both are in signal-safety(7); write reads one byte of ours.
    #[allow(unsafe_code)]
    unsafe {
        libc::alarm(LAST_WORDS.as_secs() as libc::c_uint);
        libc::write(told, (&raw const byte).cast(), 1) == 1
    }
}

extern "C" fn end_late(_: c_int) {
    end_by(ENDED_BY.load(Ordering::Relaxed));
}

/// What the system does at that signal. Returns where it is blocked: in its handler, until that is over.
fn end_by(number: c_int) {
    if std::process::id() == 1 {
        exit(STATUS_AS_INIT);
    } else {
        // SAFETY: both are in signal-safety(7), and take numbers only.
        #[allow(unsafe_code)]
        unsafe {
            libc::signal(number, libc::SIG_DFL);
            libc::raise(number);
        }
    }
}

extern "C" fn give_up(_: c_int) {
    if BY_SIGNAL.load(Ordering::Relaxed) {
        end_by(ASKED.load(Ordering::Relaxed));
    } else {
        exit(0);
    }
}

fn exit(status: c_int) -> ! {
    // SAFETY: _exit takes a number, does not return, and is in signal-safety(7).
    #[allow(unsafe_code)]
    unsafe {
        libc::_exit(status)
    }
}

/// Whether nothing happens at that signal.
fn is_ignored(number: c_int) -> bool {
    // SAFETY: sigaction writes only the structure, which is ours and for which zeros are valid.
    #[allow(unsafe_code)]
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(number, std::ptr::null(), &raw mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}

/// Sets the handler of a signal; one that the process was started to ignore (`nohup`, a shell's `&`) stays
/// ignored, as in Go.
fn handle(number: c_int, handler: extern "C" fn(c_int)) {
    // SAFETY: sigaction is in signal-safety(7), reads and writes only the two structures, which are
    // ours and for which zeros are valid, and the handlers call what is in there, too.
    #[allow(unsafe_code)]
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(number, std::ptr::null(), &raw mut action) != 0 {
            return;
        }
        let may_stay = matches!(number, libc::SIGHUP | libc::SIGINT);
        if may_stay && action.sa_sigaction == libc::SIG_IGN {
            return;
        }
        action.sa_sigaction = handler as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(number, &raw const action, std::ptr::null_mut());
    }
}
