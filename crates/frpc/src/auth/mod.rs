//! The credentials that a client signs its messages with (frp `pkg/auth`): a digest of the token that
//! both ends know, or a token of an OpenID Connect issuer.

#[cfg(feature = "oidc")]
pub(crate) mod endpoint;
#[cfg(feature = "oidc")]
mod grant;
#[cfg_attr(not(feature = "oidc"), path = "../absent/oidc.rs")]
mod oidc;
#[cfg(feature = "oidc")]
mod source;

use frp_config::{AuthMethod, AuthScope, ClientConfig, Secret};
use frp_process::clock::now;
use frp_proto::auth::token_key;
use frp_proto::msg::{Login, NewWorkConn, Ping};

use self::oidc::Oidc;
#[cfg(feature = "oidc")]
pub(crate) use self::oidc::TokenError;
pub(crate) use self::oidc::{CredentialError, EndpointSetupError};

/// Signs messages, those beyond the login where a scope asks for it.
#[derive(Debug)]
pub(crate) struct Auth {
    with: With,
    heartbeats: bool,
    new_work_conns: bool,
}

#[derive(Debug)]
enum With {
    Token(Secret),
    Oidc(Oidc),
}

/// What a message carries. A token may be among it: no `Debug`.
#[derive(Clone, Default)]
pub(crate) struct Signature {
    timestamp: i64,
    key: String,
}

impl Auth {
    /// # Errors
    /// When the settings name a file that cannot be used.
    pub(crate) fn new(cfg: &ClientConfig) -> Result<Self, EndpointSetupError> {
        let with = match cfg.auth.method {
            AuthMethod::Token => With::Token(cfg.auth.token.clone()),
            AuthMethod::Oidc => With::Oidc(Oidc::new(&cfg.oidc)?),
        };
        Ok(Self {
            with,
            heartbeats: cfg.auth.covers(AuthScope::HeartBeats),
            new_work_conns: cfg.auth.covers(AuthScope::NewWorkConns),
        })
    }

    /// The credentials of a login. May ask the issuer.
    pub(crate) async fn for_login(&self) -> Result<Signature, CredentialError> {
        Ok(Signature {
            timestamp: now(),
            ..self.signature().await?
        })
    }

    /// The server did not accept what this gave: a token that is kept may be good no longer (the keys of
    /// the issuer were replaced) or not yet.
    pub(crate) fn refused(&self) {
        if let With::Oidc(oidc) = &self.with {
            oidc.forget();
        }
    }

    pub(crate) async fn ping(&self) -> Result<Ping, CredentialError> {
        let Signature { timestamp, key } = self.signature_if(self.heartbeats).await?;
        Ok(Ping {
            timestamp,
            privilege_key: key,
        })
    }

    pub(crate) async fn new_work_conn(&self, run_id: &str) -> Result<NewWorkConn, CredentialError> {
        let Signature { timestamp, key } = self.signature_if(self.new_work_conns).await?;
        Ok(NewWorkConn {
            run_id: run_id.to_owned(),
            timestamp,
            privilege_key: key,
            ..NewWorkConn::default()
        })
    }

    async fn signature_if(&self, wanted: bool) -> Result<Signature, CredentialError> {
        if wanted {
            self.signature().await
        } else {
            Ok(Signature::default())
        }
    }

    async fn signature(&self) -> Result<Signature, CredentialError> {
        let key = match &self.with {
            With::Token(token) => {
                let (timestamp, key) = signature(token);
                return Ok(Signature { timestamp, key });
            }
            With::Oidc(oidc) => oidc.token().await?,
        };
        Ok(Signature {
            timestamp: 0,
            key: key.expose().to_owned(),
        })
    }
}

impl Signature {
    pub(crate) fn sign(self, login: &mut Login) {
        login.timestamp = self.timestamp;
        login.privilege_key = self.key;
    }
}

/// The time now in Unix seconds, and `secret` signed with it.
pub(crate) fn signature(secret: &Secret) -> (i64, String) {
    let now = now();
    (now, token_key(secret.expose(), now))
}
