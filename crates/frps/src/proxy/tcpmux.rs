//! A tcpmux proxy: host names that users ask for by HTTP CONNECT (frp `server/proxy/tcpmux.go`).

use std::sync::Arc;

use super::{Held, ProxyError, Published, Setup};
use crate::vhost::connect::Target;
use crate::vhost::http::Credentials;
use crate::vhost::{Login, domains, log_routes, remote_addr, routes};

/// Takes the routes that the proxy asks for.
pub(super) fn publish(setup: &Setup<'_>) -> Result<Published, ProxyError> {
    let Setup { proxy, new, .. } = setup;
    let shared = &proxy.shared;
    if new.multiplexer != "httpconnect" {
        return Err(ProxyError::Multiplexer(new.multiplexer.clone()));
    }
    let port = shared.bound.tcpmux_port.ok_or(ProxyError::NoTcpmuxPort)?;
    let domains = domains(new, &setup.policy.sub_domain_host)?;
    let user = &new.route_by_http_user;
    let keys = routes(&domains, &[], user);
    let group = (new.group.as_str(), new.group_key.as_str());
    let login: Login = (new.http_user.clone(), new.http_pwd.as_str().into());
    let target = |members| {
        let credentials = Credentials::of(&new.http_user, &new.http_pwd);
        Arc::new(Target::new(members, credentials))
    };
    let tables = &shared.vhosts.connect;
    let routes = tables.add(group, login, keys, proxy, target)?;
    let group = &new.group;
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
        held: Held::Places(Box::new(routes)),
    })
}
