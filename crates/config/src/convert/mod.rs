//! A legacy INI file to the TOML that means the same.
//!
//! Every key becomes a line where it stood, with the comments above it. What frp takes no notice
//! of becomes a comment, and `[range:NAME]` becomes the proxies that it stands for. The result is
//! loaded and compared with the original before anybody gets to see it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::ini::{self, Ini};
use crate::keys::{
    At, Ini as Form, Key, Kind, PLUGIN, PROXY, PluginKeys, VISITOR, by_ini_name, join,
};
use crate::report::Report;
use crate::section::{List, Section};
use crate::source::Sources;
use crate::suggest::Program;
use crate::value::Value;
use crate::write::{toml_key, toml_text};
use crate::{
    Auth, ClientConfig, LoadError, LoadOptions, ProxyConfig, ServerConfig, legacy, load,
    parse_client, parse_server,
};

/// Why a file could not be converted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConvertError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(
        "{}: this is no legacy INI file, which has a section [common]; there is nothing to convert",
        .0.display()
    )]
    NotIni(PathBuf),
    #[error("{origin}:{line}: {what}")]
    Unknown {
        origin: String,
        line: usize,
        what: &'static str,
    },
    #[error(
        "{}: the converted file would not mean the same; please report this with the file",
        .0.display()
    )]
    Differs(PathBuf),
}

/// The TOML for the INI file at `path`.
pub(crate) fn convert(
    program: Program,
    path: &Path,
    options: &LoadOptions,
) -> Result<String, ConvertError> {
    let text = load::read(path)?;
    let origin = path.display().to_string();
    // What this version cannot run yet can be converted all the same.
    convert_text(program, &text, &origin, &options.verify())
}

/// The TOML for INI text; `origin` is the file name shown in problems.
fn convert_text(
    program: Program,
    text: &str,
    origin: &str,
    options: &LoadOptions,
) -> Result<String, ConvertError> {
    // What `start` leaves out may be anything in an INI file; then it is left out here, too.
    let whole = attempt(program, text, origin, options, Entries::All);
    // A template has its meaning where its variables are set, which need not be here.
    let same = |toml: &String| text.contains("{{") || means_the_same(program, text, toml, options);
    if let Ok(toml) = whole
        && same(&toml)
    {
        return Ok(toml);
    }
    let started = attempt(program, text, origin, options, Entries::Started)?;
    if same(&started) {
        Ok(started)
    } else {
        Err(ConvertError::Differs(origin.into()))
    }
}

/// Which proxies and visitors are converted.
#[derive(Clone, Copy)]
enum Entries {
    All,
    /// Those that `start` names.
    Started,
}

fn attempt(
    program: Program,
    text: &str,
    origin: &str,
    options: &LoadOptions,
    which: Entries,
) -> Result<String, ConvertError> {
    let not_ini = || ConvertError::NotIni(origin.into());
    let mut ini = ini::parse(text).map_err(|_| not_ini())?;
    ini.get("common").ok_or_else(not_ini)?;
    let mut report = Report::new(options);
    report.sources.add(origin, text, None);
    let unknown = |sources: &Sources, at: usize, what: &'static str| ConvertError::Unknown {
        origin: origin.to_owned(),
        line: sources.line(at),
        what,
    };
    let comments = comments(&ini);
    let all = ini.clone();
    let templates = take_templates(&mut ini, program)
        .map_err(|(at, what)| unknown(&report.sources, at, what))?;

    let (root, entries) = match program {
        Program::Frps => (legacy::server(&ini, &mut report), Vec::new()),
        Program::Frpc => {
            let root = legacy::common(&ini, program, &mut report);
            let start = match which {
                Entries::All => Vec::new(),
                Entries::Started => At::root(&root).of(ClientConfig::start).read(),
            };
            let (proxies, visitors) = legacy::entries(&mut ini, &start, &mut report);
            let of = |list: &'static Key| move |entry| (list.name, entry);
            let proxies = proxies.into_iter().map(of(ClientConfig::proxies.key));
            let visitors = visitors.into_iter().map(of(ClientConfig::visitors.key));
            (root, proxies.chain(visitors).collect())
        }
    };
    let (_, sources) = report.finish()?;
    for (_, entry) in &entries {
        let plugin = At::root(entry).of(ProxyConfig::plugin).list();
        if let Some(list) = plugin.filter(|list| list.items.is_empty()) {
            return Err(unknown(
                &sources,
                list.at,
                "there is no such plugin in this format",
            ));
        }
    }
    let mut writer = Writer {
        comments,
        templates,
        all,
        written: BTreeSet::new(),
        done: BTreeSet::new(),
        out: String::new(),
    };
    writer.root(&root);
    for (list, entry) in &entries {
        writer.entry(list, entry);
    }
    writer.rest();
    Ok(writer.out)
}

/// Whether both texts load to the same settings, or the INI does not load at all.
fn means_the_same(program: Program, ini: &str, toml: &str, options: &LoadOptions) -> bool {
    match program {
        Program::Frpc => match parse_client(ini, "", options) {
            Ok(old) => {
                parse_client(toml, "", options).is_ok_and(|new| new.settings == old.settings)
            }
            Err(_) => true,
        },
        Program::Frps => match parse_server(ini, "", options) {
            Ok(old) => {
                parse_server(toml, "", options).is_ok_and(|new| new.settings == old.settings)
            }
            Err(_) => true,
        },
    }
}

/// Comments by the offset of the section or key that they stand above; those at the end by the
/// largest offset there is.
fn comments(ini: &Ini) -> BTreeMap<usize, Vec<String>> {
    let mut items = BTreeSet::new();
    for section in &ini.sections {
        items.insert(section.at);
        items.extend(&section.again);
        items.extend(section.keys.iter().map(|key| key.at));
    }
    let mut above: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for comment in &ini.comments {
        let item = items.range(comment.at..).find(|at| **at > comment.at);
        above
            .entry(item.copied().unwrap_or(usize::MAX))
            .or_default()
            .push(comment.text.clone());
    }
    above
}

/// A key whose value is a template, which stays one.
struct Template {
    section: String,
    at: usize,
    line: String,
}

/// Takes the keys with templates out of the file: their values are not known.
fn take_templates(ini: &mut Ini, program: Program) -> Result<Vec<Template>, (usize, &'static str)> {
    let mut found = Vec::new();
    for section in &mut ini.sections {
        let name = section.name.clone();
        let lists = definitions(program, section);
        let plugin = section.get(PluginKeys::kind.ini());
        let plugin = plugin.map(|key| key.value.clone());
        let plugin = plugin
            .and_then(|name| PLUGIN.tag(&name))
            .map(|tag| tag.keys);
        let (templates, keys) = std::mem::take(&mut section.keys)
            .into_iter()
            .partition(|key: &ini::Key| key.value.contains("{{"));
        section.keys = keys;
        for key in templates {
            let of_proxy = lists.iter().find_map(|keys| by_ini_name(keys, &key.name));
            let definition = of_proxy.or_else(|| {
                let found = plugin.iter().find_map(|keys| by_ini_name(keys, &key.name));
                found.map(|(path, key)| (join(ProxyConfig::plugin.key.name, &path), key))
            });
            let Some((path, definition)) = definition else {
                section.keys.push(key); // no effect, whatever its value
                continue;
            };
            let line = template_line(&path, definition, &key).map_err(|what| (key.at, what))?;
            found.push(Template {
                section: name.clone(),
                at: key.at,
                line,
            });
        }
    }
    Ok(found)
}

/// The definitions of a section's keys.
fn definitions(program: Program, section: &ini::Section) -> Vec<&'static [Key]> {
    if section.name == "common" {
        return vec![program.keys()];
    }
    let value = |name: &str| section.get(name).map_or("", |key| key.value.as_str());
    let tagged = match value("role") {
        "visitor" => &VISITOR,
        _ => &PROXY,
    };
    let kind = match value(ProxyConfig::kind.ini()) {
        "" => "tcp",
        kind => kind,
    };
    let own = tagged.tag(kind).map(|tag| tag.keys);
    std::iter::once(tagged.base).chain(own).collect()
}

fn template_line(path: &str, definition: &Key, key: &ini::Key) -> Result<String, &'static str> {
    let path = match definition.ini {
        Form::Prefix(prefix) => {
            let name = key.name.strip_prefix(prefix).unwrap_or_default();
            format!("{path}.{}", toml_key(name))
        }
        Form::Flags(_) | Form::Ports(_) => {
            return Err("a template cannot be converted for this key: put the value itself here");
        }
        Form::None | Form::Name(_) => path.to_owned(),
    };
    let value = match definition.kind {
        Kind::Int | Kind::Bool => Some(key.value.clone()),
        Kind::Texts => {
            let items = ini::list(&key.value);
            let items: Option<Vec<String>> = items.iter().map(|i| template_value(i)).collect();
            items.map(|items| format!("[{}]", items.join(", ")))
        }
        _ => template_value(&key.value),
    };
    let value = value.ok_or("a template with both kinds of quotes cannot be converted")?;
    Ok(format!("{path} = {value}"))
}

struct Writer {
    comments: BTreeMap<usize, Vec<String>>,
    templates: Vec<Template>,
    /// The file as it was.
    all: Ini,
    /// Names of the sections that have got their lines.
    written: BTreeSet<String>,
    /// Offsets of the keys that have got theirs.
    done: BTreeSet<usize>,
    out: String,
}

impl Writer {
    fn root(&mut self, root: &Section) {
        let (blocks, inline): (Vec<_>, Vec<_>) = root
            .lists
            .iter()
            .partition(|(path, _)| **path == ServerConfig::http_plugins.path());
        let mut lines = field_lines(root, "");
        for (path, list) in inline {
            lines.push((list.at, format!("{path} = {}", inline_tables(list))));
        }
        for (path, at) in &root.tables {
            let below = format!("{path}.");
            if !lines.iter().any(|(_, line)| line.starts_with(&below)) {
                lines.push((*at, format!("{path} = {{}}")));
            }
        }
        self.section("common", root.at, lines);
        for (path, list) in blocks {
            for item in &list.items {
                self.out.push('\n');
                self.comments_above(item.at);
                let _ = writeln!(self.out, "[[{path}]]");
                let name = self.ini_section(item);
                self.section(&name, item.at, field_lines(item, ""));
            }
        }
    }

    /// A proxy or visitor.
    fn entry(&mut self, list: &str, entry: &Section) {
        self.out.push('\n');
        self.comments_above(entry.at);
        let _ = writeln!(self.out, "[[{list}]]");
        let mut lines = field_lines(entry, "");
        // A visitor has the same two.
        for key in [ProxyConfig::name, ProxyConfig::kind] {
            let (at, begin) = (At::root(entry).of(key), format!("{} = ", key.path()));
            let value = toml_text(&Value::Text(at.text()));
            let _ = writeln!(self.out, "{begin}{value}");
            if let Some(field) = at.field() {
                self.comments_above(field.at);
                self.done.insert(field.at);
            }
            lines.retain(|(_, line)| !line.starts_with(&begin));
        }
        for (path, list) in &entry.lists {
            match &list.items[..] {
                [plugin] if *path == ProxyConfig::plugin.path() => {
                    lines.extend(field_lines(plugin, &format!("{path}.")));
                }
                _ => lines.push((list.at, format!("{path} = {}", inline_tables(list)))),
            }
        }
        let name = self.ini_section(entry);
        self.section(&name, usize::MAX - 1, lines);
    }

    /// The INI section that an entry was made of; that of a range has another name.
    fn ini_section(&self, entry: &Section) -> String {
        let of = self
            .all
            .sections
            .iter()
            .find(|section| section.at == entry.at);
        let name = || At::root(entry).of(ProxyConfig::name).text();
        of.map_or_else(name, |section| section.name.clone())
    }

    fn section(&mut self, name: &str, at: usize, mut lines: Vec<(usize, String)>) {
        self.comments_above(at);
        self.written.insert(name.to_owned());
        let templates = self.templates.iter().filter(|t| t.section == name);
        lines.extend(templates.map(|t| (t.at, t.line.clone())));
        // What these mean is in other lines.
        const STRUCTURE: [&str; 4] = [
            ProxyConfig::kind.ini(),
            "role",
            PluginKeys::kind.ini(),
            legacy::DASHBOARD_TLS_MODE,
        ];
        let known: BTreeSet<usize> = lines.iter().map(|(at, _)| *at).collect();
        let section = self.all.get(name);
        for key in section.into_iter().flat_map(|section| &section.keys) {
            let written = known.contains(&key.at) || self.done.contains(&key.at);
            let merged = matches!(
                Auth::additional_scopes.key.ini,
                Form::Flags(flags) if flags.iter().any(|(flag, _)| *flag == key.name)
            );
            let means_elsewhere = STRUCTURE.contains(&key.name.as_str());
            if written || key.value.is_empty() || means_elsewhere || merged {
                continue;
            }
            let value = key.value.replace(['\n', '\r'], " ");
            let line = format!("# without effect in frp: {} = {value}", key.name);
            lines.push((key.at, line));
        }
        self.lines(lines);
    }

    fn lines(&mut self, mut lines: Vec<(usize, String)>) {
        lines.sort();
        for (at, line) in lines {
            self.comments_above(at);
            self.out.push_str(&line);
            self.out.push('\n');
            self.done.insert(at);
        }
    }

    /// Comments are printed once, above the first line that they belong to.
    fn comments_above(&mut self, at: usize) {
        for comment in self.comments.remove(&at).into_iter().flatten() {
            self.out.push_str(&comment);
            self.out.push('\n');
        }
    }

    /// Sections that became nothing, what stood above something that has no line of its own, and
    /// what stood at the end of the file.
    fn rest(&mut self) {
        for section in std::mem::take(&mut self.all.sections) {
            let is_default = section.name == ini::DEFAULT && section.keys.is_empty();
            if is_default || self.written.contains(&section.name) {
                continue;
            }
            self.out.push('\n');
            self.comments_above(section.at);
            let _ = writeln!(self.out, "# left out: [{}]", section.name);
            let keys = section.keys.iter();
            let lines = keys.map(|key| {
                let value = key.value.replace(['\n', '\r'], " ");
                (key.at, format!("# {} = {value}", key.name))
            });
            self.lines(lines.collect());
        }
        let rest = std::mem::take(&mut self.comments);
        if !rest.is_empty() {
            self.out.push('\n');
        }
        for comment in rest.into_values().flatten() {
            self.out.push_str(&comment);
            self.out.push('\n');
        }
    }
}

/// `path = value` for each value of the section, with the offset of its key.
fn field_lines(section: &Section, prefix: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    for (path, field) in &section.fields {
        let path = format!("{prefix}{path}");
        match &field.value {
            // One line for each of `meta_a`, `meta_b` ...
            Value::Table(entries) => {
                for entry in entries {
                    let key = format!("{path}.{}", toml_key(&entry.key));
                    lines.push((
                        entry.at,
                        format!("{key} = {}", toml_text(&entry.node.value)),
                    ));
                }
            }
            value => lines.push((field.at, format!("{path} = {}", toml_text(value)))),
        }
    }
    lines
}

/// `[{ start = 1, end = 2 }]`
fn inline_tables(list: &List) -> String {
    let item = |item: &Section| {
        let mut pairs: Vec<String> = field_lines(item, "").into_iter().map(|l| l.1).collect();
        // `start` before `end`, as people write it.
        pairs.sort_by(|a, b| b.cmp(a));
        format!("{{ {} }}", pairs.join(", "))
    };
    let items: Vec<String> = list.items.iter().map(item).collect();
    format!("[{}]", items.join(", "))
}

/// Text with a template, which escapes would break.
fn template_value(text: &str) -> Option<String> {
    if text.contains('\n') {
        None
    } else if !text.contains('\'') {
        Some(format!("'{text}'"))
    } else if !text.contains(['"', '\\']) {
        Some(format!("\"{text}\""))
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
