//! The way of a user: it is let in, a work connection is taken and told whom it is for, then bytes
//! move.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use frp_log::{access, debug, info, warn};
use frp_net::stream::Stream;
use frp_proto::msg::StartWorkConn;
use frp_relay::conns::{End, Ending};
use frp_relay::layers::{Carried, Side, wrap};
use frp_relay::relay::{Tally, relay};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::Proxy;
use super::spec::ProxySpec;
use crate::admission::check::{Claim, Refusal, UserAsk};
use crate::admission::guard::Guard;
use crate::client::pool::{Admitted, TakeError};
use crate::guards::Why;
use crate::proxied::Ends;
use crate::stats::conns::{Conn, Place};

/// Where a user comes from and what it connected to, as far as known; the client is told.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct UserAddrs {
    pub(crate) src: Option<SocketAddr>,
    pub(crate) dst: Option<SocketAddr>,
}

/// A user's connection, or what counts as one where there are none: an address that datagrams come
/// from. Whatever it holds ends with it.
#[derive(Debug)]
pub(crate) struct UserConn {
    pub(crate) at: UserAddrs,
    claim: Option<Claim>,
    /// Mostly one.
    entered: Mutex<Vec<Entry>>,
    ending: Arc<Ending>,
}

/// A proxy that a user has come to. Its address stays its own as long as this points to it.
type Entry = (Weak<ProxySpec>, Arc<OnceCell<Entered>>);

#[derive(Debug)]
struct Entered {
    /// Which the client is told.
    src: Option<SocketAddr>,
    /// Where somebody looks at connections.
    place: Option<Place>,
    _guard: Guard,
}

/// Why a user's connection was not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UserError {
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("{0}")]
    Take(#[from] TakeError),
    #[error("no work connection could be started: {0}")]
    Start(frp_relay::msg_stream::SendError),
}

impl UserAddrs {
    /// Those of an accepted connection.
    pub(crate) fn of(ends: Ends) -> Self {
        Self {
            src: Some(ends.peer),
            dst: ends.local,
        }
    }

    /// The source address for the log; `-` when it is not known.
    pub(crate) fn source(&self) -> String {
        self.src
            .map_or_else(|| "-".to_owned(), |src| src.to_string())
    }
}

impl UserConn {
    pub(crate) fn new(at: UserAddrs) -> Self {
        Self {
            at,
            claim: None,
            entered: Mutex::default(),
            ending: Arc::default(),
        }
    }

    /// Completes once an administrator or a ban has ended the connection. Whatever serves it ends then.
    pub(crate) async fn ended(&self) {
        self.ending.ended().await;
    }

    /// Whether one has.
    pub(crate) fn is_ended(&self) -> bool {
        self.ending.is_ended()
    }

    /// Why, for the log.
    pub(crate) fn why_ended(&self) -> &'static str {
        self.ending.why().unwrap_or(End::Administrator).as_str()
    }

    /// What is known of the connection to the proxy of `spec`, which it has come to.
    pub(crate) fn conn(&self, spec: &Arc<ProxySpec>) -> Option<Arc<Conn>> {
        let entry = self.entry(spec);
        let place = entry.get().and_then(|entered| entered.place.as_ref());
        place.map(|place| place.conn().clone())
    }

    /// Is not with the proxy of `spec` any more.
    pub(super) fn leave(&self, spec: &Arc<ProxySpec>) {
        let entered = self.entered.lock();
        let mut entered = entered.unwrap_or_else(PoisonError::into_inner);
        entered.retain(|(of, _)| of.as_ptr() != Arc::as_ptr(spec));
    }

    pub(crate) fn of_visitor(at: UserAddrs, claim: Claim) -> Self {
        Self {
            claim: Some(claim),
            ..Self::new(at)
        }
    }

    /// Comes to `proxy`: the door that every user of every proxy goes through, once for each proxy
    /// that it comes to, before anything is done for it there.
    pub(crate) async fn enter(&self, proxy: &Proxy) -> Result<UserAddrs, Refusal> {
        let entering = || async {
            let policy = proxy.base.policy();
            let mut ask = UserAsk {
                policy: &policy,
                client: &proxy.session,
                proxy: &proxy.spec,
                src: self.at.src,
                visitor: self.claim.as_ref(),
                ending: &self.ending,
            };
            let guard = proxy.base.admission.user(&mut ask).await?;
            let base = &proxy.base;
            let entered = Entered {
                src: ask.src,
                place: base.lists_users().then(|| {
                    base.conns
                        .enter(self.at.src, &proxy.served, &self.ending, None)
                }),
                _guard: guard,
            };
            // One that came while this was decided has not found it in the list.
            match self.at.src.map(|src| src.ip()) {
                Some(ip)
                    if base.bans.keeps_from(proxy.session.whose(), ip) && proxy.turns_away(ip) =>
                {
                    Err(Refusal::new(&Why::Banned.text()))
                }
                _ => Ok(entered),
            }
        };
        let entry = self.entry(&proxy.spec);
        let entered = entry.get_or_try_init(entering).await?;
        Ok(UserAddrs {
            src: entered.src,
            ..self.at
        })
    }

    fn entry(&self, proxy: &Arc<ProxySpec>) -> Arc<OnceCell<Entered>> {
        let entered = self.entered.lock();
        let mut entered = entered.unwrap_or_else(PoisonError::into_inner);
        let is_its = |(of, _): &&Entry| of.as_ptr() == Arc::as_ptr(proxy);
        if let Some((_, entry)) = entered.iter().find(is_its) {
            return entry.clone();
        }
        // A user may stay long and come to many.
        entered.retain(|(of, _)| of.strong_count() > 0);
        let entry = Arc::default();
        entered.push((Arc::downgrade(proxy), Arc::clone(&entry)));
        entry
    }
}

impl Proxy {
    /// Whether nobody from `ip` may come here.
    pub(crate) fn turns_away(&self, ip: IpAddr) -> bool {
        let base = &self.base;
        let at = (&*self.session, &*self.spec);
        base.admission.turns_away(&base.policy(), at, ip).is_some()
    }

    /// Says that a user has come from `src`.
    pub(crate) fn log_user(&self, src: SocketAddr) {
        info!(self.log.of_user(src.ip()), "get a user connection [{src}]");
    }

    /// Takes a user's connection to a work connection and moves bytes until both ends are done or
    /// the server stops.
    pub(crate) async fn serve_user(&self, conn: Carried, user: &UserConn) {
        let _user = self.base.users.token();
        let limit = self.base.policy().user_conn_timeout;
        let opened = tokio::select! {
            opened = Box::pin(self.open_within(user, limit)) => opened,
            () = user.ended() => return self.log_ended(user),
            () = self.base.stop.cancelled() => return self.ends(user, End::Stopped),
        };
        if opened.is_err() {
            self.ends(user, End::Unserved);
        }
        match opened {
            Ok(opened) => self.carry(conn, opened, user).await,
            Err(e) => warn!(
                self.log,
                "user connection [{}] closed: {e}",
                user.at.source()
            ),
        }
    }

    /// Why the connection of `user` to this proxy ends.
    pub(crate) fn ends(&self, user: &UserConn, end: End) {
        if let Some(conn) = user.conn(&self.spec) {
            conn.ends(end);
        }
    }

    /// Says that a user's connection was ended by an administrator, or by a ban.
    pub(crate) fn log_ended(&self, user: &UserConn) {
        let why = user.why_ended();
        let peer = user.at.source();
        info!(self.log, "user connection [{peer}] closed: {why}");
    }

    /// Moves bytes between a user and its work connection until both ends are done, or somebody or the
    /// server's stop ends it.
    pub(super) async fn carry(
        &self,
        conn: Carried,
        (carried, _held): (Carried, Guard),
        user: &UserConn,
    ) {
        let _counted = self.counters.serving();
        let own = user.conn(&self.spec);
        let relayed = tokio::select! {
            relayed = relay(conn, carried, self.tally(own.as_deref())) => relayed,
            () = user.ended() => return self.log_ended(user),
            () = self.base.stop.cancelled() => return self.ends(user, End::Stopped),
        };
        self.ends(user, End::of(&relayed, true));
        let peer = user.at.source();
        debug!(self.log, "join connections closed, [{peer}]: {relayed}");
    }

    /// Where the bytes of `own` are counted.
    pub(crate) fn tally<'a>(&'a self, own: Option<&'a Conn>) -> Tally<'a> {
        Tally {
            all: &self.counters.traffic,
            own: own.map(|own| &own.traffic),
        }
    }

    /// A work connection for `user`, behind the layers of this proxy.
    pub(super) async fn open_within(
        &self,
        user: &UserConn,
        limit: Duration,
    ) -> Result<(Carried, Guard), UserError> {
        let (conn, held) = self.start(user, limit).await?;
        let (stream, rest) = conn.into_parts();
        Ok((self.wrap(stream, rest), held))
    }

    /// The layers of this proxy over a work connection.
    pub(crate) fn wrap(&self, stream: Stream, rest: Bytes) -> Carried {
        let carried = wrap(stream, rest, &self.layers, Side::Server);
        carried.of_peer(self.session.half_closes())
    }

    /// A work connection that was told whom it is for, which it must be within `limit` of the user's
    /// being let in.
    pub(super) async fn start(
        &self,
        user: &UserConn,
        limit: Duration,
    ) -> Result<Admitted, UserError> {
        let at = user.enter(self).await?;
        let conn = user.conn(&self.spec).filter(|_| access::is_wanted());
        let id = conn.map(|conn| conn.id()).unwrap_or_default();
        self.start_for(&at, id, limit).await
    }

    /// The same for all users of a udp proxy.
    pub(crate) async fn start_for_all(&self) -> Result<Admitted, UserError> {
        let limit = self.base.policy().user_conn_timeout;
        self.start_for(&UserAddrs::default(), String::new(), limit)
            .await
    }

    /// Ready ones may have died meanwhile, so as many are tried as the pool keeps, and one more.
    async fn start_for(
        &self,
        at: &UserAddrs,
        conn_id: String,
        limit: Duration,
    ) -> Result<Admitted, UserError> {
        let mut start = StartWorkConn {
            proxy_name: self.name.to_string(),
            conn_id,
            ..StartWorkConn::default()
        };
        if let Some(src) = at.src {
            start.src_addr = src.ip().to_string();
            start.src_port = src.port();
        }
        if let Some(dst) = at.dst {
            start.dst_addr = dst.ip().to_string();
            start.dst_port = dst.port();
        }
        let start = start.into();
        let until = Instant::now() + limit;
        let left = || until.saturating_duration_since(Instant::now());
        let mut tries = self.session.pool.count + 1;
        loop {
            let (mut conn, held) = self.session.pool.take(left()).await?;
            let sent = match conn.queue(&start) {
                Ok(()) => conn.flush_within(left()).await,
                Err(e) => Err(e.into()),
            };
            tries -= 1;
            match sent {
                Ok(()) => return Ok((conn, held)),
                Err(e) if tries == 0 => return Err(UserError::Start(e)),
                Err(e) => debug!(self.log, "work connection from the pool was dead: {e}"),
            }
        }
    }
}
