//! Legacy INI files of both programs to checked sections.
//!
//! frp ignores here what it does not know and takes the default for what it cannot read. Such
//! files keep working; the user is told by warnings.

use std::collections::BTreeSet;

use crate::ini::{self, Ini};
use crate::keys::{
    At, Ini as Form, Key, Kind, Listed, Of, PLUGIN, PROXY, PluginKeys, PortRangeKeys, SERVER,
    Table as _, Tag, VISITOR, by_ini_name, join,
};
use crate::numbers::{number_ranges, parse_range_numbers};
use crate::report::Report;
use crate::section::{Field, List, Section};
use crate::suggest::{Program, nearest};
use crate::value::{Entry, Node, Value};
use crate::{
    HttpPlugin, PortProxy, ProxyConfig, ServerConfig, VisitorConfig, WebServer, WebTls, XtcpVisitor,
};

/// The section `[common]` of either program.
pub(crate) fn common(ini: &Ini, program: Program, report: &mut Report<'_>) -> Section {
    let mut section = Section::new(0, vec![program.keys()]);
    if let Some(common) = ini.get("common") {
        section.at = common.at;
        told_twice(common, report);
        fill(&mut section, ini, common, "", report);
    }
    section
}

/// The file of frps.
pub(crate) fn server(ini: &Ini, report: &mut Report<'_>) -> Section {
    let mut root = common(ini, Program::Frps, report);
    dashboard(&mut root, ini, report);
    refuse_toml_tables(ini, report);
    let mut plugins = Vec::new();
    let sections = ini.sections.iter();
    for section in sections.filter(|section| !is_toml_table(&section.name)) {
        if let Some(name) = section.name.strip_prefix("plugin.") {
            plugins.push(http_plugin(ini, section, name.trim(), report));
        } else if section.name != "common" && section.name != ini::DEFAULT {
            report.warn(
                section.at,
                format!("frps takes no notice of the section [{}]", section.name),
                "remove it; if it is a proxy, it belongs in the file of frpc",
            );
        }
    }
    if let Some(first) = plugins.first() {
        let list = List {
            at: first.at,
            written: format!(
                "[plugin.{}] (httpPlugins)",
                At::root(first).of(HttpPlugin::name).text()
            ),
            items: plugins,
        };
        root.lists.insert(ServerConfig::http_plugins.path(), list);
    }
    root
}

/// In the other formats the table `webServer.tls` is there or not.
pub(crate) const DASHBOARD_TLS_MODE: &str = "dashboard_tls_mode";

/// What the dashboard's keys mean only together.
fn dashboard(root: &mut Section, ini: &Ini, report: &mut Report<'_>) {
    const WEB: Of<ServerConfig, WebServer> = ServerConfig::web_server.some();
    const TLS: Of<WebServer, WebTls> = WebServer::tls.some();
    let web = At::root(root).of(WEB);
    let port = web.of(WebServer::port);
    if port.int() != 0 && web.of(WebServer::addr).field().is_none() {
        let (at, path) = (port.value_at(), WEB.below(WebServer::addr));
        text_field(root, WebServer::addr.key, &path, "0.0.0.0", at);
    }
    let common = ini.get("common");
    let mode = common.and_then(|common| ini.key(common, DASHBOARD_TLS_MODE));
    if let Some(mode) = mode.filter(|m| read_bool(m, &m.value, report) == Some(true)) {
        root.tables.insert(WEB.below(TLS), mode.at);
        return;
    }
    let tls = WEB.below(TLS);
    for path in [
        join(&tls, WebTls::cert_file.key.name),
        join(&tls, WebTls::key_file.key.name),
        WEB.below(WebServer::pprof_enable),
    ] {
        if let Some(field) = root.fields.remove(&path) {
            report.warn(
                field.at,
                format!(
                    "{} has no effect without {DASHBOARD_TLS_MODE}",
                    field.written
                ),
                &format!("add {DASHBOARD_TLS_MODE} = true"),
            );
        }
    }
}

fn http_plugin(ini: &Ini, source: &ini::Section, name: &str, report: &mut Report<'_>) -> Section {
    let mut out = Section::new(source.at, vec![HttpPlugin::KEYS]);
    name_field(&mut out, HttpPlugin::name, name, source.at);
    fill(&mut out, ini, source, "", report);
    out
}

/// Proxies and visitors: every section but `[common]`, as far as `start` names them.
pub(crate) fn entries(
    ini: &mut Ini,
    start: &[String],
    report: &mut Report<'_>,
) -> (Vec<Section>, Vec<Section>) {
    refuse_toml_tables(ini, report);
    expand_ranges(ini, report);
    let ini = &*ini;
    let is_entry = |section: &&ini::Section| {
        let name = section.name.as_str();
        name != "common"
            && name != ini::DEFAULT
            && !name.starts_with("range:")
            && !is_toml_table(name)
    };
    let started = |section: &&ini::Section| start.is_empty() || start.contains(&section.name);
    let (mut proxies, mut visitors) = (Vec::new(), Vec::new());
    for section in ini.sections.iter().filter(is_entry).filter(started) {
        told_twice(section, report);
        let role = ini.key(section, "role");
        match role.map_or("", |role| role.value.as_str()) {
            "" | "server" => proxies.extend(proxy(ini, section, report)),
            "visitor" => visitors.extend(visitor(ini, section, report)),
            other => {
                let at = role.map_or(section.at, |role| role.value_at);
                report.error(
                    at,
                    format!(
                        "proxy {} role should be 'server' or 'visitor': this is {other:?}",
                        section.name
                    ),
                    "remove the line for a proxy",
                );
            }
        }
    }
    (proxies, visitors)
}

fn proxy(ini: &Ini, section: &ini::Section, report: &mut Report<'_>) -> Option<Section> {
    let name = &section.name;
    let kind = ini
        .key(section, ProxyConfig::kind.ini())
        .filter(|key| !key.value.is_empty());
    let (kind_at, kind) = kind.map_or((section.at, "tcp"), |k| (k.value_at, k.value.as_str()));
    let Some(tag) = PROXY.tag(kind) else {
        report.error(
            kind_at,
            format!("failed to parse proxy {name}, err: invalid type [{kind}]"),
            &crate::check::type_advice(&PROXY, kind).replace('"', ""),
        );
        return None;
    };
    let mut out = entry::<ProxyConfig>(tag, name, (section.at, kind_at));
    plugin(&mut out, ini, section, report);
    fill(&mut out, ini, section, tag.name, report);
    Some(out)
}

fn visitor(ini: &Ini, section: &ini::Section, report: &mut Report<'_>) -> Option<Section> {
    let name = &section.name;
    let kind = ini
        .key(section, VisitorConfig::kind.ini())
        .filter(|key| !key.value.is_empty());
    let (kind_at, kind) = kind.map_or((section.at, ""), |k| (k.value_at, k.value.as_str()));
    let Some(tag) = VISITOR.tag(kind) else {
        let why = match kind {
            "" => "type shouldn't be empty".to_owned(),
            kind => format!("type [{kind}] error"),
        };
        report.error(
            kind_at,
            format!("failed to parse visitor {name}, err: {why}"),
            &crate::check::type_advice(&VISITOR, kind).replace('"', ""),
        );
        return None;
    };
    let mut out = entry::<VisitorConfig>(tag, name, (section.at, kind_at));
    fill(&mut out, ini, section, tag.name, report);
    // Not only 0, but any number below it, too, means the default in this format.
    for path in [
        XtcpVisitor::max_retries_an_hour.path(),
        XtcpVisitor::min_retry_interval.path(),
        XtcpVisitor::fallback_timeout.path(),
    ] {
        let negative = |field: &Field| matches!(field.value, Value::Int(int) if int < 0);
        if out.fields.get(&path).is_some_and(negative) {
            out.fields.remove(&path);
        }
    }
    Some(out)
}

/// An entry with its name and type.
fn entry<E: Listed>(tag: &Tag, name: &str, (at, kind_at): (usize, usize)) -> Section {
    let mut out = Section::new(at, vec![E::KEYS, tag.keys]);
    name_field(&mut out, E::NAME, name, at);
    name_field(&mut out, E::TYPE, tag.name, kind_at);
    out
}

/// The plugin of a proxy, whose keys stand among those of the proxy.
fn plugin(out: &mut Section, ini: &Ini, section: &ini::Section, report: &mut Report<'_>) {
    let plugin = ini.key(section, PluginKeys::kind.ini());
    let Some(plugin) = plugin.filter(|p| !p.value.is_empty()) else {
        return;
    };
    const NOT_IN_INI: [&str; 3] = ["http2http", "tls2raw", "virtual_net"];
    let name = plugin.value.as_str();
    let tag = PLUGIN.tag(name).filter(|_| !NOT_IN_INI.contains(&name));
    let mut items = Vec::new();
    if let Some(tag) = tag {
        let mut table = Section::new(plugin.at, vec![PLUGIN.base, tag.keys]);
        name_field(&mut table, PluginKeys::kind, name, plugin.value_at);
        let lists = table.keys.clone();
        for key in section
            .keys
            .iter()
            .filter(|key| key.name.starts_with("plugin_"))
        {
            let found = lists.iter().find_map(|keys| by_ini_name(keys, &key.name));
            if let Some((path, definition)) = found {
                let known = (path, definition);
                place(&mut table, known, ini, (section, key), report);
            }
        }
        items.push(table);
    } else {
        report.refuse(
            plugin.value_at,
            format!(
                "proxy {}: no plugin {name} can be used in this format",
                section.name
            ),
            "use the TOML form for newer plugins",
        );
    }
    let list = List {
        at: plugin.at,
        written: format!("plugin {name}"),
        items,
    };
    out.lists.insert(ProxyConfig::plugin.path(), list);
}

fn name_field<T>(out: &mut Section, of: Of<T, String>, text: &str, at: usize) {
    text_field(out, of.key, &of.path(), text, at);
}

fn text_field(out: &mut Section, key: &'static Key, path: &str, text: &str, at: usize) {
    let field = Field {
        key,
        written: path.to_owned(),
        at,
        value_at: at,
        value: Value::Text(text.to_owned()),
    };
    out.fields.insert(path.to_owned(), field);
}

/// Puts the keys of an INI section, own and inherited, where their definitions say.
fn fill(out: &mut Section, ini: &Ini, section: &ini::Section, kind: &str, report: &mut Report<'_>) {
    let mut seen = BTreeSet::new();
    let mut from = Some(section);
    while let Some(source) = from {
        let own = source.name == section.name;
        for key in &source.keys {
            if !seen.insert(key.name.clone()) {
                continue;
            }
            let lists = out.keys.clone();
            let found = lists.iter().find_map(|keys| by_ini_name(keys, &key.name));
            match found {
                // The entry has its type, which is the default where none is written.
                Some((path, _)) if path == "type" => {}
                // Maps are not inherited in frp.
                Some((_, definition)) if matches!(definition.ini, Form::Prefix(_)) && !own => {}
                Some((path, definition)) => {
                    place(out, (path, definition), ini, (section, key), report);
                }
                None if own => unknown(key, kind, out, report),
                None => {}
            }
        }
        from = ini.parent(source);
    }
}

fn place(
    out: &mut Section,
    (path, definition): (String, &'static Key),
    ini: &Ini,
    (section, key): (&ini::Section, &ini::Key),
    report: &mut Report<'_>,
) {
    let text = ini.expand(section, key);
    let node = |value| Node {
        at: key.value_at,
        value,
    };
    let value = match (definition.ini, definition.kind) {
        (Form::Prefix(prefix), _) => {
            // frp takes these unexpanded.
            let name = key.name.strip_prefix(prefix).unwrap_or_default();
            let entry = Entry {
                key: name.to_owned(),
                at: key.at,
                node: node(Value::Text(key.value.clone())),
            };
            return add(out, path, definition, key, |value| match value {
                Value::Table(entries) => entries.push(entry),
                other => *other = Value::Table(vec![entry]),
            });
        }
        (Form::Flags(flags), _) => {
            let item = flags.iter().find(|(flag, _)| *flag == key.name);
            let Some((_, item)) = item.filter(|_| read_bool(key, &text, report) == Some(true))
            else {
                return;
            };
            let item = node(Value::Text((*item).to_owned()));
            return add(out, path, definition, key, |value| match value {
                Value::List(items) => items.push(item),
                other => *other = Value::List(vec![item]),
            });
        }
        (Form::Ports(_), Kind::Tables(keys)) => {
            return ports(out, path, keys, key, &text, report);
        }
        (_, Kind::Bool) => read_bool(key, &text, report).map(Value::Bool),
        (_, Kind::Int) => read_int(key, &text, report).map(Value::Int),
        (_, Kind::Texts) => {
            let items = ini::list(&text).into_iter();
            Some(Value::List(items.map(|i| node(Value::Text(i))).collect()))
        }
        _ => Some(Value::Text(text)),
    };
    if let Some(value) = value {
        add(out, path, definition, key, |old| *old = value);
    }
}

/// Puts a value in place, or changes the one that is there.
fn add(
    out: &mut Section,
    path: String,
    definition: &'static Key,
    key: &ini::Key,
    change: impl FnOnce(&mut Value),
) {
    let field = out.fields.entry(path).or_insert_with(|| Field {
        key: definition,
        written: key.name.clone(),
        at: key.at,
        value_at: key.value_at,
        value: Value::Odd("nothing yet"),
    });
    change(&mut field.value);
}

fn read_bool(key: &ini::Key, text: &str, report: &mut Report<'_>) -> Option<bool> {
    let value = ini::boolean(text);
    if value.is_none() && !text.is_empty() {
        unreadable(key, text, "true or false", report);
    }
    value
}

fn read_int(key: &ini::Key, text: &str, report: &mut Report<'_>) -> Option<i64> {
    let value = ini::integer(text);
    if value.is_none() && !text.is_empty() {
        unreadable(key, text, "a whole number", report);
    }
    value
}

fn unreadable(key: &ini::Key, text: &str, wanted: &str, report: &mut Report<'_>) {
    let advice = if text.contains(['#', ';']) {
        "comments stand on lines of their own in this format"
    } else {
        "correct it or remove the line"
    };
    report.warn(
        key.value_at,
        format!(
            "{} = {text:?} is not {wanted}, so the default is used, as frp does",
            key.name
        ),
        advice,
    );
}

fn unknown(key: &ini::Key, kind: &str, out: &Section, report: &mut Report<'_>) {
    const NO_EFFECT: [&str; 4] = [
        "log_way",
        "role",
        PluginKeys::kind.ini(),
        DASHBOARD_TLS_MODE,
    ];
    let name = key.name.as_str();
    if NO_EFFECT.contains(&name) || name.starts_with("plugin_") {
        return;
    }
    if let Some(path) = only_in_toml(name, out) {
        return report.error(
            key.at,
            format!("{path} cannot be set in INI files"),
            "frps convert makes a TOML file of this one, where it can",
        );
    }
    let has = |tag: &&Tag| by_ini_name(tag.keys, name).is_some();
    let types: Vec<_> = PROXY.types.iter().filter(has).map(|tag| tag.name).collect();
    let (why, advice) = if !kind.is_empty() && !types.is_empty() {
        (
            format!(
                "{name} is for type {}; this one is {kind}",
                types.join(", ")
            ),
            "it has no effect here; remove it or change the type".to_owned(),
        )
    } else if !kind.is_empty() && by_ini_name(VISITOR.base, name).is_some() {
        (
            format!("{name} is for visitors"),
            "it has no effect without role = visitor".to_owned(),
        )
    } else if !kind.is_empty() && by_ini_name(Program::Frpc.keys(), name).is_some() {
        (
            format!("{name} is a key of the section [common]"),
            "move it there".to_owned(),
        )
    } else if let Some(found) = new_style(name, out) {
        (
            format!("{name} is the name in TOML, YAML and JSON"),
            format!("in this INI file (it has a section [common]) write {found}"),
        )
    } else if kind.is_empty() && by_ini_name(SERVER, name).is_some() {
        (
            format!("{name} is a key of frps"),
            "is this the right file?".to_owned(),
        )
    } else {
        let near = near_ini_name(name, out);
        (
            format!("there is no key {name}"),
            near.map_or_else(
                || "it has no effect; remove it".to_owned(),
                |near| format!("did you mean {near}?"),
            ),
        )
    };
    report.warn(key.at, why, &advice);
}

/// A key that has no name in INI files and without which others might get in.
fn only_in_toml(name: &str, out: &Section) -> Option<&'static str> {
    const KEYS: [&str; 2] = ["auth.tokens", "auth.strictUsers"];
    let is_server = crate::section::find(&out.keys, ServerConfig::strict_users.path().as_str());
    let known = KEYS.into_iter().find(|path| {
        let last = path.rsplit('.').next().unwrap_or(path);
        name.eq_ignore_ascii_case(path) || name.replace('_', "").eq_ignore_ascii_case(last)
    });
    known.filter(|_| is_server.is_some())
}

/// The INI name of a key that is written as in TOML.
fn new_style(name: &str, out: &Section) -> Option<&'static str> {
    let definition = crate::section::find(&out.keys, name)?;
    match definition.ini {
        Form::Name(ini) if ini != name => Some(ini),
        _ => None,
    }
}

fn near_ini_name(name: &str, out: &Section) -> Option<&'static str> {
    // `local_post` is like localPort when the underscores are left out of account.
    let path = nearest(&name.replace('_', ""), &out.keys)?;
    match crate::section::find(&out.keys, &path)?.ini {
        Form::Name(ini) => Some(ini),
        _ => None,
    }
}

fn told_twice(section: &ini::Section, report: &mut Report<'_>) {
    for at in &section.again {
        let first = report.sources.place(section.at, *at);
        report.warn(
            *at,
            format!(
                "the section [{}] is already in {first}; the two are taken as one",
                section.name
            ),
            "give each proxy its own name",
        );
    }
}

/// `[[proxies]]` in an INI file would become a proxy called `[proxies]`.
fn refuse_toml_tables(ini: &Ini, report: &mut Report<'_>) {
    let line = report.sources.line(ini.get("common").map_or(0, |c| c.at));
    for section in ini.sections.iter().filter(|s| is_toml_table(&s.name)) {
        report.refuse(
            section.at,
            format!(
                "[{}] is TOML, but the section [common] (line {line}) makes this a legacy INI file",
                section.name
            ),
            "for TOML, remove the line [common] and use the TOML names of the keys",
        );
    }
}

fn is_toml_table(name: &str) -> bool {
    name.starts_with('[') && name.ends_with(']')
}

/// `[range:NAME]` stands for `[NAME_0]`, `[NAME_1]` ...
fn expand_ranges(ini: &mut Ini, report: &mut Report<'_>) {
    let ranges: Vec<ini::Section> = ini
        .sections
        .iter()
        .filter(|section| section.name.starts_with("range:"))
        .cloned()
        .collect();
    for range in ranges {
        let Some((local, remote)) = range_ports(ini, &range, report) else {
            continue;
        };
        let prefix = range.name.strip_prefix("range:").unwrap_or_default().trim();
        for (index, (local, remote)) in local.into_iter().zip(remote).enumerate() {
            let name = format!("{prefix}_{index}");
            if let Some(taken) = ini.get(&name) {
                let place = report.sources.place(taken.at, range.at);
                report.warn(
                    range.at,
                    format!(
                        "[{}] makes a proxy {name}, which {place} has, too",
                        range.name
                    ),
                    "the range wins; give each proxy its own name",
                );
            }
            let at = ini.section(&name, range.at);
            let Some(section) = ini.sections.get_mut(at) else {
                continue;
            };
            section.again.clear();
            for key in &range.keys {
                let mut key = key.clone();
                if key.name == ProxyConfig::local_port.ini() {
                    key.value = local.to_string();
                } else if key.name == PortProxy::remote_port.ini() {
                    key.value = remote.to_string();
                }
                section.put(key);
            }
        }
    }
}

fn range_ports(
    ini: &Ini,
    range: &ini::Section,
    report: &mut Report<'_>,
) -> Option<(Vec<i64>, Vec<i64>)> {
    let prefix = format!("failed to render template for proxy {}: ", range.name);
    let mut read = |name: &str| {
        let key = range.get(name).filter(|key| !key.value.is_empty());
        let Some(key) = key else {
            report.error(
                range.at,
                format!("{prefix}local_port or remote_port is empty"),
                "give both as lists of equal length, such as 6000-6005,6007",
            );
            return None;
        };
        let ranges = parse_range_numbers(&ini.expand(range, key));
        if let Err(message) = &ranges {
            report.error(
                key.value_at,
                format!("{prefix}{name}: {message}"),
                "write ports such as 6000-6005,6007",
            );
        }
        ranges.ok()
    };
    let local = read(ProxyConfig::local_port.ini())?;
    let remote = read(PortProxy::remote_port.ini())?;
    if local.len() != remote.len() {
        report.error(
            range.at,
            format!(
                "{prefix}local ports number should be same with remote ports number: \
                 these are {} and {}",
                local.len(),
                remote.len()
            ),
            "make the two lists equally long",
        );
        return None;
    }
    Some((local, remote))
}

/// `allow_ports` to entries of `allowPorts`. frp allows every port when it cannot read the list;
/// that is no list to run with.
fn ports(
    out: &mut Section,
    path: String,
    keys: &'static [Key],
    key: &ini::Key,
    text: &str,
    report: &mut Report<'_>,
) {
    if text.is_empty() {
        return;
    }
    let ranges = match number_ranges(text) {
        Ok(ranges) => ranges,
        Err(message) => {
            return report.refuse(
                key.value_at,
                format!("{}: {message}", key.name),
                "write ports such as 2000-3000,4000",
            );
        }
    };
    let item = |(start, end): (i64, i64)| {
        let mut section = Section::new(key.value_at, vec![keys]);
        for (of, port) in [(PortRangeKeys::start, start), (PortRangeKeys::end, end)] {
            add(&mut section, of.path(), of.key, key, |old| {
                *old = Value::Int(port);
            });
        }
        section
    };
    let list = List {
        at: key.at,
        written: key.name.clone(),
        items: ranges.into_iter().map(item).collect(),
    };
    out.lists.insert(path, list);
}
