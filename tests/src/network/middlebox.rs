//! What devices on the path do to connections that they do not like.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::flow::Flow;
use super::packet::{Packet, TCP, UDP};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// It is lost.
    Drop,
    /// It is lost, and its TCP connection is reset at both ends.
    Reset,
    /// It is lost, and so is all that its connection says from now on.
    Forget,
    /// It is lost, and its sender is told that packets of at most so many bytes pass.
    TooLong(u16),
}

/// A stateful packet rule.
pub trait Middlebox: Send {
    /// What becomes of `packet`, which belongs to `flow`.
    fn judge(&mut self, flow: &Flow, packet: &Packet<'_>, now: Instant) -> Verdict;
}

/// No device at all.
#[derive(Clone, Copy, Debug)]
pub struct Open;

/// Resets what it understands to be a login of frp: of wire v1, of v2, and either in a mux.
#[derive(Clone, Copy, Debug)]
pub struct ResetPlainLogins;

/// Resets connections whose first byte is frp's own 0x17.
#[derive(Clone, Copy, Debug)]
pub struct ResetCustomByte;

/// Lets no UDP through.
#[derive(Clone, Copy, Debug)]
pub struct DropUdp;

/// Lets everybody talk to `proxy` at `port`, and the proxy to everybody; nobody else to anybody.
#[derive(Clone, Copy, Debug)]
pub struct OnlyToProxy {
    /// Where the proxy is.
    pub proxy: Ipv4Addr,
    /// Its port.
    pub port: u16,
    /// What happens to all else.
    pub otherwise: Verdict,
}

/// Ends connections on which nothing passed for some time.
#[derive(Clone, Copy, Debug)]
pub struct KillIdle {
    /// For how long.
    pub after: Duration,
    /// [`Verdict::Reset`] or [`Verdict::Forget`].
    pub how: Verdict,
}

/// Lets TLS to port 443 through, and nothing else: what is no TLS there is reset, other ports do
/// not answer.
#[derive(Clone, Copy, Debug)]
pub struct OnlyTlsTo443;

/// A link in between that takes packets of at most so many bytes, as tunnels do.
#[derive(Clone, Copy, Debug)]
pub struct Narrow(pub u16);

impl Middlebox for Narrow {
    fn judge(&mut self, _: &Flow, packet: &Packet<'_>, _: Instant) -> Verdict {
        // The rest would be cut here.
        match packet.stays_whole && packet.whole.len() > usize::from(self.0) {
            true => Verdict::TooLong(self.0),
            false => Verdict::Pass,
        }
    }
}

impl Middlebox for Open {
    fn judge(&mut self, _: &Flow, _: &Packet<'_>, _: Instant) -> Verdict {
        Verdict::Pass
    }
}

impl Middlebox for ResetPlainLogins {
    fn judge(&mut self, flow: &Flow, _: &Packet<'_>, _: Instant) -> Verdict {
        // Type `o`, and a length below 64 KB as 8 bytes.
        const V1: &[u8] = b"o\0\0\0\0\0\0";
        const V2: &[u8] = crate::wire::MAGIC;
        let found = |what: &[u8]| {
            let mut windows = flow.opening.windows(what.len());
            windows.any(|window| window == what)
        };
        if found(V1) || found(V2) {
            Verdict::Reset
        } else {
            Verdict::Pass
        }
    }
}

impl Middlebox for ResetCustomByte {
    fn judge(&mut self, flow: &Flow, _: &Packet<'_>, _: Instant) -> Verdict {
        match flow.opening.first() {
            Some(0x17) => Verdict::Reset,
            _ => Verdict::Pass,
        }
    }
}

impl Middlebox for DropUdp {
    fn judge(&mut self, _: &Flow, packet: &Packet<'_>, _: Instant) -> Verdict {
        match packet.protocol {
            UDP => Verdict::Drop,
            _ => Verdict::Pass,
        }
    }
}

impl Middlebox for OnlyToProxy {
    fn judge(&mut self, flow: &Flow, packet: &Packet<'_>, _: Instant) -> Verdict {
        let from_proxy = *flow.initiator.ip() == self.proxy;
        let to_proxy = *flow.responder.ip() == self.proxy && flow.responder.port() == self.port;
        if packet.protocol == TCP && (from_proxy || to_proxy) {
            Verdict::Pass
        } else {
            self.otherwise
        }
    }
}

impl Middlebox for KillIdle {
    fn judge(&mut self, flow: &Flow, packet: &Packet<'_>, now: Instant) -> Verdict {
        if now.duration_since(flow.last_passed) < self.after {
            return Verdict::Pass;
        }
        match packet.protocol {
            TCP => self.how,
            // Without connections, what comes from inside opens the way again.
            _ if packet.from == flow.initiator => Verdict::Pass,
            _ => Verdict::Drop,
        }
    }
}

impl Middlebox for OnlyTlsTo443 {
    fn judge(&mut self, flow: &Flow, packet: &Packet<'_>, _: Instant) -> Verdict {
        if packet.protocol != TCP || flow.responder.port() != 443 {
            return Verdict::Drop;
        }
        // A record of the handshake, in any version that calls itself 3.
        match flow.opening.get(..2).unwrap_or(&flow.opening) {
            [] | [0x16] | [0x16, 3] => Verdict::Pass,
            _ => Verdict::Reset,
        }
    }
}
