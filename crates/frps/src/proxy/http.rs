//! An http proxy: routes of the vhost port for HTTP (frp `server/proxy/http.go`).

use std::sync::Arc;

use super::{Held, Proxy, ProxyError, Published, Setup};
use crate::vhost::http::{Policy, Target};
use crate::vhost::{Login, Routes, domains, log_routes, remote_addr, routes};

/// Takes the routes that the proxy asks for.
pub(super) fn publish(setup: &Setup<'_>) -> Result<Published, ProxyError> {
    let Setup { proxy, new, .. } = setup;
    let shared = &proxy.shared;
    let port = shared
        .bound
        .vhost_http_port
        .ok_or(ProxyError::NoVhostPort("http"))?;
    let domains = domains(new, &setup.policy.sub_domain_host)?;
    let policy = Policy::new(new)?;
    let (locations, user) = (&new.locations, &new.route_by_http_user);
    let keys = routes(&domains, locations, user);
    let group = (new.group.as_str(), new.group_key.as_str());
    let target = |members| Arc::new(Target { members, policy });
    let login: Login = (new.http_user.clone(), new.http_pwd.as_str().into());
    let tables = &shared.vhosts.http;
    let held = HeldRoutes {
        _routes: tables.add(group, login, keys, proxy, target)?,
        proxy: (*proxy).clone(),
    };
    let everywhere = [String::new()];
    let listed = match locations.as_slice() {
        [] => &everywhere,
        some => some,
    };
    let group = &new.group;
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
        held: Held::Places(Box::new(held)),
    })
}

/// The routes of a proxy; its idle work connections go with them.
struct HeldRoutes {
    _routes: Routes<Arc<Target>, Login>,
    proxy: Arc<Proxy>,
}

impl Drop for HeldRoutes {
    fn drop(&mut self) {
        self.proxy.idle.close();
    }
}
