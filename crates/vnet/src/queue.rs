//! What waits for a peer: frames, as many bytes of them as [`PEER_QUEUE`]. Whoever puts some there never waits.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::framing::{self, HEADER};
use crate::limits::{IDLE_QUEUE, PEER_QUEUE};

/// Frames that wait for one peer.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    came: Notify,
}

/// While it is locked.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    frames: Vec<u8>,
    dropped: u64,
}

impl Queue {
    /// Lets `put` add packets.
    pub(crate) fn add(&self, put: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.lock();
        let was_empty = waiting.frames.is_empty();
        put(&mut waiting);
        let has_come = was_empty && !waiting.frames.is_empty();
        drop(waiting);
        if has_come {
            self.came.notify_one();
        }
    }

    /// Waits until there are frames, and puts all of them into `frames`, which is emptied first.
    pub(crate) async fn take(&self, frames: &mut Vec<u8>) {
        frames.clear();
        loop {
            {
                let mut waiting = self.lock();
                if !waiting.frames.is_empty() {
                    std::mem::swap(frames, &mut waiting.frames);
                    return;
                }
                waiting.frames.shrink_to(IDLE_QUEUE);
            }
            frames.shrink_to(IDLE_QUEUE);
            self.came.notified().await;
        }
    }

    /// Drops what waits.
    pub(crate) fn clear(&self) {
        self.lock().frames = Vec::new();
    }

    /// How many packets found no room since this was last asked.
    pub(crate) fn take_dropped(&self) -> u64 {
        std::mem::take(&mut self.lock().dropped)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Adds a packet, as its headers and what follows, if there is room.
    pub(crate) fn put(&mut self, head: &[u8], rest: &[u8]) {
        let length = head.len() + rest.len();
        if self.frames.len() + HEADER + length > PEER_QUEUE {
            self.dropped += 1;
            return;
        }
        self.frames.extend_from_slice(&framing::header(length));
        self.frames.extend_from_slice(head);
        self.frames.extend_from_slice(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_finds_no_room_is_counted_and_what_waits_stays_whole() {
        let queue = Queue::default();
        queue.add(|waiting| {
            for _ in 0..1000 {
                waiting.put(&[1; 20], &[2; 1400]);
            }
        });
        let mut frames = Vec::new();
        queue.take(&mut frames).await;
        assert_eq!(frames.len(), PEER_QUEUE / 1424 * 1424);
        assert_eq!(frames.get(..6), Some(&[0x8c, 5, 0, 0, 1, 1][..]));
        assert_eq!(queue.take_dropped(), 1000 - (PEER_QUEUE / 1424) as u64);
        assert_eq!(queue.take_dropped(), 0);
    }
}
