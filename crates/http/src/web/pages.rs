//! What is below `/static/`: the pages within the program, or those of `webServer.assetsDir`.
//!
//! The files are named in a list, by `include_bytes!`: so cargo sees each change of one, no dependency
//! is needed, and a test holds the list to the folder.

use std::io::{self, Read as _, Write as _};
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::StatusCode;
use hyper::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderValue, IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};

use super::answer::{Response, bare, moved, not_found, with_type};
use crate::limits::MAX_PAGE_FILE;

/// What a browser lets our own pages do: nothing but ask us.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const NOT_FOUND: &str = "404 page not found\n";

/// A file within the program.
#[derive(Debug, Clone, Copy)]
pub struct File {
    /// Below `/static/`.
    pub path: &'static str,
    /// As it is in the repository.
    pub content: &'static [u8],
}

/// The files of `pages` of the calling package, below `/static/` at `$at`.
#[macro_export]
macro_rules! page_files {
    ($at:literal: $($name:literal),* $(,)?) => {
        &[$($crate::web::File {
            path: concat!($at, $name),
            content: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/pages/", $name)),
        }),*]
    };
}

/// What the pages of both programs are made of.
const COMMON: &[File] = page_files!("common/":
    "api.js",
    "app.js",
    "base.css",
    "chart.js",
    "connections.js",
    "dialog.js",
    "dom.js",
    "favicon.svg",
    "format.js",
    "i18n.js",
    "live.js",
    "table.js",
    "text.js",
    "theme.js",
);

/// The pages of one web server.
#[derive(Debug)]
pub(super) struct Pages(Place);

#[derive(Debug)]
enum Place {
    Within(Vec<(File, OnceLock<Made>)>),
    /// `webServer.assetsDir`
    Folder(PathBuf),
}

/// A file as it is sent.
#[derive(Debug, Clone)]
struct Made {
    kind: HeaderValue,
    tag: HeaderValue,
    plain: Bytes,
    /// Where it is shorter.
    packed: Option<Bytes>,
}

impl Pages {
    pub(super) fn new(own: &[File], folder: Option<PathBuf>) -> Self {
        Self(match folder {
            Some(folder) => Place::Folder(folder),
            None => {
                let files = COMMON.iter().chain(own);
                Place::Within(files.map(|file| (*file, OnceLock::new())).collect())
            }
        })
    }

    /// The answer to a request for `path` below `/static/`.
    pub(super) async fn answer(&self, path: &str, headers: &HeaderMap) -> Response {
        let path = match path.strip_suffix("index.html") {
            // As Go's file server does.
            Some(folder) if folder.is_empty() || folder.ends_with('/') => return moved("./"),
            _ if path.is_empty() || path.ends_with('/') => format!("{path}index.html"),
            _ => path.to_owned(),
        };
        match &self.0 {
            Place::Within(files) => match within(files, &path) {
                Some(made) => {
                    let mut response = made.answer(headers);
                    let policy = HeaderValue::from_static(POLICY);
                    let headers = response.headers_mut();
                    headers.insert(CONTENT_SECURITY_POLICY, policy);
                    response
                }
                None => not_found(NOT_FOUND),
            },
            Place::Folder(folder) => {
                let Some(file) = below(folder, &path) else {
                    return not_found(NOT_FOUND);
                };
                let reading = tokio::task::spawn_blocking(move || {
                    let content = read(&file)?;
                    Ok::<_, io::Error>(Made::new(&path, content.into()))
                });
                match reading.await {
                    Ok(Ok(made)) => made.answer(headers),
                    _ => not_found(NOT_FOUND),
                }
            }
        }
    }

    /// The answer to a request for `/favicon.ico`.
    pub(super) async fn icon(&self, headers: &HeaderMap) -> Response {
        let path = match &self.0 {
            Place::Within(_) => "common/favicon.svg",
            Place::Folder(_) => "favicon.ico",
        };
        self.answer(path, headers).await
    }
}

fn within<'a>(files: &'a [(File, OnceLock<Made>)], path: &str) -> Option<&'a Made> {
    let (file, made) = files.iter().find(|(file, _)| file.path == path)?;
    Some(made.get_or_init(|| Made::new(file.path, Bytes::from_static(file.content))))
}

/// The file that `path` names in `folder`; none that lies elsewhere.
fn below(folder: &Path, path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    path.components().all(plain).then(|| folder.join(path))
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let file = std::fs::File::open(file)?;
    let length = file.metadata()?.len();
    if length > MAX_PAGE_FILE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut content = Vec::new();
    file.take(MAX_PAGE_FILE).read_to_end(&mut content)?;
    Ok(content)
}

impl Made {
    fn new(path: &str, plain: Bytes) -> Self {
        let kind = mime_guess::from_path(path).first_raw();
        let kind = kind.unwrap_or("application/octet-stream");
        let text = kind.starts_with("text/") || kind == "image/svg+xml" || kind.ends_with("json");
        let kind = match kind.starts_with("text/") {
            true => format!("{kind}; charset=utf-8"),
            false => kind.to_owned(),
        };
        let hash = digest(&SHA256, &plain);
        let hash: String = hash
            .as_ref()
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let header = |text: &str| {
            HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
        };
        Self {
            kind: header(&kind),
            // Weak, because it is that of either encoding.
            tag: header(&format!("W/\"{hash}\"")),
            packed: text.then(|| pack(&plain)).flatten(),
            plain,
        }
    }

    fn answer(&self, asked: &HeaderMap) -> Response {
        let has = |name, what: &[u8]| {
            let mut values = asked.get_all(name).iter();
            values.any(|value| {
                value
                    .as_bytes()
                    .windows(what.len())
                    .any(|part| part == what)
            })
        };
        let packed = match has(ACCEPT_ENCODING, b"gzip") {
            true => self.packed.as_ref(),
            false => None,
        };
        let mut response = match has(IF_NONE_MATCH, self.tag.as_bytes()) {
            true => bare(StatusCode::NOT_MODIFIED),
            false => {
                let mut response = with_type("", packed.unwrap_or(&self.plain).clone());
                let headers = response.headers_mut();
                headers.insert(CONTENT_TYPE, self.kind.clone());
                if packed.is_some() {
                    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                }
                response
            }
        };
        let headers = response.headers_mut();
        headers.insert(ETAG, self.tag.clone());
        for (name, value) in [
            // Asked for anew each time, and mostly told that nothing changed: after an update nobody
            // sees half of the old pages.
            (CACHE_CONTROL, "no-cache"),
            (VARY, "Accept-Encoding"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "same-origin"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

fn pack(plain: &[u8]) -> Option<Bytes> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(plain).ok()?;
    let packed = packer.finish().ok()?;
    (packed.len() < plain.len()).then(|| packed.into())
}

/// Asserts that a list has each file of its folder, which is `pages` in the package at `manifest`.
///
/// # Panics
/// It does not.
pub fn assert_complete(manifest: &str, files: &[File]) {
    let mut found = Vec::new();
    let root = Path::new(manifest).join("pages");
    let mut pending = vec![root.clone()];
    while let Some(folder) = pending.pop() {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            // `common` is a link, for `assetsDir`.
            match path.is_dir() {
                true if !path.is_symlink() => pending.push(path),
                true => {}
                false => found.extend(path.strip_prefix(&root).ok().map(Path::to_owned)),
            }
        }
    }
    found.sort();
    let mut listed: Vec<_> = files.iter().map(|file| PathBuf::from(file.path)).collect();
    listed.sort();
    assert_eq!(
        listed,
        found,
        "the list of pages, and the files in {}",
        root.display()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_common_file_is_listed() {
        let below = |file: &File| File {
            path: file.path.strip_prefix("common/").unwrap_or(file.path),
            ..*file
        };
        let files: Vec<_> = COMMON.iter().map(below).collect();
        assert_complete(env!("CARGO_MANIFEST_DIR"), &files);
    }

    #[test]
    fn nothing_outside_of_the_folder_is_a_page() {
        let folder = Path::new("/pages");
        assert_eq!(below(folder, "js/a.js"), Some("/pages/js/a.js".into()));
        for path in ["../a", "js/../../a", "/etc/passwd"] {
            assert_eq!(below(folder, path), None, "{path}");
        }
    }

    #[tokio::test]
    async fn a_page_is_packed_and_not_sent_twice() {
        let content: &[u8] = b"let a = 1; let a = 1; let a = 1; let a = 1; let a = 1; let a = 1;";
        let own = [File {
            path: "a.js",
            content,
        }];
        let pages = Pages::new(&own, None);
        let mut asked = HeaderMap::new();
        let plain = pages.answer("a.js", &asked).await;
        assert_eq!(
            plain.headers()[CONTENT_TYPE],
            "text/javascript; charset=utf-8"
        );
        assert!(plain.headers().get(CONTENT_ENCODING).is_none());
        asked.insert(ACCEPT_ENCODING, HeaderValue::from_static("br, gzip"));
        let packed = pages.answer("a.js", &asked).await;
        assert_eq!(packed.headers()[CONTENT_ENCODING], "gzip");
        assert_eq!(packed.headers()[CONTENT_SECURITY_POLICY], POLICY);
        asked.insert(IF_NONE_MATCH, packed.headers()[ETAG].clone());
        let known = pages.answer("a.js", &asked).await;
        assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(
            pages.answer("b.js", &asked).await.status(),
            StatusCode::NOT_FOUND
        );
    }
}
