//! The names that visitors may ask for: the secret, who may come, and whose they are
//! (frp `server/visitor/visitor.go`).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use frp_proto::auth::verify_token_key;
use frp_proto::crypto::cfb;
use frp_proto::msg::NewVisitorConn;

use crate::Shared;
use crate::door::Caller;
use crate::proxy::Proxy;
use crate::proxy::spec::Access;

/// Stands in `allowUsers` for everybody.
const ANYBODY: &str = "*";

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
    access: Arc<Access>,
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

/// Why a visitor is turned away; the texts are frp's, users search for them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("no client control found for run id [{0}]")]
    NoSession(String),
    #[error("visitor connection of [{0}] without run id on a connection that has not logged in")]
    NoLogin(String),
    #[error("custom listener for [{0}] doesn't exist")]
    NoListener(String),
    #[error("visitor connection of [{0}] auth failed")]
    WrongKey(String),
    #[error("visitor connection of [{name}] user [{user}] not allowed")]
    NotAllowed { name: String, user: String },
}

impl Visited {
    pub(crate) fn new(proxy: &Arc<Proxy>, access: &Arc<Access>, carries: Carries) -> Self {
        Self {
            proxy: proxy.clone(),
            carries,
            key: cfb::Key::derive(access.secret.expose().as_bytes()),
            access: access.clone(),
        }
    }

    fn admits(&self, user: &str) -> bool {
        let allowed = &self.access.allow_users;
        match allowed.is_empty() {
            true => **self.proxy.session.user() == *user,
            false => allowed.iter().any(|one| one == ANYBODY || one == user),
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

/// Whom the visitor may reach with its connection from `caller`, and whether its frpc half-closes.
pub(crate) fn admit(
    shared: &Shared,
    conn: &NewVisitorConn,
    caller: &Caller,
) -> Result<(Arc<Visited>, bool), Refusal> {
    let name = || conn.proxy_name.clone();
    let session;
    let (user, half_closes) = if conn.run_id.is_empty() {
        // frpc before 0.50 sends no run id, and counts as user "". frp lets anybody do that who
        // has the secret; here a multiplexed connection must carry a session, as an old frpc's
        // does. A connection of its own cannot be told from a stranger's, so the secret must do.
        if caller.link.as_ref().is_some_and(|link| !link.has_session()) {
            return Err(Refusal::NoLogin(name()));
        }
        ("", false)
    } else {
        // A run id is no secret: it counts only on the connection of its session.
        let running = shared.registry.running(&conn.run_id);
        session = running
            .filter(|session| session.shares_connection(caller))
            .ok_or_else(|| Refusal::NoSession(conn.run_id.clone()))?;
        (session.user().as_ref(), session.half_closes())
    };
    let visited = shared
        .visitors
        .lock()
        .get(conn.proxy_name.as_str())
        .cloned();
    let visited = visited.ok_or_else(|| Refusal::NoListener(name()))?;
    if !verify_token_key(
        visited.access.secret.expose(),
        conn.timestamp,
        &conn.sign_key,
    ) {
        return Err(Refusal::WrongKey(name()));
    }
    if !visited.admits(user) {
        let user = user.to_owned();
        return Err(Refusal::NotAllowed { name: name(), user });
    }
    Ok((visited, half_closes))
}
