//! The ssh clients of the distribution, as users of the SSH gateway: OpenSSH, PuTTY's plink and dropbear's dbclient.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::openssh::find;
use crate::program::Program;

/// A program that knows `-R`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SshClient {
    /// OpenSSH's ssh.
    OpenSsh,
    /// PuTTY's plink.
    Plink,
    /// dropbear's dbclient.
    Dbclient,
}

/// All three.
pub const SSH_CLIENTS: [SshClient; 3] = [SshClient::OpenSsh, SshClient::Plink, SshClient::Dbclient];

/// A gateway on 127.0.0.1, and the directory of whoever comes to it.
#[derive(Debug)]
pub struct SshGateway<'a> {
    /// `sshTunnelGateway.bindPort`
    pub port: u16,
    /// Where its frps runs, with its host key in `.autogen_ssh_key`.
    pub directory: &'a Path,
    /// Shown by OpenSSH.
    pub key: Option<PathBuf>,
}

impl SshGateway<'_> {
    /// Runs `command` by `client` with the port `forward` of 127.0.0.1 behind the forwarded port 80.
    #[must_use]
    pub fn run(&self, client: SshClient, forward: u16, command: &str) -> Program {
        let forwards = ["-R".to_owned(), format!("80:127.0.0.1:{forward}")];
        self.run_with(client, forwards, command)
    }

    /// The same with options of the caller's in the place of `-R`, and no command if it is empty.
    #[must_use]
    pub fn run_with(
        &self,
        client: SshClient,
        options: impl IntoIterator<Item = String>,
        command: &str,
    ) -> Program {
        let port = self.port.to_string();
        let (name, own): (_, Vec<OsString>) = match client {
            SshClient::OpenSsh => ("ssh", self.of_openssh()),
            SshClient::Plink => {
                let words = [
                    "-ssh",
                    "-batch",
                    "-P",
                    &port,
                    "-hostkey",
                    &self.fingerprint(),
                ];
                ("plink", words.map(OsString::from).into())
            }
            SshClient::Dbclient => (
                "dbclient",
                ["-y", "-y", "-p", &port].map(OsString::from).into(),
            ),
        };
        let mut args = own;
        args.extend(options.into_iter().map(OsString::from));
        args.push("v0@127.0.0.1".into());
        args.extend((!command.is_empty()).then(|| OsString::from(command)));
        // Nothing of the user's who runs the tests.
        let home = self.directory.display().to_string();
        Program::spawn_with(&find(name), args, self.directory, &[("HOME", &home)])
    }

    fn of_openssh(&self) -> Vec<OsString> {
        let mut args = vec![
            "-F".into(),
            "/dev/null".into(),
            "-p".into(),
            self.port.to_string().into(),
        ];
        for option in [
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
        ] {
            args.extend(["-o".into(), option.into()]);
        }
        match &self.key {
            Some(key) => args.extend(["-i".into(), key.into()]),
            None => args.extend(["-o".into(), "IdentityFile=none".into()]),
        }
        args
    }

    /// Of the host key, as clients show it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.directory.join(".autogen_ssh_key"))
    }
}

/// The fingerprint of a key, as OpenSSH tells it.
#[must_use]
pub fn fingerprint(key: &Path) -> String {
    let mut keygen = std::process::Command::new(find("ssh-keygen"));
    let output = keygen.arg("-l").arg("-f").arg(key).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let fingerprint = text.split(' ').nth(1);
    fingerprint
        .unwrap_or_else(|| panic!("{}: {text}", key.display()))
        .to_owned()
}

/// Makes a key with `comment`; `options` are those of ssh-keygen.
pub fn make_key(file: &Path, comment: &str, options: &[&str]) {
    let mut keygen = std::process::Command::new(find("ssh-keygen"));
    keygen.args(["-q", "-N", "", "-C", comment]).args(options);
    let status = keygen.arg("-f").arg(file).status().unwrap();
    assert!(status.success(), "ssh-keygen: {status}");
}
