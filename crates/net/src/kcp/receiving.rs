//! The incoming half of [`super::arq`]: segments in any order become bytes in order.

use std::collections::VecDeque;

use super::params::DATAGRAM_MAX;
use super::segment::HEADER;
use super::sending::MSS;
use crate::limits::{KCP_FIRST_WINDOW, UNSENT_TO_ENDS};

/// The most that one segment can have.
const SEGMENT_MAX: usize = DATAGRAM_MAX - HEADER;

#[derive(Debug)]
pub(super) struct Receiving {
    /// In order, not read yet.
    ready: VecDeque<u8>,
    /// The number of the segment that comes next in order.
    next: u32,
    /// Segments from the next one on that came too early.
    early: VecDeque<Option<Box<[u8]>>>,
    /// How many there are in `early`.
    held: usize,
    ended: bool,
    /// The peer reads no more.
    cut: bool,
    /// Nobody reads any more: segments are acknowledged and not kept.
    unwanted: bool,
    window: u16,
    /// What that grows to, for a reader that keeps up.
    most: u16,
    /// Bytes read since it grew.
    taken: usize,
    /// What the peer was told last.
    told: u16,
}

impl Receiving {
    pub(super) fn new(most: u16) -> Self {
        let window = most.min(KCP_FIRST_WINDOW);
        Self {
            ready: VecDeque::new(),
            next: 0,
            early: VecDeque::new(),
            held: 0,
            ended: false,
            cut: false,
            unwanted: false,
            window,
            most,
            taken: 0,
            told: window,
        }
    }

    /// Changes what the window may grow to. Whether the peer should be told.
    pub(super) fn set_most(&mut self, most: u16) -> bool {
        let before = self.window;
        self.most = most;
        self.window = most.min(KCP_FIRST_WINDOW);
        self.window > before
    }

    pub(super) fn next(&self) -> u32 {
        self.next
    }

    pub(super) fn is_before_next(&self, number: u32) -> bool {
        number.wrapping_sub(self.next).cast_signed() < 0
    }

    /// Whether later segments have come than the next one.
    pub(super) fn has_gap(&self) -> bool {
        self.held > 0
    }

    /// Keeps nothing from now on.
    pub(super) fn discard(&mut self) {
        self.unwanted = true;
        self.ready = VecDeque::new();
        for data in self.early.iter_mut().flatten() {
            *data = Box::default();
        }
    }

    /// How many segments there is room for.
    pub(super) fn free(&self) -> u16 {
        if self.unwanted {
            return 0;
        }
        let taken = self.ready.len().div_ceil(MSS);
        self.window
            .saturating_sub(u16::try_from(taken).unwrap_or(u16::MAX))
    }

    /// The peer was told that there is room for so many.
    pub(super) fn told(&mut self, window: u16) {
        self.told = window;
    }

    /// Whether so much was read that the peer should hear of it, having been told of little room.
    pub(super) fn has_reopened(&self) -> bool {
        self.told <= self.window / 4 && self.free() >= self.window / 2
    }

    /// `None`: beyond the window, not to be acknowledged. Otherwise whether there is more to read.
    pub(super) fn push(&mut self, number: u32, data: &[u8]) -> Option<bool> {
        let ahead = number.wrapping_sub(self.next).cast_signed();
        if ahead >= i32::from(self.window) {
            return None;
        }
        let Ok(ahead) = usize::try_from(ahead) else {
            return Some(false);
        };
        if ahead == 0 && self.has_room() {
            self.take(data);
            self.early.pop_front();
            self.next = self.next.wrapping_add(1);
            self.take_early();
            return Some(true);
        }
        if self.early.len() <= ahead {
            self.early.resize_with(ahead + 1, || None);
        }
        if let Some(place) = self.early.get_mut(ahead)
            && place.is_none()
        {
            *place = Some(if self.unwanted {
                Box::default()
            } else {
                data.into()
            });
            self.held += 1;
        }
        Some(false)
    }

    /// Fewer bytes than full segments would have are always taken.
    fn has_room(&self) -> bool {
        self.ready.len() < usize::from(self.window) * MSS.max(SEGMENT_MAX)
    }

    fn take(&mut self, data: &[u8]) {
        if self.ended {
            // Nothing follows an end but the word that the peer reads no more.
            self.cut |= data.is_empty();
            return;
        }
        if self.unwanted {
            return;
        }
        self.ended = data.is_empty();
        self.make_room(data.len());
        self.ready.extend(data);
    }

    /// As the queue would by itself, but not beyond the window.
    fn make_room(&mut self, more: usize) {
        let needed = self.ready.len() + more;
        let has = self.ready.capacity();
        if needed > has {
            let most = usize::from(self.window) * MSS;
            let wanted = has.saturating_mul(2).min(most).max(needed);
            self.ready.reserve_exact(wanted - self.ready.len());
        }
    }

    fn take_early(&mut self) {
        while self.has_room()
            && let Some(first) = self.early.front_mut()
            && let Some(data) = first.take()
        {
            self.early.pop_front();
            self.held -= 1;
            self.next = self.next.wrapping_add(1);
            self.take(&data);
        }
    }

    /// A reader that has emptied the queue, and has read twice the window since that grew last, may be
    /// kept waiting by it: it doubles. Whether the peer should be told; as for streams of the mux, and
    /// likewise what the system takes at first is not enough.
    pub(super) fn grow(&mut self, read: usize) -> bool {
        self.taken = self.taken.saturating_add(read);
        let window = usize::from(self.window) * MSS;
        let enough = self.taken / 2 >= window.max(UNSENT_TO_ENDS as usize);
        let grows = enough && self.ready.is_empty() && self.window < self.most;
        if grows {
            self.window = self.window.saturating_mul(2).min(self.most);
            self.taken = 0;
        }
        grows
    }

    pub(super) fn read(&mut self, buf: &mut [u8]) -> usize {
        let (front, back) = self.ready.as_slices();
        let n = front.len().min(buf.len());
        buf[..n].copy_from_slice(&front[..n]);
        let more = back.len().min(buf.len() - n);
        buf[n..n + more].copy_from_slice(&back[..more]);
        self.ready.drain(..n + more);
        self.take_early();
        n + more
    }

    pub(super) fn is_readable(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether the end came, read or not.
    pub(super) fn has_end(&self) -> bool {
        self.ended
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended && self.ready.is_empty()
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.ready.is_empty() && self.held == 0
    }

    pub(super) fn rest(&mut self) {
        if self.is_quiet() {
            self.ready = VecDeque::new();
            self.early = VecDeque::new();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_takes_no_more_memory_than_its_window() {
        let mut receiving = Receiving::new(1024);
        let full = [0; MSS];
        let mut number = 0;
        while receiving.free() > 0 {
            assert_eq!(receiving.push(number, &full), Some(true));
            number += 1;
        }
        assert_eq!(number, u32::from(KCP_FIRST_WINDOW));
        assert_eq!(receiving.ready.capacity(), number as usize * MSS);
    }

    #[test]
    fn the_window_grows_for_a_reader_that_takes_more_than_the_system_does_for_it() {
        let mut receiving = Receiving::new(1024);
        let system = UNSENT_TO_ENDS as usize + 200_000;
        assert!(!receiving.grow(system));
        assert!(receiving.grow(2 * UNSENT_TO_ENDS as usize - system));
        assert_eq!(receiving.free(), 2 * KCP_FIRST_WINDOW);
        let twice = 4 * usize::from(KCP_FIRST_WINDOW) * MSS;
        assert!(!receiving.grow(twice - 1));
        assert!(receiving.grow(1));
    }
}
