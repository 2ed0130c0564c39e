//! Users and services of udp tunnels.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::wait::{SOON, eventually_within, within};

/// How long an answer may take before it is asked for again: datagrams may be lost.
const AGAIN: Duration = Duration::from_secs(1);

/// A UDP service on 127.0.0.1, until it is dropped.
#[derive(Debug)]
pub struct UdpService {
    /// Its port.
    pub port: u16,
    /// What it got, and from whom.
    pub received: mpsc::UnboundedReceiver<(Vec<u8>, SocketAddr)>,
    task: JoinHandle<()>,
}

impl UdpService {
    /// Answers each datagram with what `answer` makes of it, if anything.
    pub async fn new(answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> Self {
        Self::at(0, answer).await
    }

    /// As [`UdpService::new`], on this port.
    pub async fn at(port: u16, answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let (sender, received) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let mut buf = vec![0; 65_535];
            loop {
                let Ok((n, from)) = socket.recv_from(&mut buf).await else {
                    continue;
                };
                let _ = sender.send((buf[..n].to_vec(), from));
                if let Some(answer) = answer(&buf[..n]) {
                    let _ = socket.send_to(&answer, from).await;
                }
            }
        });
        Self {
            port,
            received,
            task,
        }
    }

    /// Sends back what it gets.
    pub async fn echo() -> Self {
        Self::new(|datagram| Some(datagram.to_vec())).await
    }

    /// The next datagram.
    pub async fn next(&mut self) -> (Vec<u8>, SocketAddr) {
        within(SOON, "a datagram for the service", self.received.recv())
            .await
            .unwrap()
    }
}

impl Drop for UdpService {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A user of `port` of 127.0.0.1.
#[derive(Debug)]
pub struct UdpUser(pub UdpSocket);

impl UdpUser {
    /// With an address of its own.
    pub async fn of(port: u16) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        socket.connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        Self(socket)
    }

    /// Sends `datagram`; that nobody may listen yet does not matter.
    pub async fn send(&self, datagram: &[u8]) {
        let _ = self.0.send(datagram).await;
    }

    /// The next datagram that comes within `limit`.
    pub async fn recv_within(&self, limit: Duration) -> Option<Vec<u8>> {
        let mut buf = vec![0; 65_535];
        let received = timeout(limit, self.0.recv(&mut buf)).await.ok()?;
        received.ok().map(|n| buf[..n].to_vec())
    }

    /// Sends `datagram` until exactly it comes back.
    pub async fn echo(&self, datagram: &[u8]) {
        let what = format!("an echo of {} bytes", datagram.len());
        eventually_within(SOON, &what, async || {
            self.send(datagram).await;
            loop {
                match self.recv_within(AGAIN).await {
                    Some(back) if back == datagram => return true,
                    Some(_) => {} // An answer to an earlier one.
                    None => return false,
                }
            }
        })
        .await;
    }

    /// Has `count` numbered datagrams of `length` bytes echoed, a window of them at a time; those
    /// that get lost are sent again.
    pub async fn echo_sequence(&self, count: u32, length: usize) {
        const WINDOW: usize = 32;
        let datagram = |number: u32| {
            let mut datagram = number.to_be_bytes().to_vec();
            datagram.extend((4..length).map(|i| (i as u32 ^ number) as u8));
            datagram
        };
        let mut missing: HashSet<u32> = (0..count).collect();
        let mut sent = 0;
        while !missing.is_empty() {
            let window: Vec<u32> = missing.iter().copied().take(WINDOW).collect();
            for number in &window {
                self.send(&datagram(*number)).await;
                sent += 1;
            }
            let mut open = window.len();
            while open > 0
                && let Some(back) = self.recv_within(AGAIN).await
            {
                let number = u32::from_be_bytes(back[..4].try_into().unwrap());
                assert!(
                    back == datagram(number),
                    "datagram {number} came back changed"
                );
                open -= usize::from(missing.remove(&number));
            }
            assert!(sent < 10 * count, "nine of ten datagrams get lost");
        }
    }
}
