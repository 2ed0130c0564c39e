//! The files in `corpus`: each has its verdict, and either its messages or what it means, in
//! `corpus.expected`. `FRP_RS_WRITE_EXPECTED=1` writes that file anew.
//!
//! Names begin with the program; files named after a number are those of users of frp who were
//! misled by its message (issues of the same number).
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use frp_config::{
    Document, Environment, Format, LoadError, LoadOptions, Purpose, load_client, load_server,
    parse_client, parse_server,
};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

fn files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory()).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 95, "only {} files", files.len());
    files
}

fn options() -> LoadOptions {
    let environment = [("FRP_TEST_ADDR".to_owned(), "10.1.2.3".to_owned())];
    LoadOptions {
        environment: Environment::from_iter(environment),
        ..LoadOptions::new(Purpose::Verify)
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Settings in a form that can be compared, what the file gives, and the messages.
fn load(path: &Path) -> Result<(String, Document, Vec<String>), LoadError> {
    if name(path).starts_with("frps") {
        let loaded = load_server(path, &options())?;
        let warnings = loaded.warnings.iter().map(ToString::to_string).collect();
        Ok((format!("{:?}", loaded.settings), loaded.document, warnings))
    } else {
        let loaded = load_client(path, &options())?;
        let warnings = loaded.warnings.iter().map(ToString::to_string).collect();
        Ok((format!("{:?}", loaded.settings), loaded.document, warnings))
    }
}

fn reload(program: &str, text: &str, format: Format) -> (String, Document) {
    let result = if program.starts_with("frps") {
        parse_server(text, "again", &options()).map(|l| (format!("{:?}", l.settings), l.document))
    } else {
        parse_client(text, "again", &options()).map(|l| (format!("{:?}", l.settings), l.document))
    };
    result.unwrap_or_else(|error| panic!("{program} {format:?}: {error}\n{text}"))
}

#[test]
fn every_file_has_its_verdict_and_its_messages_or_meaning() {
    let mut shown = String::new();
    let here = format!("{}/", directory().display());
    for path in files() {
        writeln!(shown, "=== {}", name(&path)).unwrap();
        match load(&path) {
            Ok((_, document, warnings)) => {
                writeln!(shown, "valid").unwrap();
                for warning in warnings {
                    writeln!(shown, "WARNING: {}", warning.replace(&here, "")).unwrap();
                }
                shown.push_str(&document.write(Format::Toml));
            }
            Err(error) => {
                writeln!(shown, "invalid\n{}", error.to_string().replace(&here, "")).unwrap();
            }
        }
    }
    let expected = directory().with_file_name("corpus.expected");
    if std::env::var_os("FRP_RS_WRITE_EXPECTED").is_some() {
        std::fs::write(&expected, &shown).unwrap();
    }
    let known = std::fs::read_to_string(&expected).unwrap();
    for (line, (shown, known)) in shown.lines().zip(known.lines()).enumerate() {
        assert_eq!(shown, known, "line {} of corpus.expected", line + 1);
    }
    assert_eq!(shown.len(), known.len());
}

#[test]
fn valid_files_mean_the_same_when_written_in_any_format() {
    let mut tried = 0;
    for path in files() {
        let Ok((settings, document, _)) = load(&path) else {
            continue;
        };
        tried += 1;
        for format in [Format::Toml, Format::Yaml, Format::Json] {
            let text = document.write(format);
            let (again, document) = reload(&name(&path), &text, format);
            assert_eq!(again, settings, "{} {format:?}\n{text}", name(&path));
            assert_eq!(document.write(format), text, "{}", name(&path));
        }
    }
    assert!(tried > 40, "{tried}");
}

#[test]
fn the_full_examples_have_twins_that_mean_the_same() {
    for stem in ["frpc-full", "frps-full"] {
        let path = |extension: &str| directory().join(format!("{stem}.{extension}"));
        let (settings, document, _) = load(&path("toml")).unwrap();
        if std::env::var_os("FRP_RS_WRITE_EXPECTED").is_some() {
            std::fs::write(path("yaml"), document.write(Format::Yaml)).unwrap();
            std::fs::write(path("json"), document.write(Format::Json)).unwrap();
        }
        for extension in ["yaml", "json"] {
            assert_eq!(
                load(&path(extension)).unwrap().0,
                settings,
                "{stem}.{extension}"
            );
        }
    }
}

#[test]
fn the_full_examples_show_every_key() {
    let inventory = include_str!("keys.tsv");
    let mut missing = BTreeSet::new();
    let text = |name: &str| std::fs::read_to_string(directory().join(name)).unwrap();
    let frpc =
        text("frpc-full.toml") + &text("frpc-sources.toml") + &text("frpc-sources-oidc.toml");
    let frps = text("frps-full.toml") + &text("frps-sources.toml");
    let (frpc_ini, frps_ini) = (text("frpc-full.ini"), text("frps-full.ini"));
    let has = |text: &str, key: &str| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        text.split(|c| !is_part(c)).any(|word| word == key)
    };
    for row in inventory
        .lines()
        .skip(1)
        .filter(|row| !row.contains("ini only"))
    {
        let fields: Vec<&str> = row.split('\t').collect();
        let [scope, path, _, ini] = fields[..] else {
            panic!("{row}")
        };
        let (toml, legacy) = if scope == "frps" {
            (&frps, &frps_ini)
        } else {
            (&frpc, &frpc_ini)
        };
        let key = path.rsplit('.').next().unwrap().trim_end_matches("[]");
        if !has(toml, key) {
            missing.insert(format!("{scope} {path}"));
        }
        let plain = |ini: &&str| {
            ini.chars()
                .all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
        };
        if let Some(ini) = Some(ini)
            .filter(plain)
            .filter(|ini| !ini.is_empty() && !has(legacy, ini))
        {
            missing.insert(format!("{scope} {ini}"));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
