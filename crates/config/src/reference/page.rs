//! `docs/configuration.md`

use std::fmt::Write as _;

use crate::keys::scopes::{Scope, scopes};
use crate::keys::{Key, Kind, walk};
use crate::suggest::Program;

const INTRODUCTION: &str = "\
# Configuration

Every key of the configuration files of frps and frpc. This page is generated from the definitions
that the programs check files with; it is written anew by
`FRP_REGENERATE=1 cargo test -p frp-config reference`.

Files are TOML, YAML or JSON, or frp's legacy INI; what a file is called does not matter. Upper and
lower case are the same in names of keys. A value that is 0 or empty means the default, so that what
has a default is switched off by a negative number where it can be. `frpc verify -c FILE` and
`frps verify -c FILE` check a file, `frpc --explain KEY -c FILE` tells what a key means and what it
is set to, and `frpc convert FILE` turns an INI file into TOML. Editors that know JSON Schema can
complete and check files with [frpc.schema.json](frpc.schema.json) and
[frps.schema.json](frps.schema.json).
";

/// The page.
pub(super) fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for (program, title) in [(Program::Frps, "frps"), (Program::Frpc, "frpc")] {
        let _ = write!(page, "\n## {title}\n");
        for scope in scopes(program) {
            if scope.keys.is_empty() {
                continue;
            }
            let _ = write!(page, "\n### {}\n\n", heading(title, &scope));
            page.push_str("| Key | Type | Default | Meaning | In INI |\n|---|---|---|---|---|\n");
            walk(scope.keys, "", &mut |path, key| {
                if !matches!(key.kind, Kind::Table(_)) {
                    row(&mut page, &format!("{}{path}", scope.prefix), key);
                }
                false
            });
        }
    }
    page
}

/// Where the keys stand; also what the tests find a scope by.
pub(super) fn heading(program: &str, scope: &Scope) -> String {
    let table = scope.prefix.trim_end_matches('.');
    match (table, scope.kind) {
        ("", _) => format!("{program}: the file"),
        (table, "") => format!("{program}: {table}"),
        (table, kind) => format!("{program}: {table} of type {kind}"),
    }
}

fn row(page: &mut String, path: &str, key: &Key) {
    let ini = key.ini_text().map_or_else(String::new, |ini| {
        let names: Vec<String> = ini.split(", ").map(|name| format!("`{name}`")).collect();
        names.join(", ")
    });
    let default = match key.default_text().as_str() {
        "none" | "\"\"" => String::new(),
        // A sentence is no value.
        text if text.contains(' ') => text.to_owned(),
        text => format!("`{text}`"),
    };
    let _ = writeln!(
        page,
        "| `{path}` | {} | {default} | {} | {ini} |",
        key.type_text(),
        key.doc.replace('|', "\\|"),
    );
}
