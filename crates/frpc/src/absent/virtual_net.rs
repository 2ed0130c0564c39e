//! The virtual network, where the build lacks it.

#![allow(clippy::unused_async, reason = "awaited like what it stands in for")]

use std::net::IpAddr;

use frp_config::{ClientConfig, Feature, Lacking};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::BUILD;
use crate::tasks::Tasks;

/// That there is none.
pub(crate) type VirtualNetError = Lacking;

/// There is none.
#[derive(Debug, Default)]
pub(crate) struct VirtualNet {}

/// There is none.
#[derive(Debug, Clone)]
pub(crate) enum Net {}

/// There is none.
#[derive(Debug)]
pub(crate) enum Visit {}

/// There is none.
#[derive(Debug, thiserror::Error)]
#[error("")]
pub(crate) enum Never {}

impl Never {
    pub(crate) fn is_fault(&self) -> bool {
        match *self {}
    }
}

impl VirtualNet {
    /// The program refuses settings that ask for one; this is for who uses the library.
    pub(crate) async fn start(&self, cfg: &ClientConfig, _: &Tasks) -> Result<(), VirtualNetError> {
        match cfg.virtual_net_address {
            Some(_) => Err(BUILD.lacking(Feature::Vnet)),
            None => Ok(()),
        }
    }

    pub(crate) fn net(&self) -> Option<&Net> {
        None
    }
}

impl Net {
    pub(crate) fn device(&self) -> &str {
        match *self {}
    }

    pub(crate) async fn leads_to(&self, _: IpAddr) -> bool {
        match *self {}
    }

    pub(crate) fn visit(&self, _: IpAddr, _: &str) -> Result<Visit, Never> {
        match *self {}
    }

    pub(crate) async fn serve<S>(&self, _: S, _: impl FnMut(Never)) -> Never
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match *self {}
    }
}

impl Visit {
    pub(crate) async fn wanted(&self) {
        match *self {}
    }

    pub(crate) async fn carry<S>(&self, _: S, _: impl FnMut(Never)) -> Never
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match *self {}
    }
}
