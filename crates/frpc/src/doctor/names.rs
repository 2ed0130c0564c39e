//! To which addresses does the server's name lead, and does it lead there for others, too?

use std::net::SocketAddr;
use std::time::Duration;

use frp_ask::doctor::{Mark, Report, Step};
use frp_net::dial::{DialError, DialOptions, dial};
use frp_net::literal::literal;
use frp_net::resolve;
use futures_util::future::join_all;
use tokio::time::timeout;

use super::{Patient, explained, failed};
use crate::connect::ConnectError;
use crate::diagnose::{self, path};
use crate::limits::DOCTOR_STEP;
use crate::login::LoginError;

/// The server's addresses; none where a proxy looks the name up. `None`: nothing leads on.
pub(super) async fn look_up(patient: &Patient, report: &Report) -> Option<Vec<SocketAddr>> {
    let way = &patient.way;
    let (host, port) = (way.server_addr.as_str(), way.server_port);
    if let Some(proxy) = &way.transport.proxy_url
        && !way.protocol.is_udp()
    {
        let found = format!("left to the proxy {proxy}");
        report.add(Step::new("dns", host, Mark::NotChecked, found));
        return Some(Vec::new());
    }
    let looked_up = timeout(DOCTOR_STEP, resolve::lookup(host, port)).await;
    let error = match looked_up {
        Ok(Ok(addrs)) => {
            report.add(judged(host, port, &addrs).await);
            return Some(addrs);
        }
        Ok(Err(error)) => DialError::Resolve(error),
        Err(_) => DialError::TimedOut {
            host: host.to_owned(),
            addr: None,
        },
    };
    let why = diagnose::explain(&LoginError::Connect(ConnectError::Dial(error)), way);
    report.add(failed("dns", host, &why));
    None
}

/// The addresses in the words of [`look_up`], where the host is a name.
pub(super) fn of_name(host: &str, addrs: &[SocketAddr]) -> Option<String> {
    let is_name = literal(host, 0).is_none() && host != "localhost";
    (is_name && !addrs.is_empty()).then(|| ips(addrs))
}

async fn judged(host: &str, port: u16, addrs: &[SocketAddr]) -> Step {
    let found = ips(addrs);
    if literal(host, port).is_some() {
        return Step::new("dns", host, Mark::Ok, "an address, no name");
    }
    let is_nowhere = |addr: &SocketAddr| addr.ip().is_loopback() || addr.ip().is_unspecified();
    if host != "localhost" && addrs.iter().all(is_nowhere) {
        return explained("dns", host, Mark::Warning, &path::wrong_dns(found));
    }
    let Some(server) = resolve::server() else {
        return Step::new("dns", host, Mark::Ok, found);
    };
    let systems = timeout(DOCTOR_STEP, resolve::lookup_by_system(host, port)).await;
    let Ok(Ok(systems)) = systems else {
        let found = format!("{found} by dnsServer; the system knows no such name");
        return Step::new("dns", host, Mark::Ok, found);
    };
    if addrs.iter().any(|addr| systems.contains(addr)) {
        return Step::new(
            "dns",
            host,
            Mark::Ok,
            format!("{found}, by dnsServer and the system"),
        );
    }
    let (ours, theirs) = tokio::join!(any_answers(addrs), any_answers(&systems));
    let found = format!("{found} by dnsServer, {} by the system", ips(&systems));
    let why = path::split_dns(found, server, theirs && !ours);
    let mark = match ours {
        true => Mark::Warning,
        false => Mark::Failed,
    };
    explained("dns", host, mark, &why)
}

/// Whether one of them takes a connection.
async fn any_answers(addrs: &[SocketAddr]) -> bool {
    const LIMIT: Duration = Duration::from_secs(3);
    let options = DialOptions {
        timeout: LIMIT,
        keepalive: None,
        local_ip: None,
    };
    let tried = addrs.iter().map(|addr| {
        let options = &options;
        async move {
            dial(&addr.ip().to_string(), addr.port(), options)
                .await
                .is_ok()
        }
    });
    join_all(tried).await.contains(&true)
}

pub(super) fn ips(addrs: &[SocketAddr]) -> String {
    let texts: Vec<String> = addrs.iter().map(|addr| addr.ip().to_string()).collect();
    texts.join(", ")
}
