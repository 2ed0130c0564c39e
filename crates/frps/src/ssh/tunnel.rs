//! A client of frps that stands for an ssh client: it logs in, registers one proxy, and takes its users to the
//! service of the ssh client (frp `pkg/ssh/server.go`, `pkg/virtual`).
//!
//! It ends with its session, with the channel of its command, or with the connection of the ssh client, and gives
//! everything back at once. frp's logs in again when its session has ended, which an administrator who has ended it
//! does not expect, and holds its names for as long as the system takes to notice a client that is gone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use frp_config::cli::{SshCommand, SshCommandError, ssh_command};
use frp_log::{Log, debug, shown_error, shown_name, trace, warn};
use frp_net::carrier::{Carrier, OpenError};
use frp_net::limits::REFUSAL;
use frp_net::stream::Stream;
use frp_process::host;
use frp_proto::auth::token_key;
use frp_proto::msg::{
    ClientSpec, Login, Message, NewProxy, NewProxyResp, NewWorkConn, Ping, StartWorkConn,
};
use frp_proto::wire::WireProtocol;
use frp_proto::{VERSION, features, naming};
use frp_relay::layers::Carried;
use frp_relay::limits::MESSAGE_WRITE;
use frp_relay::msg_stream::{MsgStream, RecvError, SendError};
use frp_relay::relay::{Traffic, serve};
use russh::Sig;
use russh::server::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::channel::{Inboxes, Pipe};
use super::handler::{Forward, Terminal};
use crate::inside::Inside;
use crate::limits::{MAX_SSH_OPENING, MAX_SSH_WAITING, SSH_ANSWER, SSH_OPEN};
use crate::random::random_bytes;
use crate::shared::Shared as Server;

/// What the tunnels of one ssh connection share.
pub(super) struct Shared {
    pub(super) server: Arc<Server>,
    pub(super) peer: SocketAddr,
    pub(super) client: Handle,
    pub(super) inboxes: Inboxes,
    /// Told when a tunnel has logged in.
    pub(super) admitted: Arc<Notify>,
    pub(super) log: Log,
}

/// One tunnel, before it is run.
pub(super) struct Tunnel {
    pub(super) shared: Arc<Shared>,
    pub(super) forward: Forward,
    /// As whom the ssh client has logged in, where a key says so: no token is asked for then.
    pub(super) user: Option<String>,
    pub(super) end: CancellationToken,
}

/// Why there is no tunnel, or no longer one: what the user of the ssh client reads.
#[derive(Debug, thiserror::Error)]
enum TunnelError {
    #[error("the command is not in UTF-8")]
    NoText,
    #[error("{0}")]
    Command(#[from] SshCommandError),
    #[error(
        "to be user [{0}] takes a key whose comment in sshTunnelGateway.authorizedKeysFile is that"
    )]
    NotOwnUser(String),
    #[error(
        "login to the server failed: {0}. With loginFailExit enabled, no additional retries will be attempted"
    )]
    Login(String),
    #[error("{0}")]
    Refused(String),
    #[error("wait proxy status ready timeout")]
    NotReady,
    #[error("frps has ended the session: {0}")]
    Ended(String),
}

impl From<OpenError> for TunnelError {
    fn from(e: OpenError) -> Self {
        Self::Ended(e.to_string())
    }
}

impl From<SendError> for TunnelError {
    fn from(e: SendError) -> Self {
        Self::Ended(e.to_string())
    }
}

impl From<RecvError> for TunnelError {
    fn from(e: RecvError) -> Self {
        Self::Ended(e.to_string())
    }
}

type Conn = MsgStream<Stream>;

/// Writes what the user is to read, closes the channel, and returns once the client has been told. That it is a
/// failure is told as the end by a signal: OpenSSH ends with 255 then, as with frp, and plink not with 0.
pub(super) async fn last_words(client: &Handle, terminal: &Terminal, text: &str) {
    let id = terminal.channel.id();
    let speaking = async {
        terminal.say(&format!("{text}\n")).await?;
        let no = String::new;
        let _ = client
            .exit_signal_request(id, Sig::TERM, false, no(), no())
            .await;
        terminal.channel.eof().await?;
        terminal.channel.close().await
    };
    let _ = timeout(REFUSAL, speaking).await;
}

impl Terminal {
    async fn say(&self, text: &str) -> Result<(), russh::Error> {
        let text = match self.pty {
            true => text.replace('\n', "\r\n"),
            false => text.to_owned(),
        };
        self.channel.data_bytes(text).await
    }
}

impl Tunnel {
    /// Runs the tunnel to its end.
    pub(super) async fn run(self, terminal: Terminal, command: Vec<u8>) {
        let end = self.end.clone();
        let _ended = end.clone().drop_guard();
        let ended = tokio::select! {
            biased;
            () = end.cancelled() => None,
            Err(e) = self.serve(&terminal, command) => Some(e),
        };
        let text = match ended {
            None => String::new(),
            Some(TunnelError::Command(e @ SshCommandError::Help(_))) => e.to_string(),
            Some(e) => {
                let text = e.to_string();
                let log = &self.shared.log;
                warn!(
                    log,
                    "ssh tunnel of [{}]: {}",
                    self.shared.peer,
                    shown_error(&text)
                );
                text
            }
        };
        last_words(&self.shared.client, &terminal, &text).await;
    }

    /// Never without an error.
    async fn serve(&self, terminal: &Terminal, command: Vec<u8>) -> Result<(), TunnelError> {
        let text = String::from_utf8(command).map_err(|_| TunnelError::NoText)?;
        let mut command = ssh_command(&text)?;
        if let Some(user) = self.user.as_ref().filter(|user| !user.is_empty()) {
            command.user.clone_from(user);
        }
        // A key without a comment is nobody's in particular.
        let policy = self.shared.server.policy();
        if self.user.as_deref() == Some("") && policy.auth.is_somebodys(&command.user) {
            return Err(TunnelError::NotOwnUser(command.user));
        }
        drop(policy);
        if command.proxy.proxy_name.is_empty() {
            let id = u32::from_be_bytes(random_bytes());
            command.proxy.proxy_name = format!("sshtunnel-{}-{id:08x}", command.proxy.proxy_type);
        }
        let SshCommand {
            user,
            client_id,
            token,
            proxy,
        } = command;
        let credentials = |timestamp| match self.user {
            Some(_) => String::new(),
            None => token_key(token.expose(), timestamp),
        };
        let carrier = Inside::of(&self.shared.server).attach(self.shared.peer);
        let login = Login {
            version: VERSION.to_owned(),
            hostname: host::name(),
            os: host::go_os().to_owned(),
            arch: host::go_arch().to_owned(),
            user: user.clone(),
            client_id,
            client_spec: ClientSpec {
                r#type: "ssh-tunnel".to_owned(),
                always_auth_pass: self.user.is_some(),
            },
            pool_count: 1,
            features: features::ours(),
            ..Login::default()
        };
        let logging_in = log_in(&carrier, login, &credentials);
        let logged_in = timeout(SSH_ANSWER, logging_in).await;
        let late = || TunnelError::Login("i/o timeout".to_owned());
        let (mut control, run_id) = logged_in.unwrap_or_else(|_| Err(late()))?;
        self.shared.admitted.notify_one();
        let works = Arc::new(Works {
            shared: self.shared.clone(),
            forward: self.forward.clone(),
            carrier,
            end: self.end.clone(),
            waiting: Arc::new(Semaphore::new(MAX_SSH_WAITING)),
            opening: Arc::new(Semaphore::new(MAX_SSH_OPENING)),
        });
        let hello = || {
            let timestamp = jiff::Timestamp::now().as_second();
            NewWorkConn {
                run_id: run_id.clone(),
                privilege_key: credentials(timestamp),
                timestamp,
                ..NewWorkConn::default()
            }
        };
        let (name, kind) = (proxy.proxy_name.clone(), proxy.proxy_type.clone());
        let registering = async {
            say(
                &mut control,
                NewProxy {
                    proxy_name: naming::wire_name(&user, &name),
                    ..proxy
                },
            )
            .await?;
            loop {
                match control.recv().await? {
                    Message::NewProxyResp(answer) => return Ok::<_, TunnelError>(answer),
                    Message::ReqWorkConn(_) => works.open_one(hello()),
                    _ => {}
                }
            }
        };
        let registered = timeout(SSH_ANSWER, registering).await;
        let NewProxyResp {
            remote_addr, error, ..
        } = registered.map_err(|_| TunnelError::NotReady)??;
        if !error.is_empty() {
            return Err(TunnelError::Refused(error));
        }
        let success = format!(
            "\nfrp (via SSH) (Ctrl+C to quit)\n\nUser: {user}\nProxyName: {name}\nType: {kind}\n\
             RemoteAddress: {remote_addr}\n\n"
        );
        // A client that does not read it is served all the same.
        let _ = timeout(REFUSAL, terminal.say(&success)).await;

        let ping_every = self
            .shared
            .server
            .policy()
            .heartbeat_timeout
            .map(|most| most / 3);
        let mut ping_at = ping_every.map(|every| Instant::now() + every);
        loop {
            tokio::select! {
                received = control.recv() => match received? {
                    Message::ReqWorkConn(_) => works.open_one(hello()),
                    Message::Pong(pong) if !pong.error.is_empty() => {
                        return Err(TunnelError::Ended(pong.error));
                    }
                    _ => {}
                },
                () = sleep_until(ping_at.unwrap_or_else(Instant::now)), if ping_at.is_some() => {
                    let timestamp = jiff::Timestamp::now().as_second();
                    let privilege_key = credentials(timestamp);
                    say(&mut control, Ping { privilege_key, timestamp }).await?;
                    ping_at = ping_every.map(|every| Instant::now() + every.max(Duration::from_secs(1)));
                }
            }
        }
    }
}

async fn log_in(
    carrier: &Carrier,
    mut login: Login,
    credentials: &impl Fn(i64) -> String,
) -> Result<(Conn, String), TunnelError> {
    login.timestamp = jiff::Timestamp::now().as_second();
    login.privilege_key = credentials(login.timestamp);
    let mut control = open(carrier).await?;
    say(&mut control, login).await?;
    match control.recv().await? {
        Message::LoginResp(answer) if answer.error.is_empty() => Ok((control, answer.run_id)),
        Message::LoginResp(answer) => Err(TunnelError::Login(answer.error)),
        other => Err(TunnelError::Login(format!("unexpected {}", other.name()))),
    }
}

async fn open(carrier: &Carrier) -> Result<Conn, OpenError> {
    let stream = carrier.open().await?;
    Ok(MsgStream::new(stream, WireProtocol::V1, BytesMut::new()))
}

async fn say(conn: &mut Conn, message: impl Into<Message>) -> Result<(), SendError> {
    conn.queue(&message.into())?;
    conn.flush_within(MESSAGE_WRITE).await
}

/// The work connections of a tunnel.
struct Works {
    shared: Arc<Shared>,
    forward: Forward,
    carrier: Carrier,
    end: CancellationToken,
    waiting: Arc<Semaphore>,
    opening: Arc<Semaphore>,
}

/// The session ends with its connection.
impl Drop for Works {
    fn drop(&mut self) {
        self.carrier.close();
    }
}

/// Why a user did not reach the service.
#[derive(Debug, thiserror::Error)]
enum WorkError {
    #[error("{0}")]
    Open(#[from] OpenError),
    #[error("{0}")]
    Send(#[from] SendError),
    #[error("{0}")]
    Recv(#[from] RecvError),
    #[error("StartWorkConn contains error: {0}")]
    Refused(String),
    #[error("{0} instead of StartWorkConn")]
    Unexpected(&'static str),
    #[error("the ssh client cannot reach its service: {0}")]
    Service(russh::Error),
    #[error("the ssh client has not reached its service within {} s", SSH_OPEN.as_secs())]
    Slow,
    #[error("{MAX_SSH_OPENING} users wait for the ssh client to reach its service")]
    Crowded,
}

impl Works {
    /// Opens a work connection in a task of its own.
    fn open_one(self: &Arc<Self>, hello: NewWorkConn) {
        let Ok(place) = self.waiting.clone().try_acquire_owned() else {
            return;
        };
        let works = self.clone();
        let end = self.end.clone();
        self.shared.server.tasks.spawn(async move {
            tokio::select! {
                () = works.run(hello, place) => {}
                () = end.cancelled() => {}
            }
        });
    }

    async fn run(&self, hello: NewWorkConn, place: OwnedSemaphorePermit) {
        let opened = Box::pin(self.open(hello, place)).await;
        let log = &self.shared.log;
        match opened {
            Ok((pipe, far)) => {
                let traffic = Traffic::default();
                let relayed = serve(Carried::Layered(Box::new(pipe)), far, &traffic).await;
                if let Err(e) = relayed.end {
                    debug!(log, "user of an ssh tunnel: {e}");
                }
            }
            Err(WorkError::Open(e)) => trace!(log, "work connection: {e}"),
            Err(WorkError::Recv(e)) => trace!(log, "work connection: {e}"),
            Err(e) => warn!(log, "ssh tunnel of [{}]: {e}", self.shared.peer),
        }
    }

    /// Waits for a user, and for the ssh client to reach its service.
    async fn open(
        &self,
        hello: NewWorkConn,
        place: OwnedSemaphorePermit,
    ) -> Result<(Pipe, Carried), WorkError> {
        let mut conn = open(&self.carrier).await?;
        say(&mut conn, hello).await?;
        let start = match conn.recv().await? {
            Message::StartWorkConn(start) if start.error.is_empty() => start,
            Message::StartWorkConn(start) => {
                return Err(WorkError::Refused(shown_error(&start.error).into_owned()));
            }
            other => return Err(WorkError::Unexpected(other.name())),
        };
        drop(place);
        trace!(
            self.shared.log,
            "a user of [{}]",
            shown_name(&start.proxy_name)
        );
        let pipe = self.reach_service(&start).await?;
        let (stream, leftover) = conn.into_parts();
        Ok((pipe, Carried::Plain { stream, leftover }))
    }

    /// A channel to the service. Who does not wait for it any more must not leave it open: the ssh client may agree to
    /// it later.
    async fn reach_service(&self, start: &StartWorkConn) -> Result<Pipe, WorkError> {
        let place = self.opening.clone().try_acquire_owned();
        let place = place.map_err(|_| WorkError::Crowded)?;
        let (forward, shared) = (self.forward.clone(), self.shared.clone());
        let (src, port) = (start.src_addr.clone(), u32::from(start.src_port));
        let (done, opened) = oneshot::channel();
        let tasks = &self.shared.server.tasks;
        tasks.spawn(async move {
            let client = &shared.client;
            let opening =
                client.channel_open_forwarded_tcpip(forward.address, forward.port, src, port);
            let opened = opening.await.map(|channel| {
                let (_, channel) = channel.split();
                let tasks = shared.server.tasks.clone();
                Pipe::new(&channel, client.clone(), shared.inboxes.clone(), tasks)
            });
            drop(place);
            // Where nobody waits, it is closed by being dropped.
            let _ = done.send(opened);
        });
        match timeout(SSH_OPEN, opened).await {
            Ok(Ok(opened)) => opened.map_err(WorkError::Service),
            Ok(Err(_)) => Err(WorkError::Service(russh::Error::Disconnect)),
            Err(_) => Err(WorkError::Slow),
        }
    }
}
