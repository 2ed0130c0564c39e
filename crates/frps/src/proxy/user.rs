//! The way of a user: a work connection is taken and told whom it is for, then bytes move.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use frp_log::{debug, warn};
use frp_net::layers::{Carried, Side, wrap};
use frp_net::relay::relay;
use frp_net::stream::Stream;
use frp_proto::msg::StartWorkConn;
use tokio::time::Instant;

use super::Proxy;
use crate::greet::Greeted;
use crate::session::pool::TakeError;

/// Where a user comes from and what it connected to, as far as known; the client is told.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct UserAddrs {
    pub(crate) src: Option<SocketAddr>,
    pub(crate) dst: Option<SocketAddr>,
}

/// Why a user's connection was not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UserError {
    #[error("{0}")]
    Take(#[from] TakeError),
    #[error("no work connection could be started: {0}")]
    Start(frp_net::msg_stream::SendError),
}

impl UserAddrs {
    /// Those of an accepted connection.
    pub(crate) fn of(user: &tokio::net::TcpStream, peer: SocketAddr) -> Self {
        Self {
            src: Some(peer),
            dst: user.local_addr().map(frp_net::listen::canonical).ok(),
        }
    }

    /// The source address for the log; `-` when it is not known.
    pub(crate) fn source(&self) -> String {
        self.src
            .map_or_else(|| "-".to_owned(), |src| src.to_string())
    }
}

impl Proxy {
    /// Takes a user's connection to a work connection and moves bytes until both ends are done or
    /// the server stops.
    pub(crate) async fn serve_user(self: Arc<Self>, user: impl Into<Carried>, at: UserAddrs) {
        let opened = tokio::select! {
            opened = self.open(&at) => opened,
            () = self.shared.stop.cancelled() => return,
        };
        match opened {
            Ok(carried) => self.carry(user.into(), carried, &at).await,
            Err(e) => warn!(self.log, "user connection [{}] closed: {e}", at.source()),
        }
    }

    /// Moves bytes between a user and its work connection until both ends are done or the server
    /// stops.
    pub(super) async fn carry(&self, user: Carried, carried: Carried, at: &UserAddrs) {
        let _counted = self.counters.serving();
        let relayed = tokio::select! {
            relayed = relay(user, carried, &self.counters.traffic) => relayed,
            () = self.shared.stop.cancelled() => return,
        };
        let peer = at.source();
        debug!(self.log, "join connections closed, [{peer}]: {relayed}");
    }

    /// A work connection for a user at `at`, behind the layers of this proxy.
    pub(crate) async fn open(&self, at: &UserAddrs) -> Result<Carried, UserError> {
        self.open_within(at, self.shared.policy().user_conn_timeout)
            .await
    }

    /// The same with another limit than `userConnTimeout`.
    pub(super) async fn open_within(
        &self,
        at: &UserAddrs,
        limit: Duration,
    ) -> Result<Carried, UserError> {
        let (stream, rest) = self.start_within(at, limit).await?.into_parts();
        Ok(self.wrap(stream, rest))
    }

    /// The layers of this proxy over a work connection.
    pub(super) fn wrap(&self, stream: Stream, rest: Bytes) -> Carried {
        let carried = wrap(stream, rest, &self.layers, Side::Server);
        carried.of_peer(self.session.half_closes())
    }

    /// A work connection that was told whom it is for. Ready ones may have died meanwhile, so as
    /// many are tried as the pool keeps, and one more.
    pub(crate) async fn start_work_conn(&self, at: &UserAddrs) -> Result<Greeted, UserError> {
        self.start_within(at, self.shared.policy().user_conn_timeout)
            .await
    }

    async fn start_within(&self, at: &UserAddrs, limit: Duration) -> Result<Greeted, UserError> {
        let mut start = StartWorkConn {
            proxy_name: self.name.to_string(),
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
            let mut conn = self.session.pool.take(left()).await?;
            let sent = match conn.queue(&start) {
                Ok(()) => conn.flush_within(left()).await,
                Err(e) => Err(e.into()),
            };
            tries -= 1;
            match sent {
                Ok(()) => return Ok(conn),
                Err(e) if tries == 0 => return Err(UserError::Start(e)),
                Err(e) => debug!(self.log, "work connection from the pool was dead: {e}"),
            }
        }
    }
}
