//! Why there are no credentials to log in with.

use frp_http::client::Reason;
use frp_net::dial::DialError;
use frp_net::outbound_proxy::ProxyError;

use super::explained::{Explained, explained};
use super::tls::is_out_of_time;
use crate::auth::{CredentialError, TokenError};

pub(super) fn explain(error: &CredentialError) -> Explained {
    let (why, advice) = match error {
        CredentialError::Grant(error) => of_grant(error),
        CredentialError::Source(_) => (
            "auth.oidc.tokenSource gives no token",
            "check that its file or program is there and gives one, as the user that frpc runs as",
        ),
    };
    explained(error, why, advice)
}

fn of_grant(error: &TokenError) -> (&'static str, &'static str) {
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
