//! Which stage of the way to the server fails: TCP to each address, TLS, the transport, the login. All are tried at
//! once, and told in their order.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use frp_ask::doctor::{Mark, Report, Step};
use frp_config::{ServerTrust, TransportProtocol, Way};
use frp_net::dial::{self, DialError, DialOptions, dial};
use frp_net::go_text::join_host_port;
use frp_net::tls::shown::{Shown, shown};
use futures_util::future::join_all;
use rustls::Error::InvalidCertificate;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use super::attempt::{self, Entry, Failure};
use super::session::Session;
use super::{Patient, Visit, explained, failed, names, packets};
use crate::backoff::Found;
use crate::connect::{ConnectError, certificate};
use crate::diagnose::{self, path};
use crate::limits::DOCTOR_STEP;
use crate::login::{LoginError, connect};
use crate::one_way::OneWay;

/// The transports that frps may offer beside the one that is configured.
const OTHERS: [TransportProtocol; 3] = [
    TransportProtocol::Websocket,
    TransportProtocol::Quic,
    TransportProtocol::Kcp,
];

/// What is not answered by then is not offered: nobody waits for it.
const OFFER: Duration = Duration::from_secs(2);

/// The oldest release that is not said to be old.
const NOT_OLD: (u32, u32) = (0, 52);

/// Tells every stage. The session, where the login worked.
pub(super) async fn walk(
    patient: &mut Patient,
    addrs: &[SocketAddr],
    visit: &Visit,
    report: &Report,
) -> Option<Session> {
    let way = patient.way.clone();
    let auto = patient.auto.take();
    let is_one = auto.is_none();
    let tasks = patient.client.tasks.tracker.clone();
    let reached = async {
        let tcp = tcp(&way, addrs).await;
        let arrives = packets(&way, tcp.good).await;
        (tcp, arrives)
    };
    let ((tcp, arrives), tls, others, login) = tokio::join!(
        reached,
        timeout(DOCTOR_STEP * 2, look_at_tls(&way, &tasks)),
        join_all(OTHERS.map(|other| offered(&way, other, &tasks))),
        attempt::log_in(patient, auto, addrs),
    );
    let is_tcp_open = tcp.steps.iter().any(|step| step.mark == Mark::Ok);
    tcp.steps.into_iter().for_each(|step| report.add(step));
    let by_login = login.as_ref().err().and_then(|failure| failure.mtu);
    let mtu = arrives.or(by_login);
    if let (Some(mtu), Some(addr)) = (mtu, tcp.good) {
        let why = path::black_hole(mtu);
        report.add(failed("packets", addr.to_string(), &why));
    }
    let tls = tls.unwrap_or(Tls::Unknown);
    let others = others.into_iter().flatten();

    let mut failure = match login {
        Ok(entry) => {
            report.add(tls_step(&way, &tls, None));
            if is_one && way.protocol != TransportProtocol::Tcp {
                report.add(transport(&way, Mark::Ok, "answers"));
            }
            others.for_each(|step| report.add(step));
            let by_udp = told(&entry, report);
            let session = Session::new(patient, entry.logged_in, visit);
            if by_udp {
                report.add(session.speed(is_tcp_open).await);
            }
            return Some(session);
        }
        Err(failure) => failure,
    };
    failure.mtu = mtu;
    // What could have been right is not.
    report.worsen("dns");
    match stage(&failure) {
        Stage::Dial => report.add(Step::new("tls", "", Mark::NotChecked, "no connection")),
        Stage::Tls => report.add(tls_step(&way, &tls, Some(&failure))),
        Stage::Transport => {
            report.add(tls_step(&way, &tls, None));
            let at = join_host_port(&way.server_addr, way.server_port);
            let error = failure.error.as_ref();
            let is_silent = error.is_some_and(|error| diagnose::found(error) == Found::Nothing);
            report.add(match way.protocol.is_udp() && is_silent && tcp.is_host_up {
                true => failed(
                    way.protocol.as_str(),
                    at,
                    &path::udp_blocked(failure.why.seen()),
                ),
                false => failed(way.protocol.as_str(), at, &failure.why),
            });
        }
        Stage::Login => {
            report.add(tls_step(&way, &tls, Some(&failure)));
            if is_one && way.protocol != TransportProtocol::Tcp && failure.error.is_some() {
                report.add(transport(&way, Mark::Ok, "answers"));
            }
        }
    }
    others.for_each(|step| report.add(step));
    let is_told = mtu.is_some() || stage(&failure) != Stage::Login;
    report.add(match is_told && report.has_failed() {
        true => Step::new("login", "", Mark::Failed, "not possible, see above"),
        false => failed("login", "", &failure.why),
    });
    None
}

/// Tells of a login that worked. Whether it goes by UDP.
fn told(entry: &Entry, report: &Report) -> bool {
    let Some(logged_in) = &entry.logged_in else {
        let found = format!("the credentials are good{}", entry.also);
        report.add(Step::new("login", "", Mark::Ok, found));
        return false;
    };
    let way = logged_in.connector.way();
    let tls = match way.tls.is_some() {
        true => " with TLS",
        false => "",
    };
    let (by, took, also) = (way.protocol, ms(entry.took), entry.also);
    let found = format!("accepted by {by}{tls} in {took}{also}");
    report.add(Step::new("login", "", Mark::Ok, found));
    let version = &logged_in.version;
    report.add(match is_old(version) {
        true => explained("version", "", Mark::Warning, &path::old_release(version)),
        false => Step::new("version", "", Mark::Ok, format!("frps {version}")),
    });
    way.protocol.is_udp()
}

fn is_old(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < NOT_OLD,
        _ => false,
    }
}

/// Where a login has failed.
#[derive(PartialEq)]
enum Stage {
    Dial,
    Tls,
    Transport,
    Login,
}

fn stage(failure: &Failure) -> Stage {
    match &failure.error {
        Some(LoginError::Connect(error)) => match error {
            ConnectError::Dial(_) => Stage::Dial,
            ConnectError::Identity(_) | ConnectError::Tls(_) => Stage::Tls,
            ConnectError::Websocket(_) | ConnectError::Quic(_) | ConnectError::Unheard => {
                Stage::Transport
            }
            ConnectError::Open(_) => Stage::Login,
        },
        _ => Stage::Login,
    }
}

/// The largest packet that arrives at the server, where there is a limit.
async fn packets(way: &OneWay, addr: Option<SocketAddr>) -> Option<u32> {
    // A proxy takes what we send, and a transport of UDP looks for itself.
    if way.protocol.is_udp() || way.transport.proxy_url.is_some() {
        return None;
    }
    packets::largest_that_arrives(addr?).await
}

/// What TCP has come to.
struct Tcp {
    steps: Vec<Step>,
    /// An address that takes connections, where no proxy does so in its place.
    good: Option<SocketAddr>,
    /// The host answers, be it by a refusal.
    is_host_up: bool,
}

/// TCP to each address, or by the proxy.
async fn tcp(way: &OneWay, addrs: &[SocketAddr]) -> Tcp {
    let options = DialOptions {
        timeout: DOCTOR_STEP,
        keepalive: None,
        local_ip: way.transport.connect_server_local_ip,
    };
    let of_dial = |error: DialError| {
        let shown = error.to_string();
        let error = LoginError::Connect(ConnectError::Dial(error));
        (shown, diagnose::explain(&error, way))
    };
    if let Some(proxy) = &way.transport.proxy_url
        && !way.protocol.is_udp()
    {
        let (host, port) = (&way.server_addr, way.server_port);
        let about = join_host_port(host, port);
        let dialled = dial::dial_server(host, port, &options, Some(proxy)).await;
        let is_host_up = dialled.is_ok();
        let step = match dialled {
            Ok(_) => Step::new("tcp", about, Mark::Ok, format!("by the proxy {proxy}")),
            Err(error) => failed("tcp", about, &of_dial(error).1),
        };
        return Tcp {
            steps: vec![step],
            good: None,
            is_host_up,
        };
    }
    let tried = join_all(addrs.iter().map(|addr| {
        let options = &options;
        async move {
            let began = Instant::now();
            let dialled = dial(&literal(*addr), addr.port(), options).await;
            (*addr, dialled.map(|_| began.elapsed()))
        }
    }))
    .await;
    let good: Vec<SocketAddr> = tried
        .iter()
        .filter(|(_, dialled)| dialled.is_ok())
        .map(|(addr, _)| *addr)
        .collect();
    let refused = |error: &DialError| {
        matches!(error, DialError::Connect { source, .. }
            if source.kind() == std::io::ErrorKind::ConnectionRefused)
    };
    let is_host_up = tried
        .iter()
        .any(|(_, dialled)| dialled.as_ref().map_or_else(refused, |_| true));
    let by_dns = names::of_name(&way.server_addr, addrs);
    let tell = |(addr, dialled): (SocketAddr, Result<Duration, DialError>)| {
        let about = addr.to_string();
        let (shown, why) = match dialled {
            Ok(took) => {
                let found = format!("connected in {}", ms(took));
                return Step::new("tcp", about, Mark::Ok, found);
            }
            Err(error) => of_dial(error),
        };
        let same = |other: &SocketAddr| other.is_ipv4() == addr.is_ipv4();
        if good.is_empty() && way.protocol.is_udp() {
            let found = format!("{shown}; {} needs no TCP", way.protocol);
            Step::new("tcp", about, Mark::NotChecked, found)
        } else if good.is_empty() {
            let why = match &by_dns {
                Some(found) => path::asked_dns(&why, &way.server_addr, found),
                None => why,
            };
            failed("tcp", about, &why)
        } else if good.iter().any(same) {
            explained("tcp", about, Mark::Warning, &why)
        } else {
            explained("tcp", about, Mark::Warning, &path::dead_family(addr, shown))
        }
    };
    Tcp {
        steps: tried.into_iter().map(tell).collect(),
        good: good.first().copied(),
        is_host_up,
    }
}

/// With the zone, where there is one.
fn literal(addr: SocketAddr) -> String {
    match addr {
        SocketAddr::V6(addr) if addr.scope_id() != 0 => {
            format!("{}%{}", addr.ip(), addr.scope_id())
        }
        addr => addr.ip().to_string(),
    }
}

/// What was seen of the server's TLS.
enum Tls {
    Off,
    /// Of QUIC, which does not tell.
    Within,
    Certificate {
        cert: Shown,
        /// The CAs of this machine vouch for it.
        by_system: bool,
    },
    /// No handshake came about.
    Unknown,
}

/// Looks who the server says that it is, whoever vouches for that.
async fn look_at_tls(way: &Arc<OneWay>, tasks: &TaskTracker) -> Tls {
    if way.protocol == TransportProtocol::Quic {
        return Tls::Within;
    }
    if way.tls.is_none() {
        return Tls::Off;
    }
    let Some(Ok(Some(der))) = look(way, false, tasks).await else {
        return Tls::Unknown;
    };
    let Some(cert) = shown(&der) else {
        return Tls::Unknown;
    };
    let by_system = !cert.by_itself && matches!(look(way, true, tasks).await, Some(Ok(_)));
    Tls::Certificate { cert, by_system }
}

async fn look(
    way: &OneWay,
    by_system: bool,
    tasks: &TaskTracker,
) -> Option<Result<Option<Vec<u8>>, ConnectError>> {
    let way = way.for_a_look(by_system).ok()?;
    Some(certificate(Arc::new(way), tasks).await)
}

/// What frps says where the TLS that it has is not the one that we have.
const OTHER_TLS: &str = "another TLS connection";

/// `failure`: that of the login, where it may come of TLS.
fn tls_step(way: &OneWay, tls: &Tls, failure: Option<&Failure>) -> Step {
    const STEP: &str = "tls";
    let (cert, by_system) = match tls {
        Tls::Off => {
            let found = "off, as configured (transport.tls.enable)";
            return Step::new(STEP, "", Mark::Ok, found);
        }
        Tls::Within => return Step::new(STEP, "", Mark::Ok, "part of QUIC"),
        Tls::Unknown => {
            return match failure {
                Some(failure) if failure.mtu.is_some() => {
                    Step::new(STEP, "", Mark::Failed, failure.why.seen())
                }
                Some(failure) if stage(failure) == Stage::Tls => failed(STEP, "", &failure.why),
                Some(_) => Step::new(STEP, "", Mark::NotChecked, "no handshake came about"),
                None => Step::new(STEP, "", Mark::Ok, "works"),
            };
        }
        Tls::Certificate { cert, by_system } => (cert, *by_system),
    };
    let issuer = match cert.by_itself {
        true => "",
        false => cert.issuer.as_str(),
    };
    if let Some(failure) = failure {
        let seen = failure.why.seen();
        let is_out_of_time = matches!(&failure.error,
            Some(LoginError::Connect(ConnectError::Tls(error)))
                if matches!(error.tls(), Some(InvalidCertificate(e)) if diagnose::is_out_of_time(e)));
        if seen.contains(OTHER_TLS) {
            return failed(STEP, "", &path::intercepted(issuer, true));
        }
        if stage(failure) == Stage::Tls {
            let step = failed(STEP, "", &failure.why);
            if cert.by_itself || is_out_of_time {
                return step;
            }
            // Whose it is tells more than why it is not taken.
            let foreign = path::intercepted(issuer, false);
            let found = format!("{seen}; {}", foreign.seen());
            let cure = failure.why.cure().unwrap_or_default();
            return Step::new(STEP, "", Mark::Failed, found).because(foreign.why(), cure);
        }
    }
    let settings = &way.transport.tls;
    let is_checked = settings.trusted_ca_file.is_some()
        || settings.trust == Some(ServerTrust::System)
        || !settings.pins.is_empty();
    let by = match issuer {
        "" => "itself".to_owned(),
        issuer => format!("\"{issuer}\""),
    };
    let found = if is_checked {
        format!("works; the certificate, issued by {by}, is the one that is trusted")
    } else if settings.trust == Some(ServerTrust::FirstUse) {
        format!(
            "works; the certificate is issued by {by}, and its key is the known one, or the first"
        )
    } else if by_system {
        format!("works; the certificate is issued by {by}, which this machine trusts")
    } else if cert.by_itself {
        "works; the certificate is one that frps has made itself, and is not checked".to_owned()
    } else {
        return explained(STEP, "", Mark::Warning, &path::intercepted(issuer, false));
    };
    Step::new(STEP, "", Mark::Ok, found)
}

/// That of the transport that is configured.
fn transport(way: &OneWay, mark: Mark, found: &str) -> Step {
    let at = join_host_port(&way.server_addr, way.server_port);
    Step::new(way.protocol.as_str(), at, mark, found)
}

/// Whether the server offers a transport that is not configured, at the same port; that it does not is no fault.
async fn offered(way: &OneWay, protocol: TransportProtocol, tasks: &TaskTracker) -> Option<Step> {
    let is_it = protocol == way.protocol
        || (protocol == TransportProtocol::Websocket && way.protocol == TransportProtocol::Wss);
    // A proxy carries no UDP.
    if is_it || (protocol.is_udp() && way.transport.proxy_url.is_some()) {
        return None;
    }
    let name = protocol.as_str();
    let at = join_host_port(&way.server_addr, way.server_port);
    let not = |found: &dyn Display| {
        let found = format!("not offered here ({found})");
        Some(Step::new(name, at.clone(), Mark::NotChecked, found))
    };
    let by = Way {
        protocol,
        // Without TLS a session of kcp says nothing before a login.
        plain: false,
        port: None,
    };
    let other = match OneWay::new(Arc::new(way.by(by)), protocol) {
        Ok(other) => Arc::new(other),
        Err(error) => return not(&error),
    };
    match timeout(OFFER, connect(&other, tasks)).await {
        Ok(Ok(_)) => {
            let found = "offered here, not configured";
            Some(Step::new(name, at, Mark::Ok, found))
        }
        Ok(Err(error)) => not(&error),
        Err(_) if protocol.is_udp() => not(&"or UDP does not pass"),
        Err(_) => not(&"no answer"),
    }
}

fn ms(took: Duration) -> String {
    format!("{} ms", took.as_millis())
}

#[cfg(test)]
mod tests {
    use super::is_old;

    #[test]
    fn old_releases_are_told_from_new_ones_and_from_what_is_none() {
        let old = ["0.28.2", "0.51.3"].map(is_old);
        let not = ["0.52.0", "0.70.1", "1.0.0", "", "devel", "v0.1"].map(is_old);
        assert_eq!((old, not), ([true; 2], [false; 6]));
    }
}
