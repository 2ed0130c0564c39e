//! The credentials that a client signs its messages with (frp `pkg/auth`): a digest of the token that
//! both ends know, or a token of an OpenID Connect issuer.

mod endpoint;
mod grant;
mod source;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use frp_config::{AuthMethod, AuthScope, ClientConfig, Secret};
use frp_net::dial::DialError;
use frp_net::http_client::Reason;
use frp_net::way_out::ProxyError;
use frp_proto::auth::token_key;
use frp_proto::msg::{Login, NewWorkConn, Ping};

pub(crate) use self::endpoint::EndpointSetupError;
use self::endpoint::{Endpoint, TokenError};
use self::grant::Grants;
use self::source::{Source, SourceError};
use crate::diagnose::is_out_of_time;

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
    /// Tokens that the issuer gives for client id and secret.
    Grants(Grants),
    /// Tokens that somebody else has got, read anew each time.
    Source(Source),
}

/// Why there are no credentials. The texts before the colon are frp's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialError {
    #[error("couldn't generate OIDC token for login: {0}")]
    Grant(Arc<TokenError>),
    #[error("couldn't acquire OIDC token for login: {0}")]
    Source(#[from] SourceError),
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
        let with = match (cfg.auth.method, &cfg.oidc.token_source) {
            (AuthMethod::Token, _) => With::Token(cfg.auth.token.clone()),
            (AuthMethod::Oidc, Some(source)) => With::Source(Source::new(source.clone())),
            (AuthMethod::Oidc, None) => With::Grants(Grants::new(Endpoint::new(&cfg.oidc)?)),
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
        if let With::Grants(grants) = &self.with {
            grants.forget();
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
            With::Grants(grants) => grants.token().await.map_err(CredentialError::Grant)?,
            With::Source(source) => source.read().await?,
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

fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or_default()
}

impl CredentialError {
    /// Why, as far as known, and what to do.
    pub(crate) fn help(&self) -> (&'static str, &'static str) {
        match self {
            Self::Grant(error) => help(error),
            Self::Source(_) => (
                "auth.oidc.tokenSource gives no token",
                "check that its file or program is there and gives one, as the user that frpc runs as",
            ),
        }
    }
}

fn help(error: &TokenError) -> (&'static str, &'static str) {
    match error {
        TokenError::Http(error) => match &*error.reason {
            Reason::Tls(e) if e.tls().is_some() => match e.tls() {
                Some(rustls::Error::InvalidCertificate(e)) if is_out_of_time(e) => (
                    "the certificate of the token endpoint has expired, or is not valid yet",
                    "check the clock of this machine; if it is right, renew that certificate",
                ),
                Some(rustls::Error::InvalidCertificate(_)) => (
                    "the certificate of the token endpoint is not trusted",
                    "set auth.oidc.trustedCaFile to the CA that signed it, and check the host name \
                     in auth.oidc.tokenEndpointURL",
                ),
                _ => (
                    "the token endpoint does not speak TLS with us",
                    "if it speaks plain HTTP, begin auth.oidc.tokenEndpointURL with http://; else \
                     check the port in it",
                ),
            },
            Reason::Dial(DialError::Proxy { source, .. }) => (
                match **source {
                    ProxyError::Dial(_) => {
                        "the proxy on the way to the token endpoint cannot be reached"
                    }
                    _ => "the proxy on the way to the token endpoint does not let us through",
                },
                "check auth.oidc.proxyURL (without it HTTP_PROXY and HTTPS_PROXY)",
            ),
            Reason::Roots(_) => (
                "this machine has no list of trusted CAs",
                "install its package ca-certificates, or set auth.oidc.trustedCaFile",
            ),
            _ => (
                "the token endpoint does not answer",
                "check auth.oidc.tokenEndpointURL, and whether a proxy is needed \
                 (auth.oidc.proxyURL)",
            ),
        },
        TokenError::Refused { code, .. } => match code.as_str() {
            "invalid_client" | "unauthorized_client" | "access_denied" => (
                "the issuer does not accept this client",
                "check auth.oidc.clientID and auth.oidc.clientSecret, and that the client may use \
                 the grant client_credentials",
            ),
            "invalid_scope" => (
                "the issuer does not know the scope",
                "check auth.oidc.scope",
            ),
            "invalid_target" => (
                "the issuer does not know the audience",
                "check auth.oidc.audience",
            ),
            "unsupported_grant_type" => (
                "the issuer does not offer the grant client_credentials",
                "allow it for this client at the issuer",
            ),
            _ => (
                "the issuer refused to give a token",
                "check auth.oidc.audience, auth.oidc.scope and auth.oidc.additionalEndpointParams",
            ),
        },
        TokenError::Status { .. } | TokenError::Json(_) | TokenError::NoToken => (
            "what answers is no token endpoint, or it failed",
            "check auth.oidc.tokenEndpointURL (the issuer tells it as token_endpoint in \
             /.well-known/openid-configuration)",
        ),
    }
}
