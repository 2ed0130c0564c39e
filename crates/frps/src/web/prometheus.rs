//! The metrics page: text format 0.0.4, names and labels as in frp
//! (`pkg/metrics/prometheus/server.go`).

use std::fmt::{Display, Write, from_fn};

use crate::stats::Stats;
use crate::stats::metrics::ProxyStats;

pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=values";

/// All families, sorted by name. A proxy's lines stay until the proxy is forgotten.
pub(super) fn text(stats: &Stats) -> String {
    let totals = stats.metrics.totals();
    let proxies = stats.metrics.all();
    let connected: Vec<&ProxyStats> = proxies.iter().filter(|p| p.ever_connected).collect();
    let mut page = Page::default();

    page.family(
        "client_counts",
        "The current client counts of frps",
        "gauge",
    );
    page.line("", stats.clients.online());
    page.family(
        "connection_counts",
        "The current connection counts",
        "gauge",
    );
    for proxy in &connected {
        page.line(labels(proxy), proxy.connections);
    }
    page.family("proxy_counts", "The current proxy counts", "gauge");
    for (kind, count) in &totals.types {
        page.line(format_args!("{{type=\"{kind}\"}}"), count);
    }
    page.family(
        "proxy_counts_detailed",
        "The current number of proxies grouped by type and name",
        "gauge",
    );
    for proxy in &proxies {
        page.line(labels(proxy), u8::from(proxy.running.is_some()));
    }
    page.family("traffic_in", "The total in traffic", "counter");
    for proxy in &connected {
        page.line(labels(proxy), proxy.traffic.inward);
    }
    page.family("traffic_out", "The total out traffic", "counter");
    for proxy in &connected {
        page.line(labels(proxy), proxy.traffic.outward);
    }
    page.text
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
        self.head = format!("# HELP frp_server_{name} {help}\n# TYPE frp_server_{name} {kind}\n");
    }

    fn line(&mut self, labels: impl Display, value: impl Display) {
        self.text += &std::mem::take(&mut self.head);
        // Writing to a `String` cannot fail.
        let _ = writeln!(self.text, "frp_server_{}{labels} {value}", self.family);
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
        let page = text(&stats);
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
        let page = text(&stats);
        assert!(page.contains("frp_server_proxy_counts{type=\"tcp\"} 0\n"));
        assert!(page.contains(&format!("frp_server_proxy_counts_detailed{name} 0\n")));
    }
}
