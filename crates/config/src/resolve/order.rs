//! `transport.order`: what `transport.protocol = "auto"` chooses from.

use crate::ClientTransport;
use crate::keys::At;
use crate::report::Report;
use crate::way::{Transport, Way};

pub(super) fn settle(
    at: &At<'_, ClientTransport>,
    transport: &mut ClientTransport,
    report: &mut Report<'_>,
) {
    let at = at.of(ClientTransport::order);
    let field = at.filled();
    let Transport::Auto(order) = &mut transport.protocol else {
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
        return;
    };
    let Some(field) = field else {
        *order = Way::usual(transport.tls.enable, report.options.build);
        return;
    };
    // What is no way has been reported with its place.
    *order = at.read();
    let through_proxy = transport.proxy_url.is_some();
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
}
