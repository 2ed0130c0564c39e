//! What a program does for itself as a whole: its limits and its memory.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the limit of open files to the most that the process may have. A tunnel needs two
/// descriptors per connection, and the usual soft limit of 1024 is from a time of `select`.
pub fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Refused: then the limit stays, and the accept loop copes with running out.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Open files of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptors {
    /// Those that are open.
    pub used: u64,
    /// The most that may be, where there is a limit.
    pub limit: Option<u64>,
}

/// Those of this process, where the system tells. Without a count of the system's own it takes some
/// microseconds for each, so it is not for threads that serve connections.
pub fn descriptors() -> Option<Descriptors> {
    let directory = std::path::Path::new("/proc/self/fd");
    // Linux has its number as the size since 6.2.
    let used = match std::fs::metadata(directory).ok()?.len() {
        0 => std::fs::read_dir(directory).ok()?.count() as u64,
        count => count,
    };
    let limit = getrlimit(Resource::Nofile).current;
    Some(Descriptors { used, limit })
}

/// Bytes of memory that the process occupies, where the system tells.
pub fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// How often [`give_memory_back`] looks.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Bytes of freed memory that are not worth the work.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
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

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

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
}
