//! One connection of an ssh client, from its handshake to its end: which of its commands is about which of the ports
//! that it forwards?
//!
//! The first command is about the first port, the second about the second: OpenSSH with a shared connection has
//! several. Where there are fewer ports, a command has the first one. frp knows one command and one port.
//!
//! As in frp, the tunnel of the first command lives as long as the connection, though its channel be closed: there are
//! programs that do so at once. The others end with their channels, each of which is a program of its own.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use frp_log::{Log, debug, shown_error, trace};
use frp_net::limits::{END_KEEPALIVE, HANDSHAKE_WAIT, REFUSAL};
use frp_net::listen::tune;
use frp_net::or_never::or_never;
use frp_net::strangers::Turn;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use russh::server::{Handle, RunningSession, run_stream};
use russh::{ChannelId, Disconnect};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::Configs;
use super::channel::Inboxes;
use super::guarded::{Guard, guard};
use super::handler::{Event, Forward, Handler, Terminal};
use super::tunnel::{self, Tunnel};
use crate::limits::{FAREWELL, SSH_LOGIN, SSH_REQUEST};
use crate::shared::Shared;

/// Events that the client has caused and nobody has taken.
const EVENTS: usize = 16;

/// What a user reads who has not said what to do.
const USAGE: &str = "frps wants a command that says what to publish, and a port that is forwarded to the service:\n\
    \n  ssh -R :80:127.0.0.1:8080 -p PORT v0@HOST tcp --remote_port 9090\n\
    \nTypes are tcp, http, https, tcpmux and stcp; `tcp --help` shows the flags of one.";

/// Why a connection has ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("made room for newer connections")]
    Evicted,
    #[error("no SSH identification within {} s", HANDSHAKE_WAIT.as_secs())]
    Silent,
    #[error("not logged in within {} s", SSH_LOGIN.as_secs())]
    LoginTimeout,
    #[error("get addr and extra payload timeout")]
    NoRequest,
    #[error("ssh: {0}")]
    Ssh(#[from] russh::Error),
    #[error("closed by the client")]
    Closed,
    #[error("no tunnel is left")]
    Done,
    #[error("the server stops")]
    Stopped,
}

/// Serves a connection until it ends.
pub(super) async fn serve(
    shared: Arc<Shared>,
    configs: Configs,
    turn: Turn,
    conn: TcpStream,
    peer: SocketAddr,
) {
    let log = Log::root().by(peer.ip());
    tune(&conn, Some(END_KEEPALIVE));
    let keys = shared.policy().ssh_keys.clone();
    let config = match keys {
        Some(_) => configs.keyed,
        None => configs.open,
    };
    let (socket, guard) = guard(conn);
    let (events, happens) = mpsc::channel(EVENTS);
    let inboxes = Inboxes::default();
    let handler = Handler::new(log.clone(), keys, events, inboxes.clone());
    let since = Instant::now();
    let started = tokio::select! {
        started = timeout(HANDSHAKE_WAIT, run_stream(config, socket, handler)) => match started {
            Ok(started) => started.map_err(End::Ssh),
            Err(_) => Err(End::Silent),
        },
        () = turn.evicted() => Err(End::Evicted),
        () = shared.stop.cancelled() => return,
    };
    let end = match started {
        Ok(running) => {
            let tunnels = tunnel::Shared {
                server: shared,
                peer,
                client: running.handle(),
                inboxes,
                admitted: Arc::new(Notify::new()),
                log: log.clone(),
            };
            let client = Client {
                running,
                guard,
                turn: Some(turn),
                tunnels: Arc::new(tunnels),
                happens,
                user: None,
                forwards: Vec::new(),
                commands: 0,
                waiting: Vec::new(),
                open: Vec::new(),
                ending: FuturesUnordered::new(),
                login_by: Some(since + SSH_LOGIN),
                request_by: None,
            };
            Box::pin(client.run()).await
        }
        Err(end) => end,
    };
    match end {
        End::Closed | End::Done | End::Stopped => {
            trace!(log, "ssh tunnel connection from {peer} closed: {end}")
        }
        end => debug!(
            log,
            "ssh tunnel server run error: [{peer}] {}",
            shown_error(&end.to_string())
        ),
    }
}

/// See the module.
struct Client {
    running: RunningSession<Handler>,
    guard: Guard,
    /// As long as none of its tunnels has logged in.
    turn: Option<Turn>,
    tunnels: Arc<tunnel::Shared>,
    happens: mpsc::Receiver<Event>,
    /// As whom it has logged in, where a key says so.
    user: Option<String>,
    forwards: Vec<(Forward, CancellationToken)>,
    /// How many there have been.
    commands: usize,
    /// Those that wait for their port, and how long.
    waiting: Vec<Waiting>,
    open: Vec<Open>,
    ending: FuturesUnordered<Pin<Box<dyn Future<Output = ChannelId> + Send>>>,
    login_by: Option<Instant>,
    request_by: Option<Instant>,
}

/// A tunnel, or a user who is told why there is none.
struct Open {
    channel: ChannelId,
    end: CancellationToken,
    outlives_channel: bool,
}

/// A command whose port is not there yet.
struct Waiting {
    /// Which port it is about.
    number: usize,
    terminal: Terminal,
    command: Vec<u8>,
    until: Instant,
}

impl Client {
    async fn run(mut self) -> End {
        let end = self.serve().await;
        for open in &self.open {
            open.end.cancel();
        }
        let patience = match end {
            End::Done | End::NoRequest => REFUSAL,
            End::Stopped => {
                disconnect(self.tunnels.client.clone(), "frps is stopping").await;
                FAREWELL
            }
            _ => return end,
        };
        // The client goes by itself once it has read what there is.
        let _ = timeout(patience, &mut self.running).await;
        self.guard.cut();
        end
    }

    async fn serve(&mut self) -> End {
        let server = self.tunnels.server.clone();
        let admitted = self.tunnels.admitted.clone();
        loop {
            let waits_until = self.waiting.iter().map(|waiting| waiting.until).min();
            let deadline = [self.login_by, self.request_by, waits_until];
            let deadline = deadline.into_iter().flatten().min();
            tokio::select! {
                ended = &mut self.running => return match ended {
                    Ok(()) => End::Closed,
                    Err(e) => e.into(),
                },
                Some(event) = self.happens.recv() => self.on_event(event),
                Some(ended) = self.ending.next(), if !self.ending.is_empty() => {
                    self.open.retain(|open| open.channel != ended);
                    if self.open.is_empty() && self.waiting.is_empty() {
                        return End::Done;
                    }
                }
                () = admitted.notified() => {
                    self.guard.admit();
                    if let Some(turn) = self.turn.take() {
                        turn.admit();
                    }
                }
                () = or_never(self.turn.as_ref().map(Turn::evicted)) => return End::Evicted,
                () = or_never(deadline.map(sleep_until)) => {
                    if let Some(end) = self.on_deadline().await {
                        return end;
                    }
                }
                () = server.stop.cancelled() => return End::Stopped,
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::LoggedIn(user) => {
                self.user = user;
                self.login_by = None;
                self.request_by = Some(Instant::now() + SSH_REQUEST);
            }
            Event::Forward(forward) => {
                self.forwards.push((forward, CancellationToken::new()));
                self.pair();
            }
            Event::Cancel(cancelled) => {
                self.forwards.retain(|(forward, end)| {
                    let stays = *forward != cancelled;
                    if !stays {
                        end.cancel();
                    }
                    stays
                });
            }
            Event::Command(terminal, command) => {
                self.request_by = None;
                self.waiting.push(Waiting {
                    number: self.commands,
                    terminal,
                    command,
                    until: Instant::now() + SSH_REQUEST,
                });
                self.commands += 1;
                self.pair();
            }
            Event::NoCommand(terminal) => {
                self.request_by = None;
                self.refuse(terminal, USAGE.to_owned());
            }
            Event::Closed(channel) => {
                let stays = |waiting: &Waiting| {
                    waiting.number == 0 || waiting.terminal.channel.id() != channel
                };
                self.waiting.retain(stays);
                self.end_of(channel, |open| !open.outlives_channel);
            }
            Event::Interrupted(channel) => self.end_of(channel, |_| true),
        }
    }

    fn end_of(&self, channel: ChannelId, which: impl Fn(&Open) -> bool) {
        let ending = self
            .open
            .iter()
            .filter(|open| open.channel == channel && which(open));
        ending.for_each(|open| open.end.cancel());
    }

    /// Starts the commands whose port is there.
    fn pair(&mut self) {
        let forwards = self.forwards.len();
        let ready = self
            .waiting
            .extract_if(.., |waiting| waiting.number < forwards);
        for waiting in ready.collect::<Vec<_>>() {
            let forward = self.forwards.get(waiting.number).cloned();
            if let Some(forward) = forward {
                self.start(waiting, forward);
            }
        }
    }

    /// Something took too long.
    async fn on_deadline(&mut self) -> Option<End> {
        let now = Instant::now();
        let over = |by: Option<Instant>| by.is_some_and(|by| by <= now);
        if over(self.login_by) {
            return Some(End::LoginTimeout);
        }
        if over(self.request_by) {
            disconnect(self.tunnels.client.clone(), USAGE).await;
            return Some(End::NoRequest);
        }
        let late = self.waiting.extract_if(.., |waiting| waiting.until <= now);
        for waiting in late.collect::<Vec<_>>() {
            match self.forwards.first().cloned() {
                Some(forward) => self.start(waiting, forward),
                None => {
                    let why = "no port is forwarded to a service: add -R :80:127.0.0.1:8080, or where your service is";
                    self.refuse(waiting.terminal, why.to_owned());
                }
            }
        }
        None
    }

    fn start(&mut self, waiting: Waiting, (forward, end): (Forward, CancellationToken)) {
        let Waiting {
            number,
            terminal,
            command,
            ..
        } = waiting;
        let end = end.child_token();
        let channel = terminal.channel.id();
        self.open.push(Open {
            channel,
            end: end.clone(),
            outlives_channel: number == 0,
        });
        let tunnel = Tunnel {
            shared: self.tunnels.clone(),
            forward,
            user: self.user.clone(),
            end,
        };
        self.ending.push(Box::pin(async move {
            tunnel.run(terminal, command).await;
            channel
        }));
    }

    /// Tells a user why there is nothing to do.
    fn refuse(&mut self, terminal: Terminal, why: String) {
        let channel = terminal.channel.id();
        self.open.push(Open {
            channel,
            end: CancellationToken::new(),
            outlives_channel: true,
        });
        let client = self.tunnels.client.clone();
        self.ending.push(Box::pin(async move {
            tunnel::last_words(&client, &terminal, &why).await;
            channel
        }));
    }
}

async fn disconnect(client: Handle, why: &str) {
    let saying = client.disconnect(Disconnect::ByApplication, why.to_owned(), String::new());
    let _ = timeout(FAREWELL, saying).await;
}
