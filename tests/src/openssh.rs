//! OpenSSH's own server and client, each with keys and configuration of a test's directory.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::ports::free_port;
use crate::program::Program;
use crate::wait::eventually;

/// A running sshd that admits the current user by the one key of [`Sshd::ssh`].
#[derive(Debug)]
pub struct Sshd {
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    key: PathBuf,
    user: String,
    program: Program,
}

impl Sshd {
    /// Starts one with fresh keys in `directory`.
    pub async fn start(directory: &Path) -> Self {
        Self::start_by(directory, |sshd, args| {
            Program::spawn(sshd, args, directory)
        })
        .await
    }

    /// The same by `spawn`, which runs the program that it is given, perhaps elsewhere.
    pub async fn start_by(
        directory: &Path,
        spawn: impl FnOnce(&Path, [OsString; 4]) -> Program,
    ) -> Self {
        let (port, user, config) = written(directory, "PasswordAuthentication no\n").await;
        let args = ["-D".into(), "-e".into(), "-f".into(), config.into()];
        let program = spawn(&find("sshd"), args);
        program.expect("Server listening on").await;
        Self {
            port,
            key: directory.join("user_key"),
            user,
            program,
        }
    }

    /// The same, which takes passwords, too, and logs into the file `log`.
    pub async fn start_logging(directory: &Path, log: &Path) -> Self {
        let (port, user, config) = written(directory, "PasswordAuthentication yes\n").await;
        let args = [
            OsString::from("-D"),
            "-E".into(),
            log.into(),
            "-f".into(),
            config.into(),
        ];
        let program = Program::spawn(&find("sshd"), args, directory);
        eventually("sshd listens", || async {
            std::fs::read_to_string(log).is_ok_and(|text| text.contains("Server listening on"))
        })
        .await;
        Self {
            port,
            key: directory.join("user_key"),
            user,
            program,
        }
    }

    /// Who may log in.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// By which key.
    #[must_use]
    pub fn key(&self) -> &Path {
        &self.key
    }

    /// `ssh` through `port` of 127.0.0.1 with no other configuration; add options and a command.
    #[must_use]
    pub fn ssh(&self, port: u16) -> Command {
        let mut command = Command::new(find("ssh"));
        command.args(self.options()).args(["-p", &port.to_string()]);
        command.arg(format!("{}@127.0.0.1", self.user));
        quiet(&mut command);
        command
    }

    /// The process, which logs what happens.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// What runs `ssh` to `port` of `to`, by `run` of that program: perhaps from elsewhere.
    #[must_use]
    pub fn ssh_by(&self, run: std::process::Command, to: Ipv4Addr, port: u16) -> Command {
        let mut command = Command::from(run);
        command.args(self.options()).args(["-p", &port.to_string()]);
        command.arg(format!("{}@{to}", self.user));
        quiet(&mut command);
        command
    }

    /// `scp` through `port`; add source and target, remote ones as [`Sshd::remote`] gives them.
    #[must_use]
    pub fn scp(&self, port: u16) -> Command {
        let mut command = Command::new(find("scp"));
        command.args(self.options()).args(["-P", &port.to_string()]);
        quiet(&mut command);
        command
    }

    /// The URL of `path` for git through `port`, with [`Sshd::git_ssh`].
    #[must_use]
    pub fn git_url(&self, port: u16, path: &Path) -> String {
        format!("ssh://{}@127.0.0.1:{port}{}", self.user, path.display())
    }

    /// The value of `GIT_SSH_COMMAND`.
    #[must_use]
    pub fn git_ssh(&self) -> String {
        format!("{} {}", find("ssh").display(), self.options().join(" "))
    }

    /// A remote path in scp's notation.
    #[must_use]
    pub fn remote(&self, path: &Path) -> String {
        format!("{}@127.0.0.1:{}", self.user, path.display())
    }

    fn options(&self) -> Vec<String> {
        let key = self.key.display().to_string();
        let mut options = vec!["-F".into(), "/dev/null".into(), "-i".into(), key];
        for option in [
            "IdentitiesOnly=yes",
            "BatchMode=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "ConnectTimeout=30",
        ] {
            options.extend(["-o".into(), option.into()]);
        }
        options
    }
}

/// Keys and a configuration with these `lines`, too: the port, the user and the file.
async fn written(directory: &Path, lines: &str) -> (u16, String, PathBuf) {
    let host_key = directory.join("host_key");
    let key = directory.join("user_key");
    keygen(&host_key).await;
    keygen(&key).await;
    let authorized = directory.join("authorized_keys");
    std::fs::copy(key.with_extension("pub"), &authorized).unwrap();
    let user = current_user().await;
    if user == "root" {
        // Debian's sshd insists on its privilege separation directory.
        std::fs::create_dir_all("/run/sshd").unwrap();
    }

    let port = free_port();
    let config = directory.join("sshd_config");
    let text = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\n\
         PidFile none\nStrictModes no\nUsePAM no\n\
         PermitRootLogin yes\nMaxStartups 200\nMaxSessions 100\nPrintMotd no\n\
         PrintLastLog no\nUseDNS no\n\
         Subsystem sftp internal-sftp\n{lines}",
        host_key.display(),
        authorized.display()
    );
    std::fs::write(&config, text).unwrap();
    (port, user, config)
}

/// Finds a program on the PATH or in the system directories that a user's PATH may lack.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn find(name: &str) -> PathBuf {
    look_for(name)
        .unwrap_or_else(|| panic!("no {name} here: run the tests by ./test, which installs it"))
}

/// As [`find`], for what need not be there.
#[must_use]
pub fn look_for(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"])
        .map(|dir| Path::new(dir).join(name))
        .find(|p| p.is_file())
}

async fn keygen(file: &Path) {
    let status = Command::new(find("ssh-keygen"))
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(file)
        .stdin(Stdio::null())
        .status()
        .await
        .unwrap();
    assert!(status.success(), "ssh-keygen: {status}");
}

async fn current_user() -> String {
    let output = Command::new("id").arg("-un").output().await.unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn quiet(command: &mut Command) {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
}
