//! The live view, where the build lacks it. The command line refuses the command before.

#![allow(clippy::unused_async, reason = "awaited like what it stands in for")]

use frp_config::cli::AdminCall;

/// # Errors
/// Always.
pub async fn watch(call: &AdminCall) -> Result<(), String> {
    Err(format!("this {} has no live view", call.program))
}
