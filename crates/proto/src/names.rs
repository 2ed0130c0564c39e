//! Enums whose variants have names, in files and on the wire: each name stands in one place.

/// A text that is none of the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown name")]
pub struct UnknownName;

/// What [`named!`](crate::named) gives an enum, for code that takes any of them.
pub trait Named: Copy + PartialEq + 'static {
    /// The first of them.
    const FIRST: Self;
    /// All of them, in the order of their definition.
    const ALL: &'static [Self];
    /// Their names.
    const NAMES: &'static [&'static str];

    /// The one that is called `name`, in just this spelling.
    fn named(name: &str) -> Option<Self> {
        let at = Self::NAMES.iter().position(|known| *known == name)?;
        Self::ALL.get(at).copied()
    }
}

/// Defines an enum from its variants and their names; it gets `as_str`, `Display`, `FromStr`,
/// `Debug`, comparisons and [`Named`].
#[macro_export]
macro_rules! named {
    (
        $(#[$meta:meta])*
        $vis:vis enum $enum:ident {
            $( $(#[$variant_meta:meta])* $variant:ident = $name:literal ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $enum {
            $(
                $(#[$variant_meta])*
                #[doc = concat!("`", $name, "`")]
                $variant,
            )*
        }

        impl $enum {
            /// The name, as files and messages spell it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }
        }

        impl $crate::names::Named for $enum {
            const FIRST: Self = {
                let [first, ..] = [$( Self::$variant ),*];
                first
            };
            const ALL: &'static [Self] = &[$( Self::$variant ),*];
            const NAMES: &'static [&'static str] = &[$( $name ),*];
        }

        impl std::fmt::Display for $enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $enum {
            type Err = $crate::names::UnknownName;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                $crate::names::Named::named(name).ok_or($crate::names::UnknownName)
            }
        }
    };
}

named! {
    /// What a proxy publishes, and how: `type` in files, `proxy_type` in messages
    /// (frp `pkg/config/v1/proxy.go`).
    pub enum ProxyType {
        /// A TCP port of frps.
        Tcp = "tcp",
        /// A UDP port of frps.
        Udp = "udp",
        /// HTTP requests for certain hosts.
        Http = "http",
        /// TLS connections for certain hosts.
        Https = "https",
        /// Streams asked for by HTTP CONNECT.
        Tcpmux = "tcpmux",
        /// TCP, only for visitors.
        Stcp = "stcp",
        /// UDP, only for visitors.
        Sudp = "sudp",
        /// TCP, only for visitors, which are reached directly.
        Xtcp = "xtcp",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_proxy_reads_back_as_it_is_written() {
        for kind in ProxyType::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
            assert_eq!(kind.to_string(), kind.as_str());
        }
        for other in ["", "TCP", "tcp ", "range"] {
            assert_eq!(other.parse::<ProxyType>(), Err(UnknownName), "{other}");
        }
    }
}
