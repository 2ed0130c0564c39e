//! A clock that is wrong, for one program.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::skipped;

/// Stands before the system's own function and adds what `CLOCK_AHEAD` says, in seconds.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*system_s)(clockid_t, struct timespec *);
    const char *ahead = getenv("CLOCK_AHEAD");
    if (!system_s)
        system_s = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = system_s(id, at);
    if (!failed && id == CLOCK_REALTIME && ahead)
        at->tv_sec += atol(ahead);
    return failed;
}
"#;

/// What makes clocks wrong.
#[derive(Debug)]
pub struct WrongClock(PathBuf);

impl WrongClock {
    /// Made by the C compiler in `directory`, or None, said by [`skipped`].
    #[must_use]
    pub fn new(directory: &Path) -> Option<Self> {
        let (source, library) = (directory.join("clock.c"), directory.join("clock.so"));
        std::fs::write(&source, SOURCE).unwrap();
        let made = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .output();
        if made.as_ref().is_ok_and(|made| made.status.success()) {
            return Some(Self(library));
        }
        skipped("a C compiler (cc), for a wrong clock");
        None
    }

    /// The variables of the environment of a program whose clock is so many seconds ahead.
    #[must_use]
    pub fn ahead(&self, seconds: i64) -> [String; 2] {
        let library = self.0.display();
        [
            format!("LD_PRELOAD={library}"),
            format!("CLOCK_AHEAD={seconds}"),
        ]
    }
}
