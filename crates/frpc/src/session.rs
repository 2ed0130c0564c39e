//! Stage 3: a session. One task owns the control connection and the proxies' registrations
//! (frp `client/control.go`).

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::limits::LEAVE;
use frp_config::{ClientConfig, ProxyConfig};
use frp_log::{Log, debug, error, info, shown_error, shown_name, warn};
use frp_net::carrier::Lost;
use frp_net::or_never::or_never;
use frp_proto::crypto::cfb;
use frp_proto::msg::{CloseProxy, Message, NewProxyResp, Ping, Pong};
use frp_proto::naming;
use frp_proto::wire::EncodeError;
use frp_relay::layers::ControlPipe;
use frp_relay::limits::MESSAGE_WRITE;
use frp_relay::msg_stream::{MsgStream, RecvError, SendError};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::asking::Asking;
use crate::auth::CredentialError;
use crate::client::Client;
use crate::connect::ServerLink;
use crate::health::{self, Change};
use crate::login::LoggedIn;
use crate::nathole::{Exchange, Letters};
use crate::plugin::PluginError;
use crate::proxy::Proxy;
use crate::real_ip::TransparentError;
use crate::registration::{Answer, Registration, Registrations};
use crate::sshd::SshdError;
use crate::visitors::Visitors;
use crate::work::WorkConns;

/// Health changes that may wait for the session; a monitor waits when there are more.
const CHANGES: usize = 64;

/// Everything that one login holds.
pub(crate) struct Session {
    client: Arc<Client>,
    control: MsgStream<ControlPipe>,
    /// That of `useEncryption`.
    key: cfb::Key,
    /// What is configured, which the admin API may change.
    settings: watch::Receiver<Arc<ClientConfig>>,
    changes: mpsc::Sender<Change>,
    visitors: Visitors,
    /// What the monitors of local services find out.
    health: mpsc::Receiver<Change>,
    work: WorkConns,
    /// What those who dig holes say to the server, and what it answers them.
    letters: Letters,
    holes: Arc<Exchange>,
    last_pong: Instant,
    /// When the heartbeat was sent that is not answered yet: the first of them.
    asked_at: Option<Instant>,
    /// Over UDP.
    asking: Option<Asking>,
    /// The next heartbeat, while it waits for its credentials.
    signing: Option<Signing>,
    next_ping: Instant,
    /// The server heeds the guards that proxies ask for.
    guards: bool,
    /// It is told what becomes of users, and bans them.
    bans: bool,
    stop: CancellationToken,
    /// Heartbeats in a row that got no credentials.
    unsigned: u32,
    log: Log,
}

type Signing = Pin<Box<dyn Future<Output = Result<Ping, CredentialError>> + Send>>;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionEnd {
    #[error("heartbeat timeout")]
    HeartbeatTimeout,
    #[error("the server refused our heartbeat: {0}")]
    HeartbeatRefused(String),
    #[error("the connection was lost: {0}")]
    Lost(Lost),
    #[error("the server closed the control connection")]
    Closed,
    #[error("read from the server: {0}")]
    Recv(RecvError),
    #[error("write to the server: {0}")]
    Send(#[from] SendError),
    #[error("this program was told to stop")]
    Stopped,
}

/// Why a proxy's registration was not sent.
#[derive(Debug, thiserror::Error)]
enum RegisterError {
    #[error("{0}")]
    Plugin(#[from] PluginError),
    #[error(
        "this frps has no guards, and would let everybody in: remove guard from the proxy, or use frps of frp-rs"
    )]
    NoGuards,
    #[error("{0}")]
    RealIp(#[from] TransparentError),
    #[error("{0}")]
    Sshd(#[from] SshdError),
    #[error("{0}")]
    Encode(#[from] EncodeError),
}

impl Session {
    /// `stop` tells it to leave.
    pub(crate) fn new(
        client: &Arc<Client>,
        logged_in: LoggedIn,
        log: Log,
        stop: CancellationToken,
    ) -> Self {
        let LoggedIn {
            run_id,
            version: _,
            half_closes,
            guards,
            bans,
            control,
            connector,
            why,
            key,
            streams,
        } = logged_in;
        let silent = connector.ends_silently();
        let connector = Arc::new(connector);
        let why = why.unwrap_or_else(|| {
            let protocol = connector.way().protocol.as_str();
            format!("transport.protocol is \"{protocol}\"")
        });
        client.live.connected(&run_id, &connector, &why);
        client.live.sshd.forget();
        let (holes, letters) = Exchange::new();
        let holes = Arc::new(holes);
        let server = ServerLink {
            holes: holes.clone(),
            connector,
            run_id,
            streams,
            half_closes,
        };
        let (changes, health) = mpsc::channel(CHANGES);
        let visitors = Visitors::new(client, server.clone(), &log);
        Self {
            settings: client.settings.subscribe(),
            changes,
            visitors,
            health,
            work: WorkConns::new(client, server, log.clone()),
            letters,
            holes,
            client: client.clone(),
            control,
            guards,
            bans,
            key,
            last_pong: Instant::now(),
            asked_at: None,
            asking: silent.then(|| Asking::new(Instant::now())),
            signing: None,
            next_ping: Instant::now(),
            stop,
            unsigned: 0,
            log,
        }
    }

    /// Serves until something ends the session. Dropping it (the caller does) ends its connection
    /// and the work connections that wait on it.
    pub(crate) async fn run(mut self) -> SessionEnd {
        let end = match self.configure().await {
            Ok(()) => self.serve().await,
            Err(end) => end,
        };
        // Nothing runs until the next login, so nothing is shown or checked either.
        *self.client.registrations() = Registrations::default();
        // The next session listens on the same addresses.
        self.visitors.close().await;
        end
    }

    async fn serve(&mut self) -> SessionEnd {
        loop {
            let transport = &self.client.cfg.transport;
            let silent_until = transport
                .heartbeat_interval
                .and(transport.heartbeat_timeout)
                .map(|limit| self.last_pong + limit);
            let registration_due = self.client.registrations().next_due();
            let ask_at = self.asking.as_ref().and_then(Asking::next);
            let now = Instant::now();
            let served = tokio::select! {
                received = self.control.recv() => match received {
                    Ok(message) => self.on_message(message),
                    Err(e) => return self.end_of_reading(e),
                },
                () = sleep_until(self.next_ping),
                    if transport.heartbeat_interval.is_some() && self.signing.is_none() => {
                    self.begin_ping();
                    Ok(())
                }
                signed = or_never(self.signing.as_mut()) => self.ping(signed).await,
                () = sleep_until(registration_due.unwrap_or(now)), if registration_due.is_some() => {
                    self.register().await
                }
                () = sleep_until(ask_at.unwrap_or(now)), if ask_at.is_some() => {
                    self.ask();
                    Ok(())
                }
                Some(letter) = self.letters.recv() => self.post(&letter).await,
                report = self.client.live.sshd.report(), if self.bans => {
                    self.post(&report.into()).await
                }
                Some(change) = self.health.recv() => self.on_health(&change).await,
                Ok(()) = self.settings.changed() => self.configure().await,
                () = self.stop.cancelled() => {
                    self.leave().await;
                    return SessionEnd::Stopped;
                }
                () = sleep_until(silent_until.unwrap_or(now)), if silent_until.is_some() => {
                    warn!(self.log, "heartbeat timeout");
                    Err(SessionEnd::HeartbeatTimeout)
                }
            };
            if let Err(end) = served {
                return end;
            }
        }
    }

    fn ask(&mut self) {
        self.work.ask_server();
        if let Some(asking) = &mut self.asking {
            asking.asked(Instant::now());
        }
    }

    /// Withdraws all proxies and waits until the server has let go, which over UDP it would not see
    /// from our end alone. frp waits 500 ms in any case, and only with kcp and quic.
    async fn leave(&mut self) {
        let names = self.client.registrations().remove_unless(|_| false);
        for name in &names {
            self.withdraw(name);
        }
        let leaving = async {
            self.control.flush_within(MESSAGE_WRITE).await?;
            self.control.shutdown().await?;
            while self.control.recv().await.is_ok() {}
            Ok::<_, SendError>(())
        };
        match timeout(LEAVE, leaving).await {
            Ok(Ok(())) | Err(_) => {}
            Ok(Err(e)) => debug!(self.log, "left without a word: {e}"),
        }
    }

    /// A stream ends because its connection did; the connection knows why.
    fn end_of_reading(&self, e: RecvError) -> SessionEnd {
        match (e, self.work.close_reason()) {
            (RecvError::Closed | RecvError::Io(_), Some(reason)) => SessionEnd::Lost(reason),
            (RecvError::Closed, None) => SessionEnd::Closed,
            (e, _) => SessionEnd::Recv(e),
        }
    }

    /// Gets the credentials of the next heartbeat. An issuer may be asked for them, which must not
    /// hold up anything else.
    fn begin_ping(&mut self) {
        debug!(self.log, "send heartbeat to server");
        let client = self.client.clone();
        self.signing = Some(Box::pin(async move { client.auth.ping().await }));
    }

    async fn ping(&mut self, signed: Result<Ping, CredentialError>) -> Result<(), SessionEnd> {
        self.signing = None;
        let transport = &self.client.cfg.transport;
        let interval = transport.heartbeat_interval.unwrap_or_default();
        let ping = match signed {
            Ok(ping) => ping,
            Err(e) => {
                warn!(
                    self.log,
                    "error during ping authentication: {e}, skip sending ping message"
                );
                self.next_ping = Instant::now() + unsigned_wait(self.unsigned, interval);
                self.unsigned = self.unsigned.saturating_add(1);
                return Ok(());
            }
        };
        self.unsigned = 0;
        self.next_ping = Instant::now() + interval;
        self.control.queue(&ping.into()).map_err(SendError::from)?;
        self.asked_at.get_or_insert_with(Instant::now);
        Ok(self.control.flush_within(MESSAGE_WRITE).await?)
    }

    /// Makes proxies and visitors those of the settings; what is configured as before is left
    /// alone.
    async fn configure(&mut self) -> Result<(), SessionEnd> {
        let settings = self.settings.borrow_and_update().clone();
        // Both are sorted by name.
        let wanted = |cfg: &ProxyConfig| {
            let at = settings.proxies.binary_search_by(|p| p.name.cmp(&cfg.name));
            at.is_ok_and(|at| settings.proxies.get(at) == Some(cfg))
        };
        let removed = self.client.registrations().remove_unless(wanted);
        for name in &removed {
            self.withdraw(name);
        }
        if !removed.is_empty() {
            info!(self.log, "proxy removed: [{}]", removed.join(" "));
            self.control.flush_within(MESSAGE_WRITE).await?;
        }
        let mut added = Vec::new();
        for cfg in &settings.proxies {
            if !self.client.registrations().has(cfg) {
                let proxy = Arc::new(Proxy::new(
                    cfg.clone(),
                    &self.key,
                    &self.log,
                    &self.client.live,
                ));
                let monitor = health::watch(&proxy, &self.client.tasks, &self.changes);
                self.client
                    .registrations()
                    .add(Registration::new(proxy, monitor));
                added.push(cfg.name.as_str());
            }
        }
        if !added.is_empty() {
            info!(self.log, "proxy added: [{}]", added.join(" "));
        }
        self.visitors.update(&settings.visitors).await;
        Ok(())
    }

    /// Tells the server that there is no such proxy any more.
    fn withdraw(&mut self, name: &str) {
        let close = CloseProxy {
            proxy_name: naming::wire_name(&self.client.cfg.user, name),
        };
        // A name too long for this was too long for the registration.
        if let Err(e) = self.control.queue(&close.into()) {
            debug!(self.log, "[{name}] not withdrawn: {e}");
        }
    }

    /// Sends every registration that is due, all in one write.
    async fn register(&mut self) -> Result<(), SessionEnd> {
        let now = Instant::now();
        let due = self.client.registrations().due(now);
        for proxy in due {
            let name = &proxy.cfg.name;
            // Not under the lock: a plugin reads files.
            let queued = self.queue_registration(&proxy);
            let mut registrations = self.client.registrations();
            match queued {
                Ok(()) => registrations.sent(name, now),
                Err(e) => {
                    warn!(proxy.log, "start error: {e}");
                    registrations.not_sent(name, e.to_string());
                }
            }
        }
        Ok(self.control.flush_within(MESSAGE_WRITE).await?)
    }

    /// A proxy that nothing here could serve is not registered; frp registers it first, and takes
    /// it back. Nor is one that does not fit the wire, which must not end the session.
    fn queue_registration(&mut self, proxy: &Proxy) -> Result<(), RegisterError> {
        if proxy.cfg.guard.is_asked() && !self.guards {
            return Err(RegisterError::NoGuards);
        }
        proxy.prepare(&self.client.tasks, self.client.virtual_net.net())?;
        let (mode, tasks) = (proxy.cfg.transport.real_ip, &self.client.tasks);
        proxy.real_ip.prepare(mode, &proxy.log, tasks)?;
        let mut new = proxy.cfg.to_new_proxy(&self.client.cfg.user);
        if new.guard_reports {
            new.guard_reports = self.watch_sshd(proxy, &new.proxy_name)?;
        }
        Ok(self.control.queue(&new.into())?)
    }

    /// Follows the log of the ssh server that `proxy` leads to, unless nobody wants to know what it says.
    fn watch_sshd(&self, proxy: &Proxy, name: &str) -> Result<bool, SshdError> {
        if !self.bans {
            warn!(
                proxy.log,
                "sshd.log: this frps does not ban by what the ssh server says, which takes frps of frp-rs; it is not followed"
            );
        } else if proxy.sshd.get().is_none() {
            let (sshd, log) = (&self.client.live.sshd, &proxy.cfg.sshd.log);
            let watch = sshd.watch(log, name, &self.client.tasks, &proxy.log)?;
            let _ = proxy.sshd.set(watch);
        }
        Ok(self.bans)
    }

    /// A local service became well, and its proxy is due; or ill, and its proxy is withdrawn.
    async fn on_health(&mut self, change: &Change) -> Result<(), SessionEnd> {
        let Change { proxy, healthy } = change;
        if !self.client.registrations().set_healthy(proxy, *healthy) {
            return Ok(());
        }
        self.withdraw(&proxy.cfg.name);
        Ok(self.control.flush_within(MESSAGE_WRITE).await?)
    }

    /// One that does not fit the wire must not end the session.
    async fn post(&mut self, letter: &Message) -> Result<(), SessionEnd> {
        match self.control.queue(letter) {
            Ok(()) => Ok(self.control.flush_within(MESSAGE_WRITE).await?),
            Err(e) => {
                warn!(self.log, "{} not sent: {e}", letter.name());
                Ok(())
            }
        }
    }

    fn on_message(&mut self, message: Message) -> Result<(), SessionEnd> {
        match message {
            Message::ReqWorkConn(_) => {
                if let Some(asking) = &mut self.asking {
                    asking.user_came(Instant::now());
                }
                self.work.open_one();
            }
            Message::NewProxyResp(answer) => self.on_new_proxy_resp(&answer),
            Message::Pong(pong) => return self.on_pong(pong),
            Message::NatHoleResp(answer) => self.holes.answered(*answer),
            other => debug!(self.log, "ignored {} from the server", other.name()),
        }
        Ok(())
    }

    fn on_new_proxy_resp(&mut self, answer: &NewProxyResp) {
        let name = naming::raw_name(&self.client.cfg.user, &answer.proxy_name);
        let answered = self.client.registrations().answered(answer, name);
        let name = shown_name(name);
        // One line for each registration that we sent, of which there may be thousands.
        let ours = self.log.of_session();
        let (log, why) = match answered {
            Answer::Runs => return info!(ours, "[{name}] start proxy success"),
            Answer::Late => {
                return debug!(self.log, "[{name}] answer to a withdrawn registration");
            }
            Answer::Refused(why) => (&ours, why),
            Answer::Unasked(why) => (&self.log, why),
        };
        warn!(log, "[{name}] start error: {why}");
    }

    fn on_pong(&mut self, pong: Pong) -> Result<(), SessionEnd> {
        if !pong.error.is_empty() {
            let error = shown_error(&pong.error).into_owned();
            error!(self.log, "pong message contains error: {error}");
            self.client.auth.refused();
            return Err(SessionEnd::HeartbeatRefused(error));
        }
        self.last_pong = Instant::now();
        if let Some(asked_at) = self.asked_at.take() {
            self.client.live.answered(asked_at.elapsed());
        }
        debug!(self.log, "receive heartbeat from server");
        Ok(())
    }
}

/// How long a heartbeat waits that got no credentials `failed` times before: 2, 4, 8, ... seconds, at
/// most the interval (frp `client/control.go`).
fn unsigned_wait(failed: u32, interval: Duration) -> Duration {
    let seconds = 2_u64.saturating_pow(failed.saturating_add(1));
    Duration::from_secs(seconds).min(interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_without_credentials_are_tried_again_at_growing_intervals() {
        let interval = Duration::from_secs(30);
        let waits = (0..6).map(|failed| unsigned_wait(failed, interval).as_secs());
        assert_eq!(waits.collect::<Vec<_>>(), [2, 4, 8, 16, 30, 30]);
        assert_eq!(unsigned_wait(u32::MAX, interval), interval);
    }
}
