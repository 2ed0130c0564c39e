//! Are the credentials of a login, a ping, a work connection good (frp `pkg/auth`)? By the token that
//! both ends know ([`token`]), or by tokens of an OpenID Connect issuer ([`oidc`], with what [`issuer`]
//! knows of it).

mod issuer;
mod oidc;
mod token;

use std::borrow::Cow;

use frp_config::{AuthMethod, AuthScope, ServerConfig};
use frp_proto::msg::{Login, NewWorkConn, Ping};

pub(crate) use self::issuer::Keeper;
use self::oidc::OidcAuth;
use self::token::TokenAuth;

/// Checks credentials, those beyond the login where a scope asks for it.
#[derive(Debug)]
pub(crate) struct Auth {
    with: With,
    heartbeats: bool,
    new_work_conns: bool,
}

#[derive(Debug)]
enum With {
    Token(TokenAuth),
    Oidc(OidcAuth),
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
pub(crate) struct Refusal(Cow<'static, str>);

impl Auth {
    /// Also gives what keeps track of the issuer, if there is one, to be run.
    pub(crate) fn new(cfg: &ServerConfig) -> (Self, Option<Keeper>) {
        let (with, keeper) = match cfg.auth.method {
            AuthMethod::Token => (With::Token(TokenAuth::new(&cfg.auth)), None),
            AuthMethod::Oidc => {
                let (issuer, keeper) = issuer::follow(&cfg.oidc.issuer);
                (With::Oidc(OidcAuth::new(&cfg.oidc, issuer)), Some(keeper))
            }
        };
        let auth = Self {
            with,
            heartbeats: cfg.auth.covers(AuthScope::HeartBeats),
            new_work_conns: cfg.auth.covers(AuthScope::NewWorkConns),
        };
        (auth, keeper)
    }

    /// May wait for the issuer; see `frp_net::limits::ISSUER_WAIT`.
    pub(crate) async fn login(&self, login: &Login) -> Result<Subject, Refusal> {
        match &self.with {
            With::Token(token) => {
                token.login(login).map_err(Refusal::new)?;
                Ok(Subject::default())
            }
            With::Oidc(oidc) => {
                let subject = oidc.login(&login.privilege_key).await?;
                Ok(Subject(Some(subject)))
            }
        }
    }

    /// `from` has logged in on the session.
    pub(crate) async fn ping(&self, ping: &Ping, from: &Subject) -> Result<(), Refusal> {
        match &self.with {
            _ if !self.heartbeats => Ok(()),
            With::Token(token) => token.ping(ping).map_err(Refusal::new),
            With::Oidc(oidc) => oidc.later(&ping.privilege_key, from).await,
        }
    }

    /// `from` has logged in on the session that the work connection is for.
    pub(crate) async fn new_work_conn(
        &self,
        conn: &NewWorkConn,
        from: &Subject,
    ) -> Result<(), Refusal> {
        match &self.with {
            _ if !self.new_work_conns => Ok(()),
            With::Token(token) => token.new_work_conn(conn).map_err(Refusal::new),
            With::Oidc(oidc) => oidc.later(&conn.privilege_key, from).await,
        }
    }
}

impl Refusal {
    fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self(text.into())
    }
}
