//! What is wrong with the text of a configuration, for an editor: the problems that `verify` tells, each with
//! its place. No file is read and nothing is run; what templates take from the environment is not told.

use crate::options::{LoadOptions, Purpose};
use crate::{Format, LoadError, Problem, parse_client};

/// One thing that is wrong or doubtful.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Line and column, from 1; columns count characters. 0 where there is no place.
    pub line: usize,
    /// See `line`.
    pub column: usize,
    /// The column behind the last character of the key or value that stands there.
    pub end_column: usize,
    /// The key that the line gives; empty where it gives none.
    pub key: String,
    /// What is wrong, and what to do.
    pub message: String,
    /// Whether it keeps frpc from starting.
    pub is_error: bool,
}

/// The text that stands for whatever the environment gives.
const HIDDEN: &str = "***";

/// Values of the environment that are shorter are no secrets, and stand in every text.
const SHORTEST_SECRET: usize = 4;

/// The problems of the text of a configuration file of frpc, in the order of its lines. `format` is `None`
/// for the legacy form.
#[must_use]
pub fn findings(text: &str, format: Option<Format>, options: &LoadOptions) -> Vec<Finding> {
    let options = LoadOptions {
        purpose: Purpose::Verify,
        ..options.clone()
    };
    let name = match format {
        Some(Format::Toml) => "frpc.toml",
        Some(Format::Yaml) => "frpc.yaml",
        Some(Format::Json) => "frpc.json",
        None => "frpc.ini",
    };
    let (problems, is_error) = match parse_client(text, name, &options) {
        Ok(loaded) => (loaded.warnings, false),
        Err(LoadError::Invalid(problems)) => (problems, true),
        Err(error) => return vec![whole(error.to_string())],
    };
    let hide = Hide {
        templated: text.contains("{{"),
        options: &options,
    };
    let lines: Vec<&str> = text.lines().collect();
    let finding = |problem: &Problem| {
        let (line, column) = problem.position.unwrap_or_default();
        let here = line.checked_sub(1).and_then(|at| lines.get(at)).copied();
        let here = here.unwrap_or_default();
        Finding {
            line,
            column,
            end_column: column + length(here, column),
            key: key(here),
            message: hide.hidden(problem, here),
            is_error,
        }
    };
    problems.iter().map(finding).collect()
}

fn whole(message: String) -> Finding {
    Finding {
        line: 0,
        column: 0,
        end_column: 0,
        key: String::new(),
        message,
        is_error: true,
    }
}

/// Keeps values of the environment out of messages.
struct Hide<'a> {
    /// The text may take some.
    templated: bool,
    options: &'a LoadOptions,
}

impl Hide<'_> {
    fn hidden(&self, problem: &Problem, line: &str) -> String {
        let mut message = match &problem.advice {
            Some(advice) => format!("{}; {advice}", problem.message),
            None => problem.message.clone(),
        };
        if !self.templated || message.starts_with("template: ") {
            return message;
        }
        if line.contains("{{") {
            return "what the template gives here is refused; frpc verify says why".to_owned();
        }
        for value in self.options.environment.variables().values() {
            if value.len() >= SHORTEST_SECRET {
                message = message.replace(value.as_str(), HIDDEN);
            }
        }
        message
    }
}

/// Characters of the word, or of the text in quotes, that begins at a column.
fn length(line: &str, column: usize) -> usize {
    let rest = line.chars().skip(column.saturating_sub(1));
    let mut rest = rest.peekable();
    match rest.peek() {
        None => 0,
        Some(&quote @ ('"' | '\'')) => {
            let mut escaped = false;
            let mut inner = rest.skip(1);
            let end = inner.position(|c| {
                let ends = c == quote && !escaped;
                escaped = c == '\\' && !escaped && quote == '"';
                ends
            });
            end.map_or(1, |end| end + 2)
        }
        Some(_) => {
            let ends = |c: char| c.is_whitespace() || "=:,[]{}#".contains(c);
            rest.position(ends)
                .unwrap_or_else(|| {
                    line.chars()
                        .count()
                        .saturating_sub(column.saturating_sub(1))
                })
                .max(1)
        }
    }
}

/// The key of a line `key = value`, `key: value` or `"key": value`.
fn key(line: &str) -> String {
    let line = line.trim_start().trim_start_matches("- ");
    let end = line.find(['=', ':']).unwrap_or(0);
    let key = line.get(..end).unwrap_or_default().trim();
    let plain = |c: char| c.is_alphanumeric() || "._-\"'".contains(c);
    match key.chars().all(plain) {
        true => key.replace(['"', '\''], ""),
        false => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Environment;

    fn of(text: &str, format: Option<Format>) -> Vec<Finding> {
        let mut options = LoadOptions::new(Purpose::Run);
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        options.environment =
            Environment::from_iter([variable("SECRET", "hush-hush"), variable("PORT", "7001")]);
        findings(text, format, &options)
    }

    #[test]
    fn problems_have_their_places() {
        let found = of(
            "serverPort = \"x\"\nsurverAddr = \"a\"\n",
            Some(Format::Toml),
        );
        let places: Vec<_> = found
            .iter()
            .map(|one| {
                (
                    one.line,
                    one.column,
                    one.end_column,
                    one.key.as_str(),
                    one.is_error,
                )
            })
            .collect();
        assert_eq!(
            places,
            [
                (1, 14, 17, "serverPort", true),
                (2, 1, 11, "surverAddr", true)
            ]
        );
        assert!(
            found[1].message.contains("did you mean serverAddr?"),
            "{found:?}"
        );
        assert!(of("serverPort = 7000\n", Some(Format::Toml)).is_empty());
        let json = of("{\n  \"serverPort\": true\n}", Some(Format::Json));
        assert_eq!(
            (json[0].line, json[0].column, json[0].end_column),
            (2, 17, 21)
        );
        assert_eq!(json[0].key, "serverPort");
        let cut = of("serverAddr = ", Some(Format::Toml));
        assert_eq!(cut[0].line, 1, "{cut:?}");
        assert!(!of("[common]\nserver_port = x\n", None).is_empty());
        let warned = of(
            "webServer.port = 7400\nwebServer.addr = \"0.0.0.0\"\n",
            Some(Format::Toml),
        );
        assert!(
            !warned.is_empty() && warned.iter().all(|one| !one.is_error),
            "{warned:?}"
        );
    }

    #[test]
    fn what_the_environment_says_is_not_told() {
        for text in [
            "serverPort = \"{{ .Envs.SECRET }}\"\n",
            "serverPort = {{ .Envs.PORT }}\nlog.level = \"{{ .Envs.SECRET }}\"\n",
            "{{ $x := .Envs.SECRET }}\ntransport.protocol = \"{{ $x }}\"\n",
            "[[proxies]]\nname = \"{{ .Envs.SECRET }}\"\ntype = \"tcp\"\nlocalPort = 70000\n",
        ] {
            let found = of(text, Some(Format::Toml));
            assert!(!found.is_empty(), "{text}");
            for one in found {
                assert!(!one.message.contains("hush"), "{one:?}");
            }
        }
        assert!(of("serverPort = {{ .Envs.PORT }}\n", Some(Format::Toml)).is_empty());
        let broken = of("user = \"{{ .Nothing\"\n", Some(Format::Toml));
        assert!(broken[0].message.starts_with("template: "), "{broken:?}");
    }
}
