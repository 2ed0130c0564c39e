//! Kcp clients that have to show where they are before they get a session.
//!
//! What they are asked to send back tells us that it was them whom we asked: nothing has to be remembered
//! of anybody. Their first packets are kept meanwhile where there is room, so that they need not repeat
//! them.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;

use tokio::time::Instant;

use crate::crowd::Crowd;
use crate::limits::{KCP_ASKED, MAX_KCP_WAITING, MAX_KCP_WAITING_BYTES, MAX_KCP_WAITING_PACKETS};

/// See the module.
#[derive(Debug)]
pub(super) struct Newcomers {
    /// Its keys are random and known to nobody (SipHash).
    secret: RandomState,
    began: Instant,
    waiting: Crowd<Waiting>,
    numbers: HashMap<(SocketAddr, u32), u64>,
    /// Of all packets.
    bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    from: SocketAddr,
    conv: u32,
    packets: Vec<Box<[u8]>>,
}

impl Waiting {
    fn bytes(&self) -> usize {
        self.packets.iter().map(|packet| packet.len()).sum()
    }
}

impl Default for Newcomers {
    fn default() -> Self {
        Self {
            secret: RandomState::new(),
            began: Instant::now(),
            waiting: Crowd::default(),
            numbers: HashMap::new(),
            bytes: 0,
        }
    }
}

impl Newcomers {
    /// Keeps a first packet. What `from` is to be asked to send back.
    pub(super) fn keep(&mut self, from: SocketAddr, conv: u32, datagram: &[u8]) -> u32 {
        let number = match self.numbers.get(&(from, conv)) {
            Some(number) => *number,
            None => {
                let new = Waiting {
                    from,
                    conv,
                    packets: Vec::new(),
                };
                let number = self.waiting.insert(from.ip().to_canonical(), new);
                self.numbers.insert((from, conv), number);
                number
            }
        };
        if let Some(waiting) = self.waiting.get_mut(number)
            && waiting.packets.len() < MAX_KCP_WAITING_PACKETS
        {
            waiting.packets.push(datagram.into());
            self.bytes += datagram.len();
        }
        while self.waiting.len() > MAX_KCP_WAITING || self.bytes > MAX_KCP_WAITING_BYTES {
            let Some(gone) = self.waiting.make_room() else {
                break;
            };
            self.forget(&gone);
        }
        self.time(from, conv, self.turn())
    }

    /// Whether `from` was asked to send that back, and not long ago.
    pub(super) fn knows(&self, from: SocketAddr, conv: u32, sent_back: u32) -> bool {
        let turn = self.turn();
        let recent = [turn, turn.wrapping_sub(1)];
        recent
            .iter()
            .any(|turn| self.time(from, conv, *turn) == sent_back)
    }

    /// The packets that were kept of it.
    pub(super) fn take(&mut self, from: SocketAddr, conv: u32) -> Vec<Box<[u8]>> {
        let number = self.numbers.get(&(from, conv)).copied();
        let Some(waiting) = number.and_then(|number| self.waiting.remove(number)) else {
            return Vec::new();
        };
        self.forget(&waiting);
        waiting.packets
    }

    fn forget(&mut self, gone: &Waiting) {
        self.numbers.remove(&(gone.from, gone.conv));
        self.bytes -= gone.bytes();
    }

    fn turn(&self) -> u64 {
        self.began.elapsed().as_secs() / KCP_ASKED.as_secs()
    }

    fn time(&self, from: SocketAddr, conv: u32, turn: u64) -> u32 {
        self.secret.hash_one((from, conv, turn)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn at(net: u8, port: u16) -> SocketAddr {
        (Ipv4Addr::new(192, 0, net, 1), port).into()
    }

    #[tokio::test(start_paused = true)]
    async fn only_who_was_asked_can_answer_and_only_for_a_while() {
        let mut newcomers = Newcomers::default();
        let asked = newcomers.keep(at(2, 1), 7, b"first");
        assert!(newcomers.knows(at(2, 1), 7, asked));
        assert!(!newcomers.knows(at(2, 2), 7, asked));
        assert!(!newcomers.knows(at(2, 1), 8, asked));
        assert!(!newcomers.knows(at(2, 1), 7, asked.wrapping_add(1)));
        tokio::time::advance(KCP_ASKED).await;
        assert!(newcomers.knows(at(2, 1), 7, asked));
        tokio::time::advance(KCP_ASKED).await;
        assert!(!newcomers.knows(at(2, 1), 7, asked));
    }

    #[tokio::test]
    async fn a_crowd_pushes_nobody_elses_packets_out() {
        let mut newcomers = Newcomers::default();
        newcomers.keep(at(2, 1), 7, b"first");
        newcomers.keep(at(2, 1), 7, b"second");
        for n in 0..10_000 {
            newcomers.keep(at(3, n), 1, &[0; 1400]);
            assert!(newcomers.bytes <= MAX_KCP_WAITING_BYTES);
            assert!(newcomers.numbers.len() <= MAX_KCP_WAITING);
        }
        let kept = newcomers.take(at(2, 1), 7);
        assert!(
            kept.iter()
                .map(|packet| &**packet)
                .eq([&b"first"[..], b"second"])
        );
        assert!(newcomers.take(at(2, 1), 7).is_empty());
        while let Some(gone) = newcomers.waiting.make_room() {
            newcomers.forget(&gone);
        }
        assert!(newcomers.numbers.is_empty() && newcomers.bytes == 0);
    }
}
