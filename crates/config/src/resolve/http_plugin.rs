//! `httpPlugins` of frps: where they are asked, and whether it is they who answer.

use crate::HttpPlugin;
use crate::check::lacking;
use crate::keys::At;
use crate::report::Report;

const HTTPS: &str = "https://";

pub(super) fn check(
    at: &At<'_, Vec<HttpPlugin>>,
    needs: Option<crate::Feature>,
    report: &mut Report<'_>,
) {
    if let Some(list) = at.list().filter(|list| !list.items.is_empty()) {
        lacking("", &list.written, needs, list.at, report);
    }
    for item in at.items() {
        let plugin = item.read();
        let name = &plugin.name;
        let (addr, path) = (item.of(HttpPlugin::addr), item.of(HttpPlugin::path));
        let place = plugin.addr.strip_prefix("http://");
        let place = place.or_else(|| plugin.addr.strip_prefix(HTTPS));
        let place = place.unwrap_or(&plugin.addr);
        if place.is_empty() {
            report.error(
                addr.value_at(),
                format!("http plugin [{name}]: addr has no host"),
                "set it to host:port, or to a URL such as https://host:port",
            );
        } else if !place.contains('/') && !plugin.path.is_empty() && !plugin.path.starts_with('/') {
            report.error(
                path.value_at(),
                format!(
                    "http plugin [{name}]: path {:?} is no path of a URL",
                    plugin.path
                ),
                "begin it with /",
            );
        }
        // frp's documentation has it the other way round; frp verifies only where it is told to.
        if plugin.addr.starts_with(HTTPS) && item.of(HttpPlugin::tls_verify).field().is_none() {
            report.warn(
                addr.value_at(),
                format!(
                    "the certificate of http plugin [{name}] is not verified: whoever can answer in \
                     its place decides for it"
                ),
                "set tlsVerify to true, or to false to leave it so",
            );
        }
    }
}
