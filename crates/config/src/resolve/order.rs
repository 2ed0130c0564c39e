//! `transport.order`: what `transport.protocol = "auto"` chooses from.

use crate::report::Report;
use crate::section::Section;
use crate::way::Way;

/// `None` unless the protocol is `auto`. `through_proxy`: frps is reached through a proxy.
pub(super) fn order(
    root: &Section,
    through_proxy: bool,
    report: &mut Report<'_>,
) -> Option<Vec<Way>> {
    let field = root.fields.get("transport.order");
    let field = field.filter(|field| !field.value.is_zero());
    if root.text("transport.protocol") != "auto" {
        if let Some(field) = field {
            report.warn(
                field.at,
                format!(
                    "{} has no effect without transport.protocol = \"auto\"",
                    field.written
                ),
                "set that, or remove the key",
            );
        }
        return None;
    }
    let Some(field) = field else {
        return Some(Way::usual(root.bool("transport.tls.enable")));
    };
    let mut order: Vec<Way> = Vec::new();
    // What is no way has been reported with its place.
    for way in root
        .texts("transport.order")
        .iter()
        .flat_map(|text| text.parse::<Way>())
    {
        if !order.contains(&way) {
            order.push(way);
        }
    }
    if through_proxy && !order.is_empty() && order.iter().all(|way| way.is_udp()) {
        report.error(
            field.value_at,
            format!(
                "{} has only ways over UDP, which transport.proxyURL cannot carry",
                field.written
            ),
            "add tcp or wss, or remove transport.proxyURL",
        );
    }
    Some(order)
}
