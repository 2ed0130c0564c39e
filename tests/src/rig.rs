//! A frps and any number of frpcs, configured on free ports in a directory of their own.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::ports::free_port;
use crate::program::{Program, Side};
use crate::temp::TempDir;

/// The place of one test: its files and the programs started there.
#[derive(Debug)]
pub struct Rig {
    dir: TempDir,
    next: AtomicU32,
}

/// A running frps and the port of its bindPort.
#[derive(Debug)]
pub struct Frps {
    /// The process.
    pub program: Program,
    /// Its bindPort, on 127.0.0.1.
    pub port: u16,
}

impl Rig {
    /// An empty rig.
    #[must_use]
    #[allow(clippy::new_without_default)] // it touches the disk
    pub fn new() -> Self {
        Self {
            dir: TempDir::new(),
            next: AtomicU32::new(0),
        }
    }

    /// The rig's own directory, which is also the programs' working directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file there.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        self.dir.write(name, content)
    }

    /// Our frps with the TOML lines `extra` (they may begin with plain keys), up and listening.
    pub async fn frps(&self, extra: &str) -> Frps {
        self.frps_of(&Side::Ours, extra).await
    }

    /// As [`Rig::frps`] for either side. `extra` beginning with `[common]` makes an INI file.
    pub async fn frps_of(&self, side: &Side, extra: &str) -> Frps {
        // Another process may take the port before frps binds it; then it says so and exits.
        for _ in 0..5 {
            let port = free_port();
            let program = self.start(side, "frps", &server_text(port, extra));
            let up = |line: &str| {
                line.contains("frps started successfully") || line.contains("tart frps success")
            };
            let taken = |line: &str| line.to_lowercase().contains("address already in use");
            let line = program
                .log()
                .wait(0, Duration::from_secs(20), |l| up(l) || taken(l))
                .await;
            match line {
                Some(line) if up(&line) => return Frps { program, port },
                Some(_) => {}
                None => panic!("frps did not start"),
            }
        }
        panic!("frps found no free port five times");
    }

    /// Our frpc to `port` of 127.0.0.1 with the TOML lines `extra` (plain keys first, then tables).
    /// Does not wait for anything.
    #[must_use]
    pub fn frpc(&self, port: u16, extra: &str) -> Program {
        self.frpc_of(&Side::Ours, port, extra)
    }

    /// As [`Rig::frpc`] for either side. `extra` beginning with `[common]` makes an INI file.
    #[must_use]
    pub fn frpc_of(&self, side: &Side, port: u16, extra: &str) -> Program {
        self.start(side, "frpc", &client_text(port, extra))
    }

    /// A program with a configuration of exactly this text.
    #[must_use]
    pub fn start(&self, side: &Side, name: &str, config: &str) -> Program {
        self.start_with(side, name, config, &[])
    }

    /// The same with more environment variables.
    #[must_use]
    pub fn start_with(
        &self,
        side: &Side,
        name: &str,
        config: &str,
        environment: &[(&str, &str)],
    ) -> Program {
        let file = self.config(name, config);
        Program::spawn_with(
            &side.program(name),
            ["-c".into(), file.into_os_string()],
            self.path(),
            environment,
        )
    }

    /// A file with the configuration `config` of the program `name`.
    pub fn config(&self, name: &str, config: &str) -> PathBuf {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let extension = if is_ini(config) { "ini" } else { "toml" };
        self.file(&format!("{name}-{n}.{extension}"), config)
    }

    /// A program with these arguments.
    #[must_use]
    pub fn run<S: Into<std::ffi::OsString>>(
        &self,
        side: &Side,
        name: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Program {
        Program::spawn(&side.program(name), args, self.path())
    }
}

/// A `[[proxies]]` table of type tcp with further `lines`.
#[must_use]
pub fn tcp_proxy(name: &str, local_port: u16, remote_port: u16, lines: &str) -> String {
    format!(
        "\n[[proxies]]\nname = \"{name}\"\ntype = \"tcp\"\nlocalPort = {local_port}\n\
         remotePort = {remote_port}\n{lines}\n"
    )
}

/// A `[[proxies]]` table of type udp with further `lines`.
#[must_use]
pub fn udp_proxy(name: &str, local_port: u16, remote_port: u16, lines: &str) -> String {
    tcp_proxy(name, local_port, remote_port, lines).replace("\"tcp\"", "\"udp\"")
}

/// A `[[proxies]]` table of type stcp with the secret `secret` and further `lines`.
#[must_use]
pub fn stcp_proxy(name: &str, local_port: u16, lines: &str) -> String {
    format!(
        "\n[[proxies]]\nname = \"{name}\"\ntype = \"stcp\"\nlocalPort = {local_port}\n\
         secretKey = \"secret\"\n{lines}\n"
    )
}

/// A `[[visitors]]` table that visits `proxy` from `bind_port`, with the same secret.
#[must_use]
pub fn stcp_visitor(name: &str, proxy: &str, bind_port: u16, lines: &str) -> String {
    format!(
        "\n[[visitors]]\nname = \"{name}\"\ntype = \"stcp\"\nserverName = \"{proxy}\"\n\
         bindPort = {bind_port}\nsecretKey = \"secret\"\n{lines}\n"
    )
}

/// The same of another `kind`, for host names: `lines` say which.
#[must_use]
pub fn host_proxy(kind: &str, name: &str, local_port: u16, lines: &str) -> String {
    format!(
        "\n[[proxies]]\nname = \"{name}\"\ntype = \"{kind}\"\nlocalPort = {local_port}\n{lines}\n"
    )
}

/// The same as a section of an INI file.
#[must_use]
pub fn ini_proxy(name: &str, local_port: u16, remote_port: u16, lines: &str) -> String {
    format!(
        "\n[{name}]\ntype = tcp\nlocal_ip = 127.0.0.1\nlocal_port = {local_port}\n\
         remote_port = {remote_port}\n{lines}\n"
    )
}

fn server_text(port: u16, extra: &str) -> String {
    match extra.strip_prefix("[common]") {
        Some(rest) => {
            format!(
                "[common]\nbind_addr = 127.0.0.1\nbind_port = {port}\nlog_level = debug\n{rest}"
            )
        }
        None => format!(
            "bindAddr = \"127.0.0.1\"\nbindPort = {port}\n{}{extra}",
            log_lines(extra)
        ),
    }
}

fn client_text(port: u16, extra: &str) -> String {
    match extra.strip_prefix("[common]") {
        Some(rest) => format!(
            "[common]\nserver_addr = 127.0.0.1\nserver_port = {port}\nlog_level = debug\n{rest}"
        ),
        None => {
            format!(
                "serverAddr = \"127.0.0.1\"\nserverPort = {port}\n{}{extra}",
                log_lines(extra)
            )
        }
    }
}

fn log_lines(extra: &str) -> &'static str {
    if extra.contains("log.") {
        ""
    } else {
        "log.level = \"debug\"\nlog.disablePrintColor = true\n"
    }
}

fn is_ini(config: &str) -> bool {
    config.lines().any(|l| l.trim() == "[common]")
}
