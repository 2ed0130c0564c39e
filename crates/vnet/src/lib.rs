//! Packets between machines: a TUN device, its addresses and routes, and who is reached by which.
//!
//! The way of a packet that a program of this machine sends to another machine:
//!
//! 1. `device`: the system gives it to us, often many of a flow at once; [`virtio`] says what they are.
//! 2. [`router`]: by which connection its destination is reached.
//! 3. [`split`]: the packets for the wire, each behind its length ([`framing`]), wait in the [`queue`] of that
//!    connection, whose [`peer`] takes them when it can.
//!
//! And of one that comes by a connection: [`framing`] finds it, [`packet`] says whose it is, [`router`] whether it may be,
//! [`join`] gives it to the device together with those that follow it.
//!
//! [`net`] does all this; `links` gives the device its address. The bytes on the wire are frp's
//! (frp `pkg/vnet`).

mod address;
mod checksum;
#[cfg_attr(not(target_os = "linux"), path = "absent/device.rs")]
mod device;
pub mod framing;
mod join;
mod limits;
#[cfg(target_os = "linux")]
mod links;
mod net;
mod open;
pub mod packet;
mod peer;
mod queue;
mod router;
mod split;
mod virtio;

pub use address::Address;
pub use net::{End, Net, Taken, Visit};
pub use open::OpenError;
pub use peer::Dropped;

/// What would be written to the device of packets that come one after the other, as the packets that the system makes
/// of that again. For tests.
///
/// # Panics
/// A write is not as the system takes it.
#[doc(hidden)]
#[must_use]
#[allow(clippy::expect_used, reason = "that is what is tested")]
pub fn through_the_device(packets: &[&[u8]]) -> Vec<Vec<u8>> {
    let (mut join, mut split_again) = (join::Join::default(), Vec::new());
    let mut write = |bytes: &[u8]| {
        let packets = split::packets(&mut bytes.to_vec());
        split_again.extend(packets.expect("a write is well-formed"));
    };
    for packet in packets {
        join.add(packet, &mut write);
    }
    join.flush(&mut write);
    split_again
}
