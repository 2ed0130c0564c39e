//! Who is logged in: run id → session, client id → run id.
//!
//! The registry holds handles, never sessions. An entry belongs to one generation of a run id; only
//! that generation removes it, so a session that ends late cannot take its successor's place away.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::handle::SessionHandle;
use crate::limits::{MAX_RUN_KEYS, RUN_KEY_KEPT};
use crate::proof::RunKey;
use tokio::time::Instant;

/// All sessions of the server.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    next_generation: AtomicU64,
    entries: Arc<Mutex<Entries>>,
}

#[derive(Debug, Default)]
struct Entries {
    by_run_id: HashMap<String, Entry>,
    by_client_id: HashMap<(String, String), ClientIdOwner>,
    ended: Ended,
}

/// Whose the run ids were of sessions that have ended lately.
#[derive(Debug, Default)]
struct Ended {
    keys: HashMap<String, (RunKey, Instant)>,
    /// The same, in the order of their ends; a run id that has ended again stands there twice.
    order: VecDeque<(String, Instant)>,
}

impl Ended {
    fn key(&self, run_id: &str) -> Option<RunKey> {
        let (key, at) = self.keys.get(run_id)?;
        (at.elapsed() < RUN_KEY_KEPT).then_some(*key)
    }

    fn add(&mut self, run_id: String, key: RunKey) {
        let now = Instant::now();
        self.keys.insert(run_id.clone(), (key, now));
        self.order.push_back((run_id, now));
        let is_over = |(_, at): &(String, Instant)| at.elapsed() >= RUN_KEY_KEPT;
        while self.order.len() > MAX_RUN_KEYS || self.order.front().is_some_and(is_over) {
            let Some((run_id, at)) = self.order.pop_front() else {
                break;
            };
            if self.keys.get(&run_id).is_some_and(|(_, last)| *last == at) {
                self.keys.remove(&run_id);
            }
        }
    }
}

#[derive(Debug)]
struct Entry {
    generation: u64,
    session: Arc<SessionHandle>,
}

#[derive(Debug)]
struct ClientIdOwner {
    generation: u64,
    run_id: String,
}

/// Another client of the same user has the client id.
#[derive(Debug)]
pub(crate) struct ClientIdTaken {
    client_id: String,
    user: String,
}

impl fmt::Display for ClientIdTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client_id, user } = self;
        write!(
            f,
            "client_id [{client_id}] for user [{user}] is already online"
        )
    }
}

impl std::error::Error for ClientIdTaken {}

/// The run id is another client's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RunIdTaken {
    /// That of a session of another subject, whose name is nobody else's business.
    #[error("the run id is in use by a client with other credentials")]
    Subject,
    /// That of a client which has shown a key that goes with it.
    #[error(
        "the run id is that of another client, and this one does not hold its key; a client gets one of its own \
         when it is started again"
    )]
    Key,
}

/// Why a client does not become a session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotAdmitted {
    #[error("{0}")]
    RunId(#[from] RunIdTaken),
    #[error("too many clients: token [{token}] is for {limit} at a time")]
    Clients { token: Arc<str>, limit: u64 },
}

impl Registry {
    /// Makes `session` the holder of its run id; the session that held it, if any, comes back and
    /// is to be told and waited for.
    pub(crate) fn admit(
        &self,
        session: Arc<SessionHandle>,
    ) -> Result<(Seat, Option<Arc<SessionHandle>>), NotAdmitted> {
        let generation = self.next_generation.fetch_add(1, Ordering::Relaxed) + 1;
        let entry = Entry {
            generation,
            session: session.clone(),
        };
        let mut entries = lock(&self.entries);
        let holder = entries.by_run_id.get(&session.run_id);
        if holder.is_some_and(|holder| !holder.session.identity().is_same(session.identity())) {
            return Err(RunIdTaken::Subject.into());
        }
        let key = match holder {
            Some(holder) => holder.session.run_key,
            None => entries.ended.key(&session.run_id),
        };
        if key.is_some() && key != session.run_key {
            return Err(RunIdTaken::Key.into());
        }
        entries.has_room_for(&session)?;
        let old = entries.by_run_id.insert(session.run_id.clone(), entry);
        drop(entries);
        let seat = Seat {
            generation,
            session,
            entries: self.entries.clone(),
        };
        Ok((seat, old.map(|entry| entry.session)))
    }

    /// Those whose client is at an address of which `wanted` says yes.
    pub(crate) fn at(&self, wanted: impl Fn(IpAddr) -> bool) -> Vec<Arc<SessionHandle>> {
        let entries = lock(&self.entries);
        let sessions = entries.by_run_id.values().map(|entry| &entry.session);
        let sessions = sessions.filter(|session| wanted(session.peer().ip()));
        sessions.cloned().collect()
    }

    /// How many there are.
    pub(crate) fn sessions(&self) -> usize {
        lock(&self.entries).by_run_id.len()
    }

    /// The session that may be given work connections under `run_id`.
    pub(crate) fn running(&self, run_id: &str) -> Option<Arc<SessionHandle>> {
        let entries = lock(&self.entries);
        let session = &entries.by_run_id.get(run_id)?.session;
        let running = session.running.load(Ordering::Acquire) && !session.replaced.is_cancelled();
        running.then(|| session.clone())
    }
}

impl Entries {
    /// Whether the token of `session` allows one more client, beside those that are there. One that does not answer
    /// any more, as after a crash, ends soon for being doubted.
    fn has_room_for(&self, session: &SessionHandle) -> Result<(), NotAdmitted> {
        let entry = session.identity().entry();
        let limit = entry.limits.clients;
        if limit == 0 {
            return Ok(());
        }
        let others = self.by_run_id.values().map(|entry| &entry.session);
        let others = others.filter(|other| {
            other.run_id != session.run_id && other.identity().entry().name() == entry.name()
        });
        let others: Vec<_> = others.collect();
        if u64::try_from(others.len()).unwrap_or(u64::MAX) < limit {
            return Ok(());
        }
        for other in others {
            other.doubted.notify_one();
        }
        let token = entry.name().clone();
        Err(NotAdmitted::Clients { token, limit })
    }
}

/// A session's place in the registry, given back on drop; dropping it also tells a waiting
/// successor that everything is released.
#[derive(Debug)]
pub(crate) struct Seat {
    generation: u64,
    session: Arc<SessionHandle>,
    entries: Arc<Mutex<Entries>>,
}

impl Seat {
    pub(crate) fn session(&self) -> &Arc<SessionHandle> {
        &self.session
    }

    /// Unique among all sessions of the process.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Takes the client id, which only one client of a user may have at a time; a successor under
    /// the same run id may take it over.
    pub(crate) fn activate(&self) -> Result<(), ClientIdTaken> {
        let SessionHandle {
            client_id, run_id, ..
        } = &*self.session;
        let user = self.session.user();
        if client_id.is_empty() {
            return Ok(());
        }
        let mut entries = lock(&self.entries);
        let key = (user.to_string(), client_id.clone());
        if entries
            .by_client_id
            .get(&key)
            .is_some_and(|owner| owner.run_id != *run_id)
        {
            return Err(ClientIdTaken {
                client_id: client_id.clone(),
                user: user.to_string(),
            });
        }
        let owner = ClientIdOwner {
            generation: self.generation,
            run_id: run_id.clone(),
        };
        entries.by_client_id.insert(key, owner);
        Ok(())
    }

    /// Whether no later login has taken the run id.
    pub(crate) fn is_current(&self) -> bool {
        let entries = lock(&self.entries);
        entries
            .by_run_id
            .get(&self.session.run_id)
            .is_some_and(|entry| entry.generation == self.generation)
    }

    /// From now on work connections are welcome.
    pub(crate) fn set_running(&self) {
        self.session.running.store(true, Ordering::Release);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let SessionHandle {
            run_id, client_id, ..
        } = &*self.session;
        let user = self.session.user();
        let mut entries = lock(&self.entries);
        if self.generation_of(entries.by_run_id.get(run_id)) {
            entries.by_run_id.remove(run_id);
            if let Some(key) = self.session.run_key {
                entries.ended.add(run_id.clone(), key);
            }
        }
        let key = (user.to_string(), client_id.clone());
        if entries
            .by_client_id
            .get(&key)
            .is_some_and(|o| o.generation == self.generation)
        {
            entries.by_client_id.remove(&key);
        }
        drop(entries);
        self.session.running.store(false, Ordering::Release);
        self.session.released.cancel();
    }
}

impl Seat {
    fn generation_of(&self, entry: Option<&Entry>) -> bool {
        entry.is_some_and(|entry| entry.generation == self.generation)
    }
}

fn lock(entries: &Mutex<Entries>) -> MutexGuard<'_, Entries> {
    // Nothing panics while holding the lock; if something did, the maps would still be whole.
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use frp_log::Log;
    use frp_net::stream::Transport;
    use frp_proto::msg::Login;

    use super::*;
    use crate::auth::tokens::Identity;
    use crate::caller::Caller;
    use crate::client::pool::Pool;

    fn handle(run_id: &str, user: &str, client_id: &str) -> Arc<SessionHandle> {
        handle_of(Identity::default(), None, run_id, user, client_id)
    }

    fn handle_of(
        identity: Identity,
        run_key: Option<RunKey>,
        run_id: &str,
        user: &str,
        client_id: &str,
    ) -> Arc<SessionHandle> {
        let login = Login {
            run_id: run_id.to_owned(),
            user: user.to_owned(),
            client_id: client_id.to_owned(),
            ..Login::default()
        };
        let peer = "127.0.0.1:1".parse().unwrap();
        let caller = Caller {
            peer,
            local: None,
            transport: Transport::Tcp,
            tls: false,
            may_be_fronted: false,
            link: None,
            channel: None,
            kcp: None,
        };
        Arc::new(SessionHandle::new(
            &login,
            (Arc::default(), identity),
            (run_key, None),
            Pool::new(1),
            caller,
            Log::root(),
        ))
    }

    #[test]
    fn a_late_end_leaves_the_successor_in_place() {
        let registry = Registry::default();
        let (first, none) = registry.admit(handle("r", "", "")).unwrap();
        assert!(none.is_none());
        first.set_running();
        let (second, old) = registry.admit(handle("r", "", "")).unwrap();
        assert!(Arc::ptr_eq(&old.unwrap(), first.session()));
        second.set_running();

        assert!(!first.is_current());
        drop(first);
        let running = registry.running("r").unwrap();
        assert!(Arc::ptr_eq(&running, second.session()));
        drop(second);
        assert!(registry.running("r").is_none());
    }

    #[test]
    fn a_run_id_is_not_taken_over_by_another_subject() {
        let registry = Registry::default();
        let of = |subject| handle_of(Identity::of_issuer(subject), None, "r", "", "");
        let (first, _) = registry.admit(of("ann")).unwrap();
        assert!(registry.admit(of("bob")).is_err());
        assert!(first.is_current());
        let (_second, old) = registry.admit(of("ann")).unwrap();
        assert!(Arc::ptr_eq(&old.unwrap(), first.session()));
    }

    #[test]
    fn a_run_id_is_taken_over_by_who_holds_its_key() {
        let registry = Registry::default();
        let of = |key: Option<u8>| {
            let key = key.map(|key| [key; 32]);
            handle_of(Identity::default(), key, "r", "", "")
        };
        let (old, _) = registry.admit(of(None)).unwrap();
        let (ours, replaced) = registry.admit(of(Some(1))).unwrap();
        assert!(Arc::ptr_eq(&replaced.unwrap(), old.session()), "as in frp");
        for other in [None, Some(2)] {
            let refused = registry.admit(of(other)).map(|_| ()).unwrap_err();
            assert!(matches!(refused, NotAdmitted::RunId(RunIdTaken::Key)));
        }
        assert!(ours.is_current());
        let (again, _) = registry.admit(of(Some(1))).unwrap();
        drop((ours, again, old));
        // Nor does anybody get it as soon as it has gone.
        assert!(registry.admit(of(None)).is_err() && registry.admit(of(Some(2))).is_err());
        assert!(registry.admit(of(Some(1))).is_ok());
    }

    #[test]
    fn what_is_remembered_of_run_ids_has_an_end() {
        let mut ended = Ended::default();
        for n in 0..MAX_RUN_KEYS * 2 {
            ended.add(n.to_string(), [0; 32]);
            ended.add("again".to_owned(), [1; 32]);
        }
        assert!(ended.order.len() <= MAX_RUN_KEYS && ended.keys.len() <= MAX_RUN_KEYS);
        assert_eq!(ended.key("again"), Some([1; 32]));
        assert_eq!(ended.key("0"), None);
    }

    #[test]
    fn a_session_gets_work_connections_only_while_it_runs() {
        let registry = Registry::default();
        let (seat, _) = registry.admit(handle("r", "", "")).unwrap();
        assert!(registry.running("r").is_none());
        seat.set_running();
        assert!(registry.running("r").is_some());
        seat.session().replaced.cancel();
        assert!(registry.running("r").is_none());
    }

    #[test]
    fn a_client_id_belongs_to_one_run_id_of_a_user() {
        let registry = Registry::default();
        let (first, _) = registry.admit(handle("a", "u", "office")).unwrap();
        first.activate().unwrap();
        let (other, _) = registry.admit(handle("b", "u", "office")).unwrap();
        assert_eq!(
            other.activate().unwrap_err().to_string(),
            "client_id [office] for user [u] is already online"
        );
        let (other_user, _) = registry.admit(handle("c", "v", "office")).unwrap();
        other_user.activate().unwrap();
        let (again, _) = registry.admit(handle("a", "u", "office")).unwrap();
        again.activate().unwrap();
        drop(first);
        assert!(other.activate().is_err(), "the successor still has it");
        drop(again);
        other.activate().unwrap();
    }

    #[test]
    fn the_end_of_a_session_is_announced() {
        let registry = Registry::default();
        let (seat, _) = registry.admit(handle("r", "", "")).unwrap();
        let session = seat.session().clone();
        assert!(!session.released.is_cancelled());
        drop(seat);
        assert!(session.released.is_cancelled());
    }
}
