//! How a configuration is to be loaded.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use crate::Build;

/// What a load is for, and what it may use.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// What happens with the settings.
    pub purpose: Purpose,
    /// `--strict-config`: unknown keys are errors, else warnings.
    pub strict: bool,
    /// `--allow-unsafe`: names of features that a file may use only when it is allowed to; the one
    /// name so far is [`TOKEN_SOURCE_EXEC`].
    pub allow_unsafe: Vec<String>,
    /// What templates and defaults take from the environment.
    pub environment: Environment,
    /// What loads: where it lacks a feature, what needs that is an error.
    pub build: Build,
}

/// What happens with the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// They are put to use: what this version cannot do is an error.
    Run,
    /// Only the verdict counts: what is valid for frp is valid, with a warning where this version
    /// cannot do it.
    Verify,
}

/// The unsafe feature that lets `tokenSource` run a program (frp `pkg/policy/security`).
pub const TOKEN_SOURCE_EXEC: &str = "TokenSourceExec";

impl LoadOptions {
    /// Strict, nothing unsafe allowed, an empty environment, a complete build.
    #[must_use]
    pub fn new(purpose: Purpose) -> Self {
        Self {
            purpose,
            strict: true,
            allow_unsafe: Vec::new(),
            environment: Environment::default(),
            build: Build::COMPLETE,
        }
    }

    /// The same for a verdict only.
    pub(crate) fn verify(&self) -> Self {
        Self {
            purpose: Purpose::Verify,
            ..self.clone()
        }
    }

    pub(crate) fn allows(&self, feature: &str) -> bool {
        self.allow_unsafe.iter().any(|allowed| allowed == feature)
    }
}

/// Environment variables. Their values often are secrets: `Debug` shows only how many there are.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// From `std::env::vars_os()`, which the program reads once; what is not UTF-8 is left out.
    pub fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        variables
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    pub(crate) fn variables(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// A variable that is set and not empty.
    pub(crate) fn filled(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Environment({} variables)", self.0.len())
    }
}
