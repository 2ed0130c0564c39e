//! Devices, addresses and routes of the system, as its rtnetlink tells and changes them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::packet_route::route::RouteAttribute;
use rtnetlink::{Error, Handle, LinkUnspec, RouteMessageBuilder, new_connection};
use tokio::task::JoinHandle;

use crate::Address;
use crate::limits::MTU;
use crate::open::OpenError;

/// A connection to rtnetlink.
#[derive(Debug)]
pub(crate) struct Links {
    handle: Handle,
    driver: JoinHandle<()>,
}

/// An address that a device has.
struct Had {
    address: Address,
    index: u32,
}

impl Links {
    pub(crate) fn new() -> io::Result<Self> {
        let (driver, handle, _) = new_connection()?;
        Ok(Self {
            handle,
            driver: tokio::spawn(driver),
        })
    }

    /// Whether no other device has the address or its network. frp takes the route from whoever has it, and it
    /// is gone when frp ends.
    pub(crate) async fn check(&self, address: Address) -> Result<(), OpenError> {
        let asked = self.addresses().await;
        let all = asked.map_err(|e| failed("list of addresses", &e))?;
        for had in all {
            if had.address.ip == address.ip {
                return Err(OpenError::Address {
                    ip: address.ip,
                    device: self.name(had.index).await,
                });
            }
            let is_one_machine = had.address
                == Address {
                    prefix: full(had.address.ip),
                    ..had.address
                };
            if had.address.prefix == address.prefix
                && had.address.is_with(address.ip)
                && !is_one_machine
            {
                return Err(OpenError::Network {
                    network: had.address.to_string(),
                    device: self.name(had.index).await,
                });
            }
        }
        Ok(())
    }

    async fn addresses(&self) -> Result<Vec<Had>, Error> {
        let mut messages = self.handle.address().get().execute();
        let mut all = Vec::new();
        while let Some(message) = messages.try_next().await? {
            let (mut ip, mut local) = (None, None);
            for attribute in message.attributes {
                match attribute {
                    AddressAttribute::Address(it) => ip = Some(it),
                    AddressAttribute::Local(it) => local = Some(it),
                    _ => {}
                }
            }
            // Of a link between two machines the other one's stands in the first.
            if let Some(ip) = local.or(ip) {
                let prefix = message.header.prefix_len;
                all.push(Had {
                    address: Address { ip, prefix },
                    index: message.header.index,
                });
            }
        }
        Ok(all)
    }

    async fn name(&self, index: u32) -> String {
        let mut links = self.handle.link().get().match_index(index).execute();
        let link = links.try_next().await.ok().flatten();
        let mut attributes = link.into_iter().flat_map(|link| link.attributes);
        let name = attributes.find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name),
            _ => None,
        });
        name.unwrap_or_else(|| format!("device {index}"))
    }

    /// Gives the device its size of packets and its address, and has it work. The system makes the route to the
    /// network with that.
    pub(crate) async fn configure(&self, index: u32, address: Address) -> Result<(), OpenError> {
        let up = LinkUnspec::new_with_index(index).mtu(MTU).up().build();
        let up = self.handle.link().set(up).execute().await;
        up.map_err(|e| failed(&format!("ip link set mtu {MTU} up"), &e))?;
        let add = self.handle.address();
        let added = add.add(index, address.ip, address.prefix).execute().await;
        added.map_err(|e| failed(&format!("ip address add {address}"), &e))
    }

    /// The number of the device by which the system would send to `ip`.
    pub(crate) async fn way_to(&self, ip: IpAddr) -> Option<u32> {
        let question = match ip {
            IpAddr::V4(ip) => RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(ip, 32)
                .build(),
            IpAddr::V6(ip) => RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(ip, 128)
                .build(),
        };
        let mut routes = self.handle.route().get(question).execute();
        let route = routes.try_next().await.ok()??;
        route
            .attributes
            .into_iter()
            .find_map(|attribute| match attribute {
                RouteAttribute::Oif(index) => Some(index),
                _ => None,
            })
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

const fn full(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn failed(what: &str, error: &Error) -> OpenError {
    let error = match error {
        Error::NetlinkError(answer) => answer.to_io().to_string(),
        other => other.to_string(),
    };
    OpenError::Configure {
        what: what.to_owned(),
        error,
    }
}
