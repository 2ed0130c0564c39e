//! A real login with the real configuration, and what it makes possible: the doctor's own session registers the
//! proxies that nobody has registered yet, has them tried from outside, and leaves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use frp_ask::doctor::{Mark, Report, Step};
use frp_config::{ClientConfig, ProxyConfig, TransportProtocol, Way};
use frp_log::Log;
use frp_proto::msg::{Message, NatHoleReport};
use frp_relay::limits::MESSAGE_WRITE;
use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::outside::{self, Served};
use super::running::Running;
use super::ways::{ms, no_answer};
use super::{Patient, explained, services};
use crate::admin::cure::cure;
use crate::auto::Auto;
use crate::client::Client;
use crate::diagnose::{Explained, path};
use crate::limits::{DOCTOR_LOGIN, DOCTOR_STEP, LAST_TASKS};
use crate::login::{Credentials, LoggedIn, connect, login};
use crate::one_way::OneWay;
use crate::service::login_by;

/// What frps says of a clientID that is in use.
const ONLINE: &str = "is already online";

/// What frps says of the name of a proxy that is in use.
const EXISTS: &str = "already exists";

/// Proxies that are looked at at a time.
const AT_ONCE: usize = 16;

/// What is sent to see how fast a way is, in messages that no server minds.
const MESSAGES: usize = 32;
const MESSAGE: usize = 8_000;

/// A network that carries less than this by UDP, bytes per second, holds it back.
const SLOW: u64 = 150_000;

/// A session of the doctor's own, and the client that it belongs to.
pub(super) struct Session {
    client: Arc<Client>,
    way: Arc<OneWay>,
    run: JoinHandle<()>,
    stop: CancellationToken,
    cfg: Arc<ClientConfig>,
    running: Option<Running>,
}

/// Logs in as the program would. What is told of it, or why there is no session.
pub(super) async fn log_in(
    patient: &Patient,
    auto: Option<Auto>,
) -> Result<(Session, Step), Explained> {
    let began = Instant::now();
    let trying = once(&patient.client, &patient.way, auto);
    let logged_in = timeout(DOCTOR_LOGIN, trying).await;
    let mut logged_in = logged_in.unwrap_or_else(|_| Err(no_answer(&patient.way)));
    let mut also = "";
    if let Err(why) = &logged_in
        && why.seen().contains(ONLINE)
    {
        // The credentials are good, and the client that runs keeps its name.
        also = ", beside the frpc that runs with this clientID";
        let mut cfg = ClientConfig::clone(&patient.way);
        cfg.client_id.clear();
        if let Ok(way) = OneWay::new(Arc::new(cfg), patient.way.protocol) {
            logged_in = once(&patient.client, &Arc::new(way), None).await;
        }
    }
    let logged_in = logged_in?;
    let way = logged_in.connector.way();
    let tls = match way.tls.is_some() {
        true => " with TLS",
        false => "",
    };
    let found = format!(
        "accepted by {}{tls} in {}{also}",
        way.protocol,
        ms(began.elapsed())
    );
    let step = Step::new("login", "", Mark::Ok, found);
    let stop = CancellationToken::new();
    let client = &patient.client;
    let session = crate::session::Session::new(client, logged_in, Log::root(), stop.clone());
    let run = tokio::spawn(async move { drop(session.run().await) });
    let session = Session {
        client: client.clone(),
        way: patient.way.clone(),
        run,
        stop,
        cfg: patient.cfg.clone(),
        running: None,
    };
    Ok((session, step))
}

async fn once(
    client: &Client,
    way: &Arc<OneWay>,
    auto: Option<Auto>,
) -> Result<LoggedIn, Explained> {
    let credentials = Credentials {
        auth: &client.auth,
        key: &client.key,
        run_id: "",
    };
    let tasks = &client.tasks.tracker;
    let tried = match auto {
        Some(mut auto) => auto.login(credentials, tasks, &Log::root()).await,
        None => login_by(way, credentials, tasks, &mut false).await,
    };
    tried.map_err(|no_way| no_way.explained)
}

impl Session {
    pub(super) fn with(mut self, patient: Patient) -> Self {
        self.running = patient.running;
        self
    }

    /// How much UDP carries, beside what TCP does.
    pub(super) async fn speed(&self, tcp: bool) -> Step {
        let mut cfg = ClientConfig::clone(&self.way);
        // Sessions of their own, beside this one.
        cfg.client_id.clear();
        let by_udp = OneWay::new(Arc::new(cfg.clone()), self.way.protocol).ok();
        let by_tcp = Way {
            protocol: TransportProtocol::Tcp,
            plain: false,
            port: None,
        };
        let by_tcp = OneWay::new(Arc::new(cfg.by(by_tcp)), TransportProtocol::Tcp).ok();
        let udp = self.rate(by_udp).await;
        let name = "speed";
        let Some(udp) = udp else {
            return Step::new(name, "", Mark::NotChecked, "not to be found out");
        };
        let found = format!("{} KB/s by {}", udp / 1000, self.way.protocol);
        if udp >= SLOW {
            return Step::new(name, "", Mark::Ok, found);
        }
        let tcp = match tcp {
            true => self.rate(by_tcp).await,
            false => None,
        };
        match tcp {
            // The whole path is slow.
            Some(tcp) if tcp < udp * 3 => Step::new(name, "", Mark::Warning, found),
            tcp => explained(name, "", Mark::Warning, &path::throttled(udp, tcp)),
        }
    }

    /// Bytes per second by a login of its own; at most that, where it did not get through in time.
    async fn rate(&self, way: Option<OneWay>) -> Option<u64> {
        let way = Arc::new(way?);
        let tasks = &self.client.tasks.tracker;
        let logging_in = async {
            let connected = connect(&way, tasks).await.ok()?;
            let signature = self.client.auth.for_login().await.ok()?;
            let credentials = Credentials {
                auth: &self.client.auth,
                key: &self.client.key,
                run_id: "",
            };
            login(&way, connected, signature, credentials).await.ok()
        };
        let mut logged_in = timeout(DOCTOR_STEP, logging_in).await.ok()??;
        let ping = self.client.auth.ping().await.ok()?;
        let control = &mut logged_in.control;
        let began = Instant::now();
        let sent = async {
            // The report of a hole that nobody digs: every frps reads it and has nothing to do.
            for _ in 0..MESSAGES {
                let report = NatHoleReport {
                    sid: "-".repeat(MESSAGE),
                    success: false,
                };
                control.queue(&report.into()).ok()?;
                control.flush_within(MESSAGE_WRITE).await.ok()?;
            }
            control.queue(&ping.into()).ok()?;
            control.flush_within(MESSAGE_WRITE).await.ok()?;
            loop {
                if let Message::Pong(_) = control.recv().await.ok()? {
                    return Some(());
                }
            }
        };
        let bytes = (MESSAGES * MESSAGE) as f64;
        match timeout(DOCTOR_STEP, sent).await {
            Ok(None) => None,
            Ok(Some(())) => Some((bytes / began.elapsed().as_secs_f64()) as u64),
            Err(_) => Some((bytes / DOCTOR_STEP.as_secs_f64()) as u64),
        }
    }

    /// Looks at every proxy: whether frps has it, its local service, and its port from outside.
    pub(super) async fn proxies(&self, addrs: &[SocketAddr], report: &Report) {
        self.registered().await;
        let looks = stream::iter(&self.cfg.proxies).map(|proxy| self.look(proxy, addrs));
        let looked: Vec<Vec<Step>> = looks.buffered(AT_ONCE).collect().await;
        looked
            .into_iter()
            .flatten()
            .for_each(|step| report.add(step));
        for visitor in &self.cfg.visitors {
            let found = "a visitor listens only in the frpc that runs";
            report.add(Step::new("visitor", &visitor.name, Mark::NotChecked, found));
        }
    }

    /// Waits until frps has said of each proxy whether it has it, for some time.
    async fn registered(&self) {
        let end = Instant::now() + DOCTOR_STEP;
        while Instant::now() < end && !self.run.is_finished() {
            let settled = {
                let registrations = self.client.registrations();
                let wanted = self.client.cfg.proxies.len();
                let known = registrations.all().filter(|one| one.runs().is_some());
                known.count() >= wanted
            };
            if settled {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn look(&self, proxy: &ProxyConfig, addrs: &[SocketAddr]) -> Vec<Step> {
        let local = services::look(proxy).await;
        let serves = local.mark == Mark::Ok;
        let (step, remote) = self.registration(proxy);
        let mut steps = vec![step, local];
        match remote {
            Some(remote) => {
                let served = match self.running.is_some() || remote.is_other {
                    true => None,
                    false => Some(Served {
                        client: &self.client,
                        name: &proxy.name,
                        kind: proxy.kind.as_str(),
                    }),
                };
                let at = outside::Place {
                    cfg: &self.cfg,
                    addrs,
                    remote: &remote.addr,
                };
                steps.extend(outside::look(proxy, &at, served, serves).await);
            }
            None => {
                let found = "frps does not have the proxy";
                steps.push(Step::new(
                    "remotePort",
                    &proxy.name,
                    Mark::NotChecked,
                    found,
                ));
            }
        }
        steps
    }

    /// Whether frps has the proxy, and where users reach it then.
    fn registration(&self, proxy: &ProxyConfig) -> (Step, Option<Remote>) {
        let name = &proxy.name;
        if let Some(running) = &self.running {
            return match running.proxy(name) {
                None => {
                    let step = Step::new(
                        "proxy",
                        name,
                        Mark::Failed,
                        "the frpc that runs does not have it",
                    );
                    let step =
                        step.because("the file has changed since it was read", "frpc reload");
                    (step, None)
                }
                Some(known) => {
                    let remote = known.is_up().then(|| Remote {
                        addr: known.remote_addr.clone(),
                        is_other: true,
                    });
                    (known.step(), remote)
                }
            };
        }
        let registrations = self.client.registrations();
        let Some(known) = registrations
            .all()
            .find(|one| one.proxy().cfg.name == *name)
        else {
            let found = "not tried: it needs the device of the virtual network";
            return (Step::new("proxy", name, Mark::NotChecked, found), None);
        };
        match known.runs() {
            Some(true) => {
                let addr = known.remote_addr().to_owned();
                let found = match addr.as_str() {
                    "" => "registered".to_owned(),
                    addr => format!("registered, {addr}"),
                };
                let remote = Remote {
                    addr,
                    is_other: false,
                };
                (Step::new("proxy", name, Mark::Ok, found), Some(remote))
            }
            // By this very frpc, most likely, whose admin API is off.
            Some(false) if known.error().contains(EXISTS) => {
                let found = "frps has a proxy of this name already; it is looked at";
                let step = Step::new("proxy", name, Mark::Warning, found).because(
                    "this frpc runs already, or another client has the name",
                    "if it does not run: another name, or user of this client",
                );
                let remote = outside::configured(proxy).map(|addr| Remote {
                    addr,
                    is_other: true,
                });
                (step, remote)
            }
            Some(false) => {
                let (status, error) = (known.status(), known.error());
                let cure = cure(&status, error).unwrap_or_default();
                let step = Step::new("proxy", name, Mark::Failed, error);
                (step.because("frps does not open the proxy", cure), None)
            }
            None if proxy.health_check.is_some() => {
                let found = "not registered while its health check fails";
                (Step::new("proxy", name, Mark::NotChecked, found), None)
            }
            None => {
                let found = "frps did not answer the registration in time";
                (Step::new("proxy", name, Mark::Failed, found), None)
            }
        }
    }

    /// Leaves, so that frps lets go of everything at once.
    pub(super) async fn leave(self) {
        self.stop.cancel();
        let _ = timeout(LAST_TASKS, self.run).await;
        self.client.tasks.stop.cancel();
    }
}

/// Where users reach a proxy.
struct Remote {
    addr: String,
    /// Users of it come to another session than the doctor's.
    is_other: bool,
}
