//! Plugins of frpc: what serves users instead of a local service.

use frp_tests::program::Program;
use frp_tests::*;

mod backend;
mod bytes;
mod curl;
mod failures;
mod forward;
mod framing;
mod http_proxy;
mod https;
mod socks5;
mod static_file;
mod streams;

/// A frps and a frpc with one proxy of type tcp and this plugin.
struct Plugged {
    _frps: Frps,
    frpc: Program,
    /// Where users come in.
    port: u16,
}

/// The `[[proxies]]` table "web" of type tcp with the plugin of these lines; `lines` belong to the
/// proxy itself.
fn proxy(remote_port: u16, lines: &str, plugin: &str) -> String {
    format!(
        "\n[[proxies]]\nname = \"web\"\ntype = \"tcp\"\nremotePort = {remote_port}\n{lines}\n\
         [proxies.plugin]\n{plugin}\n"
    )
}

/// Starts both; the proxy runs.
async fn plugged(rig: &Rig, lines: &str, plugin: &str) -> Plugged {
    plugged_of(rig, [&Side::Ours, &Side::Ours], lines, plugin).await
}

/// As [`plugged`], with frps and frpc of these sides.
async fn plugged_of(rig: &Rig, sides: [&Side; 2], lines: &str, plugin: &str) -> Plugged {
    let frps = rig.frps_of(sides[0], "").await;
    let port = free_port();
    let frpc = rig.frpc_of(sides[1], frps.port, &proxy(port, lines, plugin));
    frpc.expect("[web] start proxy success").await;
    Plugged {
        _frps: frps,
        frpc,
        port,
    }
}

/// The four plugins that forward HTTP, each with its proxy.
const BRIDGES: [&str; 4] = ["http2http", "http2https", "https2http", "https2https"];

/// A frps and a frpc with a proxy for each of [`BRIDGES`].
struct Bridges {
    _frps: Frps,
    frpc: Program,
    /// Where users come in, in the order of [`BRIDGES`].
    ports: [u16; 4],
}

impl Bridges {
    /// `http` and `https` are the ports of the local services, `lines` belong to each plugin.
    async fn new(rig: &Rig, sides: [&Side; 2], http: u16, https: u16, lines: &str) -> Self {
        let frps = rig.frps_of(sides[0], "").await;
        let ports = [(); 4].map(|()| free_port());
        let mut text = String::new();
        for (name, port) in BRIDGES.iter().zip(ports) {
            let local = if name.ends_with("https") { https } else { http };
            text += &format!(
                "\n[[proxies]]\nname = \"{name}\"\ntype = \"tcp\"\nremotePort = {port}\n\
                 [proxies.plugin]\ntype = \"{name}\"\nlocalAddr = \"127.0.0.1:{local}\"\n\
                 {lines}\n"
            );
        }
        let frpc = rig.frpc_of(sides[1], frps.port, &text);
        for name in BRIDGES {
            frpc.expect(&format!("[{name}] start proxy success")).await;
        }
        Self {
            _frps: frps,
            frpc,
            ports,
        }
    }

    /// Where the users of each plugin go, as a URL without a path.
    fn urls(&self) -> [String; 4] {
        let [a, b, c, d] = self.ports;
        [
            format!("http://127.0.0.1:{a}"),
            format!("http://127.0.0.1:{b}"),
            format!("https://127.0.0.1:{c}"),
            format!("https://127.0.0.1:{d}"),
        ]
    }
}
