//! PROXY protocol headers as frp writes them in front of a backend connection
//! (go-proxyproto 0.7 through frp `pkg/util/net/proxyprotocol.go`).

use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

crate::named! {
    /// Which form of the header the backend expects.
    pub enum Version {
        /// The text line of version 1.
        V1 = "v1",
        /// The binary header of version 2.
        V2 = "v2",
    }
}

/// Why no header can be written.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum HeaderError {
    /// The source is IPv4, but the destination is an IPv6 address with no IPv4 form.
    #[error(
        "cannot write a PROXY protocol header from {src} to {dst}: the source is IPv4, the destination is not"
    )]
    MixedFamilies {
        /// The user's address.
        src: SocketAddr,
        /// The address the user connected to.
        dst: SocketAddr,
    },
}

/// The header for a TCP connection of the user `src` to `dst`.
///
/// The address family is that of `src`; an IPv4-mapped IPv6 address counts as IPv4.
///
/// # Errors
/// [`HeaderError::MixedFamilies`] when `src` is IPv4 and `dst` is not.
pub fn header(version: Version, src: SocketAddr, dst: SocketAddr) -> Result<Vec<u8>, HeaderError> {
    match version {
        Version::V1 => v1(src, dst),
        Version::V2 => v2(STREAM, src, dst),
    }
}

/// The header that goes in front of the first datagram of a user `src` of a UDP proxy.
///
/// Version 1 has no word for UDP, so it says `PROXY UNKNOWN`.
///
/// # Errors
/// [`HeaderError::MixedFamilies`] with version 2 when `src` is IPv4 and `dst` is not.
pub fn datagram_header(
    version: Version,
    src: SocketAddr,
    dst: SocketAddr,
) -> Result<Vec<u8>, HeaderError> {
    match version {
        Version::V1 => Ok(b"PROXY UNKNOWN\r\n".to_vec()),
        Version::V2 => v2(DATAGRAM, src, dst),
    }
}

fn v1(src: SocketAddr, dst: SocketAddr) -> Result<Vec<u8>, HeaderError> {
    let (family, src_ip, dst_ip) = match (src.ip().to_canonical(), dst.ip().to_canonical()) {
        (source @ IpAddr::V4(_), destination @ IpAddr::V4(_)) => ("TCP4", source, destination),
        (IpAddr::V4(_), IpAddr::V6(_)) => return Err(HeaderError::MixedFamilies { src, dst }),
        // An IPv4 destination is written in its IPv4 form even here: Go prints it so.
        (source @ IpAddr::V6(_), destination) => ("TCP6", source, destination),
    };
    let line = format!(
        "PROXY {family} {src_ip} {dst_ip} {} {}\r\n",
        src.port(),
        dst.port()
    );
    Ok(line.into_bytes())
}

fn v2(transport: u8, src: SocketAddr, dst: SocketAddr) -> Result<Vec<u8>, HeaderError> {
    let mut out = Vec::with_capacity(52);
    out.extend_from_slice(b"\r\n\r\n\0\r\nQUIT\n");
    out.push(VERSION_2_PROXY);
    match (src.ip().to_canonical(), dst.ip().to_canonical()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            out.push(INET | transport);
            out.extend_from_slice(&12_u16.to_be_bytes());
            out.extend_from_slice(&source.octets());
            out.extend_from_slice(&destination.octets());
        }
        (IpAddr::V4(_), IpAddr::V6(_)) => return Err(HeaderError::MixedFamilies { src, dst }),
        (IpAddr::V6(source), destination) => {
            let destination = match destination {
                IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                IpAddr::V6(v6) => v6,
            };
            out.push(INET6 | transport);
            out.extend_from_slice(&36_u16.to_be_bytes());
            out.extend_from_slice(&source.octets());
            out.extend_from_slice(&destination.octets());
        }
    }
    out.extend_from_slice(&src.port().to_be_bytes());
    out.extend_from_slice(&dst.port().to_be_bytes());
    Ok(out)
}

const VERSION_2_PROXY: u8 = 0x21;
const INET: u8 = 0x10;
const INET6: u8 = 0x20;
const STREAM: u8 = 0x01;
const DATAGRAM: u8 = 0x02;
