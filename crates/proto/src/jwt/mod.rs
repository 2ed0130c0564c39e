//! Signed tokens of an OpenID Connect issuer: which are genuine, and what they say
//! (RFC 7515, 7517, 7518, 7519, 8037; the rules are those of go-oidc, which frp uses).
//!
//! Only signatures that a public key checks are known here. There is no `none` and no HMAC, so no
//! token can choose them.

mod claims;
mod keys;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

pub use self::claims::{ClaimError, Claims, Rules};
pub use self::keys::{KeySet, KeySetError};

/// How a token is signed (RFC 7518 section 3.1, RFC 8037): those that go-oidc supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256.
    Es256,
    /// ECDSA on P-384.
    Es384,
    /// ECDSA on P-521.
    Es512,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    const ALL: [(&'static str, Self); 10] = [
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("ES512", Self::Es512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
        ("EdDSA", Self::EdDsa),
    ];

    /// The algorithm of that name, if there is one here. Names are case-sensitive.
    pub fn by_name(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter();
        all.find(|(known, _)| *known == name).map(|(_, it)| *it)
    }

    /// Its name in tokens and keys.
    pub fn name(self) -> &'static str {
        let mut all = Self::ALL.iter();
        all.find(|(_, it)| *it == self).map_or("", |(name, _)| name)
    }

    /// Those among `named` that are known here; RS256, which every issuer must have, where none is
    /// (as in go-oidc, `NewProvider` and `Verify`).
    pub fn allowed<'a>(named: impl IntoIterator<Item = &'a str>) -> Vec<Self> {
        let mut known: Vec<_> = named.into_iter().filter_map(Self::by_name).collect();
        if known.is_empty() {
            known.push(Self::Rs256);
        }
        known
    }
}

/// A token in its compact form, taken apart. Nothing of it may be believed before
/// [`KeySet::verifies`] says so.
#[derive(Debug)]
pub struct SignedToken<'a> {
    algorithm: Algorithm,
    key_id: Option<String>,
    /// Header and payload as they were signed.
    signed: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// Why a text is no token that could be checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not three parts.
    #[error("a token has three parts, separated by dots")]
    Parts,
    /// A part is not base64url without padding.
    #[error("its {0} is not base64url")]
    Base64(&'static str),
    /// The header is not the JSON that it must be.
    #[error("its header is not as it must be")]
    Header,
    /// The issuer does not sign in this way.
    #[error(
        "unexpected signature algorithm {given:?}; expected {}",
        quoted(expected)
    )]
    Algorithm {
        /// What the token names; at most [`MAX_SHOWN`] characters of it.
        given: String,
        /// What the issuer has announced.
        expected: Vec<Algorithm>,
    },
    /// The token demands something that is not understood (RFC 7515 section 4.1.11).
    #[error("its header has critical extensions, which are not supported")]
    Critical,
}

/// Characters of a foreign value that an error shows.
const MAX_SHOWN: usize = 64;

/// As Go prints a list of texts.
fn quoted(expected: &[Algorithm]) -> String {
    let names: Vec<_> = expected
        .iter()
        .map(|it| format!("{:?}", it.name()))
        .collect();
    format!("[{}]", names.join(" "))
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<serde::de::IgnoredAny>,
}

impl<'a> SignedToken<'a> {
    /// Takes `text` apart; its signature must be one of `allowed`.
    ///
    /// # Errors
    /// See [`Malformed`].
    pub fn parse(text: &'a str, allowed: &[Algorithm]) -> Result<Self, Malformed> {
        let (signed, signature) = text.rsplit_once('.').ok_or(Malformed::Parts)?;
        let (header, payload) = signed.split_once('.').ok_or(Malformed::Parts)?;
        if payload.contains('.') {
            return Err(Malformed::Parts);
        }
        let decode = |part: &str, what| {
            URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|_| Malformed::Base64(what))
        };
        let header: Header =
            serde_json::from_slice(&decode(header, "header")?).map_err(|_| Malformed::Header)?;
        if header.crit.is_some() {
            return Err(Malformed::Critical);
        }
        let algorithm = Algorithm::by_name(&header.alg).filter(|it| allowed.contains(it));
        let Some(algorithm) = algorithm else {
            return Err(Malformed::Algorithm {
                given: header.alg.chars().take(MAX_SHOWN).collect(),
                expected: allowed.to_vec(),
            });
        };
        Ok(Self {
            algorithm,
            key_id: header.kid.filter(|kid| !kid.is_empty()),
            signed,
            payload: decode(payload, "payload")?,
            signature: decode(signature, "signature")?,
        })
    }

    /// The key that it says it was signed with, if it says so.
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// What it says. To be asked only after its signature was verified.
    ///
    /// # Errors
    /// When the payload is not a JSON object, or a claim of another kind than it must be.
    pub fn claims(&self) -> Result<Claims, ClaimError> {
        Claims::parse(&self.payload)
    }
}
