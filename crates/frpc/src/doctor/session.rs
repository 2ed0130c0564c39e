//! What a login makes possible: the doctor's own session registers the proxies that nobody has registered yet, and has
//! them tried from outside.

use std::net::SocketAddr;
use std::sync::Arc;

use frp_ask::doctor::{Mark, Report, Step};
use frp_config::{ClientConfig, ProxyConfig, TransportProtocol, Way};
use frp_log::Log;
use frp_proto::msg::{Message, NatHoleReport};
use frp_relay::limits::MESSAGE_WRITE;
use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant, sleep, timeout};

use super::changes::credentials;
use super::outside::{self, Served};
use super::{Patient, Visit, explained};
use crate::admin::cure::cure;
use crate::client::Client;
use crate::diagnose::path;
use crate::limits::DOCTOR_STEP;
use crate::login::LoggedIn;
use crate::one_way::OneWay;
use crate::service::login_once;

/// What frps says of a name or a port that is in use; the frpc that runs may have it.
const IN_USE: [&str; 4] = [
    "already exists",
    "port already used",
    "already in use",
    "router config conflict",
];

/// Proxies that are looked at at a time.
const AT_ONCE: usize = 32;

/// What is sent to see how fast a way is, in messages that no server minds.
const MESSAGES: usize = 32;
const MESSAGE: usize = 8_000;

/// A network that carries less than this by UDP, bytes per second, holds it back.
const SLOW: u64 = 150_000;

/// A session of the doctor's own, and the client that it belongs to.
pub(super) struct Session {
    client: Arc<Client>,
    way: Arc<OneWay>,
    /// `None`: the frpc that runs has the place, and only that is looked at.
    run: Option<JoinHandle<()>>,
}

impl Session {
    /// Registers what there is to register.
    pub(super) fn new(patient: &Patient, logged_in: Option<LoggedIn>, visit: &Visit) -> Self {
        let client = &patient.client;
        let run = logged_in.map(|logged_in| {
            let stop = visit.stop.clone();
            let session = crate::session::Session::new(client, logged_in, Log::root(), stop);
            visit
                .sessions
                .spawn(async move { drop(session.run().await) })
        });
        Self {
            client: client.clone(),
            way: patient.way.clone(),
            run,
        }
    }

    /// How much UDP carries, beside what TCP does.
    pub(super) async fn speed(&self, tcp: bool) -> Step {
        const STEP: &str = "speed";
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
        let Some(udp) = self.rate(by_udp).await else {
            return Step::new(STEP, "", Mark::NotChecked, "not to be found out");
        };
        let found = format!("{} KB/s by {}", udp / 1000, self.way.protocol);
        if udp >= SLOW {
            return Step::new(STEP, "", Mark::Ok, found);
        }
        let tcp = match tcp {
            true => self.rate(by_tcp).await,
            false => None,
        };
        match tcp {
            // The whole path is slow.
            Some(tcp) if tcp < udp * 3 => Step::new(STEP, "", Mark::Warning, found),
            tcp => explained(STEP, "", Mark::Warning, &path::throttled(udp, tcp)),
        }
    }

    /// Bytes per second by a login of its own; at most that, where it did not get through in time.
    async fn rate(&self, way: Option<OneWay>) -> Option<u64> {
        let way = Arc::new(way?);
        let tasks = &self.client.tasks.tracker;
        let logging_in = login_once(&way, credentials(&self.client), tasks);
        let mut logged_in = timeout(DOCTOR_STEP, logging_in).await.ok()?.ok()?;
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
    pub(super) async fn proxies(&self, patient: &Patient, addrs: &[SocketAddr], report: &Report) {
        self.registered().await;
        let all = patient.cfg.proxies.iter().zip(&patient.services);
        let looks = stream::iter(all).map(|(proxy, service)| {
            let look = Look {
                session: self,
                patient,
                addrs,
            };
            async move { look.at(proxy, service).await }
        });
        let mut looks = looks.buffered(AT_ONCE);
        while let Some(steps) = looks.next().await {
            steps.into_iter().for_each(|step| report.add(step));
        }
    }

    /// Waits until frps has said of each proxy whether it has it, for some time.
    async fn registered(&self) {
        let Some(run) = &self.run else { return };
        let end = Instant::now() + DOCTOR_STEP;
        while Instant::now() < end && !run.is_finished() {
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
}

/// What a proxy is looked at with.
struct Look<'a> {
    session: &'a Session,
    patient: &'a Patient,
    addrs: &'a [SocketAddr],
}

/// Where users reach a proxy.
struct Remote {
    addr: String,
    /// Users of it come to another session than the doctor's.
    is_other: bool,
}

impl Look<'_> {
    async fn at(&self, proxy: &ProxyConfig, service: &Step) -> Vec<Step> {
        let serves = service.mark == Mark::Ok;
        let (step, remote) = self.registration(proxy);
        let mut steps = vec![step, service.clone()];
        let Some(remote) = remote else {
            let found = "frps does not have the proxy";
            steps.push(Step::new(
                "remotePort",
                &proxy.name,
                Mark::NotChecked,
                found,
            ));
            return steps;
        };
        let served = (!remote.is_other).then(|| Served {
            client: &self.session.client,
            name: &proxy.name,
            kind: proxy.kind.as_str(),
        });
        let at = outside::Place {
            cfg: &self.patient.cfg,
            addrs: self.addrs,
            remote: &remote.addr,
        };
        steps.extend(outside::look(proxy, &at, served, serves).await);
        steps
    }

    /// Whether frps has the proxy, and where users reach it then.
    fn registration(&self, proxy: &ProxyConfig) -> (Step, Option<Remote>) {
        const STEP: &str = "proxy";
        let name = &proxy.name;
        let running = self.patient.running.as_ref();
        if let Some(proxies) = running.and_then(|running| running.proxies()) {
            return match proxies.iter().find(|proxy| proxy.is_called(name)) {
                None => {
                    let found = "the frpc that runs does not have it";
                    let step = Step::new(STEP, name, Mark::Failed, found);
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
        let configured = |step: Step| {
            let remote = outside::configured(proxy).map(|addr| Remote {
                addr,
                is_other: true,
            });
            (step, remote)
        };
        if self.session.run.is_none() {
            let found = "the frpc that runs may have it; it has no webServer that could be asked";
            return configured(Step::new(STEP, name, Mark::NotChecked, found));
        }
        let registrations = self.session.client.registrations();
        let mut all = registrations.all();
        let Some(known) = all.find(|one| one.proxy().cfg.name == *name) else {
            let found = match proxy.load_balancer {
                Some(_) => {
                    "not registered: its group would send users to a service that is not there"
                }
                None if self.ended() => "the session with frps has ended",
                None => "not registered: the frpc that runs has the device of the virtual network",
            };
            let mark = match self.ended() {
                true => Mark::Failed,
                false => Mark::NotChecked,
            };
            return (Step::new(STEP, name, mark, found), None);
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
                (Step::new(STEP, name, Mark::Ok, found), Some(remote))
            }
            Some(false) => {
                let (status, error) = (known.status(), known.error());
                let is_in_use = IN_USE.iter().any(|text| error.contains(text));
                if is_in_use && running.is_some() {
                    let found = "in use, as it should by the frpc that runs";
                    return configured(Step::new(STEP, name, Mark::Ok, found));
                }
                let cure = cure(&status, error).unwrap_or_default();
                let step = Step::new(STEP, name, Mark::Failed, error);
                (step.because("the proxy does not start", cure), None)
            }
            None if proxy.health_check.is_some() => {
                let found = "not registered while its health check fails";
                (Step::new(STEP, name, Mark::NotChecked, found), None)
            }
            None => {
                let found = "frps did not answer the registration in time";
                (Step::new(STEP, name, Mark::Failed, found), None)
            }
        }
    }

    /// The session has ended by itself.
    fn ended(&self) -> bool {
        let run = self.session.run.as_ref();
        run.is_some_and(JoinHandle::is_finished)
    }
}
