//! What stands in front of each client, where several are in networks of their own.

use std::net::Ipv4Addr;
use std::time::Instant;

use super::flow::Flow;
use super::middlebox::{Middlebox, Verdict};
use super::packet::{Packet, UDP};

/// A device for each of these hosts; nothing is in the way of others.
#[derive(Default)]
pub struct Offices(Vec<(Ipv4Addr, Box<dyn Middlebox>)>);

/// A link that loses packets of more than so many bytes without a word, as where a firewall throws away
/// what is said about it.
#[derive(Clone, Copy, Debug)]
pub struct LosesLarge(pub usize);

/// Lets through so many bytes of UDP per second, of both directions together, and loses the rest.
#[derive(Clone, Copy, Debug)]
pub struct HoldsUdpBack {
    bytes_per_second: f64,
    left: f64,
    since: Option<Instant>,
}

/// Loses all that is sent to this port, as the firewall of a provider does.
#[derive(Clone, Copy, Debug)]
pub struct ClosedPort(pub u16);

impl Offices {
    /// With `device` in front of `host`.
    #[must_use]
    pub fn with(mut self, host: Ipv4Addr, device: impl Middlebox + 'static) -> Self {
        self.0.push((host, Box::new(device)));
        self
    }
}

impl Middlebox for Offices {
    fn judge(&mut self, flow: &Flow, packet: &Packet<'_>, now: Instant) -> Verdict {
        let ends = [*packet.from.ip(), *packet.to.ip()];
        let device = self.0.iter_mut().find(|(host, _)| ends.contains(host));
        device.map_or(Verdict::Pass, |(_, device)| device.judge(flow, packet, now))
    }
}

impl Middlebox for LosesLarge {
    fn judge(&mut self, _: &Flow, packet: &Packet<'_>, _: Instant) -> Verdict {
        match packet.whole.len() > self.0 {
            true => Verdict::Drop,
            false => Verdict::Pass,
        }
    }
}

impl HoldsUdpBack {
    /// See the type.
    #[must_use]
    pub fn to(bytes_per_second: u32) -> Self {
        let bytes_per_second = f64::from(bytes_per_second);
        Self {
            bytes_per_second,
            left: bytes_per_second / 2.0,
            since: None,
        }
    }
}

impl Middlebox for HoldsUdpBack {
    fn judge(&mut self, _: &Flow, packet: &Packet<'_>, now: Instant) -> Verdict {
        if packet.protocol != UDP {
            return Verdict::Pass;
        }
        let since = self.since.replace(now).unwrap_or(now);
        let more = now.duration_since(since).as_secs_f64() * self.bytes_per_second;
        self.left = (self.left + more).min(self.bytes_per_second / 2.0);
        let size = packet.whole.len() as f64;
        if self.left < size {
            return Verdict::Drop;
        }
        self.left -= size;
        Verdict::Pass
    }
}

impl Middlebox for ClosedPort {
    fn judge(&mut self, _: &Flow, packet: &Packet<'_>, _: Instant) -> Verdict {
        match packet.to.port() == self.0 {
            true => Verdict::Drop,
            false => Verdict::Pass,
        }
    }
}
