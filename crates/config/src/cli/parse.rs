//! Reads a command line by the rules of frp's parser (cobra and pflag), which differ from those
//! of others: `_` and `-` are equal in the names of flags, a boolean takes its value only as
//! `--x=false`, any other flag takes the next argument whatever it begins with, the last of
//! several counts, and commands take no notice of further words.

use std::collections::BTreeMap;

use super::command::{Command, Flag, Takes, flags};
use super::table::root;
use super::usage::usage;
use super::value::{Given, merge, read};
use crate::suggest::{Program, distance};

/// A command line that was understood.
pub(crate) struct Line {
    pub(crate) program: Program,
    /// The command, from the program down.
    pub(crate) path: Vec<&'static Command>,
    /// Values by the name of their flag.
    pub(crate) given: BTreeMap<&'static str, Given>,
    /// Words that are neither commands nor flags.
    pub(crate) words: Vec<String>,
}

/// Reads the arguments behind the program's name.
///
/// # Errors
/// With frp's text for standard error.
pub(crate) fn parse(program: Program, args: Vec<String>) -> Result<Line, String> {
    let (path, args) = find_command(program, args);
    let mut line = Line {
        program,
        path,
        given: BTreeMap::new(),
        words: Vec::new(),
    };
    if line.path.len() == 1
        && let Some((_, word)) = first_word(&line.path, &args)
    {
        return Err(unknown_command(line.command(), word));
    }
    line.read_flags(args)
        .map_err(|error| format!("Error: {error}\n{}\n", usage(&line.path)))?;
    Ok(line)
}

/// Reads the arguments of a command that is known.
///
/// # Errors
/// With frp's words.
pub(crate) fn parse_flags(
    program: Program,
    command: &'static Command,
    args: Vec<String>,
) -> Result<Line, String> {
    let mut line = Line {
        program,
        path: vec![command],
        given: BTreeMap::new(),
        words: Vec::new(),
    };
    line.read_flags(args)?;
    Ok(line)
}

impl Line {
    /// The command that is meant.
    pub(crate) fn command(&self) -> &'static Command {
        self.path
            .last()
            .copied()
            .unwrap_or_else(|| root(self.program))
    }

    /// `frpc tcp` and the like.
    pub(crate) fn name(&self) -> String {
        let names: Vec<&str> = self.path.iter().map(|command| command.name).collect();
        names.join(" ")
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.given.get(name) {
            Some(Given::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn bool(&self, name: &str) -> Option<bool> {
        match self.given.get(name) {
            Some(Given::Bool(value)) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn int(&self, name: &str) -> Option<i64> {
        match self.given.get(name) {
            Some(Given::Int(value)) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        match self.given.get(name) {
            Some(Given::Texts(texts)) => texts.clone(),
            _ => Vec::new(),
        }
    }

    fn read_flags(&mut self, args: Vec<String>) -> Result<(), String> {
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            if arg == "--" {
                self.words.extend(args);
                break;
            }
            if let Some(long) = arg.strip_prefix("--") {
                self.long(&arg, long, &mut args)?;
            } else if let Some(short) = arg.strip_prefix('-').filter(|short| !short.is_empty()) {
                self.short(short, &mut args)?;
            } else {
                self.words.push(arg);
            }
        }
        Ok(())
    }

    fn long(
        &mut self,
        arg: &str,
        long: &str,
        rest: &mut impl Iterator<Item = String>,
    ) -> Result<(), String> {
        if long.starts_with(['-', '=']) {
            return Err(format!("bad flag syntax: {arg}"));
        }
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (long, None),
        };
        let wanted = name.replace('_', "-");
        let flag = flags(&self.path)
            .into_iter()
            .find(|flag| flag.name == wanted);
        let flag = flag.ok_or_else(|| format!("unknown flag: --{name}"))?;
        let value = match value {
            Some(value) => value,
            None if flag.takes == Takes::Bool => "true".to_owned(),
            None => rest
                .next()
                .ok_or_else(|| format!("flag needs an argument: {arg}"))?,
        };
        self.set(&flag, &value)
    }

    /// One letter or several: `-v`, `-p7000`, `-p=7000`, `-p 7000`.
    fn short(
        &mut self,
        cluster: &str,
        rest: &mut impl Iterator<Item = String>,
    ) -> Result<(), String> {
        for (at, letter) in cluster.char_indices() {
            let behind = cluster.get(at + letter.len_utf8()..).unwrap_or_default();
            let flag = flags(&self.path)
                .into_iter()
                .find(|flag| flag.short == Some(letter));
            let here = cluster.get(at..).unwrap_or_default();
            let flag =
                flag.ok_or_else(|| format!("unknown shorthand flag: {letter:?} in -{here}"))?;
            if let Some(value) = behind.strip_prefix('=').filter(|value| !value.is_empty()) {
                return self.set(&flag, value);
            }
            if flag.takes == Takes::Bool {
                self.set(&flag, "true")?;
                continue;
            }
            if !behind.is_empty() {
                return self.set(&flag, behind);
            }
            let value = rest
                .next()
                .ok_or_else(|| format!("flag needs an argument: {letter:?} in -{here}"))?;
            return self.set(&flag, &value);
        }
        Ok(())
    }

    fn set(&mut self, flag: &Flag, text: &str) -> Result<(), String> {
        let value = read(flag.takes, text).map_err(|error| {
            let name = match flag.short {
                Some(short) => format!("-{short}, --{}", flag.name),
                None => format!("--{}", flag.name),
            };
            format!("invalid argument {text:?} for {name:?} flag: {error}")
        })?;
        let value = match self.given.remove(flag.name) {
            Some(old) => merge(old, value),
            None => value,
        };
        self.given.insert(flag.name, value);
        Ok(())
    }
}

/// The command that the words name, and the arguments without its name.
pub(crate) fn find_command(
    program: Program,
    mut args: Vec<String>,
) -> (Vec<&'static Command>, Vec<String>) {
    let mut path = vec![root(program)];
    while let Some((at, word)) = first_word(&path, &args) {
        let below = path.last().map_or(&[][..], |command| command.below);
        let Some(next) = below.iter().find(|next| next.name == word) else {
            break;
        };
        path.push(next);
        args.remove(at);
    }
    (path, args)
}

/// The first argument that is no flag and no flag's value, as far as `path` knows its flags.
fn first_word<'a>(path: &[&'static Command], args: &'a [String]) -> Option<(usize, &'a str)> {
    let mut index = 0;
    while let Some(arg) = args.get(index) {
        if arg == "--" {
            return None;
        }
        if !arg.starts_with('-') || arg == "-" {
            return Some((index, arg));
        }
        if takes_next(path, arg) {
            index += 1;
        }
        index += 1;
    }
    None
}

/// Whether the flag's value is the next argument; so it is with flags not known here.
fn takes_next(path: &[&'static Command], arg: &str) -> bool {
    if arg.contains('=') {
        return false;
    }
    let flag = match arg.strip_prefix("--") {
        Some(long) => {
            let name = long.replace('_', "-");
            flags(path).into_iter().find(|flag| flag.name == name)
        }
        None => {
            let mut letters = arg.chars().skip(1);
            let (first, second) = (letters.next(), letters.next());
            if second.is_some() {
                return false;
            }
            flags(path)
                .into_iter()
                .find(|flag| flag.short.is_some() && flag.short == first)
        }
    };
    flag.is_none_or(|flag| flag.takes != Takes::Bool)
}

fn unknown_command(command: &'static Command, word: &str) -> String {
    let mut text = format!("Error: unknown command {word:?} for {:?}\n", command.name);
    let lower = word.to_lowercase();
    let near = command.below.iter().map(|below| below.name).filter(|name| {
        !name.starts_with("__") && (distance(&lower, name) <= 2 || name.starts_with(&lower))
    });
    let near: Vec<&str> = near.collect();
    if !near.is_empty() {
        text.push_str("\nDid you mean this?\n");
        for name in near {
            text.push_str(&format!("\t{name}\n"));
        }
        text.push('\n');
    }
    text.push_str(&format!("Run '{} --help' for usage.\n", command.name));
    text
}
