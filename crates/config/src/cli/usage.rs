//! The help of a command, laid out as frp's (cobra).

use std::fmt::Write as _;

use super::command::{Act, Command, Flag, Takes, own_flags, persistent_flags};

/// What the command does, and its usage.
pub(crate) fn help(path: &[&'static Command]) -> String {
    let about = path.last().map_or("", |command| command.about);
    format!("{about}\n\n{}", usage(path))
}

/// The usage of the last command of `path`.
pub(crate) fn usage(path: &[&'static Command]) -> String {
    let Some((command, outer)) = path.split_last() else {
        return String::new();
    };
    let names: Vec<&str> = path.iter().map(|command| command.name).collect();
    let name = names.join(" ");
    let mut text = "Usage:\n".to_owned();
    if command.act != Act::Group {
        let _ = writeln!(text, "  {name}{} [flags]", command.operand);
    }
    let below: Vec<&Command> = shown_below(command).collect();
    if !below.is_empty() {
        let _ = writeln!(text, "  {name} [command]\n\nAvailable Commands:");
        let width = below
            .iter()
            .map(|c| c.name.len())
            .max()
            .unwrap_or(0)
            .max(11);
        for below in &below {
            let _ = writeln!(text, "  {:width$} {}", below.name, below.about);
        }
    }
    section(&mut text, "Flags", own_flags(command));
    let inherited = outer.iter().flat_map(|command| persistent_flags(command));
    section(&mut text, "Global Flags", inherited.collect());
    if !below.is_empty() {
        let _ = write!(
            text,
            "\nUse \"{name} [command] --help\" for more information about a command.\n"
        );
    }
    text
}

/// The commands below in the order of their names, without hidden ones.
pub(crate) fn shown_below(command: &Command) -> impl Iterator<Item = &'static Command> {
    let shown = |command: &&'static Command| !command.name.starts_with("__");
    let mut below: Vec<&'static Command> = command.below.iter().filter(shown).collect();
    below.sort_by_key(|command| command.name);
    below.into_iter()
}

fn section(text: &mut String, title: &str, mut flags: Vec<Flag>) {
    if flags.is_empty() {
        return;
    }
    flags.sort_by_key(|flag| flag.name);
    let rows: Vec<(String, String)> = flags.iter().map(row).collect();
    let width = rows.iter().map(|(left, _)| left.len()).max().unwrap_or(0);
    let _ = write!(text, "\n{title}:\n");
    for (left, right) in rows {
        let _ = writeln!(text, "{left:width$}   {right}");
    }
}

fn row(flag: &Flag) -> (String, String) {
    let short = match flag.short {
        Some(short) => format!("-{short},"),
        None => "   ".to_owned(),
    };
    let value = match flag.takes {
        Takes::Bool => "",
        Takes::Int => " int",
        Takes::Text | Takes::Ports | Takes::Bandwidth => " string",
        Takes::Texts => " strings",
        Takes::Pairs => " stringToString",
        Takes::Duration => " duration",
    };
    let default = match (flag.shown_default(), flag.takes) {
        (default, _) if default.is_empty() => String::new(),
        (default, Takes::Text) => format!(" (default {default:?})"),
        (default, _) => format!(" (default {default})"),
    };
    (
        format!("  {short} --{}{value}", flag.name),
        format!("{}{default}", flag.about),
    )
}
