//! Whose datagrams does a udp proxy take? Each address that some come from is a user, which enters
//! like any other; what it sends until that is decided waits. One that an administrator ends is a new user with
//! its next datagram: there is no connection that could be closed.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use frp_log::warn;
use frp_net::listen::canonical;
use frp_relay::conns::End;
use frp_relay::limits::{MAX_UDP_USERS, UDP_USER_IDLE};
use frp_relay::udp::Gate;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::futures::OwnedNotified;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::Proxy;
use super::user::{UserAddrs, UserConn};
use crate::admission::check::Refusal;
use crate::stats::conns::Conn;

/// Datagrams of a user that wait for the decision about it.
const MAX_WAITING: usize = 8;

/// Bytes of all of them: source addresses are free, so this is what strangers may hold.
const MAX_WAITING_BYTES: usize = 256 * 1024;

/// See the module.
pub(crate) struct UdpUsers {
    proxy: Arc<Proxy>,
    users: HashMap<SocketAddr, User>,
    deciding: FuturesUnordered<Deciding>,
    /// Of users that have been let in.
    kept: VecDeque<(SocketAddr, Bytes)>,
    waiting_bytes: usize,
    sweep: Interval,
    /// Somebody's user was ended.
    ended: Pin<Box<OwnedNotified>>,
}

type Deciding = Pin<Box<dyn Future<Output = Decided> + Send>>;

type Decided = (SocketAddr, UserConn, Result<UserAddrs, Refusal>);

struct User {
    /// When it sent last.
    at: Instant,
    state: State,
}

enum State {
    Waiting(Vec<Bytes>),
    Entered(UserConn, Option<Arc<Conn>>),
    Refused,
}

impl UdpUsers {
    pub(crate) fn new(proxy: &Arc<Proxy>) -> Self {
        let mut sweep = interval(UDP_USER_IDLE);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            proxy: proxy.clone(),
            users: HashMap::new(),
            deciding: FuturesUnordered::new(),
            kept: VecDeque::new(),
            waiting_bytes: 0,
            sweep,
            ended: Box::pin(proxy.base.conns.somebody_ended()),
        }
    }

    fn enter(&mut self, from: SocketAddr) {
        if self.users.len() >= MAX_UDP_USERS
            && let Some(other) = self.users.keys().next().copied()
        {
            self.forget(other);
        }
        let at = Instant::now();
        let state = State::Waiting(Vec::new());
        self.users.insert(from, User { at, state });
        let proxy = self.proxy.clone();
        self.deciding.push(Box::pin(async move {
            let user = UserConn::new(UserAddrs {
                src: Some(canonical(from)),
                dst: None,
            });
            let entered = user.enter(&proxy).await;
            (from, user, entered)
        }));
    }

    fn settle(&mut self, (from, conn, entered): Decided) {
        let Some(user) = self.users.get_mut(&from) else {
            return;
        };
        let state = match entered {
            Ok(_) => {
                let known = conn.conn(&self.proxy.spec);
                State::Entered(conn, known)
            }
            Err(why) => {
                warn!(self.proxy.log, "user connection [{from}] closed: {why}");
                State::Refused
            }
        };
        if let State::Entered(_, Some(known)) = &state
            && let State::Waiting(datagrams) = &user.state
        {
            known.traffic.add_near_to_far(bytes_of(datagrams));
        }
        let is_in = matches!(state, State::Entered(..));
        if let State::Waiting(datagrams) = std::mem::replace(&mut user.state, state) {
            self.waiting_bytes -= bytes_of(&datagrams);
            if is_in {
                let each = datagrams.into_iter().map(|content| (from, content));
                self.kept.extend(each);
            }
        }
    }

    fn forget(&mut self, user: SocketAddr) {
        if let Some(User {
            state: State::Waiting(datagrams),
            ..
        }) = self.users.remove(&user)
        {
            self.waiting_bytes -= bytes_of(&datagrams);
        }
    }

    fn forget_ended(&mut self) {
        let proxy = &self.proxy;
        self.users.retain(|_, user| match &user.state {
            State::Entered(conn, _) if conn.is_ended() => {
                proxy.log_ended(conn);
                false
            }
            State::Entered(..) | State::Waiting(_) | State::Refused => true,
        });
    }

    /// Also those that may not come any more: they have no end of their own.
    fn forget_idle(&mut self) {
        let now = Instant::now();
        let proxy = &self.proxy;
        let is_unwanted = |conn: &UserConn| {
            let src = conn.at.src;
            src.is_some_and(|src| proxy.turns_away(src.ip()))
        };
        self.users.retain(|_, user| match &user.state {
            State::Entered(_, Some(known)) if now - user.at >= UDP_USER_IDLE => {
                known.ends(End::Idle);
                false
            }
            State::Entered(conn, _) if is_unwanted(conn) => false,
            State::Waiting(_) => true,
            State::Entered(..) | State::Refused => now - user.at < UDP_USER_IDLE,
        });
    }
}

impl Gate for UdpUsers {
    fn admit(&mut self, from: SocketAddr, content: &[u8]) -> bool {
        if !self.users.contains_key(&from) {
            self.enter(from);
        }
        let Some(user) = self.users.get_mut(&from) else {
            return false;
        };
        user.at = Instant::now();
        match &mut user.state {
            State::Entered(_, known) => {
                if let Some(known) = known {
                    known.traffic.add_near_to_far(content.len());
                }
                return true;
            }
            State::Refused => {}
            State::Waiting(datagrams) => {
                let more = self.waiting_bytes + content.len();
                if datagrams.len() < MAX_WAITING && more <= MAX_WAITING_BYTES {
                    self.waiting_bytes = more;
                    datagrams.push(Bytes::copy_from_slice(content));
                }
            }
        }
        false
    }

    fn delivered(&mut self, to: SocketAddr, bytes: usize) {
        if let Some(user) = self.users.get_mut(&to)
            && let State::Entered(_, Some(known)) = &user.state
        {
            known.traffic.add_far_to_near(bytes);
            user.at = Instant::now();
        }
    }

    fn poll_kept(&mut self, cx: &mut Context<'_>) -> Poll<(SocketAddr, Bytes)> {
        while self.sweep.poll_tick(cx).is_ready() {
            self.forget_idle();
        }
        while self.ended.as_mut().poll(cx).is_ready() {
            self.ended = Box::pin(self.proxy.base.conns.somebody_ended());
            self.forget_ended();
        }
        loop {
            if let Some(kept) = self.kept.pop_front() {
                return Poll::Ready(kept);
            }
            match self.deciding.poll_next_unpin(cx) {
                Poll::Ready(Some(decided)) => self.settle(decided),
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl fmt::Debug for UdpUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UdpUsers").field(&self.users.len()).finish()
    }
}

fn bytes_of(datagrams: &[Bytes]) -> usize {
    datagrams.iter().map(Bytes::len).sum()
}
