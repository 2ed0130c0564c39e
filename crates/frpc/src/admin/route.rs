//! What a request is for (frp `client/api_router.go`).

use frp_http::web::{Path, Unrouted};
use hyper::Method;

/// The requests that are answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Reload,
    Stop,
    Status,
    ReadConfig,
    WriteConfig,
}

impl Route {
    /// Whether it is for more than to look.
    pub(super) fn changes(&self) -> bool {
        matches!(self, Self::Reload | Self::Stop | Self::WriteConfig)
    }
}

/// The route of a request for `path`.
pub(super) fn find(method: &Method, path: &str) -> Result<Route, Unrouted> {
    let only = |wanted: Method, route: Route| Path::only(method, &wanted, route);
    match path {
        "/api/reload" => only(Method::GET, Route::Reload),
        "/api/stop" => only(Method::POST, Route::Stop),
        "/api/status" => only(Method::GET, Route::Status),
        "/api/config" if *method == Method::PUT => Ok(Route::WriteConfig),
        "/api/config" => only(Method::GET, Route::ReadConfig),
        _ => Err(Unrouted::NotFound),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_those_of_frp() {
        for (method, path, route) in [
            (Method::GET, "/api/reload", Ok(Route::Reload)),
            (Method::POST, "/api/reload", Err(Unrouted::WrongMethod)),
            (Method::GET, "/api/stop", Err(Unrouted::WrongMethod)),
            (Method::PUT, "/api/config", Ok(Route::WriteConfig)),
            (Method::GET, "/api/config", Ok(Route::ReadConfig)),
            (Method::DELETE, "/api/config", Err(Unrouted::WrongMethod)),
            (Method::GET, "/api/nothing", Err(Unrouted::NotFound)),
        ] {
            assert_eq!(find(&method, path), route, "{method} {path}");
        }
    }
}
