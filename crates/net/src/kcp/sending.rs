//! The outgoing half of [`super::arq`]: bytes, the segments that they were cut into, and which of
//! those are to be sent again.

use std::collections::VecDeque;
use std::time::Duration;

use super::params::{
    FAST_RESEND, FIRST_FLIGHT, FIRST_WINDOW, INTERVAL, MTU, RTO_FIRST, RTO_MAX, RTO_MIN,
};
use super::segment::{HEADER, Segment};
use crate::queue_limit::QueueLimit;

/// Data of a full segment.
pub(super) const MSS: usize = MTU - HEADER;

#[derive(Debug)]
pub(super) struct Sending {
    /// From the first byte on that the peer may not have.
    bytes: VecDeque<u8>,
    /// Where `bytes` begins in the stream.
    start: u64,
    /// Segments from the first on that the peer may not have, in order.
    sent: VecDeque<Sent>,
    /// The number of the next segment.
    next: u32,
    /// Bytes at the end of `bytes` that are in no segment yet.
    queued: usize,
    /// Of these, so many go out even if they fill no segment.
    flushed: usize,
    /// Empty segments that go out behind all bytes, and how many of them have: the end, and a second
    /// one that says that nobody reads here any more.
    ends: u8,
    ends_sent: u8,
    window: u16,
    peer_window: u16,
    /// Of these windows, as much as does not wait in a queue of the path.
    queue: QueueLimit,
    /// Bytes and number of segments in `sent` that the peer has, although it does not have all before.
    ahead: (usize, usize),
    /// Something had to wait since an acknowledgement came.
    held_up: bool,
    /// Bytes that the peer has said that it has since a round trip was measured.
    news: u64,
    rtt: Rtt,
    /// Numbers to be sent again.
    lost: VecDeque<u32>,
    /// No segment is due by time before.
    resend_at: Option<u64>,
    /// Some segment was overtaken by acknowledged ones.
    overtaken: bool,
    /// Each wait for an acknowledgement is twice the one before, rather than some half of it more, and
    /// only the first one is cut short.
    patient: bool,
}

#[derive(Debug)]
struct Sent {
    /// In the stream.
    at: u64,
    len: u16,
    time: u32,
    resend_at: u64,
    rto: u64,
    transmissions: u32,
    /// Later segments that were acknowledged since it was sent last.
    overtaken: u8,
    acked: bool,
    /// Among those to be sent again.
    lost: bool,
}

/// The round trip, as in RFC 6298.
#[derive(Debug)]
struct Rtt {
    smoothed: u64,
    variation: u64,
    rto: u64,
}

impl Sending {
    pub(super) fn new(window: u16) -> Self {
        Self {
            bytes: VecDeque::new(),
            start: 0,
            sent: VecDeque::new(),
            next: 0,
            queued: 0,
            flushed: 0,
            ends: 0,
            ends_sent: 0,
            window,
            peer_window: FIRST_WINDOW,
            queue: QueueLimit::by_what_is_carried((FIRST_FLIGHT * MSS) as u64),
            ahead: (0, 0),
            held_up: false,
            news: 0,
            rtt: Rtt {
                smoothed: 0,
                variation: 0,
                rto: RTO_FIRST,
            },
            lost: VecDeque::new(),
            resend_at: None,
            overtaken: false,
            patient: false,
        }
    }

    pub(super) fn set_patient(&mut self, patient: bool) {
        self.patient = patient;
    }

    /// Bytes that both ends have room for.
    fn whole_window(&self) -> usize {
        usize::from(self.window.min(self.peer_window).max(1)) * MSS
    }

    /// Bytes that may be under way.
    fn flight(&self) -> usize {
        let most = self.whole_window();
        usize::try_from(self.queue.of(most as u64)).unwrap_or(most)
    }

    /// No more is taken than may be in flight soon: the rest waits where it can be overtaken.
    fn room(&self) -> usize {
        let soon = self.flight() + (self.flight() / 8).max(2 * MSS);
        let missing = self.bytes.len() - self.ahead.0;
        let most = self.whole_window();
        most.saturating_sub(self.bytes.len())
            .min(soon.saturating_sub(missing))
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        if self.ends > 0 {
            return 0;
        }
        let n = bytes.len().min(self.room());
        self.bytes.extend(bytes.get(..n).unwrap_or_default());
        self.queued += n;
        n
    }

    /// Not for a few bytes: a writer that is woken should have something to do.
    pub(super) fn is_writable(&self) -> bool {
        self.room() >= (self.flight() / 4).min(16 * MSS)
    }

    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    pub(super) fn flush(&mut self) {
        self.flushed = self.queued;
    }

    pub(super) fn finish(&mut self) {
        self.ends = self.ends.max(1);
    }

    pub(super) fn cut(&mut self) {
        self.ends = 2;
    }

    pub(super) fn is_idle(&self) -> bool {
        self.sent.is_empty() && self.queued == 0 && self.ends_sent == self.ends
    }

    /// Whether it has grown.
    pub(super) fn set_peer_window(&mut self, window: u16) -> bool {
        let has_grown = window > self.peer_window;
        self.peer_window = window;
        has_grown
    }

    /// Whether nothing can be done before the peer says more: its window is closed, or it has taken
    /// all segments and not moved them to its reader yet.
    pub(super) fn is_stuck(&self) -> bool {
        !self.is_idle() && self.resend_at.is_none() && !self.has_due()
    }

    /// Whether the peer has said something newer than that it has all before `next`.
    pub(super) fn is_stale(&self, next: u32) -> bool {
        next.wrapping_sub(self.first()).cast_signed() < 0
    }

    fn first(&self) -> u32 {
        self.next.wrapping_sub(self.sent.len() as u32)
    }

    fn is_open(&self) -> bool {
        self.sent.len() < usize::from(self.window.min(self.peer_window))
            && self.under_way() + MSS <= self.flight().max(MSS)
    }

    /// Bytes that the peer may not have yet, those that have to be sent again left out.
    fn under_way(&self) -> usize {
        let missing = self.sent.len() - self.ahead.1;
        missing.saturating_sub(self.lost.len()) * MSS
    }

    /// Whether the segment before `next` was ever sent.
    pub(super) fn may_acknowledge(&self, next: u32) -> bool {
        next.wrapping_sub(self.next).cast_signed() <= 0
    }

    /// The peer has all segments before `next`. Whether that is news.
    pub(super) fn acknowledge_before(&mut self, next: u32) -> bool {
        let n = next.wrapping_sub(self.first()).cast_signed();
        let n = usize::try_from(n).unwrap_or(0).min(self.sent.len());
        let mut bytes = 0;
        for segment in self.sent.drain(..n) {
            let len = usize::from(segment.len);
            bytes += len;
            if segment.acked {
                self.ahead = (self.ahead.0 - len, self.ahead.1 - 1);
            } else {
                self.news += len as u64;
            }
        }
        self.bytes.drain(..bytes);
        self.start += bytes as u64;
        if n > 0 {
            self.progress();
        }
        n > 0
    }

    /// The peer has the segment with this number; `false`: it was never sent. Room comes only with
    /// [`acknowledge_before`](Self::acknowledge_before), which every segment of a peer leads to.
    pub(super) fn acknowledge(&mut self, number: u32) -> bool {
        let at = number.wrapping_sub(self.first()) as usize;
        if let Some(segment) = self.sent.get_mut(at)
            && !segment.acked
        {
            segment.acked = true;
            let len = usize::from(segment.len);
            self.ahead = (self.ahead.0 + len, self.ahead.1 + 1);
            self.news += len as u64;
        }
        self.may_acknowledge(number.wrapping_add(1))
    }

    fn progress(&mut self) {
        if self.sent.is_empty() {
            self.resend_at = None;
            self.overtaken = false;
            self.lost.clear();
        }
    }

    /// Segments before acknowledged ones, given as number and time of their sending, may be lost.
    pub(super) fn count_skipped(&mut self, highest: &[Option<(u32, u32)>; 2]) {
        let first = self.first();
        let before = |number: u32| number.wrapping_sub(first).cast_signed();
        let Some((number, _)) = highest[0] else {
            return;
        };
        let n = usize::try_from(before(number))
            .unwrap_or(0)
            .min(self.sent.len());
        for (k, segment) in self.sent.iter_mut().take(n).enumerate() {
            if segment.acked || segment.lost {
                continue;
            }
            for (number, time) in highest.iter().flatten() {
                let is_later = usize::try_from(before(*number)).is_ok_and(|at| at > k);
                if is_later && segment.time.wrapping_sub(*time).cast_signed() <= 0 {
                    segment.overtaken = segment.overtaken.saturating_add(1);
                    self.overtaken = true;
                }
            }
        }
    }

    /// From here to the peer and back, milliseconds, smoothed; `None` before there was a measure.
    pub(super) fn round_trip(&self) -> Option<u64> {
        self.rtt.measured()
    }

    /// A segment that was sent at `time` was acknowledged.
    pub(super) fn measure(&mut self, time: u32, now: u64) {
        let rtt = (now as u32).wrapping_sub(time).cast_signed();
        let Ok(rtt) = u64::try_from(rtt) else {
            return;
        };
        self.rtt.add(rtt.min(RTO_MAX));
        let sizes = (self.whole_window() as u64, MSS as u64);
        let is_full = std::mem::take(&mut self.held_up);
        let [now, sent] = [now, now.saturating_sub(rtt)].map(Duration::from_millis);
        let bytes = std::mem::take(&mut self.news);
        self.queue.acknowledged(now, sent, bytes, sizes, is_full);
    }

    pub(super) fn next_resend(&self) -> Option<u64> {
        self.resend_at
    }

    /// Marks what is lost, by time or because later segments have come.
    pub(super) fn find_lost(&mut self, now: u64) {
        if !self.overtaken && self.resend_at.is_none_or(|at| at > now) {
            return;
        }
        // Nothing new can overtake it any more: the first sign is the last.
        let is_last = !self.is_open() || self.cut_len() == 0;
        let first = self.first();
        let mut next_resend = u64::MAX;
        let mut overtaken = false;
        for (k, segment) in self.sent.iter_mut().enumerate() {
            if segment.acked || segment.lost {
                continue;
            }
            let is_overtaken =
                segment.overtaken >= FAST_RESEND || (segment.overtaken > 0 && is_last);
            if is_overtaken && (!self.patient || segment.transmissions < 2) {
                segment.rto = self.rtt.rto;
                segment.lost = true;
            } else if segment.resend_at <= now {
                let more = if self.patient {
                    segment.rto
                } else {
                    self.rtt.rto / 2
                };
                segment.rto = (segment.rto + more).min(RTO_MAX);
                segment.lost = true;
            } else {
                overtaken |= segment.overtaken > 0;
                next_resend = next_resend.min(segment.resend_at);
            }
            if segment.lost {
                self.lost.push_back(first.wrapping_add(k as u32));
            }
        }
        self.overtaken = overtaken;
        self.resend_at = (next_resend < u64::MAX).then_some(next_resend);
    }

    /// Whether [`put`](Self::put) has something.
    pub(super) fn has_due(&self) -> bool {
        !self.lost.is_empty() || (self.is_open() && (self.cut_len() > 0 || self.is_end_due()))
    }

    /// Bytes of the next new segment.
    fn cut_len(&self) -> usize {
        match self.queued {
            n if n >= MSS => MSS,
            // The rest goes with the first flush that has any of it.
            n if self.flushed > 0 || self.ends > 0 => n,
            _ => 0,
        }
    }

    fn is_end_due(&self) -> bool {
        self.ends_sent < self.ends && self.queued == 0
    }

    /// Appends segments up to `limit`, those first that are sent again. Whether there were any.
    pub(super) fn put(
        &mut self,
        header: Segment<'_>,
        now: u64,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        let mut any = false;
        while let Some(number) = self.lost.front().copied() {
            let at = number.wrapping_sub(self.first()) as usize;
            let len = match self.sent.get(at) {
                Some(segment) if !segment.acked => usize::from(segment.len),
                _ => {
                    self.lost.pop_front();
                    continue;
                }
            };
            if out.len() + HEADER + len > limit {
                return any;
            }
            self.lost.pop_front();
            self.put_one(at, header, now, out);
            any = true;
        }
        while self.is_open() && (self.cut_len() > 0 || self.is_end_due()) {
            let len = self.cut_len();
            if out.len() + HEADER + len > limit {
                return any;
            }
            if self.is_end_due() {
                self.ends_sent += 1;
            }
            self.sent.push_back(Sent {
                at: self.start + (self.bytes.len() - self.queued) as u64,
                len: len as u16,
                time: 0,
                resend_at: 0,
                rto: self.rtt.rto,
                transmissions: 0,
                overtaken: 0,
                acked: false,
                lost: false,
            });
            self.next = self.next.wrapping_add(1);
            self.queued -= len;
            self.flushed = self.flushed.saturating_sub(len);
            self.put_one(self.sent.len() - 1, header, now, out);
            any = true;
        }
        self.held_up |= self.queued > 0 && !self.is_open();
        any
    }

    fn put_one(&mut self, at: usize, mut header: Segment<'_>, now: u64, out: &mut Vec<u8>) {
        header.number = self.first().wrapping_add(at as u32);
        let Some(segment) = self.sent.get_mut(at) else {
            return;
        };
        segment.transmissions += 1;
        segment.time = now as u32;
        segment.resend_at = now + segment.rto;
        segment.overtaken = 0;
        segment.lost = false;
        let resend_at = self.resend_at.unwrap_or(u64::MAX);
        self.resend_at = Some(resend_at.min(segment.resend_at));

        let len = usize::from(segment.len);
        header.encode_header(len, out);
        let from = (segment.at - self.start) as usize;
        let (front, back) = self.bytes.as_slices();
        let in_front = front.get(from..).unwrap_or_default();
        let n = in_front.len().min(len);
        out.extend_from_slice(&in_front[..n]);
        let skip = from.saturating_sub(front.len());
        let in_back = back.get(skip..skip + len - n).unwrap_or_default();
        out.extend_from_slice(in_back);
    }

    pub(super) fn rest(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = VecDeque::new();
        }
        if self.sent.is_empty() {
            self.sent = VecDeque::new();
            self.lost = VecDeque::new();
        }
    }
}

impl Rtt {
    /// Milliseconds, smoothed; `None` before there was a measure.
    fn measured(&self) -> Option<u64> {
        (self.rto != RTO_FIRST || self.smoothed > 0).then_some(self.smoothed)
    }

    fn add(&mut self, rtt: u64) {
        if self.smoothed == 0 {
            self.smoothed = rtt;
            self.variation = rtt / 2;
        } else {
            let deviation = rtt.abs_diff(self.smoothed);
            let is_outlier = rtt + self.variation < self.smoothed;
            self.smoothed = (self.smoothed * 7 + rtt) / 8;
            // A sample below all that was expected says little about what is to come.
            let weight = if is_outlier { 32 } else { 4 };
            self.variation = (self.variation * (weight - 1) + deviation) / weight;
        }
        let rto = self.smoothed + INTERVAL.max(self.variation * 4);
        self.rto = rto.clamp(RTO_MIN, RTO_MAX);
    }
}
