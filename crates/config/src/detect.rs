//! Which format a file has. The content decides; the name only helps to explain errors.

use crate::ini::{self, Ini, IniError};
use crate::keys::by_ini_name;
use crate::report::Report;
use crate::suggest::Program;
use crate::value::{Entry, Node, Parsed, Value, shift};
use crate::{json, toml, yaml};

/// A text that is to be parsed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'t> {
    /// Name of the file.
    pub(crate) origin: &'t str,
    pub(crate) text: &'t str,
    /// Its first offset in the common row.
    pub(crate) base: usize,
    pub(crate) program: Program,
}

/// Whether the text, before templates are rendered, is INI with a section `[common]`: a legacy
/// file, whatever it is called.
pub(crate) fn is_legacy(text: &str) -> bool {
    ini::parse(text).is_ok_and(|ini| ini.get("common").is_some())
}

/// Parses a legacy file. `None` when problems were reported.
pub(crate) fn parse_legacy(input: &Input<'_>, report: &mut Report<'_>) -> Option<Ini> {
    match ini::parse(input.text) {
        Ok(mut ini) => {
            ini.shift(input.base);
            Some(ini)
        }
        Err(error) => {
            no_ini(input, &error, report);
            None
        }
    }
}

/// Parses the text in the format that it has, as frp finds it: TOML if it is TOML, else JSON when
/// it begins with a brace, else YAML. `None` when problems were reported.
pub(crate) fn parse_tree(input: &Input<'_>, report: &mut Report<'_>) -> Option<Vec<Entry>> {
    let toml_errors = match toml::parse(input.text) {
        Ok(parsed) => return table(input, parsed, report),
        Err(errors) => errors,
    };
    let lower = input.origin.to_ascii_lowercase();
    let trimmed = input.text.trim_start();
    if lower.ends_with(".toml") {
        explain_toml(input, toml_errors, report);
        return None;
    }
    if trimmed.starts_with('{') {
        return match json::parse(input.text) {
            Ok(parsed) => table(input, parsed, report),
            Err(errors) => {
                let advice = "JSON has keys in double quotes and no comma before a bracket";
                tell(input, errors, advice, report);
                None
            }
        };
    }
    let meant = lower.ends_with(".yaml") || lower.ends_with(".yml") || like_yaml(trimmed);
    match yaml::parse(input.text) {
        Ok(parsed) if matches!(parsed.root.value, Value::Table(_) | Value::Null) || meant => {
            table(input, parsed, report)
        }
        // To YAML, one line of TOML is a text: what is wrong is told by the reader of TOML.
        Ok(_) => {
            explain_toml(input, toml_errors, report);
            None
        }
        Err(errors) if meant => {
            let advice = "indent by spaces, and put texts with special characters in quotes";
            tell(input, errors, advice, report);
            None
        }
        Err(_) => {
            explain_toml(input, toml_errors, report);
            None
        }
    }
}

/// The entries of the root.
fn table(input: &Input<'_>, parsed: Parsed, report: &mut Report<'_>) -> Option<Vec<Entry>> {
    for (at, message) in parsed.warnings {
        report.warn(input.base + at, message, "remove it");
    }
    let mut root: Node = parsed.root;
    shift(&mut root, input.base);
    match root.value {
        Value::Table(entries) => Some(entries),
        Value::Null => Some(Vec::new()),
        other => {
            report.error(
                root.at,
                format!(
                    "json: cannot unmarshal {} into Go value of type v1.rawClientConfig: the file \
                     is no table of keys",
                    other.go_name()
                ),
                "write key: value in YAML, key = value in TOML",
            );
            None
        }
    }
}

fn tell(input: &Input<'_>, errors: Vec<(usize, String)>, advice: &str, report: &mut Report<'_>) {
    for (at, message) in errors {
        report.error(input.base + at, message, advice);
    }
}

/// Says what keeps the text from being TOML.
fn explain_toml(input: &Input<'_>, errors: Vec<(usize, String)>, report: &mut Report<'_>) {
    if input.text.lines().any(|line| line.trim() == "[common]")
        && let Err(error) = ini::parse(input.text)
    {
        return no_ini(input, &error, report);
    }
    let trimmed = input.text.trim_start();
    let other = if trimmed.starts_with('{') && json::parse(input.text).is_ok() {
        Some("JSON, but the name of the file says TOML; call it .json")
    } else if like_yaml(trimmed) && yaml::parse(input.text).is_ok() {
        Some("YAML, but the name of the file says TOML; call it .yaml")
    } else {
        None
    };
    let legacy = legacy_key(input.text, input.program);
    for (index, (at, message)) in errors.into_iter().enumerate() {
        let advice = match (&legacy, other) {
            (_, Some(other)) if index == 0 => format!("this is {other}"),
            (Some(key), _) if index == 0 => format!(
                "{key} is a name of the legacy INI form; such a file begins with a line [common]"
            ),
            _ => toml_advice(line_of(input.text, at)),
        };
        let at = input.base + at;
        let (line, column) = report.sources.position(at).1;
        let message = format!("toml: line {line}, column {column}: {message}");
        report.error(at, message, &advice);
    }
}

pub(crate) fn no_ini(input: &Input<'_>, error: &IniError, report: &mut Report<'_>) {
    report.error(
        input.base + error.at,
        format!("this is no legacy INI: {}", error.message),
        "in that format every line is a [section], a # comment or key = value",
    );
}

/// The line that holds a byte offset.
fn line_of(text: &str, at: usize) -> &str {
    let mut begin = 0;
    for line in text.split_inclusive('\n') {
        begin += line.len();
        if at < begin {
            return line;
        }
    }
    ""
}

/// `key: value` or `- item` or `---` first.
fn like_yaml(text: &str) -> bool {
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'));
    let Some(line) = line else { return false };
    let key = line.split_once(':').is_some_and(|(key, rest)| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-\"'<".contains(c);
        key.chars().all(plain) && (rest.is_empty() || rest.starts_with(' '))
    });
    key || line.starts_with("- ") || line == "---"
}

/// A key that only the legacy form has.
fn legacy_key(text: &str, program: Program) -> Option<&str> {
    let keys = text.lines().filter_map(|line| line.split_once('='));
    keys.map(|(key, _)| key.trim())
        .filter(|key| key.contains('_'))
        .find(|key| {
            let lists = [program.keys(), crate::keys::PROXY.base];
            lists.iter().any(|keys| by_ini_name(keys, key).is_some())
        })
}

/// What is usually wrong with such a line.
fn toml_advice(line: &str) -> String {
    let Some((key, value)) = line.split_once('=') else {
        return "write key = value, or a [table]".to_owned();
    };
    let (key, value) = (key.trim(), value.trim());
    let bare = value.starts_with(|c: char| c.is_ascii_alphanumeric() || "./~_-".contains(c));
    if value.is_empty() {
        return format!("give {key} a value, or remove the line");
    }
    if bare && !value.contains('"') {
        return format!("text stands in quotes: {key} = \"...\"");
    }
    if value.starts_with('"') && value.contains('\\') {
        return "in \"...\" a backslash is written \\\\; or use '...'".to_owned();
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_is_told_from_toml() {
        for yaml in ["a: 1", "# c\n- a", "---\n", "auth:\n  token: x"] {
            assert!(like_yaml(yaml), "{yaml}");
        }
        for other in ["a = 1", "a.b = \"c: d\"", "[a]", "", "http://x"] {
            assert!(!like_yaml(other), "{other}");
        }
    }
}
