//! Proxies without a port or a route: only visitors reach them, by name and secret
//! (frp `server/proxy/stcp.go`, `server/proxy/sudp.go`).

use frp_log::info;

use super::setup::{ProxyError, Published, Setup, Teardown};
use crate::proxy::spec::Access;
use crate::visitors::{Carries, Visited};

/// Puts the proxy in the table of visitors.
pub(super) fn publish(
    setup: &Setup<'_>,
    access: &Access,
    carries: Carries,
) -> Result<Published, ProxyError> {
    let Setup { shared, proxy, .. } = setup;
    let visited = Visited::new(proxy, access, carries);
    let listed = shared.visitors.list(visited)?;
    let kind = proxy.spec.proxy_type();
    info!(proxy.log.of_session(), "{kind} proxy custom listen success");
    Ok(Published {
        remote_addr: String::new(),
        port: None,
        teardown: Teardown::Places(Box::new(listed)),
    })
}
