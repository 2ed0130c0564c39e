//! Answers for a file: conditions and compression, by the rules of Go's
//! `http.ServeContent` (RFC 9110, sections 13 and 14).

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    HeaderMap, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE, VARY,
};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::body::{Body, Part};
use super::listing::body_for;
use super::range::{Wanted, ranges};
use super::{Response, bare, internal_error, kind, set, text};

/// Below this length, in bytes, compressing costs more than it saves.
const WORTH_COMPRESSING: u64 = 1024;

/// The last second that a header can name: the end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// A file that was opened for a request.
pub(super) struct Content {
    file: File,
    len: u64,
    modified: Option<SystemTime>,
    name: OsString,
}

impl Content {
    pub(super) fn new(file: File, metadata: &Metadata, name: OsString) -> Self {
        Self {
            file,
            len: metadata.len(),
            modified: shown_time(metadata),
            name,
        }
    }

    /// Blocks on the disk.
    pub(super) fn respond(self, head: &Parts) -> Response {
        let headers = &head.headers;
        if precondition_fails(headers, self.modified) {
            let mut response = bare(StatusCode::PRECONDITION_FAILED);
            set_modified(&mut response, self.modified);
            return response;
        }
        if is_known(headers, self.modified) {
            return not_modified(self.modified);
        }
        let Ok(kind) = kind::of(&self.name, &self.file) else {
            return internal_error();
        };
        let range = value(headers, &RANGE).filter(|_| range_holds(headers, self.modified));
        let wanted = range.map_or(Wanted::Whole, |range| ranges(range, self.len));
        let modified = self.modified;
        let mut response = match wanted {
            Wanted::Malformed => return text(StatusCode::RANGE_NOT_SATISFIABLE, "invalid range\n"),
            Wanted::Outside => {
                let mut response = text(
                    StatusCode::RANGE_NOT_SATISFIABLE,
                    "invalid range: failed to overlap\n",
                );
                set(
                    &mut response,
                    CONTENT_RANGE,
                    &format!("bytes */{}", self.len),
                );
                return response;
            }
            Wanted::Whole => self.whole(head, &kind, range.is_some()),
            Wanted::Ranges(ranges) => self.partial(head, &kind, &ranges),
        };
        set_modified(&mut response, modified);
        response
    }

    fn whole(self, head: &Parts, kind: &str, has_range: bool) -> Response {
        let compressible = kind::is_compressible(kind) && self.len >= WORTH_COMPRESSING;
        // Who asks for ranges counts plain bytes. frp compresses those answers, too, with the
        // length of what is not compressed.
        let gzip = compressible && !has_range && accepts_gzip(&head.headers);
        let mut response;
        if gzip {
            response = Response::new(match head.method {
                Method::HEAD => Body::empty(),
                _ => Body::gzip(self.file, self.len),
            });
            set(&mut response, CONTENT_ENCODING, "gzip");
        } else {
            let whole = [Part::File {
                start: 0,
                len: self.len,
            }];
            response = Self::with_parts(head, self.file, whole);
            set(&mut response, ACCEPT_RANGES, "bytes");
        }
        if compressible {
            set(&mut response, VARY, "Accept-Encoding");
        }
        set(&mut response, CONTENT_TYPE, kind);
        response
    }

    fn partial(self, head: &Parts, kind: &str, ranges: &[(u64, u64)]) -> Response {
        let content_range = |start: u64, len: u64| {
            let last = (start + len).saturating_sub(1);
            format!("bytes {start}-{last}/{}", self.len)
        };
        let mut response;
        if let [(start, len)] = *ranges {
            let part = [Part::File { start, len }];
            response = Self::with_parts(head, self.file, part);
            set(&mut response, CONTENT_RANGE, &content_range(start, len));
            set(&mut response, CONTENT_TYPE, kind);
        } else {
            let Ok(boundary) = boundary() else {
                return internal_error();
            };
            let mut parts = Vec::new();
            let mut before = "";
            for (start, len) in ranges {
                let range = content_range(*start, *len);
                let heading = format!(
                    "{before}--{boundary}\r\nContent-Range: {range}\r\nContent-Type: {kind}\r\n\r\n"
                );
                parts.push(Part::Bytes(heading.into()));
                parts.push(Part::File {
                    start: *start,
                    len: *len,
                });
                before = "\r\n";
            }
            parts.push(Part::Bytes(format!("\r\n--{boundary}--\r\n").into()));
            response = Self::with_parts(head, self.file, parts);
            let kind = format!("multipart/byteranges; boundary={boundary}");
            set(&mut response, CONTENT_TYPE, &kind);
        }
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        set(&mut response, ACCEPT_RANGES, "bytes");
        response
    }

    fn with_parts(head: &Parts, file: File, parts: impl Into<Vec<Part>>) -> Response {
        let parts = parts.into();
        let len: u64 = parts.iter().map(Part::len).sum();
        let mut response = Response::new(match head.method {
            Method::HEAD => Body::empty(),
            _ => Body::parts(file, parts),
        });
        set(&mut response, CONTENT_LENGTH, &len.to_string());
        response
    }
}

/// Bytes made for this request, compressed where that helps and the user can read it.
pub(super) fn maybe_compressed(bytes: Vec<u8>, head: &Parts) -> Response {
    let worth = bytes.len() as u64 >= WORTH_COMPRESSING && accepts_gzip(&head.headers);
    let compressed = worth.then(|| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&bytes)?;
        gzip.finish()
    });
    // Writing to memory does not fail.
    let (bytes, gzip) = match compressed {
        Some(Ok(compressed)) => (compressed, true),
        _ => (bytes, false),
    };
    let len = bytes.len();
    let mut response = Response::new(body_for(head, bytes));
    set(&mut response, CONTENT_LENGTH, &len.to_string());
    set(&mut response, VARY, "Accept-Encoding");
    if gzip {
        set(&mut response, CONTENT_ENCODING, "gzip");
    }
    response
}

pub(super) fn not_modified(modified: Option<SystemTime>) -> Response {
    let mut response = bare(StatusCode::NOT_MODIFIED);
    set_modified(&mut response, modified);
    response
}

pub(super) fn set_modified(response: &mut Response, modified: Option<SystemTime>) {
    if let Some(modified) = modified {
        set(response, LAST_MODIFIED, &httpdate::fmt_http_date(modified));
    }
}

/// When a file was last changed, in whole seconds, if a header can say it. As in frp the epoch
/// itself means that nobody knows.
pub(super) fn shown_time(metadata: &Metadata) -> Option<SystemTime> {
    let modified = metadata.modified().ok()?;
    let seconds = modified.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let shown = (1..=LAST_SECOND).contains(&seconds);
    shown.then(|| UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Whether `If-Modified-Since` says that the user has the current state.
pub(super) fn is_fresh(head: &Parts, modified: Option<SystemTime>) -> bool {
    fresh_since(&head.headers, modified)
}

fn fresh_since(headers: &HeaderMap, modified: Option<SystemTime>) -> bool {
    let since = value(headers, &IF_MODIFIED_SINCE).and_then(date);
    matches!((modified, since), (Some(modified), Some(since)) if modified <= since)
}

/// `If-Match` and `If-Unmodified-Since`. We have no entity tags, so only `*` matches.
fn precondition_fails(headers: &HeaderMap, modified: Option<SystemTime>) -> bool {
    if let Some(tags) = value(headers, &IF_MATCH) {
        return !has_star(tags);
    }
    let since = value(headers, &IF_UNMODIFIED_SINCE).and_then(date);
    matches!((modified, since), (Some(modified), Some(since)) if modified > since)
}

/// `If-None-Match`, or else `If-Modified-Since`.
fn is_known(headers: &HeaderMap, modified: Option<SystemTime>) -> bool {
    match value(headers, &IF_NONE_MATCH) {
        Some(tags) => has_star(tags),
        None => fresh_since(headers, modified),
    }
}

/// Whether `Range` is to be heeded: `If-Range` is absent, or names exactly our time.
fn range_holds(headers: &HeaderMap, modified: Option<SystemTime>) -> bool {
    match value(headers, &IF_RANGE) {
        Some(given) => modified.is_some() && date(given) == modified,
        None => true,
    }
}

fn has_star(tags: &str) -> bool {
    tags.split(',').any(|tag| tag.trim() == "*")
}

fn date(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text).ok()
}

/// A header's first value, unless it is empty or not text.
fn value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?;
    (!value.is_empty()).then_some(value)
}

/// A text that no file has in it.
fn boundary() -> Result<String, aws_lc_rs::error::Unspecified> {
    let mut random = [0; 20];
    aws_lc_rs::rand::fill(&mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether `Accept-Encoding` names gzip without refusing it by `q=0`.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, "q=1"));
            let refused = weight
                .trim()
                .strip_prefix("q=")
                .is_some_and(|q| q.parse() == Ok(0.0_f32));
            name.trim().eq_ignore_ascii_case("gzip") && !refused
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_accepted_only_by_name_and_weight() {
        let accepts = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(
                ACCEPT_ENCODING,
                hyper::header::HeaderValue::from_static(text),
            );
            accepts_gzip(&headers)
        };
        for yes in [
            "gzip",
            "deflate, gzip",
            "br;q=1.0, GZIP;q=0.5",
            "gzip ; q=1",
        ] {
            assert!(accepts(yes), "{yes}");
        }
        for no in ["", "br", "gzip;q=0", "gzip; q=0.0", "identity", "xgzip"] {
            assert!(!accepts(no), "{no}");
        }
    }
}
