//! `frps doctor`: what is wrong with this frps and its machine? Its configuration, ports and who holds them, TLS, names,
//! limits of the system, and whether it runs and lets its own token in. It asks nobody outside but DNS for names that
//! are configured.

mod machine;
mod ports;
mod server;

use std::process::ExitCode;
use std::time::Duration;

use frp_ask::doctor::{Mark, Report, Step};
use frp_config::ServerConfig;
use frp_config::cli::Doctor;
use frp_proto::VERSION;
use tokio::time::timeout;

/// In all: somebody waits for it.
const LIMIT: Duration = Duration::from_secs(30);

/// Looks, tells, and gives the exit status.
pub(crate) async fn run(asked: Doctor<ServerConfig>) -> ExitCode {
    let json = asked.json;
    let report = Report::new("frps", VERSION, json);
    if timeout(LIMIT, walk(asked, &report)).await.is_err() {
        let found = format!("not everything was answered within {} s", LIMIT.as_secs());
        report.add(Step::new("time", "", Mark::Failed, found));
    }
    report.end(json)
}

async fn walk(asked: Doctor<ServerConfig>, report: &Report) {
    report.now("configuration");
    let about = asked
        .file
        .map_or_else(|| "flags".to_owned(), |file| file.display().to_string());
    let wrong = |error: String| {
        let step = Step::new(
            "configuration",
            about.clone(),
            Mark::Failed,
            "cannot be used",
        );
        report.add(step.because(error, "correct it; frps verify checks a file"));
    };
    let loaded = match asked.loaded {
        Ok(loaded) => loaded,
        Err(error) => return wrong(error),
    };
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    let mut cfg = loaded.settings;
    cfg.auth = match cfg.auth.resolve() {
        Ok(auth) => auth,
        Err(error) => return wrong(error.to_string()),
    };
    let mark = match warnings.is_empty() {
        true => Mark::Ok,
        false => Mark::Warning,
    };
    let step = Step::new("configuration", about, mark, "can be used");
    report.add(step.because(warnings.join("\n"), ""));
    server::token(&cfg, report);
    server::tls(&cfg, report);
    report.now("the running frps");
    let runs = server::log_in(&cfg, report).await;
    report.now("ports");
    ports::look(&cfg, runs, report);
    server::web(&cfg, report);
    report.now("dns");
    server::names(&cfg, report).await;
    machine::look(&cfg, report);
}
