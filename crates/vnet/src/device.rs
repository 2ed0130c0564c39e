//! The device of the system: what programs of this machine send to the network is read there, and what comes from
//! it is written there.
//!
//! The device goes away with its last descriptor, however the program ends, and its addresses and routes with it:
//! nothing is left for the next start to clean up.

use std::io;

use tun_rs::{AsyncDevice, DeviceBuilder};

use crate::links::Links;
use crate::open::OpenError;
use crate::{Address, virtio};

/// The system puts the first number that is free in the place of `%d`; the name is frp's.
const NAME: &str = "utun%d";

/// Bytes of a read or a write at most.
pub(crate) const LARGEST: usize = virtio::HEADER + 65_535;

/// The device, with the address.
#[derive(Debug)]
pub(crate) struct Device {
    tun: Tun,
    links: Links,
    name: String,
    index: u32,
}

struct Tun(AsyncDevice);

impl std::fmt::Debug for Tun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tun")
    }
}

fn failed(error: io::Error) -> OpenError {
    OpenError::Device { error }
}

impl Device {
    /// Makes it, with its address and its route.
    pub(crate) async fn open(address: Address) -> Result<Self, OpenError> {
        let links = Links::new().map_err(OpenError::Netlink)?;
        links.check(address).await?;
        let builder = DeviceBuilder::new().name(NAME).offload(true);
        let tun = builder.inherit_enable_state().build_async();
        let tun = tun.map_err(failed)?;
        let name = tun.name().map_err(failed)?;
        let index = tun.if_index().map_err(failed)?;
        links.configure(index, address).await?;
        Ok(Self {
            tun: Tun(tun),
            links,
            name,
            index,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Waits until there is something to read.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.tun.0.readable().await
    }

    /// Reads what the system has sent, behind a header of virtio. `None`: nothing is there now.
    pub(crate) fn read(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        match self.tun.0.try_recv(into) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Gives the system a packet, or many, behind a header of virtio. It takes them at once, or not at all.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        self.tun.0.try_send(bytes).map(|_| ())
    }

    /// Whether the system would send to `ip` by this device.
    pub(crate) async fn leads_to(&self, ip: std::net::IpAddr) -> bool {
        self.links.way_to(ip).await == Some(self.index)
    }
}
