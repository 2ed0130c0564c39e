//! frpc, the client. All of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    frpc::cli::main()
}
