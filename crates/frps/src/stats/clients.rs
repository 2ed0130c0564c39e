//! Who is or was logged in, for the dashboard (frp `server/registry/registry.go`).
//!
//! Clients with a `clientID` are remembered when they leave; frp remembers them for ever.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use frp_net::stream::Transport;
use frp_proto::msg::Login;
use frp_proto::wire::WireProtocol;
use jiff::{SignedDuration, Timestamp};

use crate::client::handle::{SessionHandle, id_of, key_of};
use crate::ended::{Ended, Turn};
use crate::limits::CLIENTS_UNDER_LOCK;

/// Clients that left are forgotten after this time, as frp's proxies are.
const REMEMBERED_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A client whose names are longer (bytes in all) is not remembered.
const MAX_REMEMBERED_TEXT: usize = 1024;

/// All clients that are logged in, and those that were.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    entries: Arc<Mutex<Entries>>,
}

#[derive(Debug, Default)]
struct Entries {
    by_key: BTreeMap<Arc<str>, Client>,
    /// Those of them that have left.
    ended: Ended<Timestamp>,
    online: usize,
    /// How often one has come or gone.
    revision: u64,
}

/// What the dashboard shows of a client.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// `user.clientID`, `clientID`, `user.runID` or `runID`: what it has of these.
    pub(crate) key: Arc<str>,
    pub(crate) user: String,
    /// The name of the token that it has logged in with; empty for `auth.token`.
    pub(crate) token: Arc<str>,
    /// Empty where the client has none.
    given_id: String,
    /// Empty while it is offline.
    pub(crate) run_id: String,
    /// Which login the entry is about.
    generation: u64,
    pub(crate) version: String,
    pub(crate) hostname: String,
    pub(crate) os: String,
    pub(crate) arch: String,
    pub(crate) from: Origin,
    pub(crate) wire_protocol: WireProtocol,
    pub(crate) first_connected: Timestamp,
    pub(crate) last_connected: Timestamp,
    /// `None` while it is online.
    pub(crate) disconnected: Option<Timestamp>,
    /// While it is online.
    pub(crate) session: Option<Arc<SessionHandle>>,
    /// While it is offline.
    turn: Option<Turn>,
}

/// How a client has come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    pub(crate) transport: Transport,
    pub(crate) tls: bool,
    pub(crate) mux: bool,
}

/// How many clients there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) online: usize,
    pub(crate) offline: usize,
    /// How often one has come or gone.
    pub(crate) revision: u64,
}

/// A client that is online, marked offline on drop.
#[derive(Debug)]
pub(crate) struct Listed {
    key: Arc<str>,
    generation: u64,
    entries: Arc<Mutex<Entries>>,
}

impl Clients {
    /// Lists the client of `login` as online. `generation` tells logins of one client apart.
    pub(crate) fn list(
        &self,
        login: &Login,
        generation: u64,
        (from, session): (Origin, Option<Arc<SessionHandle>>),
        wire_protocol: WireProtocol,
    ) -> Listed {
        let id = id_of(&login.client_id, &login.run_id);
        let key: Arc<str> = key_of(&login.user, id).into();
        let now = Timestamp::now();
        let mut entries = lock(&self.entries);
        entries.online += 1;
        entries.revision += 1;
        let known = entries.by_key.get(&key);
        let token = session
            .as_ref()
            .map(|session| session.identity().entry().name().clone());
        let client = Client {
            token: token.unwrap_or_default(),
            key: key.clone(),
            user: login.user.clone(),
            given_id: login.client_id.clone(),
            run_id: login.run_id.clone(),
            generation,
            version: login.version.clone(),
            hostname: login.hostname.clone(),
            os: login.os.clone(),
            arch: login.arch.clone(),
            from,
            wire_protocol,
            first_connected: known.map_or(now, |known| known.first_connected),
            last_connected: now,
            disconnected: None,
            session,
            turn: None,
        };
        let before = entries.by_key.insert(key.clone(), client);
        if let Some(turn) = before.and_then(|client| client.turn) {
            entries.ended.remove(turn);
        }
        Listed {
            key,
            generation,
            entries: self.entries.clone(),
        }
    }

    /// How many are logged in.
    pub(crate) fn online(&self) -> usize {
        lock(&self.entries).online
    }

    pub(crate) fn counts(&self) -> Counts {
        let entries = lock(&self.entries);
        Counts {
            online: entries.online,
            offline: entries.by_key.len().saturating_sub(entries.online),
            revision: entries.revision,
        }
    }

    /// Forgets the one that is offline; whether it was.
    pub(crate) fn forget(&self, key: &str) -> bool {
        lock(&self.entries).forget(key)
    }

    /// All of them, sorted by user, id and key. Some at a time, so that clients can come meanwhile.
    pub(crate) fn all(&self) -> Vec<Client> {
        let mut all: Vec<Client> = Vec::new();
        loop {
            let entries = lock(&self.entries);
            let after = match all.last() {
                Some(last) => Bound::Excluded(&*last.key),
                None => Bound::Unbounded,
            };
            let some = entries.by_key.range::<str, _>((after, Bound::Unbounded));
            let some: Vec<_> = some
                .take(CLIENTS_UNDER_LOCK)
                .map(|(_, client)| client.clone())
                .collect();
            drop(entries);
            if some.is_empty() {
                break;
            }
            all.extend(some);
        }
        all.sort_by(|a, b| (&a.user, a.id(), &a.key).cmp(&(&b.user, b.id(), &b.key)));
        all
    }

    pub(crate) fn by_key(&self, key: &str) -> Option<Client> {
        lock(&self.entries).by_key.get(key).cloned()
    }

    /// Forgets who left long ago.
    pub(crate) fn forget_old(&self) {
        self.forget_before(Timestamp::now() - REMEMBERED_FOR);
    }

    fn forget_before(&self, limit: Timestamp) {
        lock(&self.entries).forget_old(limit);
    }
}

impl Client {
    /// Its `clientID`, or else its run id.
    pub(crate) fn id(&self) -> &str {
        id_of(&self.given_id, &self.run_id)
    }

    pub(crate) fn is_online(&self) -> bool {
        self.disconnected.is_none()
    }

    fn is_worth_remembering(&self) -> bool {
        !self.given_id.is_empty() && self.text() <= MAX_REMEMBERED_TEXT
    }

    /// Bytes.
    fn text(&self) -> usize {
        let said = self.version.len() + self.hostname.len() + self.os.len() + self.arch.len();
        self.key.len() + said
    }
}

impl Entries {
    fn forget(&mut self, key: &str) -> bool {
        let turn = self.by_key.get(key).and_then(|client| client.turn);
        let Some(turn) = turn else { return false };
        self.ended.remove(turn);
        self.by_key.remove(key);
        self.revision += 1;
        true
    }

    /// Forgets who left before `limit`, and the longest gone where there are too many.
    fn forget_old(&mut self, limit: Timestamp) {
        while let Some(key) = self.ended.pop(|left| *left < limit) {
            self.by_key.remove(&key);
            self.revision += 1;
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut entries = lock(&self.entries);
        let Entries {
            by_key,
            ended,
            online,
            revision,
        } = &mut *entries;
        *online -= 1;
        *revision += 1;
        let Some(client) = by_key.get_mut(&self.key) else {
            return;
        };
        if client.generation != self.generation {
            return;
        }
        if !client.is_worth_remembering() {
            by_key.remove(&self.key);
            return;
        }
        let now = Timestamp::now();
        client.run_id.clear();
        client.session = None;
        client.disconnected = Some(now);
        client.turn = Some(ended.push(self.key.clone(), now, client.text()));
        entries.forget_old(now - REMEMBERED_FOR);
    }
}

fn lock(entries: &Mutex<Entries>) -> MutexGuard<'_, Entries> {
    // Nothing panics while holding the lock; if something did, the map would still be whole.
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::limits::MAX_ENDED;

    fn login(user: &str, client_id: &str, run_id: &str) -> Login {
        Login {
            user: user.to_owned(),
            client_id: client_id.to_owned(),
            run_id: run_id.to_owned(),
            ..Login::default()
        }
    }

    fn list(clients: &Clients, login: &Login, generation: u64) -> Listed {
        let from = Origin {
            address: ([127, 0, 0, 1], 1).into(),
            transport: Transport::Tcp,
            tls: false,
            mux: true,
        };
        clients.list(login, generation, (from, None), WireProtocol::V1)
    }

    #[test]
    fn a_client_without_an_id_is_forgotten_and_one_with_an_id_is_not() {
        let clients = Clients::default();
        let anonymous = list(&clients, &login("", "", "r1"), 1);
        let office = list(&clients, &login("u", "office", "r2"), 2);
        assert_eq!(clients.online(), 2);
        let keys: Vec<_> = clients.all().into_iter().map(|c| c.key).collect();
        assert_eq!(keys, ["r1".into(), "u.office".into()]);

        drop(anonymous);
        drop(office);
        assert_eq!(clients.online(), 0);
        let [left] = &clients.all()[..] else {
            panic!("one is remembered")
        };
        assert_eq!((left.id(), left.run_id.as_str()), ("office", ""));
        assert!(!left.is_online());

        let _again = list(&clients, &login("u", "office", "r3"), 3);
        let again = clients.by_key("u.office").unwrap();
        assert!(again.is_online());
        assert_eq!(again.first_connected, left.first_connected);
    }

    #[test]
    fn an_old_login_cannot_mark_its_successor_offline() {
        let clients = Clients::default();
        let old = list(&clients, &login("", "office", "r"), 1);
        let _new = list(&clients, &login("", "office", "r"), 2);
        drop(old);
        assert_eq!(clients.online(), 1);
        assert!(clients.by_key("office").unwrap().is_online());
    }

    #[test]
    fn memory_of_those_who_left_is_bounded() {
        let clients = Clients::default();
        let online = list(&clients, &login("", "stays", "r"), 1);
        for i in 0..MAX_ENDED + 10 {
            drop(list(&clients, &login("", &format!("c{i}"), "r"), 2));
        }
        assert_eq!(clients.all().len(), MAX_ENDED + 1);
        drop(list(&clients, &login("", &"x".repeat(2000), "r"), 3));
        assert_eq!(clients.all().len(), MAX_ENDED + 1, "too long");

        clients.forget_before(Timestamp::MAX);
        assert_eq!(clients.all().len(), 1);
        drop(online);
        clients.forget_before(Timestamp::MAX);
        assert!(clients.all().is_empty());
    }
}
