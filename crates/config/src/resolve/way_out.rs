//! The way to frps: through which proxy, from which address, and who resolves names.

use frp_proto::address::split_port;
use frp_proto::proxy_url::{ProxyUrl, ProxyUrlError};

use crate::report::Report;
use crate::section::Section;
use crate::{DnsServer, TransportProtocol};

/// The proxy that leads to frps.
pub(super) struct Proxy {
    pub(super) url: ProxyUrl,
    pub(super) from_environment: bool,
}

/// The variable that frp reads, and no other (frp `pkg/config/v1/client.go`).
const VARIABLE: &str = "http_proxy";

/// `transport.proxyURL`, else that of the environment. frp looks at it when it dials.
pub(super) fn proxy(
    root: &Section,
    protocol: TransportProtocol,
    report: &mut Report<'_>,
) -> Option<Proxy> {
    let datagrams = by_datagrams(protocol);
    let Some(field) = root.fields.get("transport.proxyURL") else {
        let value = report.options.environment.filled(VARIABLE)?.to_owned();
        return match from_environment(&value) {
            _ if datagrams.is_some() => None,
            Ok(url) => Some(Proxy {
                url,
                from_environment: true,
            }),
            Err(why) => {
                report.refuse(
                    0,
                    format!("the environment variable {VARIABLE} is no URL of a proxy: {why}"),
                    "correct it, or start frpc without it",
                );
                None
            }
        };
    };
    let url = root.some_text("transport.proxyURL")?;
    let (at, written) = (field.value_at, &field.written);
    match (protocol, datagrams) {
        // frp speaks kcp to the proxy.
        (TransportProtocol::Kcp, Some(name)) => {
            report.refuse(
                at,
                format!("{written} does not go with the protocol {name}, which no proxy carries"),
                "remove one of the two",
            );
            return None;
        }
        (_, Some(name)) => {
            report.warn(
                at,
                format!("{written} has no effect with the protocol {name}, which no proxy carries"),
                "frps is dialed directly; remove the key, or use another protocol",
            );
            return None;
        }
        _ => {}
    }
    // A URL that is none has been reported.
    url.parse().ok().map(|url| Proxy {
        url,
        from_environment: false,
    })
}

/// Most programs take `host:port` there for that of an HTTP proxy; frp fails on some of these and
/// takes no notice of others.
fn from_environment(value: &str) -> Result<ProxyUrl, ProxyUrlError> {
    match value.contains("://") {
        true => value.parse(),
        false => format!("http://{value}").parse(),
    }
}

fn by_datagrams(protocol: TransportProtocol) -> Option<&'static str> {
    match protocol {
        TransportProtocol::Kcp => Some("kcp"),
        TransportProtocol::Quic => Some("quic"),
        _ => None,
    }
}

/// `dnsServer`: an address, with a port or without. frp asks the server for its own name, if it has
/// one.
pub(crate) fn dns_server(text: &str) -> Option<DnsServer> {
    let (host, port) = split_port(text);
    let ip = host.parse().ok()?;
    let port = port.unwrap_or(Ok(53)).ok().filter(|port| *port != 0)?;
    Some(DnsServer { ip, port })
}
