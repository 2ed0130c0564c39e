//! What a session knows of one stream.

use std::{collections::VecDeque, task::Waker};

use bytes::Bytes;

use super::{
    super::inbox::Inbox, CROWDED, INITIAL_WINDOW, SEND_QUEUE, SEND_QUEUE_CHUNKS,
    SEND_QUEUE_CROWDED, turns::Turn,
};

#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) inbox: Inbox,
    pub(super) outbox: VecDeque<Bytes>,
    pub(super) queued: usize,
    pub(super) recv_window: u32,
    /// How far the peer may be ahead of the reader, bytes.
    pub(super) window: u32,
    /// Bytes read since that grew.
    pub(super) taken: u32,
    pub(super) send_window: u32,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,

    /// SYN or ACK, due with the first window update.
    pub(super) hello: u16,
    pub(super) unacked: bool,
    pub(super) unaccepted: bool,
    pub(super) update_due: bool,
    pub(super) fin_due: bool,
    pub(super) fin_sent: bool,
    /// To be reset by us behind all of the above.
    pub(super) reset_due: bool,
    pub(super) remote_fin: bool,
    /// Reset by the peer.
    pub(super) reset: bool,
    /// No handle is left.
    pub(super) dropped: bool,
    /// Some data was queued at some time.
    pub(super) has_sent: bool,
    pub(super) in_control: bool,
    pub(super) turn: Turn,
}

impl Stream {
    pub(super) fn new() -> Self {
        Self {
            recv_window: INITIAL_WINDOW,
            window: INITIAL_WINDOW,
            send_window: INITIAL_WINDOW,
            ..Self::default()
        }
    }

    /// The wire knows the stream no more.
    pub(super) fn is_over(&self) -> bool {
        self.reset || self.fin_sent && self.remote_fin
    }

    /// Nobody reads or writes any more; what is queued still goes out.
    pub(super) fn drop_handle(&mut self) {
        self.dropped = true;
        self.inbox = Inbox::default();
        self.reader = None;
        self.writer = None;
    }

    /// Bytes that may be queued, when `all` are queued by all streams.
    pub(super) fn room(&self, all: usize) -> usize {
        if self.outbox.len() >= SEND_QUEUE_CHUNKS {
            return 0;
        }
        let limit = if all < CROWDED {
            SEND_QUEUE
        } else {
            SEND_QUEUE_CROWDED
        };
        limit
            .saturating_sub(self.queued)
            .min(self.send_window as usize)
    }

    /// Counts what was read and has been used: all but `kept` bytes. A reader that has emptied the queue,
    /// and has used twice the window since that grew last, may be kept waiting by it: it doubles, up to
    /// `most`. One that stops reading has so much unread at its end as it showed that it needs; what the
    /// system takes for it at first ([`UNSENT_TO_ENDS`](crate::limits::UNSENT_TO_ENDS)) is not enough to
    /// show that.
    pub(super) fn settle(&mut self, kept: usize, most: u32) {
        let (used, emptied) = self.inbox.settle(kept);
        self.taken = self.taken.saturating_add(used as u32);
        if emptied && self.window < most && self.taken / 2 >= self.window {
            self.window = self.window.saturating_mul(2).min(most);
            self.taken = 0;
        }
    }

    /// What the peer may send beyond what it knows, where it may be `most` bytes ahead.
    pub(super) fn unannounced(&self, most: u32) -> u32 {
        let free = self
            .window
            .min(most)
            .saturating_sub(self.inbox.unused() as u32);
        free.saturating_sub(self.recv_window)
    }
}
