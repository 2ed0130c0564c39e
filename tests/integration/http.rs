//! Proxies of type http: routes, passwords, headers, and what flows through them.

mod answers;
mod failures;
mod flows;
mod framing;
mod reference;
mod routes;
mod targets;

use std::fmt::Write as _;

use frp_tests::backend::Backend;
use frp_tests::*;

/// A frps with a vhost port and a frpc with http proxies.
struct Site {
    frps: Frps,
    frpc: Program,
    /// The vhost port.
    port: u16,
    rig: Rig,
}

impl Site {
    /// With the settings `server` and the proxies `proxies`, all of which start.
    async fn open(server: &str, proxies: &str) -> Self {
        Self::open_of((&Side::Ours, &Side::Ours), server, proxies).await
    }

    async fn open_of(sides: (&Side, &Side), server: &str, proxies: &str) -> Self {
        let rig = Rig::new();
        let port = free_port();
        let server = format!("vhostHTTPPort = {port}\n{server}");
        let frps = rig.frps_of(sides.0, &server).await;
        let frpc = rig.frpc_of(sides.1, frps.port, proxies);
        for name in names(proxies) {
            frpc.expect(&format!("[{name}] start proxy success")).await;
        }
        Self {
            frps,
            frpc,
            port,
            rig,
        }
    }

    /// Another frpc with `proxies`, all of which start.
    async fn client(&self, proxies: &str) -> Program {
        let frpc = self.rig.frpc(self.frps.port, proxies);
        for name in names(proxies) {
            frpc.expect(&format!("[{name}] start proxy success")).await;
        }
        frpc
    }
}

fn names(proxies: &str) -> Vec<String> {
    let name = |line: &str| {
        let name = line.strip_prefix("name = \"")?.strip_suffix('"')?;
        Some(name.to_owned())
    };
    proxies.lines().filter_map(name).collect()
}

/// A `[[proxies]]` table of type http with further `lines`.
fn proxy(name: &str, backend: &Backend, lines: &str) -> String {
    proxy_to(name, backend.port(), lines)
}

fn proxy_to(name: &str, port: u16, lines: &str) -> String {
    let mut text =
        format!("\n[[proxies]]\nname = \"{name}\"\ntype = \"http\"\nlocalPort = {port}\n");
    let _ = writeln!(text, "{lines}");
    text
}

/// As [`proxy`], for one domain.
fn domain(name: &str, backend: &Backend, domain: &str) -> String {
    proxy(name, backend, &format!("customDomains = [\"{domain}\"]"))
}
