//! The definitions of every key that frp knows: one place for name, type, default, rule, legacy
//! name, state of support and meaning.
//!
//! The checker walks these tables, the settings take their defaults from them, and the legacy
//! INI reader finds its names in them. A key that is not in here does not exist.

mod client;
mod describe;
mod proxy;
pub(crate) mod scopes;
mod server;
mod shared;
mod visitor;

#[cfg(test)]
mod tests;

pub(crate) use client::CLIENT;
pub(crate) use proxy::{PLUGIN, PROXY};
pub(crate) use server::SERVER;
pub(crate) use visitor::VISITOR;

/// The definition of one key.
#[derive(Debug)]
pub(crate) struct Key {
    /// frp's spelling; files may use any case.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: Fallback,
    pub(crate) rule: Rule,
    pub(crate) ini: Ini,
    pub(crate) support: Support,
    /// Meaning, with the unit, for people.
    pub(crate) doc: &'static str,
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
    pub(crate) support: Support,
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
    /// A port that frp does not check, though no other can be used.
    UnheededPort,
    /// The same where a negative number means none.
    PortOrNone,
    /// Seconds of something that cannot be switched off: not negative. frp does not check it.
    NotNegative,
    /// A name or an address, without the port, which is that of the key named, if there is one.
    Host(Option<&'static str>),
    /// An IP address. frp does not check it.
    Ip,
    /// An IP address, with a port or without. frp does not check it.
    DnsServer,
    /// The URL of a proxy. frp checks it with each login.
    ProxyUrl,
    Bandwidth,
    /// Entries of `transport.order`.
    Ways,
    /// One of `values` (for lists: each item), of which `ready` can be used already.
    OneOf {
        values: &'static [&'static str],
        ready: &'static [&'static str],
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

/// How far this implementation goes with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Support {
    Ready,
    /// Checked, but refused by name at start unless it has its zero value.
    Later,
    /// Accepted: it means nothing without a key that is refused, or has no effect in frp either.
    Inert,
}

const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key {
        name,
        kind,
        default: Fallback::Zero,
        rule: Rule::Any,
        ini: Ini::None,
        support: Support::Ready,
        doc,
    }
}

/// Definitions read as `key(..).ini(..).int(..)`.
impl Key {
    const fn ini(mut self, name: &'static str) -> Self {
        self.ini = Ini::Name(name);
        self
    }

    const fn ini_form(mut self, form: Ini) -> Self {
        self.ini = form;
        self
    }

    const fn on(mut self) -> Self {
        self.default = Fallback::True;
        self
    }

    const fn int(mut self, default: i64) -> Self {
        self.default = Fallback::Int(default);
        self
    }

    const fn text(mut self, default: &'static str) -> Self {
        self.default = Fallback::Text(default);
        self
    }

    const fn depends(mut self, how: &'static str) -> Self {
        self.default = Fallback::Depends(how);
        self
    }

    const fn rule(mut self, rule: Rule) -> Self {
        self.rule = rule;
        self
    }

    const fn later(mut self) -> Self {
        self.support = Support::Later;
        self
    }

    const fn inert(mut self) -> Self {
        self.support = Support::Inert;
        self
    }
}

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
