//! The server's half.

use std::num::NonZeroU32;

use super::{
    BASE64, Binding, Channel, LEN, NONCE_LEN, ScramError, Secret, Verifier, attribute, hash,
    hash_of, is_nonce, mac, sized, xor,
};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;

/// What a client has said first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    flag: Flag,
    bare: String,
    user: String,
    nonce: String,
    login: Option<[u8; LEN]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flag {
    None,
    Unseen,
    Exporter,
}

/// A server that has challenged a client, or is about to.
#[derive(Debug)]
pub struct Server {
    flag: Flag,
    nonce: String,
    bare: String,
    first: String,
}

/// What a client has answered, if it knows the token.
#[derive(Debug)]
pub struct Claim {
    auth_message: String,
    proof: [u8; LEN],
}

/// That a client knows the token of a [`Verifier`].
#[derive(Debug)]
pub struct Proven {
    /// server-final, to be sent.
    pub message: String,
    /// What only the two know.
    pub secret: Secret,
}

impl Hello {
    /// # Errors
    /// It is no client-first that we know.
    pub fn read(client_first: &str) -> Result<Self, ScramError> {
        let (flag, rest) = sized(client_first)?
            .split_once(',')
            .ok_or(ScramError::Malformed("gs2-header"))?;
        let flag = match flag {
            "n" => Flag::None,
            "y" => Flag::Unseen,
            "p=tls-exporter" => Flag::Exporter,
            _ => return Err(ScramError::Malformed("gs2-cbind-flag")),
        };
        // Nobody logs in for another.
        let bare = rest
            .strip_prefix(',')
            .ok_or(ScramError::Malformed("authzid"))?;
        let mut parts = bare.split(',');
        let user = unescaped(&attribute(parts.next(), "n")?)?;
        let nonce = attribute(parts.next(), "r")?;
        if !is_nonce(&nonce) {
            return Err(ScramError::Malformed("r"));
        }
        let mut login = None;
        for extension in parts {
            if extension.starts_with("l=") && login.is_none() {
                let digest = hash_of(&attribute(Some(extension), "l")?);
                login = Some(digest.ok_or(ScramError::Malformed("l"))?);
            }
        }
        Ok(Self {
            flag,
            bare: bare.to_owned(),
            user,
            nonce,
            login,
        })
    }

    /// As whom.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Whether it was said in the login with this [digest](crate::msg::Login::digest).
    pub fn is_of(&self, login: &[u8; LEN]) -> bool {
        self.login.as_ref() == Some(login)
    }

    /// Whether there is TLS at the client's end whose other end does not seem to be a server such as we are.
    pub fn sees_another(&self) -> bool {
        self.flag == Flag::Unseen
    }

    /// Whether the proof will be for one connection only.
    pub fn is_bound(&self) -> bool {
        self.flag == Flag::Exporter
    }

    /// Asks for a token, by the salt and the rounds of its verifier.
    pub fn challenge(self, nonce: [u8; NONCE_LEN], salt: &[u8], iterations: NonZeroU32) -> Server {
        self.challenge_by(&BASE64.encode(nonce), salt, iterations)
    }

    pub(super) fn challenge_by(self, own: &str, salt: &[u8], iterations: NonZeroU32) -> Server {
        let nonce = format!("{}{own}", self.nonce);
        Server {
            flag: self.flag,
            bare: self.bare,
            first: format!("r={nonce},s={},i={iterations}", BASE64.encode(salt)),
            nonce,
        }
    }
}

impl Server {
    /// server-first.
    pub fn first(&self) -> &str {
        &self.first
    }

    /// The client's answer on the connection that is known by `channel`, if that has TLS. A challenge has one answer.
    ///
    /// # Errors
    /// It is none, or one to another challenge, or for another connection.
    pub fn answered(
        self,
        client_final: &str,
        channel: Option<Channel>,
    ) -> Result<Claim, ScramError> {
        let (without_proof, proof) = sized(client_final)?
            .rsplit_once(",p=")
            .ok_or(ScramError::Malformed("p"))?;
        let proof = hash_of(proof).ok_or(ScramError::Malformed("p"))?;
        let mut parts = without_proof.split(',');
        let shown = attribute(parts.next(), "c")?;
        if attribute(parts.next(), "r")? != self.nonce {
            return Err(ScramError::Nonce);
        }
        let expected = match (self.flag, channel) {
            (Flag::None, _) => Binding::None,
            (Flag::Unseen, _) => Binding::Unseen,
            (Flag::Exporter, Some(channel)) => Binding::Exporter(channel),
            (Flag::Exporter, None) => return Err(ScramError::Channel),
        };
        if verify_slices_are_equal(expected.attribute().as_bytes(), shown.as_bytes()).is_err() {
            return Err(ScramError::Channel);
        }
        Ok(Claim {
            auth_message: format!("{},{},{without_proof}", self.bare, self.first),
            proof,
        })
    }
}

impl Claim {
    /// What this exchange is known by, the proof aside: SHA-256 of RFC 5802's `AuthMessage`.
    pub fn exchange(&self) -> [u8; LEN] {
        hash(self.auth_message.as_bytes())
    }

    /// Whether the client knows the token of `verifier`.
    pub fn check(&self, verifier: &Verifier) -> Option<Proven> {
        let message = self.auth_message.as_bytes();
        let stored_key = &verifier.stored_key;
        let client_key = xor(&self.proof, &mac(stored_key, &[message]));
        verify_slices_are_equal(&hash(&client_key), stored_key).ok()?;
        let signature = mac(&verifier.server_key, &[message]);
        Some(Proven {
            message: format!("v={}", BASE64.encode(signature)),
            secret: Secret::of(stored_key, &client_key, &self.auth_message),
        })
    }
}

/// RFC 5802's `saslname`.
fn unescaped(name: &str) -> Result<String, ScramError> {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((plain, tail)) = rest.split_once('=') {
        out.push_str(plain);
        rest = match (tail.strip_prefix("2C"), tail.strip_prefix("3D")) {
            (Some(rest), _) => {
                out.push(',');
                rest
            }
            (_, Some(rest)) => {
                out.push('=');
                rest
            }
            (None, None) => return Err(ScramError::Malformed("n")),
        };
    }
    out.push_str(rest);
    Ok(out)
}
