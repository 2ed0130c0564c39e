//! `frpc doctor`: why does this frpc not work, and what is to be done? It walks what frpc itself goes through: the
//! configuration, names, TCP, TLS, the transport, a login, the local services, and the ports of its proxies as users
//! reach them. Causes and cures are those of [`crate::diagnose`].
//!
//! It disturbs nobody: its session has a run id of its own and no visitors, it remembers no key of a server, and
//! where the same frpc runs already, its proxies are looked at instead of registered.

mod attempt;
mod changes;
mod names;
mod outside;
mod packets;
mod running;
mod services;
mod session;
mod start;
mod ways;

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use frp_ask::doctor::{Mark, Report, Step};
use frp_config::cli::Doctor;
use frp_config::{ClientConfig, ClientPlugin, DnsServer, Transport, TransportProtocol};
use frp_net::literal::socket_addr;
use frp_net::resolve;
use frp_net::tls::TlsSetupError;
use frp_proto::VERSION;
use futures_util::future::join_all;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auto::Auto;
use crate::client::Client;
use crate::diagnose::{Explained, path};
use crate::known_servers;
use crate::limits::{DOCTOR, LAST_TASKS};
use crate::one_way::OneWay;
use crate::settings::{ConfigFile, Settings};

/// Looks, tells, and gives the exit status.
pub(crate) async fn run(asked: Doctor<ClientConfig>) -> ExitCode {
    let json = asked.json;
    let report = Report::new("frpc", VERSION, json);
    let visit = Visit::default();
    if timeout(DOCTOR, walk(asked, &visit, &report)).await.is_err() {
        let seconds = DOCTOR.as_secs();
        let found = format!("not everything was answered within {seconds} s");
        report.add(Step::new("time", "", Mark::Failed, found));
    }
    visit.end().await;
    report.end(json)
}

/// What the doctor has begun, and ends in any case.
#[derive(Debug, Default)]
struct Visit {
    stop: CancellationToken,
    sessions: TaskTracker,
    client: OnceLock<Arc<Client>>,
}

impl Visit {
    /// Leaves, so that frps lets go of everything at once.
    async fn end(self) {
        self.stop.cancel();
        self.sessions.close();
        let _ = timeout(LAST_TASKS, self.sessions.wait()).await;
        if let Some(client) = self.client.get() {
            client.tasks.stop.cancel();
            client.tasks.tracker.close();
            let _ = timeout(LAST_TASKS, client.tasks.tracker.wait()).await;
            client.live.real_ip.end().await;
        }
    }
}

/// What is known once the configuration is read.
struct Patient {
    /// As the program would run it.
    cfg: Arc<ClientConfig>,
    /// The doctor's own: no visitors, no web server, and no proxies and no device where the program runs.
    client: Arc<Client>,
    /// The one way, or the first of those that are tried.
    way: Arc<OneWay>,
    auto: Option<Auto>,
    /// The program itself, where it runs.
    running: Option<running::Running>,
    /// The local service of each proxy, in their order.
    services: Vec<Step>,
}

async fn walk(asked: Doctor<ClientConfig>, visit: &Visit, report: &Report) {
    report.now("configuration and local services");
    let Some(mut patient) = configuration(asked, report).await else {
        return;
    };
    let _ = visit.client.set(patient.client.clone());
    start::device(&patient.client, report).await;
    clock(report);
    report.now("dns");
    let addrs = names::look_up(&patient, report).await;
    let mut session = None;
    if let Some(addrs) = &addrs {
        report.now("the way to frps, and a login");
        session = ways::walk(&mut patient, addrs, visit, report).await;
    }
    report.now("proxies");
    match (&session, &addrs) {
        (Some(session), Some(addrs)) => session.proxies(&patient, addrs, report).await,
        _ => without_login(&patient, report),
    }
    for visitor in &patient.cfg.visitors {
        report.add(services::visitor(visitor, patient.running.is_some()));
    }
}

/// A failed step, in the words of the diagnosis.
fn failed(step: &'static str, about: impl Into<String>, why: &Explained) -> Step {
    explained(step, about, Mark::Failed, why)
}

fn explained(step: &'static str, about: impl Into<String>, mark: Mark, why: &Explained) -> Step {
    let cure = why.cure().unwrap_or_default();
    Step::new(step, about, mark, why.seen()).because(why.why(), cure)
}

/// Reads everything that the program reads at its start.
async fn configuration(asked: Doctor<ClientConfig>, report: &Report) -> Option<Patient> {
    const STEP: &str = "configuration";
    let path = asked.file.clone().unwrap_or_default();
    let about = path.display().to_string();
    let wrong = |error: String| {
        let step = Step::new(STEP, about.clone(), Mark::Failed, "cannot be used");
        report.add(step.because(error, "correct the file; frpc verify checks it"));
    };
    let mut loaded = match asked.loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            wrong(error);
            return None;
        }
    };
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    let file = ConfigFile {
        path: path.clone(),
        options: asked.options,
        definitions: Arc::new(std::mem::take(&mut loaded.definitions)),
        texts: Arc::new(std::mem::take(&mut loaded.texts)),
    };
    let cfg = match settled(loaded.settings, file) {
        Ok(cfg) => cfg,
        Err(error) => {
            wrong(error);
            return None;
        }
    };
    let counts = format!(
        "can be used: {} proxies, {} visitors",
        cfg.proxies.len(),
        cfg.visitors.len()
    );
    let mark = match warnings.is_empty() {
        true => Mark::Ok,
        false => Mark::Warning,
    };
    report.add(Step::new(STEP, about.clone(), mark, counts).because(warnings.join("\n"), ""));
    others_may_read(&path, &cfg, report);
    start::log(&cfg, report);
    use_dns(&cfg, report);
    let looks = join_all(cfg.proxies.iter().map(services::look));
    let (services, running) = tokio::join!(looks, running::ask(&cfg, &path, report));
    match own(&cfg, running.as_ref(), &services) {
        Ok((client, way, auto)) => Some(Patient {
            cfg,
            client,
            way,
            auto,
            running,
            services,
        }),
        Err(error) => {
            wrong(error);
            None
        }
    }
}

/// With the files that they name.
fn settled(mut cfg: ClientConfig, file: ConfigFile) -> Result<Arc<ClientConfig>, String> {
    let path = file.path.clone();
    cfg.auth = cfg.auth.resolve().map_err(|e| e.to_string())?;
    let settings = Settings::new(cfg, Some(file)).map_err(|e| e.to_string())?;
    known_servers::settle(settings.merged(), Some(&path)).map_err(|e| e.to_string())
}

type Own = (Arc<Client>, Arc<OneWay>, Option<Auto>);

/// The doctor's own client, and how it reaches frps.
fn own(
    cfg: &ClientConfig,
    running: Option<&running::Running>,
    services: &[Step],
) -> Result<Own, String> {
    let mut own = cfg.clone();
    own.visitors = Vec::new();
    own.web_server = None;
    own.store_path = None;
    if running.is_some() {
        own.virtual_net_address = None;
    }
    let is_asked = running.is_some_and(|running| running.proxies().is_some());
    let wanted = cfg.proxies.iter().zip(services);
    let wanted = wanted.filter(|(proxy, service)| {
        // The program has the device.
        let needs_device =
            running.is_some() && matches!(proxy.plugin, Some(ClientPlugin::VirtualNet));
        // Others of its group serve users that this one would fail.
        let would_fail = proxy.load_balancer.is_some() && service.mark == Mark::Failed;
        !is_asked && !needs_device && !would_fail
    });
    own.proxies = wanted.map(|(proxy, _)| proxy.clone()).collect();
    let (way, auto) = ways_of(&own).map_err(|e| format!("transport.tls: {e}"))?;
    let settings = Settings::new(own, None).map_err(|e| e.to_string())?;
    let client = Client::new(settings).map_err(|e| e.to_string())?;
    Ok((Arc::new(client), way, auto))
}

/// How frps is reached, as [`crate::service`] has it.
fn ways_of(cfg: &ClientConfig) -> Result<(Arc<OneWay>, Option<Auto>), TlsSetupError> {
    Ok(match &cfg.transport.protocol {
        Transport::One(protocol) => {
            let way = OneWay::new(Arc::new(cfg.clone()), *protocol)?;
            (Arc::new(way), None)
        }
        Transport::Auto(order) => {
            let first = order.first().copied();
            let protocol = first.map_or(TransportProtocol::Tcp, |way| way.protocol);
            let one = first.map_or_else(|| cfg.clone(), |way| cfg.by(way));
            let way = OneWay::new(Arc::new(one), protocol)?;
            (Arc::new(way), Some(Auto::new(cfg, order)?))
        }
    })
}

fn use_dns(cfg: &ClientConfig, report: &Report) {
    let Some(DnsServer { ip, port }) = &cfg.dns_server else {
        return;
    };
    match socket_addr(ip, *port) {
        Some(server) => resolve::use_server(Some(server)),
        None => {
            let step = Step::new("dns", ip.to_string(), Mark::Warning, "no such interface");
            report.add(step.because(
                "dnsServer is on an interface that this machine does not have: the system resolves names",
                "set dnsServer to an address of this network, or remove it",
            ));
        }
    }
}

/// A token in a file that every user of the machine may read.
fn others_may_read(path: &Path, cfg: &ClientConfig, report: &Report) {
    use std::os::unix::fs::PermissionsExt as _;
    const OTHERS_READ: u32 = 0o004;
    let mode = std::fs::metadata(path).map(|of| of.permissions().mode());
    if mode.is_ok_and(|mode| mode & OTHERS_READ != 0) && !cfg.auth.token.expose().is_empty() {
        let about = path.display().to_string();
        let found = "every user may read it";
        let step = Step::new("permissions", about.clone(), Mark::Warning, found);
        report.add(step.because(
            "auth.token stands in it",
            format!("chmod 600 {about}, for the user that frpc runs as"),
        ));
    }
}

/// Whether the time can be right at all; whether it is to the second, nobody here knows.
fn clock(report: &Report) {
    /// 2025 and 2100, behind 1970.
    const POSSIBLE: std::ops::Range<Duration> =
        Duration::from_secs(1_735_689_600)..Duration::from_secs(4_102_444_800);
    const STEP: &str = "clock";
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    if !now.is_ok_and(|now| POSSIBLE.contains(&now)) {
        return report.add(failed(STEP, "", &path::clock()));
    }
    report.add(match frp_process::clock::is_synchronised() {
        Some(false) => {
            let step = Step::new(STEP, "", Mark::Warning, "not synchronised by the system");
            step.because(
                "nothing sets the clock of this machine; logins and certificates have a time",
                "switch its synchronisation on (timedatectl set-ntp true), or check the time by hand",
            )
        }
        Some(true) => Step::new(STEP, "", Mark::Ok, "synchronised"),
        None => Step::new(STEP, "", Mark::Ok, "plausible"),
    });
}

/// What can be known of the proxies all the same.
fn without_login(patient: &Patient, report: &Report) {
    for (proxy, service) in patient.cfg.proxies.iter().zip(&patient.services) {
        report.add(service.clone());
        let found = "there is no login";
        report.add(Step::new(
            "remotePort",
            &proxy.name,
            Mark::NotChecked,
            found,
        ));
    }
}
