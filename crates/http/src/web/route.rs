//! What a request is for: method and path to a [`Route`], as frp's routers find it. The paths that both
//! programs have are here, the others are those of the [`Site`].

use hyper::Method;

use super::Site;
use super::path::{clean, decode, encode};

/// The requests that are answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route<R> {
    Healthz,
    Root,
    /// Path below `/static/`.
    Static(String),
    Favicon,
    /// Name of the profile.
    Pprof(String),
    /// One of the site.
    Own(R),
}

/// Why a request has no [`Route`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoRoute {
    /// The path has broken percent escapes.
    BadPath,
    /// The path has another, clean form.
    Moved(String),
    Unrouted(Unrouted),
}

/// Why a site has no route for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unrouted {
    /// There is no such path.
    NotFound,
    /// The path exists for another method.
    WrongMethod,
}

/// The path of a request.
#[derive(Debug, Clone, Copy)]
pub struct Path<'a> {
    /// As sent: with its escapes.
    pub sent: &'a str,
    /// Without them.
    pub plain: &'a str,
}

impl Path<'_> {
    /// `route`, which is for requests by `wanted` only.
    ///
    /// # Errors
    /// `method` is another.
    pub fn only<R>(method: &Method, wanted: &Method, route: R) -> Result<R, Unrouted> {
        match method == wanted {
            true => Ok(route),
            false => Err(Unrouted::WrongMethod),
        }
    }
}

/// The route of a request for `path`, which is as sent: with its escapes, without the query. With those of
/// `webServer.pprofEnable` or not.
pub(super) fn find<S: Site>(
    site: &S,
    method: &Method,
    path: &str,
    pprof: bool,
) -> Result<Route<S::Route>, NoRoute> {
    let plain = decode(path, false).ok_or(NoRoute::BadPath)?;
    let clean = clean(&plain);
    if clean != plain {
        return Err(NoRoute::Moved(encode(&clean)));
    }
    let get = |route| Path::only(method, &Method::GET, route).map_err(NoRoute::Unrouted);
    match plain.as_str() {
        "/" => Ok(Route::Root),
        "/healthz" => Ok(Route::Healthz),
        "/favicon.ico" => get(Route::Favicon),
        plain => {
            let below = |folder| plain.strip_prefix(folder).map(str::to_owned);
            match (below("/static/"), below("/debug/pprof/")) {
                (Some(below), _) => get(Route::Static(below)),
                (_, Some(name)) if pprof => Ok(Route::Pprof(name)),
                _ => {
                    let found = site.find(method, &Path { sent: path, plain });
                    found.map(Route::Own).map_err(NoRoute::Unrouted)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::web::Access;
    use crate::web::answer::{Response, bare};
    use crate::web::path::Query;
    use hyper::body::Incoming;
    use hyper::{Request, StatusCode};

    /// Knows one path.
    struct One;

    impl Site for One {
        type Route = String;
        const NAME: &'static str = "one";

        fn access(&self) -> Option<Arc<Access>> {
            None
        }

        fn find(&self, method: &Method, path: &Path<'_>) -> Result<String, Unrouted> {
            match path.plain {
                "/api/a b" => Path::only(method, &Method::POST, path.sent.to_owned()),
                _ => Err(Unrouted::NotFound),
            }
        }

        fn changes(_: &String) -> bool {
            false
        }

        async fn answer(&self, _: String, _: Query, _: Request<Incoming>) -> Response {
            bare(StatusCode::OK)
        }

        fn alive(&self) -> String {
            String::new()
        }

        fn tell(&self, _: std::fmt::Arguments<'_>) {}
    }

    #[test]
    fn the_paths_of_both_programs_are_those_of_frp() {
        let name = |name: &str| name.to_owned();
        let not_found = || Err(NoRoute::Unrouted(Unrouted::NotFound));
        let wrong = || Err(NoRoute::Unrouted(Unrouted::WrongMethod));
        let moved = |to: &str| Err(NoRoute::Moved(to.to_owned()));
        for (method, path, route) in [
            (Method::PUT, "/", Ok(Route::Root)),
            (Method::POST, "/healthz", Ok(Route::Healthz)),
            (Method::GET, "/favicon.ico", Ok(Route::Favicon)),
            (Method::GET, "/static/", Ok(Route::Static(name("")))),
            (
                Method::GET,
                "/static/js/a.js",
                Ok(Route::Static(name("js/a.js"))),
            ),
            (Method::POST, "/static/", wrong()),
            (Method::GET, "/static", not_found()),
            (Method::GET, "/debug/pprof/", Ok(Route::Pprof(name("")))),
            (
                Method::POST,
                "/debug/pprof/heap",
                Ok(Route::Pprof(name("heap"))),
            ),
            (Method::GET, "/debug/pprof", not_found()),
            (
                Method::POST,
                "/api/a%20b",
                Ok(Route::Own(name("/api/a%20b"))),
            ),
            (Method::GET, "/api/a%20b", wrong()),
            (Method::GET, "//api/clients", moved("/api/clients")),
            (Method::GET, "/api/../static/", moved("/static/")),
            (Method::GET, "/%2e%2e/a%0d%0ab", moved("/a%0D%0Ab")),
            (Method::GET, "/%zz", Err(NoRoute::BadPath)),
            (Method::GET, "/a%2", Err(NoRoute::BadPath)),
            (Method::GET, "/%", Err(NoRoute::BadPath)),
        ] {
            assert_eq!(find(&One, &method, path, true), route, "{method} {path}");
        }
        assert_eq!(
            find(&One, &Method::GET, "/debug/pprof/x", false),
            not_found()
        );
    }
}
