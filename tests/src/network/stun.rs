//! A STUN server of the tests' own (RFC 5389, RFC 5780 and the older RFC 3489), and a probe that tells what a
//! NAT box is by it.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::host::Host;

/// What the server says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StunStyle {
    /// XOR-MAPPED-ADDRESS and OTHER-ADDRESS, as RFC 5780.
    Rfc5780,
    /// MAPPED-ADDRESS and CHANGED-ADDRESS, as RFC 3489.
    Rfc3489,
    /// XOR-MAPPED-ADDRESS only: it has no second address.
    OneAddress,
    /// It says nothing.
    Silent,
}

/// A server with two addresses and two ports.
#[derive(Debug)]
pub struct StunServer {
    /// The one that is configured; the last one of `all` is its OTHER-ADDRESS.
    pub addr: SocketAddrV4,
    /// First address and port, first address and second port, second address and first port, both second.
    pub all: [SocketAddrV4; 4],
    style: Arc<Mutex<StunStyle>>,
    _tasks: JoinSet<()>,
}

const PORTS: [u16; 2] = [3478, 3479];
const COOKIE: [u8; 4] = 0x2112_A442_u32.to_be_bytes();
const REQUEST: u16 = 0x0001;
const RESPONSE: u16 = 0x0101;
const MAPPED_ADDRESS: u16 = 0x0001;
const CHANGE_REQUEST: u16 = 0x0003;
const CHANGED_ADDRESS: u16 = 0x0005;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const OTHER_ADDRESS: u16 = 0x802C;
const CHANGE_IP: u8 = 4;
const CHANGE_PORT: u8 = 2;

/// How often, and how long each time, an answer is waited for.
const ASKED: usize = 3;
const ANSWERED_WITHIN: Duration = Duration::from_millis(500);

impl StunServer {
    pub(super) fn start(host: &Host, ips: [Ipv4Addr; 2]) -> Self {
        let all = [(0, 0), (0, 1), (1, 0), (1, 1)];
        let all = all.map(|(ip, port): (usize, usize)| SocketAddrV4::new(ips[ip], PORTS[port]));
        Self::over(all.map(|addr| host.udp_socket_at(SocketAddr::V4(addr))))
    }

    /// One on the loopback device of this host, whose two addresses are two ports each.
    pub async fn local() -> Self {
        let mut sockets = Vec::new();
        for _ in 0..4 {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            sockets.push(socket);
        }
        Self::over(sockets.try_into().unwrap())
    }

    /// The sockets are in the order of `all`.
    fn over(sockets: [UdpSocket; 4]) -> Self {
        let addr = |socket: &UdpSocket| match socket.local_addr().unwrap() {
            SocketAddr::V4(addr) => addr,
            SocketAddr::V6(addr) => panic!("a STUN server at {addr}"),
        };
        let all = sockets.each_ref().map(addr);
        let sockets = Arc::new(sockets);
        let style = Arc::new(Mutex::new(StunStyle::Rfc5780));
        let mut tasks = JoinSet::new();
        for number in 0..all.len() {
            let (sockets, style) = (sockets.clone(), style.clone());
            tasks.spawn(async move {
                let mut buffer = [0; 1500];
                loop {
                    let Ok((n, from)) = sockets[number].recv_from(&mut buffer).await else {
                        continue;
                    };
                    let style = *style.lock().unwrap();
                    let SocketAddr::V4(from) = from else { continue };
                    if let Some((by, answer)) = answer(&buffer[..n], from, number, &all, style) {
                        let _ = sockets[by].send_to(&answer, from).await;
                    }
                }
            });
        }
        Self {
            addr: all[0],
            all,
            style,
            _tasks: tasks,
        }
    }

    /// From now on it answers like this.
    pub fn set_style(&self, style: StunStyle) {
        *self.style.lock().unwrap() = style;
    }
}

/// The answer to a request that came to socket `number`, and the socket that it leaves by.
fn answer(
    request: &[u8],
    from: SocketAddrV4,
    number: usize,
    all: &[SocketAddrV4; 4],
    style: StunStyle,
) -> Option<(usize, Vec<u8>)> {
    if style == StunStyle::Silent || request.get(..2)? != REQUEST.to_be_bytes() {
        return None;
    }
    let change = attribute(request, CHANGE_REQUEST).map_or(0, |value| value[3]);
    let mut by = number;
    if change & CHANGE_IP != 0 {
        by ^= 2;
    }
    if change & CHANGE_PORT != 0 {
        by ^= 1;
    }
    let mut body = Vec::new();
    match style {
        StunStyle::Rfc3489 => {
            put(&mut body, MAPPED_ADDRESS, from, false);
            put(&mut body, CHANGED_ADDRESS, all[number ^ 3], false);
        }
        StunStyle::Rfc5780 => {
            put(&mut body, XOR_MAPPED_ADDRESS, from, true);
            put(&mut body, OTHER_ADDRESS, all[number ^ 3], false);
        }
        StunStyle::OneAddress | StunStyle::Silent => {
            put(&mut body, XOR_MAPPED_ADDRESS, from, true);
        }
    }
    let mut answer = RESPONSE.to_be_bytes().to_vec();
    answer.extend((body.len() as u16).to_be_bytes());
    answer.extend(request.get(4..20)?);
    answer.extend(body);
    Some((by, answer))
}

fn put(body: &mut Vec<u8>, kind: u16, addr: SocketAddrV4, xored: bool) {
    let mut value = addr.port().to_be_bytes().to_vec();
    value.extend(addr.ip().octets());
    if xored {
        xor(&mut value);
    }
    body.extend(kind.to_be_bytes());
    body.extend(8_u16.to_be_bytes());
    body.extend([0, 1]);
    body.extend(value);
}

/// Port and address with the cookie, both ways.
fn xor(value: &mut [u8]) {
    let mask = [&COOKIE[..2], &COOKIE].concat();
    for (byte, mask) in value.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

/// The first attribute of this kind with a value of at least 4 bytes.
fn attribute(message: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = message.get(20..)?;
    loop {
        let head = rest.get(..4)?;
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let value = rest.get(4..4 + len)?;
        if head[..2] == wanted.to_be_bytes() && len >= 4 {
            return Some(value);
        }
        rest = rest.get(4 + len.next_multiple_of(4)..)?;
    }
}

/// The address by which `stun` sees `socket`; None: no answer.
pub async fn mapped(socket: &UdpSocket, stun: SocketAddrV4) -> Option<SocketAddrV4> {
    ask(socket, stun, 0).await
}

async fn ask(socket: &UdpSocket, stun: SocketAddrV4, change: u8) -> Option<SocketAddrV4> {
    let mut request = REQUEST.to_be_bytes().to_vec();
    request.extend(8_u16.to_be_bytes());
    request.extend(COOKIE);
    let id = format!("{:<11}{change}", stun.to_string().replace('.', "")).into_bytes();
    let id = &id[id.len() - 12..];
    request.extend(id);
    request.extend(CHANGE_REQUEST.to_be_bytes());
    request.extend([0, 4, 0, 0, 0, change]);
    let mut buffer = [0; 1500];
    for _ in 0..ASKED {
        socket.send_to(&request, stun).await.ok()?;
        let answered = async {
            loop {
                let n = socket.recv(&mut buffer).await.ok()?;
                if buffer[..n].get(8..20) == Some(id) {
                    return Some(n);
                }
            }
        };
        let Ok(Some(n)) = timeout(ANSWERED_WITHIN, answered).await else {
            continue;
        };
        let mut value = attribute(&buffer[..n], XOR_MAPPED_ADDRESS)?
            .get(2..8)?
            .to_vec();
        xor(&mut value);
        let ip = Ipv4Addr::new(value[2], value[3], value[4], value[5]);
        return Some(SocketAddrV4::new(
            ip,
            u16::from_be_bytes([value[0], value[1]]),
        ));
    }
    None
}

/// Which port outside a port inside has (RFC 4787, 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// Its own: there is no NAT.
    None,
    /// The same for all targets.
    EndpointIndependent,
    /// Others for other targets, each so far above the last one at most.
    Near,
    /// Others for other targets.
    Random,
}

/// Who is let in at a port outside (RFC 4787, 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Everybody.
    EndpointIndependent,
    /// Whose address was spoken to.
    Address,
    /// Whose address and port were spoken to.
    AddressAndPort,
}

/// What a host finds of the box that it is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// See [`Mapping`].
    pub mapping: Mapping,
    /// See [`Filter`].
    pub filter: Filter,
}

impl Probe {
    /// As RFC 5780, 4.3 and 4.4; None: the server does not answer.
    pub async fn of(host: &Host, stun: &StunServer) -> Option<Self> {
        let socket = host.udp_socket(0);
        let mut ports = Vec::new();
        let mut ip = host.ip;
        for server in stun.all {
            let seen = mapped(&socket, server).await?;
            ports.push(seen.port());
            ip = *seen.ip();
        }
        let apart: Vec<_> = ports
            .windows(2)
            .map(|w| i32::from(w[1]) - i32::from(w[0]))
            .collect();
        let mapping = if ip == host.ip {
            Mapping::None
        } else if apart.iter().all(|apart| *apart == 0) {
            Mapping::EndpointIndependent
        } else if apart.iter().all(|apart| (1..=5).contains(apart)) {
            Mapping::Near
        } else {
            Mapping::Random
        };
        // One that has spoken to nobody else.
        let socket = host.udp_socket(0);
        mapped(&socket, stun.addr).await?;
        let filter = if ask(&socket, stun.addr, CHANGE_IP | CHANGE_PORT)
            .await
            .is_some()
        {
            Filter::EndpointIndependent
        } else if ask(&socket, stun.addr, CHANGE_PORT).await.is_some() {
            Filter::Address
        } else {
            Filter::AddressAndPort
        };
        Some(Self { mapping, filter })
    }
}
