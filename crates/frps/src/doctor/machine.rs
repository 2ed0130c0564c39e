//! What of the machine keeps frps from serving many: descriptors, buffers of UDP, the clock, a firewall.

use std::path::Path;

use frp_ask::doctor::{Mark, Report, Step};
use frp_config::ServerConfig;
use frp_process::{clock, process};

/// A user takes two.
const FEW_FILES: u64 = 4096;

/// What QUIC and kcp ask for: bytes that wait while the program is not its turn.
const UDP_BUFFER: u64 = 2_500_000;

pub(super) fn look(cfg: &ServerConfig, report: &Report) {
    process::raise_file_limit();
    if let Some(limit) = process::descriptors().map(|files| files.limit) {
        let found = limit.map_or_else(|| "no limit".to_owned(), |limit| format!("at most {limit}"));
        report.add(match limit.is_some_and(|limit| limit < FEW_FILES) {
            false => Step::new("descriptors", "", Mark::Ok, found),
            true => Step::new("descriptors", "", Mark::Warning, found).because(
                "each user takes two open files of frps",
                "raise LimitNOFILE of its systemd unit, or ulimit -n",
            ),
        });
    }
    if cfg.quic_bind_port.is_some() || cfg.kcp_bind_port.is_some() {
        for name in ["rmem_max", "wmem_max"] {
            buffer(name, report);
        }
    }
    report.add(match clock::is_synchronised() {
        Some(true) => Step::new("clock", "", Mark::Ok, "synchronised"),
        Some(false) => Step::new("clock", "", Mark::Warning, "not synchronised by the system").because(
            "nothing sets the clock of this machine; certificates and logins have a time",
            "switch its synchronisation on (timedatectl set-ntp true), or check the time by hand",
        ),
        None => Step::new("clock", "", Mark::NotChecked, "the system does not tell"),
    });
    firewall(report);
}

fn buffer(name: &str, report: &Report) {
    let key = format!("net.core.{name}");
    let text = std::fs::read_to_string(format!("/proc/sys/net/core/{name}"));
    let Some(bytes) = text.ok().and_then(|text| text.trim().parse::<u64>().ok()) else {
        return report.add(Step::new(
            "udpBuffers",
            key,
            Mark::NotChecked,
            "the system does not tell",
        ));
    };
    let found = format!("{bytes} bytes");
    report.add(match bytes >= UDP_BUFFER {
        true => Step::new("udpBuffers", key, Mark::Ok, found),
        false => Step::new("udpBuffers", &key, Mark::Warning, found).because(
            "datagrams of QUIC and kcp that come in bursts get lost",
            format!("sysctl -w {key}=7500000, and a line in /etc/sysctl.d"),
        ),
    });
}

/// Which firewall there seems to be; what it lets in only its own commands tell.
fn firewall(report: &Report) {
    const KNOWN: [(&str, &str, &str); 2] = [
        ("ufw", "/etc/ufw/ufw.conf", "ufw status"),
        ("firewalld", "/run/firewalld.pid", "firewall-cmd --list-all"),
    ];
    let is_on = |name: &str, path: &str| match name {
        "ufw" => std::fs::read_to_string(path).is_ok_and(|text| text.contains("ENABLED=yes")),
        _ => Path::new(path).exists(),
    };
    let on = KNOWN.iter().find(|(name, path, _)| is_on(name, path));
    let (mark, found, cure) = match on {
        Some((name, _, command)) => (
            Mark::Warning,
            format!("{name} is on"),
            format!("see by {command} that it lets in bindPort and the ports of the proxies"),
        ),
        None => (
            Mark::NotChecked,
            "no ufw and no firewalld here; a security group of the provider is not seen from here"
                .to_owned(),
            String::new(),
        ),
    };
    report.add(Step::new("firewall", "", mark, found).because("", cure));
}
