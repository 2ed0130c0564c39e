//! The admin API of a running client (frp `client/api_router.go`, `client/http/controller.go`):
//! what its proxies do, another configuration, the end. There are no pages yet.

mod file;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use frp_config::{ClientConfig, ClientPlugin, ProxyKind, WebServer, load_client, parse_client};
use frp_http::basic::Login;
use frp_http::web::answer::{ApiError, Response, bare, envelope_v1, json, with_type};
use frp_http::web::path::Query;
use frp_http::web::{Path, Site, Unrouted, WebSettings};
pub(crate) use frp_http::web::{Web, WebError};
use frp_log::{Log, info, warn};
use frp_net::go_text::join_host_port;
use frp_proto::VERSION;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::registration::Registrations;
use crate::service::ConfigFile;
use crate::tasks::Tasks;

/// From the order to stop until the connection to the server ends; the answer needs it to get out.
const STOP_AFTER: Duration = Duration::from_millis(100);

const CONFIG_TYPE: &str = "text/plain; charset=utf-8";

const NO_PAGES: &str = "\
This version of frpc has no pages yet, only the API that they would use, e.g.
/api/status and /api/config.
";

/// What the API shows and changes.
#[derive(Debug)]
pub(crate) struct Admin {
    file: Option<ConfigFile>,
    server_addr: String,
    registrations: Arc<Mutex<Registrations>>,
    /// The settings that the session compares its proxies and visitors with.
    settings: watch::Sender<Arc<ClientConfig>>,
    tasks: Tasks,
    stop: CancellationToken,
}

/// As frp shows a proxy.
#[derive(Debug, Serialize)]
struct ProxyStatus {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    status: String,
    err: String,
    local_addr: String,
    plugin: &'static str,
    remote_addr: String,
}

/// Opens the socket that `config` asks for. Needs a tokio runtime.
pub(crate) fn bind(config: &WebServer) -> Result<Web, WebError> {
    let tls = config.tls.as_ref();
    Web::bind(WebSettings {
        addr: &config.addr,
        port: config.port,
        tls: tls.map(|files| (files.cert_file.clone(), files.key_file.clone())),
        login: Login::new(&config.user, config.password.expose()),
        allowed_hosts: &config.allowed_hosts,
        pprof: config.pprof_enable,
    })
}

impl Admin {
    pub(crate) fn new(
        file: Option<ConfigFile>,
        registrations: Arc<Mutex<Registrations>>,
        settings: watch::Sender<Arc<ClientConfig>>,
        tasks: Tasks,
        stop: CancellationToken,
    ) -> Self {
        let server_addr = settings.borrow().server_addr.clone();
        Self {
            file,
            server_addr,
            registrations,
            settings,
            tasks,
            stop,
        }
    }

    /// Serves until the client ends.
    pub(crate) async fn run(self, web: Web, addr: String) {
        info!(Log::root(), "admin server listen on {addr}");
        let tasks = self.tasks.clone();
        web.run(Arc::new(self), &tasks.tracker, tasks.stop).await;
    }

    /// By type, sorted by name.
    fn status(&self) -> BTreeMap<&'static str, Vec<ProxyStatus>> {
        let registrations = &self.registrations;
        let registrations = registrations.lock().unwrap_or_else(PoisonError::into_inner);
        let mut by_type: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for registration in registrations.all() {
            let cfg = &registration.proxy().cfg;
            let kind = cfg.kind.as_str();
            let err = registration.error();
            let port = matches!(cfg.kind, ProxyKind::Tcp { .. } | ProxyKind::Udp { .. });
            let remote_addr = match registration.remote_addr() {
                _ if !err.is_empty() => String::new(),
                addr if port => format!("{}{addr}", self.server_addr),
                addr => addr.to_owned(),
            };
            by_type.entry(kind).or_default().push(ProxyStatus {
                name: cfg.name.clone(),
                kind,
                status: registration.status(),
                err: match registration.unreachable() {
                    Some(cause) if err.is_empty() => cause,
                    _ => err.to_owned(),
                },
                local_addr: match cfg.local_port {
                    0 => String::new(),
                    port => join_host_port(&cfg.local_ip, port),
                },
                plugin: cfg.plugin.as_ref().map_or("", ClientPlugin::as_str),
                remote_addr,
            });
        }
        by_type
    }

    fn file(&self) -> Result<&ConfigFile, ApiError> {
        self.file
            .as_ref()
            .ok_or_else(|| ApiError::bad("invalid argument: frpc has no config file path"))
    }

    async fn read_config(&self) -> Result<Vec<u8>, ApiError> {
        let path = self.file()?.path.clone();
        match tokio::task::spawn_blocking(move || file::read(&path)).await {
            Ok(Ok(content)) => Ok(content),
            Ok(Err(e)) => Err(ApiError::bad(format!("invalid argument: {e}"))),
            Err(e) => Err(internal(&e)),
        }
    }

    /// Reads the file again; the session then makes its proxies and visitors so.
    async fn reload(&self, strict: bool) -> Result<(), ApiError> {
        let ConfigFile { path, mut options } = self.file()?.clone();
        options.strict = strict;
        let loading = tokio::task::spawn_blocking(move || load_client(&path, &options));
        let loaded = match loading.await {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(e)) => return Err(ApiError::bad(format!("invalid argument: {e}"))),
            Err(e) => return Err(internal(&e)),
        };
        for warning in &loaded.warnings {
            warn!(Log::root(), "{warning}");
        }
        self.settings.send_replace(Arc::new(loaded.settings));
        info!(Log::root(), "success reload conf");
        Ok(())
    }

    /// Writes the file, which takes effect at the next reload. What could not be loaded is refused,
    /// and the file stays: frp writes anything and then cannot start again.
    async fn write_config(&self, request: Request<Incoming>) -> Result<(), ApiError> {
        let ConfigFile { path, mut options } = self.file()?.clone();
        options.strict = false;
        let longest = usize::try_from(file::LONGEST).unwrap_or(usize::MAX);
        let body = Limited::new(request.into_body(), longest);
        let content = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(e) => return Err(ApiError::bad(format!("read request body error: {e}"))),
        };
        if content.is_empty() {
            return Err(ApiError::bad("body can't be empty"));
        }
        let text = String::from_utf8(content.into());
        let text = text.map_err(|e| ApiError::bad(format!("invalid argument: {e}")))?;
        parse_client(&text, &path.display().to_string(), &options)
            .map_err(|e| ApiError::bad(format!("invalid argument: {e}")))?;
        let writing = tokio::task::spawn_blocking(move || file::write(&path, &text));
        match writing.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(internal(&e)),
            Err(e) => Err(internal(&e)),
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
    const NO_PAGES: &'static str = NO_PAGES;

    fn find(&self, method: &Method, path: &Path<'_>) -> Result<Route, Unrouted> {
        find(method, path.plain)
    }

    fn changes(route: &Route) -> bool {
        matches!(route, Route::Reload | Route::Stop | Route::WriteConfig)
    }

    async fn answer(&self, route: Route, query: Query, request: Request<Incoming>) -> Response {
        let path = request.uri().path().to_owned();
        let answer = match route {
            Route::Status => return envelope_v1(Ok(json(&self.status())), &path),
            Route::ReadConfig => match self.read_config().await {
                Ok(content) => return with_type(CONFIG_TYPE, content),
                Err(refusal) => Err(refusal),
            },
            Route::Reload => self.reload(is_true(query.value("strictConfig"))).await,
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
            self.settings.borrow().visitors.len(),
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

/// Go's `strconv.ParseBool`.
fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

/// The requests that are answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Reload,
    Stop,
    Status,
    ReadConfig,
    WriteConfig,
}

/// The route of a request for `path`.
fn find(method: &Method, path: &str) -> Result<Route, Unrouted> {
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
