//! The user at home: OpenSSH, or russh where that is not installed.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use frp_tests::within;
use russh::ChannelMsg;
use russh::client::{self, Handle};
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::office::USER;

const LIMIT: Duration = Duration::from_secs(30);

/// What the two sessions printed.
pub(crate) struct Outputs {
    pub(crate) command: String,
    pub(crate) shell: String,
}

/// The `ssh` program, if this machine has it.
pub(crate) fn openssh() -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .map(|dir| Path::new(dir).join("ssh"))
        .find(|p| p.is_file())
}

pub(crate) async fn by_openssh(
    ssh: &Path,
    key: &Path,
    port: u16,
    command: &str,
    typed: &[&str],
) -> Outputs {
    let new = || {
        let mut new = Command::new(ssh);
        // Nothing of the user's own ssh configuration, and no trace in known_hosts.
        new.args(["-F", "/dev/null", "-T", "-i"]).arg(key);
        for option in [
            "IdentitiesOnly=yes",
            "BatchMode=yes",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
        ] {
            new.args(["-o", option]);
        }
        new.args(["-p", &port.to_string(), &format!("{USER}@127.0.0.1")]);
        new.stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        new.kill_on_drop(true);
        new
    };
    let output = within(LIMIT, "ssh runs a command", new().arg(command).output())
        .await
        .unwrap();
    let command = String::from_utf8_lossy(&output.stdout).into_owned();

    let mut shell = new().stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = shell.stdin.take().unwrap();
    stdin
        .write_all(format!("{}\n", typed.join("\n")).as_bytes())
        .await
        .unwrap();
    let output = within(LIMIT, "the shell ends", shell.wait_with_output())
        .await
        .unwrap();
    Outputs {
        command,
        shell: String::from_utf8_lossy(&output.stdout).into_owned(),
    }
}

pub(crate) async fn by_russh(key: PrivateKey, port: u16, command: &str, typed: &[&str]) -> Outputs {
    within(LIMIT, "both sessions", async {
        let config = Arc::new(client::Config::default());
        let mut ssh = client::connect(config, ("127.0.0.1", port), AnyHost)
            .await
            .unwrap();
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
        assert!(
            ssh.authenticate_publickey(USER, key)
                .await
                .unwrap()
                .success()
        );
        let command = read(&ssh, Some(command), "").await;
        let shell = read(&ssh, None, &format!("{}\n", typed.join("\n"))).await;
        Outputs { command, shell }
    })
    .await
}

/// Opens a session for `command`, or a shell that `input` is typed into, and reads its output.
async fn read(ssh: &Handle<AnyHost>, command: Option<&str>, input: &str) -> String {
    let mut channel = ssh.channel_open_session().await.unwrap();
    match command {
        Some(command) => channel.exec(true, command).await.unwrap(),
        None => {
            channel.request_shell(true).await.unwrap();
            channel.data(input.as_bytes()).await.unwrap();
        }
    }
    let mut output = Vec::new();
    while let Some(message) = channel.wait().await {
        if let ChannelMsg::Data { data } = message {
            output.extend_from_slice(&data);
        }
    }
    String::from_utf8_lossy(&output).into_owned()
}

/// The host key was made a moment ago by this very process.
struct AnyHost;

impl client::Handler for AnyHost {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(true)
    }
}
