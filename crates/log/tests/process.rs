//! The log of a whole process. One test function: target and level belong to the process.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use frp_config::{LogConfig, LogTarget};
use frp_log::{Level, Log};

#[test]
fn lines_of_a_process() {
    let dir = std::env::temp_dir().join(format!("frp-log-process-{}", std::process::id()));
    let (first, second) = (dir.join("first.log"), dir.join("second.log"));
    let log = Log::root().with("0123456789abcdef");
    let proxy = log.with("office\nssh");

    frp_log::error!(log, "before init: goes nowhere");
    frp_log::init(&options(&first, Level::Info)).unwrap();

    let evaluated = Cell::new(false);
    frp_log::debug!(log, "{}", {
        evaluated.set(true);
        "off"
    });
    assert!(
        !evaluated.get(),
        "arguments of a disabled level were evaluated"
    );

    frp_log::info!(Log::root(), "try to connect to server...");
    frp_log::info!(&log, "[ssh] start proxy success");
    frp_log::warn!(proxy, "shown");
    tracing::info!(target: "frp_net::tls", "this workspace's, at info");
    tracing::warn!(target: "frp_net::mux", id = 7, "late");
    tracing::info!(target: "rustls::client", "hidden: another's, below warn");
    tracing::warn!(target: "rustls::client", "shown: another's, at warn");
    let span = tracing::error_span!("another's");
    let _entered = span.enter();
    tracing::warn!(target: "frp_relay::udp", parent: &proxy.span(), "of a proxy");
    let (of_session, of_nobody) = (log.span(), Log::root().span());
    drop(of_session.clone());
    tracing::warn!(target: "frp_relay::udp", parent: &of_session, "of a session");
    tracing::warn!(target: "frp_relay::udp", parent: &of_nobody, "of nobody");
    assert_eq!(
        texts(&first),
        [
            "[I] try to connect to server...",
            "[I] [0123456789abcdef] [ssh] start proxy success",
            "[W] [0123456789abcdef] [office\\nssh] shown",
            "[I] this workspace's, at info",
            "[W] late id=7",
            "[W] shown: another's, at warn",
            "[W] [0123456789abcdef] [office\\nssh] of a proxy",
            "[W] [0123456789abcdef] of a session",
            "[W] of nobody",
        ]
    );

    // The last init wins, and a call site that was off comes on.
    assert!(
        frp_log::init(&options(&dir, Level::Trace)).is_err(),
        "a directory is no log file"
    );
    for level in [Level::Error, Level::Debug] {
        frp_log::init(&options(&second, level)).unwrap();
        tracing::debug!(target: "frps", "switched");
        frp_log::debug!(log, "switched too");
    }
    assert_eq!(
        texts(&second),
        ["[D] switched", "[D] [0123456789abcdef] switched too"]
    );
    assert_eq!(texts(&first).len(), 9);

    fs::remove_dir_all(&dir).unwrap();
}

fn options(path: &Path, level: Level) -> LogConfig {
    LogConfig {
        to: LogTarget::File(PathBuf::from(path)),
        level,
        ..LogConfig::default()
    }
}

/// The lines without time and place, after checking that both are there.
fn texts(path: &Path) -> Vec<String> {
    let content = fs::read_to_string(path).unwrap();
    content
        .lines()
        .map(|line| {
            let (time, rest) = line.split_at(24);
            let digits = time
                .bytes()
                .map(|b| if b.is_ascii_digit() { b'0' } else { b });
            assert_eq!(
                digits.collect::<Vec<_>>(),
                b"0000-00-00 00:00:00.000 ",
                "{line}"
            );
            let (level, rest) = rest.split_at(4);
            let (place, text) = rest.split_once("] ").unwrap();
            let number = place.strip_prefix("[tests/process.rs:");
            assert!(number.is_some_and(|n| n.parse::<u32>().is_ok()), "{line}");
            format!("{level}{text}")
        })
        .collect()
}
