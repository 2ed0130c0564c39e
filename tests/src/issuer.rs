//! A small OpenID Connect issuer: discovery, keys, tokens by the client credentials grant, over http
//! or https, with all that can go wrong there. It signs by code of its own.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use crate::service::Service;
use crate::tls::{self, Identity};

/// The client that it knows, and the client's secret.
pub const CLIENT: (&str, &str) = ("test-client", "test secret+/&%");

/// A running issuer.
#[derive(Debug)]
pub struct Issuer {
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// Its URL, which is its name, too.
    pub url: String,
    state: Arc<Mutex<State>>,
    _service: Service,
}

/// How it behaves; to be changed at any time.
#[derive(Debug)]
pub struct State {
    /// Seconds that it says a token is good for; `None`: it does not say.
    pub expires_in: Option<i64>,
    /// Claims of its tokens; `exp` and `iat` are added where they lack.
    pub claims: Value,
    /// Whether it takes id and secret as user and password of HTTP.
    pub takes_basic: bool,
    /// Whether it takes them as parameters.
    pub takes_form: bool,
    /// Whether it takes requests and never answers.
    pub hangs: bool,
    /// Answers every request with this status and body, if set.
    pub broken: Option<(u16, String)>,
    /// Ways of signing that it announces.
    pub algorithms: Vec<&'static str>,
    /// `Cache-Control` of its keys.
    pub cache_control: Option<&'static str>,
    /// What it calls itself in its discovery document; its URL where that is empty.
    pub name: String,
    /// What it was asked, oldest first.
    pub asked: Vec<Asked>,
    /// The key that it signs with.
    pub key: Arc<Key>,
    /// Those that it tells.
    pub published: Vec<Arc<Key>>,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Path and query, as sent.
    pub target: String,
    /// The head.
    pub head: String,
    /// The body.
    pub body: String,
}

/// A key pair.
#[derive(Debug)]
pub struct Key {
    /// Its `kid`.
    pub id: String,
    pair: Pair,
}

#[derive(Debug)]
enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ec(EcdsaKeyPair),
}

impl Key {
    /// An RSA key; it signs by RS256.
    #[must_use]
    pub fn rsa(id: &str) -> Arc<Self> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        Arc::new(Self {
            id: id.to_owned(),
            pair: Pair::Rsa(Box::new(pair)),
        })
    }

    /// A P-256 key; it signs by ES256.
    #[must_use]
    pub fn ec(id: &str) -> Arc<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Arc::new(Self {
            id: id.to_owned(),
            pair: Pair::Ec(pair),
        })
    }

    /// A token of it with these claims.
    #[must_use]
    pub fn token(&self, claims: &Value) -> String {
        let alg = match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::Ec(_) => "ES256",
        };
        self.token_with(&json!({"alg": alg, "typ": "JWT", "kid": self.id}), claims)
    }

    /// A token with this header, signed as the key can.
    #[must_use]
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        let signed = signing_input(header, claims);
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(
                    &RSA_PKCS1_SHA256,
                    &random,
                    signed.as_bytes(),
                    &mut signature,
                )
                .unwrap();
                signature
            }
            Pair::Ec(pair) => pair
                .sign(&random, signed.as_bytes())
                .unwrap()
                .as_ref()
                .to_vec(),
        };
        format!("{signed}.{}", base64url(&signature))
    }

    /// A token "signed" with the public key as the secret of an HMAC.
    #[must_use]
    pub fn hmac_token(&self, claims: &Value) -> String {
        let signed = signing_input(&json!({"alg": "HS256", "kid": self.id}), claims);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.public());
        let tag = hmac::sign(&key, signed.as_bytes());
        format!("{signed}.{}", base64url(tag.as_ref()))
    }

    fn public(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ec(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    fn jwk(&self) -> Value {
        let public = self.public();
        match &self.pair {
            // An RSAPublicKey of 2048 bits: its modulus begins behind nine bytes of DER.
            Pair::Rsa(_) => json!({
                "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.id,
                "n": base64url(&public[9..265]), "e": base64url(&public[267..]),
            }),
            Pair::Ec(_) => json!({
                "kty": "EC", "use": "sig", "crv": "P-256", "kid": self.id,
                "x": base64url(&public[1..33]), "y": base64url(&public[33..]),
            }),
        }
    }
}

/// A token that is not signed at all.
#[must_use]
pub fn unsigned_token(claims: &Value) -> String {
    format!("{}.", signing_input(&json!({"alg": "none"}), claims))
}

fn signing_input(header: &Value, claims: &Value) -> String {
    let part = |json: &Value| base64url(json.to_string().as_bytes());
    format!("{}.{}", part(header), part(claims))
}

/// Unix seconds.
#[must_use]
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs()
}

impl Issuer {
    /// One that speaks http.
    pub async fn start() -> Self {
        Self::launch(None).await
    }

    /// One that speaks https as `identity`, which must be for 127.0.0.1.
    pub async fn start_tls(identity: &Identity) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(tls::server(identity)));
        Self::launch(Some(acceptor)).await
    }

    async fn launch(acceptor: Option<TlsAcceptor>) -> Self {
        let key = Key::rsa("key-1");
        let state = Arc::new(Mutex::new(State {
            expires_in: Some(3600),
            claims: json!({"sub": "test-service", "aud": "frps"}),
            takes_basic: true,
            takes_form: true,
            hangs: false,
            broken: None,
            algorithms: vec!["RS256", "ES256"],
            cache_control: None,
            name: String::new(),
            asked: Vec::new(),
            published: vec![key.clone()],
            key,
        }));
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let served = state.clone();
        let service = Service::new(move |stream| {
            let (state, acceptor) = (served.clone(), acceptor.clone());
            async move {
                let local = stream.local_addr().unwrap();
                match acceptor {
                    None => serve(stream, &state, &format!("http://{local}")).await,
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            serve(stream, &state, &format!("https://{local}")).await;
                        }
                    }
                }
            }
        })
        .await;
        Self {
            port: service.port,
            url: format!("{scheme}://127.0.0.1:{}", service.port),
            state,
            _service: service,
        }
    }

    /// How it behaves.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// How often it was asked for `target`.
    #[must_use]
    pub fn count(&self, target: &str) -> usize {
        let state = self.state();
        state
            .asked
            .iter()
            .filter(|asked| asked.target == target)
            .count()
    }

    /// Claims of a good token of `subject`.
    #[must_use]
    pub fn claims(&self, subject: &str) -> Value {
        json!({"iss": self.url, "sub": subject, "aud": "frps", "exp": now() + 600})
    }

    /// A good token of `subject`.
    #[must_use]
    pub fn token(&self, subject: &str) -> String {
        let claims = self.claims(subject);
        let key = self.state().key.clone();
        key.token(&claims)
    }

    /// Signs with `key` from now on, and tells no other.
    pub fn rotate(&self, key: Arc<Key>) {
        let mut state = self.state();
        state.published = vec![key.clone()];
        state.key = key;
    }

    /// The lines of frps that trust it.
    #[must_use]
    pub fn server_lines(&self) -> String {
        format!(
            "auth.method = \"oidc\"\nauth.oidc.issuer = \"{}\"\nauth.oidc.audience = \"frps\"\n",
            self.url
        )
    }

    /// The lines of frpc that get tokens from it.
    #[must_use]
    pub fn client_lines(&self) -> String {
        format!(
            "auth.method = \"oidc\"\nauth.oidc.clientID = \"{}\"\nauth.oidc.clientSecret = \"{}\"\n\
             auth.oidc.tokenEndpointURL = \"{}/token\"\n",
            CLIENT.0, CLIENT.1, self.url
        )
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, state: &Mutex<State>, url: &str) {
    let Some(asked) = read(&mut stream).await else {
        return;
    };
    let answer = {
        let mut state = state.lock().unwrap();
        state.asked.push(asked.clone());
        if state.hangs {
            None
        } else {
            Some(state.answer(&asked, url))
        }
    };
    let Some(answer) = answer else {
        return tokio::time::sleep(Duration::from_secs(600)).await;
    };
    if stream.write_all(answer.as_bytes()).await.is_ok() {
        let _ = stream.shutdown().await;
    }
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Option<Asked> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break String::from_utf8(bytes.drain(..end + 4).collect()).unwrap();
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().unwrap())
    });
    while bytes.len() < length.unwrap_or(0) {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(Asked {
        target: head.split(' ').nth(1)?.to_owned(),
        body: String::from_utf8(bytes).unwrap(),
        head,
    })
}

impl State {
    fn answer(&self, asked: &Asked, url: &str) -> String {
        if let Some((status, body)) = &self.broken {
            return respond(*status, "", body);
        }
        match asked.target.as_str() {
            "/.well-known/openid-configuration" => {
                let name = if self.name.is_empty() {
                    url
                } else {
                    &self.name
                };
                let document = json!({
                    "issuer": name,
                    "token_endpoint": format!("{url}/token"),
                    "jwks_uri": format!("{url}/jwks"),
                    "id_token_signing_alg_values_supported": self.algorithms,
                });
                respond(200, "", &document.to_string())
            }
            "/jwks" => {
                let keys: Vec<_> = self.published.iter().map(|key| key.jwk()).collect();
                let cache = self
                    .cache_control
                    .map(|it| format!("Cache-Control: {it}\r\n"));
                let document = json!({ "keys": keys });
                respond(200, &cache.unwrap_or_default(), &document.to_string())
            }
            "/token" => self.grant(asked, url),
            "/moved" => respond(307, "Location: /token\r\n", ""),
            _ => respond(404, "", "not found"),
        }
    }

    fn grant(&self, asked: &Asked, url: &str) -> String {
        let escaped = "test+secret%2B%2F%26%25";
        let basic = format!(
            "Basic {}",
            base64(format!("{}:{escaped}", CLIENT.0).as_bytes())
        );
        let by_basic = self.takes_basic && asked.head.contains(&basic);
        let form = format!("client_id={}&client_secret={escaped}", CLIENT.0);
        let by_form = self.takes_form && asked.body.contains(&form);
        if !asked.head.starts_with("POST ") || !asked.body.contains("grant_type=client_credentials")
        {
            return respond(
                400,
                "",
                &json!({"error": "unsupported_grant_type"}).to_string(),
            );
        }
        if !by_basic && !by_form {
            let body = json!({"error": "invalid_client", "error_description": "who are you?"});
            return respond(401, "", &body.to_string());
        }
        let mut claims = self.claims.clone();
        let defaults = json!({"iss": url, "iat": now(), "exp": now() + 3600});
        for (name, value) in defaults.as_object().unwrap() {
            if claims.get(name).is_none() {
                claims[name] = value.clone();
            }
        }
        let mut body = json!({"access_token": self.key.token(&claims), "token_type": "Bearer"});
        if let Some(seconds) = self.expires_in {
            body["expires_in"] = json!(seconds);
        }
        respond(200, "", &body.to_string())
    }
}

fn respond(status: u16, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\n{headers}\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, i| {
            bits << 8 | u32::from(*three.get(i).unwrap_or(&0))
        });
        for i in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * i)) as usize & 63];
            text.push(if i <= three.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}

fn base64url(bytes: &[u8]) -> String {
    let text = base64(bytes).replace('+', "-").replace('/', "_");
    text.trim_end_matches('=').to_owned()
}
