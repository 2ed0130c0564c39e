//! The metrics page: text format 0.0.4, names and labels as in frp
//! (`pkg/metrics/prometheus/server.go`), and those of our own, `frprs_server_...`. `docs/metrics.md` has all of
//! them.

use std::fmt::{Display, Write, from_fn};
use std::sync::atomic::{AtomicU64, Ordering};

use frp_net::stream::Transport;
use frp_process::process::{descriptors, resident};
use frp_proto::plugin::PluginOp;

use super::Site;
use crate::counts::{CALL_TIMES, CallCounts};
use crate::stats::Stats;
use crate::stats::metrics::{ProxyStats, Totals};

pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=values";

/// All families, sorted by name.
pub(super) fn text(site: &Site) -> String {
    let mut page = Page::default();
    let totals = site.stats.metrics.totals();
    of_frp(&mut page, &site.stats, &totals);
    own(&mut page, site, &totals);
    page.text
}

/// A proxy's lines stay until the proxy is forgotten.
fn of_frp(page: &mut Page, stats: &Stats, totals: &Totals) {
    let proxies = stats.metrics.all();
    let connected: Vec<&ProxyStats> = proxies.iter().filter(|p| p.ever_connected).collect();

    page.family(
        "frp_server_client_counts",
        "The current client counts of frps",
        "gauge",
    );
    page.line("", stats.clients.counts().online);
    page.family(
        "frp_server_connection_counts",
        "The current connection counts",
        "gauge",
    );
    for proxy in &connected {
        page.line(labels(proxy), proxy.connections);
    }
    page.family(
        "frp_server_proxy_counts",
        "The current proxy counts",
        "gauge",
    );
    for (kind, count) in &totals.types {
        page.line(format_args!("{{type=\"{kind}\"}}"), count);
    }
    page.family(
        "frp_server_proxy_counts_detailed",
        "The current number of proxies grouped by type and name",
        "gauge",
    );
    for proxy in &proxies {
        page.line(labels(proxy), u8::from(proxy.running.is_some()));
    }
    page.family("frp_server_traffic_in", "The total in traffic", "counter");
    for proxy in &connected {
        page.line(labels(proxy), proxy.traffic.inward);
    }
    page.family("frp_server_traffic_out", "The total out traffic", "counter");
    for proxy in &connected {
        page.line(labels(proxy), proxy.traffic.outward);
    }
}

fn own(page: &mut Page, site: &Site, totals: &Totals) {
    let (shared, stats) = (&site.shared, &site.stats);
    let (reloads, pools) = (&shared.counts.reloads, &shared.counts.pools);
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    page.family(
        "frprs_server_config_last_reload_success_timestamp_seconds",
        "When settings were taken last, at the start or by a reload",
        "gauge",
    );
    page.line("", reloads.taken_at.load(Ordering::Relaxed));
    page.family(
        "frprs_server_config_last_reload_successful",
        "Whether the last reload of the configuration was taken",
        "gauge",
    );
    page.line("", u8::from(!reloads.is_refused.load(Ordering::Relaxed)));
    page.family(
        "frprs_server_config_reloads_total",
        "Reloads of the configuration",
        "counter",
    );
    page.line("{result=\"applied\"}", count(&reloads.done));
    page.line("{result=\"refused\"}", count(&reloads.refused));
    let bans = &site.shared.bans;
    page.family(
        "frprs_server_guard_banned_total",
        "Bans since the start, by what for",
        "counter",
    );
    for (kind, _, banned) in bans.counts() {
        page.line(format_args!("{{cause=\"{kind}\"}}"), banned);
    }
    page.family("frprs_server_guard_bans", "Bans that are in force", "gauge");
    page.line("", bans.all().len());
    page.family(
        "frprs_server_guard_failures_total",
        "Failures that are counted against their source",
        "counter",
    );
    for (kind, failures, _) in bans.counts() {
        page.line(format_args!("{{cause=\"{kind}\"}}"), failures);
    }
    page.family(
        "frprs_server_guard_refused_total",
        "Users that guards have turned away, by why",
        "counter",
    );
    for (why, refused) in site.shared.admission.refused() {
        page.line(format_args!("{{cause=\"{why}\"}}"), refused);
    }
    page.family(
        "frprs_server_login_failures_total",
        "Logins that failed",
        "counter",
    );
    for (cause, failures) in stats.logins.counts() {
        page.line(format_args!("{{cause=\"{}\"}}", cause.code()), failures);
    }
    let files = descriptors();
    page.family(
        "frprs_server_max_descriptors",
        "File descriptors that the process may have open",
        "gauge",
    );
    if let Some(limit) = files.as_ref().and_then(|files| files.limit) {
        page.line("", limit);
    }
    page.family(
        "frprs_server_open_descriptors",
        "File descriptors that the process has open",
        "gauge",
    );
    if let Some(files) = files {
        page.line("", files.used);
    }
    let policy = shared.policy();
    page.family(
        "frprs_server_plugin_call_duration_seconds",
        "How long calls of server plugins took",
        "histogram",
    );
    for (name, op, counts) in policy.plugins.counts() {
        histogram(page, &escaped(name), op, counts);
    }
    page.family(
        "frprs_server_plugin_calls_total",
        "Calls of server plugins that have ended",
        "counter",
    );
    for (name, op, counts) in policy.plugins.counts() {
        let name = escaped(name);
        for (end, count) in counts.ends() {
            let end = end.as_str();
            let labels = format_args!("{{op=\"{op}\",plugin=\"{name}\",result=\"{end}\"}}");
            page.line(labels, count);
        }
    }
    page.family(
        "frprs_server_pool_misses_total",
        "Users for whom no work connection was ready",
        "counter",
    );
    page.line("", count(&pools.misses));
    page.family(
        "frprs_server_pool_timeouts_total",
        "Users who got no work connection in time",
        "counter",
    );
    page.line("", count(&pools.timeouts));
    page.family(
        "frprs_server_relay_bytes_total",
        "Bytes carried, in is from users to services",
        "counter",
    );
    for (kind, amount) in &totals.carried {
        for (direction, bytes) in [("in", amount.inward), ("out", amount.outward)] {
            let labels = format_args!("{{direction=\"{direction}\",type=\"{kind}\"}}");
            page.line(labels, bytes);
        }
    }
    page.family(
        "frprs_server_resident_memory_bytes",
        "Memory of the process that is in RAM",
        "gauge",
    );
    if let Some(memory) = resident() {
        page.line("", memory);
    }
    page.family(
        "frprs_server_sessions",
        "Clients that are logged in, by what carries their connection",
        "gauge",
    );
    let clients = stats.clients.all();
    for transport in Transport::ALL {
        let sessions = clients
            .iter()
            .filter(|client| client.is_online() && client.from.transport == transport);
        page.line(
            format_args!("{{transport=\"{}\"}}", transport.as_str()),
            sessions.count(),
        );
    }
    page.family(
        "frprs_server_start_time_seconds",
        "When frps was started",
        "gauge",
    );
    page.line("", stats.started.as_second());
    page.family(
        "frprs_server_strangers",
        "Connections that have not logged in yet",
        "gauge",
    );
    page.line("", shared.strangers.waiting());
    page.family(
        "frprs_server_user_connections",
        "Connections of users that are open",
        "gauge",
    );
    page.line("", shared.conns.open());
}

fn histogram(page: &mut Page, plugin: &str, op: PluginOp, counts: &CallCounts) {
    let mut all = 0;
    let bounds = CALL_TIMES.into_iter().map(Some).chain([None]);
    for (millis, count) in bounds.zip(counts.within()) {
        let bound = match millis {
            Some(millis) => (millis as f64 / 1e3).to_string(),
            None => "+Inf".to_owned(),
        };
        let labels = format_args!("{{op=\"{op}\",plugin=\"{plugin}\",le=\"{bound}\"}}");
        page.part("_bucket", labels, count);
        all = count;
    }
    let labels = || format!("{{op=\"{op}\",plugin=\"{plugin}\"}}");
    page.part("_sum", labels(), counts.time().as_secs_f64());
    page.part("_count", labels(), all);
}

#[derive(Debug, Default)]
struct Page {
    text: String,
    family: &'static str,
    /// `# HELP` and `# TYPE`, until the family has a line.
    head: String,
}

impl Page {
    fn family(&mut self, name: &'static str, help: &str, kind: &str) {
        self.family = name;
        self.head = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn line(&mut self, labels: impl Display, value: impl Display) {
        self.part("", labels, value);
    }

    /// Of a family with several: `part` is what stands behind its name.
    fn part(&mut self, part: &str, labels: impl Display, value: impl Display) {
        self.text += &std::mem::take(&mut self.head);
        // Writing to a `String` cannot fail.
        let _ = writeln!(self.text, "{}{part}{labels} {value}", self.family);
    }
}

fn labels(proxy: &ProxyStats) -> impl Display {
    from_fn(|f| {
        let (name, kind) = (escaped(&proxy.name), proxy.kind);
        write!(f, "{{name=\"{name}\",type=\"{kind}\"}}")
    })
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use frp_proto::msg::NewProxy;
    use frp_proto::names::ProxyType;

    use super::*;
    use crate::proxy::spec::ProxySpec;

    fn written(stats: &Stats) -> String {
        let mut page = Page::default();
        of_frp(&mut page, stats, &stats.metrics.totals());
        page.text
    }

    #[test]
    fn a_page_with_a_proxy_whose_name_needs_escapes() {
        let stats = Stats::new();
        let spec = ProxySpec::read(&NewProxy {
            proxy_name: "a\"\\\n".to_owned(),
            ..NewProxy::default()
        });
        let spec = Arc::new(spec.unwrap());
        let counters = stats.metrics.counters(&spec.name, ProxyType::Tcp);
        let owner = (&"".into(), &"".into());
        let running = stats.metrics.start(spec, None, owner, &counters);
        let serving = counters.serving();
        let page = written(&stats);
        let name = r#"{name="a\"\\\n",type="tcp"}"#;
        for line in [
            "# TYPE frp_server_client_counts gauge".to_owned(),
            "frp_server_client_counts 0".to_owned(),
            "frp_server_proxy_counts{type=\"tcp\"} 1".to_owned(),
            format!("frp_server_proxy_counts_detailed{name} 1"),
            format!("frp_server_connection_counts{name} 1"),
            format!("frp_server_traffic_in{name} 0"),
        ] {
            assert!(page.lines().any(|l| l == line), "{line}\n{page}");
        }
        drop((running, serving));
        let page = written(&stats);
        assert!(page.contains("frp_server_proxy_counts{type=\"tcp\"} 0\n"));
        assert!(page.contains(&format!("frp_server_proxy_counts_detailed{name} 0\n")));
    }
}
