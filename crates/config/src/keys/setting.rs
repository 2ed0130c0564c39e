//! How a value of a file becomes a value of the settings, by its type.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use frp_proto::address::ScopedIp;
use frp_proto::fingerprint::Fingerprint;
use frp_proto::names::Named;
use frp_proto::network::Network;
use frp_proto::proxy_protocol::Version;
use frp_proto::proxy_url::ProxyUrl;
use frp_proto::wire::WireProtocol;

use super::key::{Fallback, Ini, Key, Kind, NONE, Rule, Tagged, join, key};
use crate::Secret;
use crate::bandwidth::{BandwidthLimit, parse_bandwidth};
use crate::section::{Field, List, Section, find};
use crate::value::Value;

/// Longest time that a setting may mean: about 31 years, far below where time overflows.
const LONGEST: u64 = 1_000_000_000;

/// A type that settings have.
pub(crate) trait Setting: Sized + PartialEq {
    /// What kind of value a file gives for it.
    const KIND: Kind;
    /// What the value must satisfy.
    const RULE: Rule = Rule::Any;

    /// What the file gives, or the default. A value that breaks its rule has been reported, and may
    /// become anything.
    fn read(at: &At<'_, Self>) -> Self;

    /// Names the keys in which two values differ.
    fn differing(at: &mut Both<'_, Self>) {
        at.whole(|value| value);
    }
}

/// What lists consist of.
pub(crate) trait Item: Sized + PartialEq {
    const KIND: Kind;
    const RULE: Rule = Rule::Any;

    fn read_all(at: &At<'_, Vec<Self>>) -> Vec<Self>;
}

/// A struct that is a table of keys.
pub(crate) trait Table: Setting {
    const KEYS: &'static [Key];
}

/// A table that is there only where it says something.
pub(crate) trait Optional: Setting {
    fn is_there(&self, at: &At<'_, Option<Self>>) -> bool;
}

/// An entry of a list that has a name and can be left out.
pub(crate) trait Listed: Table {
    const TAGGED: &'static Tagged;
    const NAME: Of<Self, String>;
    const TYPE: Of<Self, String>;
    const ENABLED: Of<Self, bool>;
}

/// A key for a value of type `V` in the table `T`.
#[derive(Debug)]
pub(crate) struct Of<T, V> {
    pub(crate) key: &'static Key,
    /// The table within `T` that has it; empty for `T` itself.
    pub(crate) table: &'static str,
    pub(crate) types: PhantomData<fn() -> (T, V)>,
}

/// Two values at one place, to be compared key by key.
pub(crate) struct Both<'a, T> {
    pub(crate) one: &'a T,
    pub(crate) other: &'a T,
    /// Of their key; empty for the root.
    pub(crate) path: String,
    /// The keys that differ, so far.
    pub(crate) found: &'a mut Vec<String>,
}

/// The place of the keys of `V` among those of `T`.
#[derive(Debug)]
pub(crate) struct Flat<T, V> {
    pub(crate) table: &'static str,
    pub(crate) types: PhantomData<fn() -> (T, V)>,
}

/// A value of type `T` in a file, given or not.
#[derive(Debug)]
pub(crate) struct At<'a, T> {
    section: &'a Section,
    path: String,
    key: &'static Key,
    types: PhantomData<fn() -> T>,
}

impl<T, V> Of<T, V> {
    /// Where it stands below `T`.
    pub(crate) fn path(self) -> String {
        join(self.table, self.key.name)
    }

    /// Its name in INI files; empty for none.
    pub(crate) const fn ini(self) -> &'static str {
        match self.key.ini {
            Ini::Name(name) => name,
            _ => "",
        }
    }

    /// `a.b` where `b` is a key of the table `a`.
    pub(crate) fn below<W>(self, of: Of<V, W>) -> String {
        join(&self.path(), &of.path())
    }
}

impl<T, V> Of<T, Option<V>> {
    /// The table that may be there.
    pub(crate) const fn some(self) -> Of<T, V> {
        Of {
            key: self.key,
            table: self.table,
            types: PhantomData,
        }
    }
}

impl<T, V> Clone for Of<T, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, V> Copy for Of<T, V> {}

impl<'a, T> Both<'a, T> {
    /// What has no effect makes no difference.
    pub(crate) fn of<V: Setting>(&mut self, of: Of<T, V>, field: impl Fn(&T) -> &V) {
        if !of.key.inert {
            let path = join(&self.path, &of.path());
            V::differing(&mut self.below(path, field));
        }
    }

    pub(crate) fn flat<V: Setting>(&mut self, flat: Flat<T, V>, field: impl Fn(&T) -> &V) {
        let path = match flat.table {
            "" => self.path.clone(),
            table => join(&self.path, table),
        };
        V::differing(&mut self.below(path, field));
    }

    /// As one, without a look at what it consists of.
    pub(crate) fn whole<V: PartialEq>(&mut self, field: impl Fn(&T) -> &V) {
        if field(self.one) != field(self.other) {
            self.found.push(self.path.clone());
        }
    }

    fn below<V>(&mut self, path: String, field: impl Fn(&T) -> &V) -> Both<'_, V> {
        Both {
            one: field(self.one),
            other: field(self.other),
            path,
            found: self.found,
        }
    }
}

/// The definition of a key with a value of type `T`.
pub(crate) const fn definition<T: Setting>(name: &'static str, doc: &'static str) -> Key {
    key(name, T::KIND, T::RULE, doc)
}

impl<'a, T> At<'a, T> {
    /// The section itself, which consists of the keys of `T`.
    pub(crate) fn root(section: &'a Section) -> Self {
        Self {
            section,
            path: String::new(),
            key: &NONE,
            types: PhantomData,
        }
    }

    /// The value at `path`, which is that of `key`.
    pub(crate) fn new(section: &'a Section, path: String, key: &'static Key) -> Self {
        Self {
            section,
            path,
            key,
            types: PhantomData,
        }
    }

    pub(crate) fn of<V>(&self, of: Of<T, V>) -> At<'a, V> {
        At {
            section: self.section,
            path: join(&self.path, &of.path()),
            key: of.key,
            types: PhantomData,
        }
    }

    pub(crate) fn flat<V>(&self, flat: Flat<T, V>) -> At<'a, V> {
        At {
            path: match flat.table {
                "" => self.path.clone(),
                table => join(&self.path, table),
            },
            ..self.cast()
        }
    }

    /// The same place for another type.
    pub(crate) fn cast<V>(&self) -> At<'a, V> {
        At {
            section: self.section,
            path: self.path.clone(),
            key: self.key,
            types: PhantomData,
        }
    }

    pub(crate) fn read(&self) -> T
    where
        T: Setting,
    {
        T::read(self)
    }

    pub(crate) fn section(&self) -> &'a Section {
        self.section
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The value that is given.
    pub(crate) fn field(&self) -> Option<&'a Field> {
        self.section.fields.get(&self.path)
    }

    /// The value that is given and means more than none.
    pub(crate) fn filled(&self) -> Option<&'a Field> {
        self.field().filter(|field| !field.value.is_zero())
    }

    pub(crate) fn list(&self) -> Option<&'a List> {
        self.section.lists.get(&self.path)
    }

    /// Where the table begins that is given, perhaps without keys.
    pub(crate) fn table(&self) -> Option<usize> {
        self.section.tables.get(&self.path).copied()
    }

    /// Where the table begins that the key stands in, if that is given.
    pub(crate) fn around(&self) -> Option<usize> {
        let (table, _) = self.path.rsplit_once('.')?;
        self.section.tables.get(table).copied()
    }

    /// How the file calls the key.
    pub(crate) fn name(&self, legacy: bool) -> String {
        match find(&self.section.keys, &self.path).map(|key| key.ini) {
            Some(Ini::Name(name)) if legacy => name.to_owned(),
            _ => self.path.clone(),
        }
    }

    /// Offset of the value, else of the section.
    pub(crate) fn value_at(&self) -> usize {
        self.field().map_or(self.section.at, |field| field.value_at)
    }

    pub(crate) fn bool(&self) -> bool {
        match self.value() {
            Some(Value::Bool(value)) => *value,
            _ => matches!(self.key.default, Fallback::True),
        }
    }

    /// The number in force; 0 where the default depends on other settings.
    pub(crate) fn int(&self) -> i64 {
        let heeds = |value: i64| match self.key.rule {
            Rule::NegativeIsDefault => value > 0,
            _ => value != 0,
        };
        match (self.value(), self.key.default) {
            (Some(Value::Int(value)), _) if heeds(*value) => *value,
            (_, Fallback::Int(value)) => value,
            _ => 0,
        }
    }

    pub(crate) fn text(&self) -> String {
        self.some_text().unwrap_or_else(|| match self.key.default {
            Fallback::Text(value) => value.to_owned(),
            _ => String::new(),
        })
    }

    /// The text that the file gives, if it is not empty.
    pub(crate) fn some_text(&self) -> Option<String> {
        match self.value() {
            Some(Value::Text(value)) if !value.is_empty() => Some(value.clone()),
            _ => None,
        }
    }

    pub(crate) fn texts(&self) -> impl Iterator<Item = &'a str> {
        let items = match self.value() {
            Some(Value::List(items)) => &items[..],
            _ => &[],
        };
        items.iter().filter_map(|item| match &item.value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    fn map<V>(&self, value: impl Fn(&Value) -> Option<V>) -> BTreeMap<String, V> {
        let entries = match self.value() {
            Some(Value::Table(entries)) => &entries[..],
            _ => &[],
        };
        let pairs = entries
            .iter()
            .filter_map(|entry| Some((entry.key.clone(), value(&entry.node.value)?)));
        pairs.collect()
    }

    fn value(&self) -> Option<&'a Value> {
        self.field().map(|field| &field.value)
    }

    fn duration(&self) -> Duration {
        let value = u64::try_from(self.int()).unwrap_or(0).min(LONGEST);
        match self.key.millis {
            true => Duration::from_millis(value),
            false => Duration::from_secs(value),
        }
    }

    /// A choice; what is none has been reported.
    pub(crate) fn choice<C: Named>(&self) -> Option<C> {
        C::named(&self.text())
    }
}

impl<'a, T> At<'a, Option<T>> {
    /// The table that may be there.
    pub(crate) fn some(&self) -> At<'a, T> {
        self.cast()
    }
}

impl<'a, T> At<'a, Vec<T>> {
    /// The tables of a list.
    pub(crate) fn items(&self) -> impl Iterator<Item = At<'a, T>> + use<'a, T> {
        let items = self.list().map_or(&[][..], |list| &list.items);
        items.iter().map(At::root)
    }
}

/// Types with one kind of value, and the expression that reads it.
macro_rules! simple {
    ($($ty:ty = $kind:ident $($rule:expr)?, |$at:ident| $read:expr;)*) => { $(
        impl Setting for $ty {
            const KIND: Kind = Kind::$kind;
            $( const RULE: Rule = $rule; )?

            fn read($at: &At<'_, Self>) -> Self {
                $read
            }
        }
    )* };
}

simple! {
    bool = Bool, |at| at.bool();
    i64 = Int, |at| at.int();
    // Negative numbers mean none, or no limit.
    u64 = Int, |at| u64::try_from(at.int()).unwrap_or(0);
    u16 = Int Rule::Port, |at| u16::try_from(at.int()).unwrap_or(0);
    // 0 is none.
    Option<u16> = Int Rule::Port, |at| u16::try_from(at.int()).ok().filter(|port| *port != 0);
    Duration = Int, |at| at.duration();
    // A time that a negative number switches off.
    Option<Duration> = Int, |at| (at.int() > 0).then(|| at.duration());
    String = Text, |at| at.text();
    Option<String> = Text, |at| at.some_text();
    PathBuf = Text, |at| at.text().into();
    Option<PathBuf> = Text, |at| at.some_text().map(PathBuf::from);
    // A zone is that of the peer.
    Option<IpAddr> = Text Rule::Ip, |at| {
        at.some_text()?.parse::<ScopedIp>().ok().map(|scoped| scoped.ip)
    };
    Option<BandwidthLimit> = Text Rule::Bandwidth, |at| parse_bandwidth(&at.text()).unwrap_or_default();
    Secret = Secret, |at| at.text().into();
    Option<Secret> = Secret, |at| at.some_text().map(Secret::from);
    Option<ProxyUrl> = Secret Rule::ProxyUrl, |at| at.some_text()?.parse().ok();
    BTreeMap<String, String> = TextMap, |at| at.map(|value| match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    });
    BTreeMap<String, Secret> = TextMap, |at| at.map(|value| match value {
        Value::Text(text) => Some(text.as_str().into()),
        _ => None,
    });
    BTreeMap<String, bool> = BoolMap, |at| at.map(|value| match value {
        Value::Bool(on) => Some(*on),
        _ => None,
    });
}

impl Item for String {
    const KIND: Kind = Kind::Texts;

    fn read_all(at: &At<'_, Vec<Self>>) -> Vec<Self> {
        at.texts().map(str::to_owned).collect()
    }
}

impl Item for Network {
    const KIND: Kind = Kind::Texts;
    const RULE: Rule = Rule::Networks;

    fn read_all(at: &At<'_, Vec<Self>>) -> Vec<Self> {
        at.texts().filter_map(|text| text.parse().ok()).collect()
    }
}

impl Item for Fingerprint {
    const KIND: Kind = Kind::Texts;
    const RULE: Rule = Rule::Fingerprints;

    fn read_all(at: &At<'_, Vec<Self>>) -> Vec<Self> {
        // What is none has been reported.
        at.texts().flat_map(str::parse).collect()
    }
}

impl<T: Item> Setting for Vec<T> {
    const KIND: Kind = T::KIND;
    const RULE: Rule = T::RULE;

    fn read(at: &At<'_, Self>) -> Self {
        T::read_all(at)
    }
}

impl<T: Optional> Setting for Option<T> {
    const KIND: Kind = T::KIND;

    fn read(at: &At<'_, Self>) -> Self {
        Some(T::read(&at.cast())).filter(|value| value.is_there(at))
    }

    fn differing(at: &mut Both<'_, Self>) {
        match (at.one, at.other) {
            (Some(one), Some(other)) => T::differing(&mut Both {
                one,
                other,
                path: at.path.clone(),
                found: at.found,
            }),
            _ => at.whole(|value| value),
        }
    }
}

/// The rule of a choice.
pub(crate) const fn one_of<C: Named>() -> Rule {
    Rule::OneOf {
        values: C::NAMES,
        refusal: "",
    }
}

choices!(Version, WireProtocol);
