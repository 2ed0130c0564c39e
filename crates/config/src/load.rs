//! From files to settings: read, render, parse, check, resolve.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::address;
use crate::check::{collect, judge};
use crate::detect::{self, Input};
use crate::ini;
use crate::keys::At;
use crate::options::LoadOptions;
use crate::report::Report;
use crate::section::Section;
use crate::source::Sources;
use crate::store::Definitions;
use crate::suggest::{Place, Program};
use crate::template::{self, Functions};
use crate::texts::{IncludedTexts, Texts};
use crate::value::Entry;
use crate::write::Document;
use crate::{ClientConfig, LoadError, Problem, ServerConfig, include, legacy, resolve};

/// Settings and what is worth telling the user about the file they came from.
#[derive(Debug, Clone)]
pub struct Loaded<T> {
    /// The settings.
    pub settings: T,
    /// What the file itself gives.
    pub document: Document,
    /// Doubtful things that do not keep the program from running.
    pub warnings: Vec<Problem>,
    /// The file has the legacy INI form.
    pub legacy_ini: bool,
    /// The proxies and visitors as the API of frpc shows them; none without one, or for frps.
    pub definitions: Definitions,
    /// Of frpc, for who may have to bring them back.
    pub texts: Texts,
}

/// Reads the configuration file of frpc and the files that it includes.
///
/// # Errors
/// When a file cannot be read or anything in it is wrong; all problems are reported together.
pub fn load_client(path: &Path, options: &LoadOptions) -> Result<Loaded<ClientConfig>, LoadError> {
    let origin = path.display().to_string();
    let text = read(path)?;
    let mut loaded = client(&text, &origin, options, Includes::Follow)?;
    loaded.texts.own = text.into();
    Ok(loaded)
}

/// Reads the configuration file of frps.
///
/// # Errors
/// When the file cannot be read or anything in it is wrong; all problems are reported together.
pub fn load_server(path: &Path, options: &LoadOptions) -> Result<Loaded<ServerConfig>, LoadError> {
    parse_server(&read(path)?, &path.display().to_string(), options)
}

/// Like [`load_client`] for text that is at hand; `origin` is the file name shown in problems.
/// Reads no file: `includes` are not followed.
///
/// # Errors
/// When anything in the text is wrong.
pub fn parse_client(
    text: &str,
    origin: &str,
    options: &LoadOptions,
) -> Result<Loaded<ClientConfig>, LoadError> {
    client(text, origin, options, Includes::Leave)
}

/// Like [`load_server`] for text that is at hand; `origin` is the file name shown in problems.
///
/// # Errors
/// When anything in the text is wrong.
pub fn parse_server(
    text: &str,
    origin: &str,
    options: &LoadOptions,
) -> Result<Loaded<ServerConfig>, LoadError> {
    let mut report = Report::new(options);
    let opened = open_server(text, origin, &mut report);
    server_settings(&opened, report)
}

/// A configuration taken apart: what it says, whether or not it makes sense.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Everything but the entries below.
    pub(crate) root: Section,
    pub(crate) proxies: Vec<Section>,
    pub(crate) visitors: Vec<Section>,
    /// Offsets from here on are those of included files.
    own_end: usize,
    included: IncludedTexts,
    legacy_ini: bool,
}

impl Opened {
    /// What a tree of one text gives.
    pub(crate) fn of_tree(program: Program, entries: Vec<Entry>, report: &mut Report<'_>) -> Self {
        let mut opened = Self::empty(program, false);
        opened.own_end = usize::MAX;
        tree(&mut opened.root, program, entries, report);
        opened.take_entries();
        opened.settle();
        opened
    }

    /// Gives each part of an address to its key.
    fn settle(&mut self) {
        let entries = self.proxies.iter_mut().chain(&mut self.visitors);
        std::iter::once(&mut self.root)
            .chain(entries)
            .for_each(address::settle);
    }

    fn empty(program: Program, legacy_ini: bool) -> Self {
        Self {
            root: Section::new(0, vec![program.keys()]),
            proxies: Vec::new(),
            visitors: Vec::new(),
            own_end: 0,
            included: IncludedTexts::default(),
            legacy_ini,
        }
    }

    /// Moves the entries from the root to where they are kept.
    fn take_entries(&mut self) {
        let root = &mut self.root;
        for (key, list) in [
            (ClientConfig::proxies.path(), &mut self.proxies),
            (ClientConfig::visitors.path(), &mut self.visitors),
        ] {
            if let Some(found) = root.lists.remove(&key) {
                list.extend(found.items);
            }
        }
    }
}

/// Reads a file for a look at single values, without judging them; with its texts.
///
/// # Errors
/// When a file cannot be read or has not the form of a configuration.
pub(crate) fn open(
    program: Program,
    path: &Path,
    options: &LoadOptions,
) -> Result<(Opened, Sources), LoadError> {
    let (text, origin) = (read(path)?, path.display().to_string());
    let mut report = Report::new(options);
    let opened = match program {
        Program::Frpc => open_client(&text, &origin, Includes::Follow, &mut report),
        Program::Frps => open_server(&text, &origin, &mut report),
    };
    let (_, sources) = report.finish()?;
    Ok((opened, sources))
}

fn open_server(text: &str, origin: &str, report: &mut Report<'_>) -> Opened {
    let program = Program::Frps;
    let mut opened = Opened::empty(program, detect::is_legacy(text));
    if let Some((input, _)) = add(text, origin, program, opened.legacy_ini, report) {
        let input = input.borrow();
        if opened.legacy_ini {
            if let Some(ini) = detect::parse_legacy(&input, report) {
                opened.root = legacy::server(&ini, report);
            }
        } else if let Some(entries) = detect::parse_tree(&input, report) {
            tree(&mut opened.root, program, entries, report);
        }
    }
    opened.settle();
    opened
}

/// Checks the values and fills in the defaults.
pub(crate) fn server_settings(
    opened: &Opened,
    mut report: Report<'_>,
) -> Result<Loaded<ServerConfig>, LoadError> {
    judge(&opened.root, "", opened.legacy_ini, &mut report);
    let settings = resolve::server(&opened.root, opened.legacy_ini, &mut report);
    let (warnings, _) = report.finish()?;
    Ok(Loaded {
        settings,
        document: Document::new(&opened.root, &[], &[]),
        warnings,
        legacy_ini: opened.legacy_ini,
        definitions: Definitions::default(),
        texts: Texts::default(),
    })
}

/// Whether the files that a file includes are read.
#[derive(Clone, Copy, PartialEq)]
enum Includes {
    Follow,
    Leave,
}

fn client(
    text: &str,
    origin: &str,
    options: &LoadOptions,
    includes: Includes,
) -> Result<Loaded<ClientConfig>, LoadError> {
    let mut report = Report::new(options);
    let opened = open_client(text, origin, includes, &mut report);
    client_settings(&opened, report)
}

fn open_client(text: &str, origin: &str, includes: Includes, report: &mut Report<'_>) -> Opened {
    let program = Program::Frpc;
    let mut opened = Opened::empty(program, detect::is_legacy(text));
    if let Some((input, end)) = add(text, origin, program, opened.legacy_ini, report) {
        opened.own_end = end;
        let input = input.borrow();
        if opened.legacy_ini {
            legacy_client(&input, includes, &mut opened, report);
        } else if let Some(found) = detect::parse_tree(&input, report) {
            tree(&mut opened.root, program, found, report);
            opened.take_entries();
            if includes == Includes::Follow {
                include_trees(&mut opened, report);
            }
        }
    }
    opened.settle();
    opened
}

/// Checks the values and fills in the defaults.
pub(crate) fn client_settings(
    opened: &Opened,
    mut report: Report<'_>,
) -> Result<Loaded<ClientConfig>, LoadError> {
    let Opened {
        root,
        proxies,
        visitors,
        own_end,
        included,
        legacy_ini,
    } = opened;
    judge(root, "", *legacy_ini, &mut report);
    let settings = resolve::client(root, proxies, visitors, *legacy_ini, &mut report);
    let definitions = match settings.web_server {
        Some(_) => Definitions::of(proxies, visitors),
        None => Definitions::default(),
    };
    let own = |section: &&Section| section.at < *own_end;
    let proxies: Vec<&Section> = proxies.iter().filter(own).collect();
    let visitors: Vec<&Section> = visitors.iter().filter(own).collect();
    let (warnings, _) = report.finish()?;
    Ok(Loaded {
        settings,
        document: Document::new(root, &proxies, &visitors),
        warnings,
        legacy_ini: *legacy_ini,
        definitions,
        texts: Texts {
            own: Arc::default(),
            included: included.clone(),
        },
    })
}

/// A text that was added to the sources.
struct Added {
    origin: String,
    text: Arc<str>,
    base: usize,
    program: Program,
}

impl Added {
    fn borrow(&self) -> Input<'_> {
        Input {
            origin: &self.origin,
            text: &self.text,
            base: self.base,
            program: self.program,
        }
    }
}

/// Renders a text and adds it to the sources; gives the offset behind it, too. `None` when its
/// template is wrong, which is reported.
fn add(
    text: &str,
    origin: &str,
    program: Program,
    legacy: bool,
    report: &mut Report<'_>,
) -> Option<(Added, usize)> {
    let functions = if legacy {
        Functions::Builtin
    } else {
        Functions::Frp
    };
    match template::render(text, report.options.environment.variables(), functions) {
        Ok(rendered) => {
            let (base, text) = report.sources.add(origin, text, rendered);
            let end = base + text.len() + 1;
            let added = Added {
                origin: origin.to_owned(),
                text,
                base,
                program,
            };
            Some((added, end))
        }
        Err(error) => {
            let (base, _) = report.sources.add(origin, text, None);
            report.error(
                base + error.at,
                format!("template: {}", error.message),
                "{{ begins a template action, even in a comment",
            );
            None
        }
    }
}

fn tree(root: &mut Section, program: Program, mut entries: Vec<Entry>, report: &mut Report<'_>) {
    let place = Place {
        program,
        item: None,
    };
    // Files in YAML keep anchors in such keys; frp drops them when it is strict.
    let is_yaml = entries.iter().any(|entry| entry.key.starts_with('.'));
    if is_yaml && report.options.strict {
        entries.retain(|entry| !entry.key.starts_with('.'));
    }
    collect(root, entries, &place, report);
}

/// Reads the files that `includes` names, and gives the name of each with its text.
fn included(opened: &mut Opened, report: &mut Report<'_>) -> Vec<(String, String)> {
    let mut texts = Vec::new();
    let includes = At::<ClientConfig>::root(&opened.root).of(ClientConfig::includes);
    let at = includes.value_at();
    let patterns = includes.read();
    for pattern in &patterns {
        let files = match include::files(pattern) {
            Ok(files) => files,
            Err(message) => {
                report.error(
                    at,
                    message,
                    "relative paths begin where the program is started",
                );
                continue;
            }
        };
        if files.is_empty() {
            report.warn(
                at,
                format!("includes: no file is named {pattern}"),
                "relative paths begin where the program is started",
            );
        }
        for path in files {
            match read(&path) {
                Ok(text) => texts.push((path, text)),
                Err(LoadError::Invalid(problems)) => {
                    problems
                        .into_iter()
                        .for_each(|problem| report.add(at, problem));
                }
                Err(error) => report.error(at, error.to_string(), "correct includes"),
            }
        }
    }
    opened.included = IncludedTexts {
        patterns,
        files: texts.clone(),
    };
    let shown = |(path, text): (PathBuf, String)| (path.display().to_string(), text);
    texts.into_iter().map(shown).collect()
}

/// Proxies and visitors of included files; everything else in them has no effect.
fn include_trees(opened: &mut Opened, report: &mut Report<'_>) {
    let program = Program::Frpc;
    for (origin, text) in included(opened, report) {
        let Some((input, _)) = add(&text, &origin, program, false, report) else {
            continue;
        };
        let Some(found) = detect::parse_tree(&input.borrow(), report) else {
            continue;
        };
        let part = Opened::of_tree(program, found, report);
        opened.proxies.extend(part.proxies);
        opened.visitors.extend(part.visitors);
        for field in part.root.fields.values() {
            report.warn(
                field.at,
                format!("{} has no effect in an included file", field.written),
                "only proxies and visitors are taken from it",
            );
        }
    }
}

/// frp appends the included files to the text, and reads proxies from the whole.
fn legacy_client(
    input: &Input<'_>,
    includes: Includes,
    opened: &mut Opened,
    report: &mut Report<'_>,
) {
    let Some(ini) = detect::parse_legacy(input, report) else {
        return;
    };
    opened.root = legacy::common(&ini, Program::Frpc, report);
    let mut whole = ini;
    if includes == Includes::Follow {
        let mut text = input.text.to_owned();
        for (origin, more) in included(opened, report) {
            if let Some((added, _)) = add(&more, &origin, Program::Frpc, true, report) {
                // One line end between them, as between their places in the row.
                text.push('\n');
                text.push_str(&added.text);
            }
        }
        match ini::parse(&text) {
            Ok(ini) => whole = ini,
            Err(error) => {
                let input = Input {
                    text: &text,
                    ..*input
                };
                detect::no_ini(&input, &error, report);
                return;
            }
        }
    }
    let start = At::<ClientConfig>::root(&opened.root);
    let start = start.of(ClientConfig::start).read();
    (opened.proxies, opened.visitors) = legacy::entries(&mut whole, &start, report);
}

/// The file's text, without a byte order mark.
pub(crate) fn read(path: &Path) -> Result<String, LoadError> {
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
    let mut sources = Sources::default();
    sources.add(&origin, lossy, None);
    let position = sources.position(at).1;
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
        let error = load_server(
            Path::new("/nonexistent/x.toml"),
            &LoadOptions::new(crate::Purpose::Run),
        )
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "open /nonexistent/x.toml: no such file or directory"
        );
    }
}
