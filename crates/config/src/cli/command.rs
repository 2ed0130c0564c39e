//! What a command line consists of: commands, and flags that mostly name a key.

use crate::keys::{CLIENT, Fallback, Ini, Key, Kind, PROXY, Rule, SERVER, VISITOR};
use crate::section::find;
use crate::suggest::Program;

/// A command of a program, or the program itself.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) act: Act,
    /// What follows the name in the usage line, besides flags.
    pub(crate) operand: &'static str,
    /// Flags of this command only.
    pub(crate) flags: &'static [&'static [Flag]],
    /// Flags of this command and of those below it.
    pub(crate) persistent: &'static [Flag],
    pub(crate) below: &'static [Self],
}

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Run,
    Verify,
    Convert,
    Reload,
    Status,
    Stop,
    Discover,
    /// One proxy of that type, from flags.
    Proxy(&'static str),
    /// One visitor of that type, from flags.
    Visitor(&'static str),
    Completion(Shell),
    /// Prints the candidates for the last word; what the completion scripts call.
    Candidates,
    Help,
    /// Only holds other commands.
    Group,
}

/// A shell that a completion script is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
    Power,
}

/// A flag.
#[derive(Debug)]
pub(crate) struct Flag {
    /// With `-` between words; a user may also write `_`.
    pub(crate) name: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) target: Target,
    /// The default where it is not that of the key.
    pub(crate) default: Option<&'static str>,
}

/// What a flag is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// Gives a key of the whole file.
    Root(&'static str),
    /// Gives a key of the one proxy or visitor.
    Item(&'static str),
    /// Is for the program: its kind and meaning.
    Own(Takes, &'static str),
}

/// What kind of value a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// `--x` or `--x=false`
    Bool,
    Int,
    Text,
    /// Comma-separated or repeated.
    Texts,
    /// `k=v`, comma-separated or repeated.
    Pairs,
    /// As Go writes it: `1m30s`.
    Duration,
    /// `1000-2000,3000`
    Ports,
    /// `1MB`
    Bandwidth,
}

impl Command {
    /// The definitions that an [`Target::Item`] flag looks its key up in.
    pub(crate) fn item_keys(&self) -> Vec<&'static [Key]> {
        let (tagged, name) = match self.act {
            Act::Proxy(name) => (&PROXY, name),
            Act::Visitor(name) => (&VISITOR, name),
            _ => return Vec::new(),
        };
        let own = tagged.tag(name).map(|tag| tag.keys);
        std::iter::once(tagged.base).chain(own).collect()
    }
}

impl Flag {
    /// The key that the flag gives when it belongs to `command`.
    pub(crate) fn key(&self, program: Program, command: &Command) -> Option<&'static Key> {
        match self.target {
            Target::Root(path) => find(&[program.keys()], path),
            Target::Item(path) => find(&command.item_keys(), path),
            Target::Own(..) => None,
        }
    }

    /// The kind of its value. Keys of all types called alike are of one kind.
    pub(crate) fn takes(&self) -> Takes {
        let keys: Vec<&'static [Key]> = match self.target {
            Target::Own(takes, _) => return takes,
            Target::Root(_) => vec![SERVER, CLIENT],
            Target::Item(_) => [&PROXY, &VISITOR]
                .into_iter()
                .flat_map(|tagged| {
                    let own = tagged.types.iter().map(|tag| tag.keys);
                    std::iter::once(tagged.base).chain(own)
                })
                .collect(),
        };
        let (Target::Root(path) | Target::Item(path)) = self.target else {
            return Takes::Text;
        };
        let found = keys.into_iter().find_map(|keys| find(&[keys], path));
        found.map_or(Takes::Text, takes)
    }

    pub(crate) fn about(&self, program: Program, command: &Command) -> &'static str {
        match self.target {
            Target::Own(_, about) => about,
            _ => self.key(program, command).map_or("", |key| key.doc),
        }
    }

    /// The default as the help shows it; empty for a zero value.
    pub(crate) fn shown_default(&self, program: Program, command: &Command) -> String {
        if let Some(default) = self.default {
            return default.to_owned();
        }
        match self.key(program, command).map(|key| key.default) {
            Some(Fallback::True) => "true".to_owned(),
            Some(Fallback::Int(value)) => value.to_string(),
            Some(Fallback::Text(text)) => text.to_owned(),
            _ => String::new(),
        }
    }
}

/// The kind of a flag that gives `key`.
fn takes(key: &Key) -> Takes {
    match (key.kind, key.rule, key.ini) {
        (Kind::Bool, ..) => Takes::Bool,
        (Kind::Int, ..) => Takes::Int,
        (Kind::Texts, ..) => Takes::Texts,
        (Kind::TextMap, ..) => Takes::Pairs,
        (_, _, Ini::Ports(_)) => Takes::Ports,
        (_, Rule::Bandwidth, _) => Takes::Bandwidth,
        _ => Takes::Text,
    }
}
