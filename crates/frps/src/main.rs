//! frps, the server. All of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    frps::cli::main()
}
