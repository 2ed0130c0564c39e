//! Files import downwards: no circle of imports has more than three of them.

use std::collections::{BTreeMap, BTreeSet};

use super::tidy::{code, rust_files};

/// More files than that in one circle are a knot.
const MOST: usize = 3;

const PACKAGES: [&str; 13] = [
    "bench/src",
    "crates/ask/src",
    "crates/config/src",
    "crates/frpc/src",
    "crates/frps/src",
    "crates/http/src",
    "crates/log/src",
    "crates/net/src",
    "crates/process/src",
    "crates/proto/src",
    "crates/relay/src",
    "fuzz/src",
    "tests/src",
];

/// How often a name is passed on, at most.
const MOST_EXPORTS: usize = 8;

/// `["vhost", "http"]` of `vhost/http.rs` and `vhost/http/mod.rs`.
type Module = Vec<String>;

/// The code of each module of a package, without its tests.
struct Package {
    modules: BTreeMap<Module, String>,
}

impl Package {
    fn read(directory: &str) -> Self {
        let files = rust_files(directory).into_iter();
        let shipped = files.filter(|(path, _)| !path.ends_with("tests.rs"));
        let modules = shipped.map(|(path, text)| {
            let path = path.strip_prefix(directory).unwrap();
            let path = path.trim_start_matches('/').trim_end_matches(".rs");
            let mut module: Module = path.split('/').map(str::to_owned).collect();
            if module.last().is_some_and(|last| last == "mod") || ["lib", "main"].contains(&path) {
                module.pop();
            }
            let lines: Vec<&str> = code(&text).map(|(_, line)| line).collect();
            (module, lines.join("\n"))
        });
        let mut package = Self {
            modules: BTreeMap::new(),
        };
        for (module, text) in modules {
            *package.modules.entry(module).or_default() += &text;
        }
        package
    }

    /// The files whose names the code of `module` uses: those that have them, and those that pass them
    /// on. What it only passes on itself is none.
    fn imports(&self, module: &Module) -> BTreeSet<Module> {
        let text = self.modules.get(module).unwrap();
        let mut found = BTreeSet::new();
        for statement in text.split_inclusive(';') {
            if is_export(statement) {
                continue;
            }
            for path in paths(statement) {
                found.extend(self.resolve(module, &path, MOST_EXPORTS));
                found.extend(self.resolve(module, &path, 0));
            }
        }
        found.remove(module);
        found
    }

    /// The module that has what `path`, written in `module`, leads to; None beyond the package.
    /// It was passed on `exports` times already.
    fn resolve(&self, module: &Module, path: &[String], exports: usize) -> Option<Module> {
        let mut rest = path;
        let mut here: Module = match rest.first()?.as_str() {
            "crate" => Module::new(),
            _ => module.clone(),
        };
        let mut is_known = false;
        while let Some((first, behind)) = rest.split_first() {
            match first.as_str() {
                "crate" | "self" => {}
                "super" => drop(here.pop()),
                _ => break,
            }
            (rest, is_known) = (behind, true);
        }
        while let Some((first, behind)) = rest.split_first() {
            let mut child = here.clone();
            child.push(first.clone());
            if !self.modules.contains_key(&child) {
                break;
            }
            (here, rest, is_known) = (child, behind, true);
        }
        if !is_known {
            return None;
        }
        let exported = rest
            .first()
            .filter(|_| exports < MOST_EXPORTS)
            .and_then(|name| {
                let statements = self.modules.get(&here)?.split_inclusive(';');
                let mut exported = statements.filter(|s| is_export(s)).flat_map(paths);
                let path = exported.find(|path| path.last() == Some(name))?;
                self.resolve(&here, &path, exports + 1)
            });
        Some(exported.unwrap_or(here))
    }

    /// The largest set of modules of which each leads to each other.
    fn largest_circle(&self) -> Vec<Module> {
        let reach: BTreeMap<&Module, BTreeSet<Module>> = {
            let imports: BTreeMap<_, _> =
                self.modules.keys().map(|m| (m, self.imports(m))).collect();
            let reached = |from: &Module| {
                let (mut seen, mut next) = (BTreeSet::new(), vec![from.clone()]);
                while let Some(module) = next.pop() {
                    for to in imports.get(&module).into_iter().flatten() {
                        if seen.insert(to.clone()) {
                            next.push(to.clone());
                        }
                    }
                }
                seen
            };
            self.modules.keys().map(|m| (m, reached(m))).collect()
        };
        let circle = |of: &&Module| -> Vec<Module> {
            let mutual =
                |other: &&Module| reach[of].contains(*other) && reach[*other].contains(*of);
            self.modules.keys().filter(mutual).cloned().collect()
        };
        let circles = self.modules.keys().map(|m| circle(&m));
        circles.max_by_key(Vec::len).unwrap_or_default()
    }
}

/// Whether a statement passes names on to other modules, rather than use them.
fn is_export(statement: &str) -> bool {
    let last = statement
        .rsplit(['}', ']'])
        .find(|s| s.contains("use "))
        .unwrap_or(statement);
    let (before, _) = last.split_once("use ").unwrap_or(("", ""));
    let before = before.trim_end();
    before.ends_with("pub") || before.ends_with(')') && before.contains("pub(")
}

/// Every path that is written in `text`, groups in braces taken apart.
fn paths(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let is_start = (first.is_alphabetic() || first == '_') && !is_word(before) && before != ':';
        if !is_start {
            (before, rest) = (first, &rest[first.len_utf8()..]);
            continue;
        }
        let mut prefix = Vec::new();
        let length = tree(rest, &mut prefix, &mut found);
        let (read, behind) = rest.split_at(length);
        (before, rest) = (read.chars().next_back().unwrap_or(' '), behind);
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Reads one path, or one branch of a group; how many bytes it takes.
fn tree(text: &str, prefix: &mut Vec<String>, found: &mut Vec<Vec<String>>) -> usize {
    let depth = prefix.len();
    let mut at = 0;
    loop {
        let word: String = text[at..].chars().take_while(|c| is_word(*c)).collect();
        at += word.len();
        if !word.is_empty() {
            prefix.push(word);
        }
        let Some(behind) = text[at..].strip_prefix("::") else {
            break;
        };
        at += 2;
        if behind.starts_with('{') {
            at += 1;
            while at < text.len() && !text[at..].starts_with('}') {
                let branch = text[at..].find(|c: char| is_word(c) || c == '}' || c == '{');
                at += branch.unwrap_or(text.len() - at);
                if !text[at..].starts_with(is_word) {
                    break;
                }
                at += tree(&text[at..], prefix, found);
                // What comes behind, as in `self as name`.
                at += text[at..].find([',', '}']).unwrap_or(0);
            }
            at = (at + 1).min(text.len());
            prefix.truncate(depth);
            return at;
        }
        if !behind.starts_with(is_word) {
            break;
        }
    }
    if prefix.len() > 1 || depth > 0 {
        found.push(prefix.clone());
    }
    prefix.truncate(depth);
    at.max(1)
}

#[test]
fn no_circle_of_imports_has_more_than_three_files() {
    for directory in PACKAGES {
        let circle = Package::read(directory).largest_circle();
        let names: Vec<String> = circle.iter().map(|m| m.join("/")).collect();
        println!("{directory}: {} files in the largest circle", names.len());
        assert!(
            names.len() <= MOST,
            "{directory}: these {} files import each other: {names:?}",
            names.len()
        );
    }
}

#[test]
fn paths_are_read_as_the_compiler_reads_them() {
    let read = |text: &str| -> Vec<String> { paths(text).iter().map(|p| p.join("::")).collect() };
    assert_eq!(
        read("use crate::{a::{self, B}, C as D, e::f::*};"),
        ["crate::a::self", "crate::a::B", "crate::C", "crate::e::f"]
    );
    assert_eq!(read("super::x::y(a.b(), c::d)"), ["super::x::y", "c::d"]);
    assert!(is_export("pub(crate) use self::a::B;") && is_export("\npub use a::{\n B};"));
    assert!(!is_export("use a::B;") && !is_export("pub fn f() { a::b() }"));
}
