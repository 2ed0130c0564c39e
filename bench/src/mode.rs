//! The transports that are measured, and what is asked of them.

use std::fmt::Write as _;
use std::net::SocketAddr;

/// One transport between frpc and frps.
#[derive(Debug)]
pub(crate) struct Mode {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    tls: bool,
    mux: bool,
    v2: bool,
    encryption: bool,
    compression: bool,
    /// Highest ratio ours / theirs, by metric.
    pub(crate) targets: &'static [(&'static str, f64)],
}

const BASE: Mode = Mode {
    name: "",
    what: "",
    tls: true,
    mux: true,
    v2: false,
    encryption: false,
    compression: false,
    targets: &[],
};

/// All of them; the first is frp's default.
pub(crate) const MODES: &[Mode] = &[
    Mode {
        name: "tls-mux",
        what: "TLS and mux: frp's default",
        targets: &[
            ("CPU", 0.55),
            ("CPU per new connection, ms", 0.5),
            ("latency p50, us", 0.7),
            ("PSS at rest, MB", 0.3),
        ],
        ..BASE
    },
    Mode {
        name: "mux",
        what: "mux without TLS",
        tls: false,
        targets: &[
            ("CPU", 0.65),
            ("latency p50, us", 0.7),
            ("PSS at rest, MB", 0.3),
        ],
        ..BASE
    },
    Mode {
        name: "tls",
        what: "TLS, one connection per user connection",
        mux: false,
        targets: &[
            ("CPU", 0.8),
            ("latency p50, us", 0.7),
            ("PSS at rest, MB", 0.3),
        ],
        ..BASE
    },
    Mode {
        name: "plain",
        what: "neither TLS nor mux",
        tls: false,
        mux: false,
        targets: &[
            ("CPU", 0.65),
            ("latency p50, us", 0.7),
            ("PSS at rest, MB", 0.3),
        ],
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
];

impl Mode {
    /// The highest ratio that is asked for `metric`.
    pub(crate) fn target(&self, metric: &str) -> Option<f64> {
        let is_cpu_per_byte = metric.starts_with("CPU") && metric.ends_with("s/GB");
        let key = if is_cpu_per_byte { "CPU" } else { metric };
        self.targets
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, ratio)| *ratio)
    }

    pub(crate) fn frps_toml(&self, bind_port: u16) -> String {
        format!(
            "bindAddr = \"127.0.0.1\"\n\
             bindPort = {bind_port}\n\
             auth.token = \"bench\"\n\
             transport.tcpMux = {}\n",
            self.mux
        )
    }

    pub(crate) fn frpc_toml(&self, bind_port: u16, remote_port: u16, local: SocketAddr) -> String {
        let mut toml = format!(
            "serverAddr = \"127.0.0.1\"\n\
             serverPort = {bind_port}\n\
             auth.token = \"bench\"\n\
             transport.tcpMux = {}\n\
             transport.tls.enable = {}\n",
            self.mux, self.tls
        );
        if self.v2 {
            toml.push_str("transport.wireProtocol = \"v2\"\n");
        }
        let _ = write!(
            toml,
            "\n[[proxies]]\n\
             name = \"bench\"\n\
             type = \"tcp\"\n\
             localIP = \"{}\"\n\
             localPort = {}\n\
             remotePort = {remote_port}\n",
            local.ip(),
            local.port()
        );
        if self.encryption {
            toml.push_str("transport.useEncryption = true\n");
        }
        if self.compression {
            toml.push_str("transport.useCompression = true\n");
        }
        toml
    }
}
