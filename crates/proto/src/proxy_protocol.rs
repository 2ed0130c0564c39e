//! PROXY protocol headers: as frp writes them in front of a backend connection (go-proxyproto 0.7 through frp
//! `pkg/util/net/proxyprotocol.go`), and as a proxy in front of us writes them ([`parse`]; the facts are those of
//! HAProxy's `doc/proxy-protocol.txt`, "the specification" below).

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
    out.extend_from_slice(SIGNATURE);
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

/// How version 2 begins.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const VERSION_2_LOCAL: u8 = 0x20;
const VERSION_2_PROXY: u8 = 0x21;
const INET: u8 = 0x10;
const INET6: u8 = 0x20;
const UNIX: u8 = 0x30;
const STREAM: u8 = 0x01;
const DATAGRAM: u8 = 0x02;

/// Bytes of the longest header that is read. Version 1 has at most 107; the longest of version 2 in use carry a
/// certificate's names.
pub const MAX_HEADER: usize = 4096;

/// Bytes of the longest line of version 1 (the specification, section 2.1).
const MAX_LINE: usize = 107;

/// Signature, command, family and length.
const V2_FIXED: usize = 16;

/// The checksum among the fields behind the addresses (the specification, section 2.2.3).
const CRC32C: u8 = 0x03;

/// What a proxy says of a connection that it passes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The user's address.
    pub src: SocketAddr,
    /// The address that the user connected to.
    pub dst: SocketAddr,
}

/// How much of a header there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// All bytes so far are of it, and more of it has to come.
    Incomplete,
    /// The first `length` bytes are the header.
    Whole {
        /// Bytes.
        length: usize,
        /// `None`: the connection is the proxy's own (LOCAL), or it does not know the addresses, or they are none
        /// of IP (UNKNOWN, unix sockets). It is then taken to come from where it comes from.
        ends: Option<Ends>,
    },
}

/// Why the first bytes of a connection are no header that can be gone by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ParseError {
    /// The first bytes are something else.
    #[error("no PROXY protocol header came first")]
    NoHeader,
    /// A line of version 1 that is none.
    #[error("malformed PROXY protocol line")]
    Line,
    /// Neither command of version 2.
    #[error("unknown version or command {0:#04x} in the PROXY protocol header")]
    Command(u8),
    /// A family or transport that cannot be that of a TCP connection.
    #[error("address family {0:#04x} of the PROXY protocol header is none of a TCP connection")]
    Family(u8),
    /// What is behind the fixed part does not add up.
    #[error("malformed addresses or fields in the PROXY protocol header")]
    Fields,
    /// It does not fit its CRC32C.
    #[error("wrong checksum of the PROXY protocol header")]
    Checksum,
    /// More than [`MAX_HEADER`].
    #[error("PROXY protocol header of {0} bytes; at most {MAX_HEADER} are read")]
    TooLong(usize),
}

/// The header that `bytes`, the first of a connection, begin with.
///
/// # Errors
/// They begin with something else, or the header is malformed.
pub fn parse(bytes: &[u8]) -> Result<Parsed, ParseError> {
    const V1: &[u8] = b"PROXY ";
    if begins(bytes, SIGNATURE) {
        parse_v2(bytes)
    } else if begins(bytes, V1) {
        parse_v1(bytes)
    } else {
        Err(ParseError::NoHeader)
    }
}

/// Whether `bytes` and `known` are the same as far as both go.
fn begins(bytes: &[u8], known: &[u8]) -> bool {
    bytes.starts_with(known) || known.starts_with(bytes)
}

fn parse_v1(bytes: &[u8]) -> Result<Parsed, ParseError> {
    let within = bytes.get(..MAX_LINE).unwrap_or(bytes);
    let Some(end) = within.iter().position(|byte| *byte == b'\n') else {
        return match bytes.len() < MAX_LINE {
            true => Ok(Parsed::Incomplete),
            false => Err(ParseError::Line),
        };
    };
    let line = within.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    let line = line.and_then(|line| std::str::from_utf8(line).ok());
    let ends = line.and_then(read_line).ok_or(ParseError::Line)?;
    Ok(Parsed::Whole {
        length: end + 1,
        ends,
    })
}

/// `None` where the line is malformed.
fn read_line(line: &str) -> Option<Option<Ends>> {
    let rest = line.strip_prefix("PROXY ")?;
    // Whatever else such a line says is to be ignored.
    if rest == "UNKNOWN" || rest.starts_with("UNKNOWN ") {
        return Some(None);
    }
    let mut words = rest.split(' ');
    let family = words.next()?;
    let [src, dst] = [words.next()?, words.next()?].map(|word| word.parse::<IpAddr>().ok());
    let (src, dst) = (src?, dst?);
    let [src_port, dst_port] = [port(words.next()?), port(words.next()?)];
    let fits = match family {
        "TCP4" => src.is_ipv4() && dst.is_ipv4(),
        // frp writes an IPv4 destination as such even here.
        "TCP6" => true,
        _ => false,
    };
    (fits && words.next().is_none()).then_some(())?;
    Some(Some(Ends {
        src: SocketAddr::new(src.to_canonical(), src_port?),
        dst: SocketAddr::new(dst.to_canonical(), dst_port?),
    }))
}

/// A port as the specification has it: digits without a leading zero.
fn port(word: &str) -> Option<u16> {
    let is_plain = word == "0" || word.starts_with(|first: char| ('1'..='9').contains(&first));
    word.parse().ok().filter(|_| is_plain)
}

fn parse_v2(bytes: &[u8]) -> Result<Parsed, ParseError> {
    // What is wrong already is not waited for.
    let command = bytes.get(SIGNATURE.len()).copied();
    if let Some(command) = command.filter(|it| ![VERSION_2_LOCAL, VERSION_2_PROXY].contains(it)) {
        return Err(ParseError::Command(command));
    }
    let Some((fixed, rest)) = bytes.split_first_chunk::<V2_FIXED>() else {
        return Ok(Parsed::Incomplete);
    };
    let [.., command, family, high, low] = *fixed;
    let length = V2_FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_HEADER {
        return Err(ParseError::TooLong(length));
    }
    let Some(all) = bytes.get(..length) else {
        return Ok(Parsed::Incomplete);
    };
    let body = rest.get(..length - V2_FIXED).unwrap_or_default();
    let whole = |ends| Ok(Parsed::Whole { length, ends });
    if command == VERSION_2_LOCAL {
        // The addresses and all behind them are to be skipped.
        return whole(None);
    }
    let (ends, fields) = match (family & 0xf0, family & 0x0f) {
        // Unknown: the addresses are to be ignored, and where they would end is not known.
        (0, transport) if transport <= DATAGRAM => return whole(None),
        (INET, STREAM) => addresses(body, |ip: [u8; 4]| IpAddr::from(ip))?,
        (INET6, STREAM) => addresses(body, |ip: [u8; 16]| IpAddr::from(ip))?,
        (UNIX, STREAM) => match body.get(2 * 108..) {
            Some(fields) => (None, fields),
            None => return Err(ParseError::Fields),
        },
        _ => return Err(ParseError::Family(family)),
    };
    check_fields(all, fields)?;
    whole(ends)
}

/// The addresses of `N` bytes each and their ports, and what is behind them.
fn addresses<const N: usize>(
    body: &[u8],
    ip: impl Fn([u8; N]) -> IpAddr,
) -> Result<(Option<Ends>, &[u8]), ParseError> {
    let split = || {
        let (src, rest) = body.split_first_chunk::<N>()?;
        let (dst, rest) = rest.split_first_chunk::<N>()?;
        let (src_port, rest) = rest.split_first_chunk::<2>()?;
        let (dst_port, rest) = rest.split_first_chunk::<2>()?;
        let at =
            |it: &[u8; N], port| SocketAddr::new(ip(*it).to_canonical(), u16::from_be_bytes(port));
        let ends = Ends {
            src: at(src, *src_port),
            dst: at(dst, *dst_port),
        };
        Some((Some(ends), rest))
    };
    split().ok_or(ParseError::Fields)
}

/// Passes over the fields behind the addresses of the header `all`; a checksum among them has to fit.
fn check_fields(all: &[u8], mut fields: &[u8]) -> Result<(), ParseError> {
    let mut sum = None;
    while let Some((head, rest)) = fields.split_first_chunk::<3>() {
        let [kind, high, low] = *head;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let value = rest.get(..length).ok_or(ParseError::Fields)?;
        let behind = rest.get(length..).unwrap_or_default();
        if kind == CRC32C {
            let value = value.try_into().map_err(|_| ParseError::Fields)?;
            let at = all.len() - behind.len() - length;
            if sum.replace((u32::from_be_bytes(value), at)).is_some() {
                return Err(ParseError::Fields);
            }
        }
        fields = behind;
    }
    if !fields.is_empty() {
        return Err(ParseError::Fields);
    }
    let Some((sum, at)) = sum else { return Ok(()) };
    // Over the whole header, with zeros in its own place.
    let before = all.get(..at).unwrap_or_default();
    let behind = all.get(at + 4..).unwrap_or_default();
    let found = crc32c::crc32c_append(crc32c::crc32c(before), &[0; 4]);
    match crc32c::crc32c_append(found, behind) == sum {
        true => Ok(()),
        false => Err(ParseError::Checksum),
    }
}
