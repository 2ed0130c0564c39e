//! A tcpmux proxy: host names that users ask for by HTTP CONNECT (frp `server/proxy/tcpmux.go`).

use std::sync::Arc;

use frp_http::basic::Login;

use super::setup::{ProxyError, Published, Setup, Teardown};
use crate::proxy::spec::TcpmuxSettings;
use crate::vhost::domains::{domains, log_routes, remote_addr, routes};
use crate::vhost::target::ConnectTarget;

/// Takes the routes that the proxy asks for.
pub(super) fn publish(
    setup: &Setup<'_>,
    settings: &TcpmuxSettings,
) -> Result<Published, ProxyError> {
    let Setup { shared, proxy, .. } = setup;
    let port = shared.bound.tcpmux_port.ok_or(ProxyError::NoTcpmuxPort)?;
    let domains = domains(&settings.hosts, &setup.policy.sub_domain_host)?;
    let user = &settings.route_by_http_user;
    let keys = routes(&domains, &[], user);
    let login = settings.login.clone();
    let target = |members| {
        let login = Login::new(&settings.login.user, settings.login.password.expose());
        Arc::new(ConnectTarget { members, login })
    };
    let tables = &shared.vhosts.connect;
    let routes = tables.add(login, keys, proxy, target)?;
    let group = &proxy.spec.group.name;
    let line = |domain: &String| {
        format!(
            "tcpmux httpconnect multiplexer listens for host [{domain}], group [{group}] \
             routeByHTTPUser [{user}]"
        )
    };
    log_routes(&proxy.log.of_session(), domains.iter().map(line));
    Ok(Published {
        remote_addr: remote_addr(&domains, &[], port),
        port: None,
        teardown: Teardown::Places(Box::new(routes)),
    })
}
