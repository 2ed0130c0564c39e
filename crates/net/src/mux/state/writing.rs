//! What the writer of a stream may do, and what it learns of the peer.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::{SendError, State, store};
use crate::cut::Cut;

impl State {
    /// How many bytes [`State::send`] takes; at least 1 when ready.
    pub(in crate::mux) fn poll_room(
        &mut self,
        id: u32,
        cx: &Context<'_>,
    ) -> Poll<Result<usize, SendError>> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Poll::Ready(Err(SendError::Reset));
        };
        if stream.reset {
            return Poll::Ready(Err(match stream.remote_fin {
                true => SendError::Unread,
                false => SendError::Reset,
            }));
        }
        if stream.fin_due || stream.fin_sent {
            return Poll::Ready(Err(SendError::Finished));
        }
        match stream.room(self.queued) {
            0 => {
                store(&mut stream.writer, cx);
                Poll::Pending
            }
            room => Poll::Ready(Ok(room)),
        }
    }

    /// How the peer has cut the stream off. Whoever asks is the one who writes, and hears of more.
    pub(in crate::mux) fn poll_cut(&mut self, id: u32, cx: &Context<'_>) -> Poll<Cut> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Poll::Ready(Cut::Reset);
        };
        if stream.reset {
            return Poll::Ready(match stream.remote_fin {
                true => Cut::ReadsNoMore,
                false => Cut::Reset,
            });
        }
        store(&mut stream.writer, cx);
        match stream.remote_fin {
            true => Poll::Ready(Cut::Ended),
            false => Poll::Pending,
        }
    }

    /// Queues data, at most as much as [`State::poll_room`] allowed (other streams may have filled
    /// the session since: that is a matter of economy, the window is this stream's own).
    pub(in crate::mux) fn send(&mut self, id: u32, data: Bytes) {
        let Some(stream) = self.streams.get_mut(&id).filter(|s| !s.reset) else {
            return;
        };
        debug_assert!(data.len() <= stream.send_window as usize);
        if data.is_empty() {
            return;
        }
        stream.has_sent = true;
        stream.send_window -= data.len() as u32;
        stream.queued += data.len();
        self.queued += data.len();
        stream.outbox.push_back(data);
        self.turns.enter(id, &mut stream.turn, self.share);
    }
}
