//! The transports that are measured, and what is asked of them.

use std::fmt::Write as _;
use std::net::SocketAddr;

/// A kind of proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    Http,
    Udp,
}

/// The name that the http proxy serves.
pub(crate) const DOMAIN: &str = "bench.test";

/// Where a pair listens.
pub(crate) struct Ports {
    /// For frpc.
    pub(crate) bind: u16,
    /// For users.
    pub(crate) user: u16,
}

/// One transport between frpc and frps.
#[derive(Debug)]
pub(crate) struct Mode {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    protocol: &'static str,
    tls: bool,
    mux: bool,
    v2: bool,
    encryption: bool,
    compression: bool,
    /// Measured unless others are asked for.
    pub(crate) is_default: bool,
    /// As above, with http and udp.
    pub(crate) is_for_all_kinds: bool,
    /// Highest ratio ours / theirs of CPU per byte; with it come [`TARGETS`].
    cpu_target: Option<f64>,
    /// Highest ratios of metrics for this transport alone.
    targets: &'static [(&'static str, f64)],
}

const BASE: Mode = Mode {
    name: "",
    what: "",
    protocol: "tcp",
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

/// Highest ratios ours / theirs.
const TARGETS: &[(&str, f64)] = &[
    ("latency p50, us", 0.7),
    ("PSS at rest, MB", 0.3),
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
        targets: &[("CPU per new connection, ms", 0.5)],
        ..BASE
    },
    Mode {
        name: "mux",
        what: "mux without TLS",
        tls: false,
        is_default: true,
        cpu_target: Some(0.65),
        ..BASE
    },
    Mode {
        name: "tls",
        what: "TLS, one connection per user connection",
        mux: false,
        is_default: true,
        cpu_target: Some(0.8),
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
        name: "websocket",
        what: "websocket, with TLS and mux within",
        protocol: "websocket",
        cpu_target: Some(0.7),
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
    Mode {
        name: "quic",
        what: "QUIC",
        protocol: "quic",
        cpu_target: Some(0.7),
        ..BASE
    },
];

impl Mode {
    /// The highest ratio that is asked for `metric`.
    pub(crate) fn target(&self, metric: &str) -> Option<f64> {
        let cpu_target = self.cpu_target?;
        let is = |start, end| metric.starts_with(start) && metric.ends_with(end);
        let key = match metric {
            _ if is("CPU", "s/GB") => return Some(cpu_target),
            _ if is("http ", "CPU, us/req") => "http CPU",
            _ if is("http ", "p99, us") => "http p99",
            _ if is("udp ", "CPU, us/echo") => "udp CPU",
            other => other,
        };
        let mut targets = TARGETS.iter().chain(self.targets);
        targets
            .find(|(name, _)| *name == key)
            .map(|(_, ratio)| *ratio)
    }

    pub(crate) fn frps_toml(&self, kind: Kind, ports: &Ports) -> String {
        let mut toml = format!(
            "bindAddr = \"127.0.0.1\"\n\
             bindPort = {}\n\
             auth.token = \"bench\"\n\
             transport.tcpMux = {}\n",
            ports.bind, self.mux
        );
        if self.protocol == "quic" {
            let _ = writeln!(toml, "quicBindPort = {}", ports.bind);
        }
        if kind == Kind::Http {
            let _ = writeln!(toml, "vhostHTTPPort = {}", ports.user);
        }
        toml
    }

    pub(crate) fn frpc_toml(&self, kind: Kind, ports: &Ports, local: SocketAddr) -> String {
        let mut toml = format!(
            "serverAddr = \"127.0.0.1\"\n\
             serverPort = {}\n\
             auth.token = \"bench\"\n\
             transport.tcpMux = {}\n\
             transport.tls.enable = {}\n",
            ports.bind, self.mux, self.tls
        );
        let _ = writeln!(toml, "transport.protocol = \"{}\"", self.protocol);
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
