//! From whom is a connection that comes through a proxy in front of us? The proxy says so by the PROXY protocol,
//! and is believed where `acceptProxyProtocol` names its address.
//!
//! Such a proxy has to say it with each connection: who may leave the header out lets its users write one of their
//! own. From others a header is what any first bytes are.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use frp_log::{Log, debug, trace, warn};
use frp_net::listen::canonical;
use frp_net::proxied::{HeaderError, read_header};
use tokio::net::TcpStream;

use crate::base::Base;

/// Both ends of a connection, as its user knows them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    /// From where it comes.
    pub(crate) peer: SocketAddr,
    /// Our address, or that of the proxy in front, as far as it is known.
    pub(crate) local: Option<SocketAddr>,
    /// It comes through a proxy in front that is believed.
    pub(crate) by_proxy: bool,
}

impl Ends {
    /// Those of a connection that comes from `peer` directly.
    pub(crate) fn of(conn: &TcpStream, peer: SocketAddr) -> Self {
        Self {
            peer,
            local: conn.local_addr().map(canonical).ok(),
            by_proxy: false,
        }
    }
}

/// Hands an accepted connection to `then`: at once, or, where it comes from a proxy that is believed, in a task of
/// its own once that has said from whom it is.
pub(crate) fn arrive(
    base: &Arc<Base>,
    conn: TcpStream,
    peer: SocketAddr,
    then: impl FnOnce(TcpStream, Ends) + Send + 'static,
) {
    let ends = Ends::of(&conn, peer);
    let policy = base.policy();
    let port = ends.local.map_or(0, |local| local.port());
    if !policy.proxies.is_proxy(peer.ip()) || !policy.proxies.is_port(port) {
        return then(conn, ends);
    }
    let turn = base.proxied.enter(peer.ip());
    let base = base.clone();
    base.clone().tasks.spawn(async move {
        let mut conn = conn;
        let log = Log::root().by(peer.ip());
        let read = tokio::select! {
            read = read_header(&mut conn) => read,
            () = turn.evicted() => return debug!(log, "[{peer}] made room for newer connections"),
            () = base.drain.cancelled() => return,
        };
        drop(turn);
        match read {
            Ok(Some(said)) => {
                trace!(log, "[{}] comes through [{peer}]", said.src);
                let ends = Ends {
                    peer: said.src,
                    local: Some(said.dst),
                    by_proxy: true,
                };
                then(conn, ends);
            }
            Ok(None) => then(
                conn,
                Ends {
                    by_proxy: true,
                    ..ends
                },
            ),
            // So look proxies whether a server is there.
            Err(HeaderError::Closed(e)) if e.kind() == io::ErrorKind::UnexpectedEof => {
                trace!(log, "[{peer}] left at once");
            }
            Err(e) => warn!(
                log,
                "connection from the proxy [{peer}] refused: {e}. acceptProxyProtocol names this address: have it send \
                 the header, or take it out of the list"
            ),
        }
    });
}
