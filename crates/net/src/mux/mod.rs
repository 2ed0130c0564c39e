//! Many streams over one connection: yamux version 0 as frp 0.70.1 sets it.
//!
//! A session is one driver task ([`session`]) that alone touches the connection, and
//! handles that share its state behind one short lock: [`Mux`] opens streams, [`Incoming`] accepts
//! the peer's, [`MuxStream`] carries bytes. The driver never waits for an application: what is not
//! read stays queued, and the window limits how much that can be: 256 KiB, for a stranger 96 KiB over all
//! its streams, and up to 6 MiB for a reader that has shown that it takes as much.
//!
//! `frame` is the header, `state` the protocol without I/O and clock, `inbox` and `batch` the two
//! directions of bytes, `driver` the I/O.
//!
//! Source of the rules: fatedier/yamux `session.go` and `stream.go`, with the settings of frp's
//! `client/connector.go` and `server/service.go`.

mod batch;
mod config;
mod driver;
mod error;
mod frame;
mod inbox;
mod pace;
mod shared;
mod state;
#[cfg(test)]
mod state_tests;
mod stream;
#[cfg(test)]
mod turns_tests;

use std::time::Duration;
use std::{future::Future, sync::Arc};

pub use self::config::{Config, Role};
pub use self::error::{CloseReason, MuxError, ProtocolError};
pub use self::stream::MuxStream;
use self::{driver::Driver, shared::Shared};
use crate::below::Below;

/// Starts a session on `io`. The last of the three is its driver, which the caller runs and tracks, on
/// a runtime with time enabled: nothing moves before it is polled; dropping it ends the session and
/// drops the connection.
pub fn session<T>(
    io: T,
    role: Role,
    config: Config,
) -> (Mux, Incoming, impl Future<Output = CloseReason> + Send)
where
    T: Below + Send,
{
    let shared = Arc::new(Shared::new(role, &config));
    let driver = Driver::new(io, Arc::clone(&shared));
    (
        Mux {
            shared: Arc::clone(&shared),
        },
        Incoming { shared },
        driver.run(),
    )
}

/// A cheap handle to a session.
///
/// When all of these and the [`Incoming`] are dropped, the session ends with its last stream.
#[derive(Debug)]
pub struct Mux {
    shared: Arc<Shared>,
}

impl Mux {
    /// Opens a stream. Waits while 256 streams are not yet acknowledged by the peer, else returns
    /// at once: data may be written before the peer has accepted.
    pub async fn open(&self) -> Result<MuxStream, MuxError> {
        let id = self.shared.open().await?;
        Ok(MuxStream::new(Arc::clone(&self.shared), id))
    }

    /// The peer has logged in: a stream that is read as fast as it comes may have up to 6 MiB ahead.
    pub fn admit(&self) {
        self.shared.admit();
    }

    /// The peer ends one direction of a stream at a time ([`frp_proto::features::HALF_CLOSE`]). So a
    /// stream that is dropped before the peer's end was seen is reset behind its end, and an
    /// [aborted](MuxStream::abort) one at once: such a peer's reader gets what came before. frp's reads
    /// an end as that of both directions, and loses what it has not read to a reset.
    pub fn peer_half_closes(&self) {
        self.shared.lock().state.peer_half_closes();
    }

    /// Ends the session: streams fail from now on, what they have queued is still sent (for at
    /// most 10 s), then the connection is closed. [`Mux::closed`] tells when that is done.
    pub fn close(&self) {
        self.shared.end(CloseReason::LocalClose);
    }

    /// Ends the session as [`Mux::close`] does, but drops what is queued, and the connection at once.
    pub fn abort(&self) {
        self.shared.abort();
    }

    /// Tells the peer to open no more streams, because this side is about to leave. Those that there are
    /// go on.
    pub fn go_away(&self) {
        self.shared.with(|inner| inner.state.go_away());
    }

    /// Sends a keep-alive ping now, unless one is unanswered.
    pub fn ask(&self) {
        self.shared.with(|inner| inner.state.ask());
    }

    /// How often something has come: whether it does again shows that the peer is there.
    pub fn heard(&self) -> u64 {
        self.shared.lock().state.heard()
    }

    /// How long the answer to the last ping that was answered took.
    pub fn round_trip(&self) -> Option<Duration> {
        self.shared.lock().state.round_trip()
    }

    /// Waits for the end of the session.
    pub async fn closed(&self) -> CloseReason {
        self.shared.finished().await
    }

    /// Why the session has ended or is about to; `None` while it goes on.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.shared.end_reason()
    }

    /// Whether the session has ended or is about to.
    pub fn is_closed(&self) -> bool {
        self.shared.is_ended()
    }
}

impl Clone for Mux {
    fn clone(&self) -> Self {
        self.shared.add_handle();
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Drop for Mux {
    fn drop(&mut self) {
        self.shared.drop_handle();
    }
}

/// The streams that the peer opens. Dropping it refuses them all.
#[derive(Debug)]
pub struct Incoming {
    shared: Arc<Shared>,
}

impl Incoming {
    /// The next stream; `None` when the session has ended. The peer gets its acknowledgement now,
    /// so accept promptly: it gives up the session after 75 s.
    pub async fn accept(&mut self) -> Option<MuxStream> {
        let id = std::future::poll_fn(|cx| self.shared.poll_accept(cx)).await?;
        Some(MuxStream::new(Arc::clone(&self.shared), id))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.shared.refuse();
        self.shared.drop_handle();
    }
}
