//! What a request is for (frp `client/api_router.go`).

use frp_config::EntryKind;
use frp_http::web::path::decode;
use frp_http::web::{Path, Unrouted};
use hyper::Method;

/// The requests that are answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Reload,
    /// The same, telling more.
    ReloadTold,
    Confirm,
    Verify,
    Schema,
    Stop,
    Status,
    ReadConfig,
    WriteConfig,
    /// What runs under a name.
    Running(EntryKind, String),
    Store(EntryKind, Ask),
    Live(Live),
}

/// What the client does now. Ours alone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Live {
    Overview,
    Events,
    Proxies,
    Visitors,
    Connections,
    EndConnection(String),
    /// Who has an address at local services.
    Who,
}

/// What is asked of the store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    List,
    Create,
    Show(String),
    Update(String),
    Delete(String),
}

impl Route {
    /// Whether it is for more than to look.
    pub(super) fn changes(&self) -> bool {
        match self {
            Self::Reload
            | Self::ReloadTold
            | Self::Confirm
            | Self::Verify
            | Self::Stop
            | Self::WriteConfig => true,
            Self::Live(live) => matches!(live, Live::EndConnection(_)),
            Self::Store(_, ask) => !matches!(ask, Ask::List | Ask::Show(_)),
            Self::Status | Self::ReadConfig | Self::Schema | Self::Running(..) => false,
        }
    }
}

/// The route of a request; with those of the store or not.
pub(super) fn find(method: &Method, path: &Path<'_>, store: bool) -> Result<Route, Unrouted> {
    let only = |wanted: Method, route: Route| Path::only(method, &wanted, route);
    // Names may have escaped slashes, so the path is split before it is decoded.
    let parts = path.sent.split('/').skip(1);
    let parts: Vec<String> = parts
        .map(|part| decode(part, false).unwrap_or_default())
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match parts[..] {
        ["api", "reload"] if *method == Method::POST => Ok(Route::ReloadTold),
        ["api", "reload"] => only(Method::GET, Route::Reload),
        ["api", "confirm"] => only(Method::POST, Route::Confirm),
        ["api", "verify"] => only(Method::POST, Route::Verify),
        ["api", "schema"] => only(Method::GET, Route::Schema),
        ["api", "live", ref below @ ..] => live(method, below).map(Route::Live),
        ["api", "stop"] => only(Method::POST, Route::Stop),
        ["api", "status"] => only(Method::GET, Route::Status),
        ["api", "config"] if *method == Method::PUT => Ok(Route::WriteConfig),
        ["api", "config"] => only(Method::GET, Route::ReadConfig),
        ["api", kind @ ("proxy" | "visitor"), name, "config"] if !name.is_empty() => {
            let kind = match kind {
                "proxy" => EntryKind::Proxy,
                _ => EntryKind::Visitor,
            };
            only(Method::GET, Route::Running(kind, name.to_owned()))
        }
        ["api", "store", "proxies", ref name @ ..] if store => {
            in_store(method, name, EntryKind::Proxy)
        }
        ["api", "store", "visitors", ref name @ ..] if store => {
            in_store(method, name, EntryKind::Visitor)
        }
        _ => Err(Unrouted::NotFound),
    }
}

fn live(method: &Method, below: &[&str]) -> Result<Live, Unrouted> {
    let (wanted, route) = match *below {
        ["overview"] => (Method::GET, Live::Overview),
        ["events"] => (Method::GET, Live::Events),
        ["proxies"] => (Method::GET, Live::Proxies),
        ["visitors"] => (Method::GET, Live::Visitors),
        ["connections"] => (Method::GET, Live::Connections),
        ["connections", id] if !id.is_empty() => {
            (Method::DELETE, Live::EndConnection(id.to_owned()))
        }
        ["who"] => (Method::GET, Live::Who),
        _ => return Err(Unrouted::NotFound),
    };
    Path::only(method, &wanted, route)
}

/// What is asked of one of the lists of the store.
fn in_store(method: &Method, name: &[&str], kind: EntryKind) -> Result<Route, Unrouted> {
    let ask = match *name {
        [] => match *method {
            Method::GET => Ask::List,
            Method::POST => Ask::Create,
            _ => return Err(Unrouted::WrongMethod),
        },
        [name] if !name.is_empty() => match *method {
            Method::GET => Ask::Show(name.to_owned()),
            Method::PUT => Ask::Update(name.to_owned()),
            Method::DELETE => Ask::Delete(name.to_owned()),
            _ => return Err(Unrouted::WrongMethod),
        },
        _ => return Err(Unrouted::NotFound),
    };
    Ok(Route::Store(kind, ask))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_those_of_frp() {
        for (method, path, route) in [
            (Method::GET, "/api/reload", Ok(Route::Reload)),
            (Method::POST, "/api/reload", Ok(Route::ReloadTold)),
            (Method::PUT, "/api/reload", Err(Unrouted::WrongMethod)),
            (Method::GET, "/api/confirm", Err(Unrouted::WrongMethod)),
            (
                Method::DELETE,
                "/api/live/connections/1",
                Ok(Route::Live(Live::EndConnection("1".to_owned()))),
            ),
            (Method::POST, "/api/live/events", Err(Unrouted::WrongMethod)),
            (Method::GET, "/api/live/", Err(Unrouted::NotFound)),
            (Method::GET, "/api/stop", Err(Unrouted::WrongMethod)),
            (Method::PUT, "/api/config", Ok(Route::WriteConfig)),
            (Method::GET, "/api/config", Ok(Route::ReadConfig)),
            (Method::DELETE, "/api/config", Err(Unrouted::WrongMethod)),
            (Method::GET, "/api/nothing", Err(Unrouted::NotFound)),
            (
                Method::GET,
                "/api/visitor/v/config",
                Ok(Route::Running(EntryKind::Visitor, "v".to_owned())),
            ),
            (Method::GET, "/api/proxy//config", Err(Unrouted::NotFound)),
            (
                Method::GET,
                "/api/store/proxies",
                Ok(Route::Store(EntryKind::Proxy, Ask::List)),
            ),
            (
                Method::POST,
                "/api/store/visitors",
                Ok(Route::Store(EntryKind::Visitor, Ask::Create)),
            ),
            (
                Method::PUT,
                "/api/store/proxies/a%2Fb",
                Ok(Route::Store(
                    EntryKind::Proxy,
                    Ask::Update("a/b".to_owned()),
                )),
            ),
            (
                Method::PATCH,
                "/api/store/proxies",
                Err(Unrouted::WrongMethod),
            ),
            (
                Method::POST,
                "/api/store/proxies/a",
                Err(Unrouted::WrongMethod),
            ),
            (Method::GET, "/api/store/proxies/", Err(Unrouted::NotFound)),
            (
                Method::GET,
                "/api/store/proxies/a/b",
                Err(Unrouted::NotFound),
            ),
            (Method::GET, "/api/store", Err(Unrouted::NotFound)),
        ] {
            let path = Path {
                sent: path,
                plain: path,
            };
            assert_eq!(find(&method, &path, true), route, "{method} {path:?}");
            if let Ok(Route::Store(..)) = route {
                assert_eq!(find(&method, &path, false), Err(Unrouted::NotFound));
            }
        }
    }
}
