//! A connection that carries many streams: the mux over some pipe, or QUIC, which is its own mux, or none
//! at all within the program.

use std::time::Duration;

use thiserror::Error;

use crate::memory::{MemoryArrivals, MemoryConn};
use crate::mux::{CloseReason, Incoming, Mux, MuxError};
use crate::quic::{QuicConn, QuicEnd};
use crate::stream::Stream;

/// A handle to such a connection.
#[derive(Debug, Clone)]
pub enum Carrier {
    /// The mux.
    Mux(Mux),
    /// QUIC.
    Quic(QuicConn),
    /// Within the program.
    Memory(MemoryConn),
}

/// Why a connection has ended.
#[derive(Debug, Clone, Error)]
pub enum Lost {
    /// The mux, or what is in its place within the program.
    #[error("{0}")]
    Mux(#[from] CloseReason),
    /// QUIC.
    #[error("{0}")]
    Quic(#[from] QuicEnd),
}

/// Why there is no new stream.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The mux, or what is in its place within the program.
    #[error("{0}")]
    Mux(#[from] MuxError),
    /// QUIC.
    #[error("{0}")]
    Quic(#[from] QuicEnd),
}

impl Carrier {
    /// Opens a stream; waits while the peer takes no more.
    ///
    /// # Errors
    /// The connection has ended, or ends.
    pub async fn open(&self) -> Result<Stream, OpenError> {
        Ok(match self {
            Self::Mux(mux) => Stream::Mux(mux.open().await?),
            Self::Quic(conn) => Stream::Quic(Box::new(conn.open().await?)),
            Self::Memory(conn) => {
                Stream::Memory(Box::new(conn.open().await.map_err(MuxError::Closed)?))
            }
        })
    }

    /// The peer has logged in: it may send more ahead then, and by QUIC open more.
    pub fn admit(&self) {
        match self {
            Self::Mux(mux) => mux.admit(),
            Self::Quic(conn) => conn.admit(),
            Self::Memory(_) => {}
        }
    }

    /// The peer ends one direction of a stream at a time; see [`Mux::peer_half_closes`]. Streams of
    /// QUIC and within the program have words of their own for that.
    pub fn peer_half_closes(&self) {
        match self {
            Self::Mux(mux) => mux.peer_half_closes(),
            Self::Quic(_) | Self::Memory(_) => {}
        }
    }

    /// This side is about to end the connection: the peer is to open no more streams. Others than the mux
    /// say so by the end itself.
    pub fn go_away(&self) {
        match self {
            Self::Mux(mux) => mux.go_away(),
            Self::Quic(_) | Self::Memory(_) => {}
        }
    }

    /// Sends something that the peer answers.
    pub fn ask(&self) {
        match self {
            Self::Mux(mux) => mux.ask(),
            Self::Quic(conn) => conn.ask(),
            Self::Memory(_) => {}
        }
    }

    /// How much has come from the peer, in a unit of its own; `None` where it cannot be away.
    pub fn heard(&self) -> Option<u64> {
        match self {
            Self::Mux(mux) => Some(mux.heard()),
            Self::Quic(conn) => Some(conn.heard()),
            Self::Memory(_) => None,
        }
    }

    /// From here to the peer and back, as it was measured last: by the mux when it was
    /// [asked](Self::ask), by QUIC all the time. `None` where nothing lies between.
    pub fn round_trip(&self) -> Option<Duration> {
        match self {
            Self::Mux(mux) => mux.round_trip(),
            Self::Quic(conn) => Some(conn.round_trip()),
            Self::Memory(_) => None,
        }
    }

    /// Ends the connection and its streams.
    pub fn close(&self) {
        match self {
            Self::Mux(mux) => mux.close(),
            Self::Quic(conn) => conn.close(),
            Self::Memory(conn) => conn.close(),
        }
    }

    /// The same, and what is queued is not sent any more.
    pub fn abort(&self) {
        match self {
            Self::Mux(mux) => mux.abort(),
            Self::Quic(conn) => conn.close(),
            Self::Memory(conn) => conn.close(),
        }
    }

    /// Waits for the end of the connection.
    pub async fn closed(&self) -> Lost {
        match self {
            Self::Mux(mux) => mux.closed().await.into(),
            Self::Quic(conn) => conn.closed().await.into(),
            Self::Memory(conn) => conn.closed().await.into(),
        }
    }

    /// Why the connection has ended or is about to; `None` while it goes on.
    pub fn close_reason(&self) -> Option<Lost> {
        match self {
            Self::Mux(mux) => mux.close_reason().map(Lost::from),
            Self::Quic(conn) => conn.close_reason().map(Lost::from),
            Self::Memory(conn) => conn.close_reason().map(Lost::from),
        }
    }
}

/// The streams that the peer opens.
#[derive(Debug)]
pub enum Arrivals {
    /// Of the mux.
    Mux(Incoming),
    /// Of QUIC.
    Quic(QuicConn),
    /// Within the program.
    Memory(MemoryArrivals),
}

impl Arrivals {
    /// The next one; `None` when the connection has ended.
    pub async fn next(&mut self) -> Option<Stream> {
        match self {
            Self::Mux(incoming) => incoming.accept().await.map(Stream::Mux),
            Self::Quic(conn) => Some(Stream::Quic(Box::new(conn.accept().await?))),
            Self::Memory(arrivals) => Some(Stream::Memory(Box::new(arrivals.next().await?))),
        }
    }
}
