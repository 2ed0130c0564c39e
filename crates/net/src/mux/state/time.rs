//! What a session does by the clock: pings, unanswered opens, streams that linger.

use std::{collections::VecDeque, time::Duration};

use super::{
    super::error::CloseReason, ABORT_GRACE, LINGER, LINGER_MAX, LINGER_SWEEP, MAX_LINGERING,
    OPEN_TIMEOUT, Ping, State,
};

impl State {
    /// When [`State::on_time`] has something to do. Clears the mark of a new deadline.
    pub(in crate::mux) fn next_deadline(&mut self) -> Option<Duration> {
        self.new_deadline = false;
        let ping = match self.ping {
            Ping::Resting { until } => self.keepalive.map(|_| until),
            Ping::Queued => None,
            Ping::Waiting { until, .. } => Some(until),
        };
        while let Some((_, id)) = self.opened.front()
            && !self.awaits_ack(*id)
        {
            self.opened.pop_front();
        }
        let open = self.opened.front().map(|(at, _)| *at + OPEN_TIMEOUT);
        let abort = self.aborting.front().map(|(at, _)| *at);
        [ping, open, self.linger_sweep, abort]
            .into_iter()
            .flatten()
            .min()
    }

    /// Does what has become due. An error ends the session.
    pub(in crate::mux) fn on_time(&mut self, now: Duration) -> Result<(), CloseReason> {
        match self.ping {
            Ping::Resting { until } if self.keepalive.is_some() && now >= until => {
                self.ping = Ping::Queued;
            }
            Ping::Waiting { until, .. } if now >= until => return Err(CloseReason::PingTimeout),
            _ => {}
        }
        while let Some((at, id)) = self.opened.front() {
            if !self.awaits_ack(*id) {
                self.opened.pop_front();
                continue;
            }
            if now >= *at + OPEN_TIMEOUT {
                return Err(CloseReason::OpenTimeout);
            }
            break;
        }
        if self.linger_sweep.is_some_and(|at| now >= at) {
            self.sweep_lingering(now);
        }
        while let Some((at, id)) = self.aborting.front().copied()
            && now >= at
        {
            self.aborting.pop_front();
            if self.streams.get(&id).is_some_and(|s| s.queued > 0) {
                self.aborting.push_back((now + ABORT_GRACE, id));
            } else {
                self.reset(id);
            }
        }
        Ok(())
    }

    fn awaits_ack(&self, id: u32) -> bool {
        self.streams
            .get(&id)
            .is_some_and(|s| s.unacked && !s.fin_due && !s.fin_sent)
    }

    fn sweep_lingering(&mut self, now: Duration) {
        let mut kept = VecDeque::new();
        for (at, id) in std::mem::take(&mut self.lingering) {
            let Some(stream) = self.streams.get(&id) else {
                continue;
            };
            let age = now.saturating_sub(at);
            let hangs = stream.recv_window == 0 && age >= LINGER;
            if hangs || age >= LINGER_MAX {
                self.reset(id);
            } else {
                kept.push_back((at, id));
            }
        }
        self.linger_sweep = (!kept.is_empty()).then(|| now + LINGER_SWEEP);
        self.lingering = kept;
    }

    pub(super) fn trim_lingering(&mut self) {
        let streams = &self.streams;
        self.lingering.retain(|(_, id)| streams.contains_key(id));
        // A quarter at a time, so that the look-through above is paid for.
        while self.lingering.len() > MAX_LINGERING / 4 * 3
            && let Some((_, oldest)) = self.lingering.pop_front()
        {
            self.reset(oldest);
        }
    }
}
