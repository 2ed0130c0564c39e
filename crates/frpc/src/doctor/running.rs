//! What does the frpc of this configuration say that runs already? By its admin API, where it has one; that it runs
//! shows the system, too.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use frp_ask::call::send;
use frp_ask::doctor::{Mark, Report, Step};
use frp_config::ClientConfig;
use frp_config::cli::{AdminCall, AdminRequest};
use frp_net::go_text::{go_text, join_host_port};
use frp_net::listen::listen;
use hyper::Method;
use serde::Deserialize;

use crate::admin::cure::cure;

/// For a program on this machine.
const LIMIT: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Debug)]
pub(super) struct Running {
    /// What its API says; `None`: it cannot be asked.
    proxies: Option<Vec<Proxy>>,
}

/// A proxy as `/api/status` describes it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Proxy {
    name: String,
    status: String,
    err: String,
    pub(super) remote_addr: String,
}

/// Whom there is, and that its admin port is free where there is nobody.
pub(super) async fn ask(cfg: &ClientConfig, path: &Path, report: &Report) -> Option<Running> {
    const STEP: &str = "running";
    if let Some(proxies) = by_api(cfg).await {
        let found = "this frpc runs: its proxies are looked at, not registered again";
        report.add(Step::new(STEP, "", Mark::Ok, found));
        return Some(Running {
            proxies: Some(proxies),
        });
    }
    if let Some(pid) = process(path) {
        let found = format!(
            "this frpc runs (process {pid}), and cannot be asked: it has no webServer, or another one"
        );
        report.add(Step::new(STEP, "", Mark::Ok, found));
        return Some(Running { proxies: None });
    }
    let web = cfg.web_server.as_ref()?;
    if let Err(error) = listen(&web.addr, web.port) {
        let about = join_host_port(&web.addr, web.port);
        let step = Step::new(
            "webServer",
            about,
            Mark::Failed,
            go_text(&error).to_string(),
        );
        report.add(match error.kind() {
            io::ErrorKind::AddrInUse => step.because(
                "another program has the port of webServer, and frpc does not start",
                "set another webServer.port, or stop that program",
            ),
            _ => step.because(
                "frpc cannot listen there, and does not start",
                "set webServer.addr and webServer.port to what this machine has",
            ),
        });
    }
    None
}

async fn by_api(cfg: &ClientConfig) -> Option<Vec<Proxy>> {
    let web = cfg.web_server.clone()?;
    let call = AdminCall {
        program: "frpc",
        request: AdminRequest::Status,
        addr: web.addr,
        port: web.port,
        user: web.user,
        password: web.password,
        certificate: web.tls.map(|tls| tls.cert_file),
        timeout: LIMIT,
        json: true,
    };
    let answer = send(&call, Method::GET, "/api/status").await.ok()?;
    let by_type: BTreeMap<String, Vec<Proxy>> = serde_json::from_str(&answer).ok()?;
    Some(by_type.into_values().flatten().collect())
}

/// The frpc of this machine that was started with the file, or a directory of it (proc_pid_cmdline(5)).
fn process(path: &Path) -> Option<u32> {
    let file = path.canonicalize().ok()?;
    let own = std::process::id();
    let all = std::fs::read_dir("/proc").ok()?.flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(|pid| *pid != own && is_started_with(*pid, &file))
}

fn is_started_with(pid: u32, file: &Path) -> bool {
    let Ok(line) = std::fs::read_to_string(format!("/proc/{pid}/cmdline")) else {
        return false;
    };
    let mut words = line.split('\0');
    let program = words.next().and_then(|word| Path::new(word).file_name());
    if !program.is_some_and(|name| name.to_string_lossy().starts_with("frpc")) {
        return false;
    }
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    // A command, such as this one.
    if words.first().is_some_and(|word| !word.starts_with('-')) {
        return false;
    }
    let folder = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
    let named = |word: &str| {
        let word = word.split_once('=').map_or(word, |(_, value)| value);
        let word = word.strip_prefix("-c").unwrap_or(word);
        folder.join(word).canonicalize().is_ok_and(|named| {
            named == file || (named != folder && named.is_dir() && file.starts_with(&named))
        })
    };
    match words.as_slice() {
        [] => named("frpc.ini"),
        words => words.iter().any(|word| named(word)),
    }
}

impl Running {
    /// What it says of its proxies, where it can be asked.
    pub(super) fn proxies(&self) -> Option<&[Proxy]> {
        self.proxies.as_deref()
    }
}

impl Proxy {
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name == name
    }

    pub(super) fn is_up(&self) -> bool {
        self.status == "running"
    }

    pub(super) fn step(&self) -> Step {
        if self.is_up() {
            return Step::new("proxy", &self.name, Mark::Ok, "up in the frpc that runs");
        }
        let cure = cure(&self.status, &self.err).unwrap_or_default();
        let step = Step::new("proxy", &self.name, Mark::Failed, &self.status);
        step.because(&self.err, cure)
    }
}
