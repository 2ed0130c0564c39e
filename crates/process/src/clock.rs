//! What time is it, and is the clock of this machine set by somebody who knows the time?
#![cfg_attr(
    target_os = "linux",
    allow(unsafe_code, reason = "rustix does not have adjtimex(2)")
)]

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970, by the clock of this machine; 0 before that.
#[must_use]
pub fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or_default()
}

/// Whether the system takes its clock for synchronised (adjtimex(2)); `None` where it does not tell.
#[must_use]
pub fn is_synchronised() -> Option<bool> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: all zeros is a value of this plain struct, and modes 0 only reads.
        let mut timex: libc::timex = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a whole timex of our own, for the time of the call.
        let state = unsafe { libc::adjtimex(&raw mut timex) };
        (state >= 0).then_some(state != libc::TIME_ERROR && timex.status & libc::STA_UNSYNC == 0)
    }
    #[cfg(not(target_os = "linux"))]
    None
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_system_is_asked_and_nothing_is_set() {
        let told = super::is_synchronised();
        assert_eq!(told, super::is_synchronised());
    }
}
