//! Is a proxy's local service there?

use frp_ask::doctor::{Mark, Step};
use frp_config::{ProxyConfig, ProxyKind};
use frp_net::dial::{DialOptions, dial};
use frp_net::go_text::{go_text, join_host_port};
use frp_net::listen::any;
use frp_net::resolve::lookup;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::admin::cure::cure;
use crate::dial::LOCAL;
use crate::health;
use crate::limits::{DOCTOR_STEP, REFUSED_BY_UDP};

/// Looks, as frpc itself would.
pub(super) async fn look(proxy: &ProxyConfig) -> Step {
    if let Some(plugin) = &proxy.plugin {
        let found = format!("the plugin {}", plugin.as_str());
        return Step::new("localService", &proxy.name, Mark::Ok, found);
    }
    let at = join_host_port(&proxy.local_ip, proxy.local_port);
    let is_udp = matches!(proxy.kind, ProxyKind::Udp(_) | ProxyKind::Sudp(_));
    let checked = match &proxy.health_check {
        Some(check) => health::check_once(proxy, check)
            .await
            .map_err(|e| e.to_string()),
        None if is_udp => by_udp(proxy).await,
        None => {
            let options = DialOptions {
                timeout: DOCTOR_STEP,
                ..LOCAL
            };
            let dialled = dial(&proxy.local_ip, proxy.local_port, &options).await;
            dialled.map(drop).map_err(|e| e.to_string())
        }
    };
    match checked {
        Ok(()) if is_udp => {
            let found = format!("{at}: the UDP port is not closed");
            Step::new("localService", &proxy.name, Mark::Ok, found)
        }
        Ok(()) => Step::new(
            "localService",
            &proxy.name,
            Mark::Ok,
            format!("{at} answers"),
        ),
        Err(why) => {
            let step = Step::new("localService", &proxy.name, Mark::Failed, why);
            let cause = format!("nothing serves users at {at} (localIP, localPort)");
            let status = match proxy.health_check.is_some() {
                true => "check failed",
                false => "",
            };
            let cure = cure(status, "connect to local service").unwrap_or_default();
            step.because(cause, cure)
        }
    }
}

/// An empty datagram, which no protocol takes for anything: where nothing listens, the system says so.
async fn by_udp(proxy: &ProxyConfig) -> Result<(), String> {
    let addrs = lookup(&proxy.local_ip, proxy.local_port)
        .await
        .map_err(|e| e.to_string())?;
    let Some(addr) = addrs.first() else {
        return Err("no such host".to_owned());
    };
    let asked = async {
        let socket = UdpSocket::bind(any(addr.ip())).await?;
        socket.connect(addr).await?;
        socket.send(&[]).await?;
        let answer = socket.recv(&mut [0; 1]);
        timeout(REFUSED_BY_UDP, answer)
            .await
            .map_or(Ok(0), |answer| answer)
    };
    let answered = asked.await;
    answered
        .map(drop)
        .map_err(|e| format!("udp {addr}: {}", go_text(&e)))
}
