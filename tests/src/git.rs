//! Git's own programs: repositories, and their service over HTTP.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::backend::{Seen, read_head, read_request};
use crate::clients::pattern;
use crate::openssh::find;
use crate::service::Service;
use crate::wait::within;

/// How long a command of git may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Git with no configuration but what it is given.
#[derive(Clone, Debug, Default)]
pub struct Git {
    variables: Vec<(&'static str, String)>,
}

impl Git {
    /// With a variable more in its environment.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Runs it in `directory` and returns what it printed, without the line's end. It must succeed.
    pub async fn run<S: AsRef<OsStr>>(
        &self,
        directory: &Path,
        args: impl IntoIterator<Item = S>,
    ) -> String {
        let mut command = git(directory);
        command.args(args).current_dir(directory);
        command.envs(self.variables.iter().cloned());
        let what = format!("{:?}", command.as_std());
        let output = within(LIMIT, &what, command.output()).await.unwrap();
        let (said, errors) = (&output.stdout, &output.stderr);
        assert!(
            output.status.success(),
            "{what}: {} {}",
            String::from_utf8_lossy(said),
            String::from_utf8_lossy(errors)
        );
        String::from_utf8_lossy(said).trim_end().to_owned()
    }

    /// The commit that a repository is at.
    pub async fn head(&self, repository: &Path) -> String {
        self.run(repository, ["rev-parse", "HEAD"]).await
    }

    /// Makes a commit with one file of `len` bytes that do not compress.
    pub async fn commit(&self, repository: &Path, name: &str, len: usize) {
        let seed = name.bytes().map(u64::from).sum();
        std::fs::write(repository.join(name), pattern(len, seed)).unwrap();
        self.run(repository, ["add", "."]).await;
        self.run(repository, ["commit", "--quiet", "-m", name])
            .await;
    }
}

/// Makes the bare repository `repo.git` in `directory`: some hundred small files, a branch that is
/// merged, a tag, and some megabytes.
pub async fn repository(directory: &Path) -> PathBuf {
    let git = Git::default();
    let work = directory.join("work");
    std::fs::create_dir(&work).unwrap();
    git.run(&work, ["init", "--quiet", "--initial-branch=main"])
        .await;
    for number in 0..300 {
        std::fs::write(
            work.join(format!("file-{number}")),
            format!("{number}\n").repeat(100),
        )
        .unwrap();
    }
    git.commit(&work, "first", 1000).await;
    git.run(&work, ["checkout", "--quiet", "-b", "side"]).await;
    git.commit(&work, "beside", 3_000_000).await;
    git.run(&work, ["checkout", "--quiet", "main"]).await;
    git.commit(&work, "second", 1_000_000).await;
    git.run(&work, ["merge", "--quiet", "--no-edit", "side"])
        .await;
    git.run(&work, ["tag", "-m", "a tag", "v1"]).await;
    let bare = directory.join("repo.git");
    let clone = ["clone", "--quiet", "--bare", "work", "repo.git"];
    git.run(directory, clone).await;
    git.run(&bare, ["config", "http.receivepack", "true"]).await;
    bare
}

/// Git's service over HTTP for the repositories in `directory`, which are open to all.
pub async fn http_service(directory: &Path) -> Service {
    let directory = directory.to_owned();
    Service::new(move |stream| serve(stream, directory.clone())).await
}

async fn serve(mut stream: TcpStream, directory: PathBuf) {
    let mut buffer = Vec::new();
    while let Some(seen) = read_request(&mut stream, &mut buffer, 0).await {
        if cgi(&mut stream, &seen, &directory).await.is_none() {
            return;
        }
    }
}

/// Answers by `git http-backend` (RFC 3875), as its output comes. None when the user has gone.
async fn cgi(stream: &mut TcpStream, seen: &Seen, directory: &Path) -> Option<()> {
    let (path, query) = seen
        .path()
        .split_once('?')
        .unwrap_or_else(|| (seen.path(), ""));
    let method = seen.head.split(' ').next().unwrap_or_default();
    let mut child = git(directory)
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", directory)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_LENGTH", seen.body.len().to_string())
        .env("CONTENT_TYPE", seen.header("content-type").unwrap_or(""))
        .env(
            "HTTP_CONTENT_ENCODING",
            seen.header("content-encoding").unwrap_or(""),
        )
        .env("GIT_PROTOCOL", seen.header("git-protocol").unwrap_or(""))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let body = seen.body.clone();
    // While it answers: it may begin before it has read all.
    let feeder = tokio::spawn(async move {
        let _ = stdin.write_all(&body).await;
    });
    let mut stdout = child.stdout.take().unwrap();
    let done = respond(&mut stdout, stream).await;
    let _ = feeder.await;
    let _ = child.wait().await;
    done
}

async fn respond(from: &mut (impl AsyncRead + Unpin), stream: &mut TcpStream) -> Option<()> {
    let mut buffer = Vec::new();
    let head = read_head(from, &mut buffer).await?;
    let status = head
        .lines()
        .find_map(|line| line.strip_prefix("Status: "))
        .unwrap_or("200 OK");
    let head = format!("HTTP/1.1 {status}\r\n{head}\r\nTransfer-Encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).await.ok()?;
    loop {
        if !buffer.is_empty() {
            let size = format!("{:x}\r\n", buffer.len());
            stream.write_all(size.as_bytes()).await.ok()?;
            buffer.extend(b"\r\n");
            stream.write_all(&buffer).await.ok()?;
            buffer.clear();
        }
        if from.read_buf(&mut buffer).await.ok()? == 0 {
            return stream.write_all(b"0\r\n\r\n").await.ok();
        }
    }
}

/// Git in an environment of its own: whose configuration the machine has does not matter.
fn git(home: &Path) -> Command {
    let mut command = Command::new(find("git"));
    command
        .env("HOME", home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("no_proxy", "*")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "Test");
        command.env(format!("GIT_{role}_EMAIL"), "test@example.org");
    }
    command
}
