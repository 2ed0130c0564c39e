//! Which format a file has. The content decides; the name only helps to explain errors.

use crate::ini::{self, Ini};
use crate::keys::by_ini_name;
use crate::report::{Report, Source};
use crate::suggest::Program;
use crate::toml;
use crate::value::Entry;

/// A file that could be parsed.
#[derive(Debug)]
pub(crate) enum Parsed {
    Legacy(Ini),
    Tree(Vec<Entry>),
}

/// Parses the text in the format that it has: legacy INI if it is INI and has a section `[common]`,
/// else TOML. `None` when problems were reported.
pub(crate) fn parse(
    source: &Source<'_>,
    program: Program,
    report: &mut Report<'_>,
) -> Option<Parsed> {
    if let Some(at) = template(source.text) {
        report.error(
            at,
            "templates ({{ ... }}) are not supported yet",
            "put the value itself into the file",
        );
        return None;
    }
    let ini = ini::parse(source.text);
    match ini {
        Ok(ini) if ini.get("common").is_some() => return Some(Parsed::Legacy(ini)),
        _ => {}
    }
    let errors = match toml::parse(source.text) {
        Ok(tree) => return Some(Parsed::Tree(tree)),
        Err(errors) => errors,
    };
    explain(source, program, ini.err(), errors, report);
    None
}

/// The first template action outside comments.
fn template(text: &str) -> Option<usize> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if !line.trim_start().starts_with(['#', ';'])
            && let Some(inner) = line.find("{{")
        {
            return Some(at + inner);
        }
        at += line.len();
    }
    None
}

/// Says what keeps the text from being any known format.
fn explain(
    source: &Source<'_>,
    program: Program,
    ini: Option<ini::IniError>,
    errors: Vec<(usize, String)>,
    report: &mut Report<'_>,
) {
    let text = source.text.trim_start();
    let begin = source.text.len() - text.len();
    let lower = source.origin.to_ascii_lowercase();
    let toml_name = lower.ends_with(".toml");
    if text.starts_with('{') && !toml_name {
        return not_yet(begin, "JSON", report);
    }
    if lower.ends_with(".yaml") || lower.ends_with(".yml") || !toml_name && like_yaml(text) {
        return not_yet(begin, "YAML", report);
    }
    if let Some(error) = ini
        && has_common(source.text)
    {
        return report.error(
            error.at,
            format!("this is no legacy INI: {}", error.message),
            "in that format every line is a [section], a # comment or key = value",
        );
    }
    let legacy = legacy_key(source.text, program);
    for (index, (at, message)) in errors.into_iter().enumerate() {
        let advice = match &legacy {
            Some(key) if index == 0 => format!(
                "{key} is a name of the legacy INI form; such a file begins with a line [common]"
            ),
            _ => toml_advice(source.line_text(at)),
        };
        let (line, column) = source.position(at);
        report.error(
            at,
            format!("toml: line {line}, column {column}: {message}"),
            &advice,
        );
    }
}

fn not_yet(at: usize, format: &str, report: &mut Report<'_>) {
    report.error(
        at,
        format!("this looks like {format}, which is not supported yet"),
        "write the file in TOML, see frpc.toml.example and frps.toml.example",
    );
}

fn has_common(text: &str) -> bool {
    text.lines().any(|line| line.trim() == "[common]")
}

/// `key: value` or `- item` or `---` first.
fn like_yaml(text: &str) -> bool {
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'));
    let Some(line) = line else { return false };
    let key = line.split_once(':').is_some_and(|(key, rest)| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-\"'".contains(c);
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
    fn templates_are_found_outside_comments() {
        assert_eq!(template("# {{ a }}\nx = 1\n"), None);
        assert_eq!(template("x = \"{{ .Envs.A }}\"\n"), Some(5));
    }

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
