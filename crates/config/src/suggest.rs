//! What a user who wrote an unknown key probably meant.

use crate::keys::{self, CLIENT, Key, Kind, PROXY, SERVER, Tagged, VISITOR};
use crate::section::find;
use crate::source::Sources;

/// Which program's file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Frpc,
    Frps,
}

impl Program {
    pub(crate) fn keys(self) -> &'static [Key] {
        match self {
            Self::Frpc => CLIENT,
            Self::Frps => SERVER,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Frpc => "frpc",
            Self::Frps => "frps",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Frpc => Self::Frps,
            Self::Frps => Self::Frpc,
        }
    }
}

/// Where in a file a key stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) program: Program,
    /// The entry of a list that the key stands in.
    pub(crate) item: Option<Item<'a>>,
}

/// An entry of `proxies` or `visitors`, or one of their plugins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item<'a> {
    pub(crate) tagged: &'static Tagged,
    /// `name` of the proxy or visitor.
    pub(crate) name: &'a str,
    /// Its `type`.
    pub(crate) kind: &'a str,
    /// Its place in the list, from 0.
    pub(crate) index: usize,
    /// Offset of the list's first entry.
    pub(crate) list_at: usize,
    /// Offset of this entry.
    pub(crate) at: usize,
}

impl Place<'_> {
    /// `proxy NAME: ` as frp puts it before what concerns one proxy.
    pub(crate) fn prefix(&self) -> String {
        self.item.map_or_else(String::new, |item| {
            format!("{} {}: ", item.tagged.what, item.name)
        })
    }
}

/// Why the key at `path` is wrong here, and what to do: the two halves of a sentence.
///
/// `path` is relative to the place and continues down to the first value that was given.
pub(crate) fn unknown_key(
    path: &str,
    place: &Place<'_>,
    known: &[&'static [Key]],
    sources: &Sources,
) -> (String, String) {
    let program = place.program;
    if let Some(item) = place.item {
        let is_plugin = item.tagged.what.ends_with("plugin");
        if let Some(near) = nearest(path, known).filter(|_| is_plugin) {
            let why = format!("{} has no key {path}", owner(place));
            return (why, format!("did you mean {near}?"));
        }
        if let Some(found) = in_other_place(path, &item, program, sources) {
            return found;
        }
    } else if program == Program::Frpc
        && (find(&[PROXY.base], path).is_some() || !PROXY.types_with(path).is_empty())
    {
        return (
            format!("{path} is a key of a proxy, not of the whole file"),
            "write it below a line [[proxies]]".to_owned(),
        );
    }
    if let Some(new) = new_name(path, place) {
        return (
            format!("{path} is the name in the legacy INI form"),
            format!("in this format write {new}"),
        );
    }
    if place.item.is_none() && find(&[program.other().keys()], path).is_some() {
        return (
            format!("{path} is a key of {}", program.other().name()),
            format!(
                "{} has no such key; is this the right file?",
                program.name()
            ),
        );
    }
    let why = format!("{} has no key {path}", owner(place));
    match nearest(path, known) {
        Some(near) => (why, format!("did you mean {near}?")),
        None => (why, "remove it or correct its name".to_owned()),
    }
}

/// A key of the whole file, or of another type, that stands inside a list entry.
fn in_other_place(
    path: &str,
    item: &Item<'_>,
    program: Program,
    sources: &Sources,
) -> Option<(String, String)> {
    let list = match item.tagged.what {
        "visitor" => "visitors",
        _ => "proxies",
    };
    let types = item
        .tagged
        .types_with(path.split('.').next().unwrap_or(path));
    if !types.is_empty() {
        return Some((
            format!(
                "{path} is for {} of type {}; this one is {}",
                list,
                types.join(", "),
                item.kind
            ),
            "remove it or change the type".to_owned(),
        ));
    }
    if find(&[program.keys()], path).is_some() {
        let (here, first) = (sources.line(item.at), sources.line(item.list_at));
        return Some((
            format!(
                "{path} is a key of the whole file, but stands inside [[{list}]] \"{}\" (line {here})",
                item.name
            ),
            format!("move it above line {first}"),
        ));
    }
    if item.tagged.what == "proxy" && find(&[VISITOR.base], path).is_some() {
        return Some((
            format!("{path} is a key of a visitor, not of a proxy"),
            "visitors stand below lines [[visitors]]".to_owned(),
        ));
    }
    None
}

/// The name in the current formats of a key that is written as in an INI file.
fn new_name(path: &str, place: &Place<'_>) -> Option<String> {
    if !path.contains('_') {
        return None;
    }
    let lists: Vec<&'static [Key]> = match place.item {
        Some(item) => std::iter::once(item.tagged.base)
            .chain(item.tagged.types.iter().map(|tag| tag.keys))
            .collect(),
        None => vec![place.program.keys()],
    };
    let found = lists
        .into_iter()
        .find_map(|keys| keys::by_ini_name(keys, path))?;
    Some(match found.1.ini {
        keys::Ini::Prefix(prefix) => {
            keys::join(&found.0, path.strip_prefix(prefix).unwrap_or_default())
        }
        _ => found.0,
    })
}

fn owner(place: &Place<'_>) -> String {
    match place.item {
        Some(item) => format!("a {} of type {}", item.tagged.what, item.kind),
        None => place.program.name().to_owned(),
    }
}

/// The known path that is most like `path`, if one is near enough to be meant.
pub(crate) fn nearest(path: &str, known: &[&'static [Key]]) -> Option<String> {
    let wanted = path.to_ascii_lowercase();
    if wanted.len() > 64 {
        return None;
    }
    let leaf = wanted.rsplit('.').next().unwrap_or(&wanted);
    let mut best: Option<(usize, String)> = None;
    for keys in known.iter().copied() {
        keys::walk(keys, "", &mut |candidate, key| {
            if matches!(key.kind, Kind::Table(_)) && wanted.contains('.') {
                return false;
            }
            let lower = candidate.to_ascii_lowercase();
            let name = lower.rsplit('.').next().unwrap_or(&lower);
            let distance = distance(&wanted, &lower).min(1 + distance(leaf, name));
            let limit = (leaf.len() / 3).clamp(1, 4);
            if distance <= limit && best.as_ref().is_none_or(|(least, _)| distance < *least) {
                best = Some((distance, candidate.to_owned()));
            }
            false
        });
    }
    best.map(|(_, path)| path)
}

/// Single-character insertions, deletions and replacements between two short texts.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        next.push(i + 1);
        for (pair, y) in row.windows(2).zip(&b) {
            let [diagonal, above] = pair else { continue };
            let left = next.last().copied().unwrap_or(i + 1);
            next.push(
                (diagonal + usize::from(x != *y))
                    .min(above + 1)
                    .min(left + 1),
            );
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_named() {
        let near = |path| nearest(path, &[CLIENT]);
        assert_eq!(near("servrAddr").as_deref(), Some("serverAddr"));
        assert_eq!(near("auth.tokn").as_deref(), Some("auth.token"));
        assert_eq!(near("token").as_deref(), Some("auth.token"));
        assert_eq!(near("protocol").as_deref(), Some("transport.protocol"));
        assert_eq!(near("somethingElse"), None);
    }

    #[test]
    fn distances() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("local_post", "local_port"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
