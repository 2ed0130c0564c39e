//! Which stage of the way to the server fails: TCP to each address, TLS, the transports, and a real login. All are
//! tried at once, and told in their order.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use frp_ask::doctor::{Mark, Report, Step};
use frp_config::{TransportProtocol, Way};
use frp_net::dial::{self, DialError, DialOptions, dial};
use frp_net::go_text::join_host_port;
use frp_net::tls::shown::{Shown, shown};
use futures_util::future::join_all;
use rustls::Error::InvalidCertificate;
use tokio::time::{Instant, timeout};

use super::session::{self, Session};
use super::{Patient, explained, failed, packets};
use crate::connect::{ConnectError, certificate};
use crate::diagnose::{self, Explained, path};
use crate::limits::DOCTOR_STEP;
use crate::login::{LoginError, connect};
use crate::one_way::OneWay;

/// A login that took longer than this got no answer from somewhere.
const SILENCE: Duration = Duration::from_secs(3);

/// The transports that frps may offer beside the one that is configured.
const OTHERS: [TransportProtocol; 3] = [
    TransportProtocol::Websocket,
    TransportProtocol::Quic,
    TransportProtocol::Kcp,
];

/// Tells every stage. The session, where the login worked.
pub(super) async fn walk(
    mut patient: Patient,
    addrs: &[SocketAddr],
    report: &Report,
) -> Option<Session> {
    let way = patient.way.clone();
    let auto = patient.auto.take();
    let tasks = patient.client.tasks.tracker.clone();
    let began = Instant::now();
    let (tcp, tls, transport, others, (logged_in, took)) = tokio::join!(
        tcp(&way, addrs),
        timeout(DOCTOR_STEP * 2, look_at_tls(&way, &tasks)),
        timeout(DOCTOR_STEP * 2, connect(&way, &tasks)),
        join_all(OTHERS.map(|other| offered(&way, other, &tasks))),
        async {
            let logged_in = session::log_in(&patient, auto).await;
            (logged_in, began.elapsed())
        },
    );
    let is_tcp_open = tcp.iter().any(|step| step.mark == Mark::Ok);
    tcp.into_iter().for_each(|step| report.add(step));

    let is_in = logged_in.is_ok();
    let tls = tls.unwrap_or(Tls::Unknown);
    let connected = match transport {
        Ok(connected) => connected.map(drop).map_err(Some),
        Err(_) => Err(None),
    };
    report.add(tls_step(
        &way,
        tls,
        connected.as_ref().err().and_then(Option::as_ref),
        is_in,
    ));
    if way.protocol != TransportProtocol::Tcp {
        report.add(transport_step(&way, connected, is_in, is_tcp_open));
    }
    others
        .into_iter()
        .flatten()
        .for_each(|step| report.add(step));

    match logged_in {
        Ok((session, step)) => {
            report.add(step);
            if way.protocol.is_udp() {
                report.add(session.speed(is_tcp_open).await);
            }
            Some(session.with(patient))
        }
        Err(why) => {
            let silent = took >= SILENCE && !way.protocol.is_udp() && is_tcp_open;
            if silent
                && let Some(addr) = addrs.first()
                && let Some(passes) = packets::largest_that_passes(*addr).await
            {
                report.add(failed(
                    "packets",
                    addr.to_string(),
                    &path::black_hole(passes),
                ));
            }
            report.add(failed("login", "", &why));
            without_login(&patient, report).await;
            None
        }
    }
}

/// What can be known of the proxies all the same.
async fn without_login(patient: &Patient, report: &Report) {
    let looked = join_all(patient.cfg.proxies.iter().map(super::services::look)).await;
    looked.into_iter().for_each(|step| report.add(step));
    for proxy in &patient.cfg.proxies {
        let step = Step::new(
            "remotePort",
            &proxy.name,
            Mark::NotChecked,
            "there is no login",
        );
        report.add(step);
    }
}

/// TCP to each address, or by the proxy.
async fn tcp(way: &OneWay, addrs: &[SocketAddr]) -> Vec<Step> {
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
        return vec![match dialled {
            Ok(_) => Step::new("tcp", about, Mark::Ok, format!("by the proxy {proxy}")),
            Err(error) => failed("tcp", about, &of_dial(error).1),
        }];
    }
    let tried = join_all(addrs.iter().map(|addr| {
        let options = &options;
        async move {
            let began = Instant::now();
            let dialled = dial(&addr.ip().to_string(), way.server_port, options).await;
            (*addr, dialled.map(|_| began.elapsed()))
        }
    }))
    .await;
    let good: Vec<SocketAddr> = tried
        .iter()
        .filter(|(_, dialled)| dialled.is_ok())
        .map(|(addr, _)| *addr)
        .collect();
    let tell = |(addr, dialled): (SocketAddr, Result<Duration, DialError>)| {
        let about = addr.to_string();
        let (shown, why) = match dialled {
            Ok(took) => {
                return Step::new("tcp", about, Mark::Ok, format!("connected in {}", ms(took)));
            }
            Err(error) => of_dial(error),
        };
        let same = |other: &SocketAddr| other.is_ipv4() == addr.is_ipv4();
        if good.is_empty() && way.protocol.is_udp() {
            let found = format!("{shown}; {} needs no TCP", way.protocol);
            Step::new("tcp", about, Mark::NotChecked, found)
        } else if good.is_empty() {
            failed("tcp", about, &why)
        } else if good.iter().any(same) {
            explained("tcp", about, Mark::Warning, &why)
        } else {
            explained("tcp", about, Mark::Warning, &path::dead_family(addr, shown))
        }
    };
    tried.into_iter().map(tell).collect()
}

/// What was seen of the server's TLS.
enum Tls {
    Off,
    /// Of QUIC, which does not tell.
    Within,
    Certificate(Shown),
    /// No handshake came about.
    Unknown,
}

/// Looks who the server says that it is, whoever vouches for that.
async fn look_at_tls(way: &Arc<OneWay>, tasks: &tokio_util::task::TaskTracker) -> Tls {
    if way.protocol == TransportProtocol::Quic {
        return Tls::Within;
    }
    if way.tls.is_none() {
        return Tls::Off;
    }
    let Ok(unchecked) = way.unchecked() else {
        return Tls::Unknown;
    };
    match certificate(Arc::new(unchecked), tasks).await {
        Ok(Some(der)) => shown(&der).map_or(Tls::Unknown, Tls::Certificate),
        _ => Tls::Unknown,
    }
}

fn tls_step(way: &OneWay, tls: Tls, error: Option<&LoginError>, is_in: bool) -> Step {
    let trusted = way.transport.tls.trusted_ca_file.is_some();
    match (tls, error) {
        (Tls::Off, _) => Step::new(
            "tls",
            "",
            Mark::Ok,
            "off, as configured (transport.tls.enable)",
        ),
        (Tls::Within, _) => Step::new("tls", "", Mark::Ok, "part of QUIC"),
        // One that is not good: whose it is tells more than why.
        (Tls::Certificate(cert), Some(LoginError::Connect(ConnectError::Tls(error))))
            if matches!(error.tls(), Some(InvalidCertificate(_))) =>
        {
            let is_of_time =
                matches!(error.tls(), Some(InvalidCertificate(e)) if diagnose::is_out_of_time(e));
            let why = diagnose::explain_tls(error, way);
            if cert.by_itself || is_of_time {
                return failed("tls", "", &why);
            }
            let foreign = path::intercepted(&cert.issuer);
            failed("tls", "", &foreign).because(foreign.why(), why.cure().unwrap_or_default())
        }
        (Tls::Certificate(cert), _) if cert.by_itself => {
            let found = match trusted {
                true => "its certificate is the one that is trusted",
                false => {
                    "works; the certificate is one that frps has made itself, and is not checked"
                }
            };
            Step::new("tls", "", Mark::Ok, found)
        }
        (Tls::Certificate(cert), _) if trusted => {
            let found = format!("works; trusted, issued by \"{}\"", cert.issuer);
            Step::new("tls", "", Mark::Ok, found)
        }
        (Tls::Certificate(cert), _) => {
            let why = path::intercepted(&cert.issuer);
            let mark = match is_in {
                true => Mark::Warning,
                false => Mark::Failed,
            };
            explained("tls", "", mark, &why)
        }
        (Tls::Unknown, Some(error)) => failed("tls", "", &diagnose::explain(error, way)),
        (Tls::Unknown, None) if is_in => Step::new("tls", "", Mark::Ok, "works"),
        (Tls::Unknown, None) => Step::new("tls", "", Mark::NotChecked, "no handshake came about"),
    }
}

/// That of the transport that is configured.
fn transport_step(
    way: &OneWay,
    connected: Result<(), Option<LoginError>>,
    is_in: bool,
    is_tcp_open: bool,
) -> Step {
    let (name, at) = (
        way.protocol.as_str(),
        join_host_port(&way.server_addr, way.server_port),
    );
    let why = match connected {
        Ok(()) => return Step::new(name, at, Mark::Ok, "answers"),
        Err(_) if is_in => return Step::new(name, at, Mark::Ok, "answers"),
        Err(Some(error)) if way.protocol.is_udp() && is_tcp_open => match diagnose::found(&error) {
            crate::backoff::Found::Nothing => path::udp_blocked(&error.to_string()),
            _ => diagnose::explain(&error, way),
        },
        Err(Some(error)) => diagnose::explain(&error, way),
        Err(None) => diagnose::explain_no_reply(false, way),
    };
    failed(name, at, &why)
}

/// Whether the server offers a transport that is not configured, at the same port; that it does not is no fault.
async fn offered(
    way: &OneWay,
    protocol: TransportProtocol,
    tasks: &tokio_util::task::TaskTracker,
) -> Option<Step> {
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
    match timeout(DOCTOR_STEP, connect(&other, tasks)).await {
        Ok(Ok(_)) => Some(Step::new(
            name,
            at,
            Mark::Ok,
            "offered here, not configured",
        )),
        Ok(Err(error)) => not(&error),
        Err(_) if protocol.is_udp() => not(&"or UDP does not pass"),
        Err(_) => not(&"no answer"),
    }
}

pub(super) fn ms(took: Duration) -> String {
    format!("{} ms", took.as_millis())
}

/// For those who have no more than the time.
pub(super) fn no_answer(way: &OneWay) -> Explained {
    diagnose::explain_no_reply(true, way)
}
