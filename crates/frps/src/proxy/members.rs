//! Who serves the users of a port or a route: one proxy, or the members of a group in turn.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits::MAX_MEMBERS_TRIED;
use bytes::Bytes;
use frp_log::{debug, warn};
use frp_net::limits::{END_KEEPALIVE, REFUSAL};
use frp_net::listen::tune;
use frp_net::stream::Stream;
use frp_relay::conns::End;
use frp_relay::layers::Carried;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::Proxy;
use super::user::{UserAddrs, UserConn, UserError};
use crate::admission::guard::Guard;
use crate::proxied::Ends;

/// See the module. Empty once the last member has left.
#[derive(Debug, Default)]
pub(crate) struct Members {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By number, in the order in which they came.
    list: BTreeMap<u64, Arc<Proxy>>,
    /// The highest number so far.
    newest: u64,
    /// Whose turn it was last.
    last: u64,
}

/// What a user is told by us rather than by the service.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Replies {
    /// Once a work connection is there.
    pub(crate) ready: &'static [u8],
    /// When there is none.
    pub(crate) failed: &'static [u8],
}

/// A proxy among the members, until dropped.
#[derive(Debug)]
pub(crate) struct Membership {
    number: u64,
    members: Arc<Members>,
}

impl Members {
    /// Adds `proxy`.
    pub(crate) fn join(self: &Arc<Self>, proxy: &Arc<Proxy>) -> Membership {
        let mut state = self.lock();
        state.newest += 1;
        let number = state.newest;
        state.list.insert(number, proxy.clone());
        drop(state);
        Membership {
            number,
            members: self.clone(),
        }
    }

    /// Whose turn it is.
    pub(crate) fn next(&self) -> Option<Arc<Proxy>> {
        self.next_but(&[])
    }

    /// Any of them, without taking its turn.
    pub(crate) fn first(&self) -> Option<Arc<Proxy>> {
        self.lock().list.values().next().cloned()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a user who has just connected to whose turn it is, on the thread of its session.
    pub(crate) fn receive(self: &Arc<Self>, user: TcpStream, ends: Ends) {
        tune(&user, Some(END_KEEPALIVE));
        self.receive_after(user, Bytes::new(), ends, Replies::default());
    }

    /// The same with a user whose first bytes have been read; those that are for the service are
    /// `leftover`.
    pub(crate) fn receive_after(
        self: &Arc<Self>,
        user: TcpStream,
        leftover: Bytes,
        ends: Ends,
        replies: Replies,
    ) {
        let Some(first) = self.next() else { return };
        let peer = ends.peer;
        if first.turns_away(peer.ip()) {
            // Before anything is done for it.
            return;
        }
        first.log_user(peer);
        let from = UserConn::new(UserAddrs::of(ends));
        let stream = match first.thread.adopt(user) {
            Ok(user) => Stream::Tcp(user),
            Err(e) => return debug!(first.log, "user connection [{peer}] closed: {e}"),
        };
        let conn = Carried::Plain { stream, leftover };
        let (base, thread) = (first.base.clone(), first.thread.clone());
        let serving = self.clone().serve(first, conn, from, replies);
        let serving = base.users.track_future(serving);
        base.tasks.spawn_on(serving, thread.handle());
    }

    /// Serves a user by `first`, or by the next one that has a work connection, until both ends
    /// are done or the server stops.
    async fn serve(
        self: Arc<Self>,
        first: Arc<Proxy>,
        mut conn: Carried,
        user: UserConn,
        replies: Replies,
    ) {
        let stop = first.base.stop.clone();
        // Boxed, so that nothing of it takes room for as long as bytes move.
        let opened = tokio::select! {
            opened = Box::pin(self.open_from(first.clone(), &user)) => opened,
            () = user.ended() => return first.log_ended(&user),
            () = stop.cancelled() => return first.ends(&user, End::Stopped),
        };
        let words = match opened {
            Ok(_) => replies.ready,
            Err(_) => replies.failed,
        };
        if !words.is_empty() {
            // A user that does not listen is found out when the bytes come.
            let _ = timeout(REFUSAL, conn.write_all(words)).await;
        }
        match opened {
            Ok((proxy, opened)) => proxy.carry(conn, opened, &user).await,
            Err((proxy, e)) => {
                let peer = user.at.source();
                warn!(proxy.log, "user connection [{peer}] closed: {e}");
                proxy.ends(&user, End::Unserved);
            }
        }
    }

    /// A work connection of `first`, or of another member where that one has none: nothing of the
    /// user is lost by asking the next. All that are tried share the time that a user may wait.
    pub(crate) async fn open_from(
        &self,
        first: Arc<Proxy>,
        user: &UserConn,
    ) -> Result<(Arc<Proxy>, (Carried, Guard)), (Arc<Proxy>, UserError)> {
        if let Err(refused) = user.enter(&first).await {
            return Err((first, refused.into()));
        }
        let until = Instant::now() + first.base.policy().user_conn_timeout;
        let mut tried = Vec::new();
        let mut proxy = first;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let is_last = tried.len() + 1 >= self.len().min(MAX_MEMBERS_TRIED);
            let limit = if is_last { left } else { left / 2 };
            let e = match proxy.open_within(user, limit).await {
                Ok(opened) => return Ok((proxy, opened)),
                Err(e @ UserError::Refused(_)) => return Err((proxy, e)),
                Err(e) => e,
            };
            user.leave(&proxy.spec);
            tried.push(proxy.clone());
            let next = self.next_but(&tried);
            let Some(next) = next.filter(|_| tried.len() < MAX_MEMBERS_TRIED) else {
                return Err((proxy, e));
            };
            let (peer, name) = (user.at.source(), &next.name);
            warn!(proxy.log, "user connection [{peer}] goes to [{name}]: {e}");
            proxy = next;
        }
    }

    /// Whose turn it is among those not `tried`.
    fn next_but(&self, tried: &[Arc<Proxy>]) -> Option<Arc<Proxy>> {
        let mut state = self.lock();
        let is_tried = |proxy: &Arc<Proxy>| tried.iter().any(|other| Arc::ptr_eq(proxy, other));
        let later = (Bound::Excluded(state.last), Bound::Unbounded);
        let mut in_turn = state
            .list
            .range(later)
            .chain(state.list.range(..=state.last));
        let next = in_turn.find(|(_, proxy)| !is_tried(proxy));
        let (number, proxy) = next.map(|(number, proxy)| (*number, proxy.clone()))?;
        state.last = number;
        Some(proxy)
    }

    fn len(&self) -> usize {
        self.lock().list.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let gone = self.members.lock().list.remove(&self.number);
        drop(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<A, B, C, D, E, F: Future>(_: impl Fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    /// Bytes of an idle user's task.
    #[test]
    fn a_user_takes_little_memory() {
        let size = size(Members::serve);
        assert!(size <= 1536, "{size} bytes");
    }
}
