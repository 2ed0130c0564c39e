//! The invariants of ARCHITECTURE.md that a program can check.

use std::path::{Path, PathBuf};

use frp_tests::*;
use tokio::process::Command;

/// Where `unsafe` may stand: each has its reason and a test beside it.
const UNSAFE_FILES: [&str; 9] = [
    "bench/src/process.rs",
    "crates/net/src/below.rs",
    "crates/net/src/kcp/socket.rs",
    "crates/net/src/own_ips.rs",
    "crates/process/src/clock.rs",
    "crates/process/src/process.rs",
    "crates/process/src/signals.rs",
    "crates/relay/src/relay/endpoint.rs",
    "tests/src/network/tun.rs",
];

const MAX_FILE_LINES: usize = 800;
const MAX_MAIN_LINES: usize = 80;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// All Rust files below `directory` of the repository: path from the root, and text.
pub(crate) fn rust_files(directory: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut pending = vec![root().join(directory)];
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let build_output = path.file_name().is_some_and(|name| name == "target");
            if path.is_dir() && !build_output {
                pending.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                files.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!files.is_empty(), "no Rust files below {directory}");
    files
}

fn all_rust_files() -> Vec<(String, String)> {
    ["crates", "tests", "bench", "fuzz"]
        .into_iter()
        .flat_map(rust_files)
        .collect()
}

/// The lines that are code, with their numbers; items for tests and comments are left out.
pub(crate) fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    // How far the item is indented that is left out; rustfmt ends it at the same depth.
    let mut left_out = None;
    text.lines().enumerate().filter_map(move |(i, line)| {
        let code = line.split("//").next().unwrap_or(line);
        let words = code.trim();
        let depth = code.len() - code.trim_start().len();
        if words == "#[cfg(test)]" {
            left_out = Some(depth);
        } else if left_out.is_none() {
            return Some((i + 1, code));
        } else if left_out == Some(depth) && words.ends_with([';', '}']) {
            left_out = None;
        }
        None
    })
}

/// Whether `word` stands in `line` as a whole word.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// Asserts that no file below `directory` has one of `words` in its code.
fn without(directory: &str, words: &[&str]) {
    for (path, text) in rust_files(directory) {
        if path.ends_with("tests.rs") {
            continue;
        }
        for (number, line) in code(&text) {
            for word in words {
                assert!(
                    !has_word(line, word),
                    "{path}:{number} has `{word}`: {line}"
                );
            }
        }
    }
}

fn dependencies(krate: &str) -> String {
    let manifest = root().join("crates").join(krate).join("Cargo.toml");
    let text = std::fs::read_to_string(manifest).unwrap();
    let (_, after) = text.split_once("[dependencies]").unwrap();
    after.split("\n[").next().unwrap().to_owned()
}

#[test]
fn the_protocol_crate_knows_no_sockets_no_clock_no_environment() {
    let words = [
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "tokio",
        "Instant",
        "SystemTime",
    ];
    without("crates/proto/src", &words);
    without("crates/proto/src", &["std::env", "std::fs", "std::thread"]);
    assert!(!has_word(&dependencies("proto"), "tokio"));
}

#[test]
fn the_configuration_crate_knows_no_runtime() {
    without("crates/config/src", &["tokio", "frp_net"]);
    assert!(!dependencies("config").contains("tokio"));
    assert!(!dependencies("config").contains("frp-net"));
}

#[test]
fn pipes_and_what_goes_over_them_know_no_login_and_no_proxy() {
    let words = [
        "Login",
        "LoginResp",
        "NewProxy",
        "NewWorkConn",
        "frp_config",
    ];
    for krate in ["net", "relay", "process"] {
        without(&format!("crates/{krate}/src"), &words);
        assert!(!dependencies(krate).contains("frp-config"), "{krate}");
    }
    assert!(!dependencies("net").contains("frp-relay"));
    assert!(!dependencies("process").contains("frp-"));
}

#[test]
fn http_lies_between_the_pipes_and_the_programs() {
    for krate in ["net", "relay"] {
        without(&format!("crates/{krate}/src"), &["hyper", "frp_http"]);
    }
    for (above, below) in [
        ("frp-http", "proto"),
        ("frp-http", "config"),
        ("frp-http", "net"),
        ("frp-http", "relay"),
        ("hyper", "net"),
        ("hyper", "relay"),
        ("frp-config", "http"),
        ("frp-relay", "http"),
        ("frp-log", "http"),
    ] {
        assert!(
            !has_word(&dependencies(below), above),
            "{below} has {above}"
        );
    }
}

#[test]
fn the_programs_do_not_know_each_other() {
    without("crates/frps/src", &["frpc"]);
    assert!(!has_word(&dependencies("frps"), "frpc"));
    assert!(!has_word(&dependencies("frpc"), "frps"));
}

#[test]
fn files_are_short_and_say_what_they_are() {
    for (path, text) in all_rust_files() {
        let lines = text.lines().count();
        assert!(lines <= MAX_FILE_LINES, "{path} has {lines} lines");
        if path.ends_with("src/main.rs") && path.starts_with("crates/") {
            assert!(lines <= MAX_MAIN_LINES, "{path} has {lines} lines");
        }
        assert!(
            text.starts_with("//!") || text.starts_with("#!["),
            "{path} begins without `//!`"
        );
    }
}

/// The keyword, that is, not the word in a text: frp has a flag and a message with it.
fn has_unsafe_code(line: &str) -> bool {
    let line = line
        .replace("allow-unsafe", "")
        .replace("unsafe feature", "");
    has_word(&line, "unsafe")
}

#[test]
fn unsafe_code_is_where_it_is_listed() {
    let me = "tests/integration/tidy.rs";
    for (path, text) in all_rust_files() {
        let used = code(&text).any(|(_, line)| has_unsafe_code(line));
        if path != me && used {
            assert!(
                UNSAFE_FILES.contains(&path.as_str()),
                "{path} has unsafe code"
            );
            assert!(text.contains("SAFETY:"), "{path} gives no reason");
        }
    }
    for path in UNSAFE_FILES {
        assert!(root().join(path).exists(), "{path} is listed and not there");
    }
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    for krate in std::fs::read_dir(root().join("crates")).unwrap() {
        let manifest = krate.unwrap().path().join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest).unwrap();
        let path = manifest.display();
        assert!(
            text.contains("[lints]\nworkspace = true"),
            "{path} goes without"
        );
    }
}

#[test]
fn the_paths_that_the_documents_name_exist() {
    let names: Vec<String> = all_rust_files().into_iter().map(|(path, _)| path).collect();
    for document in [
        "ARCHITECTURE.md",
        "README.md",
        "CONTRIBUTING.md",
        "docs/life-of-a-connection.md",
    ] {
        let text = std::fs::read_to_string(root().join(document)).unwrap();
        // Blocks show commands and drawings; names stand in single backticks.
        let prose: String = text.split("```").step_by(2).collect();
        for name in prose
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| is_path(name))
        {
            let there = root().join(name.trim_start_matches("./")).exists()
                || names.iter().any(|path| path.ends_with(&format!("/{name}")));
            assert!(there, "{document} names `{name}`, which is not there");
        }
    }
}

fn is_path(name: &str) -> bool {
    let plain = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "./_-".contains(c));
    let known = [".rs", ".md", ".example"].iter().any(|e| name.ends_with(e));
    plain && (known || name.starts_with("crates/") || name.starts_with("./"))
}

#[test]
fn what_stands_behind_an_item_for_tests_is_code() {
    let text = "mod a;\n#[cfg(test)]\n#[allow(x)]\nmod tests;\nuse b;\nimpl C {\n    #[cfg(test)]\n    fn d() {\n        e;\n    }\n\n    fn f() {} // g\n}\n#[cfg(test)]\nmod h {\n    i;\n}\n";
    let lines: Vec<&str> = code(text).map(|(_, line)| line.trim()).collect();
    assert_eq!(
        lines.join(" ").trim(),
        "mod a; use b; impl C {  fn f() {} }"
    );
}

#[tokio::test]
async fn there_are_two_examples_and_both_are_valid() {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".example") {
            found.push(name);
        }
    }
    found.sort();
    assert_eq!(found, ["frpc.toml.example", "frps.toml.example"]);
    // Those that go with other examples are as good.
    let mut pending = vec![PathBuf::from("examples")];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(root().join(&directory)).unwrap() {
            let path = directory.join(entry.unwrap().file_name());
            if root().join(&path).is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|e| e == "toml") {
                found.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    for name in found {
        let file = name.rsplit('/').next().unwrap();
        let program = file.split('.').next().unwrap();
        let mut verify = Command::new(Side::Ours.program(program));
        let output = verify
            .args(["verify", "-c", &name])
            .current_dir(root())
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}: {said}");
        assert!(!said.contains("WARNING"), "{name}: {said}");
    }
}
