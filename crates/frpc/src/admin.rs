//! The admin API of a running client (frp `client/api_router.go`, `client/http/controller.go`):
//! what its proxies do, another configuration, the end; and its pages.

mod config;
pub(crate) mod cure;
mod live;
mod pages;
mod reload;
mod route;
mod status;
mod store;
mod verify;
mod who;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use frp_config::WebServer;
use frp_http::basic::Login;
use frp_http::web::answer::{ApiError, Response, bare, envelope_v1, json, with_type};
use frp_http::web::events::Events;
use frp_http::web::path::Query;
pub(crate) use frp_http::web::{Access, Web, WebError};
use frp_http::web::{AccessSettings, Path, Site, Unrouted};
use frp_log::{Log, info};
use frp_proto::VERSION;
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use tokio_util::sync::CancellationToken;

use self::live::Revisions;
use self::route::Route;
use crate::client::Client;
use crate::live::Live;
use crate::registration::Registrations;
use crate::settings::Settings;
use crate::tasks::Tasks;

/// From the order to stop until the connection to the server ends; the answer needs it to get out.
const STOP_AFTER: Duration = Duration::from_millis(100);

const CONFIG_TYPE: &str = "text/plain; charset=utf-8";

/// What the API shows and changes.
#[derive(Debug)]
pub(crate) struct Admin {
    access: Arc<Access>,
    server_addr: String,
    registrations: Arc<Mutex<Registrations>>,
    settings: Arc<Settings>,
    live: Arc<Live>,
    revisions: Revisions,
    events: Arc<Events>,
    tasks: Tasks,
    stop: CancellationToken,
}

/// Opens the socket that `config` asks for, and says who is let in. Needs a tokio runtime.
pub(crate) fn bind(config: &WebServer) -> Result<(Web, Arc<Access>), WebError> {
    let tls = config.tls.as_ref();
    let access = Access::new(AccessSettings {
        addr: &config.addr,
        tls: tls.map(|files| (files.cert_file.clone(), files.key_file.clone())),
        login: Login::new(&config.user, config.password.expose()),
        allowed_hosts: &config.allowed_hosts,
        pages: pages::FILES,
        assets_dir: config.assets_dir.clone(),
        pprof: config.pprof_enable,
    })?;
    Ok((Web::bind(&config.addr, config.port)?, Arc::new(access)))
}

impl Admin {
    pub(crate) fn new(access: Arc<Access>, client: &Client, stop: CancellationToken) -> Self {
        Self {
            access,
            server_addr: client.settings.merged().server_addr.clone(),
            registrations: client.registrations.clone(),
            settings: client.settings.clone(),
            live: client.live.clone(),
            revisions: Revisions::default(),
            events: Arc::default(),
            tasks: client.tasks.clone(),
            stop,
        }
    }

    /// Serves until the client ends.
    pub(crate) async fn run(self, web: Web, addr: String) {
        info!(Log::root(), "admin server listen on {addr}");
        let tasks = self.tasks.clone();
        let site = Arc::new(self);
        let (of_events, events) = (site.clone(), site.events.clone());
        tokio::select! {
            () = web.run(site, &tasks.tracker, tasks.stop) => {}
            () = events.run(move || of_events.event()) => {}
        }
    }

    fn stop_soon(&self) {
        let stop = self.stop.clone();
        self.tasks.tracker.spawn(async move {
            tokio::time::sleep(STOP_AFTER).await;
            stop.cancel();
        });
    }
}

impl Site for Admin {
    type Route = Route;
    const NAME: &'static str = "frpc";

    fn access(&self) -> Option<Arc<Access>> {
        Some(self.access.clone())
    }

    fn find(&self, method: &Method, path: &Path<'_>) -> Result<Route, Unrouted> {
        route::find(method, path, self.settings.store().is_some())
    }

    fn changes(route: &Route) -> bool {
        route.changes()
    }

    async fn answer(&self, route: Route, query: Query, request: Request<Incoming>) -> Response {
        let path = request.uri().path().to_owned();
        let answer = match route {
            Route::Live(route::Live::Events) => return self.events.listen(&request, self.event()),
            Route::Live(route) => return envelope_v1(self.live(route, &query), &path),
            Route::Status => return envelope_v1(Ok(json(&self.status())), &path),
            Route::ReadConfig => match self.read_config().await {
                Ok(content) => return with_type(CONFIG_TYPE, content),
                Err(refusal) => Err(refusal),
            },
            Route::Running(kind, name) => return envelope_v1(self.running(kind, &name), &path),
            Route::Store(kind, ask) => match self.store((kind, ask), request).await {
                Ok(body) if body.is_empty() => Ok(()),
                answer => return envelope_v1(answer, &path),
            },
            Route::Reload => self.reload(&query).await.map(drop),
            Route::ReloadTold => match self.reload(&query).await {
                Ok(reloaded) => return envelope_v1(Ok(json(&reloaded)), &path),
                Err(refusal) => Err(refusal),
            },
            Route::Confirm => return envelope_v1(self.confirm().await, &path),
            Route::Verify => {
                return envelope_v1(self.verify(&query, request).await, &path);
            }
            Route::Schema => return Self::schema(),
            Route::WriteConfig => self.write_config(request).await,
            Route::Stop => {
                self.stop_soon();
                Ok(())
            }
        };
        match answer {
            Ok(()) => bare(StatusCode::OK),
            Err(refusal) => envelope_v1(Err(refusal), &path),
        }
    }

    fn alive(&self) -> String {
        let registrations = &self.registrations;
        let registrations = registrations.lock().unwrap_or_else(PoisonError::into_inner);
        format!(
            "frpc {VERSION} is not written in Go: there are no goroutines. What is alive:\n\
             tasks {}\nproxies {}\nvisitors {}\n",
            self.tasks.tracker.len(),
            registrations.all().count(),
            self.settings.merged().visitors.len(),
        )
    }

    fn tell(&self, line: fmt::Arguments<'_>) {
        info!(Log::root().of_visits(), "{line}");
    }
}

fn internal(e: &dyn std::error::Error) -> ApiError {
    ApiError {
        code: StatusCode::INTERNAL_SERVER_ERROR,
        text: e.to_string(),
    }
}
