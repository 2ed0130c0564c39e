//! What does the ssh client do? russh calls this for each of its messages; what matters is told to
//! [`client`](super::client). A client that does what has no place here is told so, and costs nothing more.

use std::collections::HashMap;
use std::path::PathBuf;

use frp_log::{Log, debug};
use russh::keys::{Algorithm, PublicKey};
use russh::server::{
    Auth, ChannelOpenHandle, Handler as Callbacks, Msg, PublicKeyOffer, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, ChannelWriteHalf, Error, Pty, Sig};
use tokio::sync::mpsc;

use super::authorized::user_of;
use super::channel::Inboxes;
use crate::limits::{MAX_SSH_COMMAND, MAX_SSH_TUNNELS};

/// What the client has done.
pub(super) enum Event {
    /// It has logged in; as whom, where a key says so.
    LoggedIn(Option<String>),
    /// It wants what comes to a port of ours, which it calls so.
    Forward(Forward),
    /// It does not want that any more.
    Cancel(Forward),
    /// It runs a command.
    Command(Terminal, Vec<u8>),
    /// It runs a shell, or whatever else is not there.
    NoCommand(Terminal),
    /// It has closed the channel of a command.
    Closed(ChannelId),
    /// It has interrupted a command.
    Interrupted(ChannelId),
}

/// A port that the client forwards, as it calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Forward {
    pub(super) address: String,
    pub(super) port: u32,
}

/// Where the user of the client reads.
pub(super) struct Terminal {
    pub(super) channel: ChannelWriteHalf<Msg>,
    /// Lines end as on a terminal.
    pub(super) pty: bool,
}

/// See the module.
pub(super) struct Handler {
    log: Log,
    /// The keys that may log in.
    keys: Option<PathBuf>,
    user: Option<String>,
    events: mpsc::Sender<Event>,
    inboxes: Inboxes,
    /// Those that no command runs on yet.
    terminals: HashMap<ChannelId, Terminal>,
    /// Of all of them, whether it is a terminal.
    sessions: HashMap<ChannelId, bool>,
    forwards: Vec<Forward>,
}

impl Handler {
    pub(super) fn new(
        log: Log,
        keys: Option<PathBuf>,
        events: mpsc::Sender<Event>,
        inboxes: Inboxes,
    ) -> Self {
        Self {
            log,
            keys,
            user: None,
            events,
            inboxes,
            terminals: HashMap::new(),
            sessions: HashMap::new(),
            forwards: Vec::new(),
        }
    }

    /// Whoever listens takes at once what it is told.
    async fn tell(&self, event: Event) -> Result<(), Error> {
        let told = self.events.send(event).await;
        told.map_err(|_| Error::Disconnect)
    }

    async fn user_of(&self, key: &PublicKey) -> Option<String> {
        match &self.keys {
            Some(file) => user_of(file, key, &self.log).await,
            None => None,
        }
    }

    /// A port number for a client that leaves it to us: one that it has not.
    fn free_port(&self) -> u32 {
        let taken = |port: &u32| self.forwards.iter().any(|forward| forward.port == *port);
        (1..).find(|port| !taken(port)).unwrap_or(0)
    }

    async fn interrupt(&self, channel: ChannelId) -> Result<(), Error> {
        self.tell(Event::Interrupted(channel)).await
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        self.inboxes.lost();
    }
}

impl Callbacks for Handler {
    type Error = Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, Error> {
        Ok(match self.keys {
            None => Auth::Accept,
            Some(_) => Auth::reject(),
        })
    }

    async fn auth_publickey_offered(
        &mut self,
        _: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Error> {
        // With SHA-1, which nobody should trust any more.
        if matches!(offer.algorithm, Algorithm::Rsa { hash: None }) {
            return Ok(Auth::reject());
        }
        Ok(match self.user_of(offer.public_key).await {
            Some(_) => Auth::Accept,
            None => Auth::reject(),
        })
    }

    async fn auth_publickey(&mut self, _: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Error> {
        self.user = self.user_of(key.public_key).await;
        Ok(match self.user {
            Some(_) => Auth::Accept,
            None => Auth::reject(),
        })
    }

    async fn auth_succeeded(&mut self, _: &mut Session) -> Result<(), Error> {
        self.tell(Event::LoggedIn(self.user.clone())).await
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        if self.sessions.len() >= MAX_SSH_TUNNELS {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        // What comes on it is told by the calls below.
        let (_, channel) = channel.split();
        let id = channel.id();
        self.sessions.insert(id, false);
        let terminal = Terminal {
            channel,
            pty: false,
        };
        self.terminals.insert(id, terminal);
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_confirmation(
        &mut self,
        id: ChannelId,
        _: u32,
        _: u32,
        _: &mut Session,
    ) -> Result<(), Error> {
        self.inboxes.open(id);
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Error> {
        self.inboxes.closed(id);
        self.terminals.remove(&id);
        match self.sessions.remove(&id) {
            Some(_) => self.tell(Event::Closed(id)).await,
            None => Ok(()),
        }
    }

    async fn channel_eof(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Error> {
        self.inboxes.eof(id);
        Ok(())
    }

    async fn data(&mut self, id: ChannelId, data: &[u8], _: &mut Session) -> Result<(), Error> {
        const INTERRUPT: u8 = 3;
        const END: u8 = 4;
        match self.sessions.get(&id) {
            Some(true) if data.iter().any(|byte| [INTERRUPT, END].contains(byte)) => {
                self.interrupt(id).await
            }
            Some(_) => Ok(()),
            None => {
                self.inboxes.push(id, data);
                Ok(())
            }
        }
    }

    async fn signal(&mut self, id: ChannelId, signal: Sig, _: &mut Session) -> Result<(), Error> {
        match signal {
            Sig::INT | Sig::TERM | Sig::HUP | Sig::KILL | Sig::QUIT => self.interrupt(id).await,
            _ => Ok(()),
        }
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Error> {
        if let Some(terminal) = self.terminals.get_mut(&id) {
            terminal.pty = true;
            self.sessions.insert(id, true);
        }
        session.channel_success(id)
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Error> {
        if command.len() > MAX_SSH_COMMAND {
            debug!(self.log, "a command of {} bytes", command.len());
            return session.channel_failure(id);
        }
        let Some(terminal) = self.terminals.remove(&id) else {
            return session.channel_failure(id);
        };
        session.channel_success(id)?;
        let is_empty = command.iter().all(u8::is_ascii_whitespace);
        self.tell(match is_empty {
            true => Event::NoCommand(terminal),
            false => Event::Command(terminal, command.to_vec()),
        })
        .await
    }

    async fn shell_request(&mut self, id: ChannelId, session: &mut Session) -> Result<(), Error> {
        let Some(terminal) = self.terminals.remove(&id) else {
            return session.channel_failure(id);
        };
        session.channel_success(id)?;
        self.tell(Event::NoCommand(terminal)).await
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        _: &str,
        _: &str,
        session: &mut Session,
    ) -> Result<(), Error> {
        session.channel_failure(id)
    }

    async fn x11_request(
        &mut self,
        id: ChannelId,
        _: bool,
        _: &str,
        _: &str,
        _: u32,
        session: &mut Session,
    ) -> Result<(), Error> {
        session.channel_failure(id)
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        _: &str,
        session: &mut Session,
    ) -> Result<(), Error> {
        session.channel_failure(id)
    }

    async fn window_change_request(
        &mut self,
        id: ChannelId,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        session: &mut Session,
    ) -> Result<(), Error> {
        session.channel_success(id)
    }

    async fn tcpip_forward(
        &mut self,
        address: &str,
        port: &mut u32,
        _: &mut Session,
    ) -> Result<bool, Error> {
        if self.forwards.len() >= MAX_SSH_TUNNELS {
            return Ok(false);
        }
        if *port == 0 {
            *port = self.free_port();
        }
        let forward = Forward {
            address: address.to_owned(),
            port: *port,
        };
        if self.forwards.contains(&forward) {
            return Ok(false);
        }
        self.forwards.push(forward.clone());
        self.tell(Event::Forward(forward)).await?;
        Ok(true)
    }

    async fn cancel_tcpip_forward(
        &mut self,
        address: &str,
        port: u32,
        _: &mut Session,
    ) -> Result<bool, Error> {
        let cancelled = Forward {
            address: address.to_owned(),
            port,
        };
        let Some(at) = self.forwards.iter().position(|known| *known == cancelled) else {
            return Ok(false);
        };
        self.forwards.remove(at);
        self.tell(Event::Cancel(cancelled)).await?;
        Ok(true)
    }
}
