//! What a session has to send, in which order.

use std::time::Duration;

use super::{
    super::{
        batch::Batch,
        frame::{ACK, FIN, Header, Kind, RST, SYN},
    },
    MAX_SHARE, MIN_SHARE, NORMAL, PING_TIMEOUT, Ping, SEND_QUEUE, State,
};

/// As [`NORMAL`].
const PROTOCOL_ERROR: u32 = 1;

impl State {
    /// The peer is to open no more streams.
    pub(in crate::mux) fn go_away(&mut self) {
        self.go_away = Some(NORMAL);
    }

    /// The last frame of a session that the peer has broken.
    pub(in crate::mux) fn tell_protocol_error(&mut self) {
        self.go_away = Some(PROTOCOL_ERROR);
        self.control.clear();
        self.turns.clear();
        self.pongs.clear();
        self.resets.clear();
    }

    /// Whether the driver has something to do.
    pub(in crate::mux) fn has_work(&self) -> bool {
        !self.control.is_empty()
            || !self.turns.is_empty()
            || !self.pongs.is_empty()
            || !self.resets.is_empty()
            || self.go_away.is_some()
            || matches!(self.ping, Ping::Queued)
            || self.new_deadline
            || self.is_abandoned()
    }

    /// Moves frames into an empty batch until it is full or nothing is left: control frames first
    /// (each after the data of its stream that it must follow), then data in [turns](super::turns).
    pub(in crate::mux) fn fill(&mut self, batch: &mut Batch, now: Duration) {
        if let Some(code) = self.go_away.take() {
            batch.header(Header {
                kind: Kind::GoAway,
                flags: 0,
                stream: 0,
                length: code,
            });
        }
        if matches!(self.ping, Ping::Queued) {
            // The limit runs from here, as the peer cannot answer what waits behind a full socket;
            // a socket that stays full has a limit of its own.
            let id = self.ping_id;
            self.ping_id = id.wrapping_add(1);
            self.ping = Ping::Waiting {
                id,
                sent: now,
                until: now + PING_TIMEOUT,
            };
            batch.header(Header {
                kind: Kind::Ping,
                flags: SYN,
                stream: 0,
                length: id,
            });
        }
        for id in self.pongs.drain(..) {
            batch.header(Header {
                kind: Kind::Ping,
                flags: ACK,
                stream: 0,
                length: id,
            });
        }
        self.refusals = 0;
        for stream in self.resets.drain(..) {
            batch.header(Header {
                kind: Kind::WindowUpdate,
                flags: RST,
                stream,
                length: 0,
            });
        }
        while !batch.is_full()
            && let Some(id) = self.control.pop_front()
        {
            self.fill_control(id, batch);
        }
        self.share = (batch.most() / 4).clamp(MIN_SHARE, MAX_SHARE);
        while !batch.is_full()
            && let Some(id) = self.turns.next(self.share)
        {
            self.fill_data(id, batch);
        }
    }

    fn fill_control(&mut self, id: u32, batch: &mut Batch) {
        let most = self.most();
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.in_control = false;
        if stream.is_over() {
            return;
        }
        let flags = std::mem::take(&mut stream.hello);
        let update =
            std::mem::take(&mut stream.update_due) && !stream.remote_fin && !stream.dropped;
        if flags != 0 || update {
            let delta = stream.unannounced(most);
            stream.recv_window += delta;
            batch.header(Header {
                kind: Kind::WindowUpdate,
                flags,
                stream: id,
                length: delta,
            });
        }
        if stream.outbox.is_empty() {
            self.fill_end(id, batch);
        }
    }

    fn fill_data(&mut self, id: u32, batch: &mut Batch) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let turn = &mut stream.turn;
        let mut left = stream.queued.min(self.turns.room(turn, self.share));
        self.turns.sent(turn, left);
        if left == 0 {
            return;
        }
        stream.queued -= left;
        self.queued -= left;
        batch.header(Header {
            kind: Kind::Data,
            flags: 0,
            stream: id,
            length: left as u32,
        });
        while left > 0
            && let Some(chunk) = stream.outbox.front_mut()
        {
            if chunk.len() > left {
                batch.payload(chunk.split_to(left));
                break;
            }
            left -= chunk.len();
            let chunk = std::mem::take(chunk);
            stream.outbox.pop_front();
            batch.payload(chunk);
        }
        if stream.queued <= SEND_QUEUE / 2 && stream.room(self.queued) > 0 {
            self.wakes.extend(stream.writer.take());
        }
        if stream.queued > 0 {
            self.turns.enter(id, &mut stream.turn, self.share);
        } else {
            self.fill_end(id, batch);
        }
    }

    /// What follows the last of a stream's data: its end, a reset, or both.
    fn fill_end(&mut self, id: u32, batch: &mut Batch) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let mut end = |flags| {
            batch.header(Header {
                kind: Kind::WindowUpdate,
                flags,
                stream: id,
                length: 0,
            });
        };
        if std::mem::take(&mut stream.fin_due) {
            stream.fin_sent = true;
            end(FIN);
        }
        if stream.reset_due && !stream.is_over() {
            end(RST);
            return self.remove(id);
        }
        self.remove_if_done(id);
    }
}
