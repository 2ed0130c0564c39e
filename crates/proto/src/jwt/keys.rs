//! The public keys of an issuer (RFC 7517), and whether one of them has signed a token.

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{self, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::{Algorithm, SignedToken};

/// Keys of one set that are taken. Issuers have two to ten; a token that names no key is tried
/// with every one.
const MAX_KEYS: usize = 256;

/// The keys that an issuer signs with.
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// The text is no key set.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct KeySetError(#[from] serde_json::Error);

#[derive(Debug, Clone)]
struct Key {
    id: Option<String>,
    /// The only algorithm that the key may be used with, where the issuer says so.
    algorithm: Option<String>,
    public: Public,
}

#[derive(Debug, Clone)]
enum Public {
    Rsa(PublicKeyComponents<Vec<u8>>),
    /// The uncompressed point, on the curve of that algorithm.
    Ec(Algorithm, Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct RawKey {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a key set. Keys of kinds that are not known here, or that are not for signatures, are
    /// left out (RFC 7517 section 5).
    ///
    /// # Errors
    /// When `json` is no object with a list `keys`.
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        let set: RawSet = serde_json::from_slice(json)?;
        let keys = set.keys.into_iter().take(MAX_KEYS).filter_map(Key::read);
        Ok(Self {
            keys: keys.collect(),
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether a key of the set has signed `token`: the one that it names, or any where it names
    /// none.
    pub fn verifies(&self, token: &SignedToken<'_>) -> bool {
        self.keys
            .iter()
            .filter(|key| token.key_id.is_none() || key.id == token.key_id)
            .any(|key| key.verifies(token))
    }
}

impl Key {
    fn read(json: serde_json::Value) -> Option<Self> {
        let raw: RawKey = serde_json::from_value(json).ok()?;
        // An empty text is how some issuers say nothing.
        if !["", "sig"].contains(&raw.usage.as_deref().unwrap_or_default()) {
            return None;
        }
        let bytes = |part: Option<String>| URL_SAFE_NO_PAD.decode(part?.trim_end_matches('=')).ok();
        let public = match (raw.kty.as_str(), raw.crv.as_deref()) {
            ("RSA", _) => Public::Rsa(PublicKeyComponents {
                n: without_leading_zeros(bytes(raw.n)?),
                e: without_leading_zeros(bytes(raw.e)?),
            }),
            ("EC", Some("P-256")) => ec(Algorithm::Es256, 32, &bytes(raw.x)?, &bytes(raw.y)?)?,
            ("EC", Some("P-384")) => ec(Algorithm::Es384, 48, &bytes(raw.x)?, &bytes(raw.y)?)?,
            ("EC", Some("P-521")) => ec(Algorithm::Es512, 66, &bytes(raw.x)?, &bytes(raw.y)?)?,
            ("OKP", Some("Ed25519")) => Public::Ed25519(bytes(raw.x)?),
            _ => return None,
        };
        Some(Self {
            id: raw.kid,
            algorithm: raw.alg.filter(|alg| !alg.is_empty()),
            public,
        })
    }

    fn verifies(&self, token: &SignedToken<'_>) -> bool {
        let algorithm = token.algorithm;
        if self
            .algorithm
            .as_ref()
            .is_some_and(|only| only != algorithm.name())
        {
            return false;
        }
        let (message, signed) = (token.signed.as_bytes(), &token.signature[..]);
        let verified = match &self.public {
            Public::Rsa(key) => {
                let Some(parameters) = rsa(algorithm) else {
                    return false;
                };
                key.verify(parameters, message, signed)
            }
            Public::Ec(own, point) => {
                let curve = match algorithm {
                    Algorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
                    Algorithm::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
                    Algorithm::Es512 => &signature::ECDSA_P521_SHA512_FIXED,
                    _ => return false,
                };
                if *own != algorithm {
                    return false;
                }
                UnparsedPublicKey::new(curve, point).verify(message, signed)
            }
            Public::Ed25519(key) if algorithm == Algorithm::EdDsa => {
                UnparsedPublicKey::new(&signature::ED25519, key).verify(message, signed)
            }
            Public::Ed25519(_) => return false,
        };
        verified.is_ok()
    }
}

/// Keys below 2048 bits are not taken, as RFC 7518 sections 3.3 and 3.5 demand.
fn rsa(algorithm: Algorithm) -> Option<&'static signature::RsaParameters> {
    match algorithm {
        Algorithm::Rs256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
        _ => None,
    }
}

/// The uncompressed point of coordinates that have at most `size` bytes each; some issuers drop
/// their leading zeros.
fn ec(algorithm: Algorithm, size: usize, x: &[u8], y: &[u8]) -> Option<Public> {
    let mut point = vec![4];
    for coordinate in [x, y] {
        point.resize(point.len() + size.checked_sub(coordinate.len())?, 0);
        point.extend_from_slice(coordinate);
    }
    Some(Public::Ec(algorithm, point))
}

fn without_leading_zeros(bytes: Vec<u8>) -> Vec<u8> {
    bytes.into_iter().skip_while(|byte| *byte == 0).collect()
}
