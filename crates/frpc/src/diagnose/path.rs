//! What the way to the server does that no single login tells: names that lead elsewhere, a family that leads
//! nowhere, packets of some size or kind that get lost, somebody in between. For the doctor.

use std::fmt::Display;
use std::net::SocketAddr;

use frp_config::ClientConfig;

use super::explained::{Explained, explained};

/// `dnsServer` gives other addresses than the system. `systems_answer`: at those of the system frps was found, and
/// at its own nobody.
pub(crate) fn split_dns(found: String, server: SocketAddr, systems_answer: bool) -> Explained {
    explained(
        found,
        match systems_answer {
            true => format!(
                "{server} (dnsServer) and the system give different addresses, and only those of the system answer"
            ),
            false => {
                format!("{server} (dnsServer) and the system give different addresses (split DNS)")
            }
        },
        "check which of the two is right for this network, and set or remove dnsServer",
    )
}

/// The name leads to this machine or nowhere.
pub(crate) fn wrong_dns(found: String) -> Explained {
    explained(
        found,
        "the name leads to this machine itself or to no address at all: DNS is wrong, or a filter or /etc/hosts \
         answers in its place",
        "correct the DNS record or /etc/hosts, set dnsServer to a DNS server that knows the name, or set serverAddr to \
         the address of frps",
    )
}

/// One family of addresses works and the other does not.
pub(crate) fn dead_family(addr: SocketAddr, error: impl Display) -> Explained {
    let (dead, good, record) = match addr.is_ipv6() {
        true => ("IPv6", "IPv4", "AAAA"),
        false => ("IPv4", "IPv6", "A"),
    };
    explained(
        error,
        format!("{dead} leads nowhere, while {good} works: each connection loses time on it"),
        format!(
            "remove the {record} record of the name or have {dead} work there; or set serverAddr to the {good} address"
        ),
    )
}

/// Large packets vanish without a word.
pub(crate) fn black_hole(passes: usize) -> Explained {
    explained(
        format!("TCP packets with {passes} bytes arrive and larger ones get lost"),
        "an MTU black hole: a link on the path takes no large packets, and its message about that is thrown away by a \
         firewall",
        format!(
            "lower the MTU of this machine's network device to {} (ip link set dev NAME mtu {}), let ICMP pass in the \
             firewall, or have the router clamp the MSS",
            passes + HEADERS,
            passes + HEADERS
        ),
    )
}

/// IPv4 or IPv6 and TCP with its options.
const HEADERS: usize = 52;

/// Bytes per second by UDP, and by TCP where that is known.
pub(crate) fn throttled(udp: u64, tcp: Option<u64>) -> Explained {
    let than = tcp.map(|tcp| format!(", TCP {} KB/s", tcp / 1000));
    explained(
        format!(
            "UDP carries {} KB/s{}",
            udp / 1000,
            than.unwrap_or_default()
        ),
        "UDP is throttled on the path, as some networks do",
        "set transport.protocol = \"tcp\" (serverPort is then the bindPort of frps)",
    )
}

/// Nothing comes back by UDP, while TCP to the same host is answered.
pub(crate) fn udp_blocked(cause: &str) -> Explained {
    explained(
        cause,
        "UDP is blocked on the path, or by the server's firewall: TCP to the same host is answered",
        "have the firewall or security group of the server let this UDP port in; where the network lets no UDP out, set \
         transport.protocol = \"tcp\" and serverPort to the bindPort of frps",
    )
}

/// Somebody ends TLS on the path; `issuer` made the certificate that it shows.
pub(crate) fn intercepted(issuer: &str) -> Explained {
    explained(
        format!("the certificate was issued by \"{issuer}\""),
        format!(
            "TLS is intercepted: somebody on the path, such as a proxy of the network, answers with a certificate of \
             \"{issuer}\" in the place of frps, unless frps has one of that CA"
        ),
        "have the network's owner exempt the address of frps from TLS inspection; transport.tls.trustedCaFile makes sure \
         whom frpc talks to",
    )
}

/// A port of a proxy that is not let in.
pub(crate) fn closed_outside(what: impl Display, network: &str, port: u16) -> Explained {
    explained(
        what,
        format!("frps has opened {network} port {port}, and nothing reaches it from here"),
        format!(
            "have the firewall of the server and the security group of its provider let {network} port {port} in"
        ),
    )
}

/// Something else than frps is at the port of a proxy.
pub(crate) fn other_service(port: u16) -> Explained {
    explained(
        format!("port {port} takes connections, and none of them reaches this frpc"),
        "another program, or a device in between, answers at that port",
        "set another remotePort, or see what listens there on the server's machine",
    )
}

/// A name of a proxy for hosts that does not lead to frps.
pub(crate) fn not_there(name: &str, found: &str, cfg: &ClientConfig) -> Explained {
    explained(
        found,
        format!("{name} does not lead to {}", cfg.server_addr),
        format!(
            "point the DNS record of {name} to the address of frps, unless a proxy of your own stands before it"
        ),
    )
}

/// The time is impossible.
pub(crate) fn clock() -> Explained {
    explained(
        "the clock of this machine is far off",
        "certificates and logins have a time",
        "set the clock, and switch on its synchronisation (timedatectl set-ntp true)",
    )
}
