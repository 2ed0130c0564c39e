//! The office box: an SSH server with one user and a shell that knows a few words.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use frp_tests::Service;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::{PrivateKey, PublicKey};
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, Pty};

/// The one user.
pub(crate) const USER: &str = "office";

/// The name that the box gives itself.
pub(crate) const HOST: &str = "office-box";

const PROMPT: &str = "office-box$ ";

/// The running box and what it takes to get in.
pub(crate) struct Office {
    service: Service,
    key: PrivateKey,
    password: String,
}

impl Office {
    /// Starts it on a free port; keys and password are made here and now.
    pub(crate) async fn open() -> Self {
        let key = random_key();
        let password = random_word();
        let config = Arc::new(russh::server::Config {
            keys: vec![random_key()],
            auth_rejection_time_initial: Some(std::time::Duration::ZERO),
            ..Default::default()
        });
        let (admitted, secret) = (key.public_key().clone(), password.clone());
        let service = Service::new(move |stream| {
            let config = Arc::clone(&config);
            let visitor = Visitor {
                key: admitted.clone(),
                password: secret.clone(),
                line: Vec::new(),
                pty: false,
            };
            async move {
                if let Ok(session) = russh::server::run_stream(config, stream, visitor).await {
                    let _ = session.await;
                }
            }
        })
        .await;
        Self {
            service,
            key,
            password,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.service.port
    }

    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    /// The private key that opens the box.
    pub(crate) fn key(&self) -> PrivateKey {
        self.key.clone()
    }

    /// The same key as a file that OpenSSH accepts.
    pub(crate) fn key_file(&self, directory: &Path) -> PathBuf {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let path = directory.join("key");
        let text = self.key.to_openssh(LineEnding::LF).unwrap();
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
        path
    }
}

/// A word that nobody guesses.
pub(crate) fn random_word() -> String {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn random_key() -> PrivateKey {
    let mut seed = [0; 32];
    aws_lc_rs::rand::fill(&mut seed).unwrap();
    PrivateKey::from(Ed25519Keypair::from_seed(&seed))
}

/// One SSH connection.
struct Visitor {
    key: PublicKey,
    password: String,
    line: Vec<u8>,
    pty: bool,
}

impl Visitor {
    /// Answers one line of input; false when the shell should end.
    fn answer(&mut self, channel: ChannelId, session: &mut Session) -> Result<bool, russh::Error> {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
        let end = if self.pty { "\r\n" } else { "\n" };
        if line.trim() == "exit" {
            return Ok(false);
        }
        let text = run(&line).replace('\n', end);
        session.data(channel, format!("{text}{PROMPT}").into_bytes())?;
        Ok(true)
    }
}

/// What the box's few commands print.
fn run(commands: &str) -> String {
    let answer = |command: &str| match command.trim() {
        "" => String::new(),
        "hostname" => format!("{HOST}\n"),
        "whoami" => format!("{USER}\n"),
        "help" => "hostname, whoami, echo TEXT, exit\n".to_owned(),
        other => match other.strip_prefix("echo ") {
            Some(text) => format!("{text}\n"),
            None => format!("{other}: not known here; try help\n"),
        },
    };
    commands.split(';').map(answer).collect()
}

fn close(channel: ChannelId, session: &mut Session) -> Result<(), russh::Error> {
    session.exit_status_request(channel, 0)?;
    session.eof(channel)?;
    session.close(channel)
}

impl Handler for Visitor {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        let known = user == USER && password == self.password;
        Ok(if known { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        let known = user == USER && key.public_key.key_data() == self.key.key_data();
        Ok(if known { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.pty = true;
        session.channel_success(channel)
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)?;
        session.data(channel, run(&String::from_utf8_lossy(command)).into_bytes())?;
        close(channel, session)
    }

    async fn shell_request(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)?;
        session.data(channel, PROMPT.as_bytes())
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        // With a terminal, echo and editing are the shell's work.
        for &byte in data {
            match byte {
                b'\r' | b'\n' => {
                    if self.pty {
                        session.data(channel, b"\r\n".as_slice())?;
                    }
                    if !self.answer(channel, session)? {
                        return close(channel, session);
                    }
                }
                4 if self.line.is_empty() => return close(channel, session),
                8 | 127 => {
                    if self.line.pop().is_some() && self.pty {
                        session.data(channel, b"\x08 \x08".as_slice())?;
                    }
                }
                byte => {
                    self.line.push(byte);
                    if self.pty {
                        session.data(channel, vec![byte])?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn channel_eof(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        close(channel, session)
    }
}
