//! The store of frpc: proxies and visitors that are made while it runs, in a JSON file beside its
//! configuration (frp `pkg/config/source/store.go`). Text in, text out; the file is the program's affair.

mod asked;
mod definition;
mod go_json;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::check::{judge_decoding, tagged_item};
use crate::keys::{At, ClientConfig, Listed};
use crate::report::Report;
use crate::resolve::{Single, names_collide};
use crate::section::Section;
use crate::suggest::{Place, Program};
use crate::value::{Entry, Node, Value, shift};
use crate::{LoadError, LoadOptions, Problem, ProxyConfig, VisitorConfig, address, json};

use self::asked::Asked;
pub use self::asked::{EntryError, StoreEntry};
pub use self::definition::Definitions;
use self::definition::{Definition, entry};

/// Which of the two lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// `proxies`
    Proxy,
    /// `visitors`
    Visitor,
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Proxy => ProxyConfig::TAGGED.what,
            Self::Visitor => VisitorConfig::TAGGED.what,
        })
    }
}

/// What a store file holds. Everything that stands in the file stays in it, whether it is understood or
/// not. Holds secrets; `Debug` shows how much there is.
#[derive(Clone, Default)]
pub struct Store {
    proxies: List<ProxyConfig>,
    visitors: List<VisitorConfig>,
    /// What else stands in the file.
    others: Vec<Entry>,
}

/// The entries of one kind by their names, of which there may be thousands.
type List<E> = BTreeMap<String, Stored<E>>;

/// An entry of the file.
#[derive(Clone)]
struct Stored<E> {
    name: String,
    /// Its turn among the others in the file.
    turn: usize,
    definition: Definition,
    /// What runs; `None` where the entry is disabled.
    settings: Option<E>,
    /// As the file has it.
    node: Node,
    /// The first key of it that this version does not know.
    unknown: Option<Problem>,
}

/// Why an entry cannot be changed so. The texts are frp's, where frp has them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another entry has the name.
    #[error("already exists: {0} {1:?}")]
    AlreadyExists(EntryKind, String),
    /// No entry has the name.
    #[error("not found: {0} {1:?}")]
    NotFound(EntryKind, String),
    /// Whoever wrote the entry knows more than this version.
    #[error(
        "the file says of {0} {1:?} what would be lost: {2}; remove it there, or make the change there"
    )]
    Unknown(EntryKind, String, Box<Problem>),
}

impl Store {
    /// Reads the text of a store file; `origin` is its name, as problems tell it. Unknown keys are
    /// kept, with a warning.
    ///
    /// # Errors
    /// When the text is no JSON, or an entry is not what it should be; an entry that is disabled may
    /// lack something.
    pub fn parse(
        text: &str,
        origin: &str,
        options: &LoadOptions,
    ) -> Result<(Self, Vec<Problem>), LoadError> {
        let options = LoadOptions {
            strict: false,
            ..options.clone()
        };
        let mut report = Report::new(&options);
        let mut store = Self::default();
        for entry in root(text, origin, &mut report) {
            if entry
                .key
                .eq_ignore_ascii_case(&ClientConfig::proxies.path())
            {
                store.proxies = read(entry.node, &mut report);
            } else if entry
                .key
                .eq_ignore_ascii_case(&ClientConfig::visitors.path())
            {
                store.visitors = read(entry.node, &mut report);
            } else {
                let message = format!("the store has no key {:?}", entry.key);
                report.warn(entry.at, message, "it stays in the file, without effect");
                store.others.push(entry);
            }
        }
        let (warnings, _) = report.finish()?;
        Ok((store, warnings))
    }

    /// The text of the file.
    #[must_use]
    pub fn text(&self) -> String {
        let lists = [
            (ClientConfig::proxies.path(), in_order(&self.proxies)),
            (ClientConfig::visitors.path(), in_order(&self.visitors)),
        ];
        let lists = lists
            .into_iter()
            .filter_map(|(key, list)| Some(entry(&key, list?)));
        let all = lists.chain(self.others.iter().cloned()).collect();
        go_json::pretty(&Value::Table(all))
    }

    /// The settings of the file with the entries of the store that are enabled, filtered by its
    /// `start`: an entry of the store takes the place of one of the file that has its name.
    #[must_use]
    pub fn over(&self, file: &ClientConfig) -> ClientConfig {
        let mut cfg = file.clone();
        lay_over(&mut cfg.proxies, &self.proxies, &cfg.start);
        lay_over(&mut cfg.visitors, &self.visitors, &cfg.start);
        cfg
    }

    /// Whether the store has an entry of this name that is not disabled, so that what runs under the
    /// name is the store's.
    #[must_use]
    pub fn enables(&self, kind: EntryKind, name: &str) -> bool {
        match kind {
            EntryKind::Proxy => is_enabled(self.proxies.get(name)),
            EntryKind::Visitor => is_enabled(self.visitors.get(name)),
        }
    }

    /// An entry as the API shows it, JSON.
    #[must_use]
    pub fn json(&self, kind: EntryKind, name: &str) -> Option<String> {
        Some(self.definition(kind, name)?.json(false))
    }

    /// What runs under a name, or, where nothing does, would: as the API shows it, JSON. `file` are the
    /// settings of the configuration file without the store's, `definitions` what was read with them.
    #[must_use]
    pub fn running(
        &self,
        (kind, name): (EntryKind, &str),
        file: &ClientConfig,
        definitions: &Definitions,
    ) -> Option<String> {
        let starts = file.start.is_empty() || file.start.iter().any(|start| start == name);
        let in_file = match kind {
            EntryKind::Proxy => file.proxies.iter().any(|one| one.name == name),
            EntryKind::Visitor => file.visitors.iter().any(|one| one.name == name),
        };
        if starts && self.enables(kind, name) {
            Some(self.definition(kind, name)?.json(true))
        } else if in_file {
            definitions.get(kind, name).map(str::to_owned)
        } else {
            self.json(kind, name)
        }
    }

    /// All entries as the API shows them, each JSON, by name.
    #[must_use]
    pub fn list(&self, kind: EntryKind) -> Vec<String> {
        match kind {
            EntryKind::Proxy => shown(&self.proxies),
            EntryKind::Visitor => shown(&self.visitors),
        }
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn add(&mut self, entry: StoreEntry) -> Result<(), StoreError> {
        match entry.0 {
            Asked::Proxy(one) => add(&mut self.proxies, *one, EntryKind::Proxy),
            Asked::Visitor(one) => add(&mut self.visitors, *one, EntryKind::Visitor),
        }
    }

    /// Replaces the entry of the same name.
    ///
    /// # Errors
    /// When there is none, or when it says what the new one cannot.
    pub fn replace(&mut self, entry: StoreEntry) -> Result<(), StoreError> {
        match entry.0 {
            Asked::Proxy(one) => replace(&mut self.proxies, *one, EntryKind::Proxy),
            Asked::Visitor(one) => replace(&mut self.visitors, *one, EntryKind::Visitor),
        }
    }

    /// Removes the entry of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn remove(&mut self, kind: EntryKind, name: &str) -> Result<(), StoreError> {
        match kind {
            EntryKind::Proxy => remove(&mut self.proxies, name, kind),
            EntryKind::Visitor => remove(&mut self.visitors, name, kind),
        }
    }

    fn definition(&self, kind: EntryKind, name: &str) -> Option<&Definition> {
        Some(match kind {
            EntryKind::Proxy => &self.proxies.get(name)?.definition,
            EntryKind::Visitor => &self.visitors.get(name)?.definition,
        })
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (proxies, visitors) = (self.proxies.len(), self.visitors.len());
        write!(f, "Store({proxies} proxies, {visitors} visitors)")
    }
}

/// The keys of the file; none where an error is reported.
fn root(text: &str, origin: &str, report: &mut Report<'_>) -> Vec<Entry> {
    let (base, _) = report.sources.add(origin, text, None);
    let parsed = match json::parse(text) {
        Ok(parsed) => parsed,
        Err(errors) => {
            for (at, message) in errors {
                let advice = "JSON has keys in double quotes and no comma before a bracket";
                report.error(base + at, message, advice);
            }
            return Vec::new();
        }
    };
    // It would be lost.
    for (at, _) in parsed.warnings {
        let message = "json: the file goes on behind its last bracket";
        report.error(base + at, message, "remove what stands there");
    }
    let mut root = parsed.root;
    shift(&mut root, base);
    let entries = match root.value {
        Value::Table(entries) => entries,
        Value::Null => Vec::new(),
        other => {
            let message = format!("json: cannot unmarshal {} into a store", other.go_name());
            report.error(
                root.at,
                message,
                "write {\"proxies\": [], \"visitors\": []}",
            );
            Vec::new()
        }
    };
    let mut seen = BTreeSet::new();
    for entry in &entries {
        if !seen.insert(entry.key.to_ascii_lowercase()) {
            let message = format!("json: {:?} is given twice", entry.key);
            report.error(entry.at, message, "make one of the two");
        }
    }
    entries
}

/// The entries of one of the lists.
fn read<E: Single>(list: Node, report: &mut Report<'_>) -> List<E> {
    let nodes = match list.value {
        Value::List(nodes) => nodes,
        Value::Null => Vec::new(),
        other => {
            let what = E::TAGGED.what;
            let message = format!("json: cannot unmarshal {} into a list", other.go_name());
            report.error(list.at, message, &format!("every {what} stands in [ ]"));
            Vec::new()
        }
    };
    let list_at = nodes.first().map_or(list.at, |node| node.at);
    let mut found = List::new();
    let mut sections = Vec::new();
    for (index, node) in nodes.into_iter().enumerate() {
        let kept = node.clone();
        let before = report.unknown_keys().len();
        let Some(section) = section::<E>(node, (index, list_at), report) else {
            continue;
        };
        let unknown = report.unknown_keys().get(before).cloned();
        if At::<E>::root(&section).of(E::NAME).text().is_empty() {
            let message = format!("{} name cannot be empty", E::TAGGED.what);
            report.error(section.at, message, "add \"name\"");
        }
        let one = stored(&section, kept, unknown, report);
        found.extend(one.map(|one: Stored<E>| {
            let one = Stored { turn: index, ..one };
            (one.name.clone(), one)
        }));
        sections.push(section);
    }
    names_collide::<E>(&sections, report);
    found
}

/// Takes a table apart, as one of the configuration file.
fn section<E: Listed>(
    node: Node,
    index: (usize, usize),
    report: &mut Report<'_>,
) -> Option<Section> {
    let place = Place {
        program: Program::Frpc,
        item: None,
    };
    let mut section = tagged_item(E::TAGGED, node, index, &place, report)?;
    address::settle(&mut section);
    Some(section)
}

/// What a table of the file means; what keeps it from running is reported.
fn stored<E: Single>(
    section: &Section,
    node: Node,
    unknown: Option<Problem>,
    report: &mut Report<'_>,
) -> Option<Stored<E>> {
    let at = At::<E>::root(section);
    let name = at.of(E::NAME).text();
    let prefix = format!("{} {name}: ", E::TAGGED.what);
    judge_decoding(section, &prefix, report);
    let settings = at.of(E::ENABLED).bool().then(|| {
        let settings = at.read();
        settings.check(&at, report);
        settings
    });
    Some(Stored {
        name,
        turn: 0,
        definition: Definition::of::<E>(section)?,
        settings,
        node,
        unknown,
    })
}

/// The entries as the file is to have them; `None` for no list.
fn in_order<E>(all: &List<E>) -> Option<Value> {
    let mut all: Vec<&Stored<E>> = all.values().collect();
    all.sort_by_key(|one| one.turn);
    let nodes: Vec<Node> = all.into_iter().map(|one| one.node.clone()).collect();
    (!nodes.is_empty()).then_some(Value::List(nodes))
}

fn shown<E>(all: &List<E>) -> Vec<String> {
    all.values().map(|one| one.definition.json(false)).collect()
}

fn is_enabled<E>(one: Option<&Stored<E>>) -> bool {
    one.is_some_and(|one| one.settings.is_some())
}

fn add<E>(all: &mut List<E>, one: Stored<E>, kind: EntryKind) -> Result<(), StoreError> {
    if all.contains_key(&one.name) {
        return Err(StoreError::AlreadyExists(kind, one.name));
    }
    let last = all.values().map(|one| one.turn).max();
    let turn = last.map_or(0, |last| last + 1);
    all.insert(one.name.clone(), Stored { turn, ..one });
    Ok(())
}

fn replace<E>(all: &mut List<E>, one: Stored<E>, kind: EntryKind) -> Result<(), StoreError> {
    let Some(old) = all.get_mut(&one.name) else {
        return Err(StoreError::NotFound(kind, one.name));
    };
    if let Some(unknown) = &old.unknown {
        return Err(StoreError::Unknown(
            kind,
            one.name,
            Box::new(unknown.clone()),
        ));
    }
    let turn = old.turn;
    *old = Stored { turn, ..one };
    Ok(())
}

fn remove<E>(all: &mut List<E>, name: &str, kind: EntryKind) -> Result<(), StoreError> {
    let removed = all.remove(name).map(drop);
    removed.ok_or_else(|| StoreError::NotFound(kind, name.to_owned()))
}

fn lay_over<E: Clone + Named>(file: &mut Vec<E>, store: &List<E>, start: &[String]) {
    let starts = |name: &String| start.is_empty() || start.contains(name);
    let enabled = store.values().filter(|one| starts(&one.name));
    let enabled: BTreeMap<&str, &E> = enabled
        .filter_map(|one| Some((one.name.as_str(), one.settings.as_ref()?)))
        .collect();
    file.retain(|one| !enabled.contains_key(one.name()));
    file.extend(enabled.into_values().cloned());
    file.sort_by(|a, b| a.name().cmp(b.name()));
}

trait Named {
    fn name(&self) -> &str;
}

impl Named for ProxyConfig {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for VisitorConfig {
    fn name(&self) -> &str {
        &self.name
    }
}
