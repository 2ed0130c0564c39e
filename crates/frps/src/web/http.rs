//! Requests and responses: the password, the envelopes, the log lines.

use frp_log::{Log, info};
use frp_net::web::answer::{
    JSON, Refusal, Response, bare, envelope_v1, json, moved, not_found, refused, text,
    unauthorized, with_type,
};
use frp_net::web::guard::Denied;
use frp_net::web::path::{Query, relative};
use frp_proto::VERSION;
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::task::spawn_blocking;

use super::route::{Astray, Offered, Route, find};
use super::{Site, api, api_v2, prometheus};

const NO_PAGES: &str = "\
This version of frps has no pages yet, only the API that they would use, e.g.
/api/serverinfo, /api/clients and /api/proxy/tcp.
";

const NO_PROFILE: &str = "\
frps is not written in Go, so there is no such profile.
/debug/pprof/goroutine counts what is alive.
";

impl frp_net::web::Site for Site {
    async fn answer(&self, request: Request<Incoming>) -> Response {
        let path = request.uri().path();
        let offered = Offered {
            metrics: self.shared.policy().enable_prometheus,
            pprof: self.pprof,
        };
        let route = match find(request.method().as_str(), path, offered) {
            Ok(Route::Healthz) => return bare(StatusCode::OK),
            Ok(route) => route,
            Err(Astray::NotFound) => return not_found("404 page not found\n"),
            Err(Astray::WrongMethod) => return bare(StatusCode::METHOD_NOT_ALLOWED),
            Err(Astray::BadPath) => return text(StatusCode::BAD_REQUEST, "400 Bad Request"),
            Err(Astray::Moved(to)) => {
                let query = request.uri().query().map(|q| format!("?{q}"));
                return moved(&(relative(path, &to) + &query.unwrap_or_default()));
            }
        };
        // The profiling routes, too; frp lets everybody have them.
        match self.guard.admit(request.headers(), route.changes()) {
            Ok(()) => {}
            Err(Denied::Unauthorized) => return unauthorized().await,
            Err(Denied::Refused(refusal)) => {
                return match route {
                    Route::V2(_) => envelope_v2(Err(refusal), path),
                    _ => envelope_v1(Err(refusal), path),
                };
            }
        }
        let log = Log::root().of_visits();
        info!(log, "http request: [{path}]");
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let response = self.make(route, query, path.to_owned()).await;
        let code = response.status().as_u16();
        info!(log, "http response [{path}]: code [{code}]");
        response
    }
}

impl Site {
    /// What there is to tell of ten thousand proxies takes a while to write; no connection is served
    /// on the thread that does.
    async fn make(&self, route: Route, query: Query, path: String) -> Response {
        let place = self.making.clone().acquire_owned().await;
        let site = self.clone();
        let made = spawn_blocking(move || {
            let response = respond(&site, route, &query, &path);
            // Only now, even where nobody waits for it any more.
            drop(place);
            response
        });
        let made = made.await;
        made.unwrap_or_else(|_| bare(StatusCode::INTERNAL_SERVER_ERROR))
    }
}

fn respond(site: &Site, route: Route, query: &Query, path: &str) -> Response {
    let v1 = |answer| envelope_v1(answer, path);
    match route {
        Route::Healthz => bare(StatusCode::OK),
        Route::Root => moved("static/"),
        Route::Static(below) if below.is_empty() => text(StatusCode::OK, NO_PAGES),
        Route::Static(_) | Route::Favicon => not_found("404 page not found\n"),
        Route::Metrics => with_type(prometheus::CONTENT_TYPE, prometheus::text(&site.stats)),
        Route::Pprof(name) if name == "goroutine" => text(StatusCode::OK, alive(site)),
        Route::Pprof(_) => not_found(NO_PROFILE),
        Route::ServerInfo => v1(Ok(json(&api::server_info(site)))),
        Route::Clients => v1(Ok(json(&api::clients(&site.stats, query)))),
        Route::Client(key) => v1(api::client(&site.stats, &key).map(|c| json(&c))),
        Route::ProxiesOfType(kind) => v1(Ok(json(&api::proxies(&site.stats, &kind)))),
        Route::ProxyOfType(kind, name) => {
            v1(api::proxy(&site.stats, Some(&kind), &name).map(|p| json(&p)))
        }
        Route::Proxy(name) => v1(api::proxy(&site.stats, None, &name).map(|p| json(&p))),
        Route::Traffic(name) => v1(api::traffic(&site.stats, &name).map(|t| json(&t))),
        Route::ClearProxies => v1(api::clear(&site.stats, query).map(|done| json(&done))),
        Route::V2(route) => envelope_v2(api_v2::answer(site, route, query), path),
    }
}

/// What a list of goroutines is looked at for.
fn alive(site: &Site) -> String {
    let totals = site.stats.metrics.totals();
    format!(
        "frps {VERSION} is not written in Go: there are no goroutines. What is alive:\n\
         tasks {}\nsessions {}\nclients {}\nproxies {}\nuser connections {}\n",
        site.shared.tasks.len(),
        site.shared.registry.sessions(),
        site.stats.clients.online(),
        totals.types.values().sum::<u64>(),
        totals.connections,
    )
}

#[derive(Serialize)]
struct EnvelopeV2<'a> {
    code: u16,
    msg: &'a str,
    data: Option<Box<RawValue>>,
}

fn envelope_v2(answer: Result<Box<RawValue>, Refusal>, path: &str) -> Response {
    match answer {
        Ok(data) => {
            let data = Some(data);
            with_type(
                JSON,
                json(&EnvelopeV2 {
                    code: 200,
                    msg: "success",
                    data,
                }),
            )
        }
        Err(refusal) => {
            let body = json(&EnvelopeV2 {
                code: refusal.code.as_u16(),
                msg: &refusal.text,
                data: None,
            });
            refused(&refusal, body, path)
        }
    }
}
