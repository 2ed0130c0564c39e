//! The doctor, where the build lacks it. The command line refuses the command before.

#![allow(clippy::unused_async, reason = "awaited like what it stands in for")]

use std::process::ExitCode;

use frp_config::cli::Doctor;
use frp_config::{Feature, ServerConfig};
use frp_log::print_line;

use crate::BUILD;

pub(crate) async fn run(_: Doctor<ServerConfig>) -> ExitCode {
    print_line(BUILD.lacking(Feature::Doctor), ExitCode::FAILURE)
}
