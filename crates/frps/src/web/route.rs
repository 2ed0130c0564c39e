//! What a request is for, beyond what both programs know: method and path to a [`Route`], as frp's router
//! finds it.

use frp_http::web::path::decode;
use frp_http::web::{Path, Unrouted};
use hyper::Method;

/// The requests that are answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    Metrics,
    ServerInfo,
    Clients,
    Client(String),
    ProxiesOfType(String),
    ProxyOfType(String, String),
    Proxy(String),
    Traffic(String),
    ClearProxies,
    Reload,
    V2(V2),
    Live(Live),
}

/// What is there now. Ours alone.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Live {
    Overview,
    Events,
    Clients,
    ForgetClients,
    Client(String),
    EndClient(String),
    Proxies,
    Connections,
    EndConnection(String),
    Logins,
    Bans,
    AddBan,
    RemoveBan(String),
}

/// Those of the second version, whose envelope is another.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum V2 {
    Users,
    SystemInfo,
    Prune,
    Clients,
    Client(String),
    Proxies,
    Proxy(String),
    Traffic(String),
}

/// The route of a request; with `/metrics` or not.
pub(super) fn find(method: &Method, path: &Path<'_>, metrics: bool) -> Result<Route, Unrouted> {
    let only = |wanted: &Method, route: Route| Path::only(method, wanted, route);
    let below = path.plain.strip_prefix('/').unwrap_or(path.plain);
    let parts: Vec<&str> = below.split('/').collect();
    if parts.starts_with(&["api", "v2"]) {
        return v2(path.sent, &only);
    }
    if parts.starts_with(&["api", "live"]) {
        return live(method, path.sent).map(Route::Live);
    }
    match parts[..] {
        ["metrics"] if metrics => Ok(Route::Metrics),
        ["api", "serverinfo"] => only(&Method::GET, Route::ServerInfo),
        ["api", "reload"] => only(&Method::POST, Route::Reload),
        ["api", "clients"] => only(&Method::GET, Route::Clients),
        ["api", "proxies"] => only(&Method::DELETE, Route::ClearProxies),
        ["api", kind, name] if !name.is_empty() => match kind {
            "clients" => only(&Method::GET, Route::Client(name.to_owned())),
            "proxy" => only(&Method::GET, Route::ProxiesOfType(name.to_owned())),
            "proxies" => only(&Method::GET, Route::Proxy(name.to_owned())),
            "traffic" => only(&Method::GET, Route::Traffic(name.to_owned())),
            _ => Err(Unrouted::NotFound),
        },
        ["api", "proxy", kind, name] if !kind.is_empty() && !name.is_empty() => only(
            &Method::GET,
            Route::ProxyOfType(kind.to_owned(), name.to_owned()),
        ),
        _ => Err(Unrouted::NotFound),
    }
}

/// Names in these paths may have escaped slashes, so the path is split before it is decoded.
fn v2(
    path: &str,
    only: &dyn Fn(&Method, Route) -> Result<Route, Unrouted>,
) -> Result<Route, Unrouted> {
    let parts = below(path);
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let get = |route| only(&Method::GET, Route::V2(route));
    match parts[..] {
        ["users"] => get(V2::Users),
        ["system", "info"] => get(V2::SystemInfo),
        ["system", "prune"] => only(&Method::POST, Route::V2(V2::Prune)),
        ["clients"] => get(V2::Clients),
        ["clients", key] if !key.is_empty() => get(V2::Client(key.to_owned())),
        ["proxies"] => get(V2::Proxies),
        ["proxies", name] if !name.is_empty() => get(V2::Proxy(name.to_owned())),
        ["proxies", name, "traffic"] if !name.is_empty() => get(V2::Traffic(name.to_owned())),
        _ => Err(Unrouted::NotFound),
    }
}

/// Names here may have them, too.
fn live(method: &Method, path: &str) -> Result<Live, Unrouted> {
    let parts = below(path);
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    if parts[..] == ["bans"] && *method == Method::POST {
        return Ok(Live::AddBan);
    }
    let (get, delete) = match parts[..] {
        ["overview"] => (Some(Live::Overview), None),
        ["events"] => (Some(Live::Events), None),
        ["clients"] => (Some(Live::Clients), Some(Live::ForgetClients)),
        ["clients", key] if !key.is_empty() => (
            Some(Live::Client(key.to_owned())),
            Some(Live::EndClient(key.to_owned())),
        ),
        ["proxies"] => (Some(Live::Proxies), None),
        ["connections"] => (Some(Live::Connections), None),
        ["connections", id] if !id.is_empty() => (None, Some(Live::EndConnection(id.to_owned()))),
        ["logins"] => (Some(Live::Logins), None),
        ["bans"] => (Some(Live::Bans), None),
        ["bans", network] if !network.is_empty() => {
            (None, Some(Live::RemoveBan(network.to_owned())))
        }
        _ => return Err(Unrouted::NotFound),
    };
    let route = match *method {
        Method::GET => get,
        Method::DELETE => delete,
        _ => None,
    };
    route.ok_or(Unrouted::WrongMethod)
}

/// What is below the first two folders of a path, without escapes.
fn below(path: &str) -> Vec<String> {
    path.split('/')
        .skip(3)
        .map(|part| decode(part, false).unwrap_or_default())
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ask(method: &Method, sent: &str, metrics: bool) -> Result<Route, Unrouted> {
        let plain = decode(sent, false).unwrap();
        let path = Path {
            sent,
            plain: &plain,
        };
        find(method, &path, metrics)
    }

    fn get(path: &str) -> Result<Route, Unrouted> {
        ask(&Method::GET, path, true)
    }

    #[test]
    fn paths_are_those_of_frp() {
        let name = |name: &str| name.to_owned();
        for (path, route) in [
            ("/metrics", Route::Metrics),
            ("/api/serverinfo", Route::ServerInfo),
            ("/api/clients", Route::Clients),
            ("/api/clients/u.a%20b", Route::Client(name("u.a b"))),
            ("/api/proxy/tcp", Route::ProxiesOfType(name("tcp"))),
            (
                "/api/proxy/tcp/a",
                Route::ProxyOfType(name("tcp"), name("a")),
            ),
            ("/api/proxies/a", Route::Proxy(name("a"))),
            ("/api/traffic/a", Route::Traffic(name("a"))),
            ("/api/v2/users", Route::V2(V2::Users)),
            ("/api/v2/clients/a%2fb", Route::V2(V2::Client(name("a/b")))),
            ("/api/v2/proxies/a", Route::V2(V2::Proxy(name("a")))),
            (
                "/api/v2/proxies/a%2Fb/traffic",
                Route::V2(V2::Traffic(name("a/b"))),
            ),
        ] {
            assert_eq!(get(path), Ok(route), "{path}");
        }
        for (path, route) in [
            ("/api/live/overview", Live::Overview),
            ("/api/live/clients/a%2fb", Live::Client(name("a/b"))),
            ("/api/live/connections", Live::Connections),
            ("/api/live/bans", Live::Bans),
        ] {
            assert_eq!(get(path), Ok(Route::Live(route)), "{path}");
        }
        for path in [
            "/api/live",
            "/api/live/",
            "/api/live/clients/",
            "/api/live/clients/a/b",
            "/nope",
            "/api/",
            "/api/clients/",
            "/api/proxy/tcp/a%2Fb",
            "/api/v2",
            "/api/v2/clients/",
        ] {
            assert_eq!(get(path), Err(Unrouted::NotFound), "{path}");
        }
        assert_eq!(
            ask(&Method::GET, "/metrics", false),
            Err(Unrouted::NotFound)
        );
    }

    #[test]
    fn methods_are_those_of_frp() {
        for (method, path) in [
            (Method::POST, "/api/clients"),
            (Method::HEAD, "/api/clients"),
            (Method::GET, "/api/proxies"),
            (Method::GET, "/api/reload"),
            (Method::GET, "/api/v2/system/prune"),
            (Method::POST, "/api/live/overview"),
            (Method::DELETE, "/api/live/proxies"),
            (Method::GET, "/api/live/connections/1"),
            (Method::DELETE, "/api/live/bans"),
            (Method::POST, "/api/live/bans/10.0.0.0%2F8"),
        ] {
            assert_eq!(
                ask(&method, path, true),
                Err(Unrouted::WrongMethod),
                "{path}"
            );
        }
        assert_eq!(
            ask(&Method::DELETE, "/api/proxies", true),
            Ok(Route::ClearProxies)
        );
        assert_eq!(ask(&Method::POST, "/api/reload", true), Ok(Route::Reload));
    }
}
