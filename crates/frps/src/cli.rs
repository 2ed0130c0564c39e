//! The command line of frps (frp `cmd/frps`).

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use frp_config::flags::{self, CommonFlags};
use frp_config::{
    Environment, LoadError, Loaded, Purpose, ServerConfig, load_server, parse_server,
};
use frp_log::{Log, contract, info, print_line};
use frp_proto::VERSION;
use tokio_util::sync::CancellationToken;

use crate::Server;

#[derive(Debug, Parser)]
#[command(
    name = "frps",
    about = "frps is the server of frp (https://github.com/fatedier/frp)"
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
    match args.command {
        Some(Command::Verify) => verify(&args),
        None => run(&args),
    }
}

fn verify(args: &Args) -> ExitCode {
    let Some(path) = &args.common.config else {
        return print_line(
            "frps: the configuration file is not specified",
            ExitCode::SUCCESS,
        );
    };
    let environment = Environment::of(std::env::vars_os());
    let options = args.common.load_options(Purpose::Verify, environment);
    match load_server(path, &options) {
        Err(e) => print_line(e, ExitCode::FAILURE),
        Ok(loaded) => {
            warn_about(&loaded);
            let text = format!(
                "frps: the configuration file {} syntax is ok",
                path.display()
            );
            print_line(text, ExitCode::SUCCESS)
        }
    }
}

fn run(args: &Args) -> ExitCode {
    let loaded = match load(args) {
        Ok(loaded) => loaded,
        Err(e) => return print_line(e, ExitCode::FAILURE),
    };
    warn_about(&loaded);
    if loaded.legacy_ini {
        print_line(frp_log::INI_DEPRECATED, ExitCode::SUCCESS);
    }
    let mut cfg = loaded.settings;
    if let Err(e) = frp_log::init(&(&cfg.log).into()) {
        return print_line(e, ExitCode::FAILURE);
    }
    match &args.common.config {
        Some(path) => info!(
            Log::root(),
            "{}",
            contract::frps_uses_config_file(path.display())
        ),
        None => info!(Log::root(), "{}", contract::frps_uses_arguments()),
    }
    cfg.auth = match cfg.auth.resolve() {
        Ok(auth) => auth,
        Err(e) => return print_line(e, ExitCode::FAILURE),
    };
    frp_net::process::raise_file_limit();
    let runtime = match frp_net::process::runtime() {
        Ok(runtime) => runtime,
        Err(e) => return print_line(e, ExitCode::FAILURE),
    };
    runtime.block_on(async {
        match Server::bind(cfg) {
            Err(e) => print_line(e, ExitCode::FAILURE),
            Ok(server) => {
                // A signal ends the process where it stands, as it ends frp: the kernel gives
                // back every socket.
                server.run(CancellationToken::new()).await;
                ExitCode::SUCCESS
            }
        }
    })
}

fn load(args: &Args) -> Result<Loaded<ServerConfig>, LoadError> {
    let environment = Environment::of(std::env::vars_os());
    let options = args.common.load_options(Purpose::Run, environment);
    match &args.common.config {
        Some(path) => load_server(path, &options),
        None => parse_server("", "", &options),
    }
}

fn warn_about(loaded: &Loaded<ServerConfig>) {
    for warning in &loaded.warnings {
        print_line(format!("WARNING: {warning}"), ExitCode::SUCCESS);
    }
}
