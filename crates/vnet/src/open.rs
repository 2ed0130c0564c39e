//! Why there is no device, and what to do.

use std::io;
use std::net::IpAddr;

/// Why there is no device. The first words are frp's.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Only Linux has one.
    #[error(
        "virtual net is not supported on this platform ({}/{}): it needs Linux",
        std::env::consts::OS,
        std::env::consts::ARCH
    )]
    System,
    /// The system did not make the device.
    #[error("failed to create TUN device: {error}; {}", advice(error))]
    Device {
        /// What it says.
        error: io::Error,
    },
    /// The system cannot be asked for addresses and routes.
    #[error("netlink: {0}")]
    Netlink(io::Error),
    /// Another device has the address.
    #[error(
        "{ip} is the address of {device} already: each machine of the virtual network has one of its own, and \
         each frpc, too; {}",
        remove(device)
    )]
    Address {
        /// The address.
        ip: IpAddr,
        /// Who has it.
        device: String,
    },
    /// Another device has the network.
    #[error(
        "the network {network} is that of {device} already, so packets for it would go there; choose another \
         one for virtualNet.address, or {}",
        remove(device)
    )]
    Network {
        /// The network, as an address of it and its bits.
        network: String,
        /// Who has it.
        device: String,
    },
    /// The system did not give the device its address.
    #[error("{what}: {error}")]
    Configure {
        /// What was asked of it.
        what: String,
        /// Its answer.
        error: String,
    },
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "run frpc as root, or give it CAP_NET_ADMIN (in a container: --cap-add NET_ADMIN)"
        }
        io::ErrorKind::NotFound => {
            "/dev/net/tun is missing: run modprobe tun (for a container: --device /dev/net/tun)"
        }
        _ => "ip tuntap add mode tun would say more",
    }
}

fn remove(device: &str) -> String {
    format!("where nothing needs {device}, remove it: ip link delete {device}")
}
