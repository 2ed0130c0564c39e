//! The command line of frpc (frp `cmd/frpc`).

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use frp_config::flags::{self, CommonFlags};
use frp_config::{ClientConfig, Environment, Loaded, Purpose, load_client};
use frp_log::{Log, contract, info, print_line};
use frp_proto::VERSION;
use tokio_util::sync::CancellationToken;

use crate::Service;

#[derive(Debug, Parser)]
#[command(
    name = "frpc",
    about = "frpc is the client of frp (https://github.com/fatedier/frp)"
)]
struct Args {
    #[command(flatten)]
    common: CommonFlags,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Verify that the configures is valid
    Verify,
}

/// Runs the program: 0 where all went well, 1 on any error, whose text is on stdout as frp's is.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(e) => {
            return frp_log::print_refusal(flags::refusal(&e), e.use_stderr());
        }
    };
    if args.common.version {
        return print_line(VERSION, ExitCode::SUCCESS);
    }
    let path = args
        .common
        .config
        .as_deref()
        .unwrap_or_else(|| Path::new("./frpc.ini"));
    let purpose = match args.command {
        Some(Command::Verify) => Purpose::Verify,
        None => Purpose::Run,
    };
    let environment = Environment::of(std::env::vars_os());
    let options = args.common.load_options(purpose, environment);
    let loaded = match load_client(path, &options) {
        Ok(loaded) => loaded,
        Err(e) => return print_line(e, ExitCode::FAILURE),
    };
    for warning in &loaded.warnings {
        print_line(format!("WARNING: {warning}"), ExitCode::SUCCESS);
    }
    match args.command {
        Some(Command::Verify) => {
            let text = format!(
                "frpc: the configuration file {} syntax is ok",
                path.display()
            );
            print_line(text, ExitCode::SUCCESS)
        }
        None => run(path, loaded),
    }
}

fn run(path: &Path, loaded: Loaded<ClientConfig>) -> ExitCode {
    if loaded.legacy_ini {
        print_line(frp_log::INI_DEPRECATED, ExitCode::SUCCESS);
    }
    let mut cfg = loaded.settings;
    if let Err(e) = frp_log::init(&(&cfg.log).into()) {
        return print_line(e, ExitCode::FAILURE);
    }
    info!(
        Log::root(),
        "{}",
        contract::start_frpc_service(path.display())
    );
    cfg.auth = match cfg.auth.resolve() {
        Ok(auth) => auth,
        Err(e) => return print_line(e, ExitCode::FAILURE),
    };
    frp_net::process::raise_file_limit();
    let runtime = match frp_net::process::runtime() {
        Ok(runtime) => runtime,
        Err(e) => return print_line(e, ExitCode::FAILURE),
    };
    let ended = runtime.block_on(async {
        let service = Service::new(cfg).map_err(|e| e.to_string())?;
        // A signal ends the process where it stands, as it ends frp: the kernel gives back every
        // socket, and the server sees that at once.
        service
            .run(CancellationToken::new())
            .await
            .map_err(|e| e.to_string())
    });
    info!(
        Log::root(),
        "{}",
        contract::frpc_service_stopped(path.display())
    );
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => print_line(text, ExitCode::FAILURE),
    }
}
