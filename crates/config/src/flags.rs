//! The flags that both programs share (frp `cmd/*/root.go`).

use std::path::PathBuf;

use clap::error::{ContextKind, ErrorKind};

use crate::{Environment, LoadOptions, Purpose};

/// Flags of `frps` and `frpc` alike, before or after a command.
#[derive(Debug, Clone, clap::Args)]
pub struct CommonFlags {
    /// config file
    #[arg(short, long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// strict config parsing mode, unknown fields will cause errors
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
    pub strict_config: bool,

    /// allowed unsafe features, one or more of: TokenSourceExec
    #[arg(
        long,
        alias = "allow_unsafe",
        global = true,
        value_delimiter = ',',
        value_name = "FEATURES"
    )]
    pub allow_unsafe: Vec<String>,

    /// version of this program
    #[arg(short, long)]
    pub version: bool,
}

impl CommonFlags {
    /// How these flags want a configuration to be loaded.
    #[must_use]
    pub fn load_options(&self, purpose: Purpose, environment: Environment) -> LoadOptions {
        LoadOptions {
            purpose,
            strict: self.strict_config,
            allow_unsafe: self.allow_unsafe.clone(),
            environment,
        }
    }
}

/// What to print where the command line was not understood, or where help was asked for; in frp's
/// words where scripts may look for them.
#[must_use]
pub fn refusal(error: &clap::Error) -> String {
    let flag = error.get(ContextKind::InvalidArg).map(ToString::to_string);
    match (error.kind(), flag) {
        (ErrorKind::UnknownArgument, Some(flag)) if flag.starts_with('-') => {
            let kind = if flag.starts_with("--") {
                "flag"
            } else {
                "shorthand flag"
            };
            format!("Error: unknown {kind}: {flag}\n{error}")
        }
        _ => error.to_string(),
    }
}
