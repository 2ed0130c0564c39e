//! What does the frpc of this configuration say that runs already? By its admin API, where it has one.

use std::collections::BTreeMap;
use std::time::Duration;

use frp_ask::call::send;
use frp_ask::doctor::{Mark, Step};
use frp_config::ClientConfig;
use frp_config::cli::{AdminCall, AdminRequest};
use hyper::Method;
use serde::Deserialize;

use crate::admin::cure::cure;

/// For a program on this machine.
const LIMIT: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Debug)]
pub(super) struct Running {
    proxies: Vec<Proxy>,
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

/// `None`: it does not run, or has no admin API.
pub(super) async fn ask(cfg: &ClientConfig) -> Option<Running> {
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
    let proxies = by_type.into_values().flatten().collect();
    Some(Running { proxies })
}

impl Running {
    pub(super) fn step(&self) -> Step {
        let found = "this frpc runs: its proxies are looked at, not registered again";
        Step::new("running", "", Mark::Ok, found)
    }

    pub(super) fn proxy(&self, name: &str) -> Option<&Proxy> {
        self.proxies.iter().find(|proxy| proxy.name == name)
    }
}

impl Proxy {
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
