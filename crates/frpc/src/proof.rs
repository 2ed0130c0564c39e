//! Stage 2, between programs of ours: we know the token, and so does the server (`frp_proto::scram`), on this very
//! connection; and we hold our run id, by a key that is made when this program starts.
//!
//! A server of ours says by a mark in its TLS that it is one. Where there is no mark, it may be frp's: then frp's proof
//! goes along, in a form that is worth nothing to who would repeat it at a server of ours
//! ([`frp_proto::auth::OURS_FROM`]).

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use bytes::Bytes;
use frp_config::{AuthMethod, Challenge, ClientConfig, Secret, ServerTrust};
use frp_log::{Log, warn};
use frp_net::tls::Channel;
use frp_process::clock::now;
use frp_proto::auth::{OURS_FROM, token_key};
use frp_proto::features;
use frp_proto::msg::{Login, NewVisitorConn, NewWorkConn};
use frp_proto::scram::{self, Answer, Binding, Client, NONCE_LEN, Salted, ScramError, Use};
use tokio::time::Instant;

use crate::known_servers::KnownToProve;
use crate::limits::INSIST_ON_PROOF;
use crate::one_way::OneWay;

/// What outlives a login.
#[derive(Debug)]
pub(crate) struct Prover {
    /// Where the token is what is proven, by challenge.
    token: Option<Secret>,
    challenge: Challenge,
    key: Option<Ed25519KeyPair>,
    salted: Mutex<Option<Kept>>,
    server: Mutex<Server>,
    /// A run id that is another's.
    lost: Mutex<String>,
}

/// What was computed last.
#[derive(Debug, Clone)]
struct Kept {
    salt: Vec<u8>,
    rounds: NonZeroU32,
    salted: Salted,
}

/// What the server is, as far as logins tell.
#[derive(Debug, Default)]
enum Server {
    #[default]
    Unknown,
    /// It has proven the token.
    Ours {
        /// Somebody has answered since then who does not.
        unproven: Option<Instant>,
    },
    /// It has not asked for our proof.
    NotOurs,
}

/// A login that is under way.
#[derive(Debug)]
pub(crate) struct Begun {
    client: Option<Client>,
    digest: [u8; 32],
}

/// Our answer to a challenge.
pub(crate) struct Answered {
    pub(crate) login: Login,
    /// What the server is to confirm.
    pub(crate) answer: Option<Answer>,
}

/// Why there is no answer to a challenge, or no use in the server's to ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProofError {
    #[error("{0}")]
    Scram(#[from] ScramError),
    #[error("the server asks for a proof that we have not offered")]
    Unasked,
    #[error(
        "the server does not ask for the proof of the token, and auth.challenge is \"required\""
    )]
    NotAsked,
    #[error("the server has proven before that it knows the token, and does not any more")]
    NoLonger,
    #[error("{0}, and it does not")]
    Known(KnownToProve),
    #[error("the proof of the token could not be computed")]
    Computing,
}

impl Prover {
    pub(crate) fn new(cfg: &ClientConfig) -> Self {
        let challenge = cfg.auth.challenge;
        let by_token = cfg.auth.method == AuthMethod::Token && challenge != Challenge::Off;
        // Fails only where the machine has no entropy: run ids are as in frp then.
        let key = || Ed25519KeyPair::generate().ok();
        Self {
            token: by_token.then(|| cfg.auth.token.clone()),
            key: (challenge != Challenge::Off).then(key).flatten(),
            challenge,
            salted: Mutex::default(),
            server: Mutex::default(),
            lost: Mutex::default(),
        }
    }

    /// Puts into `login`, which is complete else, what a server of ours asks for, on a connection that is known by
    /// `channel`. `must_prove`: the server is one that proves the token.
    pub(crate) fn begin(
        &self,
        login: &mut Login,
        way: &OneWay,
        channel: Option<Channel>,
        must_prove: bool,
    ) -> Begun {
        if let Some(key) = &self.key {
            login.run_key = Bytes::copy_from_slice(key.public_key().as_ref());
        }
        let Some(token) = &self.token else {
            let digest = login.digest();
            return Begun {
                client: None,
                digest,
            };
        };
        login.features.push(features::SCRAM.to_owned());
        let is_marked = channel.is_some_and(|channel| channel.is_marked);
        let binding = match channel {
            Some(Channel {
                key,
                is_marked: true,
            }) => Binding::Exporter(key),
            _ if way.tls.is_none() => Binding::None,
            // Whoever ends TLS there is whom the user trusts, such as a CDN. A key that was remembered may be anybody's.
            _ if way.transport.tls.trusted_ca_file.is_some()
                || way.transport.tls.trust == Some(ServerTrust::System)
                || !way.transport.tls.pins.is_empty() =>
            {
                Binding::None
            }
            _ => Binding::Unseen,
        };
        let digest = login.digest();
        let client = Client::new(binding, &login.user, random(), &digest);
        login.scram = client.first();
        let is_ours = match *self.server() {
            _ if must_prove => true,
            Server::Ours { .. } => true,
            Server::NotOurs => false,
            Server::Unknown => is_marked,
        };
        login.timestamp = now();
        login.privilege_key = String::new();
        if !is_ours && self.challenge != Challenge::Required {
            login.timestamp = login.timestamp.saturating_add(OURS_FROM);
            login.privilege_key = token_key(token.expose(), login.timestamp);
        }
        Begun {
            client: Some(client),
            digest,
        }
    }

    /// The server has let us in, or has refused us, without a challenge. One that is known to prove the token, by the
    /// file `known` or by this program, is not the same then.
    pub(crate) fn not_asked(&self, known: Option<&KnownToProve>) -> Result<(), ProofError> {
        if self.token.is_none() {
            return Ok(());
        }
        if self.challenge == Challenge::Required {
            return Err(ProofError::NotAsked);
        }
        if let Some(known) = known {
            return Err(ProofError::Known(known.clone()));
        }
        let mut server = self.server();
        if let Server::Ours { unproven } = &mut *server {
            // Whoever goes back to frp's at the other end of the world is not locked out for ever.
            if unproven.get_or_insert_with(Instant::now).elapsed() < INSIST_ON_PROOF {
                return Err(ProofError::NoLonger);
            }
            warn!(
                Log::root(),
                "frps has not proven for an hour that it knows the token, as it did before, and is logged in to \
                 nevertheless; auth.challenge = \"required\" has frpc log in to none but such that prove it"
            );
        }
        *server = Server::NotOurs;
        Ok(())
    }

    fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the challenge of a server, of which this is `text`.
    pub(crate) async fn answer(&self, begun: Begun, text: &str) -> Result<Answered, ProofError> {
        let (exchange, answer) = match begun.client {
            // Without a salt it is the challenge of one that goes by an issuer.
            Some(client) if text.contains(",s=") => {
                let token = self.token.as_ref().ok_or(ProofError::Unasked)?;
                let challenged = client.challenged(text)?;
                let (salt, rounds) = (challenged.salt(), challenged.iterations());
                let salted = self.salted(token, salt, rounds).await?;
                let answer = challenged.answer(&salted);
                (answer.exchange, Some(answer))
            }
            _ => (Login::exchange_of_issuer(text, &begun.digest), None),
        };
        let key = self.key.as_ref();
        let signature = key.map(|key| key.sign(&Login::signed(&exchange)));
        let signature = signature.map(|signature| Bytes::copy_from_slice(signature.as_ref()));
        let login = Login {
            scram: answer
                .as_ref()
                .map(|answer| answer.message.clone())
                .unwrap_or_default(),
            signature: signature.unwrap_or_default(),
            ..Login::default()
        };
        Ok(Answered { login, answer })
    }

    async fn salted(
        &self,
        token: &Secret,
        salt: &[u8],
        rounds: NonZeroU32,
    ) -> Result<Salted, ProofError> {
        let kept = self.kept().clone();
        if let Some(kept) = kept.filter(|kept| kept.salt == salt && kept.rounds == rounds) {
            return Ok(kept.salted);
        }
        let token = token.expose().as_bytes().to_vec();
        let asked = salt.to_vec();
        // Milliseconds, and by as many rounds as we do at most a second.
        let computing = tokio::task::spawn_blocking(move || Salted::of(&token, &asked, rounds));
        let salted = computing.await.map_err(|_| ProofError::Computing)?;
        *self.kept() = Some(Kept {
            salt: salt.to_vec(),
            rounds,
            salted: salted.clone(),
        });
        Ok(salted)
    }

    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        self.salted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server has let us in, and `text` is to show that it knows the token: then there is what only the two know.
    /// One that has asked for no proof of the token, but for our key only, has shown no more than frp's.
    pub(crate) fn confirm(
        &self,
        answer: Option<Answer>,
        text: &str,
        known: Option<&KnownToProve>,
    ) -> Result<Option<Streams>, ProofError> {
        let Some(answer) = answer else {
            self.not_asked(known)?;
            return Ok(None);
        };
        let secret = answer.confirm(text)?;
        *self.server() = Server::Ours { unproven: None };
        Ok(Some(Streams {
            secret,
            next: AtomicU64::new(1),
        }))
    }

    /// The server says that `run_id` is another's, who holds it by its key.
    pub(crate) fn lost(&self, run_id: &str) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        run_id.clone_into(&mut lost);
    }

    /// `run_id`, unless it was lost: a new one is given then.
    pub(crate) fn run_id<'a>(&self, run_id: &'a str) -> &'a str {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        match *lost == run_id {
            true => "",
            false => run_id,
        }
    }
}

/// What a session's other streams show.
#[derive(Debug)]
pub(crate) struct Streams {
    secret: scram::Secret,
    next: AtomicU64,
}

impl Streams {
    /// What the ciphers' keys are made of.
    pub(crate) fn secret(&self) -> &[u8] {
        self.secret.bytes()
    }

    pub(crate) fn work(&self, run_id: &str) -> NewWorkConn {
        let (count, proof) = self.next(Use::Work);
        NewWorkConn {
            run_id: run_id.to_owned(),
            count,
            proof,
            ..NewWorkConn::default()
        }
    }

    pub(crate) fn visit(&self, conn: NewVisitorConn) -> NewVisitorConn {
        let (count, proof) = self.next(Use::Visit);
        NewVisitorConn {
            count,
            proof,
            ..conn
        }
    }

    fn next(&self, what: Use) -> (i64, Bytes) {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        let proof = self.secret.proof(what, count);
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        (count, Bytes::copy_from_slice(&proof))
    }
}

fn random() -> [u8; NONCE_LEN] {
    let mut bytes = [0; NONCE_LEN];
    // aws-lc's generator fails only where the machine has no entropy source at all.
    aws_lc_rs::rand::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}
