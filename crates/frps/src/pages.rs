//! The files of the pages of frps, beside those of `crates/http/pages`.

use frp_http::page_files;
use frp_http::web::File;

pub(crate) const FILES: &[File] = page_files!("":
    "bans.js",
    "clients.js",
    "connections.js",
    "index.html",
    "logins.js",
    "main.js",
    "overview.js",
    "proxies.js",
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
