//! JSON as Go's `encoding/json` reads and writes it, for structs whose fields are all `omitempty`.
//!
//! [`wire_struct!`] defines such a struct together with its serde impls. They differ from serde's
//! derived ones as Go does: a zero value is left out, `null` is the zero value, unknown keys are
//! ignored, a key that matches no field exactly matches one without regard to case, and of repeated
//! keys the last counts.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::{BufMut as _, Bytes, BytesMut};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::ser::Formatter;

/// Appends `value` to `out`, byte for byte as Go would.
pub(crate) fn write<T: Serialize + ?Sized>(
    value: &T,
    out: &mut BytesMut,
) -> serde_json::Result<()> {
    value.serialize(&mut serde_json::Serializer::with_formatter(
        out.writer(),
        GoFormatter,
    ))
}

/// Reads one value that fills `body`; `null` is the zero value.
pub(crate) fn read<T: DeserializeOwned + Default>(body: &[u8]) -> serde_json::Result<T> {
    let error = match serde_json::from_slice::<Option<T>>(body) {
        Ok(value) => return Ok(value.unwrap_or_default()),
        Err(error) => error,
    };
    // Go replaces what is no Unicode inside a string; serde_json refuses it. Only then is it worth
    // making a copy in which that is repaired.
    match repair_unicode(body) {
        Some(repaired) => Ok(serde_json::from_slice::<Option<T>>(&repaired)?.unwrap_or_default()),
        None => Err(error),
    }
}

/// The value of a field: how Go writes it, and reads it with `null` allowed.
pub(crate) trait Field: Default {
    fn is_zero(&self) -> bool;
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// A [`Field`] as serde sees it.
#[derive(Default)]
pub(crate) struct Value<T>(pub(crate) T);

impl<T: Field> Serialize for Value<&T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.write(serializer)
    }
}

impl<'de, T: Field> Deserialize<'de> for Value<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::read(deserializer).map(Self)
    }
}

/// Implements [`Field`] by way of the type's own serde impls.
macro_rules! plain_field {
    ($($ty:ty, $zero:expr;)*) => {$(
        impl $crate::json::Field for $ty {
            fn is_zero(&self) -> bool {
                let zero: fn(&$ty) -> bool = $zero;
                zero(self)
            }
            fn write<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serde::Serialize::serialize(self, serializer)
            }
            fn read<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <Option<Self> as serde::Deserialize>::deserialize(deserializer)
                    .map(Option::unwrap_or_default)
            }
        }
    )*};
}
pub(crate) use plain_field;

plain_field! {
    String, |text| text.is_empty();
    bool, |flag| !flag;
    i64, |number| *number == 0;
    u16, |number| *number == 0;
}

impl<T: Field> Field for Vec<T> {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Value))
    }
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = Option::<Vec<Value<T>>>::deserialize(deserializer)?.unwrap_or_default();
        Ok(list.into_iter().map(|Value(item)| item).collect())
    }
}

impl<T: Field> Field for BTreeMap<String, T> {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(key, value)| (key, Value(value))))
    }
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = Option::<BTreeMap<String, Value<T>>>::deserialize(deserializer)?;
        Ok(map
            .unwrap_or_default()
            .into_iter()
            .map(|(key, Value(value))| (key, value))
            .collect())
    }
}

/// Bytes are standard base64 text.
impl Field for Bytes {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }
    fn write<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(self))
    }
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Base64Text;
        impl<'de> Visitor<'de> for Base64Text {
            type Value = Bytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64 text")
            }
            fn visit_unit<E>(self) -> Result<Bytes, E> {
                Ok(Bytes::new())
            }
            fn visit_none<E>(self) -> Result<Bytes, E> {
                Ok(Bytes::new())
            }
            fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Bytes, D::Error> {
                inner.deserialize_str(self)
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Bytes, E> {
                decode_base64(text).map(Bytes::from).map_err(E::custom)
            }
        }
        deserializer.deserialize_option(Base64Text)
    }
}

/// Appends `bytes` to `out` as base64 text, without an allocation of its own.
pub(crate) fn write_base64(bytes: &[u8], out: &mut BytesMut) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let text = out.get_mut(start..).unwrap_or_default();
    // Cannot fail: there is room for all of it.
    let length = BASE64.encode_slice(bytes, text).unwrap_or_default();
    out.truncate(start + length);
}

/// Appends what `text` stands for to `out`; false, and nothing, where it is not plain base64.
pub(crate) fn read_base64(text: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let read = BASE64.decode_vec(text, out).is_ok();
    if !read {
        out.truncate(start);
    }
    read
}

/// As Go's `base64.StdEncoding`: padding is needed, stray bits in the last digit are let pass.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

fn decode_base64(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    BASE64.decode(text).or_else(|error| {
        // Go skips line breaks; no frp sends any, so the common path does not look for them.
        if !text.contains(['\r', '\n']) {
            return Err(error);
        }
        BASE64.decode(text.replace(['\r', '\n'], ""))
    })
}

/// Reads an object key and yields the name of the field it means, if there is one.
pub(crate) struct FieldName(pub(crate) &'static [&'static str]);

impl<'de> DeserializeSeed<'de> for FieldName {
    type Value = Option<&'static str>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for FieldName {
    type Value = Option<&'static str>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }
    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        let exact = self.0.iter().find(|name| **name == key);
        Ok(exact
            .or_else(|| self.0.iter().find(|name| name.eq_ignore_ascii_case(key)))
            .copied())
    }
}

/// What stands for a secret in Debug: whether there is one, not what it is.
pub(crate) struct Masked<'a>(pub(crate) &'a String);

impl fmt::Debug for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "\"\"" } else { "\"***\"" })
    }
}

/// What stands for a map in Debug: its keys, as users put credentials into the values.
pub(crate) struct Keys<'a>(pub(crate) &'a BTreeMap<String, String>);

impl fmt::Debug for Keys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.0.iter().map(|(key, value)| (key, Masked(value))))
            .finish()
    }
}

/// Defines a struct of the wire with its serde, Debug and `Default` impls.
///
/// A field is `name: Type = "json key"`, and after that may bear one mark: `always` (written even
/// when zero: Go's `omitempty` has no effect on structs), `secret` or `keys` (masked in Debug).
macro_rules! wire_struct {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $( $(#[$field_meta:meta])* $field:ident: $ty:ty = $key:literal $($mark:ident)? ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Default, PartialEq, Eq)]
        $vis struct $name {
            $( $(#[$field_meta])* pub $field: $ty, )*
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let len = 0 $( + usize::from($crate::json::wire_struct!(@written self.$field $($mark)?)) )*;
                #[allow(unused_mut)]
                let mut object = serializer.serialize_struct(stringify!($name), len)?;
                $( if $crate::json::wire_struct!(@written self.$field $($mark)?) {
                    serde::ser::SerializeStruct::serialize_field(
                        &mut object, $key, &$crate::json::Value(&self.$field))?;
                } )*
                serde::ser::SerializeStruct::end(object)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Object;
                impl<'de> serde::de::Visitor<'de> for Object {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a JSON object")
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self, mut map: A,
                    ) -> Result<$name, A::Error> {
                        const NAMES: &[&str] = &[$($key),*];
                        #[allow(unused_mut)]
                        let mut object = $name::default();
                        while let Some(name) = map.next_key_seed($crate::json::FieldName(NAMES))? {
                            match name {
                                $( Some($key) => {
                                    object.$field = map.next_value::<$crate::json::Value<$ty>>()?.0;
                                } )*
                                _ => { map.next_value::<serde::de::IgnoredAny>()?; }
                            }
                        }
                        Ok(object)
                    }
                }
                // Not deserialize_struct: that would accept an array in place of the object.
                deserializer.deserialize_map(Object)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name))
                    $( .field(stringify!($field), $crate::json::wire_struct!(@shown self.$field $($mark)?)) )*
                    .finish()
            }
        }

        $crate::json::plain_field! { $name, |object| *object == $name::default(); }
    };
    (@written $self:ident.$field:ident always) => { true };
    (@written $self:ident.$field:ident $($mark:ident)?) => {
        !$crate::json::Field::is_zero(&$self.$field)
    };
    (@shown $self:ident.$field:ident secret) => { &$crate::json::Masked(&$self.$field) };
    (@shown $self:ident.$field:ident keys) => { &$crate::json::Keys(&$self.$field) };
    (@shown $self:ident.$field:ident $($mark:ident)?) => { &$self.$field };
}
pub(crate) use wire_struct;

/// Go escapes three more ASCII characters and two line separators, so that JSON can stand in HTML.
struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (plain, tail) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let mut chars = tail.chars();
            let Some(special) = chars.next() else { break };
            write!(writer, "\\u{:04x}", u32::from(special))?;
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// A copy of `body` in which every byte that is no UTF-8 and every escaped lone surrogate is
/// U+FFFD; `None` when there is neither.
fn repair_unicode(body: &[u8]) -> Option<Vec<u8>> {
    let mut text = String::with_capacity(body.len());
    let mut changed = false;
    for chunk in body.utf8_chunks() {
        text.push_str(chunk.valid());
        for _ in chunk.invalid() {
            changed = true;
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    let (text, escapes_changed) = repair_surrogates(&text);
    (changed || escapes_changed).then(|| text.into_bytes())
}

fn repair_surrogates(text: &str) -> (String, bool) {
    let mut out = String::with_capacity(text.len());
    let mut changed = false;
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        let (taken, lone) = match surrogate_escape(tail) {
            Some(0xd800..=0xdbff)
                if matches!(
                    tail.get(6..).and_then(surrogate_escape),
                    Some(0xdc00..=0xdfff)
                ) =>
            {
                (12, false)
            }
            Some(_) => (6, true),
            // Also steps over `\\`, so that its second half does not look like an escape.
            None => (1 + tail.chars().nth(1).map_or(0, char::len_utf8), false),
        };
        let (escape, tail) = tail.split_at_checked(taken).unwrap_or((tail, ""));
        if lone {
            changed = true;
            out.push(char::REPLACEMENT_CHARACTER);
        } else {
            out.push_str(escape);
        }
        rest = tail;
    }
    out.push_str(rest);
    (out, changed)
}

/// The surrogate that `text` starts with in the form `\uD8xx` to `\uDFxx`.
fn surrogate_escape(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u16::from_str_radix(digits, 16)
        .ok()
        .filter(|unit| (0xd800..=0xdfff).contains(unit))
}
