//! What a measurement ends with: values, or why there are none.

use std::io;
use std::path::PathBuf;

/// Names and values.
pub(crate) type Values = Vec<(String, f64)>;

/// Why the run, or one figure of it, failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
    #[error("no frps and frpc in {0:?}, nor in a folder of it named by version")]
    NoPrograms(PathBuf),
    #[error("{program} ended with {status} before the proxy answered; its output:\n{output}")]
    Ended {
        program: &'static str,
        status: std::process::ExitStatus,
        output: String,
    },
    #[error("the proxy did not answer within {seconds} s: {last}; output:\n{output}")]
    NoAnswer {
        seconds: u64,
        last: io::Error,
        output: String,
    },
    #[error("no bytes arrived")]
    NoBytes,
    #[error("a thread of the load panicked")]
    Panicked,
    #[error("no certificate for nginx: {0}")]
    Certificate(String),
    #[error("no network of its own; it takes root, and the reason stands above")]
    NoNetwork,
    #[error("{failed} connections failed beside {done} good ones, the first with: {first}")]
    Connections {
        failed: usize,
        done: usize,
        first: io::Error,
    },
}

pub(crate) trait Context<T> {
    /// Names what was tried, for the message.
    fn context(self, what: impl Into<String>) -> Result<T, Error>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: impl Into<String>) -> Result<T, Error> {
        self.map_err(|source| Error::Io {
            what: what.into(),
            source,
        })
    }
}
