//! The files of the pages of frpc, beside those of `crates/http/pages`.

use frp_http::page_files;
use frp_http::web::File;

pub(super) const FILES: &[File] = page_files!("":
    "about.js",
    "config.js",
    "connections.js",
    "editor.js",
    "form.js",
    "index.html",
    "main.js",
    "messages.js",
    "problems.js",
    "schema.js",
    "status.js",
    "store.js",
    "style.css",
    "syntax.js",
    "text.js",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_listed() {
        frp_http::web::assert_complete(env!("CARGO_MANIFEST_DIR"), FILES);
    }
}
