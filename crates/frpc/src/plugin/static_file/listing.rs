//! The list of a directory, in the form that Go's `http.FileServer` gives it.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;

use super::body::Body;
use super::{Response, content, path, refused, set, text};

const HTML: &str = "text/html; charset=utf-8";

/// Answers with the list of `directory`, unless the user has a fresh one.
pub(super) fn respond(directory: &Path, modified: Option<SystemTime>, head: &Parts) -> Response {
    if content::is_fresh(head, modified) {
        return content::not_modified(None);
    }
    let mut names = match names(directory) {
        Ok(names) => names,
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => return refused(&e),
        Err(_) => {
            return text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "Error reading directory\n",
            );
        }
    };
    names.sort_unstable();
    let html = html(&names);
    let mut response = content::maybe_compressed(html, head);
    set(&mut response, CONTENT_TYPE, HTML);
    content::set_modified(&mut response, modified);
    response
}

/// Names of entries, those of directories with a `/` behind. Links are not followed.
fn names(directory: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in directory.read_dir()? {
        let entry = entry?;
        let mut name = entry.file_name().into_encoded_bytes();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            name.push(b'/');
        }
        names.push(name);
    }
    Ok(names)
}

fn html(names: &[Vec<u8>]) -> Vec<u8> {
    let mut html = b"<!doctype html>\n\
        <meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n"
        .to_vec();
    for name in names {
        // A colon in the first part would make a scheme of it.
        let scheme = name.contains(&b':') && !name.starts_with(b"/");
        html.extend_from_slice(if scheme {
            b"<a href=\"./"
        } else {
            b"<a href=\""
        });
        html.extend_from_slice(path::encode(name).as_bytes());
        html.extend_from_slice(b"\">");
        for byte in name {
            match byte {
                b'&' => html.extend_from_slice(b"&amp;"),
                b'<' => html.extend_from_slice(b"&lt;"),
                b'>' => html.extend_from_slice(b"&gt;"),
                b'"' => html.extend_from_slice(b"&#34;"),
                b'\'' => html.extend_from_slice(b"&#39;"),
                byte => html.push(*byte),
            }
        }
        html.extend_from_slice(b"</a>\n");
    }
    html.extend_from_slice(b"</pre>\n");
    html
}

/// An empty body with the length of the one that a GET would have is what HEAD gets.
pub(super) fn body_for(head: &Parts, bytes: Vec<u8>) -> Body {
    if head.method == hyper::Method::HEAD {
        Body::empty()
    } else {
        Body::full(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_be_markup_or_schemes() {
        let names = [
            b"<script>alert('&\"')".to_vec(),
            b"javascript:alert(1)".to_vec(),
            b"a b?#/".to_vec(),
        ];
        let expected = "<!doctype html>\n\
            <meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n\
            <a href=\"%3Cscript%3Ealert%28%27&%22%27%29\">&lt;script&gt;alert(&#39;&amp;&#34;&#39;)</a>\n\
            <a href=\"./javascript:alert%281%29\">javascript:alert(1)</a>\n\
            <a href=\"a%20b%3F%23/\">a b?#/</a>\n</pre>\n";
        assert_eq!(String::from_utf8_lossy(&html(&names)), expected);
    }
}
