//! The device, on systems where there is none of ours.

#![allow(clippy::unused_async, reason = "awaited like what it stands in for")]

use std::io;
use std::net::IpAddr;

use crate::open::OpenError;
use crate::{Address, virtio};

/// Bytes of a read or a write at most.
pub(crate) const LARGEST: usize = virtio::HEADER + 65_535;

/// There is none.
#[derive(Debug)]
pub(crate) enum Device {}

impl Device {
    pub(crate) async fn open(_: Address) -> Result<Self, OpenError> {
        Err(OpenError::System)
    }

    pub(crate) fn name(&self) -> &str {
        match *self {}
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn read(&self, _: &mut [u8]) -> io::Result<Option<usize>> {
        match *self {}
    }

    pub(crate) fn write(&self, _: &[u8]) -> io::Result<()> {
        match *self {}
    }

    pub(crate) async fn leads_to(&self, _: IpAddr) -> bool {
        match *self {}
    }
}
