//! Proxies that visitors reach directly: frps only brings them together (frp `server/proxy/xtcp.go`).

use super::setup::{ProxyError, Published, Setup, Teardown};
use crate::proxy::spec::Access;

/// Puts the proxy in the table of those that visitors may ask for.
#[allow(clippy::unnecessary_wraps, reason = "as the other types")]
pub(super) fn publish(setup: &Setup<'_>, _: &Access) -> Result<Published, ProxyError> {
    let listed = setup.shared.nathole.list(setup.proxy);
    Ok(Published {
        remote_addr: String::new(),
        port: None,
        teardown: Teardown::Places(Box::new(listed)),
    })
}
