//! `static_file`: a web server for the files of a directory (frp
//! `pkg/plugin/client/static_file.go`, which is Go's `http.FileServer` behind a router).
//!
//! This file finds out what a request is for, [`content`] answers for a file, [`listing`] for a
//! directory without `index.html`, [`body`] is what is sent.

mod body;
mod content;
mod kind;
mod listing;
pub(crate) mod path;
pub(crate) mod range;

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::limits::USER_REQUEST_HEAD;
use frp_config::PluginLogin;
use frp_http::basic::{Login, REALM};
use frp_http::head;
use frp_http::io::{Talk, UserIo};
use frp_http::limits::{MAX_HTTP_FIELDS, MAX_HTTP_HEAD};
use frp_http::web::path::relative;
use frp_log::debug;
use frp_relay::counted::Counted;
use frp_relay::layers::Carried;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};

use self::body::Body;
use self::content::Content;
use super::login::login;
use crate::user::User;

type Response = hyper::Response<Body>;

const TEXT: &str = "text/plain; charset=utf-8";

#[derive(Debug)]
pub(crate) struct StaticFile {
    site: Site,
    login: Login,
}

/// The directory, and where it begins in URLs.
#[derive(Debug, Clone)]
struct Site {
    root: PathBuf,
    /// Begins and ends with `/`.
    prefix: String,
}

/// What lies where a path leads.
enum Found {
    Directory {
        path: PathBuf,
        modified: Option<SystemTime>,
    },
    File(Content),
}

impl StaticFile {
    pub(super) fn new(root: &Path, strip_prefix: &str, cfg: &PluginLogin) -> Self {
        let prefix = match strip_prefix.trim_matches('/') {
            "" => "/".to_owned(),
            prefix => format!("/{prefix}/"),
        };
        Self {
            site: Site {
                root: root.to_owned(),
                prefix,
            },
            login: login(cfg),
        }
    }

    /// Answers the requests of one user.
    pub(super) async fn serve(&self, carried: Carried, user: &User) {
        let talk = Talk::default();
        let service = service_fn(|request| talk.exchange(request, |request| self.answer(request)));
        let half_closes = carried.half_closes();
        let io = UserIo::new(Counted::new(carried, user.traffic.clone()), &talk);
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(USER_REQUEST_HEAD)
            .max_headers(MAX_HTTP_FIELDS)
            .max_buf_size(MAX_HTTP_HEAD)
            // Whoever ends its output behind a request still gets the answer, if that is all it ends.
            .half_close(half_closes)
            .serve_connection(TokioIo::new(io), service)
            .await;
        if let Err(e) = served {
            debug!(user.log, "static_file: {e}");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response {
        let (mut head, _) = request.into_parts();
        if let Err(refused) = head::check(&mut head) {
            let mut response = text(refused.code, refused.text);
            set(&mut response, CONNECTION, "close");
            return response;
        }
        let Some(path) = path::decode(head.uri.path()) else {
            return text(StatusCode::BAD_REQUEST, "400 Bad Request");
        };
        let clean = path::clean(&path);
        if clean != path {
            return moved(&relative(head.uri.path(), &path::encode(&clean)), &head);
        }
        let Some(below) = path.strip_prefix(self.site.prefix.as_bytes()) else {
            return text(StatusCode::NOT_FOUND, "404 page not found\n");
        };
        if !matches!(head.method, Method::GET | Method::HEAD) {
            let mut response = bare(StatusCode::METHOD_NOT_ALLOWED);
            set(&mut response, ALLOW, "GET, HEAD");
            return response;
        }
        if !self
            .login
            .admits_late(head.headers.get(AUTHORIZATION))
            .await
        {
            let mut response = text(StatusCode::UNAUTHORIZED, "Unauthorized\n");
            response.headers_mut().insert(WWW_AUTHENTICATE, REALM);
            return response;
        }
        let (site, below) = (self.site.clone(), below.to_owned());
        let answered = tokio::task::spawn_blocking(move || site.respond(&below, &head));
        answered.await.unwrap_or_else(|_| internal_error())
    }
}

impl Site {
    /// Answers for the path `below` the prefix. Blocks on the disk.
    fn respond(&self, below: &[u8], head: &Parts) -> Response {
        // Relative, because whatever lies before frps may have its own prefix.
        if below == b"index.html" || below.ends_with(b"/index.html") {
            return moved("./", head);
        }
        let slash = below.is_empty() || below.ends_with(b"/");
        let found = path::local(&self.root, below)
            .ok_or_else(|| io::Error::from(ErrorKind::NotFound))
            .and_then(|path| find(&path));
        match found {
            Err(e) => refused(&e),
            Ok(Found::Directory { .. }) if !slash => {
                moved(&format!("{}/", path::encode(path::last(below))), head)
            }
            Ok(Found::Directory { path, modified }) => match find(&path.join("index.html")) {
                Ok(Found::File(index)) => index.respond(head),
                _ => listing::respond(&path, modified, head),
            },
            Ok(Found::File(_)) if below.is_empty() => text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "http: attempting to traverse a non-directory\n",
            ),
            Ok(Found::File(_)) if slash => {
                moved(&format!("../{}", path::encode(path::last(below))), head)
            }
            Ok(Found::File(content)) => content.respond(head),
        }
    }
}

/// Follows links, as frp does: what a link in the directory leads to is offered on purpose.
fn find(path: &Path) -> io::Result<Found> {
    let seen = path.metadata()?;
    if seen.is_dir() {
        return Ok(Found::Directory {
            path: path.to_owned(),
            modified: content::shown_time(&seen),
        });
    }
    let file = open(path)?;
    let metadata = file.metadata()?;
    // A pipe or a device has no length, and may never end.
    if !metadata.is_file() {
        return Err(ErrorKind::PermissionDenied.into());
    }
    let name = path.file_name().unwrap_or_default().to_owned();
    Ok(Found::File(Content::new(file, &metadata, name)))
}

/// Opens for reading without waiting for a pipe's writer.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
        options.custom_flags(flags.bits().cast_signed());
    }
    options.open(path)
}

/// No more than that: the path on our disk is nobody's business.
fn refused(e: &io::Error) -> Response {
    match e.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename => {
            text(StatusCode::NOT_FOUND, "404 page not found\n")
        }
        ErrorKind::PermissionDenied => text(StatusCode::FORBIDDEN, "403 Forbidden\n"),
        _ => internal_error(),
    }
}

fn internal_error() -> Response {
    text(
        StatusCode::INTERNAL_SERVER_ERROR,
        "500 Internal Server Error\n",
    )
}

/// A redirection that keeps the query.
fn moved(to: &str, head: &Parts) -> Response {
    let mut response = bare(StatusCode::MOVED_PERMANENTLY);
    let query = head.uri.query().map(|query| format!("?{query}"));
    set(
        &mut response,
        LOCATION,
        &format!("{to}{}", query.unwrap_or_default()),
    );
    response
}

fn bare(code: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = code;
    response
}

fn text(code: StatusCode, body: &'static str) -> Response {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = code;
    set(&mut response, CONTENT_TYPE, TEXT);
    set(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    response
}

/// Values are made of encoded paths, numbers and queries that were parsed, so none is refused.
fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
