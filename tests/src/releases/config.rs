//! Configuration files in the format that a release reads.

use super::Version;
use super::case::{Line, Use};
use crate::rig::{host_proxy, ini_proxy, stcp_proxy, stcp_visitor, tcp_proxy, udp_proxy};

/// The first release that reads TOML.
const TOML_SINCE: Version = Version(0, 52, 0);

/// Where everything of one play is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) bind: u16,
    pub(super) vhost: u16,
    pub(super) tcp: u16,
    pub(super) sealed: u16,
    pub(super) udp: u16,
    pub(super) visitor: u16,
}

/// The local services' ports.
#[derive(Clone, Copy, Debug)]
pub(super) struct Locals {
    pub(super) echo: u16,
    pub(super) datagrams: u16,
    pub(super) page: u16,
}

/// The host name of the http proxy.
pub(super) const HOST: &str = "releases.test";

/// One release's format.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    toml: bool,
}

impl Format {
    pub(super) fn of(version: Version) -> Self {
        Self {
            toml: version >= TOML_SINCE,
        }
    }

    pub(super) fn server(self, lines: &[Line], ports: Ports) -> String {
        let (bind, vhost) = (ports.bind, ports.vhost);
        let head = if self.toml {
            format!(
                "bindAddr = \"127.0.0.1\"\nbindPort = {bind}\nvhostHTTPPort = {vhost}\n\
                 log.level = \"debug\"\nlog.disablePrintColor = true\n"
            )
        } else {
            format!(
                "[common]\nbind_addr = 127.0.0.1\nbind_port = {bind}\nvhost_http_port = {vhost}\n\
                 log_level = debug\ndisable_log_color = true\n"
            )
        };
        head + &self.lines(lines, ports)
    }

    /// The file of the frpc with the proxies; of the one with the visitor if `visits` and those
    /// are two.
    pub(super) fn client(
        self,
        lines: &[Line],
        ports: Ports,
        locals: Locals,
        usage: Use,
        visits: bool,
    ) -> String {
        let bind = ports.bind;
        let mut text = if self.toml {
            format!(
                "serverAddr = \"127.0.0.1\"\nserverPort = {bind}\n\
                 log.level = \"debug\"\nlog.disablePrintColor = true\n"
            )
        } else {
            format!(
                "[common]\nserver_addr = 127.0.0.1\nserver_port = {bind}\n\
                 log_level = debug\ndisable_log_color = true\n"
            )
        };
        text += &self.lines(lines, ports);
        match usage {
            Use::Tcp | Use::Stay => text += &self.tcp("tcp", locals.echo, ports.tcp, false),
            Use::EveryKind => {
                text += &self.tcp("tcp", locals.echo, ports.tcp, false);
                text += &self.tcp("sealed", locals.echo, ports.sealed, true);
                text += &self.udp(locals.datagrams, ports.udp);
                text += &self.http(locals.page);
                text += &self.stcp(locals.echo, false);
                text += &self.visitor(ports.visitor, "");
            }
            Use::Visit { user, allow_all } => {
                if user {
                    text += if self.toml {
                        "user = \"al\"\n"
                    } else {
                        "user = al\n"
                    };
                }
                text += &match visits {
                    false => self.stcp(locals.echo, allow_all),
                    true => self.visitor(ports.visitor, ""),
                };
            }
        }
        text
    }

    fn lines(self, lines: &[Line], ports: Ports) -> String {
        let text = |line: &Line| if self.toml { line.toml } else { line.ini };
        let port = ports.bind.to_string();
        let lines = lines
            .iter()
            .map(|line| text(line).replace("{port}", &port) + "\n");
        lines.collect()
    }

    fn tcp(self, name: &str, local: u16, remote: u16, sealed: bool) -> String {
        match (self.toml, sealed) {
            (true, false) => tcp_proxy(name, local, remote, ""),
            (true, true) => {
                let lines = "transport.useEncryption = true\ntransport.useCompression = true";
                tcp_proxy(name, local, remote, lines)
            }
            (false, false) => ini_proxy(name, local, remote, ""),
            (false, true) => {
                let lines = "use_encryption = true\nuse_compression = true";
                ini_proxy(name, local, remote, lines)
            }
        }
    }

    fn udp(self, local: u16, remote: u16) -> String {
        if self.toml {
            return udp_proxy("udp", local, remote, "");
        }
        ini_proxy("udp", local, remote, "").replace("type = tcp", "type = udp")
    }

    fn http(self, local: u16) -> String {
        if self.toml {
            let lines = format!("customDomains = [\"{HOST}\"]");
            return host_proxy("http", "http", local, &lines);
        }
        format!(
            "\n[http]\ntype = http\nlocal_ip = 127.0.0.1\nlocal_port = {local}\n\
             custom_domains = {HOST}\n"
        )
    }

    fn stcp(self, local: u16, allow_all: bool) -> String {
        let allow = match (self.toml, allow_all) {
            (_, false) => "",
            (true, true) => "allowUsers = [\"*\"]",
            (false, true) => "allow_users = *",
        };
        if self.toml {
            return stcp_proxy("stcp", local, allow);
        }
        format!(
            "\n[stcp]\ntype = stcp\nsk = secret\nlocal_ip = 127.0.0.1\nlocal_port = {local}\n\
             {allow}\n"
        )
    }

    fn visitor(self, port: u16, lines: &str) -> String {
        if self.toml {
            return stcp_visitor("visitor", "stcp", port, lines);
        }
        format!(
            "\n[visitor]\ntype = stcp\nrole = visitor\nserver_name = stcp\nsk = secret\n\
             bind_addr = 127.0.0.1\nbind_port = {port}\n{lines}\n"
        )
    }
}
