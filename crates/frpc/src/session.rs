//! Stage 3: a session. One task owns the control connection and the proxies' registrations
//! (frp `client/control.go`).

use std::collections::BTreeMap;
use std::sync::Arc;

use frp_log::{Log, contract, debug, error, info, warn};
use frp_net::layers::ControlPipe;
use frp_net::limits::CONTROL_WRITE;
use frp_net::msg_stream::{MsgStream, RecvError, SendError};
use frp_net::mux::CloseReason;
use frp_proto::msg::{Message, NewProxyResp, Pong};
use frp_proto::naming;
use tokio::time::{Instant, sleep_until};

use crate::connect::Connector;
use crate::login::LoggedIn;
use crate::proxy::{Proxy, Registration, Running};
use crate::service::Service;
use crate::visitor::Visitors;
use crate::work::WorkConns;

/// Everything that one login holds.
pub(crate) struct Session<'a> {
    service: &'a Service,
    control: MsgStream<ControlPipe>,
    registrations: BTreeMap<String, Registration>,
    running: Arc<Running>,
    work: WorkConns,
    connector: Arc<Connector>,
    run_id: String,
    last_pong: Instant,
    next_ping: Instant,
    log: Log,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    #[error("heartbeat timeout")]
    HeartbeatTimeout,
    #[error("the server refused our heartbeat: {0}")]
    HeartbeatRefused(String),
    #[error("the connection was lost: {0}")]
    Lost(CloseReason),
    #[error("the server closed the control connection")]
    Closed,
    #[error("read from the server: {0}")]
    Recv(RecvError),
    #[error("write to the server: {0}")]
    Send(#[from] SendError),
}

impl<'a> Session<'a> {
    pub(crate) fn new(service: &'a Service, logged_in: LoggedIn, log: Log) -> Self {
        let LoggedIn {
            run_id,
            control,
            connector,
        } = logged_in;
        let connector = Arc::new(connector);
        let running = Arc::new(Running::default());
        let registrations = service.cfg().proxies.iter().map(|cfg| {
            let proxy = Proxy::new(cfg.clone(), service.key(), &log);
            (cfg.name.clone(), Registration::new(proxy))
        });
        Self {
            registrations: registrations.collect(),
            work: WorkConns::new(
                service,
                connector.clone(),
                run_id.clone(),
                running.clone(),
                log.clone(),
            ),
            connector,
            run_id,
            service,
            control,
            running,
            last_pong: Instant::now(),
            next_ping: Instant::now(),
            log,
        }
    }

    /// Serves until something ends the session. Dropping it (the caller does) ends its connection
    /// and the work connections that wait on it.
    pub(crate) async fn run(mut self) -> End {
        if !self.registrations.is_empty() {
            let names: Vec<&str> = self.registrations.keys().map(String::as_str).collect();
            info!(self.log, "proxy added: [{}]", names.join(" "));
        }
        let (connector, run_id) = (self.connector.clone(), self.run_id.clone());
        let visitors = Visitors::start(self.service, connector, run_id, &self.log);
        let end = self.serve().await;
        // The next session listens on the same addresses.
        visitors.close().await;
        end
    }

    async fn serve(&mut self) -> End {
        loop {
            let transport = &self.service.cfg().transport;
            let silent_until = transport
                .heartbeat_interval
                .and(transport.heartbeat_timeout)
                .map(|limit| self.last_pong + limit);
            let registration_due = self
                .registrations
                .values()
                .filter_map(Registration::due)
                .min();
            let now = Instant::now();
            let served = tokio::select! {
                received = self.control.recv() => match received {
                    Ok(message) => self.on_message(message),
                    Err(e) => return self.end_of_reading(e),
                },
                () = sleep_until(self.next_ping), if transport.heartbeat_interval.is_some() => {
                    self.ping().await
                }
                () = sleep_until(registration_due.unwrap_or(now)), if registration_due.is_some() => {
                    self.register().await
                }
                () = sleep_until(silent_until.unwrap_or(now)), if silent_until.is_some() => {
                    warn!(self.log, "heartbeat timeout");
                    Err(End::HeartbeatTimeout)
                }
            };
            if let Err(end) = served {
                return end;
            }
        }
    }

    /// A stream ends because its connection did; the connection knows why.
    fn end_of_reading(&self, e: RecvError) -> End {
        match (e, self.work.close_reason()) {
            (RecvError::Closed | RecvError::Io(_), Some(reason)) => End::Lost(reason),
            (RecvError::Closed, None) => End::Closed,
            (e, _) => End::Recv(e),
        }
    }

    async fn ping(&mut self) -> Result<(), End> {
        debug!(self.log, "{}", contract::send_heartbeat());
        let interval = self
            .service
            .cfg()
            .transport
            .heartbeat_interval
            .unwrap_or_default();
        self.next_ping = Instant::now() + interval;
        self.control
            .queue(&self.service.auth().ping().into())
            .map_err(SendError::from)?;
        Ok(self.control.flush_within(CONTROL_WRITE).await?)
    }

    /// Sends every registration that is due, all in one write.
    async fn register(&mut self) -> Result<(), End> {
        let now = Instant::now();
        for registration in self.registrations.values_mut() {
            if registration.due().is_some_and(|due| due <= now) {
                let new = registration
                    .proxy()
                    .cfg
                    .to_new_proxy(&self.service.cfg().user);
                self.control.queue(&new.into()).map_err(SendError::from)?;
                registration.sent();
            }
        }
        Ok(self.control.flush_within(CONTROL_WRITE).await?)
    }

    fn on_message(&mut self, message: Message) -> Result<(), End> {
        match message {
            Message::ReqWorkConn(_) => self.work.open_one(),
            Message::NewProxyResp(answer) => self.on_new_proxy_resp(&answer),
            Message::Pong(pong) => return self.on_pong(pong),
            other => debug!(self.log, "ignored {} from the server", other.name()),
        }
        Ok(())
    }

    fn on_new_proxy_resp(&mut self, answer: &NewProxyResp) {
        let name = naming::raw_name(&self.service.cfg().user, &answer.proxy_name);
        let started = match self.registrations.get_mut(name) {
            None => Err(format!("proxy [{name}] not found")),
            Some(registration) => registration.answered(&answer.error, &self.running),
        };
        match started {
            Ok(()) => info!(self.log, "{}", contract::start_proxy_success(name)),
            Err(e) => warn!(self.log, "[{name}] start error: {e}"),
        }
    }

    fn on_pong(&mut self, pong: Pong) -> Result<(), End> {
        if !pong.error.is_empty() {
            error!(self.log, "pong message contains error: {}", pong.error);
            return Err(End::HeartbeatRefused(pong.error));
        }
        self.last_pong = Instant::now();
        debug!(self.log, "receive heartbeat from server");
        Ok(())
    }
}
