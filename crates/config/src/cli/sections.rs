//! Settings from flags.

use super::command::{Act, Flag, Gives, Takes, flags};
use super::parse::Line;
use super::value::{Given, read};
use crate::keys::{Kind, Of, PortRangeKeys};
use crate::load::{self, Opened};
use crate::report::Report;
use crate::value::{Entry, Node, Value};
use crate::{
    ClientConfig, LoadError, LoadOptions, Loaded, Problem, ProxyConfig, ServerConfig,
    VisitorConfig, WebServer,
};

/// Settings of frpc from the flags of a quick proxy or visitor.
pub(crate) fn client(
    line: &Line,
    options: &LoadOptions,
) -> Result<Loaded<ClientConfig>, LoadError> {
    settings(line, options, load::client_settings)
}

/// Settings of frps from its flags.
pub(crate) fn server(
    line: &Line,
    options: &LoadOptions,
) -> Result<Loaded<ServerConfig>, LoadError> {
    settings(line, options, load::server_settings)
}

fn settings<T>(
    line: &Line,
    options: &LoadOptions,
    of: impl FnOnce(&Opened, Report<'_>) -> Result<Loaded<T>, LoadError>,
) -> Result<Loaded<T>, LoadError> {
    let tls = dashboard_tls(line)?;
    let (text, tree) = tree(line, matches!(tls, DashboardTls::On));
    let name = line.name();
    let mut report = Report::new(options);
    report.sources.add(&name, &text, None);
    let opened = Opened::of_tree(line.program, tree, &mut report);
    let mut finished = finish(of(&opened, report), &text, &name)?;
    if let DashboardTls::Unused(problem) = tls {
        finished.warnings.push(problem);
    }
    Ok(finished)
}

/// Whether `--dashboard-tls-mode` and its files count.
enum DashboardTls {
    On,
    Off,
    /// They are given, and something else is missing.
    Unused(Problem),
}

fn dashboard_tls(line: &Line) -> Result<DashboardTls, LoadError> {
    let problem = |flag: &str, message: String, advice: &str| Problem {
        file: format!("--{flag}"),
        position: None,
        message,
        advice: Some(advice.to_owned()),
    };
    const MODE: &str = "dashboard-tls-mode";
    let on = match line.text(MODE).map(|text| (text, read(Takes::Bool, text))) {
        None => false,
        Some((_, Ok(Given::Bool(on)))) => on,
        Some((text, _)) => {
            let message = format!("{text:?} is neither true nor false");
            return Err(LoadError::Invalid(vec![problem(
                MODE,
                message,
                "write true or false",
            )]));
        }
    };
    let files = ["dashboard-tls-cert-file", "dashboard-tls-key-file"];
    let given = files.into_iter().find(|flag| line.given.contains_key(flag));
    let listens = matches!(line.given.get("dashboard-port"), Some(Given::Int(port)) if *port != 0);
    let unused = |flag, needs: &str| {
        let message = format!("has no effect without --{needs}");
        DashboardTls::Unused(problem(flag, message, &format!("add --{needs}")))
    };
    Ok(match (on, given) {
        (true, _) if listens => DashboardTls::On,
        (true, _) => unused(MODE, "dashboard-port"),
        (false, Some(flag)) => unused(flag, "dashboard-tls-mode true"),
        (false, None) => DashboardTls::Off,
    })
}

/// The tree that a file with the same meaning would have, and a text that its places are in: the
/// command in the first line, then a line for each flag.
fn tree(line: &Line, dashboard_tls: bool) -> (String, Vec<Entry>) {
    let mut text = line.name();
    let mut root = Vec::new();
    let mut item = Vec::new();
    let list = match line.command().act {
        Act::Proxy(kind) => Some((ClientConfig::proxies.key, ProxyConfig::kind.key, kind)),
        Act::Visitor(kind) => Some((ClientConfig::visitors.key, VisitorConfig::kind.key, kind)),
        _ => None,
    };
    if let Some((_, key, kind)) = list {
        item.push(entry(key.name, node(0, Value::Text(kind.to_string()))));
    }
    let web_tls = ServerConfig::web_server.some().below(WebServer::tls);
    for flag in flags(&line.path) {
        let Some(Gives { path, key, of_item }) = &flag.gives else {
            continue;
        };
        let into = if *of_item { &mut item } else { &mut root };
        let at = text.len() + 1;
        if path.starts_with(&web_tls) && !dashboard_tls {
            continue;
        }
        if let Kind::Table(_) = key.kind {
            text.push_str("\n--");
            text.push_str(flag.name);
            put(into, path, node(at, Value::Table(Vec::new())));
            continue;
        }
        let value = match line.given.get(flag.name) {
            Some(given) => tree_value(given, at),
            None => match default(&flag, at) {
                Some(value) => value,
                None => continue,
            },
        };
        text.push_str("\n--");
        text.push_str(flag.name);
        put(into, path, node(at, value));
    }
    if let Some((list, ..)) = list {
        let entries = Value::List(vec![node(0, Value::Table(item))]);
        root.push(entry(list.name, node(0, entries)));
    }
    (text, root)
}

/// A default that differs from that of the key.
fn default(flag: &Flag, at: usize) -> Option<Value> {
    let given = read(flag.takes, flag.default?).ok()?;
    Some(tree_value(&given, at))
}

fn tree_value(given: &Given, at: usize) -> Value {
    let texts = |texts: &[String]| {
        texts
            .iter()
            .map(|t| node(at, Value::Text(t.clone())))
            .collect()
    };
    match given {
        Given::Bool(value) => Value::Bool(*value),
        Given::Int(value) => Value::Int(*value),
        Given::Text(text) => Value::Text(text.clone()),
        Given::Texts(items) => Value::List(texts(items)),
        Given::Pairs(pairs) => {
            let pair =
                |(key, value): &(String, String)| entry(key, node(at, Value::Text(value.clone())));
            Value::Table(pairs.iter().map(pair).collect())
        }
        Given::Ports(ranges) => {
            let range = |(start, end): &(i64, i64)| {
                let port = |of: Of<_, u16>, port| entry(of.key.name, node(at, Value::Int(port)));
                let start = port(PortRangeKeys::start, *start);
                node(
                    at,
                    Value::Table(vec![start, port(PortRangeKeys::end, *end)]),
                )
            };
            Value::List(ranges.iter().map(range).collect())
        }
        // Only a flag of the program itself takes one.
        Given::Duration(_) => Value::Odd("duration"),
    }
}

/// Puts `a.b.c = value` into a table of tables.
fn put(entries: &mut Vec<Entry>, path: &str, value: Node) {
    let Some((name, rest)) = path.split_once('.') else {
        // The table of a switch may be there by its parts already.
        if !entries.iter().any(|entry| entry.key == path) {
            entries.push(entry(path, value));
        }
        return;
    };
    let known = entries.iter_mut().find(|entry| entry.key == name);
    if let Some(Entry {
        node: Node {
            value: Value::Table(below),
            ..
        },
        ..
    }) = known
    {
        return put(below, rest, value);
    }
    let at = value.at;
    let mut below = Vec::new();
    put(&mut below, rest, value);
    entries.push(entry(name, node(at, Value::Table(below))));
}

fn entry(key: &str, node: Node) -> Entry {
    Entry {
        key: key.to_owned(),
        at: node.at,
        node,
    }
}

fn node(at: usize, value: Value) -> Node {
    Node { at, value }
}

/// Problems name the flag instead of a place in the made-up text.
fn finish<T>(
    loaded: Result<Loaded<T>, LoadError>,
    text: &str,
    name: &str,
) -> Result<Loaded<T>, LoadError> {
    let rename = |problem: &mut Problem| {
        let line = problem.position.take().map_or(1, |(line, _)| line);
        match text.lines().nth(line - 1).filter(|_| line > 1) {
            Some(flag) => flag.clone_into(&mut problem.file),
            None => problem.advice = Some(format!("see {name} --help")),
        }
    };
    match loaded {
        Ok(mut loaded) => {
            loaded.warnings.iter_mut().for_each(rename);
            Ok(loaded)
        }
        Err(LoadError::Invalid(mut problems)) => {
            problems.iter_mut().for_each(rename);
            Err(LoadError::Invalid(problems))
        }
        Err(other) => Err(other),
    }
}
