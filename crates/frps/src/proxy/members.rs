//! Who serves the users of a port or a route: one proxy, or the members of a group in turn.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use frp_log::{contract, debug, info, warn};
use frp_net::layers::Carried;
use frp_net::limits::{END_KEEPALIVE, REFUSAL};
use frp_net::listen::tune;
use frp_net::stream::Stream;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::Proxy;
use super::user::{UserAddrs, UserError};

/// See the module. Empty once the last member has left.
#[derive(Debug, Default)]
pub(crate) struct Members {
    list: RwLock<Vec<Arc<Proxy>>>,
    next: AtomicUsize,
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
    proxy: Arc<Proxy>,
    members: Arc<Members>,
}

impl Members {
    /// Adds `proxy`.
    pub(crate) fn join(self: &Arc<Self>, proxy: &Arc<Proxy>) -> Membership {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.push(proxy.clone());
        Membership {
            proxy: proxy.clone(),
            members: self.clone(),
        }
    }

    /// Whose turn it is.
    pub(crate) fn next(&self) -> Option<Arc<Proxy>> {
        self.next_but(&[])
    }

    /// Any of them, without taking its turn.
    pub(crate) fn first(&self) -> Option<Arc<Proxy>> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.first().cloned()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a user who has just connected to whose turn it is, on the thread of its session.
    pub(crate) fn receive(self: &Arc<Self>, user: TcpStream, peer: SocketAddr) {
        tune(&user, Some(END_KEEPALIVE));
        self.receive_after(user, Bytes::new(), peer, Replies::default());
    }

    /// The same with a user whose first bytes have been read; those that are for the service are
    /// `leftover`.
    pub(crate) fn receive_after(
        self: &Arc<Self>,
        user: TcpStream,
        leftover: Bytes,
        peer: SocketAddr,
        replies: Replies,
    ) {
        let Some(first) = self.next() else { return };
        info!(
            first.log.of_user(peer.ip()),
            "{}",
            contract::user_connection(peer)
        );
        let at = UserAddrs::of(&user, peer);
        let stream = match first.thread.adopt(user) {
            Ok(user) => Stream::Tcp(user),
            Err(e) => return debug!(first.log, "user connection [{peer}] closed: {e}"),
        };
        let user = Carried::Plain { stream, leftover };
        let (tasks, thread) = (first.shared.tasks.clone(), first.thread.clone());
        let serving = self.clone().serve(first, user, at, replies);
        tasks.spawn_on(serving, thread.handle());
    }

    /// Serves a user by `first`, or by the next one that has a work connection, until both ends
    /// are done or the server stops.
    async fn serve(
        self: Arc<Self>,
        first: Arc<Proxy>,
        mut user: Carried,
        at: UserAddrs,
        replies: Replies,
    ) {
        let stop = first.shared.stop.clone();
        let opened = tokio::select! {
            opened = self.open_from(first, &at) => opened,
            () = stop.cancelled() => return,
        };
        let words = match opened {
            Ok(_) => replies.ready,
            Err(_) => replies.failed,
        };
        if !words.is_empty() {
            // A user that does not listen is found out when the bytes come.
            let _ = timeout(REFUSAL, user.write_all(words)).await;
        }
        match opened {
            Ok((proxy, carried)) => proxy.carry(user, carried, &at).await,
            Err((proxy, e)) => {
                warn!(proxy.log, "user connection [{}] closed: {e}", at.source());
            }
        }
    }

    /// A work connection of `first`, or of another member where that one has none: nothing of the
    /// user is lost by asking the next. All of them share the time that a user may wait.
    pub(crate) async fn open_from(
        &self,
        first: Arc<Proxy>,
        at: &UserAddrs,
    ) -> Result<(Arc<Proxy>, Carried), (Arc<Proxy>, UserError)> {
        let until = Instant::now() + first.shared.cfg.user_conn_timeout;
        let mut tried = Vec::new();
        let mut proxy = first;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let is_last = tried.len() + 1 >= self.len();
            let limit = if is_last { left } else { left / 2 };
            let e = match proxy.open_within(at, limit).await {
                Ok(carried) => return Ok((proxy, carried)),
                Err(e) => e,
            };
            tried.push(proxy.clone());
            let Some(next) = self.next_but(&tried) else {
                return Err((proxy, e));
            };
            let (peer, name) = (at.source(), &next.name);
            warn!(proxy.log, "user connection [{peer}] goes to [{name}]: {e}");
            proxy = next;
        }
    }

    /// Whose turn it is among those not `tried`.
    fn next_but(&self, tried: &[Arc<Proxy>]) -> Option<Arc<Proxy>> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let first = turn.checked_rem(list.len())?;
        let (sooner, later) = list.split_at_checked(first)?;
        let is_tried = |proxy: &Arc<Proxy>| tried.iter().any(|other| Arc::ptr_eq(proxy, other));
        let mut in_turn = later.iter().chain(sooner);
        in_turn.find(|proxy| !is_tried(proxy)).cloned()
    }

    fn len(&self) -> usize {
        self.list
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let members = &self.members.list;
        let mut list = members.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = list.iter().position(|p| Arc::ptr_eq(p, &self.proxy)) {
            list.remove(at);
        }
    }
}
