//! What of the settings themselves is weak or leads nowhere: tokens, the web server, names.

use std::net::{IpAddr, SocketAddr};

use frp_ask::doctor::{Mark, Report, Step};
use frp_config::{AuthMethod, ServerConfig};
use frp_net::listen::Host;
use frp_net::own_ips::own_ips;
use frp_net::resolve::lookup;
use jiff::Timestamp;
use tokio::time::timeout;

use crate::limits::DOCTOR_STEP;

/// Shorter tokens are guessed.
const SHORT_TOKEN: usize = 12;

/// Each token, by its name where it has one.
pub(super) fn tokens(cfg: &ServerConfig, report: &Report) {
    if cfg.auth.method != AuthMethod::Token {
        return report.add(Step::new("token", "", Mark::Ok, "OpenID Connect"));
    }
    let main = cfg.auth.token.expose();
    if !main.is_empty() || cfg.tokens.is_empty() {
        report.add(strength("auth.token", main));
    }
    for token in &cfg.tokens {
        let is_over = |expires: &frp_config::Expiry| expires.0 <= Timestamp::now();
        let step = match &token.expires {
            Some(expires) if is_over(expires) => {
                let found = format!("has ended with {expires}");
                Step::new("token", &token.name, Mark::Warning, found).because(
                    "nobody can log in with it any more",
                    "remove it from auth.tokens, or set its expires later",
                )
            }
            _ if token.token.expose().is_empty() => {
                Step::new("token", &token.name, Mark::Ok, "known by its hash")
            }
            _ => strength(&token.name, token.token.expose()),
        };
        report.add(step);
    }
}

fn strength(name: &str, token: &str) -> Step {
    match token.len() {
        0 => Step::new("token", name, Mark::Warning, "none").because(
            "whoever reaches bindPort can log in and open ports",
            "set auth.token to what frps token new prints, and in its clients to the same",
        ),
        1..SHORT_TOKEN => Step::new("token", name, Mark::Warning, "short").because(
            "short tokens are guessed",
            "set it to what frps token new prints, and in its clients to the same",
        ),
        _ => Step::new("token", name, Mark::Ok, "set"),
    }
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
    let is_open = web.user.is_empty() && web.password.expose().is_empty();
    report.add(match (is_local, is_open, web.tls.is_some()) {
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
    let found = timeout(DOCTOR_STEP, lookup(&name, 0)).await;
    report.add(match found {
        Ok(Ok(found)) => {
            let ips: Vec<IpAddr> = found.iter().map(SocketAddr::ip).collect();
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
