//! `visitors`: entries to settings.

use super::entry::{is_active, refuse_type, require};
use crate::VisitorConfig;
use crate::check::{judge, lacking};
use crate::keys::{At, VISITOR_PLUGIN, VirtualNetVisitor, VisitorPluginKeys};
use crate::report::Report;

/// The visitors that are to run; only those must be free of unsupported and invalid values.
pub(super) fn visitors(
    entries: &[At<'_, VisitorConfig>],
    start: &[String],
    legacy: bool,
    report: &mut Report<'_>,
) -> Vec<VisitorConfig> {
    let mut visitors = Vec::new();
    for entry in entries.iter().filter(|entry| is_active(entry, start)) {
        let visitor = entry.read();
        check_all(entry, &visitor, legacy, report);
        visitors.push(visitor);
    }
    visitors.sort_by(|a, b| a.name.cmp(&b.name));
    visitors
}

/// What must hold for a visitor that runs.
pub(super) fn check_all(
    entry: &At<'_, VisitorConfig>,
    visitor: &VisitorConfig,
    legacy: bool,
    report: &mut Report<'_>,
) {
    let prefix = format!("visitor {}: ", visitor.name);
    let here = entry.section().at;
    refuse_type(entry, &prefix, report);
    for (given, text, advice) in [
        (&visitor.name, "name is required", "add name = \"...\""),
        (
            &visitor.server_name,
            "server name is required",
            "add serverName, the name of the proxy to visit",
        ),
    ] {
        if given.is_empty() {
            report.error(here, format!("{prefix}{text}"), advice);
        }
    }
    if entry.of(VisitorConfig::bind_port).int() == 0 {
        report.error(
            here,
            format!("{prefix}bind port is required"),
            "add bindPort; -1 for no listener",
        );
    }
    check_plugin(entry, &prefix, report);
    judge(entry.section(), &prefix, legacy, report);
}

fn check_plugin(entry: &At<'_, VisitorConfig>, prefix: &str, report: &mut Report<'_>) {
    let list = entry.of(VisitorConfig::plugin).list();
    let Some(table) = list.and_then(|list| list.items.first()) else {
        return;
    };
    let kind = At::root(table).of(VisitorPluginKeys::kind);
    let name = kind.text();
    let Some(tag) = VISITOR_PLUGIN.tag(&name) else {
        return;
    };
    let what = format!("plugin.type = {name:?}");
    lacking(prefix, &what, tag.needs.of(&name), kind.value_at(), report);
    let required = VirtualNetVisitor::destination_ip.path();
    let meaning = ", the address of the other machine in the virtual network";
    require(table, &required, (prefix, &name), meaning, report);
}
