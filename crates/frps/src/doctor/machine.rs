//! What of the machine keeps frps from serving many: descriptors, buffers of UDP, ports of outgoing connections, the
//! clock, a firewall.

use std::fs;
use std::path::Path;

use frp_ask::doctor::{Mark, Report, Step};
use frp_config::{PortRange, ServerConfig};
use frp_process::{clock, process};

/// A user takes two.
const FEW_FILES: u64 = 4096;

/// What QUIC and kcp ask for: bytes that wait while it is not the program's turn.
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
            report.add(buffer(name));
        }
    }
    outgoing(&cfg.allow_ports, report);
    report.add(match clock::is_synchronised() {
        Some(true) => Step::new("clock", "", Mark::Ok, "synchronised"),
        Some(false) => {
            Step::new("clock", "", Mark::Warning, "not synchronised by the system").because(
            "nothing sets the clock of this machine; certificates and logins have a time",
            "switch its synchronisation on (timedatectl set-ntp true), or check the time by hand",
        )
        }
        None => Step::new("clock", "", Mark::NotChecked, "the system does not tell"),
    });
    firewall(report);
}

fn buffer(name: &str) -> Step {
    let key = format!("net.core.{name}");
    let Some(bytes) = system(&format!("core/{name}")).and_then(|text| text.parse::<u64>().ok())
    else {
        let found = "the system does not tell";
        return Step::new("udpBuffers", key, Mark::NotChecked, found);
    };
    let found = format!("{bytes} bytes");
    match bytes >= UDP_BUFFER {
        true => Step::new("udpBuffers", key, Mark::Ok, found),
        false => Step::new("udpBuffers", &key, Mark::Warning, found).because(
            "datagrams of QUIC and kcp that come in bursts get lost",
            format!("sysctl -w {key}=7500000, and a line in /etc/sysctl.d"),
        ),
    }
}

/// Ports that are promised to clients, and that the system gives to outgoing connections, too.
fn outgoing(allowed: &[PortRange], report: &Report) {
    let range = system("ipv4/ip_local_port_range");
    let mut ends = range.iter().flat_map(|range| range.split_whitespace());
    let mut end = || ends.next().and_then(|end| end.parse::<u16>().ok());
    let (Some(start), Some(end)) = (end(), end()) else {
        return;
    };
    let reserved = system("ipv4/ip_local_reserved_ports").unwrap_or_default();
    let reserved: Vec<PortRange> = reserved.split(',').filter_map(ports).collect();
    let common = allowed.iter().map(|range| PortRange {
        start: range.start.max(start),
        end: range.end.min(end),
    });
    let is_kept = |one: &PortRange| {
        let mut all = reserved.iter();
        all.any(|kept| kept.start <= one.start && one.end <= kept.end)
    };
    for one in common.filter(|one| one.start <= one.end && !is_kept(one)) {
        let ports = format!("{}-{}", one.start, one.end);
        let found = format!("{ports} are ports of outgoing connections, too ({start}-{end})");
        report.add(Step::new("allowPorts", "", Mark::Warning, found).because(
            "an outgoing connection of this machine may happen to have a port that a client asks for",
            format!(
                "sysctl -w net.ipv4.ip_local_reserved_ports={ports} (add to what is there already), and a line in \
                 /etc/sysctl.d"
            ),
        ));
    }
}

/// `7000`, or `6000-6999`.
fn ports(text: &str) -> Option<PortRange> {
    let text = text.trim();
    let (start, end) = text.split_once('-').unwrap_or((text, text));
    Some(PortRange {
        start: start.parse().ok()?,
        end: end.parse().ok()?,
    })
}

fn system(name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/sys/net/{name}")).ok()?;
    Some(text.trim().to_owned())
}

/// Which firewall there seems to be; what it lets in only its own commands tell.
fn firewall(report: &Report) {
    const UFW: &str = "/etc/ufw/ufw.conf";
    let is_ufw = fs::read_to_string(UFW).is_ok_and(|text| text.contains("ENABLED=yes"));
    let is_firewalld = Path::new("/run/firewalld.pid").exists();
    let (found, command) = match (is_ufw, is_firewalld) {
        (true, _) => ("ufw is on", "ufw status"),
        (_, true) => ("firewalld is on", "firewall-cmd --list-all"),
        _ => {
            let found = "no ufw and no firewalld here; a security group of the provider is not seen from here";
            return report.add(Step::new("firewall", "", Mark::NotChecked, found));
        }
    };
    let cure = format!("see by {command} that it lets in bindPort and the ports of the proxies");
    report.add(Step::new("firewall", "", Mark::NotChecked, found).because("", cure));
}
