//! Values that are read from elsewhere when they are needed (frp `pkg/config/v1/value_source.go`).

use std::io;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use crate::Secret;

/// Where a value such as `auth.tokenSource` comes from. Each call of [`resolve`](Self::resolve)
/// reads anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueSource {
    /// `file.path`: the content of a file.
    File(PathBuf),
    /// What a program prints on its standard output.
    Exec {
        /// `exec.command`
        command: String,
        /// `exec.args`
        args: Vec<String>,
        /// `exec.env`: variables beyond those of this process.
        env: Vec<(String, Secret)>,
    },
}

/// Why a value could not be read. The texts are frp's.
#[derive(Debug, thiserror::Error)]
pub enum ValueSourceError {
    /// The file could not be read.
    #[error("failed to read file {}: {}", path.display(), crate::problem::open_text(path, source))]
    File {
        /// The file as configured.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The program could not be started.
    #[error("failed to execute command {command}: {}", start_text(command, source))]
    Start {
        /// The program as configured.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// The program failed.
    #[error("failed to execute command {command}: {}", status_text(*.status))]
    Failed {
        /// The program as configured.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// The value is not text.
    #[error("the value read from {0} is not UTF-8 text")]
    NotText(String),
}

impl ValueSource {
    /// Reads the value; white space at its ends is dropped. Waits for the program where the source
    /// is one, so long as it takes.
    ///
    /// # Errors
    /// When the file cannot be read, the program cannot be run or fails, or what they give is not
    /// text.
    pub fn resolve(&self) -> Result<Secret, ValueSourceError> {
        let (bytes, from) = match self {
            Self::File(path) => {
                let bytes = std::fs::read(path).map_err(|source| ValueSourceError::File {
                    path: path.clone(),
                    source,
                })?;
                (bytes, path.display().to_string())
            }
            Self::Exec { command, args, env } => {
                let env = env.iter().map(|(name, value)| (name, value.expose()));
                let output = Command::new(command)
                    .args(args)
                    .envs(env)
                    .stdin(Stdio::null())
                    .stderr(Stdio::null())
                    .output()
                    .map_err(|source| ValueSourceError::Start {
                        command: command.clone(),
                        source,
                    })?;
                if !output.status.success() {
                    return Err(ValueSourceError::Failed {
                        command: command.clone(),
                        status: output.status,
                    });
                }
                (output.stdout, command.clone())
            }
        };
        ValueSourceError::value(bytes, from)
    }
}

impl ValueSourceError {
    /// The value that a source has given as `bytes`: white space at its ends is dropped.
    ///
    /// # Errors
    /// When it is not text; `from` is the file or program then.
    pub fn value(bytes: Vec<u8>, from: String) -> Result<Secret, Self> {
        let text = String::from_utf8(bytes).map_err(|_| Self::NotText(from))?;
        Ok(Secret::from(text.trim()))
    }
}

fn start_text(command: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound if !command.contains('/') => {
            format!("exec: {command:?}: executable file not found in $PATH")
        }
        _ => format!("fork/exec {command}: {}", crate::problem::io_text(error)),
    }
}

fn status_text(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("exit status {code}"),
        None => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn exec(command: &str, args: &[&str]) -> ValueSource {
        ValueSource::Exec {
            command: command.to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: vec![("SECRET_OF_TEST".to_owned(), Secret::from("s3"))],
        }
    }

    #[test]
    fn files_and_programs_give_trimmed_values() {
        let path = std::env::temp_dir().join(format!("frp-token-{}", std::process::id()));
        std::fs::write(&path, "\n a b \r\n").unwrap();
        let source = ValueSource::File(path.clone());
        assert_eq!(source.resolve().unwrap().expose(), "a b");
        std::fs::write(&path, "new").unwrap();
        assert_eq!(source.resolve().unwrap().expose(), "new", "read anew");
        std::fs::remove_file(&path).unwrap();
        let source = exec("sh", &["-c", "echo \" $0 $SECRET_OF_TEST \"", "x"]);
        assert_eq!(source.resolve().unwrap().expose(), "x s3");
        assert!(!format!("{source:?}").contains("s3"));
    }

    #[test]
    fn errors_are_told_as_frp_tells_them() {
        let text = |source: ValueSource| source.resolve().unwrap_err().to_string();
        assert_eq!(
            text(ValueSource::File("/nonexistent/t".into())),
            "failed to read file /nonexistent/t: open /nonexistent/t: no such file or directory"
        );
        assert_eq!(
            text(exec("sh", &["-c", "exit 3"])),
            "failed to execute command sh: exit status 3"
        );
        assert_eq!(
            text(exec("no-such-program-here", &[])),
            "failed to execute command no-such-program-here: \
             exec: \"no-such-program-here\": executable file not found in $PATH"
        );
        assert_eq!(
            text(exec("/nonexistent/p", &[])),
            "failed to execute command /nonexistent/p: \
             fork/exec /nonexistent/p: no such file or directory"
        );
    }
}
