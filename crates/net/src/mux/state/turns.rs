//! Which stream sends next.
//!
//! Those with bulk to send take turns of one share each. Once each of them has had its turn, a round is over. In a
//! round any stream may send one share before all bulk: so who sends less than bulk gets, never waits for
//! it, and each stream gets as many bytes as any other that has them (as flows do by deficit round robin, and
//! new ones by FQ-CoDel, RFC 8290, section 4.2). However many send little, bulk gets a quarter.

use std::collections::VecDeque;

use super::SHARES_AHEAD;
use crate::mux::frame::HEADER_LEN;

/// What is known of one stream.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Waits for its turn.
    waits: bool,
    /// Bytes that it has sent in this round.
    sent: u32,
    round: u32,
}

/// The streams that have data to send, in order.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Those that have had less than a share in this round.
    sparse: VecDeque<u32>,
    bulk: VecDeque<u32>,
    round: u32,
    /// Of `bulk`, those that have not had their turn in this round.
    left: usize,
    /// Bytes that sparse ones have sent, less three for each byte of bulk.
    ahead: usize,
    /// It is the turn of one of the bulk.
    is_bulk: bool,
}

impl Turns {
    pub(super) fn is_empty(&self) -> bool {
        self.sparse.is_empty() && self.bulk.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.sparse.clear();
        self.bulk.clear();
        self.left = 0;
    }

    /// Stream `id` has data to send.
    pub(super) fn enter(&mut self, id: u32, turn: &mut Turn, share: usize) {
        if turn.waits {
            return;
        }
        turn.waits = true;
        if turn.round != self.round {
            turn.round = self.round;
            turn.sent = 0;
        }
        match (turn.sent as usize) < share {
            true => self.sparse.push_back(id),
            false => self.bulk.push_back(id),
        }
    }

    /// The stream whose turn it is; one that is gone may be among them. It is to [enter](Self::enter) again if
    /// it has more.
    pub(super) fn next(&mut self, share: usize) -> Option<u32> {
        // What sparse ones have sent while there was no bulk counts for one turn of it.
        self.ahead = self.ahead.min(SHARES_AHEAD * share);
        if (self.ahead < SHARES_AHEAD * share || self.bulk.is_empty())
            && let Some(id) = self.sparse.pop_front()
        {
            self.is_bulk = false;
            return Some(id);
        }
        self.is_bulk = true;
        let id = self.bulk.pop_front()?;
        if self.left == 0 {
            self.left = self.bulk.len() + 1;
            self.round = self.round.wrapping_add(1);
        }
        self.left -= 1;
        Some(id)
    }

    /// Bytes that the stream whose turn it is may send.
    pub(super) fn room(&self, turn: &Turn, share: usize) -> usize {
        let sent = turn.sent as usize;
        match turn.round == self.round && sent < share {
            true => share - sent,
            false => share,
        }
    }

    /// That stream sends `bytes`.
    pub(super) fn sent(&mut self, turn: &mut Turn, bytes: usize) {
        turn.waits = false;
        if turn.round != self.round {
            turn.round = self.round;
            turn.sent = 0;
        }
        turn.sent = turn.sent.saturating_add(bytes as u32);
        self.ahead = match self.is_bulk {
            true => self.ahead.saturating_sub((SHARES_AHEAD - 1) * bytes),
            false => self.ahead.saturating_add(bytes + HEADER_LEN),
        };
    }
}
