//! An http proxy: routes of the vhost port for HTTP (frp `server/proxy/http.go`).

use std::sync::Arc;

use frp_proto::names::ProxyType;

use super::setup::{ProxyError, Published, Setup, Teardown};
use crate::proxy::Proxy;
use crate::proxy::spec::{HttpLogin, HttpSettings};
use crate::vhost::domains::{domains, log_routes, remote_addr, routes};
use crate::vhost::groups::Routes;
use crate::vhost::http::head::RouteConfig;
use crate::vhost::target::HttpTarget;

/// Takes the routes that the proxy asks for.
pub(super) fn publish(setup: &Setup<'_>, settings: &HttpSettings) -> Result<Published, ProxyError> {
    let Setup { shared, proxy, .. } = setup;
    let port = shared
        .bound
        .vhost_http_port
        .ok_or(ProxyError::NoVhostPort(ProxyType::Http))?;
    let domains = domains(&settings.hosts, &setup.policy.sub_domain_host)?;
    let config = RouteConfig::new(settings)?;
    let (locations, user) = (&settings.locations, &settings.route_by_http_user);
    let keys = routes(&domains, locations, user);
    let target = |members| Arc::new(HttpTarget { members, config });
    let login = settings.login.clone();
    let tables = &shared.vhosts.http;
    let held = HeldRoutes {
        _routes: tables.add(login, keys, proxy, target)?,
        proxy: (*proxy).clone(),
    };
    let everywhere = [String::new()];
    let listed = match locations.as_slice() {
        [] => &everywhere,
        some => some,
    };
    let group = &proxy.spec.group.name;
    let line = |n: usize| {
        let domain = domains.get(n / listed.len()).map_or("", String::as_str);
        let location = listed.get(n % listed.len()).map_or("", String::as_str);
        format!(
            "http proxy listen for host [{domain}] location [{location}] group [{group}], \
             routeByHTTPUser [{user}]"
        )
    };
    log_routes(
        &proxy.log.of_session(),
        (0..domains.len() * listed.len()).map(line),
    );
    Ok(Published {
        remote_addr: remote_addr(&domains, locations, port),
        port: None,
        teardown: Teardown::Places(Box::new(held)),
    })
}

/// The routes of a proxy; its idle work connections go with them.
struct HeldRoutes {
    _routes: Routes<Arc<HttpTarget>, HttpLogin>,
    proxy: Arc<Proxy>,
}

impl Drop for HeldRoutes {
    fn drop(&mut self) {
        self.proxy.idle.close();
    }
}
