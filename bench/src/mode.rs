//! The transports that are measured, and what is asked of them.

use std::fmt::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};

/// A kind of proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    Http,
    Udp,
}

/// What the names of figures begin with that are taken on a way with losses.
pub(crate) const LOSSY: &str = "1 % lost, ";

/// The same on a long and wide way.
pub(crate) const LONG: &str = "100 ms, 500 Mbit/s, ";

/// The name that the http proxy serves.
pub(crate) const DOMAIN: &str = "bench.test";

/// Where a pair listens.
pub(crate) struct Ports {
    /// The address of all of them.
    pub(crate) host: Ipv4Addr,
    /// For frpc.
    pub(crate) bind: u16,
    /// For users.
    pub(crate) user: u16,
    /// Of nginx in front of frps, where there is one.
    pub(crate) front: Option<u16>,
}

/// What stands between frpc and frps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Front {
    /// frpc dials frps.
    None,
    /// nginx ends TLS for a frps that cannot, and counts as a part of it; ours can.
    WhereNeeded,
    /// nginx ends TLS for either, and does not count.
    Always,
}

/// One transport between frpc and frps.
#[derive(Debug)]
pub(crate) struct Mode {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// `transport.protocol`.
    protocol: &'static str,
    /// What is in front of frps.
    pub(crate) front: Front,
    tls: bool,
    mux: bool,
    v2: bool,
    encryption: bool,
    compression: bool,
    /// Measured unless others are asked for.
    pub(crate) is_default: bool,
    /// As above, with http and udp.
    pub(crate) is_for_all_kinds: bool,
    /// Highest ratio ours / theirs of CPU per byte.
    cpu_target: Option<f64>,
    /// Highest ratios of other metrics.
    targets: &'static [&'static [(&'static str, f64)]],
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    /// Of the ratio ours / theirs.
    AtMost(f64),
    /// The same.
    AtLeast(f64),
    /// Of our figure, whatever theirs is.
    OursAtMost(f64),
}

impl Target {
    /// None if there is nothing to compare with.
    pub(crate) fn is_met(self, ours: Option<f64>, ratio: Option<f64>) -> Option<bool> {
        Some(match self {
            Self::AtMost(target) => ratio? <= target,
            Self::AtLeast(target) => ratio? >= target,
            Self::OursAtMost(target) => ours? <= target,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(target) => write!(f, "<= {target:.2}"),
            Self::AtLeast(target) => write!(f, ">= {target:.2}"),
            Self::OursAtMost(target) => write!(f, "ours <= {target:.0}"),
        }
    }
}

const BASE: Mode = Mode {
    name: "",
    what: "",
    protocol: "tcp",
    front: Front::None,
    tls: true,
    mux: true,
    v2: false,
    encryption: false,
    compression: false,
    is_default: false,
    is_for_all_kinds: false,
    cpu_target: None,
    targets: &[],
};

/// Highest ratios ours / theirs over TCP.
const TARGETS: &[(&str, f64)] = &[
    ("latency p50, us", 0.7),
    ("memory at rest, MB", 0.3),
    // At least twice the requests, and three times the packets, of the same CPU time.
    ("http CPU", 0.5),
    ("http p99", 1.0),
    ("udp CPU", 0.33),
];

/// All of them; the first is frp's default.
pub(crate) const MODES: &[Mode] = &[
    Mode {
        name: "tls-mux",
        what: "TLS and mux: frp's default",
        is_default: true,
        is_for_all_kinds: true,
        cpu_target: Some(0.55),
        targets: &[TARGETS, &[("CPU per new connection, ms", 0.5)]],
        ..BASE
    },
    Mode {
        name: "mux",
        what: "mux without TLS",
        tls: false,
        is_default: true,
        cpu_target: Some(0.65),
        targets: &[TARGETS],
        ..BASE
    },
    Mode {
        name: "tls",
        what: "TLS, one connection per user connection",
        mux: false,
        is_default: true,
        cpu_target: Some(0.8),
        targets: &[TARGETS],
        ..BASE
    },
    Mode {
        name: "plain",
        what: "neither TLS nor mux",
        tls: false,
        mux: false,
        is_default: true,
        is_for_all_kinds: true,
        cpu_target: Some(0.65),
        targets: &[TARGETS],
        ..BASE
    },
    Mode {
        name: "kcp",
        what: "the default over kcp",
        protocol: "kcp",
        cpu_target: Some(0.7),
        ..BASE
    },
    Mode {
        name: "quic",
        what: "quic",
        protocol: "quic",
        cpu_target: Some(0.7),
        ..BASE
    },
    Mode {
        name: "websocket",
        what: "the default over websocket",
        protocol: "websocket",
        cpu_target: Some(0.7),
        ..BASE
    },
    Mode {
        name: "wss",
        what: "wss: ours straight to frps, theirs to nginx in front of it, which counts",
        protocol: "wss",
        front: Front::WhereNeeded,
        cpu_target: Some(0.7),
        ..BASE
    },
    Mode {
        name: "wss-nginx",
        what: "wss to nginx in front of frps, on both sides; it does not count",
        protocol: "wss",
        front: Front::Always,
        ..BASE
    },
    Mode {
        name: "v2",
        what: "the default with wire protocol v2",
        v2: true,
        ..BASE
    },
    Mode {
        name: "encryption",
        what: "the default with useEncryption",
        encryption: true,
        ..BASE
    },
    Mode {
        name: "compression",
        what: "the default with useCompression",
        compression: true,
        ..BASE
    },
    Mode {
        name: "plain-encryption",
        what: "neither TLS nor mux, with useEncryption",
        tls: false,
        mux: false,
        encryption: true,
        ..BASE
    },
    Mode {
        name: "plain-compression",
        what: "neither TLS nor mux, with useCompression",
        tls: false,
        mux: false,
        compression: true,
        ..BASE
    },
    Mode {
        name: "websocket-mux",
        what: "websocket, with the mux and no TLS within",
        protocol: "websocket",
        tls: false,
        cpu_target: Some(0.7),
        ..BASE
    },
];

impl Mode {
    /// The ratio that is asked for `metric`.
    pub(crate) fn target(&self, metric: &str) -> Option<Target> {
        let is = |start, end| metric.starts_with(start) && metric.ends_with(end);
        let key = match metric {
            _ if is("CPU", "s/GB") => return self.cpu_target.map(Target::AtMost),
            _ if metric.starts_with(LOSSY) => return Some(Target::AtLeast(1.0)),
            // Beside the 20 ms of the way itself.
            _ if is("20 Mbit/s ", "echo p50, ms") => return Some(Target::OursAtMost(40.0)),
            _ if is("20 Mbit/s ", "echo p99, ms") => return Some(Target::OursAtMost(60.0)),
            _ if is("2 Mbit/s ", "") => return None,
            _ if is("", "echo p50, ms") || is("", "echo p99, ms") => {
                return Some(Target::AtMost(0.5));
            }
            _ if is("http ", "CPU, us/req") => "http CPU",
            _ if is("http ", "p99, us") => "http p99",
            _ if is("udp ", "CPU, us/echo") => "udp CPU",
            other => other,
        };
        let mut targets = self.targets.iter().copied().flatten();
        targets
            .find(|(name, _)| *name == key)
            .map(|(_, ratio)| Target::AtMost(*ratio))
    }

    pub(crate) fn frps_toml(&self, kind: Kind, ports: &Ports) -> String {
        let mut toml = format!(
            "bindAddr = \"{}\"\n\
             bindPort = {}\n\
             auth.token = \"bench\"\n\
             transport.tcpMux = {}\n",
            ports.host, ports.bind, self.mux
        );
        if matches!(self.protocol, "kcp" | "quic") {
            let _ = writeln!(toml, "{}BindPort = {}", self.protocol, ports.bind);
        }
        if kind == Kind::Http {
            let _ = writeln!(toml, "vhostHTTPPort = {}", ports.user);
        }
        toml
    }

    pub(crate) fn frpc_toml(&self, kind: Kind, ports: &Ports, local: SocketAddr) -> String {
        let mut toml = format!(
            "serverAddr = \"{}\"\n\
             serverPort = {}\n\
             auth.token = \"bench\"\n\
             transport.protocol = \"{}\"\n\
             transport.tcpMux = {}\n\
             transport.tls.enable = {}\n",
            ports.host,
            ports.front.unwrap_or(ports.bind),
            self.protocol,
            self.mux,
            self.tls
        );
        if self.v2 {
            toml.push_str("transport.wireProtocol = \"v2\"\n");
        }
        let _ = write!(
            toml,
            "\n[[proxies]]\n\
             name = \"bench\"\n\
             localIP = \"{}\"\n\
             localPort = {}\n",
            local.ip(),
            local.port()
        );
        let port = ports.user;
        let _ = match kind {
            Kind::Tcp => write!(toml, "type = \"tcp\"\nremotePort = {port}\n"),
            Kind::Udp => write!(toml, "type = \"udp\"\nremotePort = {port}\n"),
            Kind::Http => write!(toml, "type = \"http\"\ncustomDomains = [\"{DOMAIN}\"]\n"),
        };
        if self.encryption {
            toml.push_str("transport.useEncryption = true\n");
        }
        if self.compression {
            toml.push_str("transport.useCompression = true\n");
        }
        toml
    }
}
