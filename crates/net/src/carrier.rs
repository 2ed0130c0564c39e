//! A connection that carries many streams: the mux over some pipe, or QUIC, which is its own mux.

use thiserror::Error;

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
}

/// Why a connection has ended.
#[derive(Debug, Clone, Error)]
pub enum Lost {
    /// The mux.
    #[error("{0}")]
    Mux(#[from] CloseReason),
    /// QUIC.
    #[error("{0}")]
    Quic(#[from] QuicEnd),
}

/// Why there is no new stream.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The mux.
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
        })
    }

    /// The peer has logged in: it may send more ahead then, and by QUIC open more.
    pub fn admit(&self) {
        match self {
            Self::Mux(mux) => mux.admit(),
            Self::Quic(conn) => conn.admit(),
        }
    }

    /// The peer ends one direction of a stream at a time; see [`Mux::peer_half_closes`]. A stream of
    /// QUIC has words of its own for that.
    pub fn peer_half_closes(&self) {
        match self {
            Self::Mux(mux) => mux.peer_half_closes(),
            Self::Quic(_) => {}
        }
    }

    /// This side is about to end the connection: the peer is to open no more streams. QUIC says so by the
    /// end itself.
    pub fn go_away(&self) {
        match self {
            Self::Mux(mux) => mux.go_away(),
            Self::Quic(_) => {}
        }
    }

    /// Ends the connection and its streams.
    pub fn close(&self) {
        match self {
            Self::Mux(mux) => mux.close(),
            Self::Quic(conn) => conn.close(),
        }
    }

    /// The same, and what is queued is not sent any more.
    pub fn break_off(&self) {
        match self {
            Self::Mux(mux) => mux.break_off(),
            Self::Quic(conn) => conn.close(),
        }
    }

    /// Waits for the end of the connection.
    pub async fn closed(&self) -> Lost {
        match self {
            Self::Mux(mux) => mux.closed().await.into(),
            Self::Quic(conn) => conn.closed().await.into(),
        }
    }

    /// Why the connection has ended or is about to; `None` while it goes on.
    pub fn close_reason(&self) -> Option<Lost> {
        match self {
            Self::Mux(mux) => mux.close_reason().map(Lost::from),
            Self::Quic(conn) => conn.close_reason().map(Lost::from),
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
}

impl Arrivals {
    /// The next one; `None` when the connection has ended.
    pub async fn next(&mut self) -> Option<Stream> {
        match self {
            Self::Mux(incoming) => incoming.accept().await.map(Stream::Mux),
            Self::Quic(conn) => Some(Stream::Quic(Box::new(conn.accept().await?))),
        }
    }
}
