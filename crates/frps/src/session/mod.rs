//! Stage 5: a client's session. One task owns its control connection and its proxies; everybody
//! else has a [`registry::SessionHandle`].

pub(crate) mod allowance;
pub(crate) mod pool;
pub(crate) mod registry;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use frp_log::{contract, debug, info, shown_error, shown_name, warn};
use frp_net::carrier::Lost;
use frp_net::layers::ControlPipe;
use frp_net::limits::{CONTROL_WRITE, ENDED_IN_A_ROW};
use frp_net::msg_stream::{MsgStream, RecvError, SendError};
use frp_proto::msg::{
    CloseProxy, Message, NatHoleResp, NewProxy, NewProxyResp, Ping, Pong, ReqWorkConn,
};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use tokio::task::coop::consume_budget;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;

use self::allowance::{Allowance, check_proxy};
use self::registry::{Admission, SessionHandle};
use crate::Shared;
use crate::auth::Refusal;
use crate::door::Caller;
use crate::proxy::spec::ProxySpec;
use crate::proxy::{ProxyError, RunningProxy};
use crate::web::clients::Listed;

/// A control connection behind its cipher.
pub(crate) type Control = MsgStream<ControlPipe>;

/// Everything that one login holds.
pub(crate) struct Session {
    shared: Arc<Shared>,
    handle: Arc<SessionHandle>,
    control: Control,
    caller: Caller,
    proxies: HashMap<Arc<str>, RunningProxy>,
    /// How many of them count for `maxPortsPerClient`.
    ports: u64,
    allowance: Arc<Allowance>,
    listeners: TaskTracker,
    heartbeat_timeout: Option<Duration>,
    last_ping: Instant,
    /// Pings whose credentials are being checked, in the order of their answers.
    checking: FuturesOrdered<Checking>,
    listed: Option<Listed>,
    /// Last, so that what a successor waits for is dropped after all else.
    admission: Admission,
}

/// Pings that may be checked at a time. An honest client has one on its way.
const MAX_CHECKING: usize = 4;

type Checking = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("replaced by a new login of the same client")]
    Replaced,
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
        (admission, listed): (Admission, Option<Listed>),
        control: Control,
        caller: Caller,
        heartbeat_timeout: Option<Duration>,
    ) -> Self {
        Self {
            shared,
            handle: admission.session().clone(),
            control,
            caller,
            proxies: HashMap::new(),
            ports: 0,
            allowance: Arc::default(),
            listeners: TaskTracker::new(),
            heartbeat_timeout,
            last_ping: Instant::now(),
            checking: FuturesOrdered::new(),
            listed,
            admission,
        }
    }

    /// Serves the client until something ends it, then gives everything back.
    pub(crate) async fn run(mut self) {
        let stop = self.shared.stop.clone();
        let handle = self.handle.clone();
        let end = tokio::select! {
            end = self.serve() => end,
            () = handle.replaced.cancelled() => End::Replaced,
            () = stop.cancelled() => End::Stopped,
        };
        // All clients may end at once.
        let log = &self.handle.log.of_session();
        match end {
            End::HeartbeatTimeout => warn!(log, "heartbeat timeout"),
            end => info!(log, "control connection ended: {end}"),
        }
        self.handle.pool.close();
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
        drop(self.listed);
        info!(self.handle.log.of_session(), "client exit success");
        drop(self.admission);
    }

    async fn serve(&mut self) -> End {
        let handle = self.handle.clone();
        loop {
            let silent_until = self.silent_until();
            let served = tokio::select! {
                received = self.control.recv(), if self.checking.len() < MAX_CHECKING => match received {
                    Ok(message) => self.on_message(message).await,
                    Err(e) => return self.end_of_reading(e),
                },
                Some(checked) = self.checking.next() => self.on_checked(checked).await,
                n = handle.pool.wanted() => self.request_work_conns(n).await,
                () = sleep_until(silent_until.unwrap_or_else(Instant::now)),
                    if silent_until.is_some() => return End::HeartbeatTimeout,
            };
            if let Err(e) = served {
                return End::Send(e);
            }
            // What has come already is there without a wait, however much it is.
            consume_budget().await;
        }
    }

    fn silent_until(&self) -> Option<Instant> {
        Some(self.last_ping + self.heartbeat_timeout?)
    }

    /// A stream ends because its connection did; the connection knows why.
    fn end_of_reading(&self, e: RecvError) -> End {
        let lost = self
            .caller
            .link
            .as_ref()
            .and_then(|link| link.carrier.close_reason());
        match (e, lost) {
            (RecvError::Closed | RecvError::Io(_), Some(reason)) => End::Lost(reason),
            (RecvError::Closed, None) => End::Closed,
            (e, _) => End::Recv(e),
        }
    }

    async fn request_work_conns(&mut self, n: usize) -> Result<(), SendError> {
        for _ in 0..n {
            self.control.queue(&ReqWorkConn {}.into())?;
        }
        self.control.flush_within(CONTROL_WRITE).await
    }

    async fn send(&mut self, message: impl Into<Message>) -> Result<(), SendError> {
        self.control.queue(&message.into())?;
        self.control.flush_within(CONTROL_WRITE).await
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
            Message::NatHoleVisitor(m) => self.refuse_nat_hole(m.transaction_id).await,
            Message::NatHoleClient(m) => self.refuse_nat_hole(m.transaction_id).await,
            other => {
                debug!(self.handle.log, "ignored {} from the client", other.name());
                Ok(())
            }
        }
    }

    /// The issuer of a token may have to be asked, which must not hold up anything else. Only where
    /// [`MAX_CHECKING`] pings wait for that does what comes behind them wait, too; users never do.
    fn on_ping(&mut self, ping: Ping) {
        let handle = self.handle.clone();
        self.checking.push_back(Box::pin(async move {
            handle.auth().ping(&ping, handle.subject()).await
        }));
    }

    async fn on_checked(&mut self, checked: Result<(), Refusal>) -> Result<(), SendError> {
        let error = match checked {
            Ok(()) => {
                self.last_ping = Instant::now();
                debug!(self.handle.log, "receive heartbeat");
                String::new()
            }
            Err(why) => {
                let error = why.to_string();
                warn!(
                    self.handle.log,
                    "received invalid ping: {}",
                    shown_error(&error)
                );
                self.shared.policy().text_for_peer("invalid ping", &error)
            }
        };
        self.send(Pong { error }).await
    }

    async fn on_new_proxy(&mut self, new: NewProxy) -> Result<(), SendError> {
        let mut answer = NewProxyResp {
            proxy_name: new.proxy_name.clone(),
            ..Default::default()
        };
        let log = &self.handle.log.of_session();
        let (name, kind) = (shown_name(&new.proxy_name), new.kind());
        match self.register(&new) {
            Ok((proxy, remote_addr)) => {
                info!(log, "{}", contract::new_proxy_success(name, kind));
                answer.remote_addr = remote_addr;
                self.ports += u64::from(proxy.takes_port());
                self.proxies.insert(proxy.name().clone(), proxy);
            }
            Err(e) => {
                let why = e.to_string();
                warn!(
                    log,
                    "{}",
                    contract::new_proxy_error(name, kind, shown_error(&why))
                );
                let generic = format!("new proxy [{}] error", answer.proxy_name);
                answer.error = self.shared.policy().text_for_peer(&generic, &why);
            }
        }
        self.answer(answer).await
    }

    /// Answers a registration. An answer that does not fit the wire, which a long name or many
    /// domains make, does not end the session: the proxy is refused then.
    async fn answer(&mut self, mut answer: NewProxyResp) -> Result<(), SendError> {
        let queued = self.control.queue(&answer.clone().into());
        if let Err(e) = queued {
            let (log, name) = (&self.handle.log, &answer.proxy_name);
            warn!(log, "new proxy [{}] answer: {e}", shown_name(name));
            // Where it was refused, the name may be that of another.
            if answer.error.is_empty()
                && let Some(proxy) = self.proxies.remove(name.as_str())
            {
                self.ports -= u64::from(proxy.takes_port());
                proxy.close().await;
            }
            answer.remote_addr.clear();
            let generic = "new proxy error: the answer is too long";
            answer.error = self.shared.policy().text_for_peer(generic, &e.to_string());
            if let Err(e) = self.control.queue(&answer.into()) {
                debug!(self.handle.log, "no answer: {e}");
            }
        }
        self.control.flush_within(CONTROL_WRITE).await
    }

    /// The proxy, and how users reach it.
    fn register(&self, new: &NewProxy) -> Result<(RunningProxy, String), ProxyError> {
        check_proxy(new)?;
        let spec = ProxySpec::read(new)?;
        let taken = self.allowance.take(new, &spec, self.control.protocol())?;
        let policy = self.shared.policy();
        let limit = policy.max_ports_per_client;
        if limit > 0 && spec.kind.remote_port().is_some() && self.ports >= limit {
            return Err(ProxyError::TooManyPorts);
        }
        RunningProxy::start(
            &self.shared,
            &policy,
            &self.handle,
            &self.listeners,
            spec,
            taken,
        )
    }

    async fn on_close_proxy(&mut self, close: &CloseProxy) {
        if let Some(proxy) = self.proxies.remove(close.proxy_name.as_str()) {
            self.ports -= u64::from(proxy.takes_port());
            proxy.close().await;
        }
        info!(
            self.handle.log.of_session(),
            "{}",
            contract::close_proxy_success(shown_name(&close.proxy_name))
        );
    }

    async fn refuse_nat_hole(&mut self, transaction_id: String) -> Result<(), SendError> {
        let error = "xtcp is not supported yet by this server".to_owned();
        self.send(NatHoleResp {
            transaction_id,
            error,
            ..Default::default()
        })
        .await
    }
}
