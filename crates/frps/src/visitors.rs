//! The names that visitors may ask for, and whose they are
//! (frp `server/visitor/visitor.go`).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use frp_proto::crypto::cfb;
use frp_proto::msg::NewVisitorConn;

use crate::Shared;
use crate::admission::{Claim, Refusal};
use crate::door::Caller;
use crate::proxy::Proxy;
use crate::proxy::spec::Access;
use crate::proxy::user::{UserAddrs, UserConn};

/// Every name that visitors may ask for.
#[derive(Debug, Default)]
pub(crate) struct Visitors {
    by_name: Mutex<HashMap<Arc<str>, Arc<Visited>>>,
}

/// A proxy that only visitors reach.
#[derive(Debug)]
pub(crate) struct Visited {
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) carries: Carries,
    /// Of the visitors' cipher; the proxy's own leg has another key.
    pub(crate) key: cfb::Key,
}

/// What is done with the connection of an admitted visitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carries {
    /// Its bytes go to a work connection.
    Bytes,
    /// As above, but messages are translated where the two speak different wire protocols.
    Messages,
}

/// A name in the table, until dropped.
pub(crate) struct VisitedGuard {
    name: Arc<str>,
    visitors: Arc<Visitors>,
}

/// The name is taken; frp's text.
#[derive(Debug, thiserror::Error)]
#[error("custom listener for [{0}] is repeated")]
pub(crate) struct Repeated(String);

/// Why there is nobody for a visitor; the texts are frp's, users search for them.
#[derive(Debug, thiserror::Error)]
enum VisitorError {
    #[error("frps is leaving and takes no new users")]
    Leaving,
    #[error("no client control found for run id [{0}]")]
    NoSession(String),
    #[error("visitor connection of [{0}] without run id on a connection that has not logged in")]
    NoLogin(String),
    #[error("custom listener for [{0}] doesn't exist")]
    NoListener(String),
}

impl Visited {
    pub(crate) fn new(proxy: &Arc<Proxy>, access: &Access, carries: Carries) -> Self {
        Self {
            proxy: proxy.clone(),
            carries,
            key: cfb::Key::derive(access.secret.expose().as_bytes()),
        }
    }
}

impl Visitors {
    /// Visitors may ask for the name of the proxy of `visited` until the guard is dropped.
    pub(crate) fn list(self: &Arc<Self>, visited: Visited) -> Result<VisitedGuard, Repeated> {
        let name = visited.proxy.name.clone();
        let mut by_name = self.lock();
        if by_name.contains_key(&name) {
            return Err(Repeated(name.to_string()));
        }
        by_name.insert(name.clone(), Arc::new(visited));
        drop(by_name);
        Ok(VisitedGuard {
            name,
            visitors: self.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Visited>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for VisitedGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VisitedGuard").field(&self.name).finish()
    }
}

impl Drop for VisitedGuard {
    fn drop(&mut self) {
        self.visitors.lock().remove(&self.name);
    }
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
        // does. A connection of its own cannot be told from a stranger's, so the secret must do.
        if caller.link.as_ref().is_some_and(|link| !link.has_session()) {
            return Err(VisitorError::NoLogin(name()));
        }
        (String::new(), false)
    } else {
        // A run id is no secret: it counts only on the connection of its session.
        let running = shared.registry.running(&conn.run_id);
        let session = running
            .filter(|session| session.shares_connection(caller))
            .ok_or_else(|| VisitorError::NoSession(conn.run_id.clone()))?;
        (session.user().to_string(), session.half_closes())
    };
    let by_name = shared.visitors.lock();
    let visited = by_name.get(conn.proxy_name.as_str()).cloned();
    Ok((
        visited.ok_or_else(|| VisitorError::NoListener(name()))?,
        user,
        half_closes,
    ))
}
