//! The token endpoint of an issuer: what is sent for a client credentials grant, and what an answer
//! means (RFC 6749 sections 4.4 and 5; in what the RFC leaves open, as golang.org/x/oauth2 does for
//! frp).

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use frp_config::{ClientOidc, Secret};
use frp_http::client::{Answer, EnvProxies, HttpClient, HttpError, Outgoing, Trust, UrlError, Via};
use frp_net::tls::TlsSetupError;
use frp_proto::proxy_url::ProxyUrlError;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde::{Deserialize, Deserializer};

/// Characters of an issuer's text that are shown.
const MAX_TEXT: usize = 512;

/// Where tokens are asked for.
#[derive(Debug)]
pub(super) struct Endpoint {
    client: HttpClient,
    /// What every request has.
    request: Outgoing,
    id: String,
    secret: Secret,
    /// What the form has beside them, in the order in which Go sends it.
    form: BTreeMap<String, Secret>,
}

/// How an endpoint takes id and secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// As user and password of HTTP.
    Header,
    /// As parameters of the form.
    Form,
}

/// A token and how long it is valid, if the issuer says so.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) token: Secret,
    pub(crate) expires_in: Option<Duration>,
}

/// Why requests to an endpoint cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum EndpointSetupError {
    /// `auth.oidc.trustedCaFile` cannot be used.
    #[error("failed to create OIDC HTTP client: auth.oidc.trustedCaFile: {0}")]
    Tls(#[from] TlsSetupError),
    /// `auth.oidc.proxyURL` is none. It may hold a password and is not repeated.
    #[error("failed to create OIDC HTTP client: auth.oidc.proxyURL: {0}")]
    Proxy(#[from] ProxyUrlError),
    /// `auth.oidc.tokenEndpointURL` is none.
    #[error("auth.oidc.tokenEndpointURL: {0}")]
    Url(#[from] UrlError),
}

/// Why there is no token. The texts are those that frp's users know.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("{0}")]
    Http(#[from] HttpError),
    #[error("oauth2: {}", refusal(code, description, uri))]
    Refused {
        code: String,
        description: String,
        uri: String,
    },
    #[error("oauth2: cannot fetch token: {status} Response: {body}")]
    Status { status: StatusCode, body: String },
    #[error("oauth2: cannot parse json: {0}")]
    Json(#[from] serde_json::Error),
    #[error("oauth2: server response missing access_token")]
    NoToken,
}

impl TokenError {
    /// Whether an endpoint was there and said no.
    pub(super) fn was_answered(&self) -> bool {
        !matches!(self, Self::Http(_))
    }
}

impl Endpoint {
    pub(super) fn new(cfg: &ClientOidc) -> Result<Self, EndpointSetupError> {
        let trust = match &cfg.trusted_ca_file {
            _ if cfg.insecure_skip_verify => Trust::Anybody,
            Some(path) => Trust::CaFile(path.clone()),
            None => Trust::System,
        };
        // As in frp, where one of the three makes a client of its own, without the environment's.
        let via = match &cfg.proxy_url {
            Some(url) => Via::Proxy(url.expose().parse()?),
            None if trust == Trust::System => Via::Environment(EnvProxies::of_process()),
            None => Via::Nothing,
        };
        let mut form = cfg.additional_endpoint_params.clone();
        form.entry("grant_type".to_owned())
            .or_insert_with(|| Secret::from("client_credentials"));
        form.insert("scope".to_owned(), Secret::from(cfg.scope.clone()));
        if !cfg.audience.is_empty() {
            form.insert("audience".to_owned(), Secret::from(cfg.audience.clone()));
        }
        Ok(Self {
            client: HttpClient::new(trust, via)?,
            request: Outgoing::get(&cfg.token_endpoint_url)?,
            id: cfg.client_id.clone(),
            secret: cfg.client_secret.clone(),
            form,
        })
    }

    pub(super) async fn ask(&self, style: Style) -> Result<Grant, TokenError> {
        read(&self.client.send(self.request(style)).await?)
    }

    fn request(&self, style: Style) -> Outgoing {
        let request = self.request.clone();
        match style {
            Style::Header => {
                let (id, secret) = (escape(&self.id), escape(self.secret.expose()));
                let login = STANDARD.encode(format!("{id}:{secret}"));
                // Base64 is always a value.
                let login = HeaderValue::from_str(&format!("Basic {login}"));
                let login = login.unwrap_or(HeaderValue::from_static("Basic"));
                request.post_form(encode(&self.form)).authorization(login)
            }
            Style::Form => {
                let mut form = self.form.clone();
                form.insert("client_id".to_owned(), Secret::from(self.id.clone()));
                if !self.secret.expose().is_empty() {
                    form.insert("client_secret".to_owned(), self.secret.clone());
                }
                request.post_form(encode(&form))
            }
        }
    }
}

/// `application/x-www-form-urlencoded`
fn encode(form: &BTreeMap<String, Secret>) -> String {
    let pairs = form
        .iter()
        .map(|(name, value)| format!("{}={}", escape(name), escape(value.expose())));
    pairs.collect::<Vec<_>>().join("&")
}

/// As Go's `url.QueryEscape`. Many issuers take user and password of HTTP as they come, so it matters
/// that the same characters stay as they are.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte));
            }
            b' ' => escaped.push('+'),
            _ => escaped += &format!("%{byte:02X}"),
        }
    }
    escaped
}

/// The fields of an answer, good or bad.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Fields {
    #[serde(deserialize_with = "text")]
    access_token: String,
    #[serde(deserialize_with = "seconds")]
    expires_in: i64,
    #[serde(deserialize_with = "text")]
    error: String,
    #[serde(deserialize_with = "text")]
    error_description: String,
    #[serde(deserialize_with = "text")]
    error_uri: String,
}

pub(crate) fn read(answer: &Answer) -> Result<Grant, TokenError> {
    let status = answer.status;
    let fields = match (fields(answer), status.is_success()) {
        (Ok(fields), true) if fields.error.is_empty() => fields,
        (Ok(fields), _) if !fields.error.is_empty() => {
            return Err(TokenError::Refused {
                code: fields.error,
                description: fields.error_description,
                uri: fields.error_uri,
            });
        }
        (Err(error), true) => return Err(error.into()),
        _ => {
            let body = shown(&String::from_utf8_lossy(&answer.body));
            return Err(TokenError::Status { status, body });
        }
    };
    if fields.access_token.is_empty() {
        return Err(TokenError::NoToken);
    }
    let seconds = fields.expires_in;
    Ok(Grant {
        token: Secret::from(fields.access_token),
        // Without a time, or with 0, nobody knows; below 0 it is over.
        expires_in: (seconds != 0)
            .then(|| Duration::from_secs(u32::try_from(seconds.max(0)).unwrap_or(u32::MAX).into())),
    })
}

/// Some endpoints answer in the form of a query.
fn fields(answer: &Answer) -> serde_json::Result<Fields> {
    let kind = answer.headers.get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        || kind.eq_ignore_ascii_case("text/plain")
    {
        return Ok(fields_of_query(&answer.body));
    }
    serde_json::from_slice(&answer.body)
}

fn fields_of_query(body: &[u8]) -> Fields {
    let mut fields = Fields::default();
    for pair in body.split(|byte| *byte == b'&') {
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else {
            continue;
        };
        let value = unescape(value);
        match name {
            b"access_token" => fields.access_token = value,
            b"expires_in" => fields.expires_in = value.parse().unwrap_or_default(),
            b"error" => fields.error = value,
            b"error_description" => fields.error_description = value,
            b"error_uri" => fields.error_uri = value,
            _ => {}
        }
    }
    fields
}

fn unescape(value: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.iter().copied();
    while let Some(byte) = rest.next() {
        let hex = |digit: Option<u8>| char::from(digit?).to_digit(16);
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => match (hex(rest.next()), hex(rest.next())) {
                (Some(high), Some(low)) => bytes.push((high * 16 + low) as u8),
                _ => bytes.push(b'?'),
            },
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// A number, or, at some issuers, a text with one.
fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Seconds {
        Number(i64),
        Fraction(f64),
        Text(String),
        None(()),
    }
    match Seconds::deserialize(from)? {
        Seconds::Number(seconds) => Ok(seconds),
        Seconds::Fraction(seconds) => Ok(seconds as i64),
        Seconds::Text(text) => text.trim().parse().map_err(serde::de::Error::custom),
        Seconds::None(()) => Ok(0),
    }
}

/// What the issuer says, in quotes as Go prints it.
fn refusal(code: &str, description: &str, uri: &str) -> String {
    let said = [code, description, uri]
        .into_iter()
        .filter(|text| !text.is_empty());
    let said = said.map(|text| format!("{:?}", shown(text)));
    said.collect::<Vec<_>>().join(" ")
}

/// A text of an issuer, on one line and not too long.
fn shown(text: &str) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    one_line
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_TEXT)
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use hyper::HeaderMap;

    fn answer(status: u16, kind: &str, body: &str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(kind).unwrap());
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: body.to_owned().into(),
        }
    }

    fn json(status: u16, body: &str) -> Result<(String, Option<u64>), String> {
        given(&answer(status, "application/json; charset=utf-8", body))
    }

    fn given(answer: &Answer) -> Result<(String, Option<u64>), String> {
        let grant = read(answer).map_err(|e| e.to_string())?;
        let left = grant.expires_in.map(|left| left.as_secs());
        Ok((grant.token.expose().to_owned(), left))
    }

    #[test]
    fn the_forms_of_a_grant() {
        let token = |left| Ok(("t".to_owned(), left));
        assert_eq!(
            json(200, r#"{"access_token":"t","expires_in":60}"#),
            token(Some(60))
        );
        assert_eq!(
            json(201, r#"{"access_token":"t","expires_in":"60"}"#),
            token(Some(60))
        );
        assert_eq!(
            json(200, r#"{"access_token":"t","expires_in":59.9}"#),
            token(Some(59))
        );
        assert_eq!(
            json(200, r#"{"access_token":"t","expires_in":-1}"#),
            token(Some(0))
        );
        assert_eq!(
            json(200, r#"{"access_token":"t","expires_in":0}"#),
            token(None)
        );
        assert_eq!(
            json(200, r#"{"access_token":"t","expires_in":null}"#),
            token(None)
        );
        assert_eq!(json(200, r#"{"access_token":"t","more":[]}"#), token(None));
        let huge = r#"{"access_token":"t","expires_in":9000000000000000000}"#;
        assert_eq!(json(200, huge), token(Some(u32::MAX.into())));
        let query = answer(200, "text/plain", "access_token=a%2Bb+c&expires_in=7&x");
        assert_eq!(given(&query), Ok(("a+b c".to_owned(), Some(7))));
    }

    #[test]
    fn refusals_are_told_as_frp_tells_them() {
        let told = |status, body| json(status, body).unwrap_err();
        assert_eq!(
            told(401, r#"{"error":"invalid_client"}"#),
            "oauth2: \"invalid_client\""
        );
        assert_eq!(
            told(
                200,
                r#"{"error":"x","error_description":"y z","error_uri":"u"}"#
            ),
            "oauth2: \"x\" \"y z\" \"u\""
        );
        assert_eq!(
            told(503, "<p>\n busy\u{1b}[2J"),
            "oauth2: cannot fetch token: 503 Service Unavailable Response: <p> busy[2J"
        );
        assert_eq!(
            told(404, "{}"),
            "oauth2: cannot fetch token: 404 Not Found Response: {}"
        );
        assert_eq!(
            told(200, "{}"),
            "oauth2: server response missing access_token"
        );
        assert!(told(200, "<html>").starts_with("oauth2: cannot parse json: "));
        assert!(told(500, &"x".repeat(9999)).len() < 700);
    }

    fn endpoint(change: impl FnOnce(&mut ClientOidc)) -> Endpoint {
        let mut cfg = ClientOidc {
            client_id: "me".to_owned(),
            client_secret: Secret::from("p@ss word"),
            audience: String::new(),
            scope: String::new(),
            token_endpoint_url: "http://id/token".to_owned(),
            additional_endpoint_params: BTreeMap::new(),
            trusted_ca_file: None,
            insecure_skip_verify: false,
            proxy_url: None,
            token_source: None,
        };
        change(&mut cfg);
        Endpoint::new(&cfg).unwrap()
    }

    #[test]
    fn the_form_is_that_of_frp() {
        let plain = endpoint(|_| ());
        assert_eq!(encode(&plain.form), "grant_type=client_credentials&scope=");
        let full = endpoint(|cfg| {
            cfg.scope = "a b".to_owned();
            cfg.audience = "frps".to_owned();
            let more = [("resource", "https://x/?y=1~"), ("grant_type", "own")];
            cfg.additional_endpoint_params = more
                .map(|(name, value)| (name.to_owned(), Secret::from(value)))
                .into();
        });
        assert_eq!(
            encode(&full.form),
            "audience=frps&grant_type=own&resource=https%3A%2F%2Fx%2F%3Fy%3D1~&scope=a+b"
        );
    }

    #[test]
    fn nothing_secret_shows() {
        let debug = format!("{:?}", endpoint(|_| ()));
        assert!(!debug.contains("ss word"), "{debug}");
        let request = format!("{:?}", endpoint(|_| ()).request(Style::Form));
        assert!(!request.contains("ss"), "{request}");
    }
}
