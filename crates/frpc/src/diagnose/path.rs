//! What the way to the server does that no single login tells: names that lead elsewhere, a family that leads
//! nowhere, packets of some size or kind that get lost, somebody in between. For the doctor.

use std::fmt::Display;
use std::net::SocketAddr;

use frp_config::ClientConfig;

use super::explained::{Explained, explained};
use crate::one_way::OneWay;

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

/// Nobody answers at the addresses that the name leads to.
pub(crate) fn asked_dns(why: &Explained, host: &str, found: &str) -> Explained {
    let cure = why.cure().unwrap_or_default();
    let cure = format!(
        "{cure}; and see that {found}, to which the name {host} leads, is frps: DNS may be wrong"
    );
    explained(why.seen(), why.why(), cure)
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

/// Large packets vanish without a word; `mtu`: bytes of the largest that arrives.
pub(crate) fn black_hole(mtu: u32) -> Explained {
    explained(
        format!("packets of {mtu} bytes arrive and larger ones get lost"),
        "an MTU black hole: a link on the path takes no large packets, and its message about that is thrown away by a \
         firewall",
        format!(
            "lower the MTU of this machine's network device (ip link set dev NAME mtu {mtu}), let ICMP pass in the \
             firewalls, or have the router clamp the MSS"
        ),
    )
}

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
        "UDP is blocked on the path, or by the server's firewall: nothing comes back, while TCP to the same host is \
         answered",
        "have the firewall or security group of the server let this UDP port in; where the network lets no UDP out, set \
         transport.protocol = \"tcp\" and serverPort to the bindPort of frps",
    )
}

/// Somebody ends TLS on the path; `issuer` made the certificate that it shows, which may name nobody. `is_sure`: or
/// else frps has a certificate of that issuer.
pub(crate) fn intercepted(issuer: &str, is_sure: bool) -> Explained {
    let issuer = match issuer {
        "" => "nobody".to_owned(),
        issuer => format!("\"{issuer}\""),
    };
    let unless = match is_sure {
        true => "",
        false => ", unless frps has one of that CA",
    };
    explained(
        format!("the certificate was issued by {issuer}"),
        format!(
            "TLS is intercepted: somebody on the path, such as a proxy of the network, answers with a certificate of \
             {issuer} in the place of frps{unless}"
        ),
        "have the network's owner exempt the address of frps from TLS inspection; transport.tls.pin makes sure whom \
         frpc talks to",
    )
}

/// A login without TLS breaks, and one with it is answered.
pub(crate) fn plain_rejected(seen: &str, _: &OneWay) -> Explained {
    explained(
        seen,
        "a login without TLS is cut off, and one within TLS is answered: a firewall on the path rejects plain frp, or \
         frps takes only TLS",
        "set transport.tls.enable = true",
    )
}

/// TLS behind frp's own first byte breaks, and without that it is answered.
pub(crate) fn first_byte_rejected(seen: &str, _: &OneWay) -> Explained {
    explained(
        seen,
        "TLS is answered only without frp's own first byte 0x17 in front: a firewall on the path rejects that",
        "set transport.tls.disableCustomTLSFirstByte = true",
    )
}

/// The other way round.
pub(crate) fn first_byte_wanted(seen: &str, _: &OneWay) -> Explained {
    explained(
        seen,
        "TLS is answered only behind frp's own first byte 0x17: frps is an old release, before 0.38, or shares its \
         port with https proxies",
        "set transport.tls.disableCustomTLSFirstByte = false, and update frps if it is old",
    )
}

/// The mux is on at one end only.
pub(crate) fn other_mux(seen: &str, way: &OneWay) -> Explained {
    let here = way.transport.tcp_mux;
    explained(
        seen,
        format!(
            "transport.tcpMux is {here} here and {} in frps: a login with the other value is answered",
            !here
        ),
        format!("set transport.tcpMux = {} here, or {here} in frps", !here),
    )
}

/// The server knows no wire protocol v2.
pub(crate) fn old_wire(seen: &str, _: &OneWay) -> Explained {
    explained(
        seen,
        "frps does not know wire protocol v2: it is an old release, before 0.69",
        "set transport.wireProtocol = \"v1\", or update frps",
    )
}

/// `version` is what the server says of itself.
pub(crate) fn old_release(version: &str) -> Explained {
    explained(
        format!("frps {version}"),
        "the server is an old release, and lacks what was added and mended since",
        "update frps",
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

/// A port of a proxy that is closed to this machine as soon as it is reached.
pub(crate) fn turned_away(port: u16) -> Explained {
    explained(
        format!("port {port} closes connections at once, and none of them reaches this frpc"),
        "frps lets nobody in there from this machine's address (guard in frps or of the proxy), or has no work \
         connection, or a device in between closes them",
        "see allowIPs, denyIPs and the bans of frps (frps ban list); the log of frps says more",
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
