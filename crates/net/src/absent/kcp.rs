//! kcp, where the build lacks it.

#![allow(clippy::unused_async, reason = "awaited like what it stands in for")]

use std::future::{Future, Ready};
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use crate::absent::lacking;
use crate::cut::Cut;
use crate::dial::{DialError, DialOptions, dial_by};
use crate::strangers::Strangers;

never_a_pipe! {
    /// There is none.
    KcpStream
}

/// There is none.
#[derive(Debug, Clone)]
pub enum Peer {}

/// There is none.
#[derive(Debug)]
pub enum Stranger {}

/// There is none.
#[derive(Debug)]
pub enum Driver {}

/// There is none.
#[derive(Debug)]
pub enum KcpListener {}

/// A new session.
#[derive(Debug)]
pub struct Accepted {
    /// The bytes.
    pub stream: KcpStream,
    /// The remote address.
    pub peer: SocketAddr,
    /// Its place among those who have not logged in.
    pub stranger: Stranger,
    /// Must run for the session to go on.
    pub driver: Driver,
}

impl KcpStream {
    /// This end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self.0 {}
    }

    /// Drops it so that the peer sees a failure.
    pub fn abort(self) {
        match self.0 {}
    }

    /// Never.
    pub fn peer(&self) -> Peer {
        match self.0 {}
    }
}

impl Peer {
    /// Never.
    pub fn round_trip(&self) -> Option<std::time::Duration> {
        match *self {}
    }

    /// Never.
    pub fn is_proven(&self) -> bool {
        match *self {}
    }

    /// Never.
    pub async fn proven(&self) {
        match *self {}
    }

    pub(crate) fn is_heard(&self) -> bool {
        match *self {}
    }

    pub(crate) fn poll_cut(&self, _: &mut Context<'_>) -> Poll<Cut> {
        match *self {}
    }

    pub(crate) fn abort(&self) {
        match *self {}
    }

    /// Never.
    pub fn ask(&self) {
        match *self {}
    }

    /// Never.
    pub fn heard(&self) -> u64 {
        match *self {}
    }
}

impl Stranger {
    pub(crate) fn admit(self) {
        match self {}
    }

    pub(crate) fn spoke(&self) {
        match *self {}
    }

    pub(crate) fn evicted(&self) -> &CancellationToken {
        match *self {}
    }
}

impl Driver {
    /// Never.
    pub fn run(self) -> Ready<()> {
        match self {}
    }
}

impl KcpListener {
    /// # Errors
    /// Always.
    pub fn new(_: UdpSocket, _: Strangers) -> io::Result<Self> {
        Err(lacking("kcp"))
    }

    /// Never.
    #[must_use]
    pub fn until(self, _: CancellationToken) -> Self {
        match self {}
    }

    /// Never.
    pub fn run(self, _: CancellationToken, _: impl FnMut(Accepted)) -> Ready<()> {
        match self {}
    }
}

/// # Errors
/// Always: that of the name, or that this build has no kcp.
pub async fn dial(
    host: &str,
    port: u16,
    options: &DialOptions,
) -> Result<(KcpStream, impl Future<Output = ()> + Send + use<>), DialError> {
    let open = |_| async { Err::<(KcpStream, Ready<()>), _>(lacking("kcp")) };
    dial_by("udp", host, port, options, open).await
}
