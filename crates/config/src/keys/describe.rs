//! Definitions in words, for `--explain` and the reference page.

use super::key::{Fallback, Ini, Key, Kind, Rule};

impl Key {
    /// The kind of value, with the values that are allowed.
    pub(crate) fn type_text(&self) -> String {
        let kind = match self.kind {
            Kind::Bool => "true or false",
            Kind::Int => "whole number",
            Kind::Text => "text",
            Kind::Secret => "text, secret",
            Kind::Texts => "list of texts",
            Kind::TextMap => "table of texts",
            Kind::BoolMap => "table of true or false",
            Kind::Table(_) => "table",
            Kind::Tables(_) => "list of tables",
            Kind::Tagged(_) => "table, told apart by type",
            Kind::TaggedList(_) => "list of tables, told apart by type",
        };
        match self.rule {
            Rule::Port | Rule::PortCalled(_) => format!("{kind}, 0 to 65535"),
            Rule::NotNegative => format!("{kind}, not negative"),
            Rule::Ip => format!("{kind}, an IP address"),
            Rule::DnsServer => format!("{kind}, an IP address, with a port or without"),
            Rule::Expiry => format!("{kind}, a date and time"),
            Rule::VirtualAddress => format!("{kind}, an IP address and a prefix"),
            Rule::Networks => format!("{kind}, each an IP address or a network"),
            Rule::Fingerprints => format!("text, or {kind}, each a fingerprint"),
            Rule::OneOf { values, .. } => format!("{kind}, one of {}", values.join(", ")),
            _ => kind.to_owned(),
        }
    }

    /// The unit of a number, which its meaning begins with.
    pub(crate) fn unit(&self) -> Option<&'static str> {
        let units = ["Milliseconds", "Seconds", "Hours", "Days", "Bytes"];
        let unit = units.into_iter().find(|unit| self.doc.starts_with(unit))?;
        matches!(self.kind, Kind::Int | Kind::Text).then_some(unit)
    }

    /// The value in force without one in the file.
    pub(crate) fn default_text(&self) -> String {
        match (self.default, self.kind) {
            (Fallback::True, _) => "true".to_owned(),
            (Fallback::Int(value), _) => value.to_string(),
            (Fallback::Text(text), _) => format!("{text:?}"),
            (Fallback::Depends(how), _) => how.to_owned(),
            (Fallback::Zero, Kind::Bool) => "false".to_owned(),
            (Fallback::Zero, Kind::Int) => "0".to_owned(),
            (Fallback::Zero, Kind::Text | Kind::Secret) => "\"\"".to_owned(),
            (Fallback::Zero, _) => "none".to_owned(),
        }
    }

    /// How legacy INI files write the key.
    pub(crate) fn ini_text(&self) -> Option<String> {
        Some(match self.ini {
            Ini::None => return None,
            Ini::Name(name) | Ini::Ports(name) => name.to_owned(),
            Ini::Prefix(prefix) => format!("{prefix}NAME"),
            Ini::Flags(flags) => {
                let names: Vec<&str> = flags.iter().map(|(name, _)| *name).collect();
                names.join(", ")
            }
        })
    }
}
