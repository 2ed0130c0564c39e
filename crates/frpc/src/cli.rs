//! What frpc runs; what its command line means is in `frp_config::cli` (frp `cmd/frpc`).

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use frp_config::cli::{self, AdminCall, ClientTask};
use frp_config::{ClientConfig, Environment, LoadOptions, Loaded, TransportProtocol, load_client};
use frp_log::{Log, contract, info, print_line};
use frp_net::or_never::or_never;
use frp_net::threads::Threads;
use frp_proto::VERSION;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{ConfigFile, Service, admin_call};

/// Runs the program: 0 where all went well, 1 on any error. Errors are told on standard output, as
/// frp tells them; those of the command line itself on standard error.
pub fn main() -> ExitCode {
    let args = std::env::args_os().skip(1);
    let args = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
    let environment = Environment::of(std::env::vars_os());
    match cli::client(args, environment, VERSION) {
        Err(output) => output.print(),
        Ok(ClientTask::Run(path, options)) => run_file(&path, &options),
        Ok(ClientTask::RunDirectory(directory, options)) => run_directory(&directory, &options),
        Ok(ClientTask::RunFlags(loaded)) => finish(run(None, *loaded)),
        Ok(ClientTask::Admin(call)) => ask(&call),
        Ok(_) => print_line(
            "nathole discover is not supported yet: frp knows it, this version does not",
            ExitCode::FAILURE,
        ),
    }
}

fn ask(call: &AdminCall) -> ExitCode {
    let called = block_on(admin_call::call(call));
    match called.map(|called| called.map_err(|error| error.to_string())) {
        Ok(Ok(text)) => print_line(text, ExitCode::SUCCESS),
        Ok(Err(error)) | Err(error) => print_line(error, ExitCode::FAILURE),
    }
}

/// Runs the program's first thread.
fn block_on<F: Future>(program: F) -> Result<F::Output, String> {
    let runtime = frp_net::threads::runtime().map_err(|error| error.to_string())?;
    let ended = runtime.block_on(async {
        tokio::spawn(frp_net::process::give_memory_back());
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

fn load(path: &Path, options: &LoadOptions) -> Result<Loaded<ClientConfig>, String> {
    load_client(path, options).map_err(|error| error.to_string())
}

/// Runs one client until it ends, which is never if all goes well.
fn run(file: Option<(&Path, &LoadOptions)>, loaded: Loaded<ClientConfig>) -> Result<(), String> {
    let cfg = prepare(loaded)?;
    let file = file.map(|(path, options)| ConfigFile {
        path: path.to_owned(),
        options: options.clone(),
    });
    block_on(serve(file, cfg))?
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
    for path in files_below(directory) {
        match load(&path, options).and_then(prepare) {
            Err(error) => failed(&path, &error),
            Ok(cfg) => {
                let file = ConfigFile {
                    path: path.clone(),
                    options: options.clone(),
                };
                let client = async move {
                    if let Err(error) = serve(Some(file), cfg).await {
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
        contract::frpc_service_error(path.display()),
        ExitCode::FAILURE,
    );
}

/// Every file below, in the order of names; what cannot be read is left out, as in frp.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    let files = entries.into_iter().flat_map(|entry| {
        // A link to a directory is not followed.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files_below(&entry.path())
        } else {
            vec![entry.path()]
        }
    });
    files.collect()
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
    frp_log::init(&(&cfg.log).into()).map_err(|error| error.to_string())?;
    frp_net::process::raise_file_limit();
    Ok(cfg)
}

async fn serve(file: Option<ConfigFile>, mut cfg: ClientConfig) -> Result<(), String> {
    let path = file.as_ref().map(|file| file.path.clone());
    if let Some(path) = &path {
        info!(
            Log::root(),
            "{}",
            contract::start_frpc_service(path.display())
        );
    }
    cfg.auth = cfg.auth.resolve().map_err(|error| error.to_string())?;
    let stop = CancellationToken::new();
    // Over TCP a signal ends the process where it stands, as it ends frp: the kernel gives back
    // every socket, and the server sees that at once. Over UDP it would have to wait for a timeout.
    let protocol = cfg.transport.protocol;
    let may_be_udp = matches!(protocol, TransportProtocol::Kcp | TransportProtocol::Quic)
        || cfg.transport.order.is_some();
    let second_signal = or_never(may_be_udp.then(|| cancel_at_signal(stop.clone())));
    let ended = match Service::new(cfg, file) {
        Ok(service) => tokio::select! {
            ended = service.run(stop) => ended.map_err(|error| error.to_string()),
            () = second_signal => Ok(()),
        },
        Err(error) => Err(error.to_string()),
    };
    if let Some(path) = path {
        info!(
            Log::root(),
            "{}",
            contract::frpc_service_stopped(path.display())
        );
    }
    frp_log::flush();
    ended
}

/// Cancels `stop` at SIGTERM or SIGINT, which then do not end the process by themselves, and is ready at
/// the second one.
async fn cancel_at_signal(stop: CancellationToken) {
    let signals = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    );
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        return std::future::pending().await;
    };
    for _ in 0..2 {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::mpsc;

    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    #[tokio::test]
    async fn the_first_signal_asks_and_the_second_ends() {
        let stop = CancellationToken::new();
        let mut second = Box::pin(cancel_at_signal(stop.clone()));
        assert!(futures_util::poll!(&mut second).is_pending());
        kill_process(getpid(), Signal::TERM).unwrap();
        tokio::select! {
            () = &mut second => panic!("one is not two"),
            () = stop.cancelled() => {}
        }
        assert!(futures_util::poll!(&mut second).is_pending());
        kill_process(getpid(), Signal::INT).unwrap();
        second.await;
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
