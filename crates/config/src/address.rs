//! A port that stands behind the host of a key that takes only a host: taken where the port's own key
//! is silent or says the same, else told where it belongs.

use frp_proto::address::{NotAPort, split_port, without_brackets};

use crate::keys::{At, Fallback, Key, ProxyConfig, Rule, join};
use crate::report::Report;
use crate::section::{Field, Section, find};
use crate::value::Value;

/// Moves ports to their own keys, where the meaning is clear, and drops brackets.
pub(crate) fn settle(section: &mut Section) {
    let hosts: Vec<(String, Option<Port>)> = hosts(section)
        .map(|(path, _, port)| (path.clone(), port))
        .collect();
    for (path, port_key) in hosts {
        let Some(Field {
            value: Value::Text(text),
            at,
            value_at,
            ..
        }) = section.fields.get(&path)
        else {
            continue;
        };
        let (at, value_at) = (*at, *value_at);
        let (host, port) = match split_port(text) {
            (host, None) => (without_brackets(host).to_owned(), None),
            (host, Some(Ok(port))) if port != 0 => (host.to_owned(), Some(port)),
            _ => continue,
        };
        if let Some(port) = port {
            let Some(Port { path: name, key }) = port_key else {
                continue;
            };
            match given(section, &name, key) {
                Some(other) if other != i64::from(port) => continue,
                Some(_) => {}
                None => {
                    let written = name.clone();
                    let field = Field {
                        key,
                        written,
                        at,
                        value_at,
                        value: Value::Int(port.into()),
                    };
                    section.fields.insert(name, field);
                }
            }
        }
        if let Some(field) = section.fields.get_mut(&path) {
            field.value = Value::Text(host);
        }
    }
}

/// Reports the ports that are left. What nobody listens on or dials, for the lack of a port, is no
/// matter, as in frp.
pub(crate) fn judge(section: &Section, prefix: &str, legacy: bool, report: &mut Report<'_>) {
    let entry = At::<ProxyConfig>::root(section);
    let has_plugin = entry.of(ProxyConfig::plugin).list().is_some();
    for (path, field, port_key) in hosts(section) {
        let Value::Text(text) = &field.value else {
            continue;
        };
        let (host, Some(port)) = split_port(text) else {
            continue;
        };
        let written = &field.written;
        if has_plugin && *path == ProxyConfig::local_ip.path() {
            continue;
        }
        let Some(port_key) = port_key else {
            report.error(
                field.value_at,
                format!("{prefix}{written}: {text:?} has a port, and this key takes a host only"),
                &format!("write {written} = {host:?}; each proxy has its port in remotePort"),
            );
            continue;
        };
        let at = At::<u16>::new(section, port_key.path, port_key.key);
        let (other, named) = (at.int(), at.name(legacy));
        match port {
            Err(NotAPort) => report.error(
                field.value_at,
                format!("{prefix}{written}: {text:?} has a port beyond 65535"),
                &format!("write the host alone, and the port in {named}"),
            ),
            Ok(_) if other <= 0 => {}
            Ok(port) => report.error(
                field.value_at,
                format!("{prefix}{written}: {text:?} has the port {port}, but {named} is {other}"),
                &format!("write {written} = {host:?}, and the port in {named}"),
            ),
        }
    }
}

/// Every key that is given and takes a host, with the key of its port.
fn hosts(section: &Section) -> impl Iterator<Item = (&String, &Field, Option<Port>)> {
    section.fields.iter().filter_map(|(path, field)| {
        let Rule::Host(port) = field.key.rule else {
            return None;
        };
        let beside = |key: &'static Key| {
            let table = path.rsplit_once('.').map_or("", |(table, _)| table);
            let path = join(table, key.name);
            let key = find(&section.keys, &path)?;
            Some(Port { path, key })
        };
        Some((path, field, port.and_then(beside)))
    })
}

/// The key of the port that goes with a host.
struct Port {
    path: String,
    key: &'static Key,
}

/// The port that is given; 0 counts only where it has a meaning of its own.
fn given(section: &Section, path: &str, key: &Key) -> Option<i64> {
    match section.fields.get(path)?.value {
        Value::Int(0) if !matches!(key.default, Fallback::Zero) => None,
        Value::Int(port) => Some(port),
        _ => None,
    }
}
