//! What a program does once, before it opens its first socket.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[cfg(target_os = "linux")]
use rustix::mm::{Advice, madvise};
use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the limit of open files to the most that the process may have. A tunnel needs two
/// descriptors per connection, and the usual soft limit of 1024 is from a time of `select`.
pub fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Refused: then the limit stays, and the accept loop copes with running out.
    let _ = setrlimit(Resource::Nofile, limit);
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
