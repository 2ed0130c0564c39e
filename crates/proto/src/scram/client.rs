//! The client's half.

use std::num::NonZeroU32;

use super::{
    BASE64, Binding, LEN, MAX_ITERATIONS, MIN_ITERATIONS, NONCE_LEN, Salted, ScramError, Secret,
    attribute, fixed, hash, hash_of, is_nonce, mac, salt_of, sized, xor,
};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;

/// A client that has said its first message, or is about to.
#[derive(Debug, Clone)]
pub struct Client {
    binding: Binding,
    nonce: String,
    bare: String,
}

/// A client that has its challenge.
#[derive(Debug)]
pub struct Challenged {
    without_proof: String,
    auth_message: String,
    salt: Vec<u8>,
    iterations: NonZeroU32,
}

/// A client that answers, and knows what a server that knows the token says to that.
#[derive(Debug)]
pub struct Answer {
    /// client-final, to be sent.
    pub message: String,
    /// What this exchange is known by, the proof aside: SHA-256 of RFC 5802's `AuthMessage`.
    pub exchange: [u8; LEN],
    expected: [u8; LEN],
    secret: Secret,
}

impl Client {
    /// `login` is [`Login::digest`](crate::msg::Login::digest) of the login that this is said in: what else is in
    /// there is proven along with the token, as an extension of the message.
    pub fn new(binding: Binding, user: &str, nonce: [u8; NONCE_LEN], login: &[u8; LEN]) -> Self {
        let login = BASE64.encode(login);
        Self::with(binding, user, BASE64.encode(nonce), &format!(",l={login}"))
    }

    pub(super) fn with(binding: Binding, user: &str, nonce: String, extensions: &str) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={user},r={nonce}{extensions}");
        Self {
            binding,
            nonce,
            bare,
        }
    }

    /// client-first.
    pub fn first(&self) -> String {
        format!("{},,{}", self.binding.flag(), self.bare)
    }

    /// # Errors
    /// The challenge is none, or none for us.
    pub fn challenged(self, server_first: &str) -> Result<Challenged, ScramError> {
        let mut parts = sized(server_first)?.split(',');
        let nonce = attribute(parts.next(), "r")?;
        let salt = attribute(parts.next(), "s")?;
        let iterations = attribute(parts.next(), "i")?;
        let own = nonce.strip_prefix(&self.nonce).ok_or(ScramError::Nonce)?;
        if !is_nonce(own) {
            return Err(ScramError::Malformed("r"));
        }
        let salt = salt_of(&salt).ok_or(ScramError::Malformed("s"))?;
        let iterations: u32 = iterations.parse().map_err(|_| ScramError::Malformed("i"))?;
        let may_be = (MIN_ITERATIONS..=MAX_ITERATIONS).contains(&iterations);
        let iterations = NonZeroU32::new(iterations)
            .filter(|_| may_be)
            .ok_or(ScramError::Iterations(iterations))?;
        let without_proof = format!("c={},r={nonce}", self.binding.attribute());
        Ok(Challenged {
            auth_message: format!("{},{server_first},{without_proof}", self.bare),
            without_proof,
            salt,
            iterations,
        })
    }
}

impl Challenged {
    /// The salt of the [`Salted`] that is asked for.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// Its rounds.
    pub const fn iterations(&self) -> NonZeroU32 {
        self.iterations
    }

    /// `salted` must be that of [`salt`](Self::salt) and [`iterations`](Self::iterations).
    pub fn answer(self, salted: &Salted) -> Answer {
        let client_key = salted.client_key();
        let stored_key = hash(&client_key);
        let auth_message = self.auth_message;
        let proof = xor(&client_key, &mac(&stored_key, &[auth_message.as_bytes()]));
        Answer {
            message: format!("{},p={}", self.without_proof, BASE64.encode(proof)),
            exchange: hash(auth_message.as_bytes()),
            expected: mac(&salted.server_key(), &[auth_message.as_bytes()]),
            secret: Secret::of(&stored_key, &client_key, &auth_message),
        }
    }
}

impl Answer {
    /// What the server says shows that it knows the token, too.
    ///
    /// # Errors
    /// It does not.
    pub fn confirm(self, server_final: &str) -> Result<Secret, ScramError> {
        let mut parts = sized(server_final)?.split(',');
        let shown = attribute(parts.next(), "v")?;
        let shown = hash_of(&shown).ok_or(ScramError::Malformed("v"))?;
        match verify_slices_are_equal(&shown, &fixed(&self.expected)) {
            Ok(()) => Ok(self.secret),
            Err(_) => Err(ScramError::ServerSignature),
        }
    }
}
