//! Datagrams that were dropped, why, and when to say so.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Span;

/// Drops are told at once, then no more often than this.
const SAY_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Counts what is dropped, and says so.
#[derive(Debug)]
pub struct Losses {
    /// Whose datagrams they are.
    span: Span,
    since: Counts,
    /// Since the start.
    total: u64,
    said_at: Option<Instant>,
}

/// What was dropped since it was last said.
#[derive(Debug, Default)]
struct Counts {
    /// Longer than `udpPacketSize`.
    too_big: Longest,
    /// Longer than a message of the wire may be.
    too_long: Longest,
    /// The stream takes less than comes.
    overflow: u64,
    /// The local service's host said that nobody listens.
    refused: u64,
    /// The system would not send them, and why it would not send the last.
    unsendable: u64,
    unsendable_why: String,
    /// No socket for a user, and why.
    no_socket: u64,
    no_socket_why: String,
}

#[derive(Debug, Default)]
struct Longest {
    count: u64,
    length: usize,
}

impl Longest {
    fn add(&mut self, length: usize) {
        self.count += 1;
        self.length = self.length.max(length);
    }
}

impl Losses {
    /// None yet.
    pub(super) fn new(span: Span) -> Self {
        Self {
            span,
            since: Counts::default(),
            total: 0,
            said_at: None,
        }
    }

    /// Datagrams dropped since the start.
    #[cfg(test)]
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn too_big(&mut self, length: usize) {
        self.total += 1;
        self.since.too_big.add(length);
    }

    pub(super) fn too_long(&mut self, length: usize) {
        self.total += 1;
        self.since.too_long.add(length);
    }

    pub(super) fn overflow(&mut self) {
        self.total += 1;
        self.since.overflow += 1;
    }

    pub(super) fn refused(&mut self) {
        self.total += 1;
        self.since.refused += 1;
    }

    pub(super) fn unsendable(&mut self, why: &dyn fmt::Display) {
        self.total += 1;
        self.since.unsendable += 1;
        self.since.unsendable_why = why.to_string();
    }

    pub(super) fn no_socket(&mut self, why: &dyn fmt::Display) {
        self.total += 1;
        self.since.no_socket += 1;
        self.since.no_socket_why = why.to_string();
    }

    /// Says what was dropped since this was last said, if there is anything and it is time.
    pub(super) fn say(&mut self) {
        if let Some(text) = self.due() {
            tracing::warn!(parent: &self.span, "{text}");
        }
    }

    /// What is to be said now.
    pub(super) fn due(&mut self) -> Option<String> {
        if self.since.is_empty() {
            return None;
        }
        let now = Instant::now();
        if self.said_at.is_some_and(|at| now - at < SAY_AGAIN_AFTER) {
            return None;
        }
        self.said_at = Some(now);
        Some(std::mem::take(&mut self.since).text())
    }
}

impl Counts {
    fn is_empty(&self) -> bool {
        let Self {
            too_big,
            too_long,
            overflow,
            refused,
            unsendable,
            no_socket,
            ..
        } = self;
        too_big.count + too_long.count + overflow + refused + unsendable + no_socket == 0
    }

    fn text(&self) -> String {
        let mut parts = Vec::new();
        if self.too_big.count > 0 {
            parts.push(format!(
                "{} longer than udpPacketSize, the longest {} bytes (raise udpPacketSize on both \
                 sides)",
                self.too_big.count, self.too_big.length
            ));
        }
        if self.too_long.count > 0 {
            parts.push(format!(
                "{} longer than a message of the wire protocol holds, the longest {} bytes \
                 (transport.wireProtocol v2 holds more)",
                self.too_long.count, self.too_long.length
            ));
        }
        if self.overflow > 0 {
            parts.push(format!(
                "{} because the connection between frpc and frps took no more",
                self.overflow
            ));
        }
        if self.refused > 0 {
            parts.push(format!(
                "{} because nobody listens at the local service's address",
                self.refused
            ));
        }
        if self.unsendable > 0 {
            parts.push(format!(
                "{} that could not be sent: {}",
                self.unsendable, self.unsendable_why
            ));
        }
        if self.no_socket > 0 {
            parts.push(format!(
                "{} without a socket for their user: {}",
                self.no_socket, self.no_socket_why
            ));
        }
        format!("dropped udp datagrams: {}", parts.join("; "))
    }
}
