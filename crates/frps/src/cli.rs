//! What frps runs; what its command line means is in `frp_config::cli` (frp `cmd/frps`).

use std::process::ExitCode;

use frp_config::Environment;
use frp_config::cli::{self, ServerTask};
use frp_log::{Log, info, print_line};
use frp_net::signals;
use frp_proto::VERSION;
use tokio_util::sync::CancellationToken;

use crate::Server;

/// Runs the program: 0 where all went well, 1 on any error. Errors are told on standard output, as
/// frp tells them; those of the command line itself on standard error.
pub fn main() -> ExitCode {
    signals::install();
    let args = std::env::args_os().skip(1);
    let args = args.map(|arg| arg.to_string_lossy().into_owned()).collect();
    let environment = Environment::of(std::env::vars_os());
    match cli::server(args, environment, VERSION) {
        Err(output) => output.print(),
        Ok(task) => run(task),
    }
}

fn run(ServerTask { file, loaded }: ServerTask) -> ExitCode {
    for warning in &loaded.warnings {
        print_line(format!("WARNING: {warning}"), ExitCode::SUCCESS);
    }
    if loaded.legacy_ini {
        print_line(frp_log::INI_DEPRECATED, ExitCode::SUCCESS);
    }
    let mut cfg = loaded.settings;
    if let Err(e) = frp_log::init(&cfg.log) {
        return print_line(e, ExitCode::FAILURE);
    }
    match &file {
        Some(path) => info!(Log::root(), "frps uses config file: {}", path.display()),
        None => info!(Log::root(), "frps uses command line arguments for config"),
    }
    cfg.auth = match cfg.auth.resolve() {
        Ok(auth) => auth,
        Err(e) => return print_line(e, ExitCode::FAILURE),
    };
    frp_net::process::raise_file_limit();
    let runtime = match frp_net::threads::runtime() {
        Ok(runtime) => runtime,
        Err(e) => return print_line(e, ExitCode::FAILURE),
    };
    let ended = runtime.block_on(async {
        tokio::spawn(frp_net::process::give_memory_back());
        tokio::spawn(signals::reopen_log_at_user_signal(frp_log::reopen));
        match Server::bind(cfg) {
            Err(e) => print_line(e, ExitCode::FAILURE),
            Ok(server) => {
                // A signal ends the process where it stands, as it ends frp: the kernel gives
                // back every socket.
                server.run(CancellationToken::new()).await;
                ExitCode::SUCCESS
            }
        }
    });
    // A name server that does not answer must not hold up the end.
    runtime.shutdown_background();
    frp_log::flush();
    ended
}
