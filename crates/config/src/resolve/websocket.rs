//! `transport.websocket`, which frp does not have: what a proxy or a CDN on the way needs.

use crate::WebsocketOptions;
use crate::keys::At;
use crate::report::Report;

/// Fields of the request that the protocol itself writes.
const OWN: [&str; 2] = ["upgrade", "connection"];

/// Of frps, whose path has no query: what follows a `?` in a request does not count.
pub(super) fn check_server(
    at: &At<'_, WebsocketOptions>,
    options: &mut WebsocketOptions,
    report: &mut Report<'_>,
) {
    check(at, options, report);
    let at = at.of(WebsocketOptions::path);
    if options.path.contains('?') {
        report.error(
            at.value_at(),
            format!("{} has a query", at.path()),
            "leave out what follows the ?; frps does not look at it",
        );
    }
}

/// Of either program.
pub(super) fn check(
    at: &At<'_, WebsocketOptions>,
    options: &mut WebsocketOptions,
    report: &mut Report<'_>,
) {
    let (path, headers) = (
        at.of(WebsocketOptions::path),
        at.of(WebsocketOptions::headers),
    );
    let is_visible = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    if !options.path.starts_with('/') || !options.path.bytes().all(is_visible) {
        report.error(
            path.value_at(),
            format!("{} {:?} is no path of a URL", path.path(), options.path),
            "begin it with /, and write %20 and the like for other characters",
        );
    }
    for (name, value) in &mut options.headers {
        if let Some((why, advice)) = objection(name, value.expose()) {
            report.error(
                headers.value_at(),
                format!("{}: {name:?} {why}", headers.path()),
                advice,
            );
        }
        *value = value.expose().trim().into();
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
