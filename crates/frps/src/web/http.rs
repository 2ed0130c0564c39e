//! The program's part of requests and responses: its routes, the envelopes.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use frp_http::web::answer::{
    ApiError, JSON, Response, bare, envelope_v1, json, refused, with_type,
};
use frp_http::web::path::Query;
use frp_http::web::{self, Access, Path, Unrouted};
use frp_log::{Log, info};
use frp_proto::VERSION;
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::task::spawn_blocking;

use super::route::{Live, Route, V2, find};
use super::{Site, api, api_v2, live, prometheus};

impl web::Site for Site {
    type Route = Route;
    const NAME: &'static str = "frps";

    fn access(&self) -> Option<Arc<Access>> {
        self.shared.policy().web.clone()
    }

    fn find(&self, method: &Method, path: &Path<'_>) -> Result<Route, Unrouted> {
        find(method, path, self.shared.policy().enable_prometheus)
    }

    fn changes(route: &Route) -> bool {
        use Live::{AddBan, EndClient, EndConnection, ForgetClients, RemoveBan};
        matches!(
            route,
            Route::Reload
                | Route::ClearProxies
                | Route::V2(V2::Prune)
                | Route::Live(
                    ForgetClients | EndClient(_) | EndConnection(_) | AddBan | RemoveBan(_)
                )
        )
    }

    fn is_proxy(&self, peer: IpAddr, port: u16) -> bool {
        let proxies = &self.shared.policy().proxies;
        proxies.is_proxy(peer) && proxies.is_port(port)
    }

    async fn answer(&self, route: Route, query: Query, request: Request<Incoming>) -> Response {
        let path = request.uri().path().to_owned();
        match route {
            Route::Live(Live::Events) => {
                let made = self.off_thread(|site| site.event()).await;
                match made {
                    Some(first) => self.events.listen(&request, first),
                    None => bare(StatusCode::INTERNAL_SERVER_ERROR),
                }
            }
            Route::Reload => self.reload(&path).await,
            route => self.make(route, query, path).await,
        }
    }

    fn refuse(&self, route: Option<&Route>, refusal: ApiError, path: &str) -> Response {
        match route {
            Some(Route::V2(_)) => envelope_v2(Err(refusal), path),
            _ => envelope_v1(Err(refusal), path),
        }
    }

    fn alive(&self) -> String {
        let totals = self.stats.metrics.totals();
        format!(
            "frps {VERSION} is not written in Go: there are no goroutines. What is alive:\n\
             tasks {}\nsessions {}\nclients {}\nproxies {}\nuser connections {}\n",
            self.shared.tasks.len(),
            self.shared.registry.sessions(),
            self.stats.clients.online(),
            totals.types.values().sum::<u64>(),
            totals.connections,
        )
    }

    fn tell(&self, line: fmt::Arguments<'_>) {
        info!(Log::root().of_visits(), "{line}");
    }
}

impl Site {
    /// What listeners are told every second.
    pub(super) fn event(&self) -> Bytes {
        live::event(self)
    }

    async fn reload(&self, path: &str) -> Response {
        let reloaded = self.reloader.reload().await;
        let answer = reloaded.map_err(|e| ApiError::bad(e.to_string()));
        envelope_v1(answer.map(|reloaded| json(&reloaded)), path)
    }

    /// What there is to tell of ten thousand proxies takes a while to write; no connection is served
    /// on the thread that does.
    async fn make(&self, route: Route, query: Query, path: String) -> Response {
        let respond = move |site| respond(&site, route, &query, &path);
        let made = self.off_thread(respond).await;
        made.unwrap_or_else(|| bare(StatusCode::INTERNAL_SERVER_ERROR))
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        make: impl FnOnce(Self) -> T + Send + 'static,
    ) -> Option<T> {
        let place = self.making.clone().acquire_owned().await;
        let site = self.clone();
        let made = spawn_blocking(move || {
            let made = make(site);
            // Only now, even where nobody waits for it any more.
            drop(place);
            made
        });
        made.await.ok()
    }
}

fn respond(site: &Site, route: Route, query: &Query, path: &str) -> Response {
    let v1 = |answer| envelope_v1(answer, path);
    match route {
        Route::Metrics => with_type(prometheus::CONTENT_TYPE, prometheus::text(site)),
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
        Route::Live(route) => v1(live::answer(site, route, query)),
        // It waits for its turn, which takes no place of theirs: see `Site::reload`.
        Route::Reload => bare(StatusCode::INTERNAL_SERVER_ERROR),
        Route::V2(route) => envelope_v2(api_v2::answer(site, route, query), path),
    }
}

#[derive(Serialize)]
struct EnvelopeV2<'a> {
    code: u16,
    msg: &'a str,
    data: Option<Box<RawValue>>,
}

fn envelope_v2(answer: Result<Box<RawValue>, ApiError>, path: &str) -> Response {
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
