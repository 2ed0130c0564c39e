//! An https proxy: host names of the vhost port for HTTPS (frp `server/proxy/https.go`).

use frp_proto::names::ProxyType;

use super::setup::{ProxyError, Published, Setup, Teardown};
use crate::proxy::spec::Hosts;
use crate::vhost::domains::{domains, log_routes, remote_addr, routes};

/// Takes the routes that the proxy asks for.
pub(super) fn publish(setup: &Setup<'_>, hosts: &Hosts) -> Result<Published, ProxyError> {
    let Setup { shared, proxy, .. } = setup;
    let port = shared
        .bound
        .vhost_https_port
        .ok_or(ProxyError::NoVhostPort(ProxyType::Https))?;
    let domains = domains(hosts, &setup.policy.sub_domain_host)?;
    let keys = routes(&domains, &[], "");
    let routes = shared
        .vhosts
        .https
        .add((), keys, proxy, |members| members)?;
    let group = &proxy.spec.group.name;
    let line = |domain: &String| format!("https proxy listen for host [{domain}] group [{group}]");
    log_routes(&proxy.log.of_session(), domains.iter().map(line));
    Ok(Published {
        remote_addr: remote_addr(&domains, &[], port),
        port: None,
        teardown: Teardown::Places(Box::new(routes)),
    })
}
