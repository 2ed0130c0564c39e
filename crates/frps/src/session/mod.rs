//! Stage 5: a client's session. One task owns its control connection and its proxies; everybody
//! else has a [`SessionHandle`].

mod admitting;
mod reports;
mod withdrawn;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::limits::{ENDED_IN_A_ROW, FAREWELL};
use frp_log::{debug, info, shown_error, shown_name, warn};
use frp_net::below::round_trip;
use frp_net::carrier::Lost;
use frp_proto::msg::{CloseProxy, Message, NewProxy, NewProxyResp, Ping, Pong, ReqWorkConn};
use frp_relay::layers::ControlPipe;
use frp_relay::limits::MESSAGE_WRITE;
use frp_relay::msg_stream::{MsgStream, RecvError, SendError};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use tokio::task::coop::consume_budget;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::TaskTracker;

use self::admitting::{Admitting, Decided};
use self::withdrawn::{Withdrawn, withdrawn};
use crate::admission::check::{PingAsk, Refusal};
use crate::admission::guard::Guard;
use crate::caller::Caller;
use crate::client::handle::SessionHandle;
use crate::client::registry::Seat;
use crate::nathole;
use crate::publish::RunningProxy;
use crate::shared::Shared;
use crate::stats::clients::Listed;

/// A control connection behind its cipher.
pub(crate) type Control = MsgStream<ControlPipe>;

/// Everything that one login holds.
pub(crate) struct Session {
    shared: Arc<Shared>,
    handle: Arc<SessionHandle>,
    control: Control,
    caller: Caller,
    /// By the names that the client gave them.
    proxies: HashMap<Arc<str>, RunningProxy>,
    admitting: Admitting,
    listeners: TaskTracker,
    heartbeat_timeout: Option<Duration>,
    last_ping: Instant,
    /// Pings that are being decided about, in the order of their answers.
    checking: FuturesOrdered<Checking>,
    listed: Option<Listed>,
    admitted: Guard,
    /// Last, so that what a successor waits for is dropped after all else.
    seat: Seat,
}

/// Pings that may be decided about at a time. An honest client has one on its way.
const MAX_CHECKING: usize = 4;

type Checking = Pin<Box<dyn Future<Output = Result<Guard, Refusal>> + Send>>;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum SessionEnd {
    #[error("replaced by a new login of the same client")]
    Replaced,
    #[error("the client does not answer, and another one wants its proxies")]
    Gone,
    #[error("ended by an administrator")]
    Ended,
    #[error("{0}")]
    Withdrawn(Withdrawn),
    #[error("the server stops")]
    Stopped,
    #[error("heartbeat timeout")]
    HeartbeatTimeout,
    #[error("the connection was lost: {0}")]
    Lost(Lost),
    #[error("the client closed the control connection")]
    Closed,
    #[error("read from the client: {0}")]
    Recv(RecvError),
    #[error("write to the client: {0}")]
    Send(#[from] SendError),
}

impl Session {
    pub(crate) fn new(
        shared: Arc<Shared>,
        (seat, admitted, listed): (Seat, Guard, Option<Listed>),
        control: Control,
        caller: Caller,
        heartbeat_timeout: Option<Duration>,
    ) -> Self {
        Self {
            shared,
            handle: seat.session().clone(),
            control,
            caller,
            proxies: HashMap::new(),
            admitting: Admitting::default(),
            listeners: TaskTracker::new(),
            heartbeat_timeout,
            last_ping: Instant::now(),
            checking: FuturesOrdered::new(),
            listed,
            admitted,
            seat,
        }
    }

    /// Serves the client until something ends it, then gives everything back.
    pub(crate) async fn run(mut self) {
        let stop = self.shared.stop.clone();
        let handle = self.handle.clone();
        let shared = self.shared.clone();
        let end = tokio::select! {
            end = self.serve() => end,
            why = withdrawn(&shared, handle.identity()), if handle.identity().entry().is_named() => {
                SessionEnd::Withdrawn(why)
            }
            () = handle.replaced.cancelled() => SessionEnd::Replaced,
            () = handle.gone() => SessionEnd::Gone,
            () = handle.ended.cancelled() => SessionEnd::Ended,
            () = stop.cancelled() => SessionEnd::Stopped,
        };
        // All clients may end at once.
        let log = &self.handle.log.of_session();
        match end {
            SessionEnd::HeartbeatTimeout => warn!(log, "heartbeat timeout"),
            ref end => info!(log, "control connection ended: {end}"),
        }
        match &end {
            SessionEnd::Stopped => {
                let _ = timeout(FAREWELL, self.say_goodbye()).await;
            }
            SessionEnd::Withdrawn(why) => {
                let _ = timeout(FAREWELL, self.say_why(&why.to_string())).await;
            }
            _ => {}
        }
        self.handle.pool.close();
        drop(std::mem::take(&mut self.admitting));
        // Ten thousand ends are work for a while: others on this thread go on meanwhile.
        for (n, proxy) in (1..).zip(std::mem::take(&mut self.proxies)) {
            drop(proxy);
            if n % ENDED_IN_A_ROW == 0 {
                yield_now().await;
            }
        }
        self.listeners.close();
        // Each holds its port and name until it is over.
        self.listeners.wait().await;
        drop((self.listed, self.admitted));
        info!(self.handle.log.of_session(), "client exit success");
        drop(self.seat);
    }

    /// Has the client log in again at once, wherever a server will be.
    async fn say_goodbye(&mut self) -> Result<(), SendError> {
        // kcp-go has no end of a connection, and nothing lies between that has one. But frp's client
        // ends a session whose heartbeat is refused.
        let is_blind = self.caller.kcp.is_some() && self.caller.link.is_none();
        if is_blind && !self.handle.half_closes() {
            let error = "frps is stopping".to_owned();
            self.send(Pong { error }).await?;
            // It cannot end its side any more once it hears that nobody reads here.
            while self.control.recv().await.is_ok() {}
        }
        Ok(self.control.shutdown().await?)
    }

    /// The client reads why it is no longer welcome, and ends: frp's does so when a heartbeat is refused.
    async fn say_why(&mut self, why: &str) -> Result<(), SendError> {
        let error = self.shared.policy().text_for_peer("invalid ping", why);
        self.send(Pong { error }).await?;
        Ok(self.control.shutdown().await?)
    }

    async fn serve(&mut self) -> SessionEnd {
        let handle = self.handle.clone();
        self.measure();
        loop {
            let silent_until = self.silent_until();
            let served = tokio::select! {
                received = self.control.recv(), if self.checking.len() < MAX_CHECKING => match received {
                    Ok(message) => self.on_message(message).await,
                    Err(e) => return self.end_of_reading(e),
                },
                Some(checked) = self.checking.next() => self.on_checked(checked).await,
                Some(decided) = self.admitting.next() => self.on_decided(decided).await,
                n = handle.pool.wanted() => self.request_work_conns(n).await,
                message = handle.outbox.next() => self.pass_on(message).await,
                () = sleep_until(silent_until.unwrap_or_else(Instant::now)),
                    if silent_until.is_some() => return SessionEnd::HeartbeatTimeout,
            };
            if let Err(e) = served {
                return SessionEnd::Send(e);
            }
            // What has come already is there without a wait, however much it is.
            consume_budget().await;
        }
    }

    /// What carries many streams measures by itself.
    fn measure(&self) {
        let socket = self.control.io().below();
        if let Some(measured) = socket.and_then(round_trip) {
            self.handle.measured(measured);
        }
    }

    fn silent_until(&self) -> Option<Instant> {
        Some(self.last_ping + self.heartbeat_timeout?)
    }

    /// A stream ends because its connection did; the connection knows why.
    fn end_of_reading(&self, e: RecvError) -> SessionEnd {
        let lost = self
            .caller
            .link
            .as_ref()
            .and_then(|link| link.carrier.close_reason());
        match (e, lost) {
            (RecvError::Closed | RecvError::Io(_), Some(reason)) => SessionEnd::Lost(reason),
            (RecvError::Closed, None) => SessionEnd::Closed,
            (e, _) => SessionEnd::Recv(e),
        }
    }

    async fn request_work_conns(&mut self, n: usize) -> Result<(), SendError> {
        for _ in 0..n {
            self.control.queue(&ReqWorkConn {}.into())?;
        }
        self.control.flush_within(MESSAGE_WRITE).await
    }

    async fn send(&mut self, message: impl Into<Message>) -> Result<(), SendError> {
        self.control.queue(&message.into())?;
        self.control.flush_within(MESSAGE_WRITE).await
    }

    async fn on_message(&mut self, message: Message) -> Result<(), SendError> {
        match message {
            // These two take longer than others, so that after each it is somebody else's turn.
            Message::NewProxy(new) => {
                let answered = self.on_new_proxy(*new).await;
                yield_now().await;
                answered
            }
            Message::CloseProxy(close) => {
                self.on_close_proxy(&close).await;
                yield_now().await;
                Ok(())
            }
            Message::Ping(ping) => {
                self.on_ping(ping);
                Ok(())
            }
            hole @ (Message::NatHoleVisitor(_)
            | Message::NatHoleClient(_)
            | Message::NatHoleReport(_)) => {
                nathole::take(&self.shared, &self.handle, hole);
                Ok(())
            }
            Message::UserReport(report) => {
                reports::take(&self.shared, &self.handle, &report);
                Ok(())
            }
            other => {
                debug!(self.handle.log, "ignored {} from the client", other.name());
                Ok(())
            }
        }
    }

    /// Somebody may have to be asked, which must not hold up anything else. Only where
    /// [`MAX_CHECKING`] pings wait for that does what comes behind them wait, too; users never do.
    fn on_ping(&mut self, ping: Ping) {
        let (shared, handle) = (self.shared.clone(), self.handle.clone());
        self.checking.push_back(Box::pin(async move {
            let (policy, client) = (&shared.policy(), &*handle);
            let mut ask = PingAsk {
                policy,
                client,
                ping,
            };
            shared.admission.ping(&mut ask).await
        }));
    }

    async fn on_checked(&mut self, checked: Result<Guard, Refusal>) -> Result<(), SendError> {
        let error = match checked {
            Ok(_) => {
                self.last_ping = Instant::now();
                self.measure();
                debug!(self.handle.log, "receive heartbeat");
                String::new()
            }
            Err(why) => {
                let text = shown_error(&why.log);
                warn!(self.handle.log, "received invalid ping: {text}");
                self.shared
                    .policy()
                    .text_for_peer("invalid ping", &why.peer)
            }
        };
        self.send(Pong { error }).await
    }

    /// A client that has no answer yet may ask again (frp `client/proxy/proxy_wrapper.go`): the one
    /// that is on its way answers both.
    async fn on_new_proxy(&mut self, new: NewProxy) -> Result<(), SendError> {
        if self.admitting.has(&new.proxy_name) {
            let name = shown_name(&new.proxy_name);
            debug!(self.handle.log, "new proxy [{name}] is waited for already");
            return Ok(());
        }
        let protocol = self.control.protocol();
        let deciding = self
            .admitting
            .begin(&self.shared, &self.handle, protocol, new);
        match deciding.await {
            Some(decided) => self.on_decided(decided).await,
            None => Ok(()),
        }
    }

    async fn on_decided(&mut self, decided: Decided) -> Result<(), SendError> {
        let Decided {
            name: asked,
            kind,
            policy,
            admitted,
        } = decided;
        let started = admitted.and_then(|(spec, guard)| {
            let name = spec.name.clone();
            let started = RunningProxy::start(
                &self.shared,
                &policy,
                &self.handle,
                &self.listeners,
                spec,
                guard,
            );
            match started {
                Ok((proxy, remote_addr)) => Ok((name, proxy, remote_addr)),
                Err(why) => Err(Refusal::new(&why)),
            }
        });
        let log = &self.handle.log.of_session();
        let mut answer = NewProxyResp::default();
        match started {
            Ok((name, proxy, remote_addr)) => {
                info!(
                    log,
                    "new proxy [{}] type [{kind}] success",
                    shown_name(&name)
                );
                answer.proxy_name = name.to_string();
                answer.remote_addr = remote_addr;
                self.proxies.insert(asked.clone(), proxy);
            }
            Err(why) => {
                let (name, text) = (shown_name(&asked), shown_error(&why.log));
                warn!(log, "new proxy [{name}] type [{kind}] error: {text}");
                answer.proxy_name = asked.to_string();
                let generic = format!("new proxy [{asked}] error");
                answer.error = policy.text_for_peer(&generic, &why.peer);
            }
        }
        self.answer(&asked, answer).await
    }

    /// Answers a registration. An answer that does not fit the wire, which a long name or many
    /// domains make, does not end the session: the proxy is refused then.
    async fn answer(&mut self, asked: &str, mut answer: NewProxyResp) -> Result<(), SendError> {
        let queued = self.control.queue(&answer.clone().into());
        if let Err(e) = queued {
            let (log, name) = (&self.handle.log, &answer.proxy_name);
            warn!(log, "new proxy [{}] answer: {e}", shown_name(name));
            // Where it was refused, the name may be that of another.
            if answer.error.is_empty()
                && let Some(proxy) = self.proxies.remove(asked)
            {
                proxy.close().await;
            }
            answer.remote_addr.clear();
            let generic = "new proxy error: the answer is too long";
            answer.error = self.shared.policy().text_for_peer(generic, &e.to_string());
            if let Err(e) = self.control.queue(&answer.into()) {
                debug!(self.handle.log, "no answer: {e}");
            }
        }
        self.control.flush_within(MESSAGE_WRITE).await
    }

    async fn on_close_proxy(&mut self, close: &CloseProxy) {
        self.admitting.take_back(&close.proxy_name);
        if let Some(proxy) = self.proxies.remove(close.proxy_name.as_str()) {
            proxy.close().await;
        }
        info!(
            self.handle.log.of_session(),
            "close proxy [{}] success",
            shown_name(&close.proxy_name)
        );
    }

    /// Others have something to tell the client. What does not fit the wire is not told.
    async fn pass_on(&mut self, message: Message) -> Result<(), SendError> {
        match self.control.queue(&message) {
            Ok(()) => self.control.flush_within(MESSAGE_WRITE).await,
            Err(e) => {
                debug!(self.handle.log, "not told: {e}");
                Ok(())
            }
        }
    }
}
