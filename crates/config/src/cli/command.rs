//! What a command line consists of: commands, and flags, most of which are those of keys.

use frp_proto::names::ProxyType;

use crate::keys::{Fallback, Ini, Key, Kind, PROXY, Rule, VISITOR, walk};
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
    pub(crate) flags: &'static [OwnFlag],
    /// Flags of this command and of those below it.
    pub(crate) persistent: &'static [OwnFlag],
    /// Whose keys have flags here and below: those of that program's whole file.
    pub(crate) gives: Option<Program>,
    pub(crate) below: &'static [Self],
}

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Run,
    Verify,
    Convert,
    Reload,
    Confirm,
    Status,
    Stop,
    Clients,
    Proxies,
    Kick,
    Who,
    BanList,
    BanAdd,
    BanRemove,
    Top,
    /// Makes a token.
    TokenNew,
    /// Makes what frps can know of a token in its place.
    TokenHash,
    Discover,
    Fingerprint,
    Doctor,
    /// One proxy of that type, from flags.
    Proxy(ProxyType),
    /// One visitor of that type, from flags.
    Visitor(ProxyType),
    /// One proxy of that type, whose service an ssh client reaches.
    Tunnel(ProxyType),
    Completion(Shell),
    /// Prints the candidates for the last word; what the completion scripts call.
    Candidates,
    Help,
    /// Only holds other commands.
    Group,
}

impl Act {
    /// Whether a running program is asked.
    pub(crate) const fn asks(self) -> bool {
        matches!(
            self,
            Self::Reload
                | Self::Confirm
                | Self::Status
                | Self::Stop
                | Self::Clients
                | Self::Proxies
                | Self::Kick
                | Self::Who
                | Self::BanList
                | Self::BanAdd
                | Self::BanRemove
                | Self::Top
        )
    }
}

/// A shell that a completion script is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
    Power,
}

/// A flag that is for the program itself.
#[derive(Debug)]
pub(crate) struct OwnFlag {
    /// With `-` between words; a user may also write `_`.
    pub(crate) name: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) takes: Takes,
    pub(crate) about: &'static str,
    pub(crate) default: Option<&'static str>,
}

/// A flag of a command, for the program or for a key.
#[derive(Debug, Clone)]
pub(crate) struct Flag {
    pub(crate) name: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) takes: Takes,
    pub(crate) about: &'static str,
    /// The default where it is not that of the key.
    pub(crate) default: Option<&'static str>,
    pub(crate) gives: Option<Gives>,
}

/// The key that a flag gives.
#[derive(Debug, Clone)]
pub(crate) struct Gives {
    pub(crate) path: String,
    pub(crate) key: &'static Key,
    /// Of the one proxy or visitor, else of the whole file.
    pub(crate) of_item: bool,
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

/// The flags that the last command of `path` has, inherited ones last.
pub(crate) fn flags(path: &[&'static Command]) -> Vec<Flag> {
    let Some((command, outer)) = path.split_last() else {
        return Vec::new();
    };
    let mut flags = own_flags(command);
    flags.extend(outer.iter().rev().flat_map(|outer| persistent_flags(outer)));
    flags
}

/// The flags that the command does not inherit, by name.
pub(crate) fn own_flags(command: &'static Command) -> Vec<Flag> {
    let mut flags = vec![HELP_FLAG.flag()];
    flags.extend(command.flags.iter().map(OwnFlag::flag));
    for keys in command.item_keys() {
        flags.extend(flags_of(keys, true));
    }
    flags.extend(persistent_flags(command));
    if let Act::Tunnel(kind) = command.act {
        let own = PROXY.tag(kind.as_str()).map(|tag| flags_of(tag.keys, true));
        let own: Vec<&str> = own.iter().flatten().map(|flag| flag.name).collect();
        flags.retain(|flag| OF_TUNNELS.contains(&flag.name) || own.contains(&flag.name));
    }
    flags.sort_by_key(|flag| flag.name);
    flags
}

/// The flags of an ssh client beside those of its type of proxy (frp `pkg/config/flags.go`: WithSSHMode).
pub(crate) const OF_TUNNELS: [&str; 7] = [
    "annotations",
    "client-id",
    "help",
    "metadatas",
    "proxy-name",
    "token",
    "user",
];

/// The flags that the commands below inherit.
pub(crate) fn persistent_flags(command: &'static Command) -> Vec<Flag> {
    let of_program = command.persistent.iter().map(OwnFlag::flag);
    let keys = command.gives.map_or(&[][..], Program::keys);
    of_program.chain(flags_of(keys, false)).collect()
}

/// The flags that give keys.
fn flags_of(keys: &'static [Key], of_item: bool) -> Vec<Flag> {
    let mut flags = Vec::new();
    walk(keys, "", &mut |path, key| {
        flags.extend(key.flag.map(|flag| Flag {
            name: flag.name,
            short: flag.short,
            takes: takes(key),
            about: key.doc,
            default: flag.default,
            gives: Some(Gives {
                path: path.to_owned(),
                key,
                of_item,
            }),
        }));
        false
    });
    flags
}

impl Command {
    /// The definitions of the one proxy or visitor that the command is about.
    fn item_keys(&self) -> Vec<&'static [Key]> {
        let (tagged, kind) = match self.act {
            Act::Proxy(kind) | Act::Tunnel(kind) => (&PROXY, kind),
            Act::Visitor(kind) => (&VISITOR, kind),
            _ => return Vec::new(),
        };
        let own = tagged.tag(kind.as_str()).map(|tag| tag.keys);
        std::iter::once(tagged.base).chain(own).collect()
    }
}

impl OwnFlag {
    fn flag(&self) -> Flag {
        Flag {
            name: self.name,
            short: self.short,
            takes: self.takes,
            about: self.about,
            default: self.default,
            gives: None,
        }
    }
}

impl Flag {
    /// The default as the help shows it; empty for a zero value.
    pub(crate) fn shown_default(&self) -> String {
        let of_key = self.gives.as_ref().map(|gives| gives.key.default);
        match (self.default, of_key) {
            (Some(default), _) => default.to_owned(),
            (None, Some(Fallback::True)) => "true".to_owned(),
            (None, Some(Fallback::Int(value))) => value.to_string(),
            (None, Some(Fallback::Text(text))) => text.to_owned(),
            _ => String::new(),
        }
    }
}

/// `-h`, which every command has.
const HELP_FLAG: OwnFlag = OwnFlag {
    name: "help",
    short: Some('h'),
    takes: Takes::Bool,
    about: "Show what this command does.",
    default: None,
};

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
