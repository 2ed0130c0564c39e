//! The way to frps: through which proxy.

use frp_proto::proxy_url::{ProxyUrl, ProxyUrlError};

use crate::keys::At;
use crate::report::Report;
use crate::{ClientTransport, Transport, TransportProtocol};

/// The variable that frp reads, and no other (frp `pkg/config/v1/client.go`).
const VARIABLE: &str = "http_proxy";

/// `transport.proxyURL`, else that of the environment. frp looks at it when it dials. A URL that is
/// none has been reported.
pub(super) fn settle(
    at: &At<'_, Option<ProxyUrl>>,
    transport: &mut ClientTransport,
    report: &mut Report<'_>,
) {
    let datagrams = match transport.protocol {
        Transport::One(protocol) => Some(protocol).filter(|protocol| protocol.is_udp()),
        Transport::Auto(_) => None,
    };
    let Some(field) = at.field() else {
        let Some(value) = report.options.environment.filled(VARIABLE) else {
            return;
        };
        match from_environment(value) {
            _ if datagrams.is_some() => {}
            Ok(url) => {
                transport.proxy_url = Some(url);
                transport.proxy_from_environment = true;
            }
            Err(why) => report.refuse(
                0,
                format!("the environment variable {VARIABLE} is no URL of a proxy: {why}"),
                "correct it, or start frpc without it",
            ),
        }
        return;
    };
    let (Some(protocol), Some(_)) = (datagrams, at.some_text()) else {
        return;
    };
    transport.proxy_url = None;
    let (at, written) = (field.value_at, &field.written);
    if protocol == TransportProtocol::Kcp {
        // frp speaks kcp to the proxy.
        report.refuse(
            at,
            format!("{written} does not go with the protocol {protocol}, which no proxy carries"),
            "remove one of the two",
        );
    } else {
        report.warn(
            at,
            format!("{written} has no effect with the protocol {protocol}, which no proxy carries"),
            "frps is dialed directly; remove the key, or use another protocol",
        );
    }
}

/// Most programs take `host:port` there for that of an HTTP proxy; frp fails on some of these and
/// takes no notice of others.
fn from_environment(value: &str) -> Result<ProxyUrl, ProxyUrlError> {
    match value.contains("://") {
        true => value.parse(),
        false => format!("http://{value}").parse(),
    }
}
