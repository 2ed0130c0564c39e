//! The admin API of a running client (frp `client/api_router.go`, `client/http/controller.go`):
//! what its proxies do, another configuration, the end. There are no pages yet.

mod file;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use frp_config::{ClientConfig, LoadOptions, ProxyKind, WebServer, load_client, parse_client};
use frp_log::{Log, contract, info, warn};
use frp_net::go_text::join_host_port;
use frp_net::web::answer::{
    Refusal, Response, bare, envelope_v1, json, moved, not_found, text, unauthorized, with_type,
};
use frp_net::web::guard::{Denied, Guard};
use frp_net::web::login::WebLogin;
use frp_net::web::path::{Query, clean, decode, encode, relative};
use frp_net::web::{Site, Web};
use frp_proto::VERSION;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::registration::Registrations;
use crate::tasks::Tasks;

/// From the order to stop until the connection to the server ends; the answer needs it to get out.
const STOP_AFTER: Duration = Duration::from_millis(100);

const CONFIG_TYPE: &str = "text/plain; charset=utf-8";

const NO_PAGES: &str = "\
This version of frpc has no pages yet, only the API that they would use, e.g.
/api/status and /api/config.
";

const NO_PROFILE: &str = "\
frpc is not written in Go, so there is no such profile.
/debug/pprof/goroutine counts what is alive.
";

/// Where a client's settings came from, to be read again from there.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    /// The file.
    pub path: PathBuf,
    /// How it was read.
    pub options: LoadOptions,
}

/// What the API shows and changes.
#[derive(Debug)]
pub(crate) struct Admin {
    guard: Guard,
    pprof: bool,
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

impl Admin {
    pub(crate) fn new(
        web: &WebServer,
        file: Option<ConfigFile>,
        registrations: Arc<Mutex<Registrations>>,
        settings: watch::Sender<Arc<ClientConfig>>,
        tasks: Tasks,
        stop: CancellationToken,
    ) -> Self {
        let server_addr = settings.borrow().server_addr.clone();
        let login = WebLogin::new(&web.user, web.password.expose());
        Self {
            guard: Guard::new(login, &web.addr, &web.allowed_hosts),
            pprof: web.pprof_enable,
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
        info!(Log::root(), "{}", contract::admin_server_listen(addr));
        let tasks = self.tasks.clone();
        web.run(Arc::new(self), &tasks.tracker, tasks.stop).await;
    }

    async fn respond(&self, route: Route, request: Request<Incoming>, path: &str) -> Response {
        let query = Query::parse(request.uri().query().unwrap_or_default());
        let answer = match route {
            Route::Healthz => return bare(StatusCode::OK),
            Route::Root => return moved("static/"),
            Route::Static(below) if below.is_empty() => return text(StatusCode::OK, NO_PAGES),
            Route::Static(_) | Route::Favicon => return not_found("404 page not found\n"),
            Route::Pprof(name) if name == "goroutine" => {
                return text(StatusCode::OK, self.alive());
            }
            Route::Pprof(_) => return not_found(NO_PROFILE),
            Route::Status => return envelope_v1(Ok(json(&self.status())), path),
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
            Err(refusal) => envelope_v1(Err(refusal), path),
        }
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
                plugin: cfg.plugin.as_ref().map_or("", |plugin| plugin.name()),
                remote_addr,
            });
        }
        by_type
    }

    /// What a list of goroutines is looked at for.
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

    fn file(&self) -> Result<&ConfigFile, Refusal> {
        self.file
            .as_ref()
            .ok_or_else(|| Refusal::bad("invalid argument: frpc has no config file path"))
    }

    async fn read_config(&self) -> Result<Vec<u8>, Refusal> {
        let path = self.file()?.path.clone();
        match tokio::task::spawn_blocking(move || file::read(&path)).await {
            Ok(Ok(content)) => Ok(content),
            Ok(Err(e)) => Err(Refusal::bad(format!("invalid argument: {e}"))),
            Err(e) => Err(internal(&e)),
        }
    }

    /// Reads the file again; the session then makes its proxies and visitors so.
    async fn reload(&self, strict: bool) -> Result<(), Refusal> {
        let ConfigFile { path, mut options } = self.file()?.clone();
        options.strict = strict;
        let loading = tokio::task::spawn_blocking(move || load_client(&path, &options));
        let loaded = match loading.await {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(e)) => return Err(Refusal::bad(format!("invalid argument: {e}"))),
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
    async fn write_config(&self, request: Request<Incoming>) -> Result<(), Refusal> {
        let ConfigFile { path, mut options } = self.file()?.clone();
        options.strict = false;
        let longest = usize::try_from(file::LONGEST).unwrap_or(usize::MAX);
        let body = Limited::new(request.into_body(), longest);
        let content = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(e) => return Err(Refusal::bad(format!("read request body error: {e}"))),
        };
        if content.is_empty() {
            return Err(Refusal::bad("body can't be empty"));
        }
        let text = String::from_utf8(content.into());
        let text = text.map_err(|e| Refusal::bad(format!("invalid argument: {e}")))?;
        parse_client(&text, &path.display().to_string(), &options)
            .map_err(|e| Refusal::bad(format!("invalid argument: {e}")))?;
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
    async fn answer(&self, request: Request<Incoming>) -> Response {
        let path = request.uri().path().to_owned();
        let route = match find(request.method(), &path, self.pprof) {
            Ok(Route::Healthz) => return bare(StatusCode::OK),
            Ok(route) => route,
            Err(Astray::NotFound) => return not_found("404 page not found\n"),
            Err(Astray::WrongMethod) => return bare(StatusCode::METHOD_NOT_ALLOWED),
            Err(Astray::BadPath) => return text(StatusCode::BAD_REQUEST, "400 Bad Request"),
            Err(Astray::Moved(to)) => {
                let query = request.uri().query().map(|q| format!("?{q}"));
                return moved(&(relative(&path, &to) + &query.unwrap_or_default()));
            }
        };
        match self.guard.admit(request.headers(), route.changes()) {
            Ok(()) => {}
            Err(Denied::Unauthorized) => return unauthorized().await,
            Err(Denied::Refused(refusal)) => return envelope_v1(Err(refusal), &path),
        }
        let log = Log::root().of_visits();
        info!(log, "http request: [{path}]");
        let response = self.respond(route, request, &path).await;
        let code = response.status().as_u16();
        info!(log, "http response [{path}]: code [{code}]");
        response
    }
}

fn internal(e: &dyn std::error::Error) -> Refusal {
    Refusal {
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
enum Route {
    Healthz,
    Root,
    /// Path below `/static/`.
    Static(String),
    Favicon,
    /// Name of the profile.
    Pprof(String),
    Reload,
    Stop,
    Status,
    ReadConfig,
    WriteConfig,
}

/// Why a request has no [`Route`].
#[derive(Debug, PartialEq, Eq)]
enum Astray {
    /// The path has broken percent escapes.
    BadPath,
    /// The path has another, clean form.
    Moved(String),
    NotFound,
    /// The path exists for another method.
    WrongMethod,
}

impl Route {
    fn changes(&self) -> bool {
        matches!(self, Self::Reload | Self::Stop | Self::WriteConfig)
    }
}

/// The route of a request for `path`, which is as sent, without the query; with those of
/// `webServer.pprofEnable` or not.
fn find(method: &Method, path: &str, pprof: bool) -> Result<Route, Astray> {
    let plain = decode(path, false).ok_or(Astray::BadPath)?;
    let clean = clean(&plain);
    if clean != plain {
        return Err(Astray::Moved(encode(&clean)));
    }
    let only = |wanted: Method, route: Route| match *method == wanted {
        true => Ok(route),
        false => Err(Astray::WrongMethod),
    };
    match plain.as_str() {
        "/" => Ok(Route::Root),
        "/healthz" => Ok(Route::Healthz),
        "/favicon.ico" => only(Method::GET, Route::Favicon),
        "/api/reload" => only(Method::GET, Route::Reload),
        "/api/stop" => only(Method::POST, Route::Stop),
        "/api/status" => only(Method::GET, Route::Status),
        "/api/config" if *method == Method::PUT => Ok(Route::WriteConfig),
        "/api/config" => only(Method::GET, Route::ReadConfig),
        other => match (
            other.strip_prefix("/static/"),
            other.strip_prefix("/debug/pprof/"),
        ) {
            (Some(below), _) => only(Method::GET, Route::Static(below.to_owned())),
            (_, Some(name)) if pprof => Ok(Route::Pprof(name.to_owned())),
            _ => Err(Astray::NotFound),
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_those_of_frp() {
        for (method, path, route) in [
            (Method::POST, "/healthz", Ok(Route::Healthz)),
            (Method::GET, "/", Ok(Route::Root)),
            (Method::GET, "/api/reload", Ok(Route::Reload)),
            (Method::POST, "/api/reload", Err(Astray::WrongMethod)),
            (Method::GET, "/api/stop", Err(Astray::WrongMethod)),
            (Method::PUT, "/api/config", Ok(Route::WriteConfig)),
            (Method::GET, "/api/config", Ok(Route::ReadConfig)),
            (Method::DELETE, "/api/config", Err(Astray::WrongMethod)),
            (Method::GET, "/api/nothing", Err(Astray::NotFound)),
            (Method::GET, "/%zz", Err(Astray::BadPath)),
            (
                Method::GET,
                "//api/status",
                Err(Astray::Moved("/api/status".to_owned())),
            ),
        ] {
            assert_eq!(find(&method, path, false), route, "{method} {path}");
        }
        let (path, route) = ("/debug/pprof/heap", Route::Pprof("heap".to_owned()));
        assert_eq!(find(&Method::GET, path, true), Ok(route));
        assert_eq!(find(&Method::GET, path, false), Err(Astray::NotFound));
    }
}
