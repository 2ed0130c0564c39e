//! Where a stream came from, and what it holds on its way to become a session.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::limits::MAX_SESSIONS_ON_CONNECTION;
use frp_net::carrier::Carrier;
use frp_net::kcp;
use frp_net::strangers::Turn;
use frp_net::stream::{Stream, Transport};
use frp_proto::msg::Message;
use frp_relay::limits::ANSWER_WRITE;
use frp_relay::msg_stream::MsgStream;
use tokio::sync::Notify;
use tokio::time::timeout;

/// A stream past its greeting.
pub(crate) type Greeted = MsgStream<Stream>;

/// Where a stream came from.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The client's address.
    pub(crate) peer: SocketAddr,
    /// Ours, as far as the system tells.
    pub(crate) local: Option<SocketAddr>,
    /// What carries the connection, and whether TLS does.
    pub(crate) transport: Transport,
    pub(crate) tls: bool,
    /// A proxy that the operator knows of may have ended TLS before: of this machine or its network, or one that is
    /// believed.
    pub(crate) may_be_fronted: bool,
    /// The connection that the stream is one of, where it is multiplexed.
    pub(crate) link: Option<Arc<Link>>,
    /// What its TLS is known by to both ends, where frps has said that it goes by that.
    pub(crate) channel: Option<frp_proto::scram::Channel>,
    /// The other end of the connection, where it runs over kcp.
    pub(crate) kcp: Option<kcp::Peer>,
}

impl Caller {
    /// Has the client say that it is there, if it can be asked.
    pub(crate) fn ask(&self) {
        match (&self.link, &self.kcp) {
            (Some(link), _) => link.carrier.ask(),
            (None, Some(kcp)) => kcp.ask(),
            (None, None) => {}
        }
    }

    /// How much has come from a client, in a unit of its own, if it can be asked.
    pub(crate) fn heard(&self) -> Option<u64> {
        match &self.link {
            Some(link) => link.carrier.heard(),
            None => self.kcp.as_ref().map(kcp::Peer::heard),
        }
    }

    /// From here to the client and back, where its connection tells.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        match &self.link {
            Some(link) => link.carrier.round_trip(),
            None => self.kcp.as_ref().and_then(kcp::Peer::round_trip),
        }
    }

    /// Whether its streams are those of the mux.
    pub(crate) fn is_muxed(&self) -> bool {
        let carrier = self.link.as_ref().map(|link| &link.carrier);
        matches!(carrier, Some(Carrier::Mux(_)))
    }

    /// Whether the client lives in this program: nobody listens in between.
    pub(crate) fn is_inside(&self) -> bool {
        let carrier = self.link.as_ref().map(|link| &link.carrier);
        matches!(carrier, Some(Carrier::Memory(_)))
    }
}

/// A connection with many streams: how many sessions live on it, how many streams are still in
/// greeting.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) carrier: Carrier,
    sessions: AtomicUsize,
    sessions_changed: Notify,
    greeting: AtomicUsize,
}

impl Link {
    pub(crate) fn new(carrier: Carrier) -> Self {
        Self {
            carrier,
            sessions: AtomicUsize::new(0),
            sessions_changed: Notify::new(),
            greeting: AtomicUsize::new(0),
        }
    }

    /// Completes when a session has come or gone.
    pub(crate) async fn changed(&self) {
        self.sessions_changed.notified().await;
    }

    /// Completes when no client is logged in on the connection.
    pub(crate) async fn deserted(&self) {
        while self.has_session() {
            self.sessions_changed.notified().await;
        }
    }

    /// Whether a client has logged in on the connection and is there still.
    pub(crate) fn has_session(&self) -> bool {
        self.sessions.load(Ordering::Acquire) > 0
    }
}

/// What a stream holds until its first message is understood and, if it is a login, decided.
#[derive(Debug)]
pub(crate) enum Permit {
    /// One of the server's strangers: the stream is the whole connection.
    Stranger(Turn),
    /// One of the streams in greeting of its connection.
    Stream(#[expect(dead_code, reason = "held for its drop")] Greeting),
}

impl Permit {
    /// The peer has shown that it may be here.
    pub(crate) fn admit(self) {
        if let Self::Stranger(turn) = self {
            turn.admit();
        }
    }

    /// Completes when the place has gone to somebody else.
    pub(crate) async fn evicted(&self) {
        match self {
            Self::Stranger(turn) => turn.evicted().await,
            Self::Stream(_) => std::future::pending().await,
        }
    }

    /// Completes when the place has gone to somebody else, or the connection of `caller` has ended:
    /// what the stream still waits for is in vain then.
    pub(crate) async fn lost(&self, caller: &Caller) {
        match &caller.link {
            Some(link) => {
                link.carrier.closed().await;
            }
            None => self.evicted().await,
        }
    }
}

/// A stream that has not said its first message, counted on its link until dropped.
#[derive(Debug)]
pub(crate) struct Greeting(Arc<Link>);

impl Greeting {
    pub(crate) fn begin(link: &Arc<Link>, limit: usize) -> Option<Self> {
        if link.greeting.fetch_add(1, Ordering::AcqRel) < limit {
            return Some(Self(link.clone()));
        }
        link.greeting.fetch_sub(1, Ordering::AcqRel);
        None
    }
}

impl Drop for Greeting {
    fn drop(&mut self) {
        self.0.greeting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A session that lives on a link, counted until dropped.
#[derive(Debug)]
pub(crate) struct Presence(Arc<Link>);

impl Presence {
    /// `None` where the connection has as many as it may.
    pub(crate) fn on(link: &Arc<Link>) -> Option<Self> {
        if link.sessions.fetch_add(1, Ordering::AcqRel) >= MAX_SESSIONS_ON_CONNECTION {
            link.sessions.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        link.sessions_changed.notify_one();
        link.carrier.admit();
        Some(Self(link.clone()))
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::AcqRel);
        self.0.sessions_changed.notify_one();
    }
}

/// Tells the peer why it is about to be closed. Whether it still listens is its own affair.
pub(crate) async fn last_word(stream: &mut Greeted, message: &Message) {
    if stream.queue(message).is_ok() && stream.flush_within(ANSWER_WRITE).await.is_ok() {
        let _ = timeout(ANSWER_WRITE, stream.shutdown()).await;
    }
}
