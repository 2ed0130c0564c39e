//! What the proxies do, as frp shows it (frp `client/http/controller.go`).

use std::collections::BTreeMap;
use std::sync::PoisonError;

use frp_config::{ClientPlugin, EntryKind, ProxyKind};
use frp_net::go_text::join_host_port;
use serde::Serialize;

use super::Admin;

/// As frp shows a proxy.
#[derive(Debug, Serialize)]
pub(super) struct ProxyStatus {
    pub(super) name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    pub(super) status: String,
    pub(super) err: String,
    local_addr: String,
    plugin: &'static str,
    pub(super) remote_addr: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'static str>,
}

impl Admin {
    /// By type, sorted by name.
    pub(super) fn status(&self) -> BTreeMap<&'static str, Vec<ProxyStatus>> {
        let store = self.settings.store();
        let from_store = |name: &str| {
            let store = store.as_ref()?;
            store.enables(EntryKind::Proxy, name).then_some("store")
        };
        let registrations = &self.registrations;
        let registrations = registrations.lock().unwrap_or_else(PoisonError::into_inner);
        let mut by_type: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for registration in registrations.all() {
            let cfg = &registration.proxy().cfg;
            let kind = cfg.kind.as_str();
            let err = registration.error();
            let port = matches!(cfg.kind, ProxyKind::Tcp { .. } | ProxyKind::Udp { .. });
            let remote_addr = match registration.remote_addr() {
                _ if !err.is_empty() => String::new(),
                addr if port => format!("{}{addr}", self.server_addr),
                addr => addr.to_owned(),
            };
            by_type.entry(kind).or_default().push(ProxyStatus {
                name: cfg.name.clone(),
                kind,
                status: registration.status(),
                err: match registration.unreachable() {
                    Some(cause) if err.is_empty() => cause,
                    _ => err.to_owned(),
                },
                local_addr: match cfg.local_port {
                    0 => String::new(),
                    port => join_host_port(&cfg.local_ip, port),
                },
                plugin: cfg.plugin.as_ref().map_or("", ClientPlugin::as_str),
                remote_addr,
                source: from_store(&cfg.name),
            });
        }
        by_type
    }
}
