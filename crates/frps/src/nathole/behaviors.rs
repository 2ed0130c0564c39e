//! What two peers may try, by their kinds of NAT (frp `pkg/nathole/analysis.go`): five modes, each with
//! several ways that are tried in turn.

use frp_proto::nathole::Role;

/// What one peer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Behavior {
    pub(super) role: Role,
    /// IP time to live of what opens its own NAT only; 0: any.
    pub(super) ttl: u8,
    /// Before it sends, milliseconds.
    pub(super) send_delay_ms: u16,
    /// Ports around the other's last one that it sends to, at most so many in each direction; 0: none.
    pub(super) ports_range: u16,
    /// Random ports of the other that it sends to.
    pub(super) random_ports: u16,
    /// Sockets that it opens beside the first one.
    pub(super) listen_ports: u16,
}

/// A way: what the proxy's client does, and what the visitor does. Where only one of them can do it, they
/// are exchanged ([`super::scores`]).
pub(super) type Way = (Behavior, Behavior);

/// The ways of each mode, in the order in which they are tried.
pub(super) const MODES: [&[Way]; 5] = [EASY, GUESSED, MANY, BOTH_GUESSED, GUESSED_AND_MANY];

/// The way `index` of `mode`; the first of all where there is none.
pub(super) fn way(mode: u8, index: u8) -> Way {
    let ways = MODES.get(usize::from(mode));
    let way = ways.and_then(|ways| ways.get(usize::from(index)));
    way.copied().unwrap_or((SENDER, RECEIVER.ttl(7)))
}

/// 0: both know the other's port.
const EASY: &[Way] = &[
    (SENDER, RECEIVER.ttl(7)),
    (RECEIVER.ttl(7), SENDER),
    (SENDER, RECEIVER.ttl(4)),
    (RECEIVER.ttl(4), SENDER),
    (SENDER, RECEIVER),
    (RECEIVER, SENDER),
    (SENDER.after(5000), RECEIVER),
    (SENDER.after(10_000), RECEIVER),
    (RECEIVER, SENDER.after(5000)),
    (RECEIVER, SENDER.after(10_000)),
];

/// 1: the sender's port changes, but can be guessed.
const GUESSED: &[Way] = &[
    (SENDER, RECEIVER.ttl(7).range(10)),
    (SENDER.after(2000), RECEIVER.ttl(7).range(10)),
    (SENDER, RECEIVER.ttl(4).range(10)),
    (SENDER.after(2000), RECEIVER.ttl(4).range(10)),
    (SENDER, RECEIVER.range(10)),
    (SENDER.after(2000), RECEIVER.range(10)),
];

/// 2: the receiver's port cannot be guessed; it opens many, of which one is hit.
const MANY: &[Way] = &[
    (SENDER.random().after(3000), RECEIVER.many().ttl(7)),
    (SENDER.random().after(3000), RECEIVER.many().ttl(4)),
    (SENDER.random().after(3000), RECEIVER.many()),
];

/// 3: the ports of both change, but can be guessed.
const BOTH_GUESSED: &[Way] = &[
    (SENDER.range(10), RECEIVER.ttl(7).range(10)),
    (SENDER.range(10), RECEIVER.ttl(4).range(10)),
    (SENDER.range(10), RECEIVER.range(10)),
    (RECEIVER.ttl(7).range(10), SENDER.range(10)),
    (RECEIVER.ttl(4).range(10), SENDER.range(10)),
    (RECEIVER.range(10), SENDER.range(10)),
];

/// 4: the ports of both change, and those of the sender can be guessed.
const GUESSED_AND_MANY: &[Way] = &[
    (SENDER.random().after(3000), RECEIVER.many().ttl(7).range(2)),
    (SENDER.random().after(3000), RECEIVER.many().ttl(4).range(2)),
    (SENDER.random().after(3000), RECEIVER.many().range(2)),
];

const SENDER: Behavior = Behavior {
    role: Role::Sender,
    ttl: 0,
    send_delay_ms: 0,
    ports_range: 0,
    random_ports: 0,
    listen_ports: 0,
};

const RECEIVER: Behavior = Behavior {
    role: Role::Receiver,
    ..SENDER
};

impl Behavior {
    const fn ttl(self, ttl: u8) -> Self {
        Self { ttl, ..self }
    }

    const fn after(self, send_delay_ms: u16) -> Self {
        Self {
            send_delay_ms,
            ..self
        }
    }

    const fn range(self, ports_range: u16) -> Self {
        Self {
            ports_range,
            ..self
        }
    }

    const fn random(self) -> Self {
        Self {
            random_ports: 1000,
            ..self
        }
    }

    const fn many(self) -> Self {
        Self {
            listen_ports: 256,
            ..self
        }
    }
}
