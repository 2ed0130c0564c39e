//! What a program does once, before it opens its first socket.

use std::io;

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::runtime::Runtime;

/// Raises the limit of open files to the most that the process may have. A tunnel needs two
/// descriptors per connection, and the usual soft limit of 1024 is from a time of `select`.
pub fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Refused: then the limit stays, and the accept loop copes with running out.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// The runtime of both programs.
pub fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}
