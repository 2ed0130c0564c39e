//! What frpc runs; what its command line means is in `frp_config::cli` (frp `cmd/frpc`).

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use frp_config::cli::{self, AdminCall, ClientTask};
use frp_config::{
    ClientConfig, Environment, LoadOptions, Loaded, ProxyConfig, ProxyKind, RealIpMode,
    VisitorConfig, VisitorKind, load_client,
};
use frp_log::{Log, info, print_line};
use frp_process::limits::GRACEFUL_END;
use frp_process::signals::{self, EndSignals, HangUps, Overdue};
use frp_process::threads::Threads;
use frp_proto::VERSION;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{BUILD, ConfigFile, Reloader, Service, ask, confirm, discover, doctor};

/// Runs the program: 0 where all went well, 1 on any error. Errors are told on standard output, as
/// frp tells them; those of the command line itself on standard error.
pub fn main() -> ExitCode {
    signals::install();
    let args = std::env::args_os().skip(1);
    let args = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
    let environment = Environment::of(std::env::vars_os());
    match cli::client(args, environment, VERSION, BUILD) {
        Err(output) => output.print(),
        Ok(ClientTask::Run(path, options)) => run_file(&path, &options),
        Ok(ClientTask::RunDirectory(directory, options)) => run_directory(&directory, &options),
        Ok(ClientTask::RunFlags(loaded)) => finish(run(None, *loaded)),
        Ok(ClientTask::Admin(call)) => ask_one(&call),
        Ok(ClientTask::AdminDirectory(calls)) => ask_all(calls),
        Ok(ClientTask::Watch(call)) => {
            let watched = block_on(ask::watch(&call));
            finish(watched.and_then(|watched| watched.map_err(|error| error.to_string())))
        }
        Ok(ClientTask::Doctor(asked)) => match block_on(doctor::run(*asked)) {
            Ok(code) => code,
            Err(error) => print_line(error, ExitCode::FAILURE),
        },
        Ok(ClientTask::Discover(asked)) => {
            let found = block_on(discover::run(&asked));
            match found.map(|found| found.map_err(|error| error.to_string())) {
                Ok(Ok(text)) => print_line(text, ExitCode::SUCCESS),
                Ok(Err(error)) | Err(error) => print_line(error, ExitCode::FAILURE),
            }
        }
    }
}

fn ask_one(call: &AdminCall) -> ExitCode {
    let called = block_on(ask::run(call));
    match called.map(|called| called.map_err(|error| error.to_string())) {
        Ok(Ok(text)) => print_line(text, ExitCode::SUCCESS),
        Ok(Err(error)) | Err(error) => print_line(error, ExitCode::FAILURE),
    }
}

/// Asks one after the other; an error of one does not keep the others from being asked.
fn ask_all(calls: Vec<(PathBuf, Result<AdminCall, String>)>) -> ExitCode {
    let asking = async {
        let mut ended = ExitCode::SUCCESS;
        for (path, call) in calls {
            let answer = match call {
                Ok(call) => ask::run(&call).await.map_err(|e| e.to_string()),
                Err(error) => Err(error),
            };
            match answer {
                Ok(text) => print_line(cli::of_file(&path, &text), ExitCode::SUCCESS),
                Err(error) => {
                    ended = ExitCode::FAILURE;
                    print_line(cli::of_file(&path, &error), ended)
                }
            };
        }
        ended
    };
    block_on(asking).unwrap_or_else(|error| print_line(error, ExitCode::FAILURE))
}

/// Runs the program's first thread.
fn block_on<F: Future>(program: F) -> Result<F::Output, String> {
    // Refused: then a signal ends the process without the last counts.
    let _ = signals::before_end(frp_log::flush);
    let runtime = frp_process::threads::runtime().map_err(|error| error.to_string())?;
    let ended = runtime.block_on(async {
        tokio::spawn(frp_process::process::give_memory_back());
        tokio::spawn(signals::reopen_log_at_user_signal(frp_log::reopen));
        program.await
    });
    // A name server that does not answer must not hold up the end.
    runtime.shutdown_background();
    Ok(ended)
}

fn run_file(path: &Path, options: &LoadOptions) -> ExitCode {
    let ended = load(path, options).and_then(|loaded| run(Some((path, options)), loaded));
    finish(ended)
}

fn finish(ended: Result<(), String>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => print_line(error, ExitCode::FAILURE),
    }
}

/// Loads the file; the former one, where it was never confirmed.
fn load(path: &Path, options: &LoadOptions) -> Result<Loaded<ClientConfig>, String> {
    let shown = path.display();
    let restored = confirm::restore(path);
    let restored =
        restored.map_err(|e| format!("{shown}: the former settings cannot come back: {e}"))?;
    if let Some(tried) = restored {
        let line = format!(
            "WARNING: {shown}: the last reload was not confirmed, and the former settings are back{}",
            confirm::where_tried(&tried)
        );
        print_line(line, ExitCode::SUCCESS);
    }
    load_client(path, options).map_err(|error| error.to_string())
}

/// Where settings came from, with what of them only the API needs.
fn config_file(
    path: &Path,
    options: &LoadOptions,
    loaded: &mut Loaded<ClientConfig>,
) -> ConfigFile {
    ConfigFile {
        path: path.to_owned(),
        options: options.clone(),
        definitions: Arc::new(std::mem::take(&mut loaded.definitions)),
        texts: Arc::new(std::mem::take(&mut loaded.texts)),
    }
}

/// Runs one client until it ends, which is never if all goes well.
fn run(
    file: Option<(&Path, &LoadOptions)>,
    mut loaded: Loaded<ClientConfig>,
) -> Result<(), String> {
    let file = file.map(|(path, options)| config_file(path, options, &mut loaded));
    let cfg = prepare(loaded)?;
    block_on(serve(file, cfg, Ending::default()))?
}

/// Runs a client for every file below the directory. frp's exit status is 0 whatever happens.
fn run_directory(directory: &Path, options: &LoadOptions) -> ExitCode {
    match block_on(serve_directory(directory, options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => print_line(error, ExitCode::FAILURE),
    }
}

async fn serve_directory(directory: &Path, options: &LoadOptions) {
    let threads = Threads::new();
    let clients = TaskTracker::new();
    let ending = Ending::default();
    for path in cli::files_below(directory) {
        let prepared = load(&path, options).and_then(|mut loaded| {
            let file = config_file(&path, options, &mut loaded);
            Ok((file, prepare(loaded)?))
        });
        match prepared {
            Err(error) => failed(&path, &error),
            Ok((file, cfg)) => {
                let ending = ending.clone();
                let client = async move {
                    if let Err(error) = serve(Some(file), cfg, ending).await {
                        failed(&path, &error);
                    }
                };
                clients.spawn_on(client, threads.next().handle());
            }
        }
    }
    clients.close();
    clients.wait().await;
}

fn failed(path: &Path, error: &str) {
    print_line(error, ExitCode::FAILURE);
    print_line(
        format!("frpc service error for config file [{}]", path.display()),
        ExitCode::FAILURE,
    );
}

/// Tells what the user should know before the start, and opens the log.
fn prepare(loaded: Loaded<ClientConfig>) -> Result<ClientConfig, String> {
    for warning in &loaded.warnings {
        print_line(format!("WARNING: {warning}"), ExitCode::SUCCESS);
    }
    if loaded.legacy_ini {
        print_line(frp_log::INI_DEPRECATED, ExitCode::SUCCESS);
    }
    let cfg = loaded.settings;
    frp_log::init(&cfg.log).map_err(|error| error.to_string())?;
    frp_process::process::raise_file_limit();
    Ok(cfg)
}

async fn serve(
    file: Option<ConfigFile>,
    mut cfg: ClientConfig,
    ending: Ending,
) -> Result<(), String> {
    let path = file.as_ref().map(|file| file.path.clone());
    if let Some(path) = &path {
        info!(
            Log::root(),
            "start frpc service for config file [{}] with aggregated configuration",
            path.display()
        );
    }
    cfg.auth = cfg.auth.resolve().map_err(|error| error.to_string())?;
    // Over TCP a signal ends the process where it stands, as it ends frp: the kernel gives back
    // every socket, and the server sees that at once. Over UDP it would have to wait for a timeout, as
    // would the peer of a direct path, and a router that lends a port to it. And routes stay, until the next start.
    if cfg.transport.protocol.may_be_udp() || has_direct_paths(&cfg) || makes_routes(&cfg) {
        ending.await_signals();
    }
    let stop = ending.stop.child_token();
    // Without a file SIGHUP ends the process, as it ends frp.
    let hang_ups = path.as_ref().map(|_| HangUps::take());
    let ended = match Service::new(cfg, file) {
        Ok(service) => {
            let reloader = service.reloader();
            tokio::select! {
                ended = service.run(stop) => ended.map_err(|error| error.to_string()),
                () = ending.at_once.cancelled() => Ok(()),
                () = reload_at(hang_ups, reloader) => Ok(()),
            }
        }
        Err(error) => Err(error.to_string()),
    };
    if let Some(path) = path {
        info!(
            Log::root(),
            "frpc service for config file [{}] stopped",
            path.display()
        );
    }
    frp_log::flush();
    ended
}

fn has_direct_paths(cfg: &ClientConfig) -> bool {
    let of_proxy = |proxy: &ProxyConfig| matches!(proxy.kind, ProxyKind::Xtcp(_));
    let of_visitor = |visitor: &VisitorConfig| matches!(visitor.kind, VisitorKind::Xtcp(_));
    cfg.proxies.iter().any(of_proxy) || cfg.visitors.iter().any(of_visitor)
}

fn makes_routes(cfg: &ClientConfig) -> bool {
    let is_transparent =
        |proxy: &ProxyConfig| proxy.transport.real_ip == Some(RealIpMode::Transparent);
    cfg.proxies.iter().any(is_transparent)
}

/// Reads the configuration again whenever SIGHUP comes, for ever. The log tells what became of it.
async fn reload_at(hang_ups: Option<io::Result<HangUps>>, reloader: Reloader) {
    // Not to be had: then SIGHUP ends the process.
    let Some(Ok(mut hang_ups)) = hang_ups else {
        return std::future::pending().await;
    };
    loop {
        hang_ups.next().await;
        reloader.reload().await;
    }
}

/// The end of all clients of the process.
#[derive(Debug, Clone, Default)]
struct Ending {
    /// They are to leave.
    stop: CancellationToken,
    /// They are to leave nothing but the process.
    at_once: CancellationToken,
    awaited: Arc<OnceLock<()>>,
}

impl Ending {
    /// From now on SIGTERM and SIGINT do not end the process by themselves, but ask all clients to end,
    /// and the second one ends them.
    fn await_signals(&self) {
        self.awaited.get_or_init(|| {
            // Not to be had: then a signal ends the process.
            let Ok(mut signals) = EndSignals::take(GRACEFUL_END, Overdue::Success) else {
                return;
            };
            let Self { stop, at_once, .. } = self.clone();
            tokio::spawn(async move {
                signals.next().await;
                stop.cancel();
                signals.next().await;
                at_once.cancel();
            });
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::mpsc;

    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[tokio::test]
    async fn the_first_signal_asks_all_clients_and_the_second_ends_them() {
        let ending = Ending::default();
        let others = ending.clone();
        ending.await_signals();
        others.await_signals();
        kill_process(getpid(), Signal::TERM).unwrap();
        others.stop.cancelled().await;
        assert!(!others.at_once.is_cancelled());
        kill_process(getpid(), Signal::INT).unwrap();
        ending.at_once.cancelled().await;
    }

    #[test]
    fn the_end_does_not_wait_for_a_name_server() {
        let (answer, resolving) = mpsc::channel::<()>();
        let (started, has_started) = tokio::sync::oneshot::channel();
        let program = async {
            tokio::task::spawn_blocking(move || {
                started.send(()).unwrap();
                let _ = resolving.recv();
            });
            has_started.await.unwrap();
            "ended"
        };
        assert_eq!(block_on(program).unwrap(), "ended");
        // Only now; a runtime that waits would never have come here.
        drop(answer);
    }
}
