//! QUIC, where the build lacks it.

#![allow(clippy::unused_async, reason = "awaited like what it stands in for")]

use std::future::Ready;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};
use std::time::Duration;

use frp_proto::fingerprint::Fingerprint;
use thiserror::Error;
use tokio_util::task::TaskTracker;

pub use self::end::{NO_APPLICATION_PROTOCOL, QuicDialError, QuicEnd};
use crate::absent::lacking;
use crate::cut::Cut;
use crate::dial::DialOptions;

#[path = "../quic/end.rs"]
mod end;

/// How connections are kept; nobody does.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// As where there is QUIC.
    pub keepalive: Option<Duration>,
    /// As where there is QUIC.
    pub idle: Duration,
    /// As where there is QUIC.
    pub max_streams: u64,
}

never_a_pipe! {
    /// There is none.
    QuicStream
}

/// There is none.
#[derive(Debug, Clone)]
pub enum QuicConn {}

/// There is none.
#[derive(Debug)]
pub enum Listener {}

/// There is none.
#[derive(Debug)]
pub enum Arriving {}

/// Never: no settings are refused.
#[derive(Debug, Error)]
pub enum NoInitialCipherSuite {}

/// Those of a server that listens for nobody.
#[derive(Debug, Clone)]
pub struct ServerSettings;

/// That of a server that has no connections to end.
#[derive(Debug)]
pub struct ResetSecret;

impl ResetSecret {
    /// As where there is QUIC.
    #[must_use]
    pub fn new(_: &[&[u8]]) -> Self {
        Self
    }

    /// As where there is QUIC.
    #[must_use]
    pub fn random() -> Self {
        Self
    }
}

impl ServerSettings {
    /// # Errors
    /// Never.
    pub fn new(_: &rustls::ServerConfig, _: &Options) -> Result<Self, NoInitialCipherSuite> {
        Ok(Self)
    }
}

impl Listener {
    /// # Errors
    /// Always.
    pub fn bind(
        _: &str,
        _: u16,
        _: &ServerSettings,
        _: &ResetSecret,
        _: &TaskTracker,
    ) -> io::Result<Self> {
        Err(lacking("quic"))
    }

    /// Never.
    pub fn accept(&self) -> Ready<Option<Arriving>> {
        match *self {}
    }

    /// Never.
    pub fn refuse(&self) {
        match *self {}
    }

    /// Never.
    pub fn close(&self) {
        match *self {}
    }
}

impl Arriving {
    /// Never.
    pub fn peer(&self) -> SocketAddr {
        match *self {}
    }

    /// Never.
    pub fn accept(self, _: &ServerSettings, _: Duration) -> Ready<Result<QuicConn, QuicEnd>> {
        match self {}
    }
}

impl QuicConn {
    /// As where there is QUIC.
    pub fn channel(&self) -> Option<crate::tls::Channel> {
        match *self {}
    }

    /// Never.
    pub fn peer_key(&self) -> Option<Fingerprint> {
        match *self {}
    }

    /// Never.
    pub fn open(&self) -> Ready<Result<QuicStream, QuicEnd>> {
        match *self {}
    }

    /// Never.
    pub fn accept(&self) -> Ready<Option<QuicStream>> {
        match *self {}
    }

    /// Never.
    pub fn admit(&self) {
        match *self {}
    }

    /// Never.
    pub fn close(&self) {
        match *self {}
    }

    /// Never.
    pub fn heard(&self) -> u64 {
        match *self {}
    }

    /// Never.
    pub fn round_trip(&self) -> Duration {
        match *self {}
    }

    /// Never.
    pub fn ask(&self) {
        match *self {}
    }

    /// Never.
    pub fn closed(&self) -> Ready<QuicEnd> {
        match *self {}
    }

    /// Never.
    pub fn close_reason(&self) -> Option<QuicEnd> {
        match *self {}
    }

    /// Never.
    pub fn local_ip(&self) -> Option<IpAddr> {
        match *self {}
    }
}

impl QuicStream {
    /// Never.
    pub fn reset(self) {
        match self.0 {}
    }

    /// Never.
    pub fn abort(self) {
        match self.0 {}
    }

    /// Never.
    pub fn poll_cut(&mut self, _: &mut Context<'_>) -> Poll<Cut> {
        match self.0 {}
    }
}

/// # Errors
/// Always.
pub async fn connect(
    _: &str,
    _: u16,
    _: &DialOptions,
    _: &rustls::ClientConfig,
    _: &str,
    _: &Options,
    _: &TaskTracker,
) -> Result<QuicConn, QuicDialError> {
    Err(QuicDialError::Absent)
}
