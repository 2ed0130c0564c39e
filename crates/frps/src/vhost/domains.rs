//! The domains of a proxy, and the routes that it asks for with them.

use std::sync::Arc;

use crate::limits::MAX_LOGGED_ROUTES;
use frp_log::{Log, info};
use frp_net::go_text::join_host_port;

use super::router::RouteKey;
use crate::proxy::spec::Hosts;

/// Why a proxy cannot have its domains; the texts are frp's
/// (`pkg/config/v1/validation/proxy.go`).
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DomainError {
    #[error("custom domain [{domain}] should not belong to subdomain host [{host}]")]
    UnderSubdomainHost { domain: String, host: String },
    #[error("subdomain is not supported because this feature is not enabled in server")]
    NoSubdomainHost,
    #[error("'.' and '*' are not supported in subdomain")]
    Subdomain,
}

/// The domains of a proxy of type http, https or tcpmux: its own ones, then `subdomain` below
/// `subDomainHost`. Spelled as the client did.
pub(crate) fn domains(hosts: &Hosts, sub_domain_host: &str) -> Result<Vec<String>, DomainError> {
    for domain in &hosts.custom_domains {
        if is_below(domain, sub_domain_host) {
            return Err(DomainError::UnderSubdomainHost {
                domain: domain.clone(),
                host: sub_domain_host.to_owned(),
            });
        }
    }
    let custom = hosts.custom_domains.iter().filter(|d| !d.is_empty());
    let mut domains: Vec<String> = custom.cloned().collect();
    if !hosts.subdomain.is_empty() {
        if sub_domain_host.is_empty() {
            return Err(DomainError::NoSubdomainHost);
        }
        if hosts.subdomain.contains(['.', '*']) {
            return Err(DomainError::Subdomain);
        }
        domains.push(format!("{}.{sub_domain_host}", hosts.subdomain));
    }
    Ok(domains)
}

/// The routes of `domains`, each with every one of `locations` (none means all paths).
pub(crate) fn routes(domains: &[String], locations: &[String], http_user: &str) -> Vec<RouteKey> {
    let http_user: Arc<str> = http_user.into();
    let locations: Vec<Arc<str>> = match locations {
        [] => vec!["".into()],
        some => some
            .iter()
            .map(|location| location.as_str().into())
            .collect(),
    };
    let mut routes = Vec::with_capacity(domains.len() * locations.len());
    for domain in domains {
        let domain: Arc<str> = domain.to_lowercase().into();
        routes.extend(locations.iter().map(|location| RouteKey {
            domain: domain.clone(),
            location: location.clone(),
            http_user: http_user.clone(),
        }));
    }
    routes
}

/// Says of each of a proxy's routes that it is there; of very many only how many
/// more there are.
pub(crate) fn log_routes(log: &Log, routes: impl ExactSizeIterator<Item = String>) {
    let more = routes.len().saturating_sub(MAX_LOGGED_ROUTES);
    for route in routes.take(MAX_LOGGED_ROUTES) {
        info!(log, "{route}");
    }
    if more > 0 {
        info!(log, "and for {more} more routes");
    }
}

/// What the client is told of its routes: `host:port` for each one, just the host for ports 80 and
/// 443.
pub(crate) fn remote_addr(domains: &[String], locations: &[String], port: u16) -> String {
    let mut addrs = Vec::new();
    for domain in domains {
        let addr = match port {
            80 | 443 => domain.clone(),
            _ => join_host_port(domain, port),
        };
        addrs.extend(std::iter::repeat_n(addr, locations.len().max(1)));
    }
    addrs.join(",")
}

/// Whether `domain` has more labels than `host` and ends with it. frp compares the case, too, which
/// lets `A.HOST` through.
fn is_below(domain: &str, host: &str) -> bool {
    let Some(at) = domain
        .len()
        .checked_sub(host.len())
        .filter(|_| !host.is_empty())
    else {
        return false;
    };
    match (domain.get(..at), domain.get(at..)) {
        (Some(labels), Some(end)) => labels.ends_with('.') && end.eq_ignore_ascii_case(host),
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::client::allowance::ask;

    fn wants(custom: &[&str], subdomain: &str) -> Hosts {
        Hosts {
            custom_domains: custom.iter().map(ToString::to_string).collect(),
            subdomain: subdomain.to_owned(),
        }
    }

    #[test]
    fn domains_are_the_custom_ones_then_the_subdomain() {
        let new = wants(&["a.b", "", "*.c.d"], "sub");
        assert_eq!(
            domains(&new, "frp.example").unwrap(),
            ["a.b", "*.c.d", "sub.frp.example"]
        );
        // The host itself, and names that only end like it, are nobody's subdomain.
        let new = wants(&["frp.example", "xfrp.example"], "");
        assert_eq!(domains(&new, "frp.example").unwrap(), new.custom_domains);
    }

    #[test]
    fn refusals_have_frps_texts() {
        for (custom, subdomain, host, text) in [
            (
                "x.frp.example",
                "",
                "frp.example",
                "custom domain [x.frp.example] should not belong to subdomain host [frp.example]",
            ),
            (
                "*.FRP.example",
                "",
                "frp.example",
                "custom domain [*.FRP.example] should not belong to subdomain host [frp.example]",
            ),
            (
                "",
                "sub",
                "",
                "subdomain is not supported because this feature is not enabled in server",
            ),
            (
                "",
                "a.b",
                "frp.example",
                "'.' and '*' are not supported in subdomain",
            ),
            (
                "",
                "*",
                "frp.example",
                "'.' and '*' are not supported in subdomain",
            ),
        ] {
            let error = domains(&wants(&[custom], subdomain), host).unwrap_err();
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn the_client_is_told_host_and_port_of_every_route() {
        let domains = ["a.b".to_owned(), "::1".to_owned()];
        assert_eq!(remote_addr(&domains, &[], 8080), "a.b:8080,[::1]:8080");
        assert_eq!(remote_addr(&domains, &[], 443), "a.b,::1");
        let locations = ["/x".to_owned(), "/y".to_owned()];
        assert_eq!(
            remote_addr(&domains[..1], &locations, 81),
            "a.b:81,a.b:81",
            "as frp, once for each location"
        );
        assert_eq!(routes(&domains, &locations, "u").len(), 4);
    }

    #[test]
    fn what_is_asked_for_is_known_before_it_is_made() {
        let hosts = wants(&["a.b", "", "*.c.d"], "sub");
        let paths = ["/x", "/y", "/z"].map(ToOwned::to_owned);
        for (locations, routes) in [(&paths[..], 9), (&[], 3)] {
            let asked = ask(&hosts, locations);
            assert_eq!((asked.domains, asked.locations), (3, locations.len()));
            assert_eq!(asked.routes(), routes);
            let told = remote_addr(&domains(&hosts, "host").unwrap(), locations, 80);
            assert!(asked.answer <= told.len() + 1);
        }
    }
}
