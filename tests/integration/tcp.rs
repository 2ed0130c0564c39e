//! Proxies of type tcp.

use frp_tests::rig::tcp_proxy;
use frp_tests::*;

#[tokio::test]
async fn a_fixed_port_carries_data() {
    let rig = Rig::new();
    let service = Service::echo().await;
    let frps = rig.frps("").await;
    let port = free_port();
    let frpc = rig.frpc(frps.port, &tcp_proxy("web", service.port, port, ""));
    frpc.expect("[web] start proxy success").await;
    echo(port, &pattern(1_000_000, 1)).await;
}
