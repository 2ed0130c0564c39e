//! What a definition of a key says, and how it is written.

use crate::features::{Feature, Needs};

/// The definition of one key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    /// frp's spelling; files may use any case.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: Fallback,
    pub(crate) rule: Rule,
    pub(crate) ini: Ini,
    /// Accepted, and without any effect, as in frp.
    pub(crate) inert: bool,
    pub(crate) needs: Needs,
    pub(crate) flag: Option<KeyFlag>,
    /// A time in milliseconds, not in seconds.
    pub(crate) millis: bool,
    pub(crate) shown: Shown,
    /// Meaning, with the unit, for people.
    pub(crate) doc: &'static str,
}

/// The flag that gives a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyFlag {
    /// With `-` between words.
    pub(crate) name: &'static str,
    pub(crate) short: Option<char>,
    /// The default where it is not that of the key.
    pub(crate) default: Option<&'static str>,
}

/// What kind of value a key takes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Bool,
    Int,
    Text,
    /// Text that is never shown.
    Secret,
    Texts,
    TextMap,
    BoolMap,
    Table(&'static [Key]),
    Tables(&'static [Key]),
    /// A table whose `type` decides which keys it has.
    Tagged(&'static Tagged),
    TaggedList(&'static Tagged),
}

/// Tables that are told apart by their key `type`.
#[derive(Debug)]
pub(crate) struct Tagged {
    /// The word for one such table, as in "unknown proxy type".
    pub(crate) what: &'static str,
    /// Keys that every type has.
    pub(crate) base: &'static [Key],
    /// The types with their own keys.
    pub(crate) types: &'static [Tag],
}

/// One type of a [`Tagged`] table.
#[derive(Debug)]
pub(crate) struct Tag {
    pub(crate) name: &'static str,
    pub(crate) keys: &'static [Key],
    pub(crate) needs: Needs,
}

/// The value in force when a file gives none, or gives 0 or "", which mean the same in frp.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fallback {
    /// 0, "", false or empty.
    Zero,
    /// An explicit `false` counts; only an absent key is true.
    True,
    Int(i64),
    Text(&'static str),
    /// Depends on other settings; the text tells how.
    Depends(&'static str),
}

/// What a value must satisfy beyond its kind.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rule {
    Any,
    /// 0..65535.
    Port,
    /// The same, where frp's text calls the key so.
    PortCalled(&'static str),
    /// A port that frp does not check, though no other can be used.
    UnheededPort,
    /// The same where a negative number means none.
    PortOrNone,
    /// Seconds of something that cannot be switched off: not negative. frp does not check it.
    NotNegative,
    /// A number below 0, too, means the default.
    NegativeIsDefault,
    /// A name or an address, without the port, which is that of the key beside it, if there is one.
    Host(Option<&'static Key>),
    /// An IP address. frp does not check it.
    Ip,
    /// An IP address, with a port or without. frp does not check it.
    DnsServer,
    /// An IP address and a prefix. frp does not check it before it runs.
    VirtualAddress,
    /// Each item an IP address, or a network such as `10.0.0.0/8`.
    Networks,
    /// A date and time, or a date. A choice of ours alone.
    Expiry,
    /// The URL of a proxy. frp checks it with each login.
    ProxyUrl,
    Bandwidth,
    /// Entries of `transport.order`.
    Ways,
    /// Fingerprints of keys: one text, or a list.
    Fingerprints,
    /// One of `values` (for lists: each item).
    OneOf {
        values: &'static [&'static str],
        /// frp's text for anything else; `{}` stands for the value.
        refusal: &'static str,
    },
}

/// The key's form in the legacy INI files.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ini {
    None,
    Name(&'static str),
    /// Every key with this prefix is one entry of the map.
    Prefix(&'static str),
    /// Booleans that each add an item to the list.
    Flags(&'static [(&'static str, &'static str)]),
    /// Ranges such as `1-3,5`.
    Ports(&'static str),
}

/// How the API of frp shows a key of an entry of `proxies` or `visitors`, which follows from the Go
/// struct that frp has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Where it is not zero; a table always. frp fills in the default before it runs the entry.
    Filled,
    /// Even when it is empty, which it may stay.
    Always,
    /// Where it is given: frp fills nothing in, or does so where the value is used.
    Given,
}

/// A definition that says no more than what the key is; read on as `.ini(..).int(..)`.
pub(crate) const fn key(name: &'static str, kind: Kind, rule: Rule, doc: &'static str) -> Key {
    Key {
        name,
        kind,
        default: Fallback::Zero,
        rule,
        ini: Ini::None,
        inert: false,
        needs: Needs::Nothing,
        flag: None,
        millis: false,
        shown: Shown::Filled,
        doc,
    }
}

/// A default that does not go with the kind does not compile.
impl Key {
    pub(crate) const fn ini(mut self, name: &'static str) -> Self {
        self.ini = Ini::Name(name);
        self
    }

    pub(crate) const fn ini_form(mut self, form: Ini) -> Self {
        self.ini = form;
        self
    }

    /// True unless a file says false.
    pub(crate) const fn on(mut self) -> Self {
        assert!(matches!(self.kind, Kind::Bool));
        self.default = Fallback::True;
        self
    }

    pub(crate) const fn int(mut self, default: i64) -> Self {
        assert!(matches!(self.kind, Kind::Int));
        self.default = Fallback::Int(default);
        self
    }

    pub(crate) const fn text(mut self, default: &'static str) -> Self {
        assert!(matches!(self.kind, Kind::Text));
        self.default = Fallback::Text(default);
        self
    }

    pub(crate) const fn depends(mut self, how: &'static str) -> Self {
        self.default = Fallback::Depends(how);
        self
    }

    /// A rule beyond that of the type.
    pub(crate) const fn rule(mut self, rule: Rule) -> Self {
        self.rule = rule;
        self
    }

    /// frp's text for a value that is none of the choices.
    pub(crate) const fn refusal(mut self, text: &'static str) -> Self {
        let Rule::OneOf { values, .. } = self.rule else {
            panic!("only a choice is refused")
        };
        self.rule = Rule::OneOf {
            values,
            refusal: text,
        };
        self
    }

    pub(crate) const fn inert(mut self) -> Self {
        self.inert = true;
        self
    }

    /// Whatever its value is, the key needs `feature`.
    pub(crate) const fn needs(mut self, feature: Feature) -> Self {
        self.needs = Needs::Always(feature);
        self
    }

    /// These values need a feature.
    pub(crate) const fn some_need(mut self, values: &'static [(&'static str, Feature)]) -> Self {
        self.needs = Needs::For(values);
        self
    }

    pub(crate) const fn millis(mut self) -> Self {
        self.millis = true;
        self
    }

    /// Shown even when it is empty.
    pub(crate) const fn always(mut self) -> Self {
        self.shown = Shown::Always;
        self
    }

    /// Shown only where it is given, without a default.
    pub(crate) const fn as_given(mut self) -> Self {
        self.shown = Shown::Given;
        self
    }

    /// The flag that gives the key; of proxies and visitors where the key is one of theirs.
    pub(crate) const fn flag(self, name: &'static str) -> Self {
        self.any_flag(name, None, None)
    }

    /// A flag with a letter.
    pub(crate) const fn short_flag(self, name: &'static str, short: char) -> Self {
        self.any_flag(name, Some(short), None)
    }

    /// A flag with a default of its own.
    pub(crate) const fn any_flag(
        mut self,
        name: &'static str,
        short: Option<char>,
        default: Option<&'static str>,
    ) -> Self {
        self.flag = Some(KeyFlag {
            name,
            short,
            default,
        });
        self
    }

    /// Where the table has another meaning than its type says.
    pub(crate) const fn doc(mut self, doc: &'static str) -> Self {
        self.doc = doc;
        self
    }

    /// Where the keys of the table have other names in INI files, or other flags.
    pub(crate) const fn keys(mut self, keys: &'static [Self]) -> Self {
        self.kind = Kind::Table(keys);
        self
    }

    /// Where the tables of a list are told apart by their type.
    pub(crate) const fn tagged(mut self, tagged: &'static Tagged) -> Self {
        self.kind = Kind::TaggedList(tagged);
        self
    }
}

/// How many keys there are in all.
pub(crate) const fn count(parts: &[&[Key]]) -> usize {
    let (mut sum, mut part) = (0, 0);
    while part < parts.len() {
        sum += parts[part].len();
        part += 1;
    }
    sum
}

/// The keys one after the other; `N` is their [`count`].
pub(crate) const fn concat<const N: usize>(parts: &[&[Key]]) -> [Key; N] {
    let mut all = [NONE; N];
    let (mut at, mut part) = (0, 0);
    while part < parts.len() {
        let mut index = 0;
        while index < parts[part].len() {
            all[at] = parts[part][index];
            at += 1;
            index += 1;
        }
        part += 1;
    }
    all
}

/// The keys with those of `changed` in the places of their namesakes; `N` is the number of `keys`.
pub(crate) const fn changed<const N: usize>(keys: &[Key], changed: &[Key]) -> [Key; N] {
    let mut all: [Key; N] = concat(&[keys]);
    let mut change = 0;
    while change < changed.len() {
        let mut at = 0;
        while !same(all[at].name.as_bytes(), changed[change].name.as_bytes()) {
            at += 1;
        }
        all[at] = changed[change];
        change += 1;
    }
    all
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

/// What stands for the whole file, which has no name.
pub(crate) const NONE: Key = key("", Kind::Table(&[]), Rule::Any, "");

impl Tagged {
    /// The type called `name`; types are case-sensitive, as in frp.
    pub(crate) fn tag(&self, name: &str) -> Option<&'static Tag> {
        self.types.iter().find(|tag| tag.name == name)
    }

    /// The names of the types that have the key `name`.
    pub(crate) fn types_with(&self, name: &str) -> Vec<&'static str> {
        let has = |tag: &&Tag| {
            tag.keys
                .iter()
                .any(|key| key.name.eq_ignore_ascii_case(name))
        };
        self.types.iter().filter(has).map(|tag| tag.name).collect()
    }
}

/// Every key below `keys` with its path, depth first; `each` returns true to stop.
pub(crate) fn walk(
    keys: &'static [Key],
    prefix: &str,
    each: &mut dyn FnMut(&str, &'static Key) -> bool,
) -> bool {
    keys.iter().any(|key| {
        let path = join(prefix, key.name);
        if each(&path, key) {
            return true;
        }
        match key.kind {
            Kind::Table(below) => walk(below, &path, each),
            _ => false,
        }
    })
}

/// The key that the legacy INI form calls `name`, with its path.
pub(crate) fn by_ini_name(keys: &'static [Key], name: &str) -> Option<(String, &'static Key)> {
    let mut found = None;
    walk(keys, "", &mut |path, key| {
        let is_it = match key.ini {
            Ini::None => false,
            Ini::Name(ini) | Ini::Ports(ini) => ini == name,
            Ini::Prefix(prefix) => name.starts_with(prefix),
            Ini::Flags(flags) => flags.iter().any(|(flag, _)| *flag == name),
        };
        if is_it {
            found = Some((path.to_owned(), key));
        }
        is_it
    });
    found
}

/// `a.b` from `a` and `b`.
pub(crate) fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}.{name}")
    }
}
