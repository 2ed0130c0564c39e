//! `transport.websocket`, which frp does not have: what a proxy or a CDN on the way needs.

use crate::report::Report;
use crate::section::Section;
use crate::{Secret, WebsocketOptions};

/// Fields of the request that the protocol itself writes.
const OWN: [&str; 2] = ["upgrade", "connection"];

const PATH: &str = "transport.websocket.path";
const HEADERS: &str = "transport.websocket.headers";

/// Of frps, whose path has no query: what follows a `?` in a request does not count.
pub(super) fn server(root: &Section, report: &mut Report<'_>) -> WebsocketOptions {
    let options = client(root, report);
    if options.path.contains('?') {
        report.error(
            root.value_at(PATH),
            format!("{PATH} has a query"),
            "leave out what follows the ?; frps does not look at it",
        );
    }
    options
}

/// Of frpc.
pub(super) fn client(root: &Section, report: &mut Report<'_>) -> WebsocketOptions {
    let path = root.text(PATH);
    let is_visible = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    if !path.starts_with('/') || !path.bytes().all(is_visible) {
        report.error(
            root.value_at(PATH),
            format!("{PATH} {path:?} is no path of a URL"),
            "begin it with /, and write %20 and the like for other characters",
        );
    }
    let headers = root.map(HEADERS);
    for (name, value) in &headers {
        if let Some((why, advice)) = objection(name, value) {
            report.error(
                root.value_at(HEADERS),
                format!("{HEADERS}: {name:?} {why}"),
                advice,
            );
        }
    }
    let secret = |(name, value): (String, String)| (name, Secret::from(value.trim()));
    WebsocketOptions {
        path,
        headers: headers.into_iter().map(secret).collect(),
    }
}

fn objection(name: &str, value: &str) -> Option<(&'static str, &'static str)> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Some(("is no name of an HTTP header", "use letters, digits and -"));
    }
    if value.chars().any(char::is_control) {
        return Some(("has a value with control characters", "remove them"));
    }
    let lower = name.to_ascii_lowercase();
    if OWN.contains(&lower.as_str()) || lower.starts_with("sec-websocket-") {
        return Some(("is written by the websocket itself", "remove it"));
    }
    None
}
