//! Peers of kcp by hand. A client without error correction: what a program with the C library sends,
//! one segment at a time, which is slow and simple. And a server that has nothing to say.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const PUSH: u8 = 81;
const ACK: u8 = 82;
const ASK: u8 = 83;
const TELL: u8 = 84;

/// The client's end of one conversation.
#[derive(Debug)]
pub struct BareKcp {
    socket: UdpSocket,
    conv: u32,
    next: u32,
    expected: u32,
    received: Vec<u8>,
}

impl BareKcp {
    /// From a free port of 127.0.0.1 to `port` there.
    pub async fn open(port: u16, conv: u32) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        socket.connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        Self {
            socket,
            conv,
            next: 0,
            expected: 0,
            received: Vec::new(),
        }
    }

    /// Its own address.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// Sends `data` and waits until it is acknowledged.
    pub async fn send(&mut self, data: &[u8]) {
        for piece in data.chunks(1000) {
            let number = self.next;
            self.next += 1;
            let packet = segment(self.conv, PUSH, 0, number, self.expected, piece);
            let mut tries = 0..100;
            while tries.next().is_some() {
                self.socket.send(&packet).await.unwrap();
                if self.take_until(|acked, _| acked > number).await {
                    break;
                }
            }
            assert!(!tries.is_empty(), "not acknowledged");
        }
    }

    /// Sends a datagram as it is.
    pub async fn send_raw(&self, datagram: &[u8]) {
        self.socket.send(datagram).await.unwrap();
    }

    /// Waits until `len` bytes have come, and takes them.
    pub async fn receive(&mut self, len: usize) -> Vec<u8> {
        for _ in 0..300 {
            if self.received.len() >= len {
                return self.received.drain(..len).collect();
            }
            self.take_until(|_, received| received >= len).await;
        }
        panic!("{} bytes of {len} came", self.received.len());
    }

    /// Takes what comes until `enough` of what was acknowledged and of what was received, or for
    /// 100 ms.
    async fn take_until(&mut self, enough: impl Fn(u32, usize) -> bool) -> bool {
        let mut datagram = [0; 2048];
        let limit = Duration::from_millis(100);
        while let Ok(Ok(n)) = timeout(limit, self.socket.recv(&mut datagram)).await {
            let acked = self.take(&datagram[..n]).await;
            if enough(acked, self.received.len()) {
                return true;
            }
        }
        false
    }

    /// What the peer has of ours.
    async fn take(&mut self, mut packet: &[u8]) -> u32 {
        let mut acked = 0;
        while packet.len() >= 24 {
            let word = |at: usize| u32::from_le_bytes(packet[at..at + 4].try_into().unwrap());
            assert_ne!(packet[4], 0xf1, "an answer with error correction");
            if word(0) != self.conv {
                break;
            }
            let (command, time, number, next) = (packet[4], word(8), word(12), word(16));
            let len = word(20) as usize;
            let data = &packet[24..24 + len];
            acked = acked.max(next);
            match command {
                PUSH => {
                    if number == self.expected {
                        self.expected += 1;
                        self.received.extend_from_slice(data);
                    }
                    let answer = segment(self.conv, ACK, time, number, self.expected, &[]);
                    self.socket.send(&answer).await.unwrap();
                }
                ASK => {
                    let answer = segment(self.conv, TELL, 0, 0, self.expected, &[]);
                    self.socket.send(&answer).await.unwrap();
                }
                ACK | TELL => {}
                other => panic!("command {other}"),
            }
            packet = &packet[24 + len..];
        }
        acked
    }
}

/// A server at a free port of 127.0.0.1 that acknowledges whatever comes, with error correction, and
/// says nothing.
#[derive(Debug)]
pub struct MuteKcp {
    /// Its UDP port.
    pub port: u16,
    server: JoinHandle<()>,
}

impl MuteKcp {
    /// Starts it.
    pub async fn open() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let mut datagram = [0; 2048];
            // Every 11th to 13th number belongs to a parity packet.
            for count in (0u32..).filter(|count| count % 13 < 10) {
                let (n, peer) = socket.recv_from(&mut datagram).await.unwrap();
                let Some(acknowledged) = acknowledge(&datagram[..n]) else {
                    continue;
                };
                // The number of the packet, that it is data, and its length from here on.
                let mut packet = count.to_le_bytes().to_vec();
                packet.extend([0xf1, 0]);
                packet.extend(u16::try_from(acknowledged.len() + 2).unwrap().to_le_bytes());
                packet.extend(acknowledged);
                socket.send_to(&packet, peer).await.unwrap();
            }
        });
        Self { port, server }
    }
}

impl Drop for MuteKcp {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Acknowledgements of the data in a packet with error correction, if it has some.
fn acknowledge(datagram: &[u8]) -> Option<Vec<u8>> {
    let is_data = datagram.get(4..6)? == [0xf1, 0];
    let mut rest = datagram.get(8..).filter(|_| is_data)?;
    let mut acknowledged = Vec::new();
    while rest.len() >= 24 {
        let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        let (conv, time, number, len) = (word(0), word(8), word(12), word(20) as usize);
        if rest[4] == PUSH {
            acknowledged.extend(segment(conv, ACK, time, number, 0, &[]));
        }
        rest = rest.get(24 + len..)?;
    }
    (!acknowledged.is_empty()).then_some(acknowledged)
}

/// A packet of one segment.
#[must_use]
pub fn segment(conv: u32, command: u8, time: u32, number: u32, next: u32, data: &[u8]) -> Vec<u8> {
    let mut packet = conv.to_le_bytes().to_vec();
    packet.extend([command, 0]);
    packet.extend(1024u16.to_le_bytes());
    packet.extend(time.to_le_bytes());
    packet.extend(number.to_le_bytes());
    packet.extend(next.to_le_bytes());
    packet.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    packet.extend(data);
    packet
}

/// The first packet of a conversation, which brings `data`.
#[must_use]
pub fn first_packet(conv: u32, data: &[u8]) -> Vec<u8> {
    segment(conv, PUSH, 0, 0, 0, data)
}
