//! What of frps itself is in the way: its token, its certificate, its web server, its names; and whether it runs.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use frp_ask::doctor::{Mark, Report, Step};
use frp_config::{AuthMethod, ServerConfig};
use frp_net::listen::Host;
use frp_net::mux;
use frp_net::own_ips::own_ips;
use frp_net::resolve::lookup;
use frp_net::sniff::FRP_TLS_FIRST_BYTE;
use frp_net::stream::Stream;
use frp_net::tls::shown::shown;
use frp_net::tls::{self, TlsFiles};
use frp_proto::VERSION;
use frp_proto::auth::token_key;
use frp_proto::msg::{Login, Message};
use frp_proto::wire::WireProtocol;
use frp_relay::msg_stream::MsgStream;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// For a program on this machine.
const LIMIT: Duration = Duration::from_secs(5);

/// Shorter tokens are guessed.
const SHORT_TOKEN: usize = 12;

pub(super) fn token(cfg: &ServerConfig, report: &Report) {
    if cfg.auth.method != AuthMethod::Token {
        return report.add(Step::new("token", "", Mark::Ok, "OpenID Connect"));
    }
    report.add(match cfg.auth.token.expose().len() {
        0 => Step::new("token", "", Mark::Warning, "none").because(
            "whoever reaches bindPort can log in and open ports",
            "set auth.token, the same in frps and frpc",
        ),
        1..SHORT_TOKEN => Step::new("token", "", Mark::Warning, "short").because(
            "short tokens are guessed",
            "set auth.token to a long random text, the same in frps and frpc",
        ),
        _ => Step::new("token", "", Mark::Ok, "set"),
    });
}

/// The files that frps would read, read as frps does.
pub(super) fn tls(cfg: &ServerConfig, report: &Report) {
    let settings = &cfg.transport.tls;
    let files = TlsFiles {
        cert: settings.cert_file.clone(),
        key: settings.key_file.clone(),
        trusted_ca: settings.trusted_ca_file.clone(),
    };
    if let Err(error) = tls::server_config(&files) {
        let step = Step::new("tls", "", Mark::Failed, error.to_string());
        return report.add(step.because(
            "frps cannot start with these files of transport.tls",
            "correct what is named there",
        ));
    }
    let (Some(cert), Some(_)) = (&files.cert, &files.key) else {
        return report.add(Step::new(
            "tls",
            "",
            Mark::Ok,
            "a certificate of its own, made at each start",
        ));
    };
    let der = tls::first_certificate(cert).ok();
    let Some(found) = der.as_deref().and_then(shown) else {
        return report.add(Step::new(
            "tls",
            cert.display().to_string(),
            Mark::NotChecked,
            "not to be read",
        ));
    };
    let about = cert.display().to_string();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    const DAY: u64 = 86_400;
    report.add(match found.validity {
        Some((from, _)) if now < from => Step::new("tls", about, Mark::Failed, "not valid yet")
            .because(
                "the certificate begins later than the clock of this machine says",
                "check the clock; if it is right, wait or have another certificate made",
            ),
        Some((_, until)) if now > until => Step::new("tls", about, Mark::Failed, "expired")
            .because(
                "clients that check it refuse this certificate",
                "renew it; frps takes the new file up by itself",
            ),
        Some((_, until)) => {
            let days = (until - now).as_secs() / DAY;
            let whose = match found.by_itself {
                true => "made by itself".to_owned(),
                false => format!("issued by \"{}\"", found.issuer),
            };
            Step::new(
                "tls",
                about,
                Mark::Ok,
                format!("{whose}, good for {days} days"),
            )
        }
        None => Step::new(
            "tls",
            about,
            Mark::NotChecked,
            "it does not say how long it is good",
        ),
    });
}

pub(super) fn web(cfg: &ServerConfig, report: &Report) {
    let Some(web) = &cfg.web_server else {
        return report.add(Step::new("webServer", "", Mark::Ok, "off"));
    };
    let is_local = match Host::literal(&web.addr) {
        Some(Host::At(addr)) => addr.ip().is_loopback(),
        Some(Host::Everywhere) => false,
        None => web.addr == "localhost",
    };
    let open = web.user.is_empty() && web.password.expose().is_empty();
    report.add(match (is_local, open, web.tls.is_some()) {
        (false, true, _) => Step::new("webServer", &web.addr, Mark::Warning, "open to everybody")
            .because(
                "webServer.addr is reached from outside, and there is no password",
                "set webServer.user and webServer.password, or webServer.addr = \"127.0.0.1\"",
            ),
        (false, false, false) => Step::new(
            "webServer",
            &web.addr,
            Mark::Warning,
            "its password travels unencrypted",
        )
        .because(
            "webServer.addr is reached from outside, and there is no TLS",
            "set webServer.tls.certFile and keyFile, or webServer.addr = \"127.0.0.1\"",
        ),
        _ => Step::new("webServer", &web.addr, Mark::Ok, "not open to strangers"),
    });
}

/// Whether names below `subDomainHost` lead here.
pub(super) async fn names(cfg: &ServerConfig, report: &Report) {
    if cfg.sub_domain_host.is_empty() {
        return;
    }
    let name = format!("frps-doctor.{}", cfg.sub_domain_host);
    let about = format!("*.{}", cfg.sub_domain_host);
    let cure = format!(
        "have a DNS record {about} with the address of this machine (or of what stands before it)"
    );
    let found = timeout(LIMIT, lookup(&name, 0)).await;
    report.add(match found {
        Ok(Ok(found)) => {
            let ips: Vec<IpAddr> = found.iter().map(std::net::SocketAddr::ip).collect();
            let texts: Vec<String> = ips.iter().map(ToString::to_string).collect();
            let own = own_ips();
            let is_here = ips.iter().any(|ip| own.contains(ip) || ip.is_loopback());
            match is_here {
                true => Step::new("dns", about, Mark::Ok, texts.join(", ")),
                false => Step::new("dns", about, Mark::Warning, texts.join(", ")).because(
                    "none of these is an address of this machine itself; behind a NAT that may be right",
                    cure,
                ),
            }
        }
        Ok(Err(error)) => {
            let step = Step::new("dns", about, Mark::Failed, error.to_string());
            step.because("users do not find the names below subDomainHost", cure)
        }
        Err(_) => Step::new("dns", about, Mark::NotChecked, "no answer"),
    });
}

/// Logs in to the frps of this configuration, where one runs, as a client without proxies. Whether one runs.
pub(super) async fn log_in(cfg: &ServerConfig, report: &Report) -> bool {
    let ip = match Host::literal(&cfg.bind_addr) {
        Some(Host::At(addr)) => addr.ip(),
        _ => Ipv4Addr::LOCALHOST.into(),
    };
    let about = format!("{ip}:{}", cfg.bind_port);
    let Ok(Ok(conn)) = timeout(LIMIT, TcpStream::connect((ip, cfg.bind_port))).await else {
        report.add(Step::new(
            "login",
            about,
            Mark::NotChecked,
            "frps does not run",
        ));
        return false;
    };
    if cfg.auth.method != AuthMethod::Token || cfg.transport.tls.trusted_ca_file.is_some() {
        let found = "something runs there; a login needs what only a client has";
        report.add(Step::new("login", about, Mark::NotChecked, found));
        return true;
    }
    let answer = timeout(LIMIT, exchange(cfg, conn)).await;
    report.add(
        match answer.unwrap_or_else(|_| Err("no answer".to_owned())) {
            Ok(Ok(version)) => Step::new(
                "login",
                about,
                Mark::Ok,
                format!("frps {version} runs, and its token is that of the file"),
            ),
            Ok(Err(refused)) => Step::new("login", about, Mark::Failed, refused).because(
                "the frps that runs does not accept the token of this file",
                "restart it or frps reload, so that it has this file; or name its own by -c",
            ),
            Err(error) => Step::new("login", about, Mark::Failed, error).because(
                "what listens at bindPort is no frps of this configuration",
                "restart frps, so that it has this file; or see below who holds bindPort",
            ),
        },
    );
    true
}

/// The version, or why it refuses; an error where it does not speak frp.
async fn exchange(
    cfg: &ServerConfig,
    mut conn: TcpStream,
) -> Result<Result<String, String>, String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let client = tls::client_config(&TlsFiles::default()).map_err(|e| text(&e))?;
    conn.write_all(&[FRP_TLS_FIRST_BYTE])
        .await
        .map_err(|e| text(&e))?;
    let pipe = tls::connect(client, "localhost", Stream::Tcp(conn), LIMIT).await;
    let pipe = Stream::Tls(Box::new(pipe.map_err(|e| text(&e))?));
    let config = mux::Config {
        keepalive_interval: None,
        stranger: false,
    };
    let mut driving = None;
    let stream = match cfg.transport.tcp_mux {
        false => pipe,
        true => {
            let (mux, _incoming, driver) = mux::session(pipe, mux::Role::Client, config);
            driving = Some(tokio::spawn(driver));
            Stream::Mux(mux.open().await.map_err(|e| text(&e))?)
        }
    };
    let mut stream = MsgStream::new(stream, WireProtocol::V1, BytesMut::new());
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let timestamp = now.as_secs().cast_signed();
    let login = Login {
        version: VERSION.to_owned(),
        privilege_key: token_key(cfg.auth.token.expose(), timestamp),
        timestamp,
        ..Login::default()
    };
    stream.queue(&login.into()).map_err(|e| text(&e))?;
    stream.flush_within(LIMIT).await.map_err(|e| text(&e))?;
    let answer = stream.recv().await.map_err(|e| text(&e));
    if let Some(driving) = driving {
        driving.abort();
    }
    match answer? {
        Message::LoginResp(answer) if answer.error.is_empty() => Ok(Ok(answer.version)),
        Message::LoginResp(answer) => Ok(Err(answer.error)),
        other => Err(format!("it answers with {}", other.name())),
    }
}
