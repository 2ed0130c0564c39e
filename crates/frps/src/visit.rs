//! A visitor comes with a user for a proxy that has no port: it is looked up, let in and carried
//! (frp `server/visitor/visitor.go`).

use std::sync::Arc;

use frp_log::debug;
use frp_proto::msg::{NewVisitorConn, NewVisitorConnResp};
use frp_proto::scram::Use;
use frp_relay::layers::{Carried, LayerOptions, Side, wrap};
use frp_relay::limits::ANSWER_WRITE;
use frp_relay::msg_stream::SendError;

use crate::admission::check::{Claim, Refusal};
use crate::caller::{Caller, Greeted};
use crate::proxy::sudp;
use crate::proxy::user::{UserAddrs, UserConn};
use crate::shared::Shared;
use crate::visitors::{Carries, Visited};

/// Why there is nobody for a visitor; the texts are frp's, users search for them.
#[derive(Debug, thiserror::Error)]
enum VisitorError {
    #[error("frps is leaving and takes no new users")]
    Leaving,
    #[error("no client control found for run id [{0}]")]
    NoSession(String),
    #[error(
        "visitor connection of [{0}] without the run id of a login, for which auth.strictUsers asks"
    )]
    NoRunId(String),
    #[error(
        "the visitor connection does not show that it belongs to the session with run id [{0}]"
    )]
    NotOfSession(String),
    #[error("visitor connection of [{0}] without run id on a connection that has not logged in")]
    NoLogin(String),
    #[error("custom listener for [{0}] doesn't exist")]
    NoListener(String),
}

/// Whom the visitor reaches with its connection from `caller`, as which user, and whether its frpc
/// half-closes.
pub(crate) async fn admit(
    shared: &Shared,
    conn: &NewVisitorConn,
    caller: &Caller,
) -> Result<(Arc<Visited>, UserConn, bool), Refusal> {
    let (visited, user, half_closes) =
        find(shared, conn, caller).map_err(|why| Refusal::new(&why))?;
    let claim = Claim {
        user,
        timestamp: conn.timestamp,
        sign_key: conn.sign_key.clone(),
    };
    // As in frp: the user's own address is known to nobody but the visitor.
    let at = UserAddrs {
        src: Some(caller.peer),
        dst: caller.local,
    };
    let user = UserConn::of_visitor(at, claim);
    user.enter(&visited.proxy).await?;
    Ok((visited, user, half_closes))
}

fn find(
    shared: &Shared,
    conn: &NewVisitorConn,
    caller: &Caller,
) -> Result<(Arc<Visited>, String, bool), VisitorError> {
    if shared.drain.is_cancelled() {
        return Err(VisitorError::Leaving);
    }
    let name = || conn.proxy_name.clone();
    let (user, half_closes) = if conn.run_id.is_empty() {
        // frpc before 0.50 sends no run id, and counts as user "". frp lets anybody do that who
        // has the secret; here a multiplexed connection must carry a session, as an old frpc's
        // does. A connection of its own cannot be told from a stranger's, so the secret must do, unless
        // `auth.strictUsers` says otherwise.
        if caller.link.as_ref().is_some_and(|link| !link.has_session()) {
            return Err(VisitorError::NoLogin(name()));
        }
        if shared.policy().auth.strict_users {
            return Err(VisitorError::NoRunId(name()));
        }
        (String::new(), false)
    } else {
        // A run id is no secret: it counts only on the connection of its session.
        let running = shared.registry.running(&conn.run_id);
        let session = running
            .filter(|session| session.shares_connection(caller))
            .ok_or_else(|| VisitorError::NoSession(conn.run_id.clone()))?;
        if !session.admits(Use::Visit, conn.count, &conn.proof) {
            return Err(VisitorError::NotOfSession(conn.run_id.clone()));
        }
        (session.user().to_string(), session.half_closes())
    };
    let visited = shared.visitors.find(&conn.proxy_name);
    let visited = visited.ok_or_else(|| VisitorError::NoListener(name()))?;
    Ok((visited, user, half_closes))
}

/// Serves an admitted visitor to its end. `half_closes`: its frpc has said so.
pub(crate) async fn serve_visitor(
    visited: &Visited,
    mut stream: Greeted,
    conn: NewVisitorConn,
    user: UserConn,
    half_closes: bool,
) {
    let proxy = &visited.proxy;
    let peer = user.at.source();
    if let Err(e) = welcome(&mut stream, conn.proxy_name).await {
        return debug!(proxy.log, "visitor [{peer}] left at once: {e}");
    }
    if let Some(src) = user.at.src {
        proxy.log_user(src);
    }
    // The leg of the visitor: the layers that it asked for, and the key of the proxy's secret.
    let layers = LayerOptions {
        cipher: conn.use_encryption.then(|| visited.key.clone()),
        compress: conn.use_compression,
        limit: None,
    };
    let protocol = stream.protocol();
    let (stream, rest) = stream.into_parts();
    let conn: Carried = wrap(stream, rest, &layers, Side::Server).of_peer(half_closes);
    match visited.carries {
        Carries::Bytes => proxy.serve_user(conn, &user).await,
        Carries::Messages => sudp::serve(proxy, conn, protocol, &user).await,
    }
}

async fn welcome(stream: &mut Greeted, proxy_name: String) -> Result<(), SendError> {
    let answer = NewVisitorConnResp {
        proxy_name,
        error: String::new(),
    };
    stream.queue(&answer.into())?;
    stream.flush_within(ANSWER_WRITE).await
}
