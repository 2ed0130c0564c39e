//! Which tokens let a client in, and as whom: `auth.token`, which has no name and restricts nothing, and those of
//! `auth.tokens`, each of which is somebody's. What a session has logged in by is its [`Identity`].

use std::sync::Arc;

use frp_config::Secret;
use frp_proto::crypto::cfb;
use frp_proto::msg::Login;
use frp_proto::scram::Verifier;

use super::Subject;
use super::token::Token;

/// The tokens of a server.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// `auth.token`: any client may have it, also the empty one, unless there are others.
    main: Option<Arc<Entry>>,
    named: Vec<Arc<Entry>>,
}

/// One token.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    /// Empty for `auth.token`.
    name: Arc<str>,
    token: Arc<Token>,
    /// Whose it is; empty for anybody's.
    user: String,
}

/// As whom a client has logged in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identity {
    entry: Arc<Entry>,
    subject: Subject,
    /// What the keys of ciphers are made of.
    secret: Arc<Token>,
    is_proven: bool,
}

/// The empty `auth.token` alone.
impl Default for Tokens {
    fn default() -> Self {
        Self::new(Secret::default())
    }
}

impl Tokens {
    pub(super) fn new(main: Secret) -> Self {
        let main = Entry {
            token: Arc::new(Token::new(main)),
            ..Entry::default()
        };
        Self {
            main: Some(Arc::new(main)),
            named: Vec::new(),
        }
    }

    /// Whose token a login by frp's digest shows.
    pub(crate) fn by_digest(&self, login: &Login) -> Option<Identity> {
        let of_user = self.candidates(&login.user);
        let entry = of_user.into_iter().find(|entry| entry.token.login(login))?;
        Some(Identity::of(entry))
    }

    /// Those that a client of `user` may have: its own first.
    pub(crate) fn candidates(&self, user: &str) -> Vec<&Arc<Entry>> {
        let own = self.named.iter();
        let own = own.filter(|entry| !entry.user.is_empty() && entry.user == user);
        let any = self.named.iter().filter(|entry| entry.user.is_empty());
        own.chain(any).chain(&self.main).collect()
    }

    /// That of the clients whose credentials are an issuer's.
    pub(super) fn main(&self) -> Option<&Arc<Entry>> {
        self.main.as_ref()
    }
}

impl Entry {
    /// What it is called in the log; empty for `auth.token`.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The token itself, where the server knows it.
    pub(crate) fn token(&self) -> Option<&[u8]> {
        Some(self.token.bytes())
    }

    /// What it is checked by, where the server does not know it.
    #[allow(clippy::unused_self, reason = "the server knows all of them so far")]
    pub(crate) fn verifier(&self) -> Option<&Verifier> {
        None
    }
}

impl Identity {
    /// Of a client that has shown frp's digest of the token of `entry`.
    fn of(entry: &Arc<Entry>) -> Self {
        Self {
            entry: entry.clone(),
            subject: Subject::default(),
            secret: entry.token.clone(),
            is_proven: false,
        }
    }

    /// Of a client that has proven to know the token of `entry`: `secret` is what both ends know by that.
    pub(crate) fn proven(entry: &Arc<Entry>, secret: &[u8]) -> Self {
        Self {
            entry: entry.clone(),
            subject: Subject::default(),
            secret: Arc::new(Token::of_session(secret)),
            is_proven: true,
        }
    }

    /// Of a client whose credentials are an issuer's.
    pub(super) fn of_subject(entry: Option<&Arc<Entry>>, subject: Subject) -> Self {
        Self {
            subject,
            ..entry.map(Self::of).unwrap_or_default()
        }
    }

    /// By which token.
    pub(crate) fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    /// Whether the ciphers' keys are those of this session alone, so that whoever uses them has logged in.
    pub(crate) fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// Whether `other` is the same client, as far as credentials say: what comes later must come from the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.subject == other.subject && self.entry.name == other.entry.name
    }

    /// What the ciphers' keys are made of.
    pub(crate) fn token(&self) -> &[u8] {
        self.secret.bytes()
    }

    /// That of the v1 control cipher and of `useEncryption`.
    pub(crate) fn key(&self) -> &cfb::Key {
        self.secret.key()
    }

    pub(super) fn secret(&self) -> &Token {
        &self.secret
    }

    pub(super) fn subject(&self) -> &Subject {
        &self.subject
    }
}

#[cfg(test)]
impl Identity {
    pub(crate) fn of_issuer(subject: &str) -> Self {
        Self::of_subject(None, Subject(Some(subject.to_owned())))
    }
}
