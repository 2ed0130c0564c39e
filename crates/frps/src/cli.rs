//! What frps runs; what its command line means is in `frp_config::cli` (frp `cmd/frps`).

use std::cell::Cell;
use std::fmt::Display;
use std::process::ExitCode;
use std::time::Duration;

use frp_config::Environment;
use frp_config::cli::{self, ServerRun, ServerTask};
use frp_log::{Log, info, print_line};
use frp_process::limits::GRACEFUL_END;
use frp_process::signals::{self, EndSignals, HangUps, Overdue};
use frp_proto::VERSION;
use tokio::time::timeout;

use crate::{BUILD, ConfigFile, Reloader, Server, Stop, ask, doctor, key_store, token_command};

/// Runs the program: 0 where all went well, 1 on any error. Errors are told on standard output, as
/// frp tells them; those of the command line itself on standard error.
pub fn main() -> ExitCode {
    signals::install();
    let args = std::env::args_os().skip(1);
    let args = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
    let environment = Environment::of(std::env::vars_os());
    match cli::server(args, environment, VERSION, BUILD) {
        Err(output) => output.print(),
        Ok(ServerTask::Run(task)) => run(*task),
        Ok(ServerTask::Admin(call)) => ask_running(async || {
            let said = ask::run(&call).await;
            said.map(|said| print_line(said, ExitCode::SUCCESS))
        }),
        Ok(ServerTask::Fingerprint(settings)) => match key_store::fingerprint(&settings) {
            Ok(fingerprint) => print_line(fingerprint, ExitCode::SUCCESS),
            Err(e) => print_line(e, ExitCode::FAILURE),
        },
        Ok(ServerTask::Token(task)) => match token_command::run(&task) {
            Ok(said) => print_line(said, ExitCode::SUCCESS),
            Err(e) => print_line(e, ExitCode::FAILURE),
        },
        Ok(ServerTask::Doctor(asked)) => {
            ask_running(async || Ok::<_, std::convert::Infallible>(doctor::run(*asked).await))
        }
        Ok(ServerTask::Watch(call)) => ask_running(async || {
            let watched = ask::watch(&call).await;
            watched.map(|()| ExitCode::SUCCESS)
        }),
    }
}

fn ask_running<E: Display>(ask: impl AsyncFnOnce() -> Result<ExitCode, E>) -> ExitCode {
    let runtime = match frp_process::threads::runtime() {
        Ok(runtime) => runtime,
        Err(e) => return print_line(e, ExitCode::FAILURE),
    };
    let ended = runtime.block_on(ask());
    runtime.shutdown_background();
    ended.unwrap_or_else(|e| print_line(e, ExitCode::FAILURE))
}

fn run(
    ServerRun {
        file,
        options,
        loaded,
        drain,
    }: ServerRun,
) -> ExitCode {
    for warning in &loaded.warnings {
        print_line(format!("WARNING: {warning}"), ExitCode::SUCCESS);
    }
    if loaded.legacy_ini {
        print_line(frp_log::INI_DEPRECATED, ExitCode::SUCCESS);
    }
    let cfg = loaded.settings;
    if let Err(e) = frp_log::init(&cfg.log) {
        return print_line(e, ExitCode::FAILURE);
    }
    match &file {
        Some(path) => info!(Log::root(), "frps uses config file: {}", path.display()),
        None => info!(Log::root(), "frps uses command line arguments for config"),
    }
    let cfg = match cfg.resolve() {
        Ok(cfg) => cfg,
        Err(e) => return print_line(e, ExitCode::FAILURE),
    };
    let file = file.map(|path| ConfigFile { path, options });
    frp_process::process::raise_file_limit();
    let runtime = match frp_process::threads::runtime() {
        Ok(runtime) => runtime,
        Err(e) => return print_line(e, ExitCode::FAILURE),
    };
    let ended = runtime.block_on(async {
        tokio::spawn(frp_process::process::give_memory_back());
        tokio::spawn(signals::reopen_log_at_user_signal(frp_log::reopen));
        let hang_ups = HangUps::take();
        match Server::bind(cfg, file) {
            Err(e) => Err(print_line(e, ExitCode::FAILURE)),
            Ok(server) => {
                // Not to be had: then SIGHUP ends the process.
                if let Ok(hang_ups) = hang_ups {
                    tokio::spawn(reload_at(hang_ups, server.reloader()));
                }
                Ok(serve(server, drain).await)
            }
        }
    });
    // A name server that does not answer must not hold up the end.
    runtime.shutdown_background();
    frp_log::flush();
    match ended {
        Err(code) => code,
        Ok(Ended::Drained) => ExitCode::SUCCESS,
        Ok(Ended::AtOnce) => signals::end_by_signal(),
    }
}

/// Reads the configuration again whenever SIGHUP comes. The log tells what became of it.
async fn reload_at(mut hang_ups: HangUps, reloader: Reloader) {
    loop {
        hang_ups.next().await;
        let _ = reloader.reload().await;
    }
}

/// How the server has ended.
enum Ended {
    /// Users had the time that `--drain` gives them.
    Drained,
    /// As frp ends: its exit status is that of the signal.
    AtOnce,
}

/// Serves until a signal. The second one ends the time that users have, the next one waits for nothing.
async fn serve(server: Server, drain: Duration) -> Ended {
    let stop = Stop::new();
    let within = drain.saturating_add(GRACEFUL_END);
    // Not to be had: then a signal ends the process.
    let Ok(mut signals) = EndSignals::take(within, Overdue::BySignal) else {
        server.run(stop).await;
        return Ended::AtOnce;
    };
    let hurried = Cell::new(drain.is_zero());
    let told = async {
        signals.next().await;
        if !hurried.get() {
            stop.drain();
            hurried.set(timeout(drain, signals.next()).await.is_ok());
        }
        stop.now();
        signals.next().await;
        hurried.set(true);
    };
    tokio::select! {
        () = server.run(stop.clone()) => {}
        () = told => {}
    }
    match hurried.get() {
        true => Ended::AtOnce,
        false => Ended::Drained,
    }
}
