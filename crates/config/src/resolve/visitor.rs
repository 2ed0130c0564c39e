//! `visitors`: entries to settings.

use std::time::Duration;

use super::{is_active, seconds};
use crate::check::{judge, not_supported};
use crate::keys::{Support, VISITOR};
use crate::report::Report;
use crate::section::Section;
use crate::{Secret, VisitorConfig, VisitorKind, VisitorPlugin, XtcpProtocol, XtcpVisitor};

/// The visitors that are to run; only those must be free of unsupported and invalid values.
pub(super) fn visitors(
    entries: &[Section],
    start: &[String],
    legacy: bool,
    report: &mut Report<'_>,
) -> Vec<VisitorConfig> {
    let mut visitors = Vec::new();
    for entry in entries.iter().filter(|entry| is_active(entry, start)) {
        let name = entry.text("name");
        let prefix = format!("visitor {name}: ");
        let kind = entry.text("type");
        let tag = VISITOR.tag(&kind);
        if tag.is_some_and(|tag| tag.support != Support::Ready) {
            let at = entry.value_at("type");
            not_supported(&prefix, &format!("type = {kind:?}"), at, report);
        }
        for (key, text, advice) in [
            ("name", "name is required", "add name = \"...\""),
            (
                "serverName",
                "server name is required",
                "add serverName, the name of the proxy to visit",
            ),
        ] {
            if entry.text(key).is_empty() {
                report.error(entry.at, format!("{prefix}{text}"), advice);
            }
        }
        if entry.int("bindPort") == 0 {
            report.error(
                entry.at,
                format!("{prefix}bind port is required"),
                "add bindPort; -1 for no listener",
            );
        }
        judge(entry, &prefix, legacy, report);
        visitors.push(visitor(entry, name, &kind));
    }
    visitors.sort_by(|a, b| a.name.cmp(&b.name));
    visitors
}

fn visitor(entry: &Section, name: String, kind: &str) -> VisitorConfig {
    let plugin = entry.items("plugin").first();
    VisitorConfig {
        name,
        use_encryption: entry.bool("transport.useEncryption"),
        use_compression: entry.bool("transport.useCompression"),
        secret_key: Secret::from(entry.text("secretKey")),
        server_user: entry.text("serverUser"),
        server_name: entry.text("serverName"),
        bind_addr: entry.text("bindAddr"),
        bind_port: u16::try_from(entry.int("bindPort")).ok(),
        plugin: plugin.map(|table| VisitorPlugin::VirtualNet {
            destination_ip: table.text("destinationIP").parse().ok(),
        }),
        kind: match kind {
            "sudp" => VisitorKind::Sudp,
            "xtcp" => VisitorKind::Xtcp(xtcp(entry)),
            _ => VisitorKind::Stcp,
        },
    }
}

fn xtcp(entry: &Section) -> XtcpVisitor {
    let timeout = u64::try_from(entry.int("fallbackTimeoutMs")).unwrap_or(0);
    XtcpVisitor {
        protocol: match entry.text("protocol").as_str() {
            "kcp" => XtcpProtocol::Kcp,
            _ => XtcpProtocol::Quic,
        },
        keep_tunnel_open: entry.bool("keepTunnelOpen"),
        max_retries_an_hour: entry.int("maxRetriesAnHour"),
        min_retry_interval: seconds(entry.int("minRetryInterval")),
        fallback_to: entry.text("fallbackTo"),
        fallback_timeout: Duration::from_millis(timeout.min(super::LONGEST)),
        disable_assisted_addrs: entry.bool("natTraversal.disableAssistedAddrs"),
    }
}
