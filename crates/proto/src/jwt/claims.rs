//! What a token says, and whether that is enough (go-oidc `verify.go`).

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

/// A token may be used so long before its `nbf`: clocks differ (go-oidc `verify.go`).
const NOT_BEFORE_LEEWAY_SECONDS: i64 = 5 * 60;

/// Google is known to leave the scheme of its name out of tokens.
const GOOGLE: (&str, &str) = ("https://accounts.google.com", "accounts.google.com");

/// The claims that matter for a login. What is absent is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Claims {
    /// `iss`
    #[serde(rename = "iss", deserialize_with = "text")]
    pub issuer: String,
    /// `sub`: whom the token is about.
    #[serde(rename = "sub", deserialize_with = "text")]
    pub subject: String,
    /// `aud`: whom the token is for.
    #[serde(rename = "aud", deserialize_with = "one_or_many")]
    pub audience: Vec<String>,
    /// `exp`, Unix seconds.
    #[serde(rename = "exp", deserialize_with = "seconds")]
    pub expiry: Option<i64>,
    /// `nbf`, Unix seconds.
    #[serde(rename = "nbf", deserialize_with = "seconds")]
    pub not_before: Option<i64>,
}

/// What a token must say.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// The issuer that it must name; `None` takes any.
    pub issuer: Option<String>,
    /// The audience that must be among its own; `None` takes any.
    pub audience: Option<String>,
    /// Whether it may be expired or not valid yet.
    pub any_time: bool,
}

/// Why a genuine token is not accepted. The texts are go-oidc's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// The payload is not what it must be.
    #[error("oidc: failed to unmarshal claims: {0}")]
    Payload(String),
    /// Another issuer's.
    #[error("oidc: id token issued by a different provider, expected {expected:?} got {given:?}")]
    Issuer {
        /// From the configuration.
        expected: String,
        /// From the token.
        given: String,
    },
    /// For others.
    #[error("oidc: expected audience {expected:?} got {}", quoted(given))]
    Audience {
        /// From the configuration.
        expected: String,
        /// From the token.
        given: Vec<String>,
    },
    /// Too old, or without an end.
    #[error("oidc: token is expired (Token Expiry: {})", time(*expiry))]
    Expired {
        /// Unix seconds, if the token has them.
        expiry: Option<i64>,
    },
    /// Too new.
    #[error("oidc: current time {} before the nbf (not before) time: {}", time(Some(*now)), time(Some(*not_before)))]
    NotYet {
        /// Unix seconds.
        now: i64,
        /// Unix seconds.
        not_before: i64,
    },
}

impl ClaimError {
    fn payload(error: serde_json::Error) -> Self {
        Self::Payload(error.to_string())
    }
}

impl Claims {
    pub(super) fn parse(payload: &[u8]) -> Result<Self, ClaimError> {
        // serde would take a list for the fields in their order, too.
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(payload).map_err(ClaimError::payload)?;
        serde_json::from_value(object.into()).map_err(ClaimError::payload)
    }

    /// Checks them at `now` (Unix seconds).
    ///
    /// # Errors
    /// The first rule that they break.
    pub fn check(&self, rules: &Rules, now: i64) -> Result<(), ClaimError> {
        if let Some(expected) = &rules.issuer
            && self.issuer != *expected
            && (expected.as_str(), self.issuer.as_str()) != GOOGLE
        {
            return Err(ClaimError::Issuer {
                expected: expected.clone(),
                given: self.issuer.clone(),
            });
        }
        if let Some(expected) = &rules.audience
            && !self.audience.contains(expected)
        {
            return Err(ClaimError::Audience {
                expected: expected.clone(),
                given: self.audience.clone(),
            });
        }
        if rules.any_time {
            return Ok(());
        }
        if self.expiry.is_none_or(|expiry| expiry < now) {
            let expiry = self.expiry;
            return Err(ClaimError::Expired { expiry });
        }
        match self.not_before {
            Some(not_before) if now.saturating_add(NOT_BEFORE_LEEWAY_SECONDS) < not_before => {
                Err(ClaimError::NotYet { now, not_before })
            }
            _ => Ok(()),
        }
    }
}

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
        None(()),
    }
    Ok(match OneOrMany::deserialize(from)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
        OneOrMany::None(()) => Vec::new(),
    })
}

/// Whole seconds; issuers write fractions, too.
fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Whole(i64),
        Fraction(f64),
        None(()),
    }
    Ok(match Number::deserialize(from)? {
        Number::Whole(seconds) => Some(seconds),
        // Beyond the range it becomes the end of it.
        Number::Fraction(seconds) => Some(seconds as i64),
        Number::None(()) => None,
    })
}

/// As Go prints a list of texts.
fn quoted(texts: &[String]) -> String {
    let texts: Vec<_> = texts.iter().map(|text| format!("{text:?}")).collect();
    format!("[{}]", texts.join(" "))
}

/// As Go prints a time, in UTC; no time is Go's zero.
fn time(seconds: Option<i64>) -> String {
    let Some(seconds) = seconds else {
        return "0001-01-01 00:00:00 +0000 UTC".to_owned();
    };
    match Timestamp::from_second(seconds) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
        Err(_) => seconds.to_string(),
    }
}
