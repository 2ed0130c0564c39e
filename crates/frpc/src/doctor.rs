//! `frpc doctor`: why does this frpc not work, and what is to be done? It walks what frpc itself goes through: the
//! configuration, names, TCP, TLS, the transport, a login, the local services, and the ports of its proxies as users
//! reach them. Causes and cures are those of [`crate::diagnose`].
//!
//! It disturbs nobody: its session has a run id of its own and no visitors, and where the same frpc runs already, its
//! proxies are looked at instead of registered.

mod names;
mod outside;
mod packets;
mod running;
mod services;
mod session;
mod ways;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use frp_ask::doctor::{Mark, Report, Step};
use frp_config::cli::Doctor;
use frp_config::{ClientConfig, ClientPlugin, DnsServer, Transport, TransportProtocol};
use frp_net::literal::socket_addr;
use frp_net::resolve;
use frp_proto::VERSION;
use tokio::time::timeout;

use crate::auto::Auto;
use crate::client::Client;
use crate::diagnose::{Explained, path};
use crate::limits::DOCTOR;
use crate::one_way::OneWay;
use crate::settings::{ConfigFile, Settings};

/// Looks, tells, and gives the exit status.
pub(crate) async fn run(asked: Doctor<ClientConfig>) -> ExitCode {
    let json = asked.json;
    let report = Report::new("frpc", VERSION, json);
    if timeout(DOCTOR, walk(asked, &report)).await.is_err() {
        let seconds = DOCTOR.as_secs();
        let found = format!("not everything was answered within {seconds} s");
        report.add(Step::new("time", "", Mark::Failed, found));
    }
    report.end(json)
}

/// What is known once the configuration is read.
struct Patient {
    /// As the program would run it.
    cfg: Arc<ClientConfig>,
    /// The doctor's own: no visitors, no web server, and no proxies where the program runs.
    client: Arc<Client>,
    /// The one way, or the first of those that are tried.
    way: Arc<OneWay>,
    auto: Option<Auto>,
    /// What the program says of its proxies, where it runs.
    running: Option<running::Running>,
}

async fn walk(asked: Doctor<ClientConfig>, report: &Report) {
    report.now("configuration");
    let Some(patient) = configuration(asked, report).await else {
        return;
    };
    clock(report);
    report.now("dns");
    let Some(addrs) = names::look_up(&patient, report).await else {
        return;
    };
    report.now("the way to frps, and a login");
    let Some(session) = ways::walk(patient, &addrs, report).await else {
        return;
    };
    report.now("proxies");
    session.proxies(&addrs, report).await;
    session.leave().await;
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
    let path = asked.file.clone().unwrap_or_default();
    let about = path.display().to_string();
    let wrong = |error: String| {
        let cure = "correct the file; frpc verify checks it";
        let step = Step::new(
            "configuration",
            about.clone(),
            Mark::Failed,
            "cannot be used",
        );
        report.add(step.because(error, cure));
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
    let mut cfg = loaded.settings;
    let prepared = async {
        cfg.auth = cfg.auth.resolve().map_err(|e| e.to_string())?;
        let settings = Settings::new(cfg, Some(file)).map_err(|e| e.to_string())?;
        let cfg = settings.merged();
        use_dns(&cfg);
        let running = running::ask(&cfg).await;
        let mut own = ClientConfig::clone(&cfg);
        own.visitors = Vec::new();
        own.web_server = None;
        own.store_path = None;
        let is_ours =
            |plugin: &Option<ClientPlugin>| !matches!(plugin, Some(ClientPlugin::VirtualNet));
        own.proxies
            .retain(|proxy| running.is_none() && is_ours(&proxy.plugin));
        let (way, auto) = ways_of(&own).map_err(|e| format!("transport.tls: {e}"))?;
        let settings = Settings::new(own, None).map_err(|e| e.to_string())?;
        let client = Client::new(settings).map_err(|e| e.to_string())?;
        Ok::<_, String>(Patient {
            cfg,
            client: Arc::new(client),
            way,
            auto,
            running,
        })
    };
    match prepared.await {
        Err(error) => {
            wrong(error);
            None
        }
        Ok(patient) => {
            let counts = format!(
                "{} proxies, {} visitors",
                patient.cfg.proxies.len(),
                patient.cfg.visitors.len()
            );
            let mark = match warnings.is_empty() {
                true => Mark::Ok,
                false => Mark::Warning,
            };
            let step = Step::new("configuration", about, mark, counts);
            report.add(step.because(warnings.join("\n"), ""));
            others_may_read(&path, &patient.cfg, report);
            if let Some(running) = &patient.running {
                report.add(running.step());
            }
            Some(patient)
        }
    }
}

/// How frps is reached, as [`crate::service`] has it.
fn ways_of(cfg: &ClientConfig) -> Result<(Arc<OneWay>, Option<Auto>), frp_net::tls::TlsSetupError> {
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

fn use_dns(cfg: &ClientConfig) {
    if let Some(DnsServer { ip, port }) = &cfg.dns_server {
        resolve::use_server(socket_addr(ip, *port));
    }
}

/// A token in a file that every user of the machine may read.
fn others_may_read(path: &std::path::Path, cfg: &ClientConfig, report: &Report) {
    use std::os::unix::fs::PermissionsExt as _;
    const OTHERS_READ: u32 = 0o004;
    let mode = std::fs::metadata(path).map(|of| of.permissions().mode());
    if mode.is_ok_and(|mode| mode & OTHERS_READ != 0) && !cfg.auth.token.expose().is_empty() {
        let about = path.display().to_string();
        let step = Step::new(
            "permissions",
            &about,
            Mark::Warning,
            "every user may read it",
        );
        let cause = "auth.token stands in it";
        report.add(step.because(
            cause,
            format!("chmod 600 {about}, for the user that frpc runs as"),
        ));
    }
}

/// Whether the time can be right at all; whether it is to the second, nobody here knows.
fn clock(report: &Report) {
    /// 2025 and 2100, behind 1970.
    const POSSIBLE: std::ops::Range<Duration> =
        Duration::from_secs(1_735_689_600)..Duration::from_secs(4_102_444_800);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    match now.is_ok_and(|now| POSSIBLE.contains(&now)) {
        true => match frp_process::clock::is_synchronised() {
            Some(false) => {
                let found = "not synchronised by the system";
                let step = Step::new("clock", "", Mark::Warning, found);
                report.add(step.because(
                    "nothing sets the clock of this machine; logins and certificates have a time",
                    "switch its synchronisation on (timedatectl set-ntp true), or check the time by hand",
                ));
            }
            Some(true) => report.add(Step::new("clock", "", Mark::Ok, "synchronised")),
            None => report.add(Step::new("clock", "", Mark::Ok, "plausible")),
        },
        false => report.add(failed("clock", "", &path::clock())),
    }
}
