//! Plugins of frpc: what serves users instead of a local service.

use frp_tests::program::Program;
use frp_tests::*;

mod bytes;

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
