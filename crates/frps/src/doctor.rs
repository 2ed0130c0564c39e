//! `frps doctor`: what is wrong with this frps and its machine? It looks at the configuration and the files that it
//! names, at the ports and who holds them, at names and limits of the system, and whether frps runs and lets its own token
//! in. It changes nothing and asks nobody outside but DNS for names that are configured.

mod files;
mod machine;
mod ports;
mod running;
mod server;

use std::process::ExitCode;

use frp_ask::doctor::{Mark, Report, Step};
use frp_config::ServerConfig;
use frp_config::cli::Doctor;
use frp_proto::VERSION;
use tokio::time::timeout;

use crate::limits::DOCTOR;

/// Looks, tells, and gives the exit status.
pub(crate) async fn run(asked: Doctor<ServerConfig>) -> ExitCode {
    let json = asked.json;
    let report = Report::new("frps", VERSION, json);
    if timeout(DOCTOR, walk(asked, &report)).await.is_err() {
        let found = format!("not everything was answered within {} s", DOCTOR.as_secs());
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
    let cfg = match loaded.settings.resolve() {
        Ok(cfg) => cfg,
        Err(error) => return wrong(error.to_string()),
    };
    let mark = match warnings.is_empty() {
        true => Mark::Ok,
        false => Mark::Warning,
    };
    let step = Step::new("configuration", about, mark, "can be used");
    report.add(step.because(warnings.join("\n"), ""));
    server::tokens(&cfg, report);
    files::look(&cfg, report);
    report.now("the running frps");
    let runs = running::log_in(&cfg, report).await;
    report.now("ports");
    ports::look(&cfg, runs, report);
    server::web(&cfg, report);
    report.now("dns");
    server::names(&cfg, report).await;
    machine::look(&cfg, report);
}
