//! What a program can be built without, and how it says so.

use std::fmt;

use frp_proto::named;

named! {
    /// A part of the programs that a build may lack; cargo's features are called the same.
    pub enum Feature {
        /// The transport QUIC.
        Quic = "quic",
        /// The transport kcp.
        Kcp = "kcp",
        /// The transports websocket and wss.
        Websocket = "websocket",
        /// Proxies of types http, https and tcpmux, plugins and health checks that speak HTTP.
        Http = "http",
        /// OpenID Connect.
        Oidc = "oidc",
        /// The web servers: the dashboard's API, the admin API and the commands that ask it.
        Pages = "pages",
        /// The live view in the terminal.
        Top = "top",
        /// The command that finds out what is wrong.
        Doctor = "doctor",
        /// The SSH tunnel gateway of frps.
        Ssh = "ssh",
        /// The virtual network of frpc.
        Vnet = "vnet",
        /// Proxies and visitors of type xtcp.
        Xtcp = "xtcp",
    }
}

/// Which program this is, and what it was built without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Build {
    /// `frpc` or `frps`
    pub program: &'static str,
    /// The features that are not in it.
    pub lacks: &'static [Feature],
}

impl Build {
    /// One that lacks nothing.
    pub const COMPLETE: Self = Self {
        program: "program",
        lacks: &[],
    };

    /// That it lacks `feature`.
    #[must_use]
    pub const fn lacking(self, feature: Feature) -> Lacking {
        Lacking(self.program, feature)
    }

    /// An error where this build cannot do what needs `feature`.
    ///
    /// # Errors
    /// It lacks the feature.
    pub fn needs(self, feature: Feature) -> Result<(), Lacking> {
        match self.lacks.contains(&feature) {
            true => Err(self.lacking(feature)),
            false => Ok(()),
        }
    }
}

/// The [`Build`] of the program called so, from the features of the crate that asks; those that only one of the
/// programs has are named by it.
#[macro_export]
macro_rules! build {
    ($program:literal $(, $own:literal => $feature:ident)*) => {
        $crate::Build {
            program: $program,
            lacks: &[
                #[cfg(not(feature = "quic"))]
                $crate::Feature::Quic,
                #[cfg(not(feature = "kcp"))]
                $crate::Feature::Kcp,
                #[cfg(not(feature = "websocket"))]
                $crate::Feature::Websocket,
                #[cfg(not(feature = "http"))]
                $crate::Feature::Http,
                #[cfg(not(feature = "oidc"))]
                $crate::Feature::Oidc,
                #[cfg(not(feature = "pages"))]
                $crate::Feature::Pages,
                #[cfg(not(feature = "top"))]
                $crate::Feature::Top,
                #[cfg(not(feature = "doctor"))]
                $crate::Feature::Doctor,
                $(
                    #[cfg(not(feature = $own))]
                    $crate::Feature::$feature,
                )*
                #[cfg(not(feature = "xtcp"))]
                $crate::Feature::Xtcp,
            ],
        }
    };
}

/// What is asked for is not in this build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lacking(&'static str, Feature);

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(program, feature) = self;
        write!(
            f,
            "this {program} was built without the feature \"{feature}\""
        )
    }
}

impl std::error::Error for Lacking {}

/// Of what a key says, what needs a feature.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Needs {
    /// Nothing.
    Nothing,
    /// Any value.
    Always(Feature),
    /// These values, or items of a list; the port behind a way is no part of its name.
    For(&'static [(&'static str, Feature)]),
}

impl Needs {
    /// The feature that `value` needs.
    pub(crate) fn of(self, value: &str) -> Option<Feature> {
        match self {
            Self::Nothing => None,
            Self::Always(feature) => Some(feature),
            Self::For(values) => {
                let name = value.split(':').next().unwrap_or_default();
                let found = values.iter().find(|(known, _)| *known == name);
                found.map(|(_, feature)| *feature)
            }
        }
    }
}
