//! A token that a file holds or a program prints, read each time that one is needed. Unlike
//! `auth.tokenSource`, which is read once before anything else happens, this must not hold up a
//! client, so it has a time and a size.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use crate::limits::{MAX_TOKEN_SOURCE, TOKEN_SOURCE};
use frp_config::{Secret, ValueSource, ValueSourceError};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::sync::Mutex;

/// Why a source gave no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("{0}")]
    Value(#[from] ValueSourceError),
    #[error("{0} gives more than {limit} bytes", limit = MAX_TOKEN_SOURCE)]
    TooLong(String),
    #[error("{0} gave no token within {limit} s", limit = TOKEN_SOURCE.as_secs())]
    TimedOut(String),
}

/// Where tokens come from.
#[derive(Debug)]
pub(super) struct Source {
    from: ValueSource,
    /// Held by the thread that reads the file, which nobody can stop: a pipe or a mount that hangs must
    /// not take one thread after the other, for names are looked up on these, too.
    reading: Arc<Mutex<()>>,
}

impl Source {
    pub(super) fn new(from: ValueSource) -> Self {
        let reading = Arc::default();
        Self { from, reading }
    }

    /// The token that it has now.
    pub(super) async fn read(&self) -> Result<Secret, SourceError> {
        let name = match &self.from {
            ValueSource::File(path) => path.display().to_string(),
            ValueSource::Exec { command, .. } => command.clone(),
        };
        let reading = async {
            match &self.from {
                ValueSource::File(path) => self.read_file(path).await,
                ValueSource::Exec { command, args, env } => run(command, args, env).await,
            }
        };
        let read = tokio::time::timeout(TOKEN_SOURCE, reading).await;
        let bytes = read.map_err(|_| SourceError::TimedOut(name.clone()))??;
        if bytes.len() > MAX_TOKEN_SOURCE {
            return Err(SourceError::TooLong(name));
        }
        Ok(ValueSourceError::value(bytes, name)?)
    }

    async fn read_file(&self, path: &Path) -> Result<Vec<u8>, ValueSourceError> {
        let turn = self.reading.clone().lock_owned().await;
        let opened = path.to_owned();
        let read = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            read_some(&opened)
        });
        let read = read.await.unwrap_or_else(|e| Err(io::Error::other(e)));
        read.map_err(|source| ValueSourceError::File {
            path: path.to_owned(),
            source,
        })
    }
}

fn read_some(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_TOKEN_SOURCE as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What the program prints. It is killed when nobody waits for it any more.
async fn run(
    command: &str,
    args: &[String],
    env: &[(String, Secret)],
) -> Result<Vec<u8>, ValueSourceError> {
    let error = |source| ValueSourceError::Start {
        command: command.to_owned(),
        source,
    };
    let mut child = Command::new(command)
        .args(args)
        .envs(env.iter().map(|(name, value)| (name, value.expose())))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(error)?;
    let mut bytes = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let mut some = stdout.take(MAX_TOKEN_SOURCE as u64 + 1);
        some.read_to_end(&mut bytes).await.map_err(error)?;
    }
    if bytes.len() > MAX_TOKEN_SOURCE {
        return Ok(bytes);
    }
    let status = child.wait().await.map_err(error)?;
    if !status.success() {
        return Err(ValueSourceError::Failed {
            command: command.to_owned(),
            status,
        });
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn exec(script: &str) -> ValueSource {
        ValueSource::Exec {
            command: "sh".to_owned(),
            args: vec!["-c".to_owned(), script.to_owned()],
            env: vec![("SECRET_OF_TEST".to_owned(), Secret::from("s3"))],
        }
    }

    async fn told(source: &ValueSource) -> String {
        let source = Source::new(source.clone());
        source.read().await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn files_and_programs_give_trimmed_tokens() {
        let source = Source::new(exec("echo \" $SECRET_OF_TEST \""));
        let token = source.read().await.unwrap();
        assert_eq!(token.expose(), "s3");
        assert_eq!(
            told(&exec("exit 3")).await,
            "failed to execute command sh: exit status 3"
        );
        let none = ValueSource::File("/nonexistent/t".into());
        assert_eq!(
            told(&none).await,
            "failed to read file /nonexistent/t: open /nonexistent/t: no such file or directory"
        );
    }

    /// Nobody writes into the pipe. Names are looked up on these threads, too.
    #[test]
    fn a_file_that_hangs_takes_one_thread() {
        let path = std::env::temp_dir().join(format!("frpc-pipe-{}", std::process::id()));
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(2)
            .build()
            .unwrap();
        let source = Source::new(ValueSource::File(path.clone()));
        runtime.block_on(async {
            for _ in 0..3 {
                let given_up = tokio::time::timeout(Duration::from_millis(50), source.read());
                assert!(given_up.await.is_err());
            }
            let other = tokio::task::spawn_blocking(|| ());
            let done = tokio::time::timeout(Duration::from_secs(20), other).await;
            assert!(done.is_ok(), "all threads hang");
        });
        // Lets the thread go.
        drop(File::options().write(true).open(&path));
        std::fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn what_never_ends_does_not_fill_the_memory() {
        let endless = ValueSource::File("/dev/zero".into());
        assert!(told(&endless).await.contains("more than"));
        assert!(
            told(&exec("while :; do echo xxxxxxxxxxxxxxxx; done"))
                .await
                .contains("more than")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_program_that_hangs_is_given_up() {
        assert!(
            told(&exec("exec sleep 3600"))
                .await
                .contains("gave no token within")
        );
    }
}
