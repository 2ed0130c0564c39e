//! The command line of frpc (frp `cmd/frpc`).

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use frp_config::{ClientConfig, Loaded, load_client};
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
    /// config file of frpc
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        default_value = "./frpc.ini"
    )]
    config: PathBuf,

    /// strict config parsing mode, unknown fields will cause an errors
    #[arg(
        long,
        alias = "strict_config",
        global = true,
        default_value_t = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    strict_config: bool,

    /// version of frpc
    #[arg(short, long)]
    version: bool,

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
            let _ = e.print();
            return ExitCode::from(u8::from(e.use_stderr()));
        }
    };
    if args.version {
        return print_line(VERSION, ExitCode::SUCCESS);
    }
    let loaded = match load_client(&args.config, args.strict_config) {
        Ok(loaded) => loaded,
        Err(e) => return print_line(e, ExitCode::FAILURE),
    };
    for warning in &loaded.warnings {
        print_line(format!("WARNING: {warning}"), ExitCode::SUCCESS);
    }
    match args.command {
        Some(Command::Verify) => {
            let path = args.config.display();
            let text = format!("frpc: the configuration file {path} syntax is ok");
            print_line(text, ExitCode::SUCCESS)
        }
        None => run(&args, loaded),
    }
}

fn run(args: &Args, loaded: Loaded<ClientConfig>) -> ExitCode {
    if loaded.legacy_ini {
        print_line(frp_log::INI_DEPRECATED, ExitCode::SUCCESS);
    }
    let cfg = loaded.settings;
    if let Err(e) = frp_log::init(&(&cfg.log).into()) {
        return print_line(e, ExitCode::FAILURE);
    }
    info!(
        Log::root(),
        "{}",
        contract::start_frpc_service(args.config.display())
    );
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
        contract::frpc_service_stopped(args.config.display())
    );
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => print_line(text, ExitCode::FAILURE),
    }
}
