//! Stage 4: a `Login` becomes a session, which this task then runs to its end.
//!
//! A login with the run id of a living session takes its place: the old session is told to end,
//! and only when it has given everything back (ports, names) is the new one answered
//! (frp 0.70.1 `server/control.go`).

use std::sync::Arc;

use bytes::BytesMut;
use frp_config::ServerConfig;
use frp_log::{Log, contract, debug, info, shown, shown_error, warn};
use frp_net::layers::{Negotiated, Side, control};
use frp_net::limits::{LOGIN_ANSWER_WRITE, MAX_SESSIONS_ON_CONNECTION};
use frp_net::msg_stream::{MsgStream, SendError};
use frp_proto::VERSION;
use frp_proto::features;
use frp_proto::msg::{Login, LoginResp};
use frp_proto::naming;
use frp_proto::wire::WireProtocol;

use crate::auth::{Refusal, Subject};
use crate::door::{Caller, Place, Presence};
use crate::greet::{Greeted, last_word, random_bytes};
use crate::session::allowance::{OverLimit, check_login};
use crate::session::registry::{Admission, ClientIdTaken, RunIdTaken, SessionHandle};
use crate::session::{Control, Session};
use crate::web::clients::Listed;
use crate::{Shared, session::pool::Pool};

/// Why a login came to nothing. What the client may read of it is decided by [`Shared::text_for_peer`].
#[derive(Debug, thiserror::Error)]
enum LoginError {
    #[error("{0}")]
    Auth(#[from] Refusal),
    #[error("{0}")]
    Limit(#[from] OverLimit),
    #[error("too many sessions on one connection: it may have {MAX_SESSIONS_ON_CONNECTION}")]
    TooManySessions,
    #[error("nobody waits for the answer any more")]
    Gone,
    #[error("{0}")]
    RunId(#[from] RunIdTaken),
    #[error("{0}")]
    ClientId(#[from] ClientIdTaken),
    #[error("control was replaced during login")]
    Replaced,
    #[error("missing v2 crypto negotiation")]
    NoHello,
    #[error("write LoginResp: {0}")]
    Answer(#[from] SendError),
}

/// Logs a client in and runs its session. `place` is given back once the login is decided.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    mut stream: Greeted,
    mut login: Login,
    negotiated: Option<Negotiated>,
    caller: Caller,
    place: Place,
) {
    if login.run_id.is_empty() {
        login.run_id = naming::run_id(random_bytes());
    }
    let log = Log::root().by(caller.peer.ip()).with(&shown(&login.run_id));
    let admitted = admit(
        &shared,
        &login,
        &mut stream,
        negotiated.as_ref(),
        &caller,
        place,
        &log,
    )
    .await;
    let (admitted, presence) = match admitted {
        Ok(admitted) => admitted,
        Err(e @ LoginError::Gone) => return debug!(log, "register control error: {e}"),
        Err(e) => {
            let why = e.to_string();
            warn!(
                log,
                "{}",
                contract::register_control_error(shown_error(&why))
            );
            if let LoginError::Answer(SendError::Io(_) | SendError::TimedOut) = e {
                // A part of the answer may have gone out: nothing can follow it.
                return;
            }
            let error = shared.text_for_peer("register control error", &why);
            let answer = LoginResp {
                version: VERSION.to_owned(),
                error,
                ..LoginResp::default()
            };
            return last_word(&mut stream, &answer.into()).await;
        }
    };
    let _home = shared.before_login.at_home(caller.peer.ip());
    let control = control_stream(&shared, stream, negotiated.as_ref());
    Session::new(shared, admitted, control, caller).run().await;
    drop(presence);
}

async fn admit(
    shared: &Arc<Shared>,
    login: &Login,
    stream: &mut Greeted,
    negotiated: Option<&Negotiated>,
    caller: &Caller,
    place: Place,
    log: &Log,
) -> Result<((Admission, Option<Listed>), Option<Presence>), LoginError> {
    let checked = check(shared, login, stream.protocol(), negotiated, caller, &place).await;
    // Whoever may come in does so with many others when the server has been away; strangers have to
    // share fewer lines.
    announce(
        login,
        caller,
        &match checked {
            Ok(_) => log.of_session(),
            Err(_) => log.clone(),
        },
    );
    let subject = checked?;
    check_login(login)?;
    let pool = Pool::new(pool_count(login.pool_count, &shared.cfg));
    let session = Arc::new(SessionHandle::new(
        login,
        subject,
        pool,
        caller.clone(),
        log.known(),
    ));
    let (admission, predecessor) = shared.registry.admit(session)?;
    if let Some(old) = predecessor {
        info!(
            old.log,
            "replaced by client [{}] (control ID {})",
            shown(&login.run_id),
            admission.generation()
        );
        old.replaced.cancel();
        // Not raced against being replaced ourselves: who waits for us waits for it too.
        old.released.cancelled().await;
    }
    admission.activate()?;
    if !admission.is_current() {
        return Err(LoginError::Replaced);
    }
    // Before the answer: whoever is told by the client that it is online shall find it.
    let stats = shared.stats.as_ref();
    let listed = stats.map(|stats| {
        let protocol = stream.protocol();
        stats
            .clients
            .list(login, admission.generation(), caller.peer.ip(), protocol)
    });
    let mut answer = LoginResp {
        version: VERSION.to_owned(),
        run_id: login.run_id.clone(),
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
    admission.set_running();
    // A kcp session at whose address others appear is safe once it is no stranger's.
    place.admit();
    stream.flush_within(LOGIN_ANSWER_WRITE).await?;
    Ok(((admission, listed), presence))
}

/// Whether the client may come in, and as whom.
async fn check(
    shared: &Shared,
    login: &Login,
    protocol: WireProtocol,
    negotiated: Option<&Negotiated>,
    caller: &Caller,
    place: &Place,
) -> Result<Subject, LoginError> {
    if protocol == WireProtocol::V2 && negotiated.is_none() {
        return Err(LoginError::NoHello);
    }
    tokio::select! {
        checked = shared.auth.login(login) => Ok(checked?),
        () = place.lost(caller) => Err(LoginError::Gone),
        () = shared.stop.cancelled() => Err(LoginError::Gone),
    }
}

fn announce(login: &Login, caller: &Caller, log: &Log) {
    info!(
        log,
        "{}",
        contract::client_login(
            caller.peer,
            shown(&login.version),
            shown(&login.hostname),
            shown(&login.os),
            shown(&login.arch)
        )
    );
}

/// As many work connections as the client wants and the server allows. frp crashes on a negative
/// wish; here it is none.
fn pool_count(wanted: i64, cfg: &ServerConfig) -> usize {
    let allowed = cfg.transport.max_pool_count.max(0);
    usize::try_from(wanted.clamp(0, allowed)).unwrap_or_default()
}

/// The control connection behind its cipher.
fn control_stream(shared: &Shared, stream: Greeted, negotiated: Option<&Negotiated>) -> Control {
    let protocol = stream.protocol();
    let (stream, rest) = stream.into_parts();
    let token = shared.cfg.auth.token.expose().as_bytes();
    let pipe = control(stream, rest, negotiated, &shared.key, token, Side::Server);
    MsgStream::new(pipe, protocol, BytesMut::new())
}
