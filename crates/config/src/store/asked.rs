//! What a request asks to have in the store (frp `client/http/model`, `client/config_manager.go`).

use super::{EntryKind, Stored, entry, section, stored};
use crate::check::judge_decoding;
use crate::keys::{At, Listed};
use crate::report::Report;
use crate::resolve::Single;
use crate::value::{Entry, Node, Value};
use crate::{LoadError, LoadOptions, Problem, ProxyConfig, VisitorConfig, json};

/// A proxy or a visitor that may be put into a [`Store`](super::Store).
#[derive(Debug)]
pub struct StoreEntry(pub(super) Asked);

pub(super) enum Asked {
    Proxy(Box<Stored<ProxyConfig>>),
    Visitor(Box<Stored<VisitorConfig>>),
}

impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Proxy(one) => one.definition.fmt(f),
            Self::Visitor(one) => one.definition.fmt(f),
        }
    }
}

/// Why a request asks for nothing that could be stored. The texts begin with frp's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// It is no JSON, or a value is of another kind.
    #[error("parse JSON error: {0}")]
    Json(String),
    /// It is not one entry of one type.
    #[error("{0}")]
    Form(String),
    /// The entry could not run.
    #[error("invalid argument: validation error: {0}")]
    Invalid(String),
}

impl StoreEntry {
    /// Reads a request: `{"name": .., "type": "tcp", "tcp": {..}}`. Keys that nobody knows are passed
    /// over, as in frp, with a warning. `named` is the name that the address of the request says.
    ///
    /// # Errors
    /// See [`EntryError`].
    pub fn parse(
        kind: EntryKind,
        body: &str,
        named: Option<&str>,
        options: &LoadOptions,
    ) -> Result<(Self, Vec<Problem>), EntryError> {
        match kind {
            EntryKind::Proxy => {
                let (one, warnings) = parse(body, named, options)?;
                Ok((Self(Asked::Proxy(Box::new(one))), warnings))
            }
            EntryKind::Visitor => {
                let (one, warnings) = parse(body, named, options)?;
                Ok((Self(Asked::Visitor(Box::new(one))), warnings))
            }
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.0 {
            Asked::Proxy(one) => &one.name,
            Asked::Visitor(one) => &one.name,
        }
    }
}

fn parse<E: Single>(
    body: &str,
    named: Option<&str>,
    options: &LoadOptions,
) -> Result<(Stored<E>, Vec<Problem>), EntryError> {
    let options = LoadOptions {
        strict: false,
        ..options.clone()
    };
    let (name, block) = block::<E>(body, named)?;
    let name = &name;
    let mut report = Report::new(&options);
    report.sources.add("the request", body, None);
    let section = section::<E>(block.clone(), (0, 0), &mut report);
    if let Some(section) = &section {
        judge_decoding(section, "", &mut report);
    }
    let Some(section) = section.filter(|_| report.is_fine()) else {
        return Err(EntryError::Json(texts::<E>(report, name)));
    };
    let found = stored::<E>(&section, block, None, &mut report);
    let at = At::<E>::root(&section);
    if !at.of(E::ENABLED).bool() {
        // frp checks what is disabled, too.
        at.read().check(&at, &mut report);
    }
    let Some(mut asked) = found.filter(|_| report.is_fine()) else {
        return Err(EntryError::Invalid(texts::<E>(report, name)));
    };
    asked.node = Node {
        at: 0,
        value: asked.definition.stored(),
    };
    let warnings = report.finish().map(|(warnings, _)| warnings);
    Ok((asked, warnings.unwrap_or_default()))
}

/// The name of the entry, and its table with name and type in it.
fn block<E: Listed>(body: &str, named: Option<&str>) -> Result<(String, Node), EntryError> {
    let what = E::TAGGED.what;
    let syntax = |message: &str| {
        let text = message.strip_prefix("json: ").unwrap_or(message);
        EntryError::Json(text.to_owned())
    };
    let parsed = json::parse(body).map_err(|errors| {
        let first = errors.first().map_or("", |(_, message)| message);
        syntax(first)
    })?;
    if let Some((at, _)) = parsed.warnings.first() {
        let c = body.get(*at..).and_then(|rest| rest.chars().next());
        let c = c.unwrap_or_default();
        return Err(syntax(&format!(
            "invalid character {c:?} after top-level value"
        )));
    }
    let root = match parsed.root.value {
        Value::Table(entries) => entries,
        Value::Null => Vec::new(),
        other => {
            return Err(EntryError::Json(format!(
                "json: cannot unmarshal {} into Go value of type model.{}",
                other.go_name(),
                go_type(what)
            )));
        }
    };
    let form = |text: String| Err(EntryError::Form(text));
    let name = text::<E>(&root, "name")?;
    let kind = text::<E>(&root, "type")?;
    if name.trim().is_empty() {
        return form(format!("{what} name is required"));
    }
    let Some(tag) = E::TAGGED.tag(kind) else {
        return form(format!("invalid {what} type: {kind}"));
    };
    if named.is_some_and(|named| named != name) {
        return form(format!("{what} name in URL must match name in body"));
    }
    let mut blocks = E::TAGGED.types.iter().filter_map(|tag| {
        let node = field(&root, tag.name)?;
        (node.value != Value::Null).then_some((tag.name, node))
    });
    let (Some((of, node)), None) = (blocks.next(), blocks.next()) else {
        return form(format!("exactly one {what} type block is required"));
    };
    if of != tag.name {
        return form(format!(
            "{what} type block {of:?} does not match type {kind:?}"
        ));
    }
    let Value::Table(entries) = &node.value else {
        return Err(EntryError::Json(format!(
            "json: cannot unmarshal {} into Go struct field {}.{of}",
            node.value.go_name(),
            go_type(what)
        )));
    };
    let is_own = |entry: &&Entry| {
        ["name", "type"]
            .iter()
            .all(|key| !entry.key.eq_ignore_ascii_case(key))
    };
    let own = entries.iter().filter(is_own).cloned();
    let head = [
        entry("name", Value::Text(name.to_owned())),
        entry("type", Value::Text(tag.name.to_owned())),
    ];
    let entries = head.into_iter().chain(own).collect();
    let node = Node {
        at: node.at,
        value: Value::Table(entries),
    };
    Ok((name.to_owned(), node))
}

fn go_type(what: &str) -> &'static str {
    match what == ProxyConfig::TAGGED.what {
        true => "ProxyDefinition",
        false => "VisitorDefinition",
    }
}

/// The last of the values of a key, as in Go.
fn field<'a>(entries: &'a [Entry], key: &str) -> Option<&'a Node> {
    let mut all = entries
        .iter()
        .filter(|entry| entry.key.eq_ignore_ascii_case(key));
    all.next_back().map(|entry| &entry.node)
}

fn text<'a, E: Listed>(entries: &'a [Entry], key: &str) -> Result<&'a str, EntryError> {
    match field(entries, key).map(|node| &node.value) {
        Some(Value::Text(text)) => Ok(text),
        None | Some(Value::Null) => Ok(""),
        Some(other) => Err(EntryError::Json(format!(
            "json: cannot unmarshal {} into Go struct field {}.{key} of type string",
            other.go_name(),
            go_type(E::TAGGED.what)
        ))),
    }
}

/// The errors in one line. They concern one entry, whose name need not be said.
fn texts<E: Listed>(report: Report<'_>, name: &str) -> String {
    let Err(LoadError::Invalid(problems)) = report.finish() else {
        return String::new();
    };
    let prefix = format!("{} {name}: ", E::TAGGED.what);
    let lines = problems.iter().map(|problem| {
        let message = problem.message.as_str();
        let text = message.strip_prefix(&prefix).unwrap_or(message);
        match &problem.advice {
            Some(advice) => format!("{text}; {advice}"),
            None => text.to_owned(),
        }
    });
    lines.collect::<Vec<_>>().join("; ")
}
