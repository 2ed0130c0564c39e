//! What a program does for itself as a whole: its limits and its memory.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[cfg(target_os = "linux")]
use rustix::mm::{Advice, madvise};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::limits::{MAX_BEFORE_LOGIN, MIN_BEFORE_LOGIN};

/// Raises the limit of open files to the most that the process may have. A tunnel needs two
/// descriptors per connection, and the usual soft limit of 1024 is from a time of `select`.
pub fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Refused: then the limit stays, and the accept loop copes with running out.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// How many strangers there may be: an eighth of the descriptors, for there are strangers of several
/// kinds, and sessions, work connections and users need the rest; at most [`MAX_BEFORE_LOGIN`].
pub fn max_before_login() -> usize {
    let descriptors = getrlimit(Resource::Nofile).current;
    let eighth = descriptors.map_or(MAX_BEFORE_LOGIN as u64, |most| most / 8);
    usize::try_from(eighth)
        .unwrap_or(MAX_BEFORE_LOGIN)
        .clamp(MIN_BEFORE_LOGIN, MAX_BEFORE_LOGIN)
}

/// How long after the first login a program has started.
const STARTED_AFTER: Duration = Duration::from_millis(500);

/// Calls [`forget_start`] once the first session has settled, and only for that session.
pub fn forget_start_soon() {
    static CALLED: AtomicBool = AtomicBool::new(false);
    if !CALLED.swap(true, Ordering::Relaxed) {
        tokio::spawn(async {
            tokio::time::sleep(STARTED_AFTER).await;
            forget_start();
        });
    }
}

/// Unmaps the pages of the program's code until they are next used. Most of what a program maps
/// it needs only to start, and the kernel maps each page's neighbours with it; what still runs
/// comes back from the page cache, without a read.
#[cfg(target_os = "linux")]
pub fn forget_start() {
    // Best effort: where this fails the program takes more memory.
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else {
        return;
    };
    let here = forget_start as *const () as usize;
    let code = maps
        .lines()
        .filter_map(code_mapping)
        .find(|range| range.contains(&here));
    let Some(code) = code else { return };
    let start = std::ptr::with_exposed_provenance_mut(code.start);
    // SAFETY: the range is a private mapping of a file that is readable and executable and was
    // never writable, so it holds nothing that the file does not, and the kernel maps the same
    // bytes again at the next access, from whatever thread.
    #[allow(unsafe_code)]
    let _ = unsafe { madvise(start, code.len(), Advice::LinuxDontNeed) };
}

/// Nothing to do where the system has no such call.
#[cfg(not(target_os = "linux"))]
pub fn forget_start() {}

/// How often [`give_memory_back`] looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Bytes of freed memory that are not worth the work.
const WORTH_IT: usize = 8 * 1024 * 1024;

/// Gives the system back, for as long as it is polled, what a burst has left to the allocator.
/// glibc keeps freed memory below whatever is still in use, so without this one long-lived
/// allocation behind those of a thousand busy connections keeps them all.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub async fn give_memory_back() {
    // What is in pages that are in use in part stays.
    let mut stays = 0;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(freed) = freed_but_kept() else {
            return;
        };
        stays = freed.min(stays);
        if freed > stays + WORTH_IT {
            // It may take milliseconds, which connections on this thread should not wait.
            let _ = tokio::task::spawn_blocking(trim).await;
            stays = freed_but_kept().unwrap_or_default();
        }
    }
}

/// Nothing to do where the allocator is another.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub async fn give_memory_back() {}

/// Bytes of memory that the process occupies and the program does not use, about.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn freed_but_kept() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = statm.split_whitespace().skip(1).map(str::parse::<usize>);
    let (resident, shared) = (pages.next()?.ok()?, pages.next()?.ok()?);
    // SAFETY: takes nothing and returns counters.
    #[allow(unsafe_code)]
    let heap = unsafe { libc::mallinfo2() };
    let own = resident.saturating_sub(shared) * rustix::param::page_size();
    Some(own.saturating_sub(heap.uordblks + heap.hblkhd))
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn trim() {
    // SAFETY: malloc_trim takes the allocator's own locks and touches free memory only.
    #[allow(unsafe_code)]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The addresses of a line of `/proc/self/maps`, where it is code of a file:
/// `start-end r-xp offset device inode path`.
#[cfg(target_os = "linux")]
fn code_mapping(line: &str) -> Option<std::ops::Range<usize>> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let is_code = fields.next()? == "r-xp" && fields.nth(3)?.starts_with('/');
    let address = |text| usize::from_str_radix(text, 16).ok();
    is_code.then_some(address(start)?..address(end)?)
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_program_runs_on_and_maps_less() {
        let mapped = || {
            let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
            let line = rollup.lines().find(|l| l.starts_with("Pss_File:")).unwrap();
            let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
            kib
        };
        let before = mapped();
        forget_start();
        assert!(mapped() < before);
    }

    #[cfg(target_env = "gnu")]
    #[test]
    fn memory_below_what_is_in_use_is_given_back() {
        const EACH: usize = 32 * 1024;
        // Much more than other tests of this process let go of meanwhile.
        let burst: Vec<_> = (0..8000).map(|n| vec![n as u8; EACH]).collect();
        let last = vec![1_u8; EACH];
        let stays: Vec<_> = burst.into_iter().step_by(100).collect();
        let kept = freed_but_kept().unwrap();
        trim();
        let left = freed_but_kept().unwrap();
        assert!(left + 4000 * EACH < kept, "{kept} before, {left} after");
        assert!(stays.iter().all(|part| part.len() == last.len()));
    }

    #[test]
    fn only_code_of_files_is_taken() {
        let code = "55d0c000-55d0e000 r-xp 0001c000 fe:00 77 /usr/bin/frp s";
        assert_eq!(code_mapping(code), Some(0x55d0_c000..0x55d0_e000));
        for other in [
            "55d0c000-55d0e000 r--p 0001c000 fe:00 77 /usr/bin/frps",
            "55d0c000-55d0e000 rwxp 0001c000 fe:00 77 /usr/bin/frps",
            "7ffc1000-7ffc3000 r-xp 00000000 00:00 0 [vdso]",
            "7ffc1000-7ffc3000 r-xp 00000000 00:00 0",
            "",
        ] {
            assert_eq!(code_mapping(other), None, "{other}");
        }
    }
}
