//! Which tokens let a client in, and as whom: `auth.token`, which has no name and restricts nothing, and those of
//! `auth.tokens`, each of which is somebody's. What a session has logged in by is its [`Identity`].

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use frp_config::{Expiry, Pattern, PortRange, Secret, ServerToken};
use frp_proto::crypto::cfb;
use frp_proto::msg::Login;
use frp_proto::names::ProxyType;
use frp_proto::scram::Verifier;
use frp_relay::layers::Bucket;

use super::Subject;
use super::token::Token;
use crate::client::allowance::{Allowance, Together};

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
    proof: Proof,
    /// Whose it is; empty for anybody's.
    user: String,
    /// Until when it is good.
    expires: Option<Expiry>,
    pub(crate) allowed: Allowed,
    pub(crate) limits: Limits,
    /// What its clients hold together, whatever settings have changed meanwhile.
    pub(crate) held: Arc<Held>,
}

/// What shows that a client has a token.
#[derive(Debug, PartialEq)]
enum Proof {
    Token(Arc<Token>),
    Hash(Verifier),
}

/// What the proxies of a token may be; nothing said is anything.
#[derive(Debug, Default)]
pub(crate) struct Allowed {
    names: Vec<Pattern>,
    types: Vec<ProxyType>,
    ports: Vec<PortRange>,
    /// In small letters.
    domains: Vec<Pattern>,
}

/// How much the clients of a token may have together; 0 is any number.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) clients: u64,
    pub(crate) user_conns: u64,
    pub(crate) together: Together,
    /// Bytes per second.
    pub(crate) bandwidth: u64,
}

/// What the clients of a token have together.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) allowance: Arc<Allowance>,
    user_conns: AtomicU64,
    /// What the bytes of its proxies come out of, with the limit that it was made for.
    bucket: Mutex<Option<(u64, Arc<Bucket>)>>,
}

/// A connection of a user, counted until dropped.
#[derive(Debug)]
pub(crate) struct UserCounted(Arc<Held>);

/// As whom a client has logged in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identity {
    entry: Arc<Entry>,
    subject: Subject,
    /// What the keys of ciphers are made of.
    secret: Arc<Token>,
    is_proven: bool,
}

impl Tokens {
    /// Those of `former` go on with what their clients hold.
    pub(super) fn new(
        main: Secret,
        named: Vec<ServerToken>,
        has_issuer: bool,
        former: Option<&Self>,
    ) -> Self {
        let held = |name: &str| {
            let former = former.and_then(|former| former.called(name));
            former.map(|entry| entry.held.clone()).unwrap_or_default()
        };
        let is_alone = named.is_empty() || has_issuer;
        let main = (is_alone || !main.expose().is_empty()).then(|| {
            Arc::new(Entry {
                proof: Proof::Token(Arc::new(Token::new(main))),
                ..Entry::default()
            })
        });
        let named = named.into_iter();
        let named = named.filter_map(|token| {
            let held = held(&token.name);
            Entry::new(token, held).map(Arc::new)
        });
        Self {
            main,
            named: named.collect(),
        }
    }

    /// Whose token a login by frp's digest shows: also one of another user's, which is for another check to refuse.
    pub(crate) fn by_digest(&self, login: &Login) -> Option<Identity> {
        let of_user = self.candidates(&login.user);
        let others = self.others(&login.user);
        let shown = |entry: &&Arc<Entry>| match &entry.proof {
            Proof::Token(token) => token.login(login),
            Proof::Hash(_) => false,
        };
        let entry = of_user.into_iter().chain(others).find(shown)?;
        Some(Identity::of(entry))
    }

    /// Those that a client of `user` may have: its own first.
    pub(crate) fn candidates(&self, user: &str) -> Vec<&Arc<Entry>> {
        let own = self.named.iter();
        let own = own.filter(|entry| !entry.user.is_empty() && entry.user == user);
        let any = self.named.iter().filter(|entry| entry.user.is_empty());
        own.chain(any).chain(&self.main).collect()
    }

    /// Those that a client of `user` may not have, of which it can be said why.
    pub(crate) fn others(&self, user: &str) -> impl Iterator<Item = &Arc<Entry>> {
        self.named.iter().filter(move |entry| !entry.is_for(user))
    }

    /// That by which a client of `user` goes which has shown by other means who it is.
    pub(crate) fn of_user(&self, user: &str) -> Option<&Arc<Entry>> {
        let mut named = self.named.iter();
        named.find(|entry| !entry.user.is_empty() && entry.user == user)
    }

    /// What has become of `entry`, by which somebody has logged in: `None` where its token is no longer good.
    pub(crate) fn current(&self, entry: &Arc<Entry>) -> Option<Arc<Entry>> {
        if !entry.is_named() {
            return Some(entry.clone());
        }
        let now = self.called(&entry.name)?;
        (now.proof == entry.proof && now.user == entry.user).then(|| now.clone())
    }

    /// What all proxies of the token of `identity` share, where it has a limit.
    pub(crate) fn bucket_of(&self, identity: &Identity) -> Option<Arc<Bucket>> {
        let entry = self.current(identity.entry())?;
        entry.held.bucket(entry.limits.bandwidth)
    }

    /// That of the clients whose credentials are an issuer's.
    pub(super) fn main(&self) -> Option<&Arc<Entry>> {
        self.main.as_ref()
    }

    fn called(&self, name: &str) -> Option<&Arc<Entry>> {
        self.named.iter().find(|entry| *entry.name == *name)
    }
}

/// The empty `auth.token` alone.
impl Default for Tokens {
    fn default() -> Self {
        Self::new(Secret::default(), Vec::new(), false, None)
    }
}

impl Entry {
    /// `None` for one that nobody can have: its secret was not read.
    fn new(token: ServerToken, held: Arc<Held>) -> Option<Self> {
        let proof = match token.hash.expose() {
            "" if token.token.expose().is_empty() => return None,
            "" => Proof::Token(Arc::new(Token::new(token.token))),
            hash => Proof::Hash(hash.parse().ok()?),
        };
        let patterns = |texts: Vec<String>| -> Option<Vec<Pattern>> {
            texts.iter().map(|text| Pattern::parse(text)).collect()
        };
        let domains = token.allow_domains.iter();
        Some(Self {
            name: token.name.into(),
            proof,
            user: token.user,
            expires: token.expires,
            allowed: Allowed {
                names: patterns(token.allow_proxies)?,
                types: token.allow_types,
                ports: token.allow_ports,
                domains: patterns(domains.map(|text| text.to_lowercase()).collect())?,
            },
            limits: Limits {
                clients: token.max_clients,
                user_conns: token.max_user_conns,
                bandwidth: token.bandwidth_limit.map_or(0, |l| l.bytes_per_second),
                together: Together {
                    proxies: token.max_proxies,
                    ports: token.max_ports,
                    routes: token.max_routes,
                },
            },
            held,
        })
    }

    /// What it is called in the log; empty for `auth.token`.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether it is one of `auth.tokens`.
    pub(crate) fn is_named(&self) -> bool {
        !self.name.is_empty()
    }

    /// The user that it is for; empty for any.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    pub(crate) fn expires(&self) -> Option<Expiry> {
        self.expires
    }

    /// The token itself, where the server knows it.
    pub(crate) fn token(&self) -> Option<&[u8]> {
        match &self.proof {
            Proof::Token(token) => Some(token.bytes()),
            Proof::Hash(_) => None,
        }
    }

    /// What it is checked by, where the server does not know it.
    pub(crate) fn verifier(&self) -> Option<&Verifier> {
        match &self.proof {
            Proof::Token(_) => None,
            Proof::Hash(verifier) => Some(verifier),
        }
    }

    fn is_for(&self, user: &str) -> bool {
        self.user.is_empty() || self.user == user
    }
}

impl Default for Proof {
    fn default() -> Self {
        Self::Token(Arc::default())
    }
}

impl Allowed {
    /// Whether a proxy may be called so.
    pub(crate) fn name(&self, name: &str) -> bool {
        is_any(&self.names, |pattern| pattern.matches(name))
    }

    pub(crate) fn kind(&self, kind: ProxyType) -> bool {
        is_any(&self.types, |one| *one == kind)
    }

    /// The ports that it may ask for; empty for all.
    pub(crate) fn ports(&self) -> &[PortRange] {
        &self.ports
    }

    /// 0 asks for any that is allowed.
    pub(crate) fn port(&self, port: u16) -> bool {
        port == 0 || is_any(&self.ports, |range| range.contains(port))
    }

    /// What holds for all names of a domain is for a pattern that means all of them.
    pub(crate) fn domain(&self, domain: &str) -> bool {
        let domain = domain.to_lowercase();
        let is_wild = domain.contains('*');
        is_any(&self.domains, |pattern| {
            (!is_wild || pattern.as_str().starts_with('*')) && pattern.matches(&domain)
        })
    }
}

fn is_any<T>(of: &[T], is_it: impl Fn(&T) -> bool) -> bool {
    of.is_empty() || of.iter().any(is_it)
}

impl Held {
    /// Counts a user's connection, where that is not one too many; 0 is no limit.
    pub(crate) fn user(self: &Arc<Self>, limit: u64) -> Option<UserCounted> {
        let before = self.user_conns.fetch_add(1, Ordering::AcqRel);
        let counted = UserCounted(self.clone());
        (limit == 0 || before < limit).then_some(counted)
    }

    /// What the bytes of a new proxy come out of; 0 is no limit. Those that were there before keep theirs.
    pub(crate) fn bucket(&self, limit: u64) -> Option<Arc<Bucket>> {
        if limit == 0 {
            return None;
        }
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let known = bucket.take().filter(|(of, _)| *of == limit);
        let (_, shared) =
            bucket.insert(known.unwrap_or_else(|| (limit, Arc::new(Bucket::new(limit)))));
        Some(shared.clone())
    }
}

impl Drop for UserCounted {
    fn drop(&mut self) {
        self.0.user_conns.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Identity {
    /// Of a client that has shown frp's digest of the token of `entry`.
    fn of(entry: &Arc<Entry>) -> Self {
        Self {
            secret: match &entry.proof {
                Proof::Token(token) => token.clone(),
                Proof::Hash(_) => Arc::default(),
            },
            ..Self::vouched(entry)
        }
    }

    /// Of a client that has proven to know the token of `entry`: `secret` is what both ends know by that.
    pub(crate) fn proven(entry: &Arc<Entry>, secret: &[u8]) -> Self {
        Self {
            secret: Arc::new(Token::of_session(secret)),
            is_proven: true,
            ..Self::vouched(entry)
        }
    }

    /// Of a client that has shown by other means who it is, and goes by `entry`.
    pub(crate) fn vouched(entry: &Arc<Entry>) -> Self {
        Self {
            entry: entry.clone(),
            ..Self::default()
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

    pub(crate) fn subject(&self) -> &Subject {
        &self.subject
    }
}

/// The name of the token only.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "token [{}]", self.name)
    }
}

#[cfg(test)]
impl Identity {
    pub(crate) fn of_issuer(subject: &str) -> Self {
        Self::of_subject(None, Subject(Some(subject.to_owned())))
    }
}

#[cfg(test)]
mod tests;
