//! Stage 4, between programs of ours: does the client know the token, now and on this very connection, and does it
//! hold the run id that it asks for (`frp_proto::scram`)? A recorded login is worth nothing here, nor is one that
//! somebody in between has changed, or would take elsewhere.
//!
//! Clients of frp show what they always have; [`show`] says where that does not do.

use std::collections::{BTreeSet, HashMap};
use std::mem;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use bytes::Bytes;
use frp_config::Challenge;
use frp_log::{Log, info};
use frp_net::limits::HANDSHAKE_WAIT;
use frp_process::clock::now;
use frp_proto::auth::{OURS_FROM, token_key};
use frp_proto::msg::{Login, LoginResp, Message};
use frp_proto::scram::{self, Hello, SALT_LEN, ScramError, Secret, Use, Verifier};
use frp_proto::{VERSION, features};
use frp_relay::limits::ANSWER_WRITE;
use frp_relay::msg_stream::{RecvError, SendError};
use tokio::time::timeout;

use crate::auth::BadCredentials;
use crate::auth::tokens::{Entry, Identity};
use crate::bans::TooFast;
use crate::caller::{Caller, Greeted};
use crate::limits::{MAX_STREAMS_OUT_OF_ORDER, MAX_VERIFIERS};
use crate::policy::Policy;
use crate::random::random_bytes;
use crate::resets;

/// The public key of who holds a run id.
pub(crate) type RunKey = [u8; 32];

/// What a client has shown by its login.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// As whom, where it has proven it.
    pub(crate) identity: Option<Identity>,
    pub(crate) run_key: Option<RunKey>,
    /// What its other streams have to show.
    pub(crate) streams: Option<Streams>,
    /// server-final, for the answer.
    pub(crate) answer: String,
}

/// Why a login shows too little.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProofError {
    #[error(
        "this frps lets in only clients that prove the token by a challenge (auth.challenge = \
         \"required\"), which clients of frp cannot do; use the client of frp-rs with auth.challenge left out"
    )]
    Required,
    #[error(
        "this login is of a client that proves the token by a challenge, and its proof was taken out: \
         somebody repeats a login, or relays it and changes it"
    )]
    Stripped,
    #[error(
        "the clock of this login is {off} s away from that of frps, and auth.maxClockSkew is {most} s: \
         set the clock of the machine of the client; if it is right, somebody repeats an old login"
    )]
    Clock { off: u64, most: u64 },
    #[error(
        "the login was made for another TLS connection than it came by: somebody between the client and this \
         frps relays it. If that is a proxy of yours which ends TLS, have the client know it by \
         transport.tls.trust = \"system\", trustedCaFile or pin, or set auth.challenge = \"off\" here"
    )]
    Relayed,
    #[error("the login was changed on its way")]
    Changed,
    #[error("{0}")]
    Token(#[from] BadCredentials),
    #[error("{0}")]
    TooFast(#[from] TooFast),
    #[error("the signature of who holds the run id is wrong")]
    Signature,
    #[error("{0}")]
    Scram(#[from] ScramError),
    #[error("{0} in place of the proof of the token")]
    Unexpected(&'static str),
    #[error("write the challenge: {0}")]
    Send(#[from] SendError),
    #[error("read the proof of the token: {0}")]
    Recv(#[from] RecvError),
}

/// By what clients are challenged: the salt, and the verifiers of the tokens that the server knows, each made once.
#[derive(Debug)]
pub(crate) struct Challenges {
    salt: [u8; SALT_LEN],
    made: Mutex<HashMap<Made, Arc<Verifier>>>,
}

/// Hash of a token, salt and rounds.
type Made = ([u8; 32], Vec<u8>, NonZeroU32);

/// The rounds that we ask for.
const ROUNDS: NonZeroU32 = NonZeroU32::new(scram::ITERATIONS).unwrap();

impl Challenges {
    /// The salt is the same as long as the machine is, so that clients need not compute anew what they know.
    pub(crate) fn new() -> Self {
        let salt = match resets::machine() {
            Some(id) => {
                let hash = sha256(&[b"frps salt", id.as_bytes()].concat());
                hash.first_chunk().copied().unwrap_or_default()
            }
            None => random_bytes(),
        };
        Self {
            salt,
            made: Mutex::default(),
        }
    }

    /// What shows that a client knows the token of `entry`, when asked by `salt` and `rounds`; `None` where
    /// that cannot be told.
    async fn verifier(
        &self,
        entry: &Entry,
        salt: &[u8],
        rounds: NonZeroU32,
    ) -> Option<Arc<Verifier>> {
        if let Some(kept) = entry.verifier() {
            let is_asked = kept.salt() == salt && kept.iterations() == rounds;
            return is_asked.then(|| Arc::new(kept.clone()));
        }
        let token = entry.token()?.to_vec();
        let key = (sha256(&token), salt.to_vec(), rounds);
        let known = |key| {
            let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            made.get(key).cloned()
        };
        if let Some(known) = known(&key) {
            return Some(known);
        }
        let salt = salt.to_vec();
        // Milliseconds.
        let making = tokio::task::spawn_blocking(move || Verifier::of(&token, &salt, rounds));
        let verifier = Arc::new(making.await.ok()?);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.len() >= MAX_VERIFIERS {
            made.clear();
        }
        made.insert(key, verifier.clone());
        Some(verifier)
    }
}

/// Asks the client for what there is to show, and leaves in `login` what a login of frp has. `turn` completes when
/// the login may be decided: just before it is, so that guesses which begin all at once are paced, too.
pub(crate) async fn show(
    challenges: &Challenges,
    policy: &Policy,
    stream: &mut Greeted,
    login: &mut Login,
    caller: &Caller,
    turn: impl AsyncFnOnce() -> Result<(), TooFast>,
) -> Result<Shown, ProofError> {
    let digest = login.digest();
    let first = mem::take(&mut login.scram);
    let key = mem::take(&mut login.run_key);
    login.signature = Bytes::new();
    let key: Option<RunKey> = key[..].try_into().ok();
    let auth = &policy.auth;
    // Nobody listens in between, and the gateway has shown who it is.
    let is_as_in_frp = caller.is_inside() || auth.challenge == Challenge::Off;
    let is_asked = !is_as_in_frp && !auth.has_issuer() && !first.is_empty();
    let mut turn = Some(turn);
    if let Some(turn) = turn.take_if(|_| !is_asked) {
        turn().await?;
    }
    if is_as_in_frp {
        return Ok(Shown::default());
    }
    if auth.has_issuer() {
        let run_key = match key {
            Some(key) if !login.run_id.is_empty() => Some(held(stream, key, &digest).await?),
            key => key,
        };
        return Ok(Shown {
            run_key,
            ..Shown::default()
        });
    }
    if first.is_empty() {
        return of_old(policy, login).map(|()| Shown::default());
    }
    let hello = Hello::read(&first)?;
    if !hello.is_of(&digest) || hello.user() != login.user {
        return Err(ProofError::Changed);
    }
    if is_relayed(&hello, caller) {
        return Err(ProofError::Relayed);
    }
    if hello.sees_another() {
        let peer = caller.peer;
        info!(
            Log::root().by(peer.ip()),
            "the TLS of the client [{peer}] ends before this frps: at a proxy of yours, or at somebody who relays its \
             login. transport.tls.force = true takes no such client, and transport.tls.pin in the client says whose \
             key it takes"
        );
    }
    let candidates = auth.tokens.candidates(&login.user);
    let kept = candidates.iter().find_map(|entry| entry.verifier());
    let (salt, rounds) = match kept {
        Some(kept) => (kept.salt(), kept.iterations()),
        None => (&challenges.salt[..], ROUNDS),
    };
    let server = hello.challenge(random_bytes(), salt, rounds);
    let answer = ask(stream, server.first().to_owned()).await?;
    let claim = match server.answered(&answer.scram, caller.channel) {
        Err(ScramError::Channel) => return Err(ProofError::Relayed),
        claim => claim?,
    };
    // One of another user's is for another check to refuse, which says so. Not where each would have to be computed anew.
    let others = auth.tokens.others(&login.user).filter(|_| kept.is_none());
    let mut found = None;
    for entry in candidates.into_iter().chain(others) {
        if let Some(verifier) = challenges.verifier(entry, salt, rounds).await
            && let Some(proven) = claim.check(&verifier)
        {
            found = Some((entry, proven));
            break;
        }
    }
    if let Some(turn) = turn {
        turn().await?;
    }
    let (entry, proven) = found.ok_or(BadCredentials::TOKEN)?;
    let run_key = match key {
        Some(key) => Some(signed(key, &claim.exchange(), &answer)?),
        None => None,
    };
    // Whoever is asked besides, such as server plugins, sees what frp would show.
    let token = entry.token().and_then(|token| str::from_utf8(token).ok());
    login.timestamp = now();
    login.privilege_key = token.map_or_else(String::new, |token| token_key(token, now()));
    Ok(Shown {
        identity: Some(Identity::proven(entry, proven.secret.bytes())),
        run_key,
        streams: Some(Streams::new(proven.secret)),
        answer: proven.message,
    })
}

/// Whether somebody has the other end of the client's TLS who is not known to be the operator's.
///
/// TLS of ours has a channel. Where there is TLS without one, as with TLS 1.2, which both ends of ours never come to,
/// or none at all, it was somebody else who has spoken it with the client, and speaks with us as it likes.
fn is_relayed(hello: &Hello, caller: &Caller) -> bool {
    match caller.channel {
        Some(_) => hello.sees_another(),
        None if hello.is_bound() => true,
        None => hello.sees_another() && (caller.tls || !caller.may_be_fronted),
    }
}

/// Whether what a client of frp says is enough, its token aside.
fn of_old(policy: &Policy, login: &Login) -> Result<(), ProofError> {
    if policy.auth.challenge == Challenge::Required {
        return Err(ProofError::Required);
    }
    if login.timestamp >= OURS_FROM {
        return Err(ProofError::Stripped);
    }
    let Some(most) = policy.max_clock_skew.as_ref().map(Duration::as_secs) else {
        return Ok(());
    };
    let off = login.timestamp.abs_diff(now());
    match off <= most {
        true => Ok(()),
        false => Err(ProofError::Clock { off, most }),
    }
}

/// Has a client whose credentials are an issuer's show that it holds the run id.
async fn held(stream: &mut Greeted, key: RunKey, login: &[u8; 32]) -> Result<RunKey, ProofError> {
    let nonce = scram::nonce(random_bytes());
    let exchange = Login::exchange_of_issuer(&nonce, login);
    let answer = ask(stream, nonce).await?;
    signed(key, &exchange, &answer)
}

fn signed(key: RunKey, exchange: &[u8; 32], answer: &Login) -> Result<RunKey, ProofError> {
    let message = Login::signed(exchange);
    let verified = UnparsedPublicKey::new(&ED25519, key).verify(&message, &answer.signature);
    verified.map_err(|_| ProofError::Signature)?;
    Ok(key)
}

/// Sends a challenge; whoever it is has as long for the answer as for its first message.
async fn ask(stream: &mut Greeted, challenge: String) -> Result<Box<Login>, ProofError> {
    let question = LoginResp {
        version: VERSION.to_owned(),
        features: features::ours(),
        scram: challenge,
        ..LoginResp::default()
    };
    stream.queue(&question.into()).map_err(SendError::from)?;
    stream.flush_within(ANSWER_WRITE).await?;
    let answer = timeout(HANDSHAKE_WAIT, stream.recv()).await;
    match answer.unwrap_or(Err(RecvError::TimedOut))? {
        Message::Login(answer) => Ok(answer),
        other => Err(ProofError::Unexpected(other.name())),
    }
}

/// The streams that a client opens beside its session's, each of which shows once that it is one.
#[derive(Debug)]
pub(crate) struct Streams {
    secret: Secret,
    seen: Mutex<Seen>,
}

/// Which numbers have come: all up to `all`, and some beyond.
#[derive(Debug, Default)]
struct Seen {
    all: u64,
    beyond: BTreeSet<u64>,
}

impl Streams {
    fn new(secret: Secret) -> Self {
        Self {
            secret,
            seen: Mutex::default(),
        }
    }

    /// Whether number `count` shows by `proof` that it is one, and has not come before.
    pub(crate) fn admits(&self, what: Use, count: i64, proof: &[u8]) -> bool {
        let Ok(count) = u64::try_from(count) else {
            return false;
        };
        if !self.secret.proves(what, count, proof) {
            return false;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.add(count)
    }
}

impl Seen {
    fn add(&mut self, count: u64) -> bool {
        if count <= self.all || !self.beyond.insert(count) {
            return false;
        }
        // One that is so late was given up.
        while self.beyond.len() > MAX_STREAMS_OUT_OF_ORDER
            || self.beyond.first() == Some(&self.all.saturating_add(1))
        {
            match self.beyond.pop_first() {
                Some(next) => self.all = next,
                None => break,
            }
        }
        true
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use frp_net::stream::Transport;
    use frp_proto::scram::Binding;

    use super::*;

    /// Whoever ends the client's TLS may go on to us by TLS that has no channel, or by none.
    #[test]
    fn who_ends_tls_in_between_is_seen_whatever_it_goes_on_by() {
        let hello = |binding| {
            let client = scram::Client::new(binding, "", [0; scram::NONCE_LEN], &[0; 32]);
            Hello::read(&client.first()).unwrap()
        };
        let by = |channel, tls, may_be_fronted| Caller {
            peer: "192.0.2.1:1".parse().unwrap(),
            local: None,
            transport: Transport::Tcp,
            tls,
            may_be_fronted,
            link: None,
            channel,
            kcp: None,
        };
        let channel = Some([1; 32]);
        for (binding, caller, relayed) in [
            (Binding::Unseen, by(channel, true, true), true),
            (Binding::Unseen, by(None, true, true), true),
            (Binding::Unseen, by(None, false, false), true),
            (Binding::Unseen, by(None, false, true), false),
            (Binding::Exporter([1; 32]), by(None, false, true), true),
            (Binding::Exporter([1; 32]), by(channel, true, false), false),
            (Binding::None, by(channel, true, false), false),
            (Binding::None, by(None, false, false), false),
        ] {
            let said = is_relayed(&hello(binding), &caller);
            assert_eq!(said, relayed, "{binding:?} {caller:?}");
        }
    }

    #[test]
    fn each_number_counts_once_in_whatever_order_they_come() {
        let mut seen = Seen::default();
        for count in [2, 1, 3, 7, 5] {
            assert!(seen.add(count), "{count}");
            assert!(!seen.add(count), "{count}");
        }
        assert_eq!((seen.all, seen.beyond.len()), (3, 2));
        assert!(!seen.add(0) && !seen.add(1));
        assert!(seen.add(4));
        assert_eq!((seen.all, seen.beyond.len()), (5, 1));
        let far = u64::MAX;
        assert!(seen.add(far) && !seen.add(far));
        for count in 10..10 + MAX_STREAMS_OUT_OF_ORDER as u64 * 2 {
            assert!(seen.add(count * 2));
        }
        assert!(seen.beyond.len() <= MAX_STREAMS_OUT_OF_ORDER);
    }
}
