//! From a file to settings: parse, check, resolve.

use std::path::Path;

use crate::check::{collect, judge};
use crate::detect::{self, Parsed};
use crate::report::{Report, Source};
use crate::section::Section;
use crate::suggest::{Place, Program};
use crate::{ClientConfig, LoadError, Problem, ServerConfig, legacy, resolve};

/// Settings and what is worth telling the user about the file they came from.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// The settings.
    pub settings: T,
    /// Doubtful things that do not keep the program from running.
    pub warnings: Vec<Problem>,
    /// The file has the legacy INI form.
    pub legacy_ini: bool,
}

/// Reads the configuration file of frpc. With `strict`, unknown keys are errors, else warnings.
///
/// # Errors
/// When the file cannot be read or anything in it is wrong; all problems are reported together.
pub fn load_client(path: &Path, strict: bool) -> Result<Loaded<ClientConfig>, LoadError> {
    let origin = path.display().to_string();
    let mut loaded = parse_client(&read(path)?, &origin, strict)?;
    if std::env::var_os("http_proxy").is_some_and(|proxy| !proxy.is_empty()) {
        loaded.warnings.push(Problem {
            file: origin,
            position: None,
            message: "the environment variable http_proxy is set; frp would reach frps through \
                      that proxy, which is not supported yet"
                .to_owned(),
            advice: Some("frps is dialed directly".to_owned()),
        });
    }
    Ok(loaded)
}

/// Reads the configuration file of frps. With `strict`, unknown keys are errors, else warnings.
///
/// # Errors
/// When the file cannot be read or anything in it is wrong; all problems are reported together.
pub fn load_server(path: &Path, strict: bool) -> Result<Loaded<ServerConfig>, LoadError> {
    parse_server(&read(path)?, &path.display().to_string(), strict)
}

/// Like [`load_client`] for text that is at hand; `origin` is the file name shown in problems.
///
/// # Errors
/// When anything in the text is wrong.
pub fn parse_client(
    text: &str,
    origin: &str,
    strict: bool,
) -> Result<Loaded<ClientConfig>, LoadError> {
    let source = Source::new(origin, text);
    let mut report = Report::new(&source, strict);
    let (root, proxies, legacy_ini) = match detect::parse(&source, Program::Frpc, &mut report) {
        Some(Parsed::Legacy(mut ini)) => {
            let root = legacy::common(&ini, Program::Frpc, &mut report);
            let proxies = legacy::proxies(&mut ini, &root.texts("start"), &mut report);
            (root, proxies, true)
        }
        Some(Parsed::Tree(entries)) => {
            let mut root = tree(Program::Frpc, entries, &mut report);
            let proxies = root.lists.remove("proxies").map(|list| list.items);
            (root, proxies.unwrap_or_default(), false)
        }
        None => (empty(Program::Frpc), Vec::new(), false),
    };
    judge(&root, "", legacy_ini, &mut report);
    let settings = resolve::client(&root, &proxies, legacy_ini, &mut report);
    let (settings, warnings) = report.finish(settings)?;
    Ok(Loaded {
        settings,
        warnings,
        legacy_ini,
    })
}

/// Like [`load_server`] for text that is at hand; `origin` is the file name shown in problems.
///
/// # Errors
/// When anything in the text is wrong.
pub fn parse_server(
    text: &str,
    origin: &str,
    strict: bool,
) -> Result<Loaded<ServerConfig>, LoadError> {
    let source = Source::new(origin, text);
    let mut report = Report::new(&source, strict);
    let (root, legacy_ini) = match detect::parse(&source, Program::Frps, &mut report) {
        Some(Parsed::Legacy(ini)) => {
            legacy::server_sections(&ini, &mut report);
            (legacy::common(&ini, Program::Frps, &mut report), true)
        }
        Some(Parsed::Tree(entries)) => (tree(Program::Frps, entries, &mut report), false),
        None => (empty(Program::Frps), false),
    };
    judge(&root, "", legacy_ini, &mut report);
    let settings = resolve::server(&root, legacy_ini, &mut report);
    let (settings, warnings) = report.finish(settings)?;
    Ok(Loaded {
        settings,
        warnings,
        legacy_ini,
    })
}

fn tree(program: Program, entries: Vec<crate::value::Entry>, report: &mut Report<'_>) -> Section {
    let mut root = empty(program);
    let place = Place {
        program,
        item: None,
    };
    collect(&mut root, entries, &place, report);
    root
}

fn empty(program: Program) -> Section {
    Section::new(0, vec![program.keys()])
}

/// The file's text, without a byte order mark.
fn read(path: &Path) -> Result<String, LoadError> {
    let bytes = std::fs::read(path).map_err(|source| LoadError::Read {
        path: path.to_owned(),
        source,
    })?;
    decode(bytes, path)
}

fn decode(mut bytes: Vec<u8>, path: &Path) -> Result<String, LoadError> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) => {
            let lossy = String::from_utf8_lossy(error.as_bytes()).into_owned();
            // Comments of old INI files are often in a local encoding, which frp does not mind.
            let in_comments = lossy
                .lines()
                .filter(|line| line.contains(char::REPLACEMENT_CHARACTER))
                .all(|line| line.trim_start().starts_with(['#', ';']));
            if !in_comments {
                let origin = path.display().to_string();
                return Err(not_utf8(&lossy, origin));
            }
            Ok(lossy)
        }
    }
}

fn not_utf8(lossy: &str, origin: String) -> LoadError {
    let at = lossy.find(char::REPLACEMENT_CHARACTER).unwrap_or(0);
    let position = Source::new(&origin, lossy).position(at);
    LoadError::Invalid(vec![Problem {
        file: origin,
        position: Some(position),
        message: "the file is not UTF-8 text here".to_owned(),
        advice: Some("save it as UTF-8".to_owned()),
    }])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn foreign_encodings_pass_in_comments_only() {
        let path = Path::new("f");
        let text = decode(b"\xef\xbb\xbf# \xb5\xd8\nuser = \"a\"".to_vec(), path).unwrap();
        assert!(text.starts_with("# "), "{text}");
        let error = decode(b"a = 1\nb = \"\xff\"".to_vec(), path).unwrap_err();
        assert_eq!(
            error.to_string(),
            "f:2:6: the file is not UTF-8 text here; save it as UTF-8"
        );
    }

    #[test]
    fn a_missing_file_is_told_as_frp_tells_it() {
        let error = load_server(Path::new("/nonexistent/x.toml"), true).unwrap_err();
        assert_eq!(
            error.to_string(),
            "open /nonexistent/x.toml: no such file or directory"
        );
    }
}
