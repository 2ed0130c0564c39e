//! A real browser: Chromium without a screen, and with an empty profile.

pub mod tab;

use std::path::Path;
use std::time::Duration;

use crate::openssh::look_for;
use crate::program::{Program, skipped};

const NAMES: [&str; 2] = ["chromium", "google-chrome"];

/// A running Chromium with one page.
#[derive(Debug)]
pub struct Browser(Program);

impl Browser {
    /// Opens `url`, whatever the certificate. `host` leads to 127.0.0.1, `directory` is for its
    /// files. None after a line that says `SKIPPED` where there is no browser.
    #[must_use]
    pub fn open(directory: &Path, host: &str, url: &str) -> Option<Self> {
        Self::with(directory, host, url, &[])
    }

    /// The same with more arguments.
    fn with(directory: &Path, host: &str, url: &str, more: &[&str]) -> Option<Self> {
        let Some(program) = NAMES.into_iter().find_map(look_for) else {
            skipped("chromium or google-chrome");
            return None;
        };
        let args = [
            "--headless",
            "--no-sandbox",
            "--no-first-run",
            "--no-proxy-server",
            "--disable-gpu",
            "--disable-quic",
            "--disable-sync",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-default-apps",
            // /dev/shm is small in containers.
            "--disable-dev-shm-usage",
            // It would try https first.
            "--disable-features=HttpsUpgrades,HttpsFirstBalancedModeAutoEnable",
            "--ignore-certificate-errors",
            // Its log shows what the page's scripts say.
            "--enable-logging=stderr",
        ];
        let mut args: Vec<String> = args.map(Into::into).into();
        let profile = directory.join("profile");
        args.push(format!("--user-data-dir={}", profile.display()));
        args.push(format!("--host-resolver-rules=MAP {host} 127.0.0.1"));
        args.extend(more.iter().map(|&arg| arg.to_owned()));
        args.push(url.into());
        Some(Self(Program::spawn(&program, args, directory)))
    }

    /// Ends it, and so the last writer to its files.
    pub async fn close(mut self) {
        self.0.signal("TERM").await;
        self.0.exit_status_within(Duration::from_secs(60)).await;
    }
}
