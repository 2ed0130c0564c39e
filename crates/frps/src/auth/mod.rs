//! Are the credentials of a login, a ping, a work connection good (frp `pkg/auth`)? By the token that
//! both ends know ([`token`]), or by tokens of an OpenID Connect issuer ([`oidc`], with what [`issuer`]
//! knows of it).

#[cfg(feature = "oidc")]
mod issuer;
#[cfg_attr(not(feature = "oidc"), path = "../absent/oidc.rs")]
mod oidc;
mod token;

use std::borrow::Cow;

use frp_config::{Auth as Settings, AuthMethod, AuthScope, ServerOidc};
use frp_proto::crypto::cfb;
use frp_proto::msg::{Login, NewWorkConn, Ping};

pub(crate) use self::oidc::Keeper;
use self::oidc::OidcAuth;
use self::token::Token;

/// Checks credentials, those beyond the login where a scope asks for it.
#[derive(Debug, Default)]
pub(crate) struct Auth {
    /// The ciphers' also where `oidc` checks who comes.
    token: Token,
    oidc: Option<OidcAuth>,
    /// Whether pings, and whether work connections, have to show something.
    pub(crate) heartbeats: bool,
    pub(crate) new_work_conns: bool,
}

/// Who has logged in, as far as credentials say: what comes later must come from the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Subject(Option<String>);

#[cfg(test)]
impl Subject {
    pub(crate) fn of(name: &str) -> Self {
        Self(Some(name.to_owned()))
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
        oidc: &ServerOidc,
        former: Option<&Self>,
    ) -> (Self, Option<Keeper>) {
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
            token: Token::new(settings.token),
            oidc,
        };
        (auth, keeper)
    }

    /// What the ciphers' keys are made of.
    pub(crate) fn token(&self) -> &[u8] {
        self.token.bytes()
    }

    /// Whether an issuer says who is who.
    pub(crate) fn has_issuer(&self) -> bool {
        self.oidc.is_some()
    }

    /// That of the v1 control cipher and of `useEncryption`.
    pub(crate) fn key(&self) -> &cfb::Key {
        self.token.key()
    }

    /// May wait for the issuer; see `crate::limits::ISSUER_WAIT`.
    pub(crate) async fn login(&self, login: &Login) -> Result<Subject, BadCredentials> {
        match &self.oidc {
            None => {
                self.token.login(login).map_err(BadCredentials::new)?;
                Ok(Subject::default())
            }
            Some(oidc) => {
                let subject = oidc.login(&login.privilege_key).await?;
                Ok(Subject(Some(subject)))
            }
        }
    }

    /// Where [`heartbeats`](Self::heartbeats) says so. `from` has logged in on the session.
    pub(crate) async fn ping(&self, ping: &Ping, from: &Subject) -> Result<(), BadCredentials> {
        match &self.oidc {
            None => self.token.ping(ping).map_err(BadCredentials::new),
            Some(oidc) => oidc.later(&ping.privilege_key, from).await,
        }
    }

    /// Where [`new_work_conns`](Self::new_work_conns) says so. `from` has logged in on the session
    /// that the work connection is for.
    pub(crate) async fn new_work_conn(
        &self,
        conn: &NewWorkConn,
        from: &Subject,
    ) -> Result<(), BadCredentials> {
        match &self.oidc {
            None => self.token.new_work_conn(conn).map_err(BadCredentials::new),
            Some(oidc) => oidc.later(&conn.privilege_key, from).await,
        }
    }
}

impl BadCredentials {
    fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self(text.into())
    }
}
