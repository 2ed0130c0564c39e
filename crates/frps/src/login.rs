//! Stage 4: a `Login` becomes a session, which this task then runs to its end.
//!
//! A login with the run id of a living session takes its place: the old session is told to end,
//! and only when it has given everything back (ports, names) is the new one answered
//! (frp 0.70.1 `server/control.go`).

use std::net::SocketAddr;
use std::sync::Arc;

use crate::limits::MAX_SESSIONS_ON_CONNECTION;
use bytes::BytesMut;
use frp_log::{Log, debug, info, shown, shown_error, warn};
use frp_net::kcp;
use frp_proto::VERSION;
use frp_proto::features;
use frp_proto::msg::{Login, LoginResp};
use frp_proto::naming;
use frp_proto::wire::WireProtocol;
use frp_relay::layers::{Carried, ControlPipe, Negotiated, Side, control};
use frp_relay::limits::ANSWER_WRITE;
use frp_relay::msg_stream::{MsgStream, SendError};

use crate::admission::check::{LoginAsk, Refusal};
use crate::admission::guard::Guard;
use crate::auth::Auth;
use crate::auth::tokens::Identity;
use crate::bans::{Kind, TooFast};
use crate::caller::{Caller, Greeted, Permit, Presence, last_word};
use crate::client::handle::SessionHandle;
use crate::client::pool::Pool;
use crate::client::registry::{ClientIdTaken, NotAdmitted, RunIdTaken, Seat};
use crate::policy::Policy;
use crate::proof::{self, ProofError, Shown};
use crate::random::random_bytes;
use crate::session::{Control, Session};
use crate::shared::Shared;
use crate::stats::clients::{Listed, Origin};
use crate::stats::logins::{Cause, Who};

/// Why a login came to nothing. What the client may read of it is decided by [`Policy::text_for_peer`].
#[derive(Debug, thiserror::Error)]
enum LoginError {
    #[error("{refused}")]
    Refused {
        cause: Cause,
        is_guess: bool,
        refused: Refusal,
    },
    #[error("{0}")]
    TooFast(#[from] TooFast),
    #[error("{0}")]
    Proof(#[from] ProofError),
    #[error("too many sessions on one connection: it may have {MAX_SESSIONS_ON_CONNECTION}")]
    TooManySessions,
    #[error("nobody waits for the answer any more")]
    Gone,
    #[error("{0}")]
    Place(#[from] NotAdmitted),
    #[error("{0}")]
    ClientId(#[from] ClientIdTaken),
    #[error("control was replaced during login")]
    Replaced,
    #[error("missing v2 crypto negotiation")]
    NoHello,
    #[error("write LoginResp: {0}")]
    Answer(#[from] SendError),
}

impl LoginError {
    /// Why the login failed; `None` where nobody refused it.
    fn cause(&self, auth: &Auth) -> Option<Cause> {
        match self {
            Self::Refused {
                cause: Cause::Token,
                ..
            } if auth.has_issuer() => Some(Cause::Oidc),
            Self::Refused { cause, .. } => Some(*cause),
            Self::Proof(ProofError::Send(_) | ProofError::Recv(_)) => None,
            Self::Proof(ProofError::Token(_) | ProofError::Scram(_) | ProofError::Stripped) => {
                Some(Cause::Token)
            }
            Self::Proof(ProofError::TooFast(_)) => Some(Cause::Banned),
            Self::Proof(_) => Some(Cause::Protocol),
            Self::TooManySessions => Some(Cause::Limits),
            Self::Place(NotAdmitted::Clients { .. }) => Some(Cause::Limits),
            Self::Place(NotAdmitted::RunId(_)) | Self::ClientId(_) => Some(Cause::Taken),
            Self::NoHello => Some(Cause::Protocol),
            Self::TooFast(_) => Some(Cause::Banned),
            Self::Gone | Self::Replaced | Self::Answer(_) => None,
        }
    }

    /// Whether it is held against its address. Whoever has shown a token that is not for this user, or not any more,
    /// has guessed nothing; and an issuer may have its own reasons, and be away.
    fn is_guess(&self, auth: &Auth) -> bool {
        match self {
            Self::Refused { is_guess, .. } => *is_guess && !auth.has_issuer(),
            _ => self.cause(auth) == Some(Cause::Token),
        }
    }
}

/// Logs a client in and runs its session. `permit` is given back once the login is decided.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    mut stream: Greeted,
    login: Login,
    negotiated: Option<Negotiated>,
    caller: Caller,
    permit: Permit,
) {
    // As in frp, one that has none is shown to the checks without it.
    let new_id = naming::run_id(random_bytes());
    let log = Log::root().by(caller.peer.ip());
    let log = log.with(&shown(match &*login.run_id {
        "" => &new_id,
        id => id,
    }));
    let policy = shared.policy();
    let is_ours = policy.by_challenge && !login.features.is_empty();
    let who = shared.stats.is_some().then(|| Who::of(&login));
    let admitted = admit(
        &shared,
        &policy,
        (login, new_id),
        &mut stream,
        negotiated.as_ref(),
        (&caller, permit),
        &log,
    )
    .await;
    let (admitted, presence) = match admitted {
        Ok(admitted) => admitted,
        Err(e @ LoginError::Gone) => return debug!(log, "register control error: {e}"),
        Err(e) => {
            let why = e.to_string();
            warn!(log, "register control error: {}", shown_error(&why));
            // An address that may be forged is nobody's, see `greet`.
            let is_there = caller.kcp.as_ref().is_none_or(kcp::Peer::is_proven);
            if is_there && e.is_guess(&policy.auth) {
                shared.bans.failed(caller.peer.ip(), Kind::Login, None);
            }
            if let Some((stats, who)) = shared.stats.as_ref().zip(who)
                && let Some(cause) = e.cause(&policy.auth)
            {
                let from = (caller.peer, caller.transport);
                stats.logins.failed(cause, &why, who, from);
            }
            if let LoginError::Answer(SendError::Io(_) | SendError::TimedOut)
            | LoginError::Proof(ProofError::Send(_) | ProofError::Recv(_)) = e
            {
                // A part of the answer may have gone out: nothing can follow it.
                return;
            }
            let run_id_lost = matches!(e, LoginError::Place(NotAdmitted::RunId(RunIdTaken::Key)));
            let detail = match e {
                LoginError::Refused { refused, .. } => refused.peer,
                _ => why,
            };
            let error = policy.text_for_peer("register control error", &detail);
            let answer = LoginResp {
                version: VERSION.to_owned(),
                error,
                run_id_lost,
                features: match is_ours {
                    true => features::ours(),
                    false => Vec::new(),
                },
                ..LoginResp::default()
            };
            return last_word(&mut stream, &answer.into()).await;
        }
    };
    let _home = shared.strangers.at_home(caller.peer.ip());
    let identity = admitted.0.session().identity();
    let control = control_stream(identity, stream, negotiated.as_ref(), &caller);
    let heartbeat_timeout = policy.heartbeat_timeout;
    drop(policy);
    let session = Session::new(shared, admitted, control, caller, heartbeat_timeout);
    session.run().await;
    drop(presence);
}

async fn admit(
    shared: &Arc<Shared>,
    policy: &Policy,
    (mut login, new_id): (Login, String),
    stream: &mut Greeted,
    negotiated: Option<&Negotiated>,
    (caller, permit): (&Caller, Permit),
    log: &Log,
) -> Result<((Seat, Guard, Option<Listed>), Option<Presence>), LoginError> {
    if stream.protocol() == WireProtocol::V2 && negotiated.is_none() {
        announce(&login, "", caller.peer, log);
        return Err(LoginError::NoHello);
    }
    // What a client says of itself counts for nothing where it is not our own gateway that says it.
    let vouched = caller.is_inside() && login.client_spec.always_auth_pass;
    let proof = tokio::select! {
        biased;
        () = shared.drain.cancelled() => return Err(LoginError::Gone),
        proof = async {
            let ip = caller.peer.ip();
            if shared.bans.is_operators(ip) {
                return Err(TooFast::Banned.into());
            }
            let turn = || shared.bans.login_turn(ip);
            let show = proof::show(&shared.challenges, policy, stream, &mut login, caller, turn);
            Ok::<_, LoginError>(show.await)
        } => proof?,
        () = permit.lost(caller) => return Err(LoginError::Gone),
    };
    let Shown {
        identity,
        run_key,
        streams,
        answer: proven,
    } = match proof {
        Ok(proof) => proof,
        Err(why) => {
            announce(&login, "", caller.peer, log);
            return Err(why.into());
        }
    };
    let mut ask = LoginAsk {
        policy,
        peer: caller.peer,
        login,
        vouched,
        identity: identity.unwrap_or_default(),
    };
    let admitted = tokio::select! {
        biased;
        () = shared.drain.cancelled() => Err(LoginError::Gone),
        admitted = shared.admission.login(&mut ask) => {
            admitted.map_err(|(check, refused)| LoginError::Refused {
                cause: check.cause(),
                is_guess: check.refuses_guesses(),
                refused,
            })
        }
        () = permit.lost(caller) => Err(LoginError::Gone),
    };
    let LoginAsk {
        mut login,
        identity,
        peer,
        ..
    } = ask;
    if login.run_id.is_empty() {
        login.run_id = new_id;
    }
    let login = &login;
    let log = &Log::root().by(peer.ip()).with(&shown(&login.run_id));
    // Whoever may come in does so with many others when the server has been away; strangers have to
    // share fewer lines.
    announce(
        login,
        identity.entry().name(),
        peer,
        &match admitted {
            Ok(_) => log.of_session(),
            Err(_) => log.clone(),
        },
    );
    let guard = admitted?;
    let pool = Pool::new(pool_count(login.pool_count, policy.max_pool_count))
        .counted(&shared.counts.pools);
    let auth = match vouched {
        true => Arc::default(),
        false => policy.auth.clone(),
    };
    let session = Arc::new(SessionHandle::new(
        login,
        (auth, identity),
        (run_key, streams),
        pool,
        caller.clone(),
        log.known(),
    ));
    let (seat, predecessor) = shared.registry.admit(session)?;
    if let Some(old) = predecessor {
        info!(
            old.log,
            "replaced by client [{}] (control ID {})",
            shown(&login.run_id),
            seat.generation()
        );
        old.replaced.cancel();
        // Not raced against being replaced ourselves: who waits for us waits for it too.
        old.released.cancelled().await;
    }
    seat.activate()?;
    if !seat.is_current() {
        return Err(LoginError::Replaced);
    }
    // Before the answer: whoever is told by the client that it is online shall find it.
    let stats = shared.stats.as_ref();
    let listed = stats.map(|stats| {
        let protocol = stream.protocol();
        let origin = Origin {
            address: caller.peer,
            transport: caller.transport,
            tls: caller.tls,
            mux: caller.is_muxed(),
        };
        let from = (origin, Some(seat.session().clone()));
        stats.clients.list(login, seat.generation(), from, protocol)
    });
    let mut answer = LoginResp {
        version: VERSION.to_owned(),
        run_id: login.run_id.clone(),
        scram: proven,
        ..LoginResp::default()
    };
    if !login.features.is_empty() {
        answer.features = features::ours();
    }
    // Before the client can read the answer, so that nothing it does next comes too early.
    let presence = match &caller.link {
        Some(link) => Some(Presence::on(link).ok_or(LoginError::TooManySessions)?),
        None => None,
    };
    stream.queue(&answer.into()).map_err(SendError::Encode)?;
    if let Some(link) = &caller.link
        && features::half_closes(&login.features)
    {
        link.carrier.peer_half_closes();
    }
    seat.set_running();
    // A kcp session at whose address others appear is safe once it is no stranger's.
    permit.admit();
    stream.flush_within(ANSWER_WRITE).await?;
    Ok(((seat, guard, listed), presence))
}

/// `token` is the name of the one that it has shown, if it has one.
fn announce(login: &Login, token: &str, peer: SocketAddr, log: &Log) {
    let token = match token {
        "" => String::new(),
        token => format!(" token [{token}]"),
    };
    info!(
        log,
        "client login info: ip [{peer}] version [{}] hostname [{}] os [{}] arch [{}]{token}",
        shown(&login.version),
        shown(&login.hostname),
        shown(&login.os),
        shown(&login.arch)
    );
}

/// As many work connections as the client wants and the server allows. frp crashes on a negative
/// wish; here it is none.
fn pool_count(wanted: i64, allowed: i64) -> usize {
    usize::try_from(wanted.clamp(0, allowed.max(0))).unwrap_or_default()
}

/// The control connection behind its cipher, which a client in this program does without.
fn control_stream(
    identity: &Identity,
    stream: Greeted,
    negotiated: Option<&Negotiated>,
    caller: &Caller,
) -> Control {
    let protocol = stream.protocol();
    let (stream, leftover) = stream.into_parts();
    let pipe: ControlPipe = match caller.is_inside() {
        true => Box::new(Carried::Plain { stream, leftover }),
        false => control(
            stream,
            leftover,
            negotiated,
            identity.key(),
            identity.token(),
            Side::Server,
        ),
    };
    MsgStream::new(pipe, protocol, BytesMut::new())
}
