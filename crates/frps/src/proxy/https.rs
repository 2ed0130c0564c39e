//! An https proxy: host names of the vhost port for HTTPS (frp `server/proxy/https.go`).

use super::{Held, ProxyError, Published, Setup};
use crate::vhost::{domains, log_routes, remote_addr, routes};

/// Takes the routes that the proxy asks for.
pub(super) fn publish(setup: &Setup<'_>) -> Result<Published, ProxyError> {
    let Setup { proxy, new, .. } = setup;
    let shared = &proxy.shared;
    let port = shared
        .bound
        .vhost_https_port
        .ok_or(ProxyError::NoVhostPort("https"))?;
    let domains = domains(new, &setup.policy.sub_domain_host)?;
    let keys = routes(&domains, &[], "");
    let group = (new.group.as_str(), new.group_key.as_str());
    let routes = shared
        .vhosts
        .https
        .add(group, (), keys, proxy, |members| members)?;
    let group = &new.group;
    let line = |domain: &String| format!("https proxy listen for host [{domain}] group [{group}]");
    log_routes(&proxy.log.of_session(), domains.iter().map(line));
    Ok(Published {
        remote_addr: remote_addr(&domains, &[], port),
        port: None,
        held: Held::Places(Box::new(routes)),
    })
}
