//! Are the credentials of a login, a ping, a work connection good (frp `pkg/auth`)? By a token that
//! both ends know ([`token`], one of [`tokens`]), or by tokens of an OpenID Connect issuer ([`oidc`], with what
//! [`issuer`] knows of it).

#[cfg(feature = "oidc")]
pub(crate) mod issuer;
#[cfg_attr(not(feature = "oidc"), path = "../absent/oidc.rs")]
mod oidc;
mod token;
pub(crate) mod tokens;

use std::borrow::Cow;

use frp_config::{Auth as Settings, AuthMethod, AuthScope, Challenge, ServerOidc, ServerToken};
use frp_proto::msg::{Login, NewWorkConn, Ping};

pub(crate) use self::oidc::Keeper;
use self::oidc::OidcAuth;
use self::tokens::{Identity, Tokens};

/// Checks credentials, those beyond the login where a scope asks for it.
#[derive(Debug, Default)]
pub(crate) struct Auth {
    /// The ciphers' also where `oidc` checks who comes.
    pub(crate) tokens: Tokens,
    oidc: Option<OidcAuth>,
    /// Whether users and names are held to the credentials (`auth.strictUsers`).
    pub(crate) strict_users: bool,
    /// Whether clients prove their token by a challenge.
    pub(crate) challenge: Challenge,
    /// Whether pings, and whether work connections, have to show something.
    pub(crate) heartbeats: bool,
    pub(crate) new_work_conns: bool,
}

/// Who has logged in, as far as credentials say: what comes later must come from the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Subject(Option<String>);

impl Subject {
    /// Whether the issuer calls the client so.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.0.as_deref() == Some(name)
    }
}

/// Why credentials are not good, in the words that frp gives the client.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadCredentials(Cow<'static, str>);

impl Auth {
    /// Also gives what keeps track of the issuer, to be run, where there is one that is not that of
    /// `former`.
    pub(crate) fn new(
        settings: Settings,
        (named, strict_users): (Vec<ServerToken>, bool),
        oidc: &ServerOidc,
        former: Option<&Self>,
    ) -> (Self, Option<Keeper>) {
        let has_issuer = settings.method == AuthMethod::Oidc;
        let before = former.map(|former| &former.tokens);
        let (oidc, keeper) = match settings.method {
            AuthMethod::Token => (None, None),
            AuthMethod::Oidc => {
                let former = former.and_then(|former| former.oidc.as_ref());
                let (oidc, keeper) = OidcAuth::new(oidc, former);
                (Some(oidc), keeper)
            }
        };
        let auth = Self {
            heartbeats: settings.covers(AuthScope::HeartBeats),
            new_work_conns: settings.covers(AuthScope::NewWorkConns),
            challenge: settings.challenge,
            tokens: Tokens::new(settings.token, named, has_issuer, before),
            strict_users,
            oidc,
        };
        (auth, keeper)
    }

    /// Whether only who has shown it may call itself by that user.
    pub(crate) fn is_somebodys(&self, user: &str) -> bool {
        !user.is_empty() && (self.strict_users || self.tokens.of_user(user).is_some())
    }

    /// Whether an issuer says who is who.
    pub(crate) fn has_issuer(&self) -> bool {
        self.oidc.is_some()
    }

    /// May wait for the issuer; see `crate::limits::ISSUER_WAIT`.
    pub(crate) async fn login(&self, login: &Login) -> Result<Identity, BadCredentials> {
        match &self.oidc {
            None => self.tokens.by_digest(login).ok_or(BadCredentials::TOKEN),
            Some(oidc) => {
                let subject = oidc.login(&login.privilege_key).await?;
                let subject = Subject(Some(subject));
                Ok(Identity::of_subject(self.tokens.main(), subject))
            }
        }
    }

    /// Where [`heartbeats`](Self::heartbeats) says so. `from` has logged in on the session.
    pub(crate) async fn ping(&self, ping: &Ping, from: &Identity) -> Result<(), BadCredentials> {
        match &self.oidc {
            None => from.secret().ping(ping).map_err(BadCredentials::new),
            Some(oidc) => oidc.later(&ping.privilege_key, from.subject()).await,
        }
    }

    /// Where [`new_work_conns`](Self::new_work_conns) says so. `from` has logged in on the session
    /// that the work connection is for.
    pub(crate) async fn new_work_conn(
        &self,
        conn: &NewWorkConn,
        from: &Identity,
    ) -> Result<(), BadCredentials> {
        match &self.oidc {
            None => {
                let checked = from.secret().new_work_conn(conn);
                checked.map_err(BadCredentials::new)
            }
            Some(oidc) => oidc.later(&conn.privilege_key, from.subject()).await,
        }
    }
}

impl BadCredentials {
    /// No token that a client of that user may have is the one that it has shown.
    pub(crate) const TOKEN: Self = Self(Cow::Borrowed(
        "token in login doesn't match token from configuration",
    ));

    fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self(text.into())
    }
}
