//! Dialling the local service from the user's own address, where the system cannot.

#![allow(clippy::unused_async, reason = "awaited like what it stands in for")]

use std::net::SocketAddr;

use frp_log::Log;
use tokio::net::TcpStream;

use crate::tasks::Tasks;

/// There is none.
#[derive(Debug, Default)]
pub(crate) struct Transparent {}

/// That there is none.
#[derive(Debug, thiserror::Error)]
#[error(
    "transport.realIP = \"transparent\" is there on Linux only; transport.realIP = \"loopback\" and \
     transport.proxyProtocolVersion tell the local service who its users are, too"
)]
pub(crate) struct TransparentError;

impl Transparent {
    pub(super) fn prepare(&self, _: &Log, _: &Tasks) -> Result<(), TransparentError> {
        Err(TransparentError)
    }

    pub(super) async fn dial(
        &self,
        _: &str,
        _: u16,
        _: SocketAddr,
    ) -> Result<TcpStream, TransparentError> {
        Err(TransparentError)
    }

    pub(super) async fn end(&self) {}
}
