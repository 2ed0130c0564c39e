//! Checks the tree of a file against the definitions: first names and kinds, then values.

use frp_proto::address::{ScopedIp, split_port};
use frp_proto::fingerprint::Fingerprint;
use frp_proto::network::Network;
use frp_proto::proxy_url::ProxyUrl;

use crate::address;
use crate::annotations::annotation_problems;
use crate::bandwidth::parse_bandwidth;
use crate::features::{Feature, Needs};
use crate::keys::{At, ClientConfig, Key, Kind, Of, ProxyConfig, Rule, Tagged, join};
use crate::report::Report;
use crate::section::{Field, List, Section, find};
use crate::suggest::{Item, Place, unknown_key};
use crate::value::{Entry, Node, Value};
use crate::way::Way;
use crate::{DnsServer, Expiry, VirtualAddress};

/// Sorts the entries of a table into a section; reports unknown keys and wrong kinds of values.
pub(crate) fn collect(
    section: &mut Section,
    entries: Vec<Entry>,
    place: &Place<'_>,
    report: &mut Report<'_>,
) {
    let keys = section.keys.clone();
    let walk = Walk {
        keys: &keys,
        prefix: "",
    };
    walk.table(section, entries, place, report);
}

/// One level of tables.
#[derive(Clone, Copy)]
struct Walk<'w> {
    keys: &'w [&'static [Key]],
    prefix: &'w str,
}

impl Walk<'_> {
    fn table(
        &self,
        section: &mut Section,
        mut entries: Vec<Entry>,
        place: &Place<'_>,
        report: &mut Report<'_>,
    ) {
        // frp keeps the last of several spellings in this order.
        entries.sort_by(|a, b| a.key.cmp(&b.key));
        for entry in entries {
            match find_here(self.keys, &entry.key) {
                Some(key) => self.known(section, key, entry, place, report),
                None => self.unknown(section, &entry, place, report),
            }
        }
    }

    fn unknown(
        &self,
        section: &Section,
        entry: &Entry,
        place: &Place<'_>,
        report: &mut Report<'_>,
    ) {
        let path = join(self.prefix, &first_leaf(entry));
        if report.is_long() {
            let message = format!("{}json: unknown field {:?}", place.prefix(), entry.key);
            return report.unknown(entry.at, message, "");
        }
        let (why, advice) = unknown_key(&path, place, &section.keys, &report.sources);
        let message = format!(
            "{}json: unknown field {:?}: {why}",
            place.prefix(),
            entry.key
        );
        report.unknown(entry.at, message, &advice);
    }

    fn known(
        &self,
        section: &mut Section,
        key: &'static Key,
        entry: Entry,
        place: &Place<'_>,
        report: &mut Report<'_>,
    ) {
        let path = join(self.prefix, key.name);
        let written = join(self.prefix, &entry.key);
        if entry.node.value == Value::Null {
            return;
        }
        let Some(value) = fit(key, &written, entry.node, place, report) else {
            return;
        };
        let list = |written, items| List {
            at: entry.at,
            written,
            items,
        };
        match (key.kind, value.1) {
            (Kind::Table(below), Value::Table(entries)) => {
                section.tables.insert(path.clone(), entry.at);
                let walk = Walk {
                    keys: &[below],
                    prefix: &path,
                };
                walk.table(section, entries, place, report);
            }
            (Kind::Tables(below), Value::List(nodes)) => {
                let item = |node| plain_item(below, node, &path, place, report);
                let items = nodes.into_iter().filter_map(item).collect();
                section.lists.insert(path, list(written, items));
            }
            (Kind::Tagged(tagged), Value::Table(entries)) => {
                let node = Node {
                    at: value.0,
                    value: Value::Table(entries),
                };
                let item = tagged_item(tagged, node, (0, entry.at), place, report);
                let items = item.into_iter().collect();
                section.lists.insert(path, list(written, items));
            }
            (Kind::TaggedList(tagged), Value::List(nodes)) => {
                let list_at = nodes.first().map_or(entry.at, |node| node.at);
                let items = nodes
                    .into_iter()
                    .enumerate()
                    .filter_map(|(index, node)| {
                        tagged_item(tagged, node, (index, list_at), place, report)
                    })
                    .collect();
                section.lists.insert(path, list(written, items));
            }
            (_, fitting) => {
                let field = Field {
                    key,
                    written,
                    at: entry.at,
                    value_at: value.0,
                    value: fitting,
                };
                put(section, path, field, report);
            }
        }
    }
}

/// Puts a value in; a second spelling of the same key wins, with a warning.
fn put(section: &mut Section, path: String, field: Field, report: &mut Report<'_>) {
    if let Some(first) = section.fields.get(&path) {
        let place = report.sources.place(first.at, field.at);
        report.warn(
            field.at,
            format!(
                "{} is the same key as {} in {place}, and replaces it",
                field.written, first.written
            ),
            "remove one of the two",
        );
    }
    section.fields.insert(path, field);
}

fn find_here(keys: &[&'static [Key]], name: &str) -> Option<&'static Key> {
    if name.contains('.') {
        return None; // a quoted key with a dot is not a path
    }
    find(keys, name)
}

/// `a.b.c` from a table that begins with `a.b.c = 1`, to name what the user wrote.
fn first_leaf(entry: &Entry) -> String {
    let Value::Table(entries) = &entry.node.value else {
        return entry.key.clone();
    };
    match entries.iter().min_by_key(|entry| entry.at) {
        Some(first) if entries.len() == 1 => join(&entry.key, &first_leaf(first)),
        _ => entry.key.clone(),
    }
}

fn plain_item(
    keys: &'static [Key],
    node: Node,
    path: &str,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Option<Section> {
    let entries = match node.value {
        Value::Null => Vec::new(),
        Value::Table(entries) => entries,
        other => {
            mismatch(path, &other, "a table", place, (node.at, false), report);
            return None;
        }
    };
    let mut section = Section::new(node.at, vec![keys]);
    collect(&mut section, entries, place, report);
    Some(section)
}

/// One entry of `proxies` or `visitors`, or a plugin; its `type` tells which keys it may have.
pub(crate) fn tagged_item(
    tagged: &'static Tagged,
    node: Node,
    (index, list_at): (usize, usize),
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Option<Section> {
    let at = node.at;
    if node.value == Value::Null {
        let message = format!("decode {} at index {index}: type is required", tagged.what);
        report.error(at, message, "remove the empty entry");
        return None;
    }
    let Value::Table(entries) = node.value else {
        mismatch(
            tagged.what,
            &node.value,
            "a table",
            place,
            (at, false),
            report,
        );
        return None;
    };
    let name = text_of(&entries, ProxyConfig::name).map_or_else(
        || place.item.map_or("", |outer| outer.name).to_owned(),
        |(_, text)| text.to_owned(),
    );
    let kind = text_of(&entries, ProxyConfig::kind);
    let Some(tag) = kind.and_then(|(_, kind)| tagged.tag(kind)) else {
        let (at, kind) = kind.unwrap_or((at, ""));
        let message = unknown_type(tagged, kind, index, place);
        report.error(at, message, &type_advice(tagged, kind));
        return None;
    };
    let inner = Place {
        program: place.program,
        item: Some(Item {
            tagged,
            name: &name,
            kind: tag.name,
            index,
            list_at,
            at,
        }),
    };
    let mut section = Section::new(at, vec![tagged.base, tag.keys]);
    collect(&mut section, entries, &inner, report);
    Some(section)
}

/// frp's words for a type that it does not know.
fn unknown_type(tagged: &Tagged, kind: &str, index: usize, place: &Place<'_>) -> String {
    let what = tagged.what;
    let unknown = match (place.item, kind) {
        (Some(_), "") => format!("{what} type is empty"),
        _ => format!("unknown {what} type: {kind}"),
    };
    match place.item {
        None => format!("decode {what} at index {index}: {unknown}"),
        Some(outer) => format!(
            "decode {0} at index {1}: unmarshal {0} plugin error: {unknown}",
            outer.tagged.what, outer.index
        ),
    }
}

pub(crate) fn type_advice(tagged: &Tagged, kind: &str) -> String {
    let names: Vec<&str> = tagged.types.iter().map(|tag| tag.name).collect();
    let near = names.iter().find(|name| name.eq_ignore_ascii_case(kind));
    match near {
        Some(near) => format!("write type = {near:?}, in lower case"),
        None if kind.is_empty() => format!("add the key type, one of {}", names.join(", ")),
        None => format!("types are {}", names.join(", ")),
    }
}

/// The text of a key that every entry has, before it is known what entry that is.
fn text_of<T>(entries: &[Entry], of: Of<T, String>) -> Option<(usize, &str)> {
    entries
        .iter()
        .filter(|entry| entry.key.eq_ignore_ascii_case(of.key.name))
        .find_map(|entry| match &entry.node.value {
            Value::Text(text) => Some((entry.node.at, text.as_str())),
            _ => None,
        })
}

/// The value in the form that the key takes, or a report that it does not fit.
fn fit(
    key: &Key,
    path: &str,
    node: Node,
    place: &Place<'_>,
    report: &mut Report<'_>,
) -> Option<(usize, Value)> {
    let at = node.at;
    let secret = matches!(key.kind, Kind::Secret);
    let wanted = match (key.kind, &node.value) {
        (Kind::Bool, Value::Bool(_))
        | (Kind::Int, Value::Int(_))
        | (Kind::Text | Kind::Secret, Value::Text(_))
        | (Kind::Table(_) | Kind::Tagged(_), Value::Table(_))
        | (Kind::Tables(_) | Kind::TaggedList(_), Value::List(_)) => {
            return Some((at, node.value));
        }
        (Kind::Int, Value::Float(float)) if whole(*float).is_some() => {
            return whole(*float).map(|int| (at, Value::Int(int)));
        }
        (Kind::Texts, Value::List(items)) => {
            let fits = |value: &Value| matches!(value, Value::Text(_) | Value::Null);
            let odd = items.iter().find(|item| !fits(&item.value));
            let Some(odd) = odd else {
                return Some((at, without_null(node.value)));
            };
            mismatch(path, &odd.value, "text", place, (odd.at, secret), report);
            return None;
        }
        (Kind::Texts, Value::Text(_)) if matches!(key.rule, Rule::Fingerprints) => {
            return Some((at, Value::List(vec![node])));
        }
        (Kind::TextMap | Kind::BoolMap, Value::Table(entries)) => {
            let texts = matches!(key.kind, Kind::TextMap);
            let odd = entries.iter().find(|entry| match entry.node.value {
                Value::Text(_) => !texts,
                Value::Bool(_) => texts,
                Value::Null => false,
                _ => true,
            });
            let Some(odd) = odd else {
                return Some((at, without_null(node.value)));
            };
            let wanted = if texts { "text" } else { "true or false" };
            let path = join(path, &odd.key);
            mismatch(
                &path,
                &odd.node.value,
                wanted,
                place,
                (odd.node.at, true),
                report,
            );
            return None;
        }
        (Kind::Bool, _) => "true or false",
        (Kind::Int, _) => "a whole number",
        (Kind::Text | Kind::Secret, _) => "text",
        (Kind::Texts, _) => "a list of texts",
        (Kind::TextMap | Kind::BoolMap | Kind::Table(_) | Kind::Tagged(_), _) => "a table",
        (Kind::Tables(_) | Kind::TaggedList(_), _) => "a list of tables",
    };
    mismatch(path, &node.value, wanted, place, (at, secret), report);
    None
}

/// In lists and maps of texts, frp takes null for an empty text.
fn without_null(mut value: Value) -> Value {
    let empty = |value: &mut Value| {
        if *value == Value::Null {
            *value = Value::Text(String::new());
        }
    };
    match &mut value {
        Value::List(items) => items.iter_mut().for_each(|item| empty(&mut item.value)),
        Value::Table(entries) => entries.iter_mut().for_each(|e| empty(&mut e.node.value)),
        _ => {}
    }
    value
}

/// The integer that a float such as 7000.0 stands for.
fn whole(float: f64) -> Option<i64> {
    // 2^53: beyond it a float no longer tells neighbouring integers apart.
    let exact = float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0;
    #[allow(clippy::cast_possible_truncation)]
    exact.then_some(float as i64)
}

fn mismatch(
    path: &str,
    value: &Value,
    wanted: &str,
    place: &Place<'_>,
    (at, secret): (usize, bool),
    report: &mut Report<'_>,
) {
    let go_wanted = match wanted {
        "true or false" => "bool",
        "a whole number" => "int",
        "text" => "string",
        "a list of texts" => "[]string",
        "a list of tables" => "a list",
        _ => "an object",
    };
    let shown = match value {
        _ if secret => String::new(),
        Value::Int(int) => format!(" {int}"),
        Value::Float(float) => format!(" {float}"),
        Value::Number(text) => format!(" {text}"),
        Value::Bool(bool) => format!(" {bool}"),
        Value::Text(text) if text.chars().count() <= 40 => format!(" {text:?}"),
        Value::Odd(what) => format!(" ({what})"),
        _ => String::new(),
    };
    let advice = match (wanted, value) {
        ("a whole number", Value::Number(_)) => "write the digits only, without point".to_owned(),
        ("text", Value::Int(_) | Value::Float(_) | Value::Number(_) | Value::Bool(_)) => {
            "put the value in quotes".to_owned()
        }
        ("a whole number", Value::Text(_)) | ("true or false", Value::Text(_)) => {
            format!("{path} takes {wanted}, without quotes")
        }
        ("a list of tables", Value::Table(_)) => {
            format!("write [[{path}]] with two brackets on each side")
        }
        ("a list of texts", Value::Text(_)) => {
            format!("put it in brackets: {path} = [\"...\"]")
        }
        _ => format!("{path} takes {wanted}"),
    };
    let message = format!(
        "{}field {path:?}: cannot unmarshal {}{shown} into {go_wanted}",
        place.prefix(),
        value.go_name()
    );
    report.error(at, message, &advice);
}

/// Reports values that are out of their rules.
pub(crate) fn judge(section: &Section, prefix: &str, legacy: bool, report: &mut Report<'_>) {
    let entry = At::<ProxyConfig>::root(section);
    let has_plugin = entry.of(ProxyConfig::plugin).list().is_some();
    let unheeded = ProxyConfig::local_port.path();
    for (path, field) in &section.fields {
        if field.value.is_zero() {
            continue;
        }
        // frp does not look at localPort where a plugin stands in.
        if !(has_plugin && *path == unheeded) {
            obey(path, field, prefix, legacy, report);
        }
        judge_needs(field, prefix, report);
    }
    address::judge(section, prefix, legacy, report);
    for (path, list) in &section.lists {
        let is_entry =
            *path == ClientConfig::proxies.path() || *path == ClientConfig::visitors.path();
        for item in list.items.iter().filter(|_| !is_entry) {
            judge(item, &format!("{prefix}{path}: "), legacy, report);
        }
    }
    let annotations = entry.of(ProxyConfig::annotations);
    if let Some(field) = annotations.field() {
        for text in annotation_problems(&annotations.read()) {
            report.error(field.at, format!("{prefix}{text}"), "");
        }
    }
}

/// Reports values that frp refuses while it decodes, even in entries that do not run.
pub(crate) fn judge_decoding(section: &Section, prefix: &str, report: &mut Report<'_>) {
    for field in section.fields.values() {
        if let (Rule::Bandwidth, Value::Text(text)) = (field.key.rule, &field.value)
            && let Err(error) = parse_bandwidth(text)
        {
            report.error(
                field.value_at,
                format!("{prefix}{} {text:?}: {error}", field.written),
                "write a number with KB or MB, such as 1MB or 512KB",
            );
        }
    }
}

/// What this build was made without.
pub(crate) fn lacking(
    prefix: &str,
    what: &str,
    needs: Option<Feature>,
    at: usize,
    report: &mut Report<'_>,
) {
    let build = report.options.build;
    if let Some(Err(lacking)) = needs.map(|feature| build.needs(feature)) {
        let advice = format!(
            "remove it, or take a build of {} that has it",
            build.program
        );
        report.error(at, format!("{prefix}{what}: {lacking}"), &advice);
    }
}

/// Reports a value, or an item of a list, that this build was made without.
fn judge_needs(field: &Field, prefix: &str, report: &mut Report<'_>) {
    let needs = field.key.needs;
    let written = &field.written;
    let mut each = |text: &str, at| {
        let what = format!("{written} = {text:?}");
        lacking(prefix, &what, needs.of(text), at, report);
    };
    match (needs, &field.value) {
        (Needs::For(_), Value::Text(text)) => each(text, field.value_at),
        (Needs::For(_), Value::List(items)) => {
            for item in items {
                if let Value::Text(text) = &item.value {
                    each(text, item.at);
                }
            }
        }
        _ => lacking(prefix, written, needs.of(""), field.at, report),
    }
}

fn obey(path: &str, field: &Field, prefix: &str, legacy: bool, report: &mut Report<'_>) {
    let at = field.value_at;
    let written = &field.written;
    match (field.key.rule, &field.value) {
        (rule @ (Rule::Port | Rule::PortCalled(_)), Value::Int(port))
            if !(0..=65535).contains(port) =>
        {
            let named = match rule {
                Rule::PortCalled(name) => name,
                _ => path,
            };
            report.error(
                at,
                format!("{prefix}{named}: port number {port} must be in the range 0..65535"),
                "choose a port in that range",
            );
        }
        (rule @ (Rule::UnheededPort | Rule::PortOrNone), Value::Int(port)) => {
            let none = *port < 0 && matches!(rule, Rule::PortOrNone);
            if !none && !(0..=65535).contains(port) {
                report.refuse(
                    at,
                    format!("{prefix}{path}: port number {port} must be in the range 0..65535"),
                    "choose a port in that range",
                );
            }
        }
        (Rule::NotNegative, Value::Int(seconds)) if *seconds < 0 => {
            report.refuse(
                at,
                format!("{prefix}{written} is {seconds} seconds: it cannot be switched off"),
                "give a positive number, or remove the key for the default",
            );
        }
        (Rule::Ip, Value::Text(text)) if text.parse::<ScopedIp>().is_err() => {
            let advice = match split_port(text) {
                (_, Some(_)) => "give the address without a port, which the system chooses",
                _ => "give an address such as 192.0.2.1",
            };
            report.refuse(
                at,
                format!("{prefix}{written}: {text:?} is not an IP address"),
                advice,
            );
        }
        (Rule::DnsServer, Value::Text(text)) if DnsServer::parse(text).is_none() => {
            report.refuse(
                at,
                format!("{prefix}{written}: {text:?} is not an IP address, with or without a port"),
                "give an address such as 192.0.2.53 or 192.0.2.53:5353",
            );
        }
        (Rule::Expiry, Value::Text(text)) if Expiry::parse(text).is_none() => {
            report.error(
                at,
                format!("{prefix}{written}: {text:?} is not a date and time"),
                "write it as in 2027-01-31T18:00:00Z, with Z or another distance from UTC, or as a day, 2027-01-31",
            );
        }
        (Rule::VirtualAddress, Value::Text(text)) if VirtualAddress::parse(text).is_none() => {
            report.refuse(
                at,
                format!("{prefix}{written}: invalid CIDR address: {text}"),
                "give the address of this machine and the prefix of the network, such as 100.86.0.1/24",
            );
        }
        (Rule::ProxyUrl, Value::Text(text)) => {
            if let Err(why) = text.parse::<ProxyUrl>() {
                // The text may hold a password, and is not shown.
                report.refuse(
                    at,
                    format!("{prefix}{written} is no URL of a proxy: {why}"),
                    "write scheme://user:password@host:port",
                );
            }
        }
        (Rule::OneOf { values, refusal }, Value::Text(text)) => {
            let choice = (values, refusal, text.as_str());
            one_of(written, choice, at, prefix, legacy, report);
        }
        (Rule::OneOf { values, refusal }, Value::List(items)) => {
            for item in items {
                if let Value::Text(text) = &item.value {
                    let choice = (values, refusal, text.as_str());
                    one_of(written, choice, item.at, prefix, legacy, report);
                }
            }
        }
        (Rule::Networks, Value::List(items)) => {
            for item in items {
                if let Value::Text(text) = &item.value
                    && let Err(why) = text.parse::<Network>()
                {
                    report.refuse(
                        item.at,
                        format!("{prefix}{written}: {text:?} is {why}"),
                        "give addresses such as 192.0.2.1 and networks such as 10.0.0.0/8 or fd00::/8",
                    );
                }
            }
        }
        (Rule::Fingerprints, Value::List(items)) => {
            for item in items {
                if let Value::Text(text) = &item.value
                    && text.parse::<Fingerprint>().is_err()
                {
                    report.error(
                        item.at,
                        format!("{prefix}{written}: {text:?} is not a key fingerprint"),
                        "write SHA256: and 43 characters of base64, as `frps fingerprint` prints it on the server",
                    );
                }
            }
        }
        (Rule::Ways, Value::List(items)) => {
            for item in items {
                if let Value::Text(text) = &item.value
                    && let Err(why) = text.parse::<Way>()
                {
                    let names: Vec<&str> = Way::names().collect();
                    report.error(
                        item.at,
                        format!("{prefix}{written}: {why}"),
                        &format!("write one of {}, or with a port: wss:443", names.join(", ")),
                    );
                }
            }
        }
        _ => {}
    }
}

fn one_of(
    written: &str,
    (values, refusal, text): (&[&str], &str, &str),
    at: usize,
    prefix: &str,
    legacy: bool,
    report: &mut Report<'_>,
) {
    if values.contains(&text) {
        return;
    }
    let mut refusal = refusal.replace("{}", text);
    if legacy {
        refusal = refusal.replace("transport.", "");
    }
    let advice = match values.iter().find(|value| value.eq_ignore_ascii_case(text)) {
        Some(value) => format!("write {value:?}"),
        None => format!("{written} is one of {}", values.join(", ")),
    };
    report.error(at, format!("{prefix}{refusal}: this is {text:?}"), &advice);
}
