//! What a request is for: method and path to a [`Route`], as frp's router finds it.

use frp_net::web::path::{clean, decode, encode};

/// The requests that are answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    Healthz,
    Root,
    /// Path below `/static/`.
    Static(String),
    Favicon,
    Metrics,
    /// Name of the profile.
    Pprof(String),
    ServerInfo,
    Clients,
    Client(String),
    ProxiesOfType(String),
    ProxyOfType(String, String),
    Proxy(String),
    Traffic(String),
    ClearProxies,
    V2(V2),
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

impl Route {
    /// Whether the request is for more than to look.
    pub(super) fn changes(&self) -> bool {
        matches!(self, Self::ClearProxies | Self::V2(V2::Prune))
    }
}

/// Why a request has no [`Route`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Astray {
    /// The path has broken percent escapes.
    BadPath,
    /// The path has another, clean form.
    Moved(String),
    NotFound,
    /// The path exists for another method.
    WrongMethod,
}

/// Which optional routes there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offered {
    pub(super) metrics: bool,
    pub(super) pprof: bool,
}

/// The route of a request for `path`, which is as sent: with its escapes, without the query.
pub(super) fn find(method: &str, path: &str, offered: Offered) -> Result<Route, Astray> {
    let plain = decode(path, false).ok_or(Astray::BadPath)?;
    let clean = clean(&plain);
    if clean != plain {
        return Err(Astray::Moved(encode(&clean)));
    }
    let only = |wanted: &str, route: Route| match method == wanted {
        true => Ok(route),
        false => Err(Astray::WrongMethod),
    };
    let below = plain.strip_prefix('/').unwrap_or(&plain);
    let parts: Vec<&str> = below.split('/').collect();
    if parts.starts_with(&["api", "v2"]) {
        return v2(path, &only);
    }
    match parts[..] {
        [""] => Ok(Route::Root),
        ["healthz"] => Ok(Route::Healthz),
        ["metrics"] if offered.metrics => Ok(Route::Metrics),
        ["debug", "pprof", ..] if offered.pprof && parts.len() > 2 => {
            Ok(Route::Pprof(parts[2..].join("/")))
        }
        ["favicon.ico"] => only("GET", Route::Favicon),
        ["static", ..] if parts.len() > 1 => only("GET", Route::Static(parts[1..].join("/"))),
        ["api", "serverinfo"] => only("GET", Route::ServerInfo),
        ["api", "clients"] => only("GET", Route::Clients),
        ["api", "proxies"] => only("DELETE", Route::ClearProxies),
        ["api", kind, name] if !name.is_empty() => match kind {
            "clients" => only("GET", Route::Client(name.to_owned())),
            "proxy" => only("GET", Route::ProxiesOfType(name.to_owned())),
            "proxies" => only("GET", Route::Proxy(name.to_owned())),
            "traffic" => only("GET", Route::Traffic(name.to_owned())),
            _ => Err(Astray::NotFound),
        },
        ["api", "proxy", kind, name] if !kind.is_empty() && !name.is_empty() => {
            only("GET", Route::ProxyOfType(kind.to_owned(), name.to_owned()))
        }
        _ => Err(Astray::NotFound),
    }
}

/// Names in these paths may have escaped slashes, so the path is split before it is decoded.
fn v2(path: &str, only: &dyn Fn(&str, Route) -> Result<Route, Astray>) -> Result<Route, Astray> {
    let parts: Vec<String> = path
        .split('/')
        .skip(3)
        .map(|part| decode(part, false).unwrap_or_default())
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let get = |route| only("GET", Route::V2(route));
    match parts[..] {
        ["users"] => get(V2::Users),
        ["system", "info"] => get(V2::SystemInfo),
        ["system", "prune"] => only("POST", Route::V2(V2::Prune)),
        ["clients"] => get(V2::Clients),
        ["clients", key] if !key.is_empty() => get(V2::Client(key.to_owned())),
        ["proxies"] => get(V2::Proxies),
        ["proxies", name] if !name.is_empty() => get(V2::Proxy(name.to_owned())),
        ["proxies", name, "traffic"] if !name.is_empty() => get(V2::Traffic(name.to_owned())),
        _ => Err(Astray::NotFound),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ALL: Offered = Offered {
        metrics: true,
        pprof: true,
    };

    fn get(path: &str) -> Result<Route, Astray> {
        find("GET", path, ALL)
    }

    #[test]
    fn paths_are_those_of_frp() {
        let name = |name: &str| name.to_owned();
        for (path, route) in [
            ("/", Route::Root),
            ("/healthz", Route::Healthz),
            ("/metrics", Route::Metrics),
            ("/static/", Route::Static(name(""))),
            ("/static/js/a.js", Route::Static(name("js/a.js"))),
            ("/debug/pprof/", Route::Pprof(name(""))),
            ("/debug/pprof/goroutine", Route::Pprof(name("goroutine"))),
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
        for path in [
            "/nope",
            "/static",
            "/api/",
            "/api/clients/",
            "/api/proxy/tcp/a%2Fb",
            "/api/v2",
            "/api/v2/clients/",
            "/debug/pprof",
        ] {
            assert_eq!(get(path), Err(Astray::NotFound), "{path}");
        }
        let none = Offered {
            metrics: false,
            pprof: false,
        };
        assert_eq!(find("GET", "/metrics", none), Err(Astray::NotFound));
        assert_eq!(find("GET", "/debug/pprof/x", none), Err(Astray::NotFound));
    }

    #[test]
    fn methods_are_those_of_frp() {
        for (method, path) in [
            ("POST", "/api/clients"),
            ("HEAD", "/api/clients"),
            ("GET", "/api/proxies"),
            ("GET", "/api/v2/system/prune"),
            ("POST", "/static/"),
        ] {
            assert_eq!(find(method, path, ALL), Err(Astray::WrongMethod), "{path}");
        }
        assert_eq!(find("DELETE", "/api/proxies", ALL), Ok(Route::ClearProxies));
        assert_eq!(find("POST", "/healthz", ALL), Ok(Route::Healthz));
        assert_eq!(find("PUT", "/", ALL), Ok(Route::Root));
    }

    #[test]
    fn odd_paths() {
        let moved = |to: &str| Err(Astray::Moved(to.to_owned()));
        assert_eq!(get("//api/clients"), moved("/api/clients"));
        assert_eq!(get("/api/../static/"), moved("/static/"));
        assert_eq!(get("/%2e%2e/a%0d%0ab"), moved("/a%0D%0Ab"));
        for path in ["/%zz", "/a%2", "/%"] {
            assert_eq!(get(path), Err(Astray::BadPath), "{path}");
        }
    }
}
